"""On which devices, in which number format and memory the networks are trained, decided by what the machine can do."""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # names of settings in glibc's malloc.h
_USUAL = {_MMAP_THRESHOLD: 32 * 2**20, _TRIM_THRESHOLD: 64 * 2**20}  # where glibc's own adaptation ends
_NEVER = 2**31 - 1
_LOCK = threading.Lock()
_blocks = 0  # of memory_kept that are running
_STARTED_BY_FABRIC = "LT_CLI_USED"  # the variable that `fabric run` sets


def autocast_dtype(device: torch.device | str = "cpu") -> torch.dtype:
    """Give bfloat16 where `device` multiplies it in hardware, float32 elsewhere.

    Notes
    -----
    On a processor without AMX or AVX512-BF16, bfloat16 is emulated and many times *slower* than
    float32, so it must not be switched on by hope.
    """
    device = torch.device(device)
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    return torch.bfloat16 if device.type == "cpu" and _bfloat16_units() else torch.float32


def _bfloat16_units() -> list[str]:
    """List what this processor multiplies bfloat16 with; torch has no public name for either test."""
    tests = {"AMX": "_is_amx_tile_supported", "AVX512-BF16": "_is_avx512_bf16_supported"}
    return [unit for unit, test in tests.items() if getattr(torch.cpu, test, bool)()]


def device_name() -> str:
    """Name what networks are computed on here: the GPU, or the processor's instructions.

    Notes
    -----
    Both AMX and AVX512-BF16 multiply bfloat16, not equally fast, so a time is to be read beside this name.
    """
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"cpu, {processor_name()}"


def processor_name() -> str:
    """Name the processor's instructions that networks are computed with where no GPU is used.

    Examples
    --------
    >>> processor_name().split(", ")[0] in ("DEFAULT", "NO AVX", "AVX2", "AVX512", "SVE", "SVE256", "ZVECTOR")
    True
    """
    return ", ".join([torch.backends.cpu.get_cpu_capability(), *_bfloat16_units()])


def working_type(x: Tensor) -> torch.dtype:
    """Give the format that convolutions of `x` are computed in here and now."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


def processes(devices: int) -> int:
    """Give how many processes train together, as far as that is known before they have met."""
    return max(devices, int(os.environ.get("WORLD_SIZE", 1))) if os.environ.get(_STARTED_BY_FABRIC) else devices


def is_first(devices: int) -> bool:
    """Say whether this process, among those that train together, is the one that writes; also before they have met."""
    if devices == 1 and not os.environ.get(_STARTED_BY_FABRIC):
        return True
    return all(os.environ.get(name, "0") == "0" for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"))


def make_fabric(precision: str, devices: int = 1) -> Fabric:
    """Choose devices and number format, and start the processes of the other devices.

    Parameters
    ----------
    precision : {"auto", "float32", "bfloat16"}
        "auto" is bfloat16 autocast where `autocast_dtype` finds it in hardware, float32 elsewhere.
    devices : int
        GPUs of this machine, or processes where it has none; where `fabric run` started this process, it decides.

    Raises
    ------
    ValueError
        If there are not as many GPUs, or several devices are asked for in a notebook.

    Notes
    -----
    The first process starts the others by calling its own command line again, so that several devices need a
    program that can be called: the command line, or a script.

    How far apart the two end was measured on smears of 64×80 px, with networks of 4 filters after 9
    steps of one seed: paintings differ by 1.4 and 2.9 grey levels on average (two seeds) with
    ``norm="pixel"``, where another seed makes 22 and 26; the paper's instance normalisation, over few
    pixels here, magnifies that to 10 to 12 (four seeds, 2 filters) of 23 to 51. The weights themselves
    part sooner, by 0.3 to 0.5 and by 0.9 to 1.0 of the way that training moved them: Adam's first steps
    have the length of the learning rate however small a gradient is.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the import says is about other libraries
        from lightning_fabric import Fabric
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    probe = "cuda" if torch.cuda.is_available() else "cpu"
    mixed = precision == "bfloat16" or (precision == "auto" and autocast_dtype(probe) is torch.bfloat16)
    gpus = torch.cuda.device_count()
    if devices < 1 or (gpus and devices > gpus):
        raise ValueError(f"devices is {devices}; allowed is {f'1 to {gpus}, the GPUs here' if gpus else '1 or more'}")
    if devices > 1 and hasattr(sys, "ps1"):
        raise ValueError(f"devices is {devices} in an interactive session; call `bloodlib fit … --devices {devices}`")
    started = bool(os.environ.get(_STARTED_BY_FABRIC))
    where = {"devices": "auto"} if started else {"devices": devices, "accelerator": probe}  # on no other kind of GPU
    fabric = Fabric(**where, precision="bf16-mixed" if mixed else "32-true")
    if not started:
        fabric.launch()
    return fabric


@contextmanager
def memory_kept(*, cycles: bool = False) -> Iterator[None]:
    """Let freed memory stay with the process while the block runs, and hand it back afterwards.

    Parameters
    ----------
    cycles : bool
        Whether the block leaves objects that hold one another, such as a training's graphs, to be looked for first.

    Notes
    -----
    glibc returns every block above 32 MiB to the system when it is freed, and the system clears it
    when it is asked for again: at 1920×1200 that is a sixth of a training step, and a third of a painting.
    Does nothing where the C library is another one, and within a block of its own kind.
    """
    global _blocks
    library = ctypes.CDLL(None) if sys.platform.startswith("linux") else None
    if not hasattr(library, "mallopt"):
        yield
        return
    with _LOCK:
        _blocks += 1
        for setting in _USUAL:
            library.mallopt(setting, _NEVER)
    try:
        yield
    finally:
        with _LOCK:
            _blocks -= 1
            if not _blocks:
                for setting, value in _USUAL.items():
                    library.mallopt(setting, value)
                if cycles:
                    gc.collect()
                library.malloc_trim(0)
