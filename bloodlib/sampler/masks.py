"""The mask generator: how many cells, which shapes, where, in which colours."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from ..smears import Smear
from ..statistics import Table1, measure_cells
from .canvas import COLOURS
from .config import MaskConfig
from .laws import law_options
from .layout import Layout
from .placement import PlacementConfig
from .shapes import ShapeConfig, ShapeDatabase, cut_shapes


class CrowdedWarning(UserWarning):
    """Says that fewer cells were placed than requested, since no shape drawn fits anywhere any more."""


@dataclass(frozen=True, eq=False)
class Mask:
    """Hold one synthetic mask.

    ``instances`` int32 (H, W): 0 is background, cells 1..placed in the order of placement; where cells
    overlap, what is seen of each;
    ``colours`` uint8 (H, W, 3): the paper's colour mask, background black, touching cells differ;
    ``colour_of`` uint8 (placed,): colour of each cell, its position in the list of colours from 1 on;
    ``centres`` int (placed, 2): row, column drawn for each cell (the centroid of its whole shape);
    ``requested``, ``placed``: number of cells; ``shape_ids`` int (placed,): which shape of the database;
    ``trials`` int (placed,): locations drawn from P until one could hold the cell (beyond ``tries`` of the
    configuration: places that were looked through, see `bloodlib.sampler.layout.Layout`);
    ``amodal`` for each cell (row, column, bool (h, w)): where its box begins and its shape in it, whole:
    also what the border cuts (row or column may be below 0) or cells on top of it hide.
    """

    instances: np.ndarray
    colour_of: np.ndarray
    centres: np.ndarray
    requested: int
    placed: int
    shape_ids: np.ndarray
    trials: np.ndarray
    amodal: tuple[tuple[int, int, np.ndarray], ...]

    @property
    def order(self) -> np.ndarray:
        """Height of each cell where cells overlap, int (placed,): of two, the higher lies on the other."""
        return np.arange(self.placed)

    @cached_property
    def colours(self) -> np.ndarray:
        """The paper's colour mask, uint8 (H, W, 3), made when first asked for."""
        table = np.zeros((1, 256, 3), dtype=np.uint8)
        table[0, 1 : len(COLOURS) + 1] = COLOURS
        index = np.append(np.uint8(0), self.colour_of).take(self.instances)
        return cv2.LUT(cv2.merge([index] * 3), table)  # (H, W) -> (H, W, 3)


class MaskGenerator:
    """Draw synthetic instance masks that follow the statistics of some smears.

    Parameters
    ----------
    shapes : ShapeDatabase
    config : MaskConfig

    Notes
    -----
    Bailo et al. 2019, section 4.1: n ~ Norm(mean, std) of Table 1; for each cell a shape from the
    database, a location from Eq. 3, and a colour that no touching cell has; a cell that does not
    fit, or for which no colour is left, gets another location. Book: chapters 02 to 04.
    """

    def __init__(self, shapes: ShapeDatabase, config: MaskConfig) -> None:
        self.shapes = shapes
        self.config = config

    @classmethod
    def fit(
        cls,
        smears: Iterable[Smear],
        placement: str = "adhesion",
        *,
        variant: str = "final",
        core: str = "inverted",
        cell_size_px: float | None = None,
        sigma_px: float | None = None,
        n_init: int | None = None,
        weights: str = "printed",
        law: Mapping[str, float] | None = None,
        augment: bool = True,
        **options,
    ) -> MaskGenerator:
        """Measure the smears and cut out their shapes, reading each smear once.

        Parameters
        ----------
        smears : SmearFolder or iterable of Smear
            Training smears only: what is tested must not be seen here.
        placement : {"adhesion", "uniform", "cluster", "graph"}
            The paper's law, its comparison, and two more (see `bloodlib.sampler.laws`).
        variant : {"final", "first"}
            Version of Eq. 3.
        core : {"inverted", "zero"}
            Reading of "reverting" (see `bloodlib.sampler.placement.excitation`).
        cell_size_px : float, optional
            Measured (mean side of the bounding boxes) if not given; the paper's is 46.
        sigma_px : float, optional
            cell_size / √(2 ln 2) if not given.
        n_init : int, optional
            Cells seeded uniformly; 20 per 1920×1200 px of 46-px cells if not given.
        weights : {"printed", "equal"}
            Weights of the cells in Eq. 3 (see `bloodlib.sampler.placement.component_weights`).
        law : mapping of str to float, optional
            Options of the law, for those that have any.
        augment : bool
            Whether drawn shapes are rotated, scaled and flipped.
        **options
            Other fields of `MaskConfig`.

        Raises
        ------
        ValueError
            If an option is not known, or the smears hold no complete cell.
        """
        # Checked before any smear is read.
        config = PlacementConfig(
            placement, variant, core, cell_size_px or 46.0, sigma_px, n_init, weights, dict(law or {})
        )
        law_options(config)
        varied = ShapeConfig() if augment else ShapeConfig(rotate=False, flip=False, scale=(1.0, 1.0))
        measures, cut, sides = [], [], []
        for smear in smears:
            cells = measure_cells(smear.instances, smear.image)
            measures.append(cells)
            cut.extend(cut_shapes(smear, cells))
            sides.append(smear.instances.shape)
        table = Table1.of(measures)
        if cell_size_px is None:
            config = replace(config, cell_size_px=(table.width_mean + table.height_mean) / 2)
        height, width = np.mean(sides, axis=0).round().astype(int)
        shape = (int(height), int(width))
        masks = MaskConfig(table.count_mean, table.count_std, shape, config, varied, **options)
        return cls(ShapeDatabase.select(cut, varied), masks)

    def draw_count(self, rng: np.random.Generator, shape: tuple[int, int] | None = None) -> int:
        """Draw the number of cells, n ~ Norm(mean, std), never below 0.

        Notes
        -----
        On a canvas of another size mean and standard deviation scale with its area (ours): what
        varies from slide to slide is the density.
        """
        config = self.config
        height, width = shape or config.shape
        share = height * width / (config.shape[0] * config.shape[1])
        return max(0, round(rng.normal(config.count_mean * share, config.count_std * share)))

    def sample(self, rng: np.random.Generator, shape: tuple[int, int] | None = None, count: int | None = None) -> Mask:
        """Draw one mask.

        Parameters
        ----------
        rng : numpy.random.Generator
        shape : (height, width), optional
            In pixels; that of the fitted smears if not given.
        count : int, optional
            Cells requested; drawn with `draw_count` if not given.

        Returns
        -------
        Mask
            ``placed`` may be less than ``requested``: then there was no room, and a
            `CrowdedWarning` says so.

        Raises
        ------
        ValueError
            If the shape has no pixels or the count is negative.
        """
        shape = tuple(int(side) for side in (shape or self.config.shape))
        if len(shape) != 2 or min(shape) < 1:
            raise ValueError(f"shape={shape!r}: needed is (height, width) with sides of at least 1 px")
        requested = self.draw_count(rng, shape) if count is None else int(count)
        if requested < 0:
            raise ValueError(f"count={count!r}: the number of cells must be 0 or more")
        layout = Layout(self.config, shape, self.shapes.reach_px, requested, rng)
        layout.fill(self.shapes.draw)
        placed = layout.canvas.count
        if placed < requested:
            warnings.warn(
                f"{placed} of {requested} cells placed: {shape[1]}×{shape[0]} px hold no more of these shapes",
                CrowdedWarning,
                stacklevel=2,
            )
        return Mask(
            instances=layout.canvas.instances,
            colour_of=np.array(layout.canvas.colours, dtype=np.uint8),
            centres=layout.centres[:placed],
            requested=requested,
            placed=placed,
            shape_ids=np.array(layout.shape_ids, dtype=int),
            trials=np.array(layout.trials, dtype=int),
            amodal=tuple(layout.canvas.cells),
        )

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Give the shapes as arrays, to be stored beside `to_dict`."""
        return self.shapes.to_arrays()

    def to_dict(self) -> dict:
        """Give the configuration as plain values that JSON can hold."""
        return asdict(self.config)

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], config: dict) -> MaskGenerator:
        """Build the generator again from what `to_arrays` and `to_dict` gave."""
        shapes = ShapeConfig(**{**config["shapes"], "scale": tuple(config["shapes"]["scale"])})
        placement = PlacementConfig(**config["placement"])
        whole = {**config, "shape": tuple(config["shape"]), "placement": placement, "shapes": shapes}
        return cls(ShapeDatabase.from_arrays(arrays, shapes), MaskConfig(**whole))

    def write(
        self, folder: str | os.PathLike[str], count: int, seed: int, shape: tuple[int, int] | None = None
    ) -> None:
        """Write masks as ``instances/00000.png`` (16 bit) and ``masks/00000.png`` (the paper's colours).

        Parameters
        ----------
        folder : path
        count : int
            Number of masks.
        seed : int
            Mask k is drawn from the generator of (seed, k): the same whatever is written beside it.
        shape : (height, width), optional
        """
        from ..io import write_image, write_instances

        folder = Path(folder)
        for k in range(count):
            mask = self.sample(np.random.default_rng([seed, k]), shape)
            write_instances(folder / "instances" / f"{k:05d}.png", mask.instances)
            write_image(folder / "masks" / f"{k:05d}.png", mask.colours)
