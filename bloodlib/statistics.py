"""Measure smears: Table 1 of a set, and how its cells lie to one another."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import cv2
import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from .smears import Smear


@dataclass(frozen=True, eq=False)
class CellMeasures:
    """Hold what is measured on each cell of one mask; entry ``k - 1`` belongs to instance ``k``.

    ``area_px`` int (n,); ``box`` int (n, 4): first row, first column, end row, end column;
    ``complete`` bool (n,): not cut by the border; ``centre`` float (n, 2): row, column of the
    centroid; ``colour`` float (n, 3): mean RGB over the cell, NaN where no image was given.
    """

    area_px: np.ndarray
    box: np.ndarray
    complete: np.ndarray
    centre: np.ndarray
    colour: np.ndarray


def measure_cells(instances: np.ndarray, image: np.ndarray | None = None) -> CellMeasures:
    """Measure every instance of a mask in one pass over its pixels.

    Parameters
    ----------
    instances : int32 (H, W)
        0 is background, cells are 1..n without gaps.
    image : uint8 (H, W, 3), optional

    Returns
    -------
    CellMeasures

    Notes
    -----
    A cell is *complete* when none of its pixels lies on the outermost row or column: only
    then is its bounding box the size of the cell. Book: chapter 01.

    Examples
    --------
    >>> mask = np.zeros((6, 8), dtype=np.int32)
    >>> mask[1:4, 2:7] = 1
    >>> cells = measure_cells(mask)
    >>> cells.area_px.tolist(), cells.box.tolist(), cells.centre.tolist(), cells.complete.tolist()
    ([15], [[1, 2, 4, 7]], [[2.0, 4.0]], [True])
    """
    height, width = instances.shape
    row, col = np.nonzero(instances)
    label = instances[row, col] - 1
    n = int(label.max(initial=-1)) + 1
    area = np.bincount(label, minlength=n)
    first = np.full((2, n), max(height, width))
    last = np.zeros((2, n), dtype=int)
    for axis, position in enumerate((row, col)):
        np.minimum.at(first[axis], label, position)
        np.maximum.at(last[axis], label, position)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.bincount(label, weights=values, minlength=n) / np.maximum(area, 1)

    colour = np.full((n, 3), np.nan)
    if image is not None:
        pixels = image[row, col]
        colour = np.stack([mean(pixels[:, c]) for c in range(3)], axis=1)  # (n, 3)
    complete = (first > 0).all(axis=0) & (last[0] < height - 1) & (last[1] < width - 1)
    return CellMeasures(
        area_px=area,
        box=np.concatenate([first, last + 1]).T,  # (n, 4)
        complete=complete,
        centre=np.stack([mean(row), mean(col)], axis=1),  # (n, 2)
        colour=colour,
    )


@dataclass(frozen=True)
class Table1:
    """Hold the statistics that Table 1 of Bailo et al. 2019 gives, for any set of smears.

    Sizes are bounding boxes of complete cells in pixels; colours are means and standard
    deviations over cells of the cell's mean colour (RGB, 0 to 255); the standard deviations
    are those of the population. ``largest`` and ``smallest`` are (width, height) of the
    complete cells whose boxes have the largest and the smallest area.
    """

    images: int
    cells: int
    count_mean: float
    count_std: float
    width_mean: float
    width_std: float
    height_mean: float
    height_std: float
    colour_mean: tuple[float, float, float]
    colour_std: tuple[float, float, float]
    largest: tuple[int, int]
    smallest: tuple[int, int]

    def rows(self) -> list[tuple[str, float, float]]:
        """List (name, mean, standard deviation) in the order of the paper's table."""
        channels = zip(("red", "green", "blue"), self.colour_mean, self.colour_std, strict=True)
        return [
            ("cells per image", self.count_mean, self.count_std),
            ("cell width (px)", self.width_mean, self.width_std),
            ("cell height (px)", self.height_mean, self.height_std),
            *((f"cell colour, {name}", mean, std) for name, mean, std in channels),
        ]

    def to_dict(self) -> dict:
        """Give the fields as plain values that JSON can hold."""
        return asdict(self)

    @classmethod
    def of(cls, measures: Iterable[CellMeasures]) -> Table1:
        """Summarise smears that were measured with `measure_cells`.

        Raises
        ------
        ValueError
            If there is no smear, or none with a complete cell.
        """
        measures = list(measures)
        if not measures:
            raise ValueError("no smears to describe: the folder is empty; did the split keep any?")
        counts = np.array([len(cells.area_px) for cells in measures])
        box = np.concatenate([cells.box[cells.complete] for cells in measures])
        if len(box) == 0:
            raise ValueError(
                f"{len(measures)} smears hold no complete cell ({counts.sum()} cells, all cut by the border): "
                "sizes cannot be measured; are these crops of single cells?"
            )
        height, width = (box[:, 2:] - box[:, :2]).T
        colour = np.concatenate([cells.colour for cells in measures])
        order = np.argsort(height * width, kind="stable")
        return cls(
            images=len(measures),
            cells=int(counts.sum()),
            count_mean=float(counts.mean()),
            count_std=float(counts.std()),
            width_mean=float(width.mean()),
            width_std=float(width.std()),
            height_mean=float(height.mean()),
            height_std=float(height.std()),
            colour_mean=tuple(colour.mean(axis=0).tolist()),
            colour_std=tuple(colour.std(axis=0).tolist()),
            largest=(int(width[order[-1]]), int(height[order[-1]])),
            smallest=(int(width[order[0]]), int(height[order[0]])),
        )


def describe(smears: Iterable[Smear]) -> Table1:
    """Measure Table 1 of Bailo et al. 2019 on any smears. Book: chapter 01.

    Parameters
    ----------
    smears : SmearFolder or iterable of Smear
        Read one at a time.

    Returns
    -------
    Table1
    """
    return Table1.of(measure_cells(smear.instances, smear.image) for smear in smears)


def coverage(instances: np.ndarray) -> float:
    """Give the share of the image that cells cover, in [0, 1].

    Examples
    --------
    >>> coverage(np.array([[0, 1], [2, 2]]))
    0.75
    """
    return float(np.count_nonzero(instances) / instances.size)


def pair_correlation(centres: np.ndarray, shape: tuple[int, int], edges: np.ndarray) -> np.ndarray:
    """Estimate the pair-correlation function g(r) of points in a rectangle.

    Parameters
    ----------
    centres : float (n, 2)
        Row and column of each point.
    shape : (height, width)
        The window, in pixels.
    edges : float (bins + 1,)
        Bounds of the distance bins in pixels, ascending; the last must be below the shorter side.

    Returns
    -------
    float (bins,)
        Mean of g over each bin: 1 where pairs are as frequent as in complete randomness.
        NaN for fewer than two points.

    Notes
    -----
    Translation edge correction (Ohser 1983; Illian et al. 2008, section 4.3): a pair with
    offset (dy, dx) is only seen where both ends are inside, which is the share
    (H - |dy|)(W - |dx|) of the window, so it counts by the inverse of that:
    g = A² / (n (n - 1) |ring|) · Σ_{i≠j} 1[d_ij in ring] / ((H - |dy|)(W - |dx|)).
    Book: chapter 04.
    """
    edges = np.asarray(edges, dtype=float)
    if edges[-1] >= min(shape):
        raise ValueError(f"edges: largest distance is {edges[-1]:g} px, allowed is below the shorter side {min(shape)}")
    n = len(centres)
    if n < 2:
        return np.full(len(edges) - 1, np.nan)
    pairs = cKDTree(centres).query_pairs(edges[-1], output_type="ndarray")
    offset = np.abs(centres[pairs[:, 0]] - centres[pairs[:, 1]])
    seen = (shape[0] - offset[:, 0]) * (shape[1] - offset[:, 1])
    weight, _ = np.histogram(np.hypot(*offset.T), bins=edges, weights=2.0 / seen)
    area = float(shape[0] * shape[1])
    ring = np.pi * np.diff(edges**2)
    return weight * area**2 / (n * (n - 1) * ring)


def nearest_neighbour_distances(centres: np.ndarray) -> np.ndarray:
    """Give each point's distance to its nearest neighbour in pixels; empty for fewer than two points.

    Notes
    -----
    Without edge correction: compare only layouts in windows of the same size. Book: chapter 04.

    Examples
    --------
    >>> nearest_neighbour_distances(np.array([[0, 0], [3, 4], [3, 5]])).tolist()
    [5.0, 1.0, 1.0]
    """
    if len(centres) < 2:
        return np.zeros(0)
    return cKDTree(centres).query(centres, k=2)[0][:, 1]


def _grown(instances: np.ndarray, reach_px: float) -> np.ndarray:
    """Give every background pixel within reach of a cell to the nearest one."""
    if not instances.any():
        return instances
    outside = (instances == 0).astype(np.uint8)
    distance, nearest = cv2.distanceTransformWithLabels(
        outside, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    owner = np.zeros(int(nearest.max()) + 1, dtype=instances.dtype)
    inside = instances > 0
    owner[nearest[inside]] = instances[inside]
    return np.where(distance <= reach_px, owner[nearest], 0)


def touching_pairs(instances: np.ndarray, gap_px: float = 0.0) -> np.ndarray:
    """List the pairs of instances that touch (8-neighbourhood).

    Parameters
    ----------
    instances : int32 (H, W)
    gap_px : float
        Cells with at most about this much background between them count as touching as well:
        every cell is grown by half of it first. 0 takes the mask literally.

    Returns
    -------
    int (k, 2)
        Ids, the smaller one first, sorted.

    Examples
    --------
    >>> touching_pairs(np.array([[1, 0, 3], [0, 2, 0], [0, 0, 0]])).tolist()
    [[1, 2], [2, 3]]
    """
    if gap_px > 0:
        instances = _grown(instances, gap_px / 2)
    found = []
    for a, b in (
        (instances[:, :-1], instances[:, 1:]),
        (instances[:-1], instances[1:]),
        (instances[:-1, :-1], instances[1:, 1:]),
        (instances[:-1, 1:], instances[1:, :-1]),
    ):
        meet = (a != b) & (a > 0) & (b > 0)
        found.append(np.stack([a[meet], b[meet]], axis=1))
    pairs = np.sort(np.concatenate(found), axis=1)
    return np.unique(pairs, axis=0)


def cluster_sizes(instances: np.ndarray, gap_px: float = 0.0) -> np.ndarray:
    """Give the number of cells in every cluster of touching cells, largest first; a lone cell is a cluster of 1.

    Examples
    --------
    >>> cluster_sizes(np.array([[1, 0, 3, 0, 4], [0, 2, 0, 0, 0]])).tolist()
    [3, 1]
    """
    n = int(instances.max(initial=0))
    pairs = touching_pairs(instances, gap_px) - 1
    graph = sparse.coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    if n == 0:
        return np.zeros(0, dtype=int)
    _, member = connected_components(graph, directed=False)
    return np.sort(np.bincount(member))[::-1]


def touching_share(instances: np.ndarray, gap_px: float = 0.0) -> float:
    """Give the share of cells that touch another one, in [0, 1]; 0 for a mask without cells.

    Examples
    --------
    >>> touching_share(np.array([[1, 0, 3, 0, 4], [0, 2, 0, 0, 0]]))
    0.75
    """
    n = int(instances.max(initial=0))
    return len(np.unique(touching_pairs(instances, gap_px))) / n if n else 0.0


@dataclass(frozen=True, eq=False)
class DeviationTest:
    """Hold the answer of `deviation_test`: the p-value, and the band that holds a curve of the simulated kind."""

    p_value: float
    low: np.ndarray
    high: np.ndarray


def deviation_test(observed: np.ndarray, simulated: np.ndarray, level: float = 0.05) -> DeviationTest:
    """Ask whether a measured curve could be one more of the simulated ones.

    Parameters
    ----------
    observed : float (k,)
        A curve, or one number as (1,).
    simulated : float (s, k)
        The same measured on s simulations; with s = 19 the smallest possible p-value is 0.05.
    level : float
        The band holds all k values of a simulated curve with probability 1 - level.

    Returns
    -------
    DeviationTest
        ``p_value`` in [1 / (s + 1), 1]; ``low`` and ``high`` float (k,).

    Notes
    -----
    Monte Carlo test with the greatest studentised deviation (Myllymäki et al. 2017): all s + 1
    curves are treated alike, so if the observed one is of the same kind its rank is uniform, and
    P(p_value ≤ α) ≤ α exactly, over all k values at once. Values that never vary cannot deviate
    unless the observed one differs. Entries that are NaN in every curve are left out.
    Book: chapter 04.

    Examples
    --------
    >>> deviation_test(np.array([9.0]), np.arange(19.0)[:, None] / 19).p_value
    0.05
    """
    curves = np.concatenate([np.atleast_2d(observed), simulated]).astype(float)  # (s + 1, k)
    known = ~np.isnan(curves).all(axis=0)
    mean = np.where(known, np.nanmean(np.where(known, curves, 0.0), axis=0), np.nan)
    spread = np.where(known, np.nanstd(np.where(known, curves, 0.0), axis=0), np.nan)
    steady = np.maximum(spread, 1e-12 * (1 + np.abs(mean)))
    deviation = np.nanmax(np.where(known, np.abs(curves - mean) / steady, 0.0), axis=1)
    p_value = float(np.mean(deviation >= deviation[0] * (1 - 1e-12)))
    reach = np.quantile(deviation[1:], 1 - level, method="higher") * spread
    return DeviationTest(p_value, mean - reach, mean + reach)
