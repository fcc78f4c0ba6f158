"""A comparator from spatial statistics: clustered cells that keep their hard core."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from scipy.special import ndtr, ndtri

from .laws import law_options
from .placement import PlacementConfig, uniform_locations

__all__ = ["ClusterLaw", "thomas_parents"]

_MARGIN = 4.0  # ours, in spreads: parents farther beyond the border have no child inside that matters


def thomas_parents(
    rng: np.random.Generator, shape: tuple[int, int], count: int, spread_px: float, per_cell: float
) -> np.ndarray:
    """Draw the parents of a Thomas process, uniform on the canvas and on a margin around it.

    Parameters
    ----------
    rng : numpy.random.Generator
    shape : (height, width)
    count : int
        Cells requested.
    spread_px : float
        Standard deviation of a child's offset.
    per_cell : float
        Expected parents inside the canvas per cell requested.

    Returns
    -------
    float (m, 2)
        Row and column; their number is Poisson, and at least one.
    """
    margin = _MARGIN * spread_px
    sides = np.array(shape, dtype=float)
    expected = per_cell * count * np.prod(sides + 2 * margin) / np.prod(sides)
    number = max(1, int(rng.poisson(expected)))
    return rng.random((number, 2)) * (sides + 2 * margin) - margin


class ClusterLaw:
    """Place cells around hidden parents: a Thomas cluster process with a hard core.

    Notes
    -----
    Parents p_k are scattered uniformly, at ``parents_per_cell`` times the density of cells, also
    beyond the border up to four spreads, from where children still reach the canvas. Every cell is
    the child of some parent, so its location has the density

        λ(l) ∝ Σ_k φ(|l - p_k| / s),  φ Gaussian, s = ``spread`` · cell_size,

    restricted to the canvas; a location where the cell would meet another is drawn again.
    Our reading: Thomas' process (1949) conditioned on the number of cells, with its points laid one
    after another under the generator's own rule that cells do not overlap (sequential inhibition) in
    place of a fixed core. Why: it clusters without Eq. 3's memory of earlier *cells*, so what it shares with
    adhesion is clustering as such. Its two parameters are ours: one parent for five cells, with
    children spread by one cell size, gives islands of about the size of the paper's figures.
    Source: Illian et al. 2008, sections 6.3.2 and 6.5. Book: chapter 04.
    """

    OPTIONS: ClassVar[dict[str, float]] = {"parents_per_cell": 0.2, "spread": 1.0}

    def __init__(self, config: PlacementConfig, shape: tuple[int, int], count: int, rng: np.random.Generator) -> None:
        options = law_options(config)
        for name, value in options.items():
            if not 0 < value < np.inf:
                raise ValueError(f"options: {name}={value!r}: a number above 0 is needed")
        self._shape = shape
        self._spread = options["spread"] * config.cell_size_px
        self._parents = thomas_parents(rng, shape, count, self._spread, options["parents_per_cell"])
        # A pixel holds what falls on it: row -½ .. height - ½. In units of the spread, (parents, 2).
        self._low = ndtr((-0.5 - self._parents) / self._spread)
        self._high = ndtr((np.array(shape) - 0.5 - self._parents) / self._spread)
        mass = np.prod(self._high - self._low, axis=1)
        self._cumulative = np.cumsum(mass)
        self._barren = self._cumulative[-1] < 1e-12  # no parent near enough: as good as uniform
        self._map: np.ndarray | None = None

    def propose(self, rng: np.random.Generator, centres: np.ndarray, size: int) -> np.ndarray:
        """Draw locations of the next cell, int (size, 2)."""
        if self._barren:
            return uniform_locations(rng, self._shape, size)
        total = self._cumulative[-1]
        parent = np.searchsorted(self._cumulative, rng.random(size) * total, side="right")
        parent = np.minimum(parent, len(self._parents) - 1)
        # A Gaussian cut at the border: the inverse of its distribution function between its values there.
        low, high = self._low[parent], self._high[parent]
        offset = ndtri(low + rng.random((size, 2)) * (high - low)) * self._spread
        points = np.rint(self._parents[parent] + offset)
        return np.clip(points, 0, np.array(self._shape) - 1).astype(int)

    def weight_at(self, points: np.ndarray, centres: np.ndarray) -> np.ndarray:
        """Give the probability of pixels (m, 2), float (m,)."""
        if self._barren:
            return np.ones(len(points))
        if self._map is None:
            self._map = self.probability_map()
        return self._map[points[:, 0], points[:, 1]]

    def probability_map(self) -> np.ndarray:
        """Compute the probability of every pixel, float (height, width), which sums to 1."""
        if self._barren:
            return np.full(self._shape, 1 / np.prod(self._shape))
        parts = []
        for axis, side in enumerate(self._shape):
            edges = (np.arange(side + 1)[:, None] - 0.5 - self._parents[:, axis]) / self._spread
            parts.append(np.diff(ndtr(edges), axis=0))  # (side, parents)
        return (parts[0] @ parts[1].T) / self._cumulative[-1]
