"""The free place nearest to a point, found without looking at every pixel in between."""

from __future__ import annotations

import math
from collections.abc import Iterator

import cv2
import numpy as np

from .room import inner_radius
from .stamp import Stamp

_BLOCK = 32  # pixels of the squares that are passed over together
_FIRST = 2  # squares opened at once at first; later ever more


class Nearest:
    """List the places that may hold a shape by their distance to a point.

    Parameters
    ----------
    shape : (height, width)
        Of the image.
    cap_px : float
        Up to what length distances to cells are known.
    core_px : float
        Places nearer than this to the centre of a cell are left out.

    Notes
    -----
    For every pixel the distance to the next cell is kept, and for every square of pixels the greatest of
    them: a square in which no pixel has room for the largest disc inside the shape is passed over whole. What
    is listed is necessary for the shape to fit, not sufficient. Cells are told with `cut`, each of which changes
    only what lies within ``cap_px`` of it.
    """

    def __init__(self, shape: tuple[int, int], cap_px: float, core_px: float) -> None:
        self._shape, self._cap = shape, math.ceil(cap_px)
        rows, cols = (-(-side // _BLOCK) for side in shape)
        self._distance = np.full((rows * _BLOCK, cols * _BLOCK), -1.0, dtype=np.float32)  # -1: no place
        self._distance[: shape[0], : shape[1]] = self._cap
        self._most = np.full((rows, cols), self._cap, dtype=np.float32)  # of each square
        self._corners = np.arange(rows) * _BLOCK, np.arange(cols) * _BLOCK
        axis = np.arange(-int(core_px), int(core_px) + 1)
        self._core = axis[:, None] ** 2 + axis**2 < core_px**2

    def cut(self, stamp: Stamp, point: np.ndarray) -> None:
        """Take note of a cell that was laid there."""
        cap = self._cap
        free = cv2.copyMakeBorder(np.uint8(1) - stamp.shape, cap, cap, cap, cap, cv2.BORDER_CONSTANT, value=1)
        distance = cv2.distanceTransform(free, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        row, col = (int(point[k]) - stamp.anchor[k] - cap for k in range(2))
        window, part = self._common(row, col, distance.shape)
        np.minimum(self._distance[window], distance[part], out=self._distance[window])
        row, col = (int(side) - len(self._core) // 2 for side in point)
        inside, part = self._common(row, col, self._core.shape)
        self._distance[inside][self._core[part]] = -1
        for rows, cols in (window, inside):
            top, left = rows.start // _BLOCK, cols.start // _BLOCK
            bottom, right = -(-rows.stop // _BLOCK), -(-cols.stop // _BLOCK)
            pixels = self._distance[top * _BLOCK : bottom * _BLOCK, left * _BLOCK : right * _BLOCK]
            squares = pixels.reshape(bottom - top, _BLOCK, right - left, _BLOCK)  # a square is [k, :, l, :]
            self._most[top:bottom, left:right] = squares.max(axis=(1, 3))

    def _common(self, row: int, col: int, sides: tuple[int, int]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Give the part of a box that lies in the image, as slices into the image and into the box."""
        here, there = [], []
        for first, length, side in zip((row, col), sides, self._shape, strict=True):
            low, high = min(max(first, 0), side), max(min(first + length, side), 0)
            here.append(slice(low, max(low, high)))
            there.append(slice(low - first, max(low, high) - first))
        return tuple(here), tuple(there)

    def places(self, stamp: Stamp, point: np.ndarray) -> Iterator[np.ndarray]:
        """List the places that may hold the shape, nearest first, row by row where equally near: int (m, 2) at a time.

        Parameters
        ----------
        stamp : Stamp
        point : int (2,)
        """
        least = min(inner_radius(stamp), self._cap)
        rows, cols = np.nonzero(self._most >= max(least, 0))
        away = [
            np.maximum(np.maximum(corners - at, at - corners - (_BLOCK - 1)), 0) ** 2
            for corners, at in zip(self._corners, point.tolist(), strict=True)
        ]
        bound = away[0][rows] + away[1][cols]  # squared distance of the square's nearest pixel
        order = np.argsort(bound, kind="stable")
        rows, cols, bound = rows[order], cols[order], bound[order]
        squares = self._distance.reshape(len(self._most), _BLOCK, -1, _BLOCK)
        # A place as one number, which sorts by squared distance and then row by row.
        pixels = self._distance.size
        waiting, opened, size = np.zeros(0, dtype=np.int64), 0, _FIRST
        while opened < len(rows) or len(waiting):
            top, left = rows[opened : opened + size], cols[opened : opened + size]
            opened, size = opened + size, 2 * size
            which, row, col = np.nonzero(squares[top, :, left, :] >= max(least, 0))  # of (squares, _BLOCK, _BLOCK)
            row, col = row + top[which] * _BLOCK, col + left[which] * _BLOCK
            squared = (row - point[0]) ** 2 + (col - point[1]) ** 2
            waiting = np.sort(np.concatenate([waiting, squared * pixels + row * self._distance.shape[1] + col]))
            # What is farther than a square that is not opened yet has to wait for it.
            ready = np.searchsorted(waiting, bound[opened] * pixels) if opened < len(rows) else len(waiting)
            if ready:
                yield np.stack(np.divmod(waiting[:ready] % pixels, self._distance.shape[1]), axis=1)
            waiting = waiting[ready:]
