"""A shape made ready to be tried at many places."""

from __future__ import annotations

import cv2
import numpy as np

_SQUARE = np.ones((3, 3), dtype=np.uint8)
_ROWS = 16
PROBES = 2 * _ROWS
# The first few probes are to lie on different sides.
_SPREAD = np.arange(_ROWS) * 7 % _ROWS / (_ROWS - 1)


def with_rim(cell: np.ndarray, rim_px: float) -> tuple[np.ndarray, np.ndarray]:
    """Give a shape in a larger box, and in the same box the shape with all pixels within `rim_px` of it.

    Examples
    --------
    >>> cell, grown = with_rim(np.ones((1, 1), dtype=bool), 1.0)
    >>> cell.sum(), grown.astype(int).tolist()
    (np.int64(1), [[0, 1, 0], [1, 1, 1], [0, 1, 0]])
    """
    cell = np.pad(cell, int(rim_px))
    distance = cv2.distanceTransform((~cell).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return cell, distance <= rim_px


class Stamp:
    """Hold a shape with what is needed to try it at many places.

    Parameters
    ----------
    shape : bool (h, w)
        One cell in one piece, cropped to its box, so that every row holds a pixel.
    rim_px : float
        Background that the cell keeps around itself.
    cover : float, optional
        Greatest share of a cell that it may cover, where it is not the canvas's.

    Attributes
    ----------
    shape : bool (h, w)
        The pixels that the cell needs free: its own, and those of its rim.
    cell : bool (h, w)
        The cell alone, in the same box.
    anchor : (row, column)
        The centroid, rounded: the pixel of the shape's box that lies on the location.
    probes : int (PROBES + 1, 2)
        A pixel in the shape's middle and both ends of some of its rows, as offsets (row, column)
        from the anchor: where one of them meets a cell the shape cannot lie, which settles most
        places without looking at all of its pixels.
    framed : uint8 (h + 2, w + 2)
        The shape with an empty frame.
    layers : uint8 (h + 2, w + 2)
        2 on the shape, 1 on its 8-neighbours, 0 elsewhere.
    """

    def __init__(self, shape: np.ndarray, rim_px: float = 0.0, cover: float | None = None) -> None:
        self.cover = cover
        self.cell = self.shape = np.ascontiguousarray(shape)
        if rim_px >= 1:
            self.cell, self.shape = with_rim(self.cell, rim_px)
        self.framed = framed = cv2.copyMakeBorder(self.shape.view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
        self.layers = cv2.dilate(framed, _SQUARE) + framed
        moments = cv2.moments(framed)
        area = moments["m00"]
        row, col = round(moments["m01"] / area - 1), round(moments["m10"] / area - 1)
        self.anchor = (row, col)
        height, width = self.shape.shape
        rows = (_SPREAD * (height - 1)).astype(np.intp)
        some = self.shape.take(rows, axis=0)  # (_ROWS, w)
        self.probes = probes = np.empty((PROBES + 1, 2), dtype=np.intp)
        probes[1::2, 0] = probes[2::2, 0] = rows
        probes[1::2, 1] = some.argmax(axis=1)
        probes[2::2, 1] = (width - 1) - some[:, ::-1].argmax(axis=1)
        probes[0] = (row, col) if self.shape[row, col] else probes[1]
        probes -= self.anchor
