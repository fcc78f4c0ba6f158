"""The database of binary cell shapes: cut from masks, augmented when drawn."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from ..io.images import DataWarning
from ..smears import Smear
from ..statistics import CellMeasures, measure_cells
from .outlines import SoftShape, aspect_ratio, deepest_dent, fill_and_solidity, largest_piece, warp

__all__ = [
    "ShapeConfig",
    "ShapeDatabase",
    "SoftShape",
    "aspect_ratio",
    "contact_share",
    "cut_shapes",
    "deepest_dent",
    "fill_and_solidity",
    "largest_piece",
    "warp",
]

MAGNIFIED = 1.5  # ours: times larger or smaller; from there on, a mask is taken to be of another magnification
FEWEST = 20  # ours: shapes of one slide, for a mask to be drawn from them alone


@dataclass(frozen=True)
class ShapeConfig:
    """Configure which instances become shapes and how a drawn shape is varied."""

    rotate: bool = True  # the paper's; any angle is ours
    flip: bool = True  # the paper's: horizontal and vertical
    scale: tuple[float, float] = (0.9, 1.1)  # the paper scales but states no range: ours
    smooth: bool = False  # ours: outlines are freed from the steps of pixels before they are turned
    min_area: float = 0.25  # ours: below this share of the median area it is a fragment or a platelet
    max_area: float = 2.5  # ours: above it, a white cell or several red ones; the largest red cell of Chula has 2
    max_contact: float = 0.15  # ours: share of the outline that lies against one neighbour; above it, it was cut there
    max_dent: float = 0.05  # ours: deepest dent / equivalent diameter: knobs, peanuts, bites
    min_solidity: float = 0.9  # ours: area / convex area, against outlines crumpled all around

    def __post_init__(self) -> None:
        low, high = self.scale
        if not 0 < low <= high < np.inf:
            raise ValueError(f"scale={self.scale!r}: needed are two factors above 0, the smaller one first")


def contact_share(instances: np.ndarray) -> np.ndarray:
    """Measure which share of each instance's outline lies against a single neighbour.

    Parameters
    ----------
    instances : int (H, W)
        0 background, cells 1..n.

    Returns
    -------
    float (n,)
        Of the neighbour with the longest common border; 0 where nothing touches.

    Notes
    -----
    Lengths are counted in pairs of adjacent pixels of different instances, in the two axial
    directions and, weighing 1/√2, in the two diagonal ones: Crofton's formula with four
    directions. The border of the image is no neighbour.

    Examples
    --------
    >>> contact_share(np.repeat([[0, 1, 2, 0]], 4, axis=0)).round(2)
    array([0.5, 0.5])
    """
    count = int(instances.max(initial=0)) + 1
    height, width = instances.shape
    codes, weights = [], []
    for down, right, weight in ((0, 1, 1.0), (1, 0, 1.0), (1, 1, 0.5**0.5), (1, -1, 0.5**0.5)):
        here = instances[: height - down, max(0, -right) : width - max(0, right)]
        there = instances[down:, max(0, right) : width + min(0, right)]
        differ = here != there
        one, other = here[differ].astype(np.int64), there[differ].astype(np.int64)
        codes += [one * count + other, other * count + one]
        weights.append(np.full(2 * len(one), weight))
    pairs, inverse = np.unique(np.concatenate(codes), return_inverse=True)
    length = np.bincount(inverse, np.concatenate(weights))
    own, neighbour = np.divmod(pairs, count)
    whole, longest = np.bincount(own, length, minlength=count), np.zeros(count)
    cells = neighbour > 0
    np.maximum.at(longest, own[cells], length[cells])
    return longest[1:] / np.maximum(whole[1:], 1.0)


def cut_shapes(smear: Smear, cells: CellMeasures | None = None, config: ShapeConfig | None = None) -> list[np.ndarray]:
    """Cut out every cell of a smear that neither the border nor a neighbour cuts, in its bounding box.

    Parameters
    ----------
    smear : Smear
    cells : CellMeasures, optional
        Of this smear, if already measured.
    config : ShapeConfig, optional

    Returns
    -------
    list of bool (h, w)

    Notes
    -----
    Where two cells overlap, a mask gives the place to one of them or cuts it straight through;
    neither leaves the outline of a cell. It shows in how much of the outline the two share: cells
    that only touch share little, so what shares more than `ShapeConfig.max_contact` is left out.
    """
    cells = measure_cells(smear.instances) if cells is None else cells
    return crop_cells(smear, cells, uncut_cells(smear, cells, config))


def uncut_cells(smear: Smear, cells: CellMeasures, config: ShapeConfig | None = None) -> np.ndarray:
    """Say which cells neither the border nor a neighbour cuts, int (k,) from 0 on; see `cut_shapes`."""
    contact = contact_share(smear.instances)
    return np.flatnonzero(cells.complete & (contact <= (config or ShapeConfig()).max_contact))


def crop_cells(smear: Smear, cells: CellMeasures, which: Iterable[int]) -> list[np.ndarray]:
    """Crop the shapes of some cells, numbered from 0 on, to their bounding boxes: bool (h, w) each."""
    boxes = ((k, *cells.box[k]) for k in which)
    return [smear.instances[r0:r1, c0:c1] == k + 1 for k, r0, c0, r1, c1 in boxes]


class ShapeDatabase:
    """Hold binary cell shapes and draw varied copies of them.

    Parameters
    ----------
    shapes : sequence of bool (h, w)
        Each cropped to its bounding box.
    config : ShapeConfig
    classes : int (n,), optional
        Class of the cell that each shape was cut from, where classes are to be kept apart.
    slides : int (n,), optional
        Number of the slide that each shape was cut from, where the shapes of a mask are to come from one.

    Raises
    ------
    ValueError
        If there is no shape, or one of them has no pixel or lies in several pieces, or has no class or slide.

    Notes
    -----
    "4.1.1 Cell shape sampling" of Bailo et al. 2019: shapes come from the masks of the training
    smears and are augmented by rotation, scale and flips. Book: chapter 02.
    """

    def __init__(
        self,
        shapes: Sequence[np.ndarray],
        config: ShapeConfig | None = None,
        classes: Sequence[int] | np.ndarray | None = None,
        slides: Sequence[int] | np.ndarray | None = None,
    ) -> None:
        if not len(shapes):
            raise ValueError("no cell shape to draw from: the masks hold no complete cell that passes the rules")
        self.shapes = tuple(np.ascontiguousarray(shape, dtype=bool) for shape in shapes)
        for k, shape in enumerate(self.shapes):
            self._check(shape, f"shapes[{k}]")
        self.config = config or ShapeConfig()
        self.classes = self._one_each(classes, "classes")
        self.slides = self._one_each(slides, "slides")
        self.dropped: dict[str, int] = {}
        self._soft: list[SoftShape | None] = [None] * len(self.shapes)  # each softened when first drawn

    def _one_each(self, numbers: Sequence[int] | np.ndarray | None, name: str) -> np.ndarray | None:
        numbers = None if numbers is None else np.asarray(numbers, dtype=np.int64)
        if numbers is not None and numbers.shape != (len(self.shapes),):
            raise ValueError(f"{name} has shape {numbers.shape} for {len(self.shapes)} shapes; needed is one for each")
        return numbers

    @staticmethod
    def _check(shape: np.ndarray, name: str) -> None:
        pieces = (
            cv2.connectedComponents(shape.view(np.uint8), connectivity=8)[0] - 1
            if shape.ndim == 2 and shape.size
            else 0
        )
        if pieces == 1:
            return
        came = f"lies in {pieces} pieces" if pieces else "holds no pixel"
        came = came if shape.ndim == 2 else f"has shape {shape.shape}"
        raise ValueError(
            f"{name} {came}: needed is a bool (h, w) array of one cell in one piece, as `ShapeDatabase.select` makes it"
        )

    def __len__(self) -> int:
        return len(self.shapes)

    @classmethod
    def fit(cls, smears: Iterable[Smear], config: ShapeConfig | None = None) -> ShapeDatabase:
        """Cut the shapes out of the masks of some smears."""
        shapes, border, instances = [], 0, 0
        for smear in smears:
            cells = measure_cells(smear.instances)
            instances += len(cells.complete)
            border += int(np.count_nonzero(~cells.complete))
            shapes.extend(cut_shapes(smear, cells, config))
        database = cls.select(shapes, config)
        cut = {"cut by the border": border, "cut by a neighbour": instances - border - len(shapes)}
        database.dropped = cut | database.dropped
        return database

    @classmethod
    def select(
        cls,
        shapes: Sequence[np.ndarray],
        config: ShapeConfig | None = None,
        classes: Sequence[int] | np.ndarray | None = None,
        slides: Sequence[int] | np.ndarray | None = None,
    ) -> ShapeDatabase:
        """Keep the shapes that are one whole cell by the rules of `ShapeConfig`.

        Notes
        -----
        Holes are filled and of an instance in several pieces the largest is kept; then shapes too
        small, too large (against the median area), too dented or not convex enough are dropped.
        ``.dropped`` says how many, each under the first rule that it breaks.
        """
        config = config or ShapeConfig()
        whole = [fill_and_solidity(piece) for piece in map(largest_piece, shapes)]
        area = np.array([np.count_nonzero(shape) for shape, _ in whole])
        median = np.median(area) if len(area) else 0.0
        rules = {
            "too small": area < config.min_area * median,
            "too large": area > config.max_area * median,
            "dented": np.array([deepest_dent(shape) for shape, _ in whole]) > config.max_dent,
            "not convex enough": np.array([solidity for _, solidity in whole]) < config.min_solidity,
        }
        kept = np.ones(len(whole), dtype=bool)
        dropped = {}
        for rule, breaks in rules.items():
            dropped[rule] = int(np.count_nonzero(kept & breaks))
            kept &= ~breaks
        numbers = (None if x is None else np.asarray(x, dtype=np.int64)[kept] for x in (classes, slides))
        database = cls([shape for (shape, _), keep in zip(whole, kept, strict=True) if keep], config, *numbers)
        database.dropped = dropped
        return database

    def areas(self) -> np.ndarray:
        """Give the area of each shape in pixels, int (n,)."""
        return np.array([np.count_nonzero(shape) for shape in self.shapes])

    def scaled(self, factor: float) -> ShapeDatabase:
        """Give the same shapes at another magnification."""
        return ShapeDatabase(
            [warp(shape, scale=factor) for shape in self.shapes], self.config, self.classes, self.slides
        )

    @cached_property
    def diameter_px(self) -> float:
        """Equivalent diameter of the shape of median area, in pixels."""
        return float(2 * np.sqrt(np.median(self.areas()) / np.pi))

    def check_magnification(self, instances: np.ndarray) -> None:
        """Warn by `DataWarning` if the whole cells of a mask, int (H, W), are `MAGNIFIED` times larger or smaller."""
        areas = np.bincount(instances.ravel().astype(np.int64, copy=False))
        areas[np.concatenate([instances[[0, -1]].ravel(), instances[:, [0, -1]].ravel(), [0]])] = 0
        areas = areas[areas > 0]
        factor = 2 * np.sqrt(np.median(areas) / np.pi) / self.diameter_px if len(areas) else 1.0
        if not 1 / MAGNIFIED < factor < MAGNIFIED:
            warnings.warn(
                f"the mask's cells are {factor * self.diameter_px:.0f} px across, the fitted ones "
                f"{self.diameter_px:.0f}; paint a mask that is resized by {1 / factor:.2f}, to nearest pixels",
                DataWarning,
                stacklevel=3,
            )

    @cached_property
    def reach_px(self) -> int:
        """Longest distance in pixels that a drawn shape can extend from its centre."""
        diagonal = max(np.hypot(*shape.shape) for shape in self.shapes)
        return int(np.ceil(diagonal * max(1.0, self.config.scale[1]))) + 6

    def _softened(self, index: int) -> SoftShape:
        if self._soft[index] is None:
            self._soft[index] = SoftShape.of(self.shapes[index], self.config.scale[0], self.config.smooth)
        return self._soft[index]

    def of_class(self, kind: int) -> np.ndarray:
        """Number the shapes that a cell of a class can have, int (m,): all, where none was cut from that class."""
        own = np.flatnonzero(self.classes == kind) if self.classes is not None else ()
        return own if len(own) else np.arange(len(self.shapes))

    def of_slide(self, slide: int, kind: int | None = None) -> np.ndarray:
        """Number the shapes that a cell of a slide, and of a class, can have, int (m,).

        Those of that class from anywhere, where the slide has none; all, where it has fewer than `FEWEST`.
        """
        own = np.flatnonzero(self.slides == slide) if self.slides is not None else np.zeros(0, np.int64)
        among = self.of_class(kind) if kind is not None else np.arange(len(self.shapes))
        both = np.intersect1d(own, among, assume_unique=True)
        return both if len(own) >= FEWEST and len(both) else among

    def draw(self, rng: np.random.Generator, among: np.ndarray | None = None) -> tuple[np.ndarray, int]:
        """Draw a shape, vary it, and say which one it was.

        Parameters
        ----------
        rng : numpy.random.Generator
        among : int (m,), optional
            Numbers of the shapes to choose from.

        Returns
        -------
        bool (h, w), int
        """
        index = int(rng.integers(len(self.shapes)) if among is None else among[rng.integers(len(among))])
        # The same numbers are drawn whatever is switched on, so that layouts stay comparable.
        turn, size, up, across = rng.random(4).tolist()
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
        """Pack the shapes into two arrays, one bit per pixel; what is known of classes and slides is added."""
        bits = np.concatenate([shape.ravel() for shape in self.shapes])
        sizes = np.array([shape.shape for shape in self.shapes], dtype=np.int32)
        arrays = {"shape_bits": np.packbits(bits), "shape_sizes": sizes}
        known = {"shape_classes": self.classes, "shape_slides": self.slides}
        return arrays | {name: x.astype(np.int32) for name, x in known.items() if x is not None}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], config: ShapeConfig | None = None) -> ShapeDatabase:
        """Unpack what `to_arrays` gave."""
        sizes = np.asarray(arrays["shape_sizes"])
        ends = np.cumsum(sizes.prod(axis=1))
        bits = np.unpackbits(np.asarray(arrays["shape_bits"]), count=int(ends[-1])).astype(bool)
        parts = np.split(bits, ends[:-1])
        shapes = [part.reshape(size) for part, size in zip(parts, sizes, strict=True)]
        return cls(shapes, config, arrays.get("shape_classes"), arrays.get("shape_slides"))
