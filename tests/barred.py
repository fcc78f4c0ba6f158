"""Grey pictures with a scale bar."""

from __future__ import annotations

import numpy as np


def grey(seed: int = 0, shape=(120, 160)) -> np.ndarray:
    return np.random.default_rng(seed).integers(150, 170, (*shape, 3), dtype=np.uint8)


def barred(kind: str) -> np.ndarray:
    image = grey()
    colour = (20, 20, 20) if kind == "black" else (60, 200, 70)
    image[90:92, 100:140] = colour
    return image
