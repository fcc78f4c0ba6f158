"""How much a difference depends on who painted the synthetic smears."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class PainterEffect(NamedTuple):
    """Hold the mean difference over the seeds that one painter served."""

    painter: str
    mean: float
    seeds: int


class PainterSpread(NamedTuple):
    """Hold what painters of different seeds do to a difference."""

    by_painter: tuple[PainterEffect, ...]
    sd_of_means: float  # of the painters' means, which also differ by their seeds; NaN for one painter
    sd_between: float  # with the seeds' share taken off; NaN for one painter, or one seed each


def painter_spread(painters: Sequence[str], differences: Sequence[float]) -> PainterSpread:
    """Split paired differences by the painter of the first arm.

    Parameters
    ----------
    painters : sequence of str (seeds,)
        Fingerprint of the painter that served each seed.
    differences : sequence of float (seeds,)

    Returns
    -------
    PainterSpread

    Notes
    -----
    One-way random effects: σ²_between = max(0, (MS_between − MS_within)/n₀) with
    n₀ = (N − Σnᵢ²/N)/(k − 1) for k painters of nᵢ seeds, N in all (Searle, Casella & McCulloch 1992,
    Variance Components, §3.6). With three painters it is a rough number. Book: chapter 11.

    Examples
    --------
    >>> painter_spread(["a", "b", "a", "b"], [0.1, 0.3, 0.1, 0.3]).by_painter[1]
    PainterEffect(painter='b', mean=0.3, seeds=2)
    """
    values, labels = np.asarray(differences, float), np.asarray(painters)
    parts = {str(name): values[labels == name] for name in np.unique(labels)}
    effects = tuple(PainterEffect(name, float(part.mean()), len(part)) for name, part in parts.items())
    count, total = len(parts), len(values)
    sd_of_means = sd_between = float("nan")
    if count >= 2:
        sizes, means = np.array([e.seeds for e in effects]), np.array([e.mean for e in effects])
        sd_of_means = float(means.std(ddof=1))
        if total > count:
            between = (sizes * (means - values.mean()) ** 2).sum() / (count - 1)
            within = sum(((part - part.mean()) ** 2).sum() for part in parts.values()) / (total - count)
            size = (total - (sizes**2).sum() / total) / (count - 1)
            sd_between = float(max(between - within, 0.0) / size) ** 0.5
    return PainterSpread(effects, sd_of_means, sd_between)
