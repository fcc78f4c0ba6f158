"""Where the next cell goes: uniform placement, and adhesion after Bailo et al. 2019, Eq. 3."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

PLACEMENTS = ("adhesion", "uniform")
VARIANTS = ("final", "first")
CORES = ("inverted", "zero")

# The paper: 20 cells are seeded at random on 1920×1200 pixels with cells of 46 pixels.
_PAPER_SEEDS, _PAPER_AREA_IN_CELLS = 20, 1920 * 1200 / 46**2
# A Gaussian is below 2e-14 of its peak beyond 8 sigma, so a table cut there is exact.
_TABLE_SIGMAS = 8.0


def one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Refuse a value that is not in the list, naming the argument and the legal values."""
    if value not in allowed:
        raise ValueError(f"{name}={value!r} is not known; allowed are {', '.join(map(repr, allowed))}")


@dataclass(frozen=True)
class PlacementConfig:
    """Configure the law that cell locations are drawn from."""

    kind: str = "adhesion"  # the paper's; "uniform" is its comparison
    variant: str = "final"  # the paper's Eq. 3 with three cases; "first": the two cases of its first version
    core: str = "inverted"  # ours, the continuous reading of "reverting": 1 - g inside cell_size; "zero": nothing there
    cell_size_px: float = 46.0  # measured on the smears; the paper's value is 46
    sigma_px: float | None = None  # None: the paper's cell_size / sqrt(2 ln 2)
    n_init: int | None = None  # None: ours, the paper's 20 scaled to the canvas (see `seeds`); a number is taken as is

    def __post_init__(self) -> None:
        one_of("placement", self.kind, PLACEMENTS)
        one_of("variant", self.variant, VARIANTS)
        one_of("core", self.core, CORES)
        for name in ("cell_size_px", "sigma_px"):
            value = getattr(self, name)
            if value is not None and not 0 < value < np.inf:
                raise ValueError(f"{name}={value!r}: a length in pixels above 0 is needed")
        if self.n_init is not None and self.n_init < 1:
            raise ValueError(f"n_init={self.n_init!r}: at least one cell must be seeded before Eq. 3 can begin")

    @property
    def sigma(self) -> float:
        """Standard deviation of the Gaussian in pixels, so that it is ½ at `cell_size_px` unless set."""
        return self.cell_size_px / np.sqrt(2 * np.log(2)) if self.sigma_px is None else float(self.sigma_px)

    def seeds(self, shape: tuple[int, int]) -> int:
        """Give the number of cells that are placed uniformly first on a canvas of this shape.

        Notes
        -----
        The paper seeds 20 cells on 1920×1200 px. Twenty on a smear an eighth as large would be
        a fifth of its cells and hide the adhesion, so by default the seeds per area, measured in
        cell sizes, are kept (ours); on the paper's canvas with its cell size that is 20.

        Examples
        --------
        >>> PlacementConfig().seeds((1200, 1920)), PlacementConfig(cell_size_px=38).seeds((480, 640))
        (20, 4)
        """
        if self.n_init is not None:
            return self.n_init
        area_in_cells = shape[0] * shape[1] / self.cell_size_px**2
        return max(1, round(_PAPER_SEEDS * area_in_cells / _PAPER_AREA_IN_CELLS))


def excitation(
    distance_px: np.ndarray, cell_size_px: float, sigma_px: float | None = None, core: str = "inverted"
) -> np.ndarray:
    """Evaluate the excitation z of one cell at a distance from its centre, before it is normalised.

    Parameters
    ----------
    distance_px : float array
    cell_size_px, sigma_px : float
        The paper's 46 and cell_size / √(2 ln 2).
    core : {"inverted", "zero"}

    Returns
    -------
    float array
        In [0, 1].

    Notes
    -----
    The paper applies "a 2D Gaussian function" around the centre and reverts "the values within
    the cell_size around it". With g(r) = exp(-r² / 2σ²) and this σ, g(cell_size) = ½, so 1 - g
    inside and g outside is the one reading that is continuous there: 0 at the occupied centre
    and greatest, ½, on a ring at r = cell_size, where a neighbour of the same size touches.
    Source: Bailo et al. 2019, section 4.1.2. Book: chapter 03.

    Examples
    --------
    >>> excitation(np.array([0.0, 46.0]), 46.0).round(3).tolist()
    [0.0, 0.5]
    """
    one_of("core", core, CORES)
    sigma = PlacementConfig(cell_size_px=cell_size_px, sigma_px=sigma_px).sigma
    gauss = np.exp(-0.5 * (np.asarray(distance_px, dtype=float) / sigma) ** 2)
    return np.where(distance_px < cell_size_px, 1 - gauss if core == "inverted" else 0.0, gauss)


class ExcitationTable:
    """Hold z on the pixel grid around a cell: to draw offsets from, to look up and to add up.

    Parameters
    ----------
    cell_size_px, sigma_px : float
    core : str

    Attributes
    ----------
    reach : int
        The table covers offsets -reach..reach in both directions (8 σ, at least the core).
    values : float (2 reach + 1, 2 reach + 1)
        z, not normalised.
    """

    def __init__(self, cell_size_px: float, sigma_px: float, core: str) -> None:
        self.reach = int(np.ceil(max(_TABLE_SIGMAS * sigma_px, cell_size_px)))
        axis = np.arange(-self.reach, self.reach + 1)
        self.values = excitation(np.hypot(axis[:, None], axis[None, :]), cell_size_px, sigma_px, core)

    @cached_property
    def _cumulative(self) -> np.ndarray:
        return np.cumsum(self.values)

    @cached_property
    def _integral(self) -> np.ndarray:
        return np.pad(self.values, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)

    def draw(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw row and column offsets with probability proportional to z."""
        cumulative = self._cumulative
        flat = np.searchsorted(cumulative, rng.random(size) * cumulative[-1], side="right")
        rows, cols = np.divmod(np.minimum(flat, cumulative.size - 1), 2 * self.reach + 1)
        return rows - self.reach, cols - self.reach

    def mass_inside(self, centres: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """Sum z over the pixels of the image, for each centre: what normalises it there."""
        low = np.clip(self.reach - centres, 0, None)
        high = np.clip(np.array(shape) - centres + self.reach, None, 2 * self.reach + 1)
        (r0, c0), (r1, c1) = low.T, high.T
        table = self._integral
        return table[r1, c1] - table[r0, c1] - table[r1, c0] + table[r0, c0]

    def look_up(self, offsets: np.ndarray) -> np.ndarray:
        """Give z at integer offsets (..., 2); 0 beyond the table."""
        inside = (np.abs(offsets) <= self.reach).all(axis=-1)
        index = np.where(inside[..., None], offsets + self.reach, 0)
        return np.where(inside, self.values[index[..., 0], index[..., 1]], 0.0)

    def window(self, centre: np.ndarray, shape: tuple[int, int]) -> tuple[tuple[slice, slice], np.ndarray]:
        """Give the part of the image that the table reaches from a centre, and z there."""
        low = np.maximum(centre - self.reach, 0)
        high = np.minimum(centre + self.reach + 1, shape)
        image = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        table = tuple(
            slice(int(a), int(b)) for a, b in zip(low - centre + self.reach, high - centre + self.reach, strict=True)
        )
        return image, self.values[table]


@lru_cache(maxsize=8)
def _table(cell_size_px: float, sigma_px: float, core: str) -> ExcitationTable:
    return ExcitationTable(cell_size_px, sigma_px, core)


def excitation_table(config: PlacementConfig) -> ExcitationTable:
    """Give the table of a configuration, built once."""
    return _table(float(config.cell_size_px), config.sigma, config.core)


def component_weights(placed: int, n_init: int, variant: str = "final") -> tuple[float, np.ndarray]:
    """Give the weights of the mixture that Eq. 3 unrolls to, for the cell after `placed` cells.

    Parameters
    ----------
    placed : int
        Cells that lie already; the next one is cell i = placed + 1.
    n_init : int
    variant : {"final", "first"}

    Returns
    -------
    uniform : float
        Weight of the uniform distribution.
    weights : float (placed,)
        Weight of each cell's normalised excitation; with `uniform` they sum to 1.

    Notes
    -----
    The recursion P(i) = (1 - 1/i) P(i-1) + (1/i) z(l_{i-1}) means i P(i) = (i-1) P(i-1) + z(l_{i-1}).
    Final version, which starts from the mean of the seeds at i = n + 1:
    P(i) = (1/i) [ (n+1)/n Σ_{j≤n} z(l_j) + Σ_{n<j<i} z(l_j) ]: the seeds weigh (n+1)/n times the others.
    First version, which starts from the uniform P(n):
    P(i) = (1/i) [ n · uniform + Σ_{n≤j<i} z(l_j) ]: a uniform floor of n/i stays, and only the last seed counts.
    Book: chapter 03.

    Examples
    --------
    >>> uniform, weights = component_weights(4, n_init=2)
    >>> uniform, (weights * 5).tolist()
    (0.0, [1.5, 1.5, 1.0, 1.0])
    >>> uniform, weights = component_weights(4, n_init=2, variant="first")
    >>> uniform, (weights * 5).tolist()
    (0.4, [0.0, 1.0, 1.0, 1.0])
    """
    if placed < n_init:
        return 1.0, np.zeros(placed)
    weights = np.ones(placed)
    if variant == "final":
        weights[:n_init] = (n_init + 1) / n_init
        uniform = 0.0
    else:
        weights[: n_init - 1] = 0.0
        uniform = float(n_init)
    return uniform / (placed + 1), weights / (placed + 1)


def _mixture(centres: np.ndarray, shape: tuple[int, int], config: PlacementConfig) -> tuple[float, np.ndarray]:
    if config.kind == "uniform":
        return 1.0, np.zeros(len(centres))
    return component_weights(len(centres), config.seeds(shape), config.variant)


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
    uniform, weights = _mixture(centres, shape, config)
    out = np.full(shape, uniform / (shape[0] * shape[1]))
    table = excitation_table(config)
    for centre, weight in zip(centres[weights > 0], weights[weights > 0], strict=True):
        window, z = table.window(centre, shape)
        mass = z.sum()
        if mass > 0:
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
    uniform, weights = _mixture(centres, shape, config)
    out = np.full(len(points), uniform / (shape[0] * shape[1]))
    used = weights > 0
    if used.any():
        table = excitation_table(config)
        mass = table.mass_inside(centres[used], shape)
        empty = mass <= 1e-12
        out += weights[used][empty].sum() / (shape[0] * shape[1])
        scaled = np.divide(weights[used], mass, out=np.zeros(len(mass)), where=~empty)
        for start in range(0, len(points), 256):  # bounded memory: (256, n, 2) offsets at a time
            part = slice(start, start + 256)
            out[part] += table.look_up(points[part, None] - centres[used][None]) @ scaled
    return out


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

    Notes
    -----
    P is a mixture: choose a cell by its weight, then an offset from z. While the point falls
    outside the image only the *offset* is drawn again, since every z sums to 1 inside the image;
    redrawing the cell as well would take weight from cells near the border. Exact up to the
    2e-14 of a Gaussian's peak beyond 8 σ. Book: chapter 03.
    """
    uniform, weights = _mixture(centres, shape, config)
    points = rng.integers(0, shape, size=(size, 2))
    if uniform >= 1.0:
        return points
    cumulative = np.cumsum(weights)
    pick = np.searchsorted(cumulative, rng.random(size) * (cumulative[-1] + uniform), side="right")
    open_ = np.flatnonzero(pick < len(weights))  # the others stay uniform
    table = excitation_table(config)
    for _ in range(64):
        if not len(open_):
            return points
        points[open_] = centres[pick[open_]] + np.stack(table.draw(rng, len(open_)), axis=1)
        outside = ((points[open_] < 0) | (points[open_] >= shape)).any(axis=1)
        open_ = open_[outside]
    # A canvas so small that offsets hardly ever hit it: draw from z over its few pixels instead.
    for k in open_:
        points[k] = _draw_inside(rng, centres[pick[k]], shape, table)
    return points


def _draw_inside(
    rng: np.random.Generator, centre: np.ndarray, shape: tuple[int, int], table: ExcitationTable
) -> np.ndarray:
    window, z = table.window(centre, shape)
    cumulative = np.cumsum(z)
    if cumulative[-1] <= 0:  # core="zero" and the whole image inside the core
        return rng.integers(0, shape)
    flat = int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))
    row, col = divmod(min(flat, z.size - 1), z.shape[1])
    return np.array([window[0].start + row, window[1].start + col])
