"""What this machine offers, for `bloodlib doctor` and for bug reports."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import shutil
from pathlib import Path
from typing import Any

import bloodlib


def doctor(chosen: argparse.Namespace) -> None:
    """Print the report, as lines or as JSON."""
    report = inspect_machine()
    if chosen.json:
        print(json.dumps(report, indent=1))
        return
    for name, value in report.items():
        if isinstance(value, dict):
            print(f"{name}:")
            for key, entry in value.items():
                print(f"  {key:22} {entry}")
        else:
            print(f"{name:24} {value}")


def inspect_machine() -> dict[str, Any]:
    """Collect versions, device, precision, threads, cache and weights.

    Returns
    -------
    dict
        Plain values, in the order in which they are printed. Paths are those of the user's own settings.
    """
    import torch

    from bloodlib.datasets.registry import available, data_home, status
    from bloodlib.gan.perceptual import SQUEEZENET_FILE, local_squeezenet
    from bloodlib.gan.precision import autocast_dtype, device_name

    device = "cuda" if torch.cuda.is_available() else "cpu"
    home = data_home()
    sets = {entry.name: status(entry.name) for entry in available() if entry.megabytes}
    vgg = Path(torch.hub.get_dir()) / "checkpoints"
    return {
        "bloodlib": bloodlib.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        **{name: importlib.import_module(name).__version__ for name in ("torch", "torchvision", "numpy", "cv2")},
        "device": device_name(),
        "training precision": str(autocast_dtype(device)).removeprefix("torch."),
        "threads": f"{torch.get_num_threads()} of {os.cpu_count()} (OMP_NUM_THREADS sets them)",
        "BLOODLIB_DATA": os.environ.get("BLOODLIB_DATA", "not set: downloads go to the user's cache"),
        "cache": f"{home}, {_free(home)}",
        "data sets": {
            name: "complete" if one.complete else f"{one.present} of {one.present + one.missing} files"
            for name, one in sets.items()
        },
        "BLOODLIB_WEIGHTS": os.environ.get("BLOODLIB_WEIGHTS", "not set: torchvision downloads its own"),
        "weights": {
            SQUEEZENET_FILE: "found" if local_squeezenet() else "not found: set BLOODLIB_WEIGHTS to its folder",
            "VGG-19": "found" if any(vgg.glob("vgg19-*.pth")) else "not found: downloaded when a training asks for it",
        },
        "released models": ", ".join(bloodlib.released()) or "none",
    }


def _free(folder: Path) -> str:
    there = next((one for one in (folder, *folder.parents) if one.exists()), None)
    if there is None:  # a drive that is not mounted
        return "not there"
    return f"{shutil.disk_usage(there).free / 1e9:.0f} GB free"
