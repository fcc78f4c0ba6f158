"""What stored runs say: cells of the table, and differences between arms with intervals and tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from .config import TASKS
from .painters import PainterSpread, painter_spread
from .significance import (
    LEAST_SEEDS,
    LEVEL,
    RESAMPLES,
    holm,
    interval,
    resampled_means,
    sign_flip,
    smallest_by_flips,
    smallest_detectable,
)
from .stored_scores import IN_RECORD, LOWER_IS_BETTER, Scored, by_image, painter_of
from .tasks import MAIN_SCORE

PRIMARY = (("RD+SD+aug", "RD+aug"), ("SD", "RD"))  # fixed beforehand: adds to augmentation? replaces?
NAN = float("nan")


class Cell(NamedTuple):
    """One cell of a table: a score on test, mean over the seeds that were run."""

    mean: float
    low: float  # interval over test groups, then images
    high: float
    seeds: int
    runs: tuple[dict[str, Any], ...] = ()


class GroupEffect(NamedTuple):
    """A mean difference within one test group (slide)."""

    group: str
    mean: float
    images: int


class Contrast(NamedTuple):
    """A paired difference between two arms on the same seeds and test images; NaN: not to be had."""

    mean: float
    low: float  # interval over groups, then images (of images alone where there is one group); NaN below two seeds
    high: float
    seeds: int
    groups: int
    images: int
    se: float = NAN  # standard deviation of the bootstrap means
    p: float = NAN  # sign flips over seeds; NaN below three seeds
    p_holm: float = NAN  # only for the primary contrasts, which are the family
    smallest: float = NAN  # smallest detectable difference, by test and by interval with a power of 0.8 each
    score: str = ""
    dataset: str = ""
    by_seed: Mapping[int, float] = MappingProxyType({})
    by_group: tuple[GroupEffect, ...] = ()
    painters: PainterSpread | None = None  # None where no painter served the first arm
    mixed: int = 0  # pairs whose two runs are not known to be of one kind of processor and version of torch
    of_sets: float = NAN  # the same mean of the records' set scores: AP50 over all boxes at once

    @property
    def gain(self) -> float:
        """The mean difference, positive where the first arm does better."""
        return -self.mean if self.score in LOWER_IS_BETTER else self.mean

    @property
    def straddles(self) -> bool:
        """Whether the interval holds 0 (or there is none)."""
        return not (self.low > 0 or self.high < 0)


Contrasts = Mapping[tuple[str, str, str], Contrast]  # by task, arm and the arm it is compared with


def cell(
    runs: Sequence[dict[str, Any]],
    task: str,
    arm: str,
    way: str = "on_validation",
    score: str | None = None,
    rng: np.random.Generator | None = None,
) -> Cell | None:
    """Gather one cell from runs of one data set and profile; None where no such run is stored.

    Parameters
    ----------
    runs : sequence of dict
        As `records.load_runs` gives them.
    task, arm : str
    way : {"on_validation", "on_test"}
        How the checkpoint was chosen.
    score : str, optional
        See `stored_scores.by_image`; the task's main score where left out.
    rng : numpy.random.Generator, optional
        For the interval; one of seed 0 where left out, so that a table is the same in every build.

    Returns
    -------
    Cell or None

    Notes
    -----
    The mean is that of the records' set scores. AP of a set is over all its boxes at once, which the
    stored scores of single images cannot give again; its interval is that of the mean over images,
    moved to the set's AP and cut at 0 and 1.
    """
    found = by_image(runs, task, arm, score, way)
    if found is None:
        return None
    score = score or MAIN_SCORE[task]
    mean = float(np.mean([r["selected"][way]["test"][IN_RECORD.get(score, score)] for r in found.runs]))
    kept = np.isfinite(found.values).all(axis=0)
    values = found.values[:, kept].mean(axis=0)  # (runs, images) -> (images,)
    rng = rng or np.random.default_rng(0)
    moved = resampled_means(values, found.groups[kept], rng) + mean - values.mean()
    low, high = interval(np.clip(moved, 0, None if score in LOWER_IS_BETTER else 1))
    return Cell(mean, low, high, len(found.runs), found.runs)


def contrast(
    runs: Sequence[dict[str, Any]],
    task: str,
    arm: str,
    against: str,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    score: str | None = None,
) -> Contrast | None:
    """Estimate how much higher one arm scores than another on the same seeds and test images.

    Parameters
    ----------
    runs : sequence of dict
        Of one data set and profile.
    task, arm, against : str
        The difference is arm − against, in the score of each image.
    rng : numpy.random.Generator
    resamples : int
        Bootstrap draws.
    level : float
        Of the percentile interval.
    score : str, optional
        See `stored_scores.by_image`; the task's main score where left out.

    Returns
    -------
    Contrast or None
        None where no seed was run in both arms under one configuration on one kind of device,
        or detectors with one backbone.

    Notes
    -----
    Runs are paired where seed, configuration, kind of device, number format and the backbone that
    detectors start from agree; of several configurations the one with most pairs counts, so that an
    arm is never compared with one that trained longer or began with other weights, nor differences
    between machines taken for differences between arms. Processors of two makes, or two versions of
    torch, may meet in a pair, since old records name no processor: ``mixed`` counts those that may have.

    A draw takes test groups (slides) with replacement, then images within each, the same ones for
    every seed since all seeds saw the same images; seeds are averaged. For detection the score of an
    image is its own AP50, so the mean of differences need not equal the difference of two cells,
    whose AP50 is over all boxes at once; that of the same pairs is ``of_sets``. Two
    seeds are the least for an interval; it speaks about
    other slides, and the sign-flip test about other seeds.

    A claim needs both, so the smallest detectable difference is the larger of two: that of
    `smallest_detectable` with the bootstrap's error and groups − 1 degrees of freedom, and the same
    with the seeds' error (standard deviation / √n) and seeds − 1; `primary` puts the test that decides
    there in place of the second. Each is found in 80 of 100 trials; where the two are alike, both at once in 60 to
    80. Book: chapter 11.
    """
    first, second = by_image(runs, task, arm, score), by_image(runs, task, against, score)
    if first is None or second is None:
        return None
    pairs = _pairs(first, second)
    if not pairs:
        return None
    if first.names != second.names:
        raise ValueError(f"{task}: {arm} and {against} were scored on other test images; recompute one of them")
    difference = np.array([first.values[k] - second.values[j] for k, j in pairs])  # (seeds, images)
    kept = np.isfinite(difference).all(axis=0)
    if not kept.any():
        return None
    difference, labels = difference[:, kept], first.groups[kept]
    per_image, per_seed = difference.mean(axis=0), difference.mean(axis=1)  # (seeds, images) -> (images,), (seeds,)
    served = [first.runs[k] for k, _ in pairs]
    by_group = tuple(
        GroupEffect(str(name), float(per_image[labels == name].mean()), int((labels == name).sum()))
        for name in np.unique(labels)
    )
    low = high = se = smallest = NAN
    if len(pairs) >= 2:
        draws = resampled_means(per_image, labels, rng, resamples)
        (low, high), se = interval(draws, level), float(draws.std(ddof=1))
        se_seeds = float(per_seed.std(ddof=1)) / len(pairs) ** 0.5
        of_groups, of_seeds = smallest_detectable(se, len(by_group)), smallest_detectable(se_seeds, len(pairs))
        smallest = float(np.maximum(of_groups, of_seeds))  # NaN where either is: one slide shows nothing of others
    return Contrast(
        float(per_image.mean()),
        low,
        high,
        len(pairs),
        len(by_group),
        len(per_image),
        se,
        sign_flip(per_seed),
        smallest=smallest,
        score=score or MAIN_SCORE[task],
        dataset=served[0]["dataset"],
        by_seed={r["seed"]: float(value) for r, value in zip(served, per_seed, strict=True)},
        by_group=by_group,
        painters=_painters(served, per_seed),
        mixed=sum(_unlike(first.runs[k], second.runs[j]) for k, j in pairs),
        of_sets=float(
            np.mean([_of_set(first.runs[k], task, score) - _of_set(second.runs[j], task, score) for k, j in pairs])
        ),
    )


def _of_set(run: Mapping[str, Any], task: str, score: str | None) -> float:
    """Give the score that a record has for the whole test set; NaN where it has none."""
    score = score or MAIN_SCORE[task]
    value = run["selected"]["on_validation"]["test"].get(IN_RECORD.get(score, score))
    return NAN if value is None else value


def _pairs(first: Scored, second: Scored) -> list[tuple[int, int]]:
    """Pair the rows of two arms by configuration, seed and what they were computed on, all of one configuration."""
    places = {_pairing(r): k for k, r in enumerate(second.runs)}
    keys = [_pairing(r) for r in first.runs]
    counts = Counter(key[0] for key in keys if key in places)
    return [(k, places[key]) for k, key in enumerate(keys) if key in places and key[0] == counts.most_common(1)[0][0]]


def _pairing(run: Mapping[str, Any]) -> tuple[str | None, int, str, str, str | None]:
    """Give what two runs must share: "cpu, 2 threads, bfloat16" is "cpu" and "bfloat16", whatever the threads."""
    device = run.get("device", "").split(", ")
    return run.get("config_hash"), run["seed"], device[0], device[-1], run.get("backbone")


def _unlike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Say whether two runs of one kind of device may round otherwise; old records name no processor."""
    torch = {r.get("versions", {}).get("torch") for r in (one, other)}
    processors = {r.get("processor") for r in (one, other)}
    seen = {r.get("split", {}).get("test", {}).get("sha256") for r in (one, other)}
    return len(torch) > 1 or len(processors) > 1 or len(seen) > 1


def _painters(runs: Sequence[dict[str, Any]], differences: np.ndarray) -> PainterSpread | None:
    if any(r.get("painter") is None for r in runs):
        return None
    return painter_spread([painter_of(r) for r in runs], differences)


def primary(
    runs: Sequence[dict[str, Any]], rng: np.random.Generator, score: str | None = None
) -> dict[tuple[str, str, str], Contrast]:
    """Estimate the two primary contrasts of every task that has runs for them.

    Parameters
    ----------
    runs : sequence of dict
        Of one data set and profile.
    rng : numpy.random.Generator
    score : str, optional
        Another score than each task's main one. Its differences are description: they get no Holm p.

    Returns
    -------
    dict
        Contrast by task, arm and the arm it is compared with. The family of Holm's adjustment is all of them
        that have a p-value. Where there are seeds enough to be tested, the smallest detectable difference is that of
        Holm's first step: both the test and the interval find it with the wanted power, and smaller ones less often.
    """
    found = {(t, a, b): contrast(runs, t, a, b, rng, score=score) for t in TASKS for a, b in PRIMARY}
    kept = {key: value for key, value in found.items() if value}
    if score is not None:
        return kept
    raw = [c.p for c in kept.values()]
    tests, adjusted = int(np.isfinite(raw).sum()), holm(raw).tolist()
    return {
        key: c._replace(p_holm=p, smallest=_smallest(c, tests))
        for (key, c), p in zip(kept.items(), adjusted, strict=True)
    }


def _smallest(c: Contrast, tests: int) -> float:
    """Give the smallest difference that the test of a primary contrast and its interval can find."""
    if c.seeds < LEAST_SEEDS:
        return c.smallest
    std = float(np.std(list(c.by_seed.values()), ddof=1))
    return float(np.maximum(smallest_detectable(c.se, c.groups), smallest_by_flips(std, c.seeds, tests)))


def controls(
    runs: Sequence[dict[str, Any]], reference: Mapping[str, str], rng: np.random.Generator, score: str | None = None
) -> dict[tuple[str, str, str], Contrast]:
    """Estimate how every control differs from its reference arm, for description: no Holm p.

    Parameters
    ----------
    runs : sequence of dict
        Of one data set and profile.
    reference : mapping
        ``arms.REFERENCE``: the arm that each control is compared with.
    rng : numpy.random.Generator
    score : str, optional
    """
    found = {(t, a, b): contrast(runs, t, a, b, rng, score=score) for t in TASKS for a, b in reference.items()}
    return {key: value for key, value in found.items() if value}
