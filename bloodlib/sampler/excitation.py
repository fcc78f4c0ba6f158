"""The excitation of one cell: the Gaussian of Bailo et al. 2019, Eq. 3, reverted inside the cell."""

from __future__ import annotations

from functools import cached_property, lru_cache

import numpy as np

CORES = ("inverted", "zero")

# A Gaussian is below 2e-14 of its peak beyond 8 sigma, so a table cut there is exact.
_TABLE_SIGMAS = 8.0
_BUCKETS = 2**18  # of the guide table: about two for each pixel within 4 sigma at the paper's size


def one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Refuse a value that is not in the list, naming the argument and the legal values."""
    if value not in allowed:
        raise ValueError(f"{name}={value!r} is not known; allowed are {', '.join(map(repr, allowed))}")


def half_width_sigma(cell_size_px: float) -> float:
    """Give the paper's σ = cell_size / √(2 ln 2), which makes the Gaussian ½ at `cell_size_px`.

    Examples
    --------
    >>> round(half_width_sigma(46.0), 2)
    39.07
    """
    return cell_size_px / float(np.sqrt(2 * np.log(2)))


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
    sigma = half_width_sigma(cell_size_px) if sigma_px is None else sigma_px
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
        self.cell_size_px, self.sigma_px, self.core = cell_size_px, sigma_px, core
        self.reach = int(np.ceil(max(_TABLE_SIGMAS * sigma_px, cell_size_px)))
        axis = np.arange(-self.reach, self.reach + 1)
        self.values = excitation(np.hypot(axis[:, None], axis[None, :]), cell_size_px, sigma_px, core)

    @cached_property
    def _cumulative(self) -> np.ndarray:
        return np.cumsum(self.values)

    @cached_property
    def _guide(self) -> np.ndarray:
        """First entry of the cumulative sum above j / _BUCKETS of the whole, int (_BUCKETS + 1,)."""
        levels = np.arange(_BUCKETS + 1) / _BUCKETS * self._cumulative[-1]
        return np.minimum(self._cumulative.searchsorted(levels, side="right"), self._cumulative.size - 1)

    @cached_property
    def _by_square(self) -> np.ndarray:
        distance = np.sqrt(np.arange(self.reach**2 + 1))
        return np.append(excitation(distance, self.cell_size_px, self.sigma_px, self.core), 0.0)

    @cached_property
    def _integral(self) -> np.ndarray:
        return np.pad(self.values, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)

    def draw(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Draw offsets (size, 2) with probability proportional to z.

        Notes
        -----
        Inversion of the cumulative sum. A guide table leads to the entry or just before it, which
        saves most of a binary search through more memory than is near at hand.
        """
        level = rng.random(size)
        flat = self._guide.take((level * _BUCKETS).astype(np.intp))
        level *= self._cumulative[-1]
        for _ in range(2):
            flat += self._cumulative.take(flat, mode="clip") <= level
        behind = (self._cumulative.take(flat, mode="clip") <= level).nonzero()[0]
        flat[behind] = self._cumulative.searchsorted(level[behind], side="right")
        offsets = np.empty((size, 2), dtype=int)
        np.divmod(np.minimum(flat, self.values.size - 1), 2 * self.reach + 1, out=(offsets[:, 0], offsets[:, 1]))
        offsets -= self.reach
        return offsets

    def mass_inside(self, centres: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """Sum z over the pixels of the image, for each centre: what normalises it there."""
        low = np.clip(self.reach - centres, 0, None)
        high = np.clip(np.array(shape) - centres + self.reach, None, 2 * self.reach + 1)
        (r0, c0), (r1, c1) = low.T, high.T
        table = self._integral
        return table[r1, c1] - table[r0, c1] - table[r1, c0] + table[r0, c0]

    def at_squared(self, squared: np.ndarray) -> np.ndarray:
        """Give z at squared distances in px² (int), 0 beyond the table."""
        return self._by_square.take(np.minimum(squared, len(self._by_square) - 1))

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
def excitation_table(cell_size_px: float, sigma_px: float, core: str) -> ExcitationTable:
    """Give the table of these constants, built once."""
    return ExcitationTable(cell_size_px, sigma_px, core)
