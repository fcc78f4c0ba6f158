"""The canvas that shapes are laid on: what is free, what touches, which colours are left."""

from __future__ import annotations

import cv2
import numpy as np

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
_PROBES = 24
_STALE = 16  # cells laid until the room is measured again: it only shrinks, so an old answer lists too much at most


class Stamp:
    """Hold a shape made ready to be tried at many places.

    ``anchor`` is the centroid, rounded; ``probes`` int (k, 2) are pixels of the shape, as offsets
    from the anchor, spread over its outline and its middle: where one of them is occupied the
    shape cannot lie, which settles most places without looking at all of its pixels.
    """

    def __init__(self, shape: np.ndarray) -> None:
        self.shape = shape
        rows, cols = np.nonzero(shape)
        self.anchor = np.array([round(rows.mean()), round(cols.mean())])
        angle = np.arctan2(rows - self.anchor[0], cols - self.anchor[1])
        radius = np.hypot(rows - self.anchor[0], cols - self.anchor[1])
        sector = np.floor((angle + np.pi) / (2 * np.pi) * (_PROBES - 1)).astype(int)
        order = np.lexsort((radius, sector))
        farthest = order[np.append(np.flatnonzero(np.diff(sector[order])), len(order) - 1)]
        nearest = int(np.argmin(radius))
        spread = np.argsort(np.arange(len(farthest)) * 7 % 23)  # the first few probes lie on different sides
        chosen = np.append(nearest, farthest[spread])
        self.probes = np.stack([rows[chosen], cols[chosen]], axis=1) - self.anchor
        framed = np.pad(shape, 1).astype(np.uint8)
        self.around = cv2.dilate(framed, np.ones((3, 3), np.uint8)).astype(bool)  # with its 8-neighbours


class Canvas:
    """Hold the cells laid so far, drawn beyond the image's border so that cut cells stay whole.

    Parameters
    ----------
    shape : (height, width)
        Of the image.
    margin_px : int
        How far any shape can extend from its centre.
    colours : int
        Length of the list of colours; at most 255.
    """

    def __init__(self, shape: tuple[int, int], margin_px: int, colours: int) -> None:
        self.shape = shape
        self.margin = margin_px + 1
        padded = (shape[0] + 2 * self.margin, shape[1] + 2 * self.margin)
        self._instances = np.zeros(padded, dtype=np.int32)
        self._colour = np.zeros(padded, dtype=np.uint8)  # 1..colours, 0 where free
        self._colours = colours
        self.count = 0
        self._open = np.zeros((0, 2), dtype=int)  # free places, and the distance of each to the next cell
        self._room = np.zeros(0)
        self._measured = -_STALE  # number of cells when the room was last measured

    @property
    def instances(self) -> np.ndarray:
        """Instance mask of the image, int32 (height, width)."""
        return self._instances[self._inside()].copy()

    @property
    def colour_index(self) -> np.ndarray:
        """Colour of each pixel: 1.. for the entries of the list, 0 for background, uint8 (height, width)."""
        return self._colour[self._inside()].copy()

    def _inside(self) -> tuple[slice, slice]:
        return tuple(slice(self.margin, self.margin + side) for side in self.shape)

    def free(self) -> np.ndarray:
        """Say which pixels of the image are free, bool (height, width)."""
        return self._colour[self._inside()] == 0

    def screen(self, stamp: Stamp, points: np.ndarray) -> np.ndarray:
        """Keep the points (m, 2) where none of the stamp's probes meets a cell, in their order."""
        flat = self._colour.ravel()
        stride = self._colour.shape[1]
        at = (points[:, 0] + self.margin) * stride + points[:, 1] + self.margin
        probes = stamp.probes[:, 0] * stride + stamp.probes[:, 1]
        kept = np.arange(len(points))
        for start, end in ((0, 1), (1, 5), (5, len(probes))):
            kept = kept[~flat[at[kept, None] + probes[None, start:end]].any(axis=1)]
        return points[kept]

    def _place(self, stamp: Stamp, point: np.ndarray) -> tuple[slice, slice]:
        top, left = (int(v) for v in point - stamp.anchor + self.margin)
        height, width = stamp.shape.shape
        return slice(top, top + height), slice(left, left + width)

    def fits(self, stamp: Stamp, point: np.ndarray) -> bool:
        """Say whether the shape meets no cell there and shows in the image as one piece.

        Notes
        -----
        A shape cut by the border into several pieces (or out of sight) is refused: a colour mask
        could not tell its pieces from several cells.
        """
        rows, cols = self._place(stamp, point)
        if (self._colour[rows, cols].astype(bool) & stamp.shape).any():
            return False
        inside = self._inside()
        if (
            rows.start >= inside[0].start
            and rows.stop <= inside[0].stop
            and cols.start >= inside[1].start
            and cols.stop <= inside[1].stop
        ):
            return True
        seen = stamp.shape[
            max(inside[0].start - rows.start, 0) : inside[0].stop - rows.start,
            max(inside[1].start - cols.start, 0) : inside[1].stop - cols.start,
        ]
        return cv2.connectedComponents(seen.astype(np.uint8), connectivity=8)[0] == 2

    def free_colours(self, stamp: Stamp, point: np.ndarray) -> np.ndarray:
        """List the colours (1..) that no cell touching the shape there has."""
        rows, cols = self._place(stamp, point)
        around = self._colour[rows.start - 1 : rows.stop + 1, cols.start - 1 : cols.stop + 1]
        taken = np.bincount(around[stamp.around], minlength=self._colours + 1)
        return 1 + np.flatnonzero(taken[1:] == 0)

    def lay(self, stamp: Stamp, point: np.ndarray, colour: int) -> None:
        """Draw the shape there in a colour as the next instance."""
        self.count += 1
        window = self._place(stamp, point)
        self._instances[window][stamp.shape] = self.count
        self._colour[window][stamp.shape] = colour

    def roomy(self, stamp: Stamp) -> np.ndarray:
        """List the places (m, 2) of the image whose distance to the next cell leaves room for the shape's middle.

        Notes
        -----
        The largest disc around the anchor that lies inside the shape must be free: necessary,
        not sufficient, and one distance transform settles it for every place at once. Cells that
        lie partly beyond the border are seen, since the transform runs on the padded canvas.
        """
        if not stamp.shape[tuple(stamp.anchor)]:  # a ring: its middle may lie on a cell
            return np.argwhere(np.ones(self.shape, dtype=bool))
        framed = np.pad(stamp.shape, 1).astype(np.uint8)
        radius = cv2.distanceTransform(framed, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[tuple(stamp.anchor + 1)]
        if self.count >= self._measured + _STALE:
            free = (self._colour == 0).astype(np.uint8)
            room = cv2.distanceTransform(free, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[self._inside()]
            self._open = np.argwhere(room > 0)
            self._room = room[tuple(self._open.T)]
            self._measured = self.count
        return self._open[self._room > radius - 1.0]
