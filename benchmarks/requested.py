"""How many cells are placed where the paper's n ~ Norm(669, 149) asks for more than there is room for.

``python -m benchmarks.requested`` draws 1,000 masks at full size with Chula's shapes at the paper's magnification,
and fills some with equal discs by chance alone, whose jamming is known. It takes about five minutes on one core
and rewrites data/results/requested.json, which chapter 03 shows.
"""

from __future__ import annotations

import time
import warnings
from dataclasses import asdict
from importlib.metadata import version

import cv2
import numpy as np

from bloodlib._files import package_data, write_json
from bloodlib.datasets import load
from bloodlib.quoted import quoted
from bloodlib.sampler.masks import CrowdedWarning, MaskConfig, MaskGenerator
from bloodlib.sampler.placement import PlacementConfig
from bloodlib.sampler.shapes import ShapeConfig, ShapeDatabase

COMMAND = "python -m benchmarks.requested"
MASKS, DISC_MASKS, SEED = 1000, 20, 0
SHAPE = (quoted("bailo2019.data.image_height_px"), quoted("bailo2019.data.image_width_px"))
CELL_PX = quoted("bailo2019.sampler.cell_size_px")
COUNT = (quoted("bailo2019.table1.rbcs_per_image_mean"), quoted("bailo2019.table1.rbcs_per_image_std"))


def fill(masks: MaskGenerator, number: int, count: int | None = None) -> dict:
    """Draw some masks and count what was asked for, what was placed and how much of the image it covers."""
    found: dict = {"requested": [], "placed": [], "coverage": []}
    start = time.process_time()
    for k in range(number):
        mask = masks.sample(np.random.default_rng([SEED, k]), count=count)
        found["requested"].append(mask.requested)
        found["placed"].append(mask.placed)
        found["coverage"].append(round(float(np.count_nonzero(mask.instances)) / mask.instances.size, 4))
    return found | {"cpu_seconds": round(time.process_time() - start, 1)}


def disc(diameter_px: int) -> np.ndarray:
    """Draw the disc of this diameter, bool (h, w)."""
    axis = np.arange(diameter_px) - (diameter_px - 1) / 2
    return np.hypot(axis[:, None], axis) <= diameter_px / 2


def main() -> None:
    """Draw the masks, print how many were full, and store all counts."""
    cv2.setNumThreads(1)
    warnings.simplefilter("ignore", CrowdedWarning)  # counted instead
    law = PlacementConfig(cell_size_px=CELL_PX)
    shapes = ShapeDatabase.fit(load("chula_rbc12", split="fit"))
    shapes = shapes.scaled(CELL_PX / float(np.mean([shape.shape for shape in shapes.shapes])))
    cells = fill(MaskGenerator(shapes, MaskConfig(*COUNT, SHAPE, law)), MASKS)
    still = ShapeConfig(rotate=False, flip=False, scale=(1.0, 1.0))
    chance = MaskConfig(*COUNT, SHAPE, PlacementConfig("uniform", cell_size_px=CELL_PX), still)
    discs = fill(MaskGenerator(ShapeDatabase([disc(CELL_PX)], still), chance), DISC_MASKS, count=2 * COUNT[0])
    result = {
        "command": COMMAND,
        "dataset": "chula_rbc12",
        "split": "fit",
        "shape": SHAPE,
        "seed": SEED,
        "placement": asdict(law) | {"seeds": law.seeds(SHAPE)},
        "versions": {name: version(name) for name in ("numpy", "opencv-python")},
        "cells": cells,
        "discs": {"diameter_px": CELL_PX, "placement": "uniform"} | discs,
    }
    write_json(package_data("results", "requested.json"), result, indent=None)
    short = sum(placed < asked for asked, placed in zip(cells["requested"], cells["placed"], strict=True))
    print(f"{short} of {MASKS} masks hold fewer cells than requested; {cells['cpu_seconds']:.0f} CPU-s for all")
    print(f"most placed: {max(cells['placed'])}, most covered: {max(cells['coverage']):.1%}")
    full = f"{np.mean(discs['placed']):.0f} discs of {CELL_PX} px, {np.mean(discs['coverage']):.1%} covered"
    print(f"equal discs by chance, canvas full: {full}; {discs['cpu_seconds']:.0f} CPU-s")


if __name__ == "__main__":
    main()
