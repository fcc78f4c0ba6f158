"""Average precision by crowding: is a cell harder to find when it touches others?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..layout_statistics import cluster_members
from .metrics import average_precision, box_iou, instance_boxes

KINDS = ("isolated", "touching", "clustered")
LEAST_CLUSTER = 4  # ours: cells that hang together from which they are clustered
GAP_PX = 2.0  # ours: background between cells that counts as touching; derived outlines keep a thin rim


def crowding(instances: np.ndarray, gap_px: float = GAP_PX) -> np.ndarray:
    """Say how crowded each cell lies.

    Parameters
    ----------
    instances : int32 (H, W)
        Numbered 1..n.
    gap_px : float
        Most background between cells that count as touching.

    Returns
    -------
    int (n,)
        Position in `KINDS`: alone; in a group of two or three that touch; in a larger one.

    Examples
    --------
    >>> crowding(np.array([[1, 1, 2, 2, 0, 0, 0, 0, 3, 3]]))
    array([1, 1, 0])
    """
    members = cluster_members(instances, gap_px)
    sizes = np.bincount(members)[members] if len(members) else members
    return np.where(sizes >= LEAST_CLUSTER, 2, (sizes > 1).astype(int))


def by_crowding(
    predictions: Sequence[tuple[np.ndarray, np.ndarray]], targets: Sequence[np.ndarray]
) -> dict[str, dict[str, float]]:
    """Compute AP50 and AP of boxes apart for isolated, touching and clustered cells.

    Parameters
    ----------
    predictions : sequence of (boxes, scores), one per image
        Boxes float (n, 4) x0, y0, x1, y1.
    targets : sequence of int32 (H, W)
        Instance masks.

    Returns
    -------
    dict
        By kind ``AP50``, ``AP`` (NaN where no cell is of the kind) and the number of ``cells``.

    Notes
    -----
    A detection belongs to the kind of the cell that it overlaps most, or, where it overlaps none, of the
    cell whose centre is nearest: so a false detection counts against the neighbourhood that it was made
    in. An image without cells has no kinds; its detections count nowhere. Bailo et al. say in their first
    version that detectors struggle with clutter. Book: chapter 09.
    """
    kinds, boxes, found = [], [], []
    for (predicted, scores), instances in zip(predictions, targets, strict=True):
        truth = instance_boxes(instances)
        kinds.append(crowding(instances))
        boxes.append(truth)
        found.append((predicted, scores, _kind_of(predicted, truth, kinds[-1])))
    result = {}
    for place, name in enumerate(KINDS):
        mine = [(p[k == place], s[k == place]) for p, s, k in found]
        scored = average_precision(mine, [b[k == place] for b, k in zip(boxes, kinds, strict=True)])
        cells = int(sum((k == place).sum() for k in kinds))
        result[name] = {"AP50": scored["AP50"], "AP": scored["AP"], "cells": cells}
    return result


def _kind_of(predicted: np.ndarray, truth: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    if not len(truth):
        return np.full(len(predicted), -1)
    overlap = box_iou(predicted, truth)  # (n, m)
    centre = lambda boxes: (boxes[:, :2] + boxes[:, 2:]) / 2  # noqa: E731
    away = np.linalg.norm(centre(predicted)[:, None] - centre(truth)[None], axis=2)  # (n, m, 2) -> (n, m)
    nearest = np.where(overlap.max(axis=1) > 0, overlap.argmax(axis=1), away.argmin(axis=1))
    return kinds[nearest]
