"""Binary shapes: their pieces, their convexity, their axes, and turning them without stairs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from .contours import smoothed


def largest_piece(shape: np.ndarray) -> np.ndarray:
    """Keep the largest 8-connected piece of a binary shape, cropped to its bounding box."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(shape.astype(np.uint8), connectivity=8)
    if count < 2:
        return np.zeros((0, 0), dtype=bool)
    k = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    x, y, w, h = (int(v) for v in stats[k, :4])
    return labels[y : y + h, x : x + w] == k


def fill_and_solidity(shape: np.ndarray) -> tuple[np.ndarray, float]:
    """Fill the holes of a shape, and give its area as a share of its convex hull's.

    Notes
    -----
    The hull's area is the number of pixels it holds, by Pick's theorem: A + B / 2 + 1 for a polygon
    of area A through pixel centres with B of them on its boundary. So a convex shape has exactly 1.
    Two equal discs have 0.88 where they only touch, and more the more they overlap.
    """
    contours, _ = cv2.findContours(shape.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = max(contours, key=len)
    filled = cv2.drawContours(np.zeros(shape.shape, dtype=np.uint8), [outline], -1, 1, cv2.FILLED).astype(bool)
    hull = cv2.convexHull(outline)
    boundary = np.gcd.reduce(hull - np.roll(hull, 1, axis=0), axis=-1).sum()
    convex = cv2.contourArea(hull) + boundary / 2 + 1
    return filled, float(np.count_nonzero(filled) / convex)


def deepest_dent(shape: np.ndarray) -> float:
    """Give the depth of the deepest dent of a shape as a share of its equivalent diameter.

    Parameters
    ----------
    shape : bool (h, w)
        In one piece.

    Returns
    -------
    float
        0 for a convex shape.

    Notes
    -----
    A dent is a stretch of the outline that leaves the convex hull, its depth the greatest distance
    from the hull's edge there. One pixel is taken off, since the pixels of a convex figure stay
    behind its hull by up to that. The equivalent diameter is that of the disc of the same area.
    Two equal discs of diameter D, their centres x apart, have a waist (D - √(D² - x²))/2 deep.

    Examples
    --------
    >>> bar = np.ones((20, 40), dtype=bool)
    >>> bar[:9, 18:23] = False
    >>> round(float(deepest_dent(bar) * np.sqrt(4 * bar.sum() / np.pi)), 1)
    8.0
    """
    padded = cv2.copyMakeBorder(shape.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    outline = max(cv2.findContours(padded, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0], key=len)
    if len(outline) < 4:
        return 0.0
    # An outline that runs there and back along a spike leaves OpenCV's own order of the hull not monotonous.
    hull = np.sort(cv2.convexHull(outline, returnPoints=False), axis=0)
    dents = cv2.convexityDefects(outline, hull) if len(hull) > 2 else None
    depth_px = 0.0 if dents is None else dents.reshape(-1, 4)[:, 3].max() / 256  # in 1/256 px; OpenCV 5 drops an axis
    return float(max(0.0, depth_px - 1.0) / np.sqrt(4 * np.count_nonzero(shape) / np.pi))


def aspect_ratio(shape: np.ndarray) -> float:
    """Give the ratio of the axes of the ellipse with the shape's second moments, at least 1 however it is turned.

    Examples
    --------
    >>> round(aspect_ratio(np.ones((10, 20), dtype=bool)), 6)
    2.0
    """
    points = np.argwhere(shape)
    # A pixel is a square, not a point: its own second moment is 1/12 along either axis.
    small, large = np.linalg.eigvalsh(np.cov(points.T, bias=True) + np.eye(2) / 12)
    return float(np.sqrt(large / small))


@dataclass(frozen=True)
class SoftShape:
    """Hold a binary shape made ready to be moved: its outline softened to an edge about one pixel wide.

    ``image`` uint8 (h + 2 pad, w + 2 pad), 255 inside; ``radius_px`` how far the shape reaches from
    its middle; ``sturdy`` says that it stays one piece however it is turned.
    """

    image: np.ndarray
    pad: int
    radius_px: float
    sturdy: bool

    @classmethod
    def of(cls, shape: np.ndarray, scale: float = 1.0, smooth: bool = False) -> SoftShape:
        """Soften a binary shape that will be scaled by this factor or more.

        Parameters
        ----------
        shape : bool (h, w)
        scale : float
        smooth : bool
            Whether its outline is first freed from the steps of its pixels (`bloodlib.sampler.contours`); else they
            are turned with it, and those of its new place come on top.

        Notes
        -----
        A Gaussian of 0.7 px, wider when shrinking. A shape is called sturdy if it is held together
        by what is left when one pixel is taken off all around: that is one piece, and no pixel of
        the shape is farther than two from it. Only the others are searched for pieces after a move.
        """
        soft_px = 0.7 * max(1.0, 1 / scale)
        pad = int(np.ceil(4 * soft_px))
        cover = smoothed(shape, pad) if smooth else cv2.copyMakeBorder(shape * np.uint8(255), *(pad,) * 4, 0)
        full = (cover > 127).view(np.uint8)
        core = cv2.erode(full, np.ones((3, 3), np.uint8))
        covered = cv2.dilate(core, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5)))
        sturdy = scale > 0.7 and not (full > covered).any() and cv2.connectedComponents(core, connectivity=4)[0] == 2
        rows, cols = np.nonzero(shape)
        middle = (shape.shape[0] - 1) / 2, (shape.shape[1] - 1) / 2
        radius_px = float(np.sqrt(((rows - middle[0]) ** 2 + (cols - middle[1]) ** 2).max(initial=0)))
        return cls(cv2.GaussianBlur(cover, (0, 0), soft_px), pad, radius_px, bool(sturdy))

    def move(self, angle: float, scale: float, flip: tuple[bool, bool]) -> np.ndarray:
        """Rotate, scale and flip: bool, cropped to the shape, empty where nothing is left of it."""
        height, width = self.image.shape
        side = int(2 * self.radius_px * scale) + 6
        cos, sin = math.cos(angle) * scale, math.sin(angle) * scale
        across, down = (-1.0 if flip[1] else 1.0), (-1.0 if flip[0] else 1.0)
        xx, xy, yx, yy = cos * across, -sin * down, sin * across, cos * down
        x = side // 2 - (xx * (width - 1) + xy * (height - 1)) / 2
        y = side // 2 - (yx * (width - 1) + yy * (height - 1)) / 2
        # One pixel centre lands on a pixel centre: at quarter turns all do, where half-pixel steps would eat the
        # outline.
        landing_x, landing_y = (xx + xy) * self.pad + x, (yx + yy) * self.pad + y
        x += round(landing_x) - landing_x
        y += round(landing_y) - landing_y
        moved = cv2.warpAffine(self.image, np.array([[xx, xy, x], [yx, yy, y]]), (side, side), flags=cv2.INTER_LINEAR)
        inside = moved > 127  # the level 127.5 is an edge's place
        if not self.sturdy:
            return largest_piece(inside)
        left, top, w, h = cv2.boundingRect(inside.view(np.uint8))
        return inside[top : top + h, left : left + w]


def warp(
    shape: np.ndarray, angle: float = 0.0, scale: float = 1.0, flip: tuple[bool, bool] = (False, False)
) -> np.ndarray:
    """Rotate, scale and flip a binary shape without stairs along its outline.

    Parameters
    ----------
    shape : bool (h, w)
    angle : float
        Radians.
    scale : float
    flip : (vertical, horizontal)

    Returns
    -------
    bool (h', w')
        Cropped to the shape; the shape itself where nothing would be left of it.

    Notes
    -----
    Moving binary pixels leaves stairs. The outline is first softened (see `SoftShape`), moved with
    linear interpolation, and cut at ½: on a straight edge the ½ level stays where the edge was, on
    a disc of radius R it moves by σ²/2R.

    Examples
    --------
    >>> bar = np.ones((9, 21), dtype=bool)
    >>> warp(bar, angle=np.pi / 2).shape
    (21, 9)
    """
    piece = SoftShape.of(shape, scale).move(angle, scale, flip)
    return piece if piece.size else shape
