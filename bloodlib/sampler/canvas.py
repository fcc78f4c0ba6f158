"""The canvas that shapes are laid on: what is free, what touches, which colours are left."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from .stamp import Stamp

# Distinct on screen and in print, none black (the background); the fixed list of the paper is not given: ours.
COLOURS = np.array(
    [
        (230, 25, 75),
        (60, 180, 75),
        (255, 225, 25),
        (0, 130, 200),
        (245, 130, 48),
        (145, 30, 180),
        (70, 240, 240),
        (240, 50, 230),
        (210, 245, 60),
        (250, 190, 212),
    ],
    dtype=np.uint8,
)
LAID = 1 << 15  # bit of a pixel that a cell covers; the bits below: colours of the cells within 1 px of it
# What a cell of each colour leaves on the layers of its stamp: nothing, its colour, and that it lies there.
_MARKS = np.array([(0, 1 << k >> 1, LAID | 1 << k >> 1) for k in range(16)], dtype=np.uint16)


class Canvas:
    """Hold the cells laid so far, drawn beyond the image's border so that cut cells stay whole.

    Parameters
    ----------
    shape : (height, width)
        Of the image.
    margin_px : int
        How far any shape can extend from its centre.
    colours : int
        Length of the list of colours; at most 15.

    Attributes
    ----------
    instances : int32 (height, width)
        0 is background, 1.. the cells in the order in which they were laid.
    colours : list of int
        Of each cell: 1.. for the entries of the list.
    cells : list of (row, column, bool (h, w))
        Each cell whole, and where its box begins: below 0 where the border cuts it.
    """

    def __init__(self, shape: tuple[int, int], margin_px: int, colours: int) -> None:
        self.shape = shape
        self.margin = margin_px + 2
        self.count = 0
        self.instances = np.zeros(shape, dtype=np.int32)
        self.colours: list[int] = []
        self.cells: list[tuple[int, int, np.ndarray]] = []
        self._state = np.zeros((shape[0] + 2 * self.margin, shape[1] + 2 * self.margin), dtype=np.uint16)
        self._flat = self._state.ravel()
        self._palette = (1 << colours) - 1

    def covered(self) -> np.ndarray:
        """Say which pixels cells cover, those beyond the border included, bool (height + 2 margin, …)."""
        return self._state >= LAID

    def screen(self, stamps: Sequence[Stamp], points: np.ndarray) -> np.ndarray:
        """Rule out places where a shape certainly meets a cell, many at once.

        Parameters
        ----------
        stamps : sequence of Stamp
        points : int (len(stamps), m, 2)
            Places to try for each.

        Returns
        -------
        bool (len(stamps), m)
            False where one of the shape's probes lies on a cell: first its middle, then its border.
        """
        stride = self._state.shape[1]
        at = (points[..., 0] + self.margin) * stride + (points[..., 1] + self.margin)  # (stamps, m)
        probes = np.array([stamp.probes for stamp in stamps])  # (stamps, probes, 2)
        probes = np.ascontiguousarray((probes[..., 0] * stride + probes[..., 1]).T)  # (probes, stamps)
        kept = (self._flat.take(at + probes[0][:, None]) < LAID).ravel().nonzero()[0]
        at = at.ravel()
        for some in (probes[1:9], probes[9:]):
            pixels = some.take(kept // points.shape[1], axis=1) + at.take(kept)  # (some, kept)
            kept = kept[self._flat.take(pixels).max(axis=0, initial=0) < LAID]
        open_ = np.zeros(points.shape[:2], dtype=bool)
        open_.ravel()[kept] = True
        return open_

    def _box(self, stamp: Stamp, point: np.ndarray) -> tuple[int, int, int, int]:
        """Give first row, first column, end row, end column of the shape's box, in the image's coordinates."""
        top, left = int(point[0]) - stamp.anchor[0], int(point[1]) - stamp.anchor[1]
        return top, left, top + stamp.shape.shape[0], left + stamp.shape.shape[1]

    def _under(self, stamp: Stamp, point: np.ndarray) -> np.ndarray:
        """Give the state of the pixels that the shape would cover, uint16 (area,)."""
        top, left, bottom, right = (side + self.margin for side in self._box(stamp, point))
        return self._state[top:bottom, left:right][stamp.shape]

    def free(self, stamp: Stamp, point: np.ndarray) -> bool:
        """Say whether the shape would cover no cell there."""
        return bool(self._under(stamp, point).max() < LAID)

    def taken(self, stamp: Stamp, point: np.ndarray) -> int | None:
        """Try the shape at a place.

        Returns
        -------
        int or None
            The colours that it cannot have there, one bit each from the lowest on; None where it
            would meet a cell, no colour would be left, or it would not show as one piece.

        Notes
        -----
        A shape cut by the border into several pieces (or out of sight) is refused: a colour mask
        could not tell its pieces from several cells.
        """
        top, left, bottom, right = self._box(stamp, point)
        values = self._under(stamp, point)
        bits = int(np.bitwise_or.reduce(values))
        if bits & self._palette == self._palette or (
            bits >= LAID and not self._allowed(stamp, (top, left, bottom, right), values)
        ):
            return None
        if top < 0 or left < 0 or bottom > self.shape[0] or right > self.shape[1]:
            seen = stamp.cell[max(-top, 0) : self.shape[0] - top, max(-left, 0) : self.shape[1] - left]
            if cv2.connectedComponents(seen.astype(np.uint8), connectivity=8)[0] != 2:
                return None
        return bits & self._palette

    def _allowed(self, stamp: Stamp, box: tuple[int, int, int, int], values: np.ndarray) -> bool:
        """Say whether a shape that meets cells may lie there; `values` are those of its pixels."""
        return False

    def free_colours(self, taken: int) -> list[int]:
        """List the colours (1..) whose bits are not set."""
        left = self._palette & ~taken
        return [k + 1 for k in range(left.bit_length()) if left >> k & 1]

    def lay(self, stamp: Stamp, point: np.ndarray, colour: int) -> None:
        """Draw the shape there in a colour as the next instance."""
        self.count += 1
        top, left, bottom, right = self._box(stamp, point)
        self.cells.append((top, left, stamp.cell))
        margin = self.margin
        marked = self._state[top + margin - 1 : bottom + margin + 1, left + margin - 1 : right + margin + 1]
        np.bitwise_or(marked, _MARKS[colour].take(stamp.layers), out=marked)
        shape = stamp.cell
        if top < 0 or left < 0 or bottom > self.shape[0] or right > self.shape[1]:
            shape = shape[max(-top, 0) : self.shape[0] - top, max(-left, 0) : self.shape[1] - left]
            top, left = max(top, 0), max(left, 0)
        np.copyto(self.instances[top:bottom, left:right], self.count, where=shape)
        self.colours.append(colour)
