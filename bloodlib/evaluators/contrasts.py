"""What stored runs say: cells of the table, and differences between arms with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .tasks import MAIN_SCORE

PRIMARY = (("RD+SD+aug", "RD+aug"), ("SD", "RD"))  # fixed beforehand: adds to augmentation? replaces?


class Cell(NamedTuple):
    """One cell of the table: the main score on test over the seeds that were run."""

    mean: float
    low: float  # smallest over seeds
    high: float  # greatest over seeds
    seeds: int


class Contrast(NamedTuple):
    """A paired difference between two arms; ``low`` and ``high`` are NaN where there are too few seeds."""

    mean: float
    low: float
    high: float
    seeds: int
    groups: int
    images: int


def cell(runs: Sequence[dict[str, Any]], task: str, arm: str, way: str = "on_validation") -> Cell | None:
    """Gather one cell from runs of one data set and profile; None where no such run is stored.

    Parameters
    ----------
    runs : sequence of dict
        As `protocol.load_runs` gives them.
    task, arm : str
    way : {"on_validation", "on_test"}
        How the checkpoint was chosen.
    """
    main = MAIN_SCORE[task]
    values = [r["selected"][way]["test"][main] for r in _of_one_set(runs) if (r["task"], r["arm"]) == (task, arm)]
    return Cell(float(np.mean(values)), min(values), max(values), len(values)) if values else None


def contrast(
    runs: Sequence[dict[str, Any]],
    task: str,
    arm: str,
    against: str,
    rng: np.random.Generator,
    resamples: int = 2000,
    level: float = 0.95,
) -> Contrast | None:
    """Estimate how much better one arm does than another on the same seeds and test images.

    Parameters
    ----------
    runs : sequence of dict
        Of one data set and profile.
    task, arm, against : str
        The difference is arm − against, in the main score of each image.
    rng : numpy.random.Generator
    resamples : int
        Bootstrap draws.
    level : float
        Of the percentile interval.

    Returns
    -------
    Contrast or None
        None where no seed was run in both arms.

    Notes
    -----
    A draw takes test groups (slides) with replacement, then images within each, the same ones for
    every seed since all seeds saw the same images; seeds are averaged. For detection the score of an
    image is its own AP50, so the mean of differences need not equal the difference of two cells,
    whose AP50 is over all boxes at once. Two seeds are the least for an interval; with so few it
    speaks about other slides, hardly about other seeds. Book: chapter 11.
    """
    main = MAIN_SCORE[task]
    by_arm: dict[str, dict[int, dict[str, dict]]] = {arm: {}, against: {}}
    for r in _of_one_set(runs):
        if r["task"] == task and r["arm"] in by_arm:
            by_arm[r["arm"]][r["seed"]] = {row["name"]: row for row in r["per_image"]["on_validation"]}
    seeds = sorted(by_arm[arm].keys() & by_arm[against].keys())
    if not seeds:
        return None
    rows = by_arm[arm][seeds[0]]
    names = [name for name in rows if rows[name][main] is not None]
    difference = np.array([[by_arm[arm][s][n][main] - by_arm[against][s][n][main] for n in names] for s in seeds])
    by_image = difference.mean(axis=0)  # (seeds, images) -> (images,)
    labels = np.array([rows[name]["group"] for name in names])
    groups = [by_image[labels == group] for group in np.unique(labels)]
    low = high = float("nan")
    if len(seeds) >= 2:
        means = [_resampled_mean(groups, rng) for _ in range(resamples)]
        low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2]).tolist()
    return Contrast(float(by_image.mean()), low, high, len(seeds), len(groups), len(names))


def _resampled_mean(groups: list[np.ndarray], rng: np.random.Generator) -> float:
    drawn = [rng.choice(groups[k], len(groups[k])) for k in rng.integers(len(groups), size=len(groups))]
    return float(np.concatenate(drawn).mean())


def _of_one_set(runs: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
    kinds = {(r["dataset"], r["profile"]) for r in runs}
    if len(kinds) > 1:
        raise ValueError(f"runs of {sorted(kinds)} are mixed; results of different sets never share a column")
    return runs
