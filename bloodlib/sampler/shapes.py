"""The database of binary cell shapes: cut from masks, augmented when drawn."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ..smears import Smear
from ..statistics import CellMeasures, measure_cells


@dataclass(frozen=True)
class ShapeConfig:
    """Configure which instances become shapes and how a drawn shape is varied."""

    rotate: bool = True  # the paper's; any angle is ours
    flip: bool = True  # the paper's: horizontal and vertical
    scale: tuple[float, float] = (0.9, 1.1)  # the paper scales but states no range: ours
    min_area: float = 0.25  # ours: below this share of the median area it is a fragment or a platelet
    max_area: float = 3.0  # ours: above it, several cells (the paper's largest, 71×87 px, is about 3 medians)
    min_solidity: float = 0.9  # ours: area / convex area; two equal discs that touch have 0.88

    def __post_init__(self) -> None:
        low, high = self.scale
        if not 0 < low <= high < np.inf:
            raise ValueError(f"scale={self.scale!r}: needed are two factors above 0, the smaller one first")


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
    def of(cls, shape: np.ndarray, scale: float = 1.0) -> SoftShape:
        """Soften a binary shape that will be scaled by this factor or more.

        Notes
        -----
        A Gaussian of 0.7 px, wider when shrinking. A shape is called sturdy if it is held together
        by what is left when one pixel is taken off all around: that is one piece, and no pixel of
        the shape is farther than two from it. Only the others are searched for pieces after a move.
        """
        soft_px = 0.7 * max(1.0, 1 / scale)
        pad = int(np.ceil(4 * soft_px))
        full = cv2.copyMakeBorder(shape.astype(np.uint8), pad, pad, pad, pad, cv2.BORDER_CONSTANT)
        core = cv2.erode(full, np.ones((3, 3), np.uint8))
        covered = cv2.dilate(core, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5)))
        sturdy = scale > 0.7 and not (full > covered).any() and cv2.connectedComponents(core, connectivity=4)[0] == 2
        rows, cols = np.nonzero(shape)
        middle = (shape.shape[0] - 1) / 2, (shape.shape[1] - 1) / 2
        radius_px = float(np.sqrt(((rows - middle[0]) ** 2 + (cols - middle[1]) ** 2).max(initial=0)))
        return cls(cv2.GaussianBlur(full * 255, (0, 0), soft_px), pad, radius_px, bool(sturdy))

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


def cut_shapes(smear: Smear, cells: CellMeasures | None = None) -> list[np.ndarray]:
    """Cut out every cell of a smear that the border does not cut, in its bounding box.

    Parameters
    ----------
    smear : Smear
    cells : CellMeasures, optional
        Of this smear, if already measured.

    Returns
    -------
    list of bool (h, w)
    """
    cells = measure_cells(smear.instances) if cells is None else cells
    shapes = []
    for k in np.flatnonzero(cells.complete):
        r0, c0, r1, c1 = cells.box[k]
        shapes.append(smear.instances[r0:r1, c0:c1] == k + 1)
    return shapes


class ShapeDatabase:
    """Hold binary cell shapes and draw varied copies of them.

    Parameters
    ----------
    shapes : sequence of bool (h, w)
        Each cropped to its bounding box.
    config : ShapeConfig

    Raises
    ------
    ValueError
        If there is no shape.

    Notes
    -----
    "4.1.1 Cell shape sampling" of Bailo et al. 2019: shapes come from the masks of the training
    smears and are augmented by rotation, scale and flips. Book: chapter 02.
    """

    def __init__(self, shapes: Sequence[np.ndarray], config: ShapeConfig | None = None) -> None:
        if not len(shapes):
            raise ValueError("no cell shape to draw from: the masks hold no complete cell that passes the rules")
        self.shapes = tuple(np.ascontiguousarray(shape, dtype=bool) for shape in shapes)
        self.config = config or ShapeConfig()
        self.dropped: dict[str, int] = {}
        self._soft: list[SoftShape | None] = [None] * len(self.shapes)  # each softened when first drawn

    def __len__(self) -> int:
        return len(self.shapes)

    @classmethod
    def fit(cls, smears: Iterable[Smear], config: ShapeConfig | None = None) -> ShapeDatabase:
        """Cut the shapes out of the masks of some smears."""
        return cls.select([shape for smear in smears for shape in cut_shapes(smear)], config)

    @classmethod
    def select(cls, shapes: Sequence[np.ndarray], config: ShapeConfig | None = None) -> ShapeDatabase:
        """Keep the shapes that are one whole cell by the rules of `ShapeConfig`.

        Notes
        -----
        Holes are filled and of an instance in several pieces the largest is kept; then shapes too
        small, too large (against the median area) or not convex enough are dropped. How many and
        why is in ``.dropped``.
        """
        config = config or ShapeConfig()
        whole = [fill_and_solidity(piece) for piece in map(largest_piece, shapes)]
        area = np.array([np.count_nonzero(shape) for shape, _ in whole])
        solidity = np.array([value for _, value in whole])
        median = np.median(area) if len(area) else 0.0
        reasons = {
            "too small": area < config.min_area * median,
            "too large": area > config.max_area * median,
            "not convex enough": solidity < config.min_solidity,
        }
        bad = np.any(list(reasons.values()), axis=0)
        database = cls([shape for (shape, _), drop in zip(whole, bad, strict=True) if not drop], config)
        database.dropped = {reason: int(flags.sum()) for reason, flags in reasons.items()}
        return database

    def areas(self) -> np.ndarray:
        """Give the area of each shape in pixels, int (n,)."""
        return np.array([np.count_nonzero(shape) for shape in self.shapes])

    def scaled(self, factor: float) -> ShapeDatabase:
        """Give the same shapes at another magnification."""
        return ShapeDatabase([warp(shape, scale=factor) for shape in self.shapes], self.config)

    @property
    def reach_px(self) -> int:
        """Longest distance in pixels that a drawn shape can extend from its centre."""
        diagonal = max(np.hypot(*shape.shape) for shape in self.shapes)
        return int(np.ceil(diagonal * max(1.0, self.config.scale[1]))) + 6

    def _softened(self, index: int) -> SoftShape:
        if self._soft[index] is None:
            self._soft[index] = SoftShape.of(self.shapes[index], self.config.scale[0])
        return self._soft[index]

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, int]:
        """Draw a shape, vary it, and say which one it was.

        Returns
        -------
        bool (h, w), int
        """
        index = int(rng.integers(len(self.shapes)))
        # The same numbers are drawn whatever is switched on, so that layouts stay comparable.
        turn, size, up, across = rng.random(4)
        config = self.config
        low, high = config.scale
        angle = 2 * np.pi * turn if config.rotate else 0.0
        scale = low + (high - low) * size
        flip = (bool(config.flip and up < 0.5), bool(config.flip and across < 0.5))
        if angle == 0 and scale == 1:
            rows, cols = slice(None, None, -1 if flip[0] else 1), slice(None, None, -1 if flip[1] else 1)
            return self.shapes[index][rows, cols], index
        piece = self._softened(index).move(angle, scale, flip)
        return (piece if piece.size else self.shapes[index]), index

    def sample(self, rng: np.random.Generator) -> np.ndarray:
        """Draw a varied shape, bool (h, w) cropped to its bounding box."""
        return self.draw(rng)[0]

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Pack the shapes into two arrays, one bit per pixel."""
        bits = np.concatenate([shape.ravel() for shape in self.shapes])
        sizes = np.array([shape.shape for shape in self.shapes], dtype=np.int32)
        return {"shape_bits": np.packbits(bits), "shape_sizes": sizes}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], config: ShapeConfig | None = None) -> ShapeDatabase:
        """Unpack what `to_arrays` gave."""
        sizes = np.asarray(arrays["shape_sizes"])
        ends = np.cumsum(sizes.prod(axis=1))
        bits = np.unpackbits(np.asarray(arrays["shape_bits"]), count=int(ends[-1])).astype(bool)
        parts = np.split(bits, ends[:-1])
        return cls([part.reshape(size) for part, size in zip(parts, sizes, strict=True)], config)
