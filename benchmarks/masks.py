"""Time the mask generator at the paper's size against its literal form, and show that it ends when cells find no room.

``python -m benchmarks masks`` times one whole mask of the literal implementation (tests/sampler/literal.py: the full
map at every step), then the generator for several numbers of cells in the same run, in CPU seconds on one thread; it
rewrites data/results/masks.json. About seven minutes. Shapes are real where the data is found (Chula's training part,
scaled to a mean of 46 px), the phantom's elsewhere. The paper reports 60 s per mask.
"""

from __future__ import annotations

import runpy
import statistics
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np

import bloodlib
from bloodlib._files import package_data, write_json
from bloodlib.datasets.registry import status
from bloodlib.sampler.graph import VARIETY, dgm_layout
from bloodlib.sampler.masks import CrowdedWarning, MaskConfig, MaskGenerator
from bloodlib.sampler.placement import PlacementConfig

from .painter import machine

COMMAND = "python -m benchmarks masks"
SHAPE, CELL_PX, COUNT = (1200, 1920), 46.0, 669
COUNTS = (50, 100, 200, 300, 400, 500, 600, 669, 743, 818, 892, 967)  # up to two standard deviations above the mean
REPEATS = 5
LITERAL = Path(__file__).resolve().parents[1] / "tests" / "sampler" / "literal.py"


def real_shapes() -> tuple[str, bloodlib.sampler.shapes.ShapeDatabase]:
    """Give the cell shapes of the real set, or else of the phantom, scaled to a mean side of 46 px."""
    name = "chula_rbc12" if not status("chula_rbc12").missing else "phantom"
    fitted = MaskGenerator.fit(bloodlib.load(name, split="fit"))
    return name, fitted.shapes.scaled(CELL_PX / fitted.config.placement.cell_size_px)


def cpu_seconds(run: Callable[[], object]) -> tuple[float, object]:
    """Run once and give the CPU seconds it took, and its result."""
    begun = time.process_time()
    result = run()
    return time.process_time() - begun, result


def measure(masks: MaskGenerator, count: int) -> dict[str, float]:
    """Time several masks of so many cells: the median CPU seconds, and the means of what was placed and tried."""
    seconds, made = [], []
    for seed in range(REPEATS):
        spent, mask = cpu_seconds(lambda s=seed: masks.draw(np.random.default_rng(s), SHAPE, count))
        coloured, _ = cpu_seconds(lambda m=mask: m.colours)
        seconds.append(spent + coloured)
        made.append(mask)
    placed = [mask.placed for mask in made]
    return {
        "requested": count,
        "placed": statistics.mean(placed),
        "coverage": round(statistics.mean(float((mask.instances > 0).mean()) for mask in made), 4),
        "seconds": round(statistics.median(seconds), 4),
        "seconds_least": round(min(seconds), 4),
        "trials_mean": round(float(np.mean([mask.trials.mean() for mask in made])), 2),
        "trials_last": round(float(np.mean([np.mean(mask.trials[-20:]) for mask in made])), 1),
    }


def trials_by_cell(masks: MaskGenerator, every: int = 25) -> dict[str, list[float]]:
    """Give the mean number of locations tried for the n-th cell, over several masks, in groups of cells."""
    trials = [masks.draw(np.random.default_rng([7, seed]), SHAPE, 700).trials for seed in range(4 * REPEATS)]
    n = min(map(len, trials)) // every * every
    grouped = np.array([one[:n] for one in trials]).reshape(len(trials), -1, every)  # (masks, groups, cells)
    return {
        "cell": (np.arange(n // every) * every + every / 2).tolist(),
        "trials": grouped.mean(axis=(0, 2)).round(2).tolist(),
    }


def graph_cost(shapes: bloodlib.sampler.shapes.ShapeDatabase) -> dict:
    """Time the thesis' layout: what a process spends once on laying the graph out, and then on each mask."""
    masks = MaskGenerator(shapes, MaskConfig(COUNT, 149, SHAPE, PlacementConfig("graph", cell_size_px=CELL_PX)))
    spent, _ = cpu_seconds(lambda: [dgm_layout(COUNT, seed, turn=True) for seed in range(VARIETY)])
    found = {"layouts": VARIETY, "layout_seconds": round(spent / VARIETY, 1)}
    found["by_count"] = [measure(masks, count) for count in (COUNT, COUNTS[-1])]
    print("\ngraph: {layout_seconds} CPU-s for each of {layouts} layouts, kept; then".format(**found))
    for row in found["by_count"]:
        print("{requested} cells asked, {placed:.0f} placed, {seconds:.2f} CPU-s".format(**row))
    return found


def main() -> None:
    """Print the tables and store them."""
    cv2.setNumThreads(1)
    warnings.simplefilter("ignore", CrowdedWarning)
    source, shapes = real_shapes()
    law = PlacementConfig(cell_size_px=CELL_PX)
    masks = MaskGenerator(shapes, MaskConfig(COUNT, 149, SHAPE, law))
    sides = np.array([shape.shape for shape in shapes.shapes])
    print(f"{len(shapes)} shapes from {source}, {sides.mean():.1f} px, {shapes.areas().mean():.0f} px²")

    first, _ = cpu_seconds(lambda: masks.draw(np.random.default_rng(99), SHAPE, COUNT).colours)
    literal_mask = runpy.run_path(str(LITERAL))["literal_mask"]
    literal_law = (CELL_PX, law.sigma, law.core, law.seeds(SHAPE), law.variant, law.weights)
    oracle, (instances, *_) = cpu_seconds(
        lambda: literal_mask(np.random.default_rng(0), shapes.sample, COUNT, SHAPE, literal_law)
    )
    hoisted, _ = cpu_seconds(
        lambda: literal_mask(np.random.default_rng(0), shapes.sample, COUNT, SHAPE, literal_law, hoist=True)
    )
    for _ in range(4):  # shapes are softened when first drawn
        masks.draw(np.random.default_rng(98), SHAPE, COUNT)
    rows = {count: measure(masks, count) for count in COUNTS}
    fast = rows[COUNT]["seconds"]
    print(f"literal: {instances.max()} cells in {oracle:.1f} CPU-s; generator: {fast:.3f} (the very first {first:.3f})")
    print(f"{oracle / fast:.0f} times faster; the paper: 60 s")
    print(f"with the map summed up once for all tries of a cell: {hoisted:.1f} CPU-s ({hoisted / fast:.0f} times)\n")
    print("| cells asked | placed | coverage | CPU-s | trials per cell | of the last 20 |\n" + "|---" * 6 + "|")
    for row in rows.values():
        line = "| {requested} | {placed:.0f} | {coverage:.3f} | {seconds:.3f} | {trials_mean:.1f} | {trials_last:.0f} |"
        print(line.format(**row))
    uniform = measure(MaskGenerator(shapes, MaskConfig(COUNT, 149, SHAPE, PlacementConfig("uniform"))), COUNT)
    print("\nuniform placement: {seconds:.3f} CPU-s, {trials_mean:.1f} trials per cell".format(**uniform))
    result = {
        "command": COMMAND,
        "shapes": source,
        "shape": list(SHAPE),
        "cell_px": CELL_PX,
        "literal_seconds": round(oracle, 1),
        "literal_cells": int(instances.max()),
        "literal_hoisted_seconds": round(hoisted, 1),
        "generator_seconds": fast,
        "generator_first_seconds": round(first, 4),
        "ratio": round(oracle / fast),
        "ratio_hoisted": round(hoisted / fast),
        "by_count": list(rows.values()),
        "uniform": uniform,
        "graph": graph_cost(shapes),
        "trials_by_cell": trials_by_cell(masks),
        **machine(),
        "threads": 1,
        "versions": {name: version(name) for name in ("bloodlib", "numpy", "opencv-python")},
    }
    write_json(package_data("results", "masks.json"), result)


if __name__ == "__main__":
    main()
