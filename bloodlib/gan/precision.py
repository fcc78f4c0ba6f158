"""Which number format the networks are trained in, decided by what the processor can do."""

from __future__ import annotations

import torch


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
    if device.type == "cpu":
        tests = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
        if any(getattr(torch.cpu, name, bool)() for name in tests):
            return torch.bfloat16
    return torch.float32
