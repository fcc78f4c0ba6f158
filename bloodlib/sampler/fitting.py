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

__all__ = ["FREEDOMS", "FitConfig", "LayoutFit", "constants_at", "fit_layout", "fit_slides"]

FREEDOMS = ("eq3", "snap", "rim")  # what may be chosen, each with what stands before it
_SIGMA, _SEEDING = (0.4, 3.0), (1.0, 60.0)  # ours: ranges; 60 times the paper's seeds are more than all cells
_REACH, _RIM = (0.1, 1.0), (0.0, 0.08)  # ours, in cell sizes
_UNSNAPPED = 0.1  # share of the range that stands for no snapping at all
_STEP, _PARENTS = 0.12, 4  # ours: the finer search steps so far, in shares of the ranges, from so many of the best
_DIMENSIONS = 7


@dataclass(frozen=True)
class FitConfig:
    """Configure `fit_layout`; all of it is ours."""

    freedom: str = "rim"  # "eq3": σ, core and seeds; "snap": contact snapping too; "rim": background around cells too
    coarse: int = 48  # constants tried over the whole range
    fine: int = 32  # tried near the best so far
    finalists: int = 4  # of them measured again, with other random numbers
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
    and of the paper's, measured with the same random numbers, which the search had not used.
    """

    constants: LayoutConstants
    distances: Mapping[str, float]
    published: Mapping[str, float]
    tried: int


def constants_at(position: np.ndarray, freedom: str = "rim") -> LayoutConstants:
    """Turn a point of the unit cube into constants.

    Parameters
    ----------
    position : float (7,)
        In [0, 1]: core, σ, seeding, snap, its reach, rim, its share; those that are not free are not looked at.
    freedom : {"eq3", "snap", "rim"}

    Examples
    --------
    >>> found = constants_at(np.full(7, 0.5), "snap")
    >>> found.core, round(found.sigma, 2), round(found.seeding, 1), round(found.snap, 2), found.rim
    ('zero', 1.1, 7.7, 0.44, 0.0)
    """
    sigma = _SIGMA[0] * (_SIGMA[1] / _SIGMA[0]) ** position[1]
    seeding = _SEEDING[0] * (_SEEDING[1] / _SEEDING[0]) ** position[2]
    more = {}
    if freedom in ("snap", "rim"):
        more["snap"] = float(max(0.0, (position[3] - _UNSNAPPED) / (1 - _UNSNAPPED)))
        more["snap_reach"] = float(_REACH[0] + (_REACH[1] - _REACH[0]) * position[4])
    if freedom == "rim":
        more["rim"] = float(_RIM[0] + (_RIM[1] - _RIM[0]) * position[5])
        more["rim_share"] = float(position[6])
    core = "inverted" if position[0] < 0.5 else "zero"
    return LayoutConstants(core=core, sigma=float(sigma), seeding=float(seeding), **more)


def fit_layout(
    smears: Iterable[Smear], config: FitConfig | None = None, tell: Callable[[str], None] | None = None
) -> LayoutFit:
    """Choose the constants whose masks lie most like the cells of these smears.

    Parameters
    ----------
    smears : iterable of Smear
        Those to fit on only, with their groups; at least one group needs two smears.
    config : FitConfig, optional
    tell : callable, optional
        Is told in a line of text how the search goes on.

    Returns
    -------
    LayoutFit

    Notes
    -----
    Simulated minimum distance: for every group the constants make counterparts with its own cells and counts, and
    the mean over groups of `bloodlib.realism.distance` is made small — over g(r), the nearest neighbours, the
    touching share and the cluster size. Tried are the paper's constants, a space-filling set over the whole
    range, then steps from the best so far; every try uses the same random numbers, so that they differ by the
    constants alone. The best few are measured again with other numbers, since the best of many
    is partly lucky, and the best of those is taken. Book: chapter 04.
    """
    config = config or FitConfig()
    groups = by_group(smears, config.gap_px)
    return _search(groups, between_images(groups.values()), config, tell)


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


def _search(
    groups: Mapping[str, Group], spread: np.ndarray, config: FitConfig, tell: Callable[[str], None] | None
) -> LayoutFit:
    rng = np.random.default_rng(config.seed)

    def score(constants: LayoutConstants, number: int, seed: int) -> dict[str, float]:
        found = {
            name: distance(group.observed, group.simulate(constants, number, seed, config.smears).mean, spread)["all"]
            for name, group in groups.items()
        }
        return {**found, "all": float(np.mean(list(found.values())))}

    tried: list[tuple[float, np.ndarray | None, LayoutConstants]] = []

    def attempt(position: np.ndarray | None) -> None:
        constants = LayoutConstants() if position is None else constants_at(position, config.freedom)
        tried.append((score(constants, 1, config.seed)["all"], position, constants))
        if tell:
            tell(f"{len(tried)} tried, distance {tried[-1][0]:.2f}, best {min(t[0] for t in tried):.2f}")

    attempt(None)
    for position in qmc.Halton(_DIMENSIONS, seed=rng).random(config.coarse):
        attempt(position)
    for _ in range(config.fine):
        best = sorted((t for t in tried if t[1] is not None), key=lambda t: t[0])[:_PARENTS]
        start = best[int(rng.integers(len(best)))][1]
        attempt(1 - np.abs(1 - np.abs(start + rng.normal(0, _STEP, _DIMENSIONS))))  # mirrored at 0 and 1
    final = sorted(tried, key=lambda t: t[0])[: config.finalists]
    again = [(score(constants, config.repeats, config.seed + 1), constants) for _, _, constants in final]
    distances, constants = min(again, key=lambda t: t[0]["all"])
    return LayoutFit(constants, distances, score(LayoutConstants(), config.repeats, config.seed + 1), len(tried))
