"""Time the mask generator at the paper's size, and show that it ends when asked for more cells than fit.

Cells are the phantom's at full magnification; the paper reports 60 s per mask.
"""

from __future__ import annotations

import time
import warnings

import cv2
import numpy as np

import bloodlib
from bloodlib.datasets import phantom
from bloodlib.sampler.masks import CrowdedWarning

SHAPE = (1200, 1920)
COUNTS = (100, 300, 500, 669, 818, 967)  # the mean, and one and two standard deviations above it
REPEATS = 3


def main() -> None:
    """Print CPU seconds per mask for both placements and several numbers of cells."""
    cv2.setNumThreads(1)
    smears = list(phantom.load("fit"))
    for placement in ("adhesion", "uniform"):
        masks = bloodlib.MaskGenerator.fit(smears, placement)
        masks.sample(np.random.default_rng(0), SHAPE, 30)  # the table of offsets is built once
        for count in COUNTS:
            start = time.process_time()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", CrowdedWarning)
                made = [masks.sample(np.random.default_rng(seed), SHAPE, count) for seed in range(REPEATS)]
            seconds = (time.process_time() - start) / REPEATS
            placed = sum(mask.placed for mask in made) / REPEATS
            print(f"{placement:9s} {count:4d} cells asked, {placed:5.0f} placed: {seconds:6.2f} CPU-s per mask")


if __name__ == "__main__":
    main()
