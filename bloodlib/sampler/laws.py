"""The laws that cells are placed by: one object for each mask, made by `make_law`.

A law of another kind lives in a file of its own and is named in `_HOMES`; it is a class that takes
(config, shape, count, rng) and has `propose`, `weight_at` and `OPTIONS`, as `Law` says.
"""

from __future__ import annotations

from importlib import import_module
from typing import ClassVar, Protocol

import numpy as np

from .excitation import one_of
from .placement import (
    PLACEMENTS,
    PlacementConfig,
    around,
    locations_of,
    mixture_edges,
    probability_at,
    uniform_locations,
)

_HOMES = {
    "adhesion": (".laws", "AdhesionLaw"),
    "uniform": (".laws", "UniformLaw"),
    "cluster": (".comparators", "ClusterLaw"),
    "graph": (".graph", "GraphLaw"),
}


class Law(Protocol):
    """Say where the next cell of one mask goes.

    Parameters
    ----------
    config : PlacementConfig
    shape : (height, width)
        Of the canvas.
    count : int
        Cells requested; fewer may find room.
    rng : numpy.random.Generator
        For what a law draws once for each mask, such as parents or a graph.

    Notes
    -----
    The generator draws locations from `propose` until one holds the cell. Where that starves it
    takes one of the places that are left with the odds of `weight_at`: both must be the same law.
    A law may also have ``ahead`` (see `AdhesionLaw.ahead`), which only makes it faster; or ``nodes`` int (count, 2)
    and ``core_px``, which say that each cell lies at the free place nearest to its node, as `GraphLaw` does.
    """

    OPTIONS: ClassVar[dict[str, float]]  # names and defaults of the entries of `PlacementConfig.options`

    def __init__(
        self, config: PlacementConfig, shape: tuple[int, int], count: int, rng: np.random.Generator
    ) -> None: ...

    def propose(self, rng: np.random.Generator, centres: np.ndarray, size: int) -> np.ndarray:
        """Draw independent locations of the next cell, int (size, 2), inside the canvas, given the n cells so far."""

    def weight_at(self, points: np.ndarray, centres: np.ndarray) -> np.ndarray:
        """Give its probability at pixels (m, 2), up to a common factor, float (m,)."""


class UniformLaw:
    """Place every cell anywhere with equal probability: the paper's comparison. Book: chapters 03, 04."""

    OPTIONS: ClassVar[dict[str, float]] = {}

    def __init__(self, config: PlacementConfig, shape: tuple[int, int], count: int, rng: np.random.Generator) -> None:
        self._shape = shape

    def propose(self, rng: np.random.Generator, centres: np.ndarray, size: int) -> np.ndarray:
        """Draw locations of the next cell, int (size, 2)."""
        return uniform_locations(rng, self._shape, size)

    def ahead(
        self, rng: np.random.Generator, centres: np.ndarray, cells: int, size: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw locations of the next few cells, as `AdhesionLaw.ahead`."""
        points = uniform_locations(rng, self._shape, cells * size)
        return points.reshape(cells, size, 2), np.full((cells, size), -1)

    def weight_at(self, points: np.ndarray, centres: np.ndarray) -> np.ndarray:
        """Give 1 for every pixel, float (m,)."""
        return np.ones(len(points))


class AdhesionLaw:
    """Place cells by Bailo et al. 2019, Eq. 3, as the mixture of `component_weights`. Book: chapter 03."""

    OPTIONS: ClassVar[dict[str, float]] = {}

    def __init__(self, config: PlacementConfig, shape: tuple[int, int], count: int, rng: np.random.Generator) -> None:
        self._config, self._shape = config, shape
        self._seeds, self._table = config.seeds(shape), config.table
        self._edges = mixture_edges(count, self._seeds, config.variant, config.weights)

    def propose(self, rng: np.random.Generator, centres: np.ndarray, size: int) -> np.ndarray:
        """Draw locations of the next cell, int (size, 2)."""
        return self.ahead(rng, centres, 1, size)[0][0]

    def ahead(
        self, rng: np.random.Generator, centres: np.ndarray, cells: int, size: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw locations of the next few cells at once, as far as they are known yet.

        Parameters
        ----------
        rng : numpy.random.Generator
        centres : int (n, 2)
            The cells so far.
        cells : int
            How many to look ahead.
        size : int
            Locations for each.

        Returns
        -------
        points : int (k, size, 2)
            For the first k of these cells; k is less than `cells` where the law changes before.
        parents : int (k, size)
            -1, or which cell, still to be placed, the location lies around: then the point given
            here is an offset, and `beside` makes a location of it when that cell is there.

        Notes
        -----
        Which cell a location of cell i lies around does not depend on where cells are, only on how
        many there are: so it can be drawn before the cells in between are placed.
        """
        placed = len(centres)
        if placed < self._seeds:
            cells = min(cells, self._seeds - placed)
            points = uniform_locations(rng, self._shape, cells * size)
            return points.reshape(cells, size, 2), np.full((cells, size), -1)
        levels = rng.random((cells, size)) * self._edges[placed : placed + cells, None]
        picks = self._edges.searchsorted(levels.ravel(), side="right") - 1
        parents = np.where(picks < placed, -1, picks)
        later = (parents >= 0).nonzero()[0]
        picks[later] = 0
        points = locations_of(rng, picks, centres, self._shape, self._table)
        points[later] = self._table.draw(rng, len(later))
        return points.reshape(cells, size, 2), parents.reshape(cells, size)

    def beside(self, rng: np.random.Generator, centre: np.ndarray, offset: np.ndarray) -> np.ndarray:
        """Give the location at an offset from a cell, int (2,), drawing other offsets while it lies outside."""
        row, col = point = centre + offset
        if 0 <= row < self._shape[0] and 0 <= col < self._shape[1]:
            return point
        return around(rng, centre[None], self._shape, self._table)[0]

    def weight_at(self, points: np.ndarray, centres: np.ndarray) -> np.ndarray:
        """Give P of the next cell at pixels (m, 2), float (m,)."""
        return probability_at(points, centres, self._shape, self._config)


def law_class(kind: str) -> type[Law]:
    """Find the class of a law by its name; what it needs is only then imported."""
    one_of("placement", kind, PLACEMENTS)
    module, name = _HOMES[kind]
    return getattr(import_module(module, __package__), name)


def law_options(config: PlacementConfig) -> dict[str, float]:
    """Give the options of a law: its defaults, replaced by those of the configuration.

    Raises
    ------
    ValueError
        If the law has no such option.
    """
    defaults = law_class(config.kind).OPTIONS
    for name in config.options:
        if name not in defaults:
            known = ", ".join(map(repr, defaults)) or "none"
            raise ValueError(f"options: placement {config.kind!r} has no {name!r}; allowed are {known}")
    return {**defaults, **config.options}


def make_law(config: PlacementConfig, shape: tuple[int, int], count: int, rng: np.random.Generator) -> Law:
    """Make the law of one mask; see `Law`."""
    return law_class(config.kind)(config, shape, count, rng)
