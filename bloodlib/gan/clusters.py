"""Which looks are alike: clusters of features, and looks unlike all others of their smear."""

from __future__ import annotations

import warnings

import numpy as np

ODD = 5.0  # ours: robust deviations from its smear's cells beyond which a look is not lent
_FEW = 10  # instances from which no usual look can be told


def usual_looks(features: np.ndarray, kind: np.ndarray, smear: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Say which instances look about like the others of their class in their smear.

    Parameters
    ----------
    features : float32 (n, C)
    kind, smear : int64 (n,)
    whole : bool (n,)
        What is usual is measured on these.

    Returns
    -------
    bool (n,)
        Whether the root mean square, over features, of the distance from the median in units of 1.4826 times the
        median absolute deviation is at most `ODD`. A feature that most instances have alike says nothing. True
        where a class has under ten whole instances in a smear.
    """
    usual = np.ones(len(features), dtype=bool)
    for k, s in np.unique(np.stack([kind, smear], axis=1), axis=0):
        alike = (kind == k) & (smear == s)
        seen = features[alike & whole].astype(np.float64)
        if len(seen) < _FEW:
            continue
        middle = np.median(seen, axis=0)
        spread = 1.4826 * np.median(np.abs(seen - middle), axis=0)
        far = (features[alike] - middle)[:, spread > 0] / spread[spread > 0]
        usual[alike] = np.sqrt(np.square(far).sum(axis=1) / max(far.shape[1], 1)) <= ODD
    return usual


def nearest(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Give the nearest centre of each point, int64 (n,)."""
    return np.array([int(np.square(centres - point).sum(axis=1).argmin()) for point in points], dtype=np.int64)


def kmeans(points: np.ndarray, clusters: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Give the cluster of each point and the centres, the largest cluster first."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    if not len(points):
        return np.zeros(0, dtype=np.int64), np.zeros((0, points.shape[1]), dtype=np.float32)
    clusters = min(clusters, len(np.unique(points, axis=0)))
    with np.errstate(invalid="ignore"), warnings.catch_warnings():  # some matrix products set it beyond their operands
        warnings.simplefilter("ignore", ConvergenceWarning)  # where points differ by rounding alone, some stay empty
        found = KMeans(clusters, n_init=10, random_state=seed).fit(points)
    sizes = np.bincount(found.labels_, minlength=clusters)
    order = np.argsort(-sizes, kind="stable")
    rank = np.argsort(order)
    return rank[found.labels_], found.cluster_centers_[order[: np.count_nonzero(sizes)]].astype(np.float32)
