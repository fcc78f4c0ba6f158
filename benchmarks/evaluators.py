"""Time AP over a full-size test set (reach: 5 CPU-s for 40 images × 669 cells) and one training step per task."""

from __future__ import annotations

import time

import numpy as np
import torch

from bloodlib._files import package_data, write_json
from bloodlib.evaluators import metrics, tasks
from bloodlib.evaluators.config import TASKS, preset

from .painter import machine

COMMAND = "python -m benchmarks evaluators"


def crowded(rng: np.random.Generator, count: int = 669) -> np.ndarray:
    """Scatter boxes of 46 ± 5 px over 1920×1200."""
    corner = rng.uniform(0, [1874, 1154], (count, 2))
    return np.concatenate([corner, corner + rng.normal(46, 5, (count, 2))], axis=1)


def squares(count: int = 560) -> np.ndarray:
    """Tile 1920×1200 with instances of 44 px."""
    instances = np.zeros((1200, 1920), np.int32)
    for k in range(count):
        row, column = 46 * (k // 40), 46 * (k % 40)
        instances[row : row + 44, column : column + 44] = k + 1
    return instances


def main() -> None:
    """Print CPU seconds, and store that of AP in data/results/evaluators.json."""
    rng = np.random.default_rng(0)
    targets = [crowded(rng) for _ in range(40)]
    found = [(boxes + rng.normal(0, 3, boxes.shape), rng.random(len(boxes))) for boxes in targets]
    start = time.process_time()
    result = metrics.average_precision(found, targets)
    seconds = time.process_time() - start
    print(f"AP of 40 images × 669 boxes: {seconds:.2f} CPU-s (AP50 {result['AP50']:.3f})")
    stored = {"command": COMMAND, **machine(), "average_precision_cpu_seconds": round(seconds, 2)}
    write_json(package_data("results", "evaluators.json"), stored)

    mask = squares()
    start = time.process_time()
    metrics.average_precision([(mask, np.ones(560))], [mask])
    print(f"AP of 560 masks at 1920×1200: {time.process_time() - start:.2f} CPU-s")
    start = time.process_time()
    metrics.match_instances(np.roll(mask, 7, axis=1), mask)
    print(f"matching of 560 instances at 1920×1200: {time.process_time() - start:.2f} CPU-s")

    for task in TASKS:
        config = preset("laptop", task, start="none")  # what weights begin with costs nothing here
        side = config.crop_px
        crop = mask[:side, :side]
        image = np.where(crop[..., None] > 0, 90, 200).astype(np.uint8).repeat(3, axis=2)
        torch.manual_seed(0)
        model = tasks.build(config).to(memory_format=torch.channels_last)
        seconds = []
        for _ in range(3):
            start = time.process_time()
            tasks.loss(model, [(image, crop)] * config.batch, config).backward()
            seconds.append(time.process_time() - start)
        print(
            f"{task}: {min(seconds):.2f} CPU-s for a float32 step of {config.batch} crops of {side} px, laptop preset"
        )


if __name__ == "__main__":
    main()
