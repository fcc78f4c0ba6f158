"""Where the next cell goes: the configuration of every law, and Bailo et al. 2019, Eq. 3, as a mixture and as a map."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from .excitation import CORES, ExcitationTable, excitation, excitation_table, half_width_sigma, one_of

__all__ = [
    "PlacementConfig",
    "component_weights",
    "draw_locations",
    "excitation",
    "probability_at",
    "probability_map",
]

PLACEMENTS = ("adhesion", "uniform", "cluster", "graph")
VARIANTS = ("final", "first")
WEIGHTS = ("printed", "equal")

# The paper: 20 cells are seeded at random on 1920×1200 pixels with cells of 46 pixels.
_PAPER_SEEDS, _PAPER_AREA_IN_CELLS = 20, 1920 * 1200 / 46**2
_NO_MASS = 1e-12  # z that lies outside the image altogether (its core covers it) counts as uniform: ours


@dataclass(frozen=True)
class PlacementConfig:
    """Configure the law that cell locations are drawn from."""

    kind: str = "adhesion"  # the paper's; "uniform" is its comparison; "cluster", "graph": see `bloodlib.sampler.laws`
    variant: str = "final"  # the paper's Eq. 3 with three cases; "first": the two cases of its first version
    core: str = "inverted"  # ours, the continuous reading of "reverting": 1 - g inside cell_size; "zero": nothing there
    cell_size_px: float = 46.0  # measured on the smears; the paper's value is 46
    sigma_px: float | None = None  # None: the paper's cell_size / sqrt(2 ln 2)
    n_init: int | None = None  # None: ours, the paper's 20 scaled to the canvas (see `seeds`); a number is taken as is
    weights: str = "printed"  # the paper's a_i = 1/i; "equal": a_i = 1/(i-1), see `component_weights`
    options: Mapping[str, float] = field(default_factory=dict)  # ours: what the other laws need, each named there
    seeding: float = 1.0  # ours: where n_init is None, cells seeded per area in units of the paper's

    def __post_init__(self) -> None:
        one_of("placement", self.kind, PLACEMENTS)
        one_of("variant", self.variant, VARIANTS)
        one_of("core", self.core, CORES)
        one_of("weights", self.weights, WEIGHTS)
        for name in ("cell_size_px", "sigma_px"):
            value = getattr(self, name)
            if value is not None and not 0 < value < np.inf:
                raise ValueError(f"{name}={value!r}: a length in pixels above 0 is needed")
        if not 0 < self.seeding < np.inf:
            raise ValueError(f"seeding={self.seeding!r}: a factor above 0 is needed")
        if self.n_init is not None and self.n_init < 1:
            raise ValueError(f"n_init={self.n_init!r}: at least one cell must be seeded before Eq. 3 can begin")

    @property
    def sigma(self) -> float:
        """Standard deviation of the Gaussian in pixels, so that it is ½ at `cell_size_px` unless set."""
        return half_width_sigma(self.cell_size_px) if self.sigma_px is None else float(self.sigma_px)

    @property
    def table(self) -> ExcitationTable:
        """The excitation of one cell on the pixel grid, built once for these constants."""
        return excitation_table(float(self.cell_size_px), self.sigma, self.core)

    def seeds(self, shape: tuple[int, int]) -> int:
        """Give the number of cells that are placed uniformly first on a canvas of this shape.

        Notes
        -----
        The paper seeds 20 cells on 1920×1200 px. Twenty on a smear an eighth as large would be
        a fifth of its cells and hide the adhesion, so by default the seeds per area, measured in
        cell sizes, are kept (ours); on the paper's canvas with its cell size that is 20. They can be
        multiplied by ``seeding``; with more seeds than cells the placement is uniform.

        Examples
        --------
        >>> PlacementConfig().seeds((1200, 1920)), PlacementConfig(cell_size_px=38).seeds((480, 640))
        (20, 4)
        """
        if self.n_init is not None:
            return self.n_init
        area_in_cells = shape[0] * shape[1] / self.cell_size_px**2
        return max(1, round(self.seeding * _PAPER_SEEDS * area_in_cells / _PAPER_AREA_IN_CELLS))


def component_weights(
    placed: int, n_init: int, variant: str = "final", weights: str = "printed"
) -> tuple[float, np.ndarray]:
    """Give the weights of the mixture that Eq. 3 unrolls to, for the cell after `placed` cells.

    Parameters
    ----------
    placed : int
        Cells that lie already; the next one is cell i = placed + 1.
    n_init : int
        Cells seeded uniformly.
    variant : {"final", "first"}
        Version of the paper.
    weights : {"printed", "equal"}
        Step a_i of the recursion: 1/i as printed, or 1/(i-1).

    Returns
    -------
    uniform : float
        Weight of the uniform distribution.
    weights : float (placed,)
        Weight of each cell's normalised excitation; with `uniform` they sum to 1.

    Notes
    -----
    The recursion is P(i) = (1 - a_i) P(i-1) + a_i z(l_{i-1}), with n = n_init.

    Final version, which starts from the mean of the seeds at i = n + 1, as printed (a_i = 1/i):
    P(i) = (1/i) [ (n+1)/n Σ_{j≤n} z(l_j) + Σ_{n<j<i} z(l_j) ]: the seeds weigh (n+1)/n times the
    others (21/20 in the paper), since their mean enters as if n + 1 cells lay already.
    With a_i = 1/(i-1) it is the plain mean P(i) = (1/(i-1)) Σ_{j<i} z(l_j), which we take to be meant;
    as printed stays the default, because it is what was published.

    First version, which starts from the uniform P(n), as printed:
    P(i) = (1/i) [ n · uniform + Σ_{n≤j<i} z(l_j) ]: a uniform floor stays, and only the last seed
    counts; with a_i = 1/(i-1) they are 1/(i-1) for each of these and (n-1)/(i-1) for the uniform map.
    Source: Bailo et al. 2019, section 4.1.2. Book: chapter 03.

    Examples
    --------
    >>> uniform, parts = component_weights(4, n_init=2)
    >>> uniform, (parts * 5).tolist()
    (0.0, [1.5, 1.5, 1.0, 1.0])
    >>> uniform, parts = component_weights(4, n_init=2, variant="first")
    >>> uniform, (parts * 5).tolist()
    (0.4, [0.0, 1.0, 1.0, 1.0])
    >>> component_weights(4, n_init=2, weights="equal")[1].tolist()
    [0.25, 0.25, 0.25, 0.25]
    """
    if placed < n_init:
        return 1.0, np.zeros(placed)
    edges = mixture_edges(placed, n_init, variant, weights)
    return float(edges[0] / edges[-1]), np.diff(edges) / edges[-1]


def mixture_edges(count: int, n_init: int, variant: str = "final", weights: str = "printed") -> np.ndarray:
    """Add up the weights of Eq. 3 before they are normalised: they do not change as cells are added.

    Returns
    -------
    float (count + 1,)
        Weight of the uniform distribution, and with it those of the first 1, 2, … `count` cells. So a
        level drawn below entry n is a draw of a component for the cell after n cells, n ≥ n_init.
    """
    printed = weights == "printed"
    parts = np.ones(count + 1)
    if variant == "final":
        parts[0] = 0.0
        parts[1 : n_init + 1] = (n_init + 1) / n_init if printed else 1.0
    else:
        parts[0] = n_init if printed else n_init - 1
        parts[1:n_init] = 0.0
    return np.cumsum(parts)


def mixture(centres: np.ndarray, shape: tuple[int, int], config: PlacementConfig) -> tuple[float, np.ndarray]:
    """Give `component_weights` for the cell after these, uniform placement included.

    Raises
    ------
    ValueError
        If the law is neither adhesion nor uniform: no others are a mixture of excitations.
    """
    one_of("placement", config.kind, ("adhesion", "uniform"))
    if config.kind == "uniform":
        return 1.0, np.zeros(len(centres))
    return component_weights(len(centres), config.seeds(shape), config.variant, config.weights)


def probability_map(centres: np.ndarray, shape: tuple[int, int], config: PlacementConfig) -> np.ndarray:
    """Compute the whole map P of the next cell: to be shown, not needed to draw.

    Parameters
    ----------
    centres : int (n, 2)
        Row and column of the cells so far, in the order in which they were placed.
    shape : (height, width)
    config : PlacementConfig

    Returns
    -------
    float64 (height, width)
        Sums to 1.

    Notes
    -----
    Bailo et al. 2019, Eq. 3, by the weights of `component_weights`; every z is normalised to
    sum 1 over the image. Book: chapter 03.
    """
    centres = np.asarray(centres, dtype=int).reshape(-1, 2)
    uniform, weights = mixture(centres, shape, config)
    out = np.full(shape, uniform / (shape[0] * shape[1]))
    table = config.table
    for centre, weight in zip(centres[weights > 0], weights[weights > 0], strict=True):
        window, z = table.window(centre, shape)
        mass = z.sum()
        if mass > _NO_MASS:
            out[window] += (weight / mass) * z
        else:
            out += weight / out.size
    return out


def probability_at(
    points: np.ndarray, centres: np.ndarray, shape: tuple[int, int], config: PlacementConfig
) -> np.ndarray:
    """Evaluate P of the next cell at some pixels only.

    Parameters
    ----------
    points, centres : int (m, 2), (n, 2)
    shape, config
        As for `probability_map`.

    Returns
    -------
    float (m,)
    """
    uniform, weights = mixture(centres, shape, config)
    out = np.full(len(points), uniform / (shape[0] * shape[1]))
    used = weights > 0
    if used.any():
        centres, weights = centres[used].astype(np.int32), weights[used]
        mass = config.table.mass_inside(centres, shape)
        empty = mass <= _NO_MASS
        out += weights[empty].sum() / (shape[0] * shape[1])
        scaled = np.divide(weights, mass, out=np.zeros(len(mass)), where=~empty)
        points = np.asarray(points, dtype=np.int32)
        for start in range(0, len(points), 256):  # bounded memory: (256, n) distances at a time
            part = points[start : start + 256, None]  # (256, 1, 2)
            squared = (part[..., 0] - centres[:, 0]) ** 2 + (part[..., 1] - centres[:, 1]) ** 2  # (256, n)
            out[start : start + 256] += config.table.at_squared(squared) @ scaled
    return out


def uniform_locations(rng: np.random.Generator, shape: tuple[int, int], size: int) -> np.ndarray:
    """Draw pixels of the image with equal probability, int (size, 2)."""
    return np.stack(np.divmod(rng.integers(shape[0] * shape[1], size=size), shape[1]), axis=1)


def draw_locations(
    rng: np.random.Generator, centres: np.ndarray, shape: tuple[int, int], config: PlacementConfig, size: int = 1
) -> np.ndarray:
    """Draw independent locations from P of the next cell, without computing the map.

    Parameters
    ----------
    rng : numpy.random.Generator
    centres : int (n, 2)
        The cells so far, in order.
    shape : (height, width)
    config : PlacementConfig
    size : int

    Returns
    -------
    int (size, 2)
        Row and column, inside the image.

    Raises
    ------
    ValueError
        If the law is neither adhesion nor uniform.

    Notes
    -----
    P is a mixture: choose a cell by its weight, then an offset from z (see `around`). Exact up to
    the 2e-14 of a Gaussian's peak beyond 8 σ. Book: chapter 03.
    """
    uniform, weights = mixture(centres, shape, config)
    edges = np.cumsum(np.append(uniform, weights))
    picks = np.searchsorted(edges, rng.random(size) * edges[-1], side="right") - 1
    return locations_of(rng, picks, centres, shape, config.table)


def locations_of(
    rng: np.random.Generator, picks: np.ndarray, centres: np.ndarray, shape: tuple[int, int], table: ExcitationTable
) -> np.ndarray:
    """Draw a location for each component picked, int (m, 2): around a cell, or anywhere for -1."""
    if picks.min(initial=0) >= 0:
        return around(rng, centres.take(picks, axis=0), shape, table)
    points = uniform_locations(rng, shape, len(picks))
    cells = (picks >= 0).nonzero()[0]
    points[cells] = around(rng, centres[picks[cells]], shape, table)
    return points


def around(rng: np.random.Generator, centres: np.ndarray, shape: tuple[int, int], table: ExcitationTable) -> np.ndarray:
    """Draw one location around each centre from its z, normalised over the image.

    Parameters
    ----------
    rng : numpy.random.Generator
    centres : int (m, 2)
    shape : (height, width)
    table : ExcitationTable

    Returns
    -------
    int (m, 2)

    Notes
    -----
    While a point falls outside the image only its *offset* is drawn again, since every z sums to
    1 inside the image; drawing the cell again as well would take weight from cells near the border.
    """
    points = centres + table.draw(rng, len(centres))
    open_ = _outside(points, shape).nonzero()[0]
    for _ in range(8):
        if not len(open_):
            return points
        # Several offsets for each that is left: the first that lies inside is the one that drawing one by one gives.
        some = centres[open_, None] + table.draw(rng, 8 * len(open_)).reshape(-1, 8, 2)
        inside = ~_outside(some, shape)  # (open, 8)
        first = inside.argmax(axis=1)
        points[open_] = some[np.arange(len(open_)), first]
        open_ = open_[~inside.any(axis=1)]
    # A canvas so small that offsets hardly ever hit it: draw from z over its few pixels instead.
    for k in open_:
        points[k] = _draw_inside(rng, centres[k], shape, table)
    return points


def _outside(points: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    rows, cols = points[..., 0], points[..., 1]
    return (rows < 0) | (rows >= shape[0]) | (cols < 0) | (cols >= shape[1])


def _draw_inside(
    rng: np.random.Generator, centre: np.ndarray, shape: tuple[int, int], table: ExcitationTable
) -> np.ndarray:
    window, z = table.window(centre, shape)
    cumulative = np.cumsum(z)
    if cumulative[-1] <= _NO_MASS:  # core="zero" and the whole image inside the core
        return rng.integers(0, shape)
    flat = int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))
    row, col = divmod(min(flat, z.size - 1), z.shape[1])
    return np.array([window[0].start + row, window[1].start + col])
