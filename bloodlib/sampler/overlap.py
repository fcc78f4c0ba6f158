"""Cells that lie on one another: how much of each may be covered, and which places are left for more."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from .canvas import LAID, Canvas
from .stamp import Stamp

Box = tuple[int, int, int, int]  # first row, first column, end row, end column


def common(one: Box, other: Box) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Give the part that two boxes have in common, as slices into each of them.

    Examples
    --------
    >>> common((0, 0, 4, 4), (2, 3, 9, 9))
    ((slice(2, 4, None), slice(3, 4, None)), (slice(0, 2, None), slice(0, 1, None)))
    """
    top, left = max(one[0], other[0]), max(one[1], other[1])
    bottom, right = max(top, min(one[2], other[2])), max(left, min(one[3], other[3]))
    return tuple((slice(top - box[0], bottom - box[0]), slice(left - box[1], right - box[1])) for box in (one, other))


class OverlapCanvas(Canvas):
    """Hold cells that may cover part of one another, the later on top.

    Parameters
    ----------
    shape, margin_px, colours
        As for `Canvas`.
    share : float
        Greatest share of a cell that another may cover, in [0, 1); a stamp may bring its own.

    Notes
    -----
    A place is refused where the new cell and another have more than `share` of the smaller one's
    area in common, where the new one lies with more than `share` of its own area on all others
    together, and where of a cell below nothing or several pieces would be left to see. Whole cells
    count, also what is hidden or beyond the border. Two cells that overlap or touch, seen or
    hidden, have different colours. With a share of 0 these are the rules of `Canvas`. Ours: the
    paper has no overlaps. Book: chapter 03.
    """

    def __init__(self, shape: tuple[int, int], margin_px: int, colours: int, share: float) -> None:
        super().__init__(shape, margin_px, colours)
        self._share = share
        self._boxes = np.zeros((0, 4), dtype=int)

    def screen(self, stamps: Sequence[Stamp], points: np.ndarray) -> np.ndarray:
        """Rule out nothing, bool (len(stamps), m): that one pixel of a shape lies on a cell settles nothing here."""
        return np.ones(points.shape[:2], dtype=bool)

    def lay(self, stamp: Stamp, point: np.ndarray, colour: int) -> None:
        """Draw the shape there in a colour as the next instance, over what lies there."""
        super().lay(stamp, point, colour)
        self._boxes = np.append(self._boxes, [self._box(stamp, point)], axis=0)

    def _allowed(self, stamp: Stamp, box: Box, values: np.ndarray) -> bool:
        share = self._share if stamp.cover is None else stamp.cover
        if np.count_nonzero(values >= LAID) > share * len(values):
            return False
        top, left, bottom, right = box
        boxes = self._boxes
        near = (boxes[:, 0] < bottom) & (boxes[:, 2] > top) & (boxes[:, 1] < right) & (boxes[:, 3] > left)
        return all(self._may_cover(stamp.shape, box, below, share) for below in near.nonzero()[0].tolist())

    def _may_cover(self, shape: np.ndarray, box: Box, below: int, share: float) -> bool:
        """Say whether the shape in this box may lie on an earlier cell."""
        other, other_box = self.cells[below][2], tuple(self._boxes[below].tolist())
        new_part, other_part = common(box, other_box)
        both = np.count_nonzero(shape[new_part] & other[other_part])
        if not both:
            return True
        if both > share * min(np.count_nonzero(shape), np.count_nonzero(other)):
            return False
        top, left, bottom, right = other_box
        seen_box = max(top, 0), max(left, 0), min(bottom, self.shape[0]), min(right, self.shape[1])
        seen = self.instances[seen_box[0] : seen_box[2], seen_box[1] : seen_box[3]] == below + 1
        seen_part, new_part = common(seen_box, box)
        seen[seen_part] &= ~shape[new_part]
        return cv2.connectedComponents(seen.astype(np.uint8), connectivity=8)[0] == 2


class OverlapRoom:
    """Find the places where a shape does not lie on cells with too much of its area.

    Parameters
    ----------
    canvas : OverlapCanvas
    share : float
        As for `OverlapCanvas`.

    Notes
    -----
    Covered pixels are added up along the rows, so that those under a shape are a difference of two
    sums for each of its runs. Only places are counted whose surroundings, a square that fits into
    the shape, are not covered too much; these become fewer as cells are laid.
    """

    def __init__(self, canvas: OverlapCanvas, share: float) -> None:
        self._canvas, self._share = canvas, share
        covered = canvas.covered()
        self._sums = np.zeros((covered.shape[0], covered.shape[1] + 1), dtype=np.int32)
        np.cumsum(covered, axis=1, out=self._sums[:, 1:])
        self._half, self._most = math.inf, 0.0  # listed: at most so many covered pixels in a square of 2 half + 1
        self._listed = np.zeros(0, dtype=int)  # flat, in the array of sums

    def cut(self, stamp: Stamp, point: np.ndarray) -> None:
        """Take note of a cell that was laid there."""
        top = int(point[0]) - stamp.anchor[0] + self._canvas.margin
        rows = slice(top, top + stamp.shape.shape[0])
        np.cumsum(self._canvas.covered()[rows], axis=1, out=self._sums[rows, 1:])

    def places(self, stamp: Stamp) -> np.ndarray:
        """List the places (m, 2) of the image where at most the allowed share of the shape is covered."""
        most = (self._share if stamp.cover is None else stamp.cover) * np.count_nonzero(stamp.shape)
        inner = cv2.distanceTransform(stamp.framed, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        radius = float(inner[stamp.anchor[0] + 1, stamp.anchor[1] + 1])
        half = math.ceil(radius / math.sqrt(2)) - 1  # the square's corners are nearer to the anchor than the border
        if half < self._half or most > self._most:
            self._list(max(0, math.floor(0.8 * half)), 1.3 * most)
        stride, runs = self._sums.shape[1], np.diff(stamp.framed.view(np.int8), axis=1)
        starts, ends = (np.argwhere(runs == turn) - (stamp.anchor[0] + 1, stamp.anchor[1]) for turn in (1, -1))
        sums = self._sums.ravel()
        at, total = self._listed, np.zeros(len(self._listed), dtype=np.int32)
        # From the middle outwards, where most of what is covered too much shows first.
        for run in np.argsort(np.abs(starts[:, 0])).tolist():
            start, end = starts[run] @ (stride, 1), ends[run] @ (stride, 1)
            total += sums.take(at + end) - sums.take(at + start)
            at, total = at[total <= most], total[total <= most]
        rows, cols = np.divmod(at, stride)
        return np.stack([rows, cols], axis=1) - self._canvas.margin

    def _list(self, half: int, most: float) -> None:
        """List the places of the image by the square around them."""
        self._half, self._most = half, most
        sums = np.pad(self._sums, ((1, 0), (0, 0))).cumsum(axis=0)  # over rows and columns
        low, high = self._canvas.margin - half, self._canvas.margin + half + 1
        (top, bottom), (left, right) = (
            (slice(low, low + side), slice(high, high + side)) for side in self._canvas.shape
        )
        covered = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
        rows, cols = np.nonzero(covered <= most)
        self._listed = (rows + self._canvas.margin) * self._sums.shape[1] + cols + self._canvas.margin
