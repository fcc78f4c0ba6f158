"""The places that are left on a crowded canvas, found by the distance of every pixel to the next cell."""

from __future__ import annotations

import math

import cv2
import numpy as np

from .canvas import Canvas
from .stamp import Stamp

_SLACK = 0.8  # pixels are listed down to this share of a shape's inner radius, for a smaller shape to find them
_ROUNDING = 0.01  # of distances in float32


def inner_radius(stamp: Stamp) -> float:
    """Give how far a cell must be from the shape's middle at least; 0 where the middle is no part of the shape."""
    if not stamp.shape[stamp.anchor]:  # a ring: its middle may lie on a cell
        return 0.0
    inner = cv2.distanceTransform(stamp.framed, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return float(inner[stamp.anchor[0] + 1, stamp.anchor[1] + 1]) - _ROUNDING


class Room:
    """Know the distance of every pixel of the image to the next cell.

    Parameters
    ----------
    canvas : Canvas
        With all the cells laid so far; later ones are told with `cut`.

    Notes
    -----
    Measured once by a distance transform of the whole canvas (cells beyond the border are seen);
    a cell laid later only changes pixels that lie nearer to it than to the cells before, hence
    none that is farther from it than the greatest distance there is.
    """

    def __init__(self, canvas: Canvas) -> None:
        self._shape, self._margin = canvas.shape, canvas.margin
        free = np.uint8(1) - canvas.covered()
        self._distance = cv2.distanceTransform(free, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        self._image = self._distance[tuple(slice(self._margin, self._margin + side) for side in self._shape)]
        self._greatest = min(float(self._image.max()), sum(free.shape))  # without any cell it is not defined
        self._least = math.inf  # pixels at least this far from any cell are listed
        self._listed = np.zeros(0, dtype=int)  # flat, on the padded canvas

    def cut(self, stamp: Stamp, point: np.ndarray) -> None:
        """Take note of a cell that was laid there."""
        around = math.ceil(self._greatest)
        padded = cv2.copyMakeBorder(
            np.uint8(1) - stamp.shape, around, around, around, around, cv2.BORDER_CONSTANT, value=1
        )
        distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        top, left = (int(point[k]) - stamp.anchor[k] + self._margin - around for k in range(2))
        low, high = max(-top, 0), max(-left, 0)
        target = self._distance[max(top, 0) : top + padded.shape[0], max(left, 0) : left + padded.shape[1]]
        np.minimum(target, distance[low : low + target.shape[0], high : high + target.shape[1]], out=target)

    def places(self, stamp: Stamp) -> np.ndarray:
        """List the places (m, 2) of the image with room for the shape's middle.

        Notes
        -----
        The largest disc around the anchor that lies inside the shape must be free: necessary,
        not sufficient, and settled for every place at once.
        """
        radius = inner_radius(stamp)
        if not radius:
            return np.argwhere(np.ones(self._shape, dtype=bool))
        if radius < self._least:
            self._least = _SLACK * radius
            rows, cols = np.nonzero(self._image >= self._least)
            self._listed = (rows + self._margin) * self._distance.shape[1] + cols + self._margin
        distance = self._distance.ravel().take(self._listed)
        self._greatest = min(self._greatest, max(float(distance.max(initial=0.0)), self._least))
        roomy = self._listed[distance >= radius]
        self._listed = self._listed[distance >= self._least]
        rows, cols = np.divmod(roomy, self._distance.shape[1])
        return np.stack([rows - self._margin, cols - self._margin], axis=1)
