"""From instances to objectness and contours, and back."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from skimage.segmentation import expand_labels


def contour_targets(instances: np.ndarray, half_px: int) -> np.ndarray:
    """Make what the two heads are trained on.

    Parameters
    ----------
    instances : int32 (H, W)
    half_px : int
        The contour covers this many pixels on each side of an outline.

    Returns
    -------
    bool (2, H, W)
        Objectness (every cell pixel), contour (a square of side 2·half_px + 1 around the pixel holds
        two different labels). The image's own border is no contour: nothing is known beyond it.

    Examples
    --------
    >>> contour_targets(np.array([[1, 1, 1, 2, 2, 2, 0, 0, 0]], np.int32), 1)[1].astype(int)
    array([[0, 0, 1, 1, 0, 1, 1, 0, 0]])
    """
    size = 2 * half_px + 1
    top = ndimage.maximum_filter(instances, size, mode="nearest")
    low = ndimage.minimum_filter(instances, size, mode="nearest")
    return np.stack([instances > 0, top != low])  # 2 × (H, W) -> (2, H, W)


def blobs(
    objectness: np.ndarray, contour: np.ndarray, half_px: int, least_area_px: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Cut predicted objects along predicted contours into instances.

    Parameters
    ----------
    objectness, contour : float (H, W)
        Probabilities.
    half_px : int
        How far each piece is grown back: the contour's half width.
    least_area_px : int
        Grown pieces smaller than this are dropped.

    Returns
    -------
    instances : int32 (H, W)
    scores : float64 (n,)
        Mean objectness of each piece before it was grown: ours, since the paper names no score.

    Notes
    -----
    Pieces are the 4-connected components of objectness ≥ ½ and contour < ½; growing never lets one
    piece run into another. Book: chapter 10.
    """
    inner, count = ndimage.label((objectness >= 0.5) & (contour < 0.5))
    if count == 0:
        return np.zeros(objectness.shape, np.int32), np.zeros(0)
    scores = np.asarray(ndimage.mean(objectness, inner, np.arange(1, count + 1)), dtype=float)
    grown = expand_labels(inner, half_px)
    kept = np.bincount(grown.ravel(), minlength=count + 1)[1:] >= least_area_px
    numbers = np.concatenate([[0], np.where(kept, np.cumsum(kept), 0)])
    return numbers[grown].astype(np.int32), scores[kept]
