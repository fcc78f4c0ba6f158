"""Whether a difference is more than chance: sign flips over seeds, Holm, the bootstrap over groups, detectability."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from scipy import stats

LEAST_SEEDS = 8  # ours: with fewer only intervals are reported; 8 is the first number with room for Holm over six
LEAST_FOR_P = 3  # ours: two signs can say nothing
MOST_SEEDS = 20  # ours: every sign pattern is visited, half a million at 20
ALPHA = 0.05  # ours, two-sided
POWER = 0.8  # ours
RESAMPLES = 2000  # ours
LEVEL = 0.95  # ours, of every interval
_DRAWS, _PATTERNS = 2000, 4096  # of a power by simulation, good to about 0.01 of it


def sign_flip(differences: Sequence[float]) -> float:
    """Test whether paired differences are symmetric around 0, exactly.

    Parameters
    ----------
    differences : sequence of float (seeds,)
        One mean difference per seed, all finite.

    Returns
    -------
    float in (0, 1]
        Two-sided p-value: the share of all 2ⁿ sign patterns whose |sum| is at least the observed one, of more than
        20 differences the share of a random sample of them, always the same, with the observed one.
        NaN for fewer than three seeds. n = 3 gives at least 0.25, n = 8 at least 2/256 = 0.0078.

    Raises
    ------
    ValueError
        For a difference that is no number.

    Notes
    -----
    Fisher 1935, The Design of Experiments, §21. The test speaks about seeds on *these* test images
    and painters; about other slides speaks the interval of `resampled_means`. Book: chapter 11.

    Examples
    --------
    >>> sign_flip([0.1, 0.2, 0.3]), sign_flip([0.1, -0.2, 0.3])
    (0.25, 0.75)
    """
    values = np.asarray(differences, float)
    if not np.isfinite(values).all():
        raise ValueError(f"differences are {values.tolist()}; all must be finite: leave out seeds without a score")
    if len(values) < LEAST_FOR_P:
        return float("nan")
    if len(values) > MOST_SEEDS:
        signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(_PATTERNS, len(values)))
        signs[0] = 1.0
        sums = signs @ values
        return float(np.mean(np.abs(sums) >= abs(values.sum()) - 1e-9 * np.abs(values).sum()))
    sums = values[:1]  # patterns come in pairs of opposite sign and equal |sum|: half of them is enough
    for value in values[1:]:
        sums = np.concatenate([sums + value, sums - value])
    observed = abs(values.sum())
    return float(np.mean(np.abs(sums) >= observed - 1e-9 * np.abs(values).sum()))  # equal up to rounding counts


def holm(p: Sequence[float]) -> np.ndarray:
    """Adjust p-values of one family for their number, step-down.

    Parameters
    ----------
    p : sequence of float (m,)
        NaN where there is no test; such entries stay NaN and do not count.

    Returns
    -------
    float64 (m,)

    Notes
    -----
    Sorted p₍₁₎ ≤ … ≤ p₍ₖ₎ become max over i ≤ j of min(1, (k − i + 1)·p₍ᵢ₎). Holm 1979, "A simple
    sequentially rejective multiple test procedure", Scand. J. Statist. 6:65–70.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p, float)
    adjusted = np.full(values.shape, np.nan)
    tested = np.flatnonzero(np.isfinite(values))
    order = tested[np.argsort(values[tested], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * values[order]), 1.0)
    return adjusted


def resampled_means(
    values: np.ndarray, groups: np.ndarray, rng: np.random.Generator, resamples: int = RESAMPLES
) -> np.ndarray:
    """Draw groups with replacement, then images within each, and take the mean again and again.

    Parameters
    ----------
    values : float (images,)
        Seeds are averaged beforehand: they all saw the same images, so a draw is the same for all.
    groups : (images,)
        Group (slide) of each image.
    rng : numpy.random.Generator
    resamples : int

    Returns
    -------
    float64 (resamples,)
        Means over images. Their standard deviation is the standard error.

    Notes
    -----
    Davison & Hinkley 1997, Bootstrap Methods and their Application, §3.8. For G groups of m images
    the variance is (V + W/m)/G with V the variance of the group means and W the mean variance within
    groups (both with divisor n). For few groups that is too small, (G − 1)/G of the true one, where groups differ
    more than the images in them, and too large where it is the images that differ, by up to (G − 1)/G + (m − 1)/m.
    """
    values = np.asarray(values, float)
    _, position, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    drawn = rng.integers(len(sizes), size=(resamples, len(sizes)))  # the group that each place of a draw takes
    sums = np.empty(drawn.shape)
    for k, size in enumerate(sizes):
        here = drawn == k
        images = rng.integers(size, size=(int(here.sum()), size))
        sums[here] = values[position == k][images].sum(axis=1)
    return sums.sum(axis=1) / sizes[drawn].sum(axis=1)  # (resamples, groups) -> (resamples,)


def interval(draws: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """Give the percentile interval of bootstrap draws."""
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2]).tolist()
    return low, high


def smallest_detectable(se: float, units: int, alpha: float = ALPHA, power: float = POWER) -> float:
    """Say which true difference a two-sided test would find often enough.

    Parameters
    ----------
    se : float
        Standard error of the mean difference.
    units : int
        Independent units that it comes from: groups, or seeds.
    alpha, power : float in (0, 1)

    Returns
    -------
    float
        (t₁₋α⁄₂ + t_power)·se with units − 1 degrees of freedom; NaN for fewer than two units.

    Notes
    -----
    Bloom 1995, "Minimum detectable effects", Evaluation Review 19:547–556. For a single test by t, where nothing is
    adjusted; `smallest_by_flips` is the same for the test that decides here.

    Examples
    --------
    >>> round(smallest_detectable(0.01, 7), 4)
    0.0335
    """
    if units < 2:
        return float("nan")
    return float((stats.t.ppf(1 - alpha / 2, units - 1) + stats.t.ppf(power, units - 1)) * se)


def smallest_by_flips(std: float, seeds: int, tests: int = 1, alpha: float = ALPHA, power: float = POWER) -> float:
    """Say which true difference sign flips over seeds would find often enough, as the first of several by Holm.

    Parameters
    ----------
    std : float
        Standard deviation between seeds of the difference.
    seeds : int
    tests : int
        In the family: the first step of Holm asks for a p of ``alpha / tests``.
    alpha, power : float in (0, 1)

    Returns
    -------
    float
        Infinite where so few seeds can give no such p; NaN for fewer than two.

    Notes
    -----
    By simulation of normal differences, always the same ones. Of few seeds nearly all patterns of signs count: with
    eight and six tests all must have one sign, and the answer is 1.9 standard deviations, the d of Φ(d)⁸ = 0.8.

    Examples
    --------
    >>> round(smallest_by_flips(0.01, 8, 6), 3), smallest_by_flips(0.01, 7, 6)
    (0.019, inf)
    """
    return float("nan") if seeds < 2 else std * _least_shift(seeds, alpha / tests, power)


@cache
def _least_shift(seeds: int, alpha: float, power: float) -> float:
    """Give the true difference, in standard deviations between seeds, whose p is at most `alpha` so often."""
    if 2.0 ** (1 - seeds) > alpha:
        return float("inf")
    rng = np.random.default_rng(0)
    drawn = rng.standard_normal((_DRAWS, seeds))
    # One of each two opposite patterns, or a sample of them; the first is what was observed.
    every = 2 ** (seeds - 1) <= _PATTERNS
    bits = (
        np.arange(2 ** (seeds - 1))[:, None] >> np.arange(seeds) & 1
        if every
        else rng.integers(2, size=(_PATTERNS, seeds))
    )
    signs = 1 - 2 * bits  # (patterns, seeds)
    signs[0] = 1
    sums, weights = drawn @ signs.T, signs.sum(axis=1)  # (draws, patterns), (patterns,)

    def found(shift: float) -> float:
        flipped = np.abs(sums + shift * weights)
        return float(np.mean((flipped >= flipped[:, :1] - 1e-9).mean(axis=1) <= alpha))

    low, high = 0.0, 1.0
    while found(high) < power:
        low, high = high, 2 * high
    for _ in range(10):
        middle = (low + high) / 2
        low, high = (low, middle) if found(middle) >= power else (middle, high)
    return high
