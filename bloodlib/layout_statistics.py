"""Measure how the cells of a smear lie to one another: as points in a window, and by what touches what."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree


def coverage(instances: np.ndarray) -> float:
    """Give the share of the image that cells cover, in [0, 1].

    Examples
    --------
    >>> coverage(np.array([[0, 1], [2, 2]]))
    0.75
    """
    return float(np.count_nonzero(instances) / instances.size)


def _weighted_pairs(
    centres: np.ndarray, shape: tuple[int, int], reach_px: float, name: str
) -> tuple[np.ndarray, np.ndarray]:
    """List the distances of all pairs within reach, and the terms of K's estimator that they stand for."""
    if reach_px >= min(shape):
        raise ValueError(f"{name}: largest distance is {reach_px:g} px, allowed is below the shorter side {min(shape)}")
    n = len(centres)
    if n < 2:
        return np.zeros(0), np.zeros(0)
    pairs = cKDTree(centres).query_pairs(reach_px, output_type="ndarray")
    offset = np.abs(centres[pairs[:, 0]] - centres[pairs[:, 1]])
    seen = (shape[0] - offset[:, 0]) * (shape[1] - offset[:, 1])
    area = float(shape[0] * shape[1])
    return np.hypot(*offset.T), 2.0 * area**2 / (n * (n - 1) * seen)  # either order counts


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
    distance, weight = _weighted_pairs(centres, shape, edges[-1], "edges")
    if len(centres) < 2:
        return np.full(len(edges) - 1, np.nan)
    sums, _ = np.histogram(distance, bins=edges, weights=weight)
    return sums / (np.pi * np.diff(edges**2))


def ripley_k(centres: np.ndarray, shape: tuple[int, int], radii: np.ndarray) -> np.ndarray:
    """Estimate Ripley's K(r) of points in a rectangle: neighbours within r of a point, per density.

    Parameters
    ----------
    centres : float (n, 2)
        Row and column of each point.
    shape : (height, width)
        The window, in pixels.
    radii : float (k,)
        Distances in pixels, all below the shorter side.

    Returns
    -------
    float (k,)
        In px²; π r² in complete randomness. NaN for fewer than two points.

    Notes
    -----
    The integral of `pair_correlation` with the same translation edge correction:
    K(r) = ∫ 2π s g(s) ds = A² / (n (n - 1)) · Σ_{i≠j} 1[d_ij < r] / ((H - |dy|)(W - |dx|)).
    Source: Ripley 1976; Ohser 1983. Book: chapter 04.

    Examples
    --------
    >>> ripley_k(np.array([[5.0, 4.0], [5.0, 6.0]]), (10, 10), np.array([2.0, 3.0])).tolist()
    [0.0, 125.0]
    """
    radii = np.asarray(radii, dtype=float)
    distance, weight = _weighted_pairs(centres, shape, radii.max(), "radii")
    if len(centres) < 2:
        return np.full(len(radii), np.nan)
    order = np.argsort(distance)
    nearer = np.searchsorted(distance[order], radii, side="left")  # pairs nearer than each radius
    return np.append(0.0, np.cumsum(weight[order]))[nearer]


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
    gained = (outside > 0) & (distance <= reach_px)
    grown = instances.copy()
    grown[gained] = owner[nearest[gained]]
    return grown


def touching_pairs(instances: np.ndarray, gap_px: float = 0.0) -> np.ndarray:
    """List the pairs of instances that touch (8-neighbourhood).

    Parameters
    ----------
    instances : int32 (H, W)
    gap_px : float
        Cells with at most this much background between them count as touching as well: every cell is grown by half
        of it first, so that an odd number counts as the even one below. 0 takes the mask literally.

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


def cluster_members(instances: np.ndarray, gap_px: float = 0.0) -> np.ndarray:
    """Say to which cluster of touching cells each cell belongs: int (n,), clusters counted from 0.

    Examples
    --------
    >>> cluster_members(np.array([[1, 0, 3, 0, 4], [0, 2, 0, 0, 0]])).tolist()
    [0, 0, 0, 1]
    """
    n = int(instances.max(initial=0))
    if n == 0:
        return np.zeros(0, dtype=int)
    pairs = touching_pairs(instances, gap_px) - 1
    graph = sparse.coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    return connected_components(graph, directed=False)[1]


def cluster_sizes(instances: np.ndarray, gap_px: float = 0.0) -> np.ndarray:
    """Give the number of cells in every cluster of touching cells, largest first; a lone cell is a cluster of 1.

    Examples
    --------
    >>> cluster_sizes(np.array([[1, 0, 3, 0, 4], [0, 2, 0, 0, 0]])).tolist()
    [3, 1]
    """
    return np.sort(np.bincount(cluster_members(instances, gap_px)))[::-1]


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
    if np.isnan(curves[0]).all():  # nothing was observed that could deviate
        unknown = np.full(curves.shape[1], np.nan)
        return DeviationTest(1.0, unknown, unknown)
    known = ~np.isnan(curves).all(axis=0)
    mean = np.where(known, np.nanmean(np.where(known, curves, 0.0), axis=0), np.nan)
    spread = np.where(known, np.nanstd(np.where(known, curves, 0.0), axis=0), np.nan)
    steady = np.maximum(spread, 1e-12 * (1 + np.abs(mean)))
    deviation = np.nan_to_num(np.abs(curves - mean) / steady).max(axis=1)  # what is not known deviates by nothing
    p_value = float(np.mean(deviation >= deviation[0] * (1 - 1e-12)))
    reach = np.quantile(deviation[1:], 1 - level, method="higher") * spread
    return DeviationTest(p_value, mean - reach, mean + reach)
