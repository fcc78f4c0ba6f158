"""Choose a layout's constants so that masks lie as real cells do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import qmc

from ..realism import Group, between_images, by_group, distance
from ..smears import Smear
from .constants import LayoutConstants
from .excitation import one_of

__all__ = ["FREEDOMS", "FitConfig", "LayoutFit", "constants_at", "fit_layout", "fit_slides", "layout_distances"]

FREEDOMS = ("eq3", "snap", "rim")  # what may be chosen, each with what stands before it
_SIGMA, _SEEDING = (0.4, 3.0), (1.0, 60.0)  # ours: ranges; 60 times the paper's seeds are more than all cells
_REACH, _RIM = (0.1, 1.0), (0.0, 0.08)  # ours, in cell sizes
_UNSNAPPED = 0.1  # share of the range that stands for no snapping at all
_STEP, _PARENTS = 0.12, 4  # ours: the finer search steps so far, in shares of the ranges, from so many of the best
AFRESH = 2  # added to the seed: random numbers for what was found; the search uses + 0, the choice + 1
_FREE = {"eq3": slice(0, 3), "snap": slice(3, 5), "rim": slice(5, 7)}  # coordinates that each freedom adds


@dataclass(frozen=True)
class FitConfig:
    """Configure `fit_layout`; all of it is ours."""

    freedom: str = "rim"  # "eq3": σ, core and seeds; "snap": contact snapping too; "rim": background around cells too
    coarse: int = 16  # for each freedom: values tried over the whole range of what it adds
    fine: int = 16  # for each freedom: tried near the best so far
    finalists: int = 3  # for each freedom: measured again, with other random numbers
    smears: int = 3  # of each group, made again for each try
    repeats: int = 3  # as many times more for finalists
    gap_px: float = 2.0  # cells with at most this much background between them count as touching
    seed: int = 0

    def __post_init__(self) -> None:
        one_of("freedom", self.freedom, FREEDOMS)
        for name in ("coarse", "finalists", "smears", "repeats"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)!r}: at least 1 is needed")


@dataclass(frozen=True)
class LayoutFit:
    """Hold constants that were found, and how far they are from the smears that they were found on.

    ``distances`` and ``published`` give for each group, and for their mean as "all", the distance of the constants
    and of the paper's, measured with the same random numbers, which neither the search nor the choice among its
    finalists had used. ``stages`` gives the best of each freedom, "published" being the paper's constants, with the
    distance by which it was chosen: the smallest of several, so a little too small.
    """

    constants: LayoutConstants
    distances: Mapping[str, float]
    published: Mapping[str, float]
    stages: Mapping[str, tuple[LayoutConstants, float]]
    tried: int


def constants_at(position: np.ndarray) -> LayoutConstants:
    """Turn a point of the unit cube into constants.

    Parameters
    ----------
    position : float (7,)
        In [0, 1]: core, σ, seeding, snap, its reach, rim, its share; no snapping and no rim at 0.

    Examples
    --------
    >>> found = constants_at(np.array([0.5, 0.5, 0.5, 0.5, 0.5, 0, 0]))
    >>> found.core, round(found.sigma, 2), round(found.seeding, 1), round(found.snap, 2), found.rim
    ('zero', 1.1, 7.7, 0.44, 0.0)
    """
    core, sigma, seeding, snap, reach, rim, share = (float(value) for value in position)
    return LayoutConstants(
        core="inverted" if core < 0.5 else "zero",
        sigma=_SIGMA[0] * (_SIGMA[1] / _SIGMA[0]) ** sigma,
        seeding=_SEEDING[0] * (_SEEDING[1] / _SEEDING[0]) ** seeding,
        snap=max(0.0, (snap - _UNSNAPPED) / (1 - _UNSNAPPED)),
        snap_reach=_REACH[0] + (_REACH[1] - _REACH[0]) * reach,
        rim=_RIM[0] + (_RIM[1] - _RIM[0]) * rim,
        rim_share=share,
    )


def fit_layout(
    smears: Iterable[Smear],
    config: FitConfig | None = None,
    tell: Callable[[str], None] | None = None,
    spread: np.ndarray | None = None,
) -> LayoutFit:
    """Choose the constants whose masks lie most like the cells of these smears.

    Parameters
    ----------
    smears : iterable of Smear
        Those to fit on only, with their groups.
    config : FitConfig, optional
    tell : callable, optional
        Is told in a line of text how the search goes on.
    spread : float (38,), optional
        From `bloodlib.realism.between_images`; of these smears if not given: then a group needs two of them.

    Returns
    -------
    LayoutFit

    Notes
    -----
    Simulated minimum distance: for every group the constants make counterparts with its own cells and counts, and
    the mean over groups of `bloodlib.realism.distance` is made small — over g(r), the nearest neighbours, the
    touching share and the cluster size. The freedoms are added one after another: first σ, core and seeding; then
    snapping; then rims. For each, values of what it adds are tried all over their range, with the rest near the best
    so far, then small steps from the best; every try uses the same random numbers, so that they differ by
    the constants alone. The best few are measured again with other numbers, since the best of many is
    partly lucky, and the best of those is taken; the paper's constants take part. What was taken is measured once
    more, since the best of a few is lucky too. Book: chapter 04.
    """
    config = config or FitConfig()
    groups = by_group(smears, config.gap_px)
    return _search(groups, between_images(groups.values()) if spread is None else spread, config, tell)


def fit_slides(
    smears: Iterable[Smear], config: FitConfig | None = None, tell: Callable[[str], None] | None = None
) -> dict[str, LayoutFit]:
    """Choose constants as `fit_layout` does, but for each slide (or appearance group) its own.

    Notes
    -----
    Slides differ in how their cells lie, which no single choice of constants can show. To make a new slide, take
    those of one of these slides, at random. Book: chapter 04.
    """
    config = config or FitConfig()
    groups = by_group(smears, config.gap_px)
    spread = between_images(groups.values())
    return {name: _search({name: group}, spread, config, tell) for name, group in groups.items()}


def layout_distances(
    groups: Mapping[str, Group], constants: LayoutConstants, spread: np.ndarray, smears: int, number: int, seed: int
) -> dict[str, float]:
    """Measure how far masks with these constants are from some groups.

    Parameters
    ----------
    groups : mapping of str to Group
    constants : LayoutConstants
    spread : float (38,)
        From `bloodlib.realism.between_images`.
    smears, number, seed : int
        Smears of each group made again, how many times, and with which random numbers.

    Returns
    -------
    dict
        For each group its `bloodlib.realism.distance` over all measures, and the mean of those as "all".
    """
    found = {}
    for name, group in groups.items():
        made = group.simulate(constants, number, seed, smears)
        found[name] = distance(group.observed, made.mean, spread)["all"]
    return {**found, "all": float(np.mean(list(found.values())))}


def _search(
    groups: Mapping[str, Group], spread: np.ndarray, config: FitConfig, tell: Callable[[str], None] | None
) -> LayoutFit:
    rng = np.random.default_rng(config.seed)

    def score(constants: LayoutConstants, number: int, seed: int) -> dict[str, float]:
        return layout_distances(groups, constants, spread, config.smears, number, seed)

    tried: list[tuple[float, np.ndarray]] = []

    def attempt(position: np.ndarray) -> None:
        tried.append((score(constants_at(position), 1, config.seed)["all"], position))
        if tell:
            tell(f"{len(tried)} tried, distance {tried[-1][0]:.2f}, best {min(d for d, _ in tried):.2f}")

    def best(number: int) -> list[np.ndarray]:
        return [position for _, position in sorted(tried, key=lambda one: one[0])[:number]]

    published = score(LayoutConstants(), config.repeats, config.seed + 1)
    measured = [(published["all"], LayoutConstants())]
    stages = {"published": (LayoutConstants(), published["all"])}
    for freedom in FREEDOMS[: FREEDOMS.index(config.freedom) + 1]:
        added = _FREE[freedom]
        for values in qmc.Halton(added.stop - added.start, seed=rng).random(config.coarse):
            position = _step(rng, best(1)[0], added.start) if tried else np.zeros(7)
            position[added] = values
            attempt(position)
        for _ in range(config.fine):
            near = best(_PARENTS)
            attempt(_step(rng, near[int(rng.integers(len(near)))], added.stop))
        final = [constants_at(position) for position in best(config.finalists)]
        again = [(score(constants, config.repeats, config.seed + 1)["all"], constants) for constants in final]
        measured += again
        nearest, constants = min(again, key=lambda one: one[0])
        stages[freedom] = (constants, nearest)
    _, constants = min(measured, key=lambda one: one[0])
    afresh = [score(each, config.repeats, config.seed + AFRESH) for each in (constants, LayoutConstants())]
    return LayoutFit(constants, *afresh, stages, len(tried))


def _step(rng: np.random.Generator, position: np.ndarray, free: int) -> np.ndarray:
    """Move the first so many coordinates a little, mirrored at 0 and 1."""
    moved = position.copy()
    moved[:free] = 1 - np.abs(1 - np.abs(moved[:free] + rng.normal(0, _STEP, free)))
    return moved
