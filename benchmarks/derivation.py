"""How well the mask derivation agrees with another one on Chula, and with the truth on the phantom.

``python -m benchmarks.derivation`` prints both tables and rewrites data/results/derivation.json; it takes about
two minutes on one core. The other derivation (instances/NAME.png below ``--reference``) is no ground truth.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from bloodlib._files import package_data, write_json
from bloodlib.datasets import load
from bloodlib.datasets.registry import data_home
from bloodlib.derive import DeriveConfig, derive_instances
from bloodlib.evaluators.metrics import instance_iou, match
from bloodlib.io import read_instances
from bloodlib.smears import Smear

COMMAND = "python -m benchmarks.derivation"
MISSING = 0.05
SHIFT_PX = 8.0
PHANTOM_SHAPE = (480, 640)


@dataclass
class Tally:
    """Add up the matches of several images."""

    images: int = 0
    predicted: int = 0
    expected: int = 0
    tp50: int = 0
    tp75: int = 0
    dice_sum: float = 0.0
    count_error: int = 0
    seconds: float = 0.0

    def add(self, predicted: np.ndarray, target: np.ndarray, seconds: float) -> None:
        """Match one image's cells with what is expected there."""
        overlap = instance_iou(predicted, target)
        pairs = np.array(match(overlap, 0.5).pairs, dtype=int).reshape(-1, 2)
        matched = overlap[pairs[:, 0], pairs[:, 1]]
        self.images += 1
        self.predicted += overlap.shape[0]
        self.expected += overlap.shape[1]
        self.tp50 += len(pairs)
        self.tp75 += match(overlap, 0.75).tp
        self.dice_sum += float((2 * matched / (1 + matched)).sum())  # Dice from IoU
        self.count_error += abs(overlap.shape[0] - overlap.shape[1])
        self.seconds += seconds

    def scores(self) -> dict[str, float]:
        """Scores pooled over the images; Dice is the mean over cells matched at IoU 0.5."""
        both = max(self.predicted + self.expected, 1)
        return {
            "images": self.images,
            "cells_expected": self.expected,
            "cells_derived": self.predicted,
            "f1_50": round(2 * self.tp50 / both, 4),
            "f1_75": round(2 * self.tp75 / both, 4),
            "dice_matched": round(self.dice_sum / max(self.tp50, 1), 4),
            "count_error_per_image": round(self.count_error / max(self.images, 1), 2),
        }


def simulated_points(smear: Smear, rng: np.random.Generator) -> np.ndarray:
    """Place expert points as careless as they come on the cells of a smear with exact masks.

    Parameters
    ----------
    smear : Smear
    rng : numpy.random.Generator

    Returns
    -------
    int64 (k, 3)
        Column x, row y, class 0. As on Chula, cells cut by the border have none; of the others 5 % are missing,
        the rest are centroids shifted by a uniform draw from a disc of 8 px.
    """
    instances = smear.instances
    height, width = instances.shape
    size = np.bincount(instances.ravel(), minlength=smear.count + 1)
    rows, columns = np.indices(instances.shape)
    y = np.bincount(instances.ravel(), rows.ravel(), smear.count + 1) / np.maximum(size, 1)
    x = np.bincount(instances.ravel(), columns.ravel(), smear.count + 1) / np.maximum(size, 1)
    cut = np.unique(np.concatenate([instances[0], instances[-1], instances[:, 0], instances[:, -1]]))
    named = np.setdiff1d(np.arange(1, smear.count + 1), cut)
    named = named[rng.random(len(named)) >= MISSING]
    radius, angle = SHIFT_PX * np.sqrt(rng.random(len(named))), rng.uniform(0, 2 * np.pi, len(named))
    x = np.clip(np.round(x[named] + radius * np.cos(angle)), 0, width - 1)
    y = np.clip(np.round(y[named] + radius * np.sin(angle)), 0, height - 1)
    return np.stack([x, y, np.zeros_like(x)], axis=1).astype(np.int64)


def measure(
    smears: Iterable[Smear],
    target: Callable[[Smear], np.ndarray],
    points: Callable[[Smear], np.ndarray | None],
    config: DeriveConfig,
) -> tuple[dict, dict[str, dict]]:
    """Derive every smear's masks and compare: scores over all images, and by group."""
    whole, groups = Tally(), {}
    for smear in smears:
        given = points(smear)
        start = time.process_time()
        instances, _ = derive_instances(smear.image, given, config)
        seconds = time.process_time() - start
        for tally in (whole, groups.setdefault(smear.group, Tally())):
            tally.add(instances, target(smear), seconds)
    scores = whole.scores() | {"cpu_seconds_per_image": round(whole.seconds / max(whole.images, 1), 3)}
    return scores, {group: tally.scores() for group, tally in groups.items()}


def phantom(config: DeriveConfig, split: str = "test", seed: int = 0) -> dict:
    """Compare with the phantom's exact masks, with simulated points and without."""
    smears = load("phantom", split=split, shape=PHANTOM_SHAPE)
    rng = np.random.default_rng(seed)
    pointed, by_group = measure(smears, lambda s: s.instances, lambda s: simulated_points(s, rng), config)
    blind, _ = measure(smears, lambda s: s.instances, lambda s: None, config)
    return {
        "target": "exact masks of the phantom (rendered, not blood)",
        "split": split,
        "shape": list(PHANTOM_SHAPE),
        "points": f"cells not cut by the border, {MISSING:.0%} missing, shifted within {SHIFT_PX:g} px, seed {seed}",
        "with_points": pointed,
        "without_points": blind,
        "by_group": by_group,
    }


def chula(reference: Path, config: DeriveConfig) -> dict:
    """Compare with another derivation of the masks of Chula RBC-12."""
    smears = load("chula_rbc12")
    target = lambda smear: read_instances(reference / "instances" / f"{smear.name}.png")  # noqa: E731
    pointed, by_group = measure(smears, target, lambda s: s.points, config)
    blind, _ = measure(smears, target, lambda s: None, config)
    return {
        "target": "another derivation from the same images and points; agreement, not accuracy",
        "with_points": pointed,
        "without_points": blind,
        "by_group": by_group,
    }


def main() -> None:
    """Print both tables and store them."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0])
    parser.add_argument("--reference", type=Path, default=data_home() / "chula_rbc12_reference")
    parser.add_argument("--out", type=Path, default=package_data("results", "derivation.json"))
    arguments = parser.parse_args()
    config = DeriveConfig()
    result = {
        "command": COMMAND,
        "config": asdict(config),
        "phantom": phantom(config),
        "chula_rbc12": chula(arguments.reference, config),
        "versions": {name: version(name) for name in ("numpy", "opencv-python", "scikit-image", "scipy")},
    }
    for name in ("phantom", "chula_rbc12"):
        part = result[name]
        rows = {"with points": part["with_points"], "without points": part["without_points"], **part["by_group"]}
        print(f"\n{name}: {part['target']}")
        print(f"{'':>15} images  cells   F1@.5  F1@.75   Dice  count error")
        for label, row in rows.items():
            print(
                f"{label:>15} {row['images']:6d} {row['cells_expected']:6d}  {row['f1_50']:.4f}  {row['f1_75']:.4f} "
                f"{row['dice_matched']:.4f}  {row['count_error_per_image']:5.2f}"
            )
    write_json(arguments.out, result)


if __name__ == "__main__":
    main()
