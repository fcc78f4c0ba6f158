"""Could these smears have come out of that sampler? Layouts measured, made again, and compared."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .layout_statistics import (
    cluster_sizes,
    coverage,
    deviation_test,
    nearest_neighbour_distances,
    pair_correlation,
)
from .sampler.constants import LayoutConstants
from .sampler.masks import CrowdedWarning, MaskGenerator
from .sampler.shapes import ShapeConfig, ShapeDatabase
from .smears import Smear, relabel
from .statistics import measure_cells

EDGES = np.linspace(0.5, 4, 22)  # ours: bins of g(r), in cell sizes
REACHES = np.linspace(0.6, 1.8, 13)  # ours: distances of G(r), in cell sizes
PARTS: Mapping[str, slice] = {
    "g(r)": slice(0, 21),
    "G(r)": slice(21, 34),
    "touching share": slice(34, 35),
    "cluster size": slice(35, 36),
}
TESTED = slice(0, 36)  # all of them as one curve; coverage and number of cells, which follow, are held equal
COVERAGE, CELLS = 36, 37
_TRIALS = 8  # ours: smears made again to learn how many cells are out of sight
_LEAST_SPREAD = 0.01  # ours: what varies less than one cell in a hundred weighs as if it varied so much


def layout_curve(instances: np.ndarray, cell_px: float, gap_px: float = 2.0) -> np.ndarray:
    """Measure how the cells of one mask lie.

    Parameters
    ----------
    instances : int32 (H, W)
    cell_px : float
        Cell size, the unit of length.
    gap_px : float
        Cells with at most this much background between them count as touching.

    Returns
    -------
    float (38,)
        In the order of `PARTS`: g(r) in the bins `EDGES`; G(r), the share of cells whose nearest neighbour is not
        farther than each of `REACHES`; the share of cells that touch another; the logarithm of the mean size of the
        cluster that a cell belongs to; then coverage and number of cells. NaN where a measure does not exist.

    Notes
    -----
    Cluster sizes multiply where gaps close, so their logarithm is compared. Book: chapter 04.
    """
    centres = measure_cells(instances).centre
    if not len(centres):
        return np.array([np.nan] * COVERAGE + [0.0, 0.0])
    g = pair_correlation(centres, instances.shape, EDGES * cell_px)
    nearest = nearest_neighbour_distances(centres)
    near = (nearest[:, None] <= REACHES * cell_px).mean(axis=0) if len(nearest) else np.zeros(len(REACHES))
    clusters = cluster_sizes(instances, gap_px)
    touching, size = clusters[clusters > 1].sum() / len(centres), (clusters**2).sum() / len(centres)
    return np.concatenate([g, near, [touching, np.log(size), coverage(instances), len(centres)]])


def mean_curve(curves: Sequence[np.ndarray]) -> np.ndarray:
    """Average curves, leaving out what some of them lack; NaN where all do."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # nanmean of nothing
        return np.nanmean(curves, axis=0)


@dataclass(frozen=True, eq=False)
class Counterparts:
    """Hold what was measured on synthetic counterparts of a group.

    ``curves`` float (s, 38), one for each counterpart: the mean over its masks; ``short`` share of
    masks in which not all cells found room; ``picture`` int32 (H, W), one of the masks.
    """

    curves: np.ndarray
    short: float
    picture: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """Mean over the counterparts, float (38,)."""
        return mean_curve(self.curves)


class Group:
    """Hold the smears of one slide (or appearance group), and make synthetic counterparts of it.

    Parameters
    ----------
    smears : iterable of Smear
    gap_px : float
        As for `layout_curve`.

    Attributes
    ----------
    cell_px : float
        Mean side of the bounding boxes of complete cells.
    curves : float (images, 38)
        Of each smear; ``observed`` is their mean.

    Notes
    -----
    Everything but the *arrangement* is equal: a counterpart has as many masks as there are smears,
    each with as many cells, of the group's own shapes, unscaled. A real smear shows every
    cell of which a part is visible, also where its centre lies outside, while a sampler draws
    centres inside. So masks are made on a canvas larger by half a cell on every side and cropped; how many
    cells are out of sight then is learnt from a few trial masks. Book: chapter 04.
    """

    def __init__(self, smears: Iterable[Smear], gap_px: float = 2.0) -> None:
        smears = list(smears)
        fitted = MaskGenerator.fit(smears)
        self._config = fitted.config
        self._shapes = ShapeDatabase(fitted.shapes.shapes, ShapeConfig(scale=(1, 1)))
        self._gap_px = gap_px
        self.cell_px = fitted.config.placement.cell_size_px
        self.counts = [smear.count for smear in smears]
        self.sides = [smear.instances.shape for smear in smears]
        self.curves = np.array([layout_curve(smear.instances, self.cell_px, gap_px) for smear in smears])

    @property
    def observed(self) -> np.ndarray:
        """Mean curve of the smears, float (38,)."""
        return mean_curve(self.curves)

    def generator(self, constants: LayoutConstants) -> MaskGenerator:
        """Give a generator of this group's cells with these constants."""
        return MaskGenerator(self._shapes, constants.apply(self._config))

    def _make(self, masks: MaskGenerator, rng: np.random.Generator, which: int, cells: int) -> tuple[np.ndarray, bool]:
        edge = round(self.cell_px / 2)
        canvas = tuple(side + 2 * edge for side in self.sides[which])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CrowdedWarning)  # counted by the caller
            mask = masks.sample(rng, canvas, cells)
        return relabel(mask.instances[edge:-edge, edge:-edge])[0], mask.placed < mask.requested

    @cached_property
    def _surplus(self) -> float:
        """Cells to ask for per cell that is to be seen, learnt with uniform placement."""
        masks, rng = self.generator(LayoutConstants(kind="uniform")), np.random.default_rng(0)
        which = spread_over(range(len(self.counts)), _TRIALS)
        seen = sum(int(self._make(masks, rng, k, self.counts[k])[0].max()) for k in which)
        return sum(self.counts[k] for k in which) / max(seen, 1)

    def simulate(self, constants: LayoutConstants, number: int, seed: int = 0, most: int | None = None) -> Counterparts:
        """Make so many counterparts of the group and measure them.

        Parameters
        ----------
        constants : LayoutConstants or sequence of them
            Of several each counterpart has one, drawn at random: slides differ, masks of one slide do not.
        number : int
            With fewer than 19 nothing can be rejected at the 5 % level.
        seed : int
            The same seed gives every layout the same random numbers.
        most : int, optional
            Smears of the group to make again, at even steps; all of them if not given.
        """
        choices = [constants] if isinstance(constants, LayoutConstants) else list(constants)
        generators = [self.generator(choice) for choice in choices]
        curves, short, picture = [], [], None
        for run in range(number):
            rng, parts = np.random.default_rng([seed, run]), []
            masks = generators[int(rng.integers(len(generators)))]
            for k in spread_over(range(len(self.counts)), most):
                instances, crowded = self._make(masks, rng, k, round(self.counts[k] * self._surplus))
                picture = instances if picture is None else picture
                parts.append(layout_curve(instances, self.cell_px, self._gap_px))
                short.append(crowded)
            curves.append(mean_curve(parts))
        return Counterparts(np.array(curves), float(np.mean(short)), picture)


def by_group(smears: Iterable[Smear], gap_px: float = 2.0, most: int | None = None) -> dict[str, Group]:
    """Gather smears by their slide (or appearance group), at most so many of each, spread over the group."""
    members: dict[str, list[Smear]] = {}
    for smear in smears:
        members.setdefault(smear.group, []).append(smear)
    return {name: Group(spread_over(of, most), gap_px) for name, of in members.items()}


def spread_over(items: Sequence, most: int | None) -> list:
    """Take at most so many items at even steps, the first among them.

    Examples
    --------
    >>> spread_over("abcdefg", 3)
    ['a', 'c', 'e']
    """
    if most is None or len(items) <= most:
        return list(items)
    return [items[k * len(items) // most] for k in range(most)]


def p_values(observed: np.ndarray, simulated: np.ndarray) -> dict[str, float]:
    """Test a group's curve against those of its counterparts, part by part and all together (see `deviation_test`)."""
    parts = {**PARTS, "all together": TESTED}
    return {name: deviation_test(observed[part], simulated[:, part]).p_value for name, part in parts.items()}


def between_images(groups: Iterable[Group]) -> np.ndarray:
    """Give the standard deviation of each measure between images of one group, pooled over the groups, float (38,).

    Raises
    ------
    ValueError
        If no group has two images.
    """
    several = [group.curves for group in groups if len(group.curves) > 1]
    if not several:
        raise ValueError("no group has two smears: how much images of one slide differ cannot be measured")
    squares = sum(np.nansum((curves - mean_curve(curves)) ** 2, axis=0) for curves in several)
    return np.maximum(np.sqrt(squares / sum(len(curves) - 1 for curves in several)), _LEAST_SPREAD)


def distance(observed: np.ndarray, simulated: np.ndarray, spread: np.ndarray) -> dict[str, float]:
    """Measure how far a layout is from a group, in squared standard deviations between images.

    Parameters
    ----------
    observed, simulated : float (38,)
        Mean curve of the group and of its counterparts.
    spread : float (38,)
        From `between_images`.

    Returns
    -------
    dict
        For each of `PARTS` the mean of ((observed - simulated) / spread)² over its values, and their mean as "all":
        every part weighs the same, however many values it has.

    Notes
    -----
    Two mean curves of m images each of one and the same slide are 2 / m apart on average. Values that one of the
    curves lacks are left out. Book: chapter 04.
    """
    deviation = ((observed - simulated) / spread) ** 2
    parts = {name: float(mean_curve(deviation[part])) for name, part in PARTS.items()}
    known = [value for value in parts.values() if not np.isnan(value)]
    return {**parts, "all": float(np.mean(known)) if known else float("nan")}


@dataclass(frozen=True, eq=False)
class Comparison:
    """Hold how one layout does against one group: its counterparts, `p_values` and `distance`."""

    made: Counterparts
    p: Mapping[str, float]
    distance: Mapping[str, float]


def compare(
    group: Group,
    layouts: Mapping[str, LayoutConstants | Sequence[LayoutConstants]],
    simulations: int,
    spread: np.ndarray,
    seed: int = 0,
) -> dict[str, Comparison]:
    """Put layouts to the test on one group.

    Parameters
    ----------
    group : Group
    layouts : mapping of str to LayoutConstants or sequence of them
    simulations : int
        Counterparts of each layout.
    spread : float (38,)
        From `between_images`.
    seed : int
    """
    found = {}
    for name, constants in layouts.items():
        made = group.simulate(constants, simulations, seed)
        p = p_values(group.observed, made.curves)
        found[name] = Comparison(made, p, distance(group.observed, made.mean, spread))
    return found
