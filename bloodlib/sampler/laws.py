"""The laws that cells are placed by: one object for each mask, made by `make_law`.

A law of another kind lives in a file of its own and is named in `_HOMES`; it is a class that takes
(config, shape, count, rng) and has `propose`, `weight_at` and `OPTIONS`, as `Law` says.
"""

from __future__ import annotations

from importlib import import_module
from typing import ClassVar, Protocol

import numpy as np

from .excitation import one_of
from .placement import PLACEMENTS, PlacementConfig, draw_locations, probability_at

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
        return rng.integers(0, self._shape, size=(size, 2))

    def weight_at(self, points: np.ndarray, centres: np.ndarray) -> np.ndarray:
        """Give 1 for every pixel, float (m,)."""
        return np.ones(len(points))


class AdhesionLaw:
    """Place cells by Bailo et al. 2019, Eq. 3 (see `component_weights`). Book: chapter 03."""

    OPTIONS: ClassVar[dict[str, float]] = {}

    def __init__(self, config: PlacementConfig, shape: tuple[int, int], count: int, rng: np.random.Generator) -> None:
        self._config, self._shape = config, shape

    def propose(self, rng: np.random.Generator, centres: np.ndarray, size: int) -> np.ndarray:
        """Draw locations of the next cell, int (size, 2)."""
        return draw_locations(rng, centres, self._shape, self._config, size)

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
