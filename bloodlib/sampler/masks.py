"""The mask generator: how many cells, which shapes, where, in which colours."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import TYPE_CHECKING

import numpy as np

from ..smears import Smear
from ..statistics import Table1, measure_cells
from .config import MaskConfig
from .constants import LayoutConstants
from .excitation import one_of
from .laws import law_options
from .layout import Layout
from .mask import CrowdedWarning, Mask
from .placement import PlacementConfig
from .requested import whole_count, whole_shape
from .shapes import ShapeConfig, ShapeDatabase, crop_cells, uncut_cells
from .slides import slide_configs
from .writing import write_masks

if TYPE_CHECKING:
    from .fitting import FitConfig


class MaskGenerator:
    """Draw synthetic instance masks that follow the statistics of some smears.

    Parameters
    ----------
    shapes : ShapeDatabase
    config : MaskConfig
        How shapes are varied the database says, whatever stands here.
    slides : sequence of MaskConfig
        One for each slide, where masks are drawn after one slide each; ``config`` holds for all if there is none.
    slide_of : int (m,), optional
        Number of the slide of every fitted smear.

    Notes
    -----
    Bailo et al. 2019, section 4.1: n ~ Norm(mean, std) of Table 1; for each cell a shape from the
    database, a location from Eq. 3, and a colour that no touching cell has; a cell that does not
    fit, or for which no colour is left, gets another location. Book: chapters 02 to 04.
    """

    def __init__(
        self,
        shapes: ShapeDatabase,
        config: MaskConfig,
        slides: Sequence[MaskConfig] = (),
        slide_of: np.ndarray | None = None,
    ) -> None:
        self.shapes = shapes
        self.config = replace(config, shapes=shapes.config)  # drawn with, and so what is stored and sent to workers
        self.slides = tuple(replace(slide, shapes=shapes.config) for slide in slides)
        self.slide_of = slide_of

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
        layout: str | FitConfig | LayoutConstants = "given",
        augment: bool = True,
        smooth: bool = False,
        scale: tuple[float, float] = ShapeConfig.scale,
        keep_classes: bool = False,
        by_slide: bool = False,
        **options,
    ) -> MaskGenerator:
        """Measure the smears and cut out their shapes, reading each smear once (a fitted layout reads them again).

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
        layout : {"given", "fitted"}, FitConfig or LayoutConstants
            Where the layout's constants come from: the arguments above, or (minutes) the choice that makes
            masks lie most like the cells of these smears, see `bloodlib.sampler.fitting.fit_layout`; or an earlier
            such choice. Then placement, variant, core, sigma_px, n_init, law and snap are not looked at.
        augment : bool
            Whether drawn shapes are rotated, scaled and flipped.
        smooth : bool
            Whether outlines are freed from the steps of pixels before they are (see `ShapeConfig`).
        scale : (float, float)
            Smallest and largest factor of a drawn shape's size.
        keep_classes : bool
            Whether shapes keep the class of the cell that they were cut from, so that a mix can be asked for.
        by_slide : bool
            Whether each mask is drawn after one slide (group of smears): its shapes, its number of cells, its constants
            if they are fitted. The paper draws from all. Fitting takes a quarter of a minute a slide; where it cannot
            be done (one smear a slide, smears of a few cells), the arguments above are taken and a warning says so.
        **options
            Other fields of `MaskConfig`.

        Raises
        ------
        ValueError
            If an option is not known, or the smears hold no complete cell.
        """
        # Checked before any smear is read.
        if unknown := sorted(set(options) - {known.name for known in fields(MaskConfig)}):
            raise ValueError(f"there is no option {unknown[0]!r}, neither here nor in MaskConfig")
        if isinstance(layout, str):
            one_of("layout", layout, ("given", "fitted"))
        size_px = 46.0 if cell_size_px is None else cell_size_px
        config = PlacementConfig(placement, variant, core, size_px, sigma_px, n_init, weights, dict(law or {}))
        law_options(config)
        MaskConfig(0.0, 0.0, (1, 1), config, **options)
        varied = ShapeConfig(smooth=smooth, scale=tuple(scale))
        varied = varied if augment else replace(varied, rotate=False, flip=False, scale=(1.0, 1.0))
        measures, cut, classes, sources, sides, groups = [], [], [], [], [], []
        if layout != "given" and not isinstance(layout, LayoutConstants) and not isinstance(smears, Sequence):
            smears = list(smears)  # to be read again
        for number, smear in enumerate(smears):
            cells = measure_cells(smear.instances, smear.image)
            measures.append(cells)
            uncut = uncut_cells(smear, cells)
            cut.extend(crop_cells(smear, cells, uncut))
            classes.extend(smear.classes[uncut])
            sources.extend([number] * len(uncut))
            sides.append(smear.instances.shape)
            groups.append(smear.group)
        table = Table1.of(measures)
        if cell_size_px is None:
            config = replace(config, cell_size_px=(table.width_mean + table.height_mean) / 2)
        height, width = np.mean(sides, axis=0).round().astype(int)
        shape = (int(height), int(width))
        masks = MaskConfig(table.count_mean, table.count_std, shape, config, varied, **options)
        own = None
        if layout != "given" and not isinstance(layout, LayoutConstants):
            from .fitting import fit_layout, fit_slides

            wanted = None if layout == "fitted" else layout
            if by_slide:
                try:
                    own = {name: fit.constants for name, fit in fit_slides(smears, wanted).items()}
                except ValueError as reason:  # one smear a slide, or smears too small: nothing to fit to
                    told = f"layout: cannot be fitted to these slides, the given constants are taken ({reason})"
                    warnings.warn(told, stacklevel=2)
            else:
                layout = fit_layout(smears, wanted).constants
        if isinstance(layout, LayoutConstants):
            masks, own = layout.apply(masks), dict.fromkeys(groups, layout) if by_slide else None
        classes = classes if keep_classes else None
        if not by_slide:
            return cls(ShapeDatabase.select(cut, varied, classes), masks)
        slides, slide_of = slide_configs(groups, measures, sides, masks, cell_size_px, own)
        return cls(ShapeDatabase.select(cut, varied, classes, slide_of[sources]), masks, slides, slide_of)

    def draw_count(
        self, rng: np.random.Generator, shape: tuple[int, int] | None = None, config: MaskConfig | None = None
    ) -> int:
        """Draw the number of cells, n ~ Norm(mean, std), never below 0; of one slide, if its configuration is given.

        Notes
        -----
        On a canvas of another size mean and standard deviation scale with its area (ours): what
        varies from slide to slide is the density. A smear's cells are counted with those that its border cuts,
        while all centres that are drawn lie inside, which is the paper's way: drawn cells lie denser than those of
        the smears, and fewer are cut (chapter 11). The comparisons of chapter 04 draw on a larger canvas instead.
        """
        config = config or self.config
        height, width = shape or config.shape
        share = height * width / (config.shape[0] * config.shape[1])
        return max(0, round(rng.normal(config.count_mean * share, config.count_std * share)))

    def sample(
        self,
        rng: np.random.Generator,
        shape: tuple[int, int] | None = None,
        count: int | None = None,
        shares: np.ndarray | None = None,
        source: int | None = None,
    ) -> Mask:
        """Draw one mask.

        Parameters
        ----------
        rng : numpy.random.Generator
        shape : (height, width), optional
            In pixels; that of the fitted smears if not given.
        count : int, optional
            Cells requested; drawn with `draw_count` if not given.
        shares : float (k,), optional
            Of the cells' classes 0..k-1, summing to 1. Each cell's class is drawn by them, and its shape
            among those of its class; any shape if not given, or where the class has none.
        source : int, optional
            Smear after whose slide the mask is drawn, where slides are kept apart; any of the fitted if not given.

        Returns
        -------
        Mask
            ``placed`` may be less than ``requested``: then there was no room, and a
            `CrowdedWarning` says so.

        Raises
        ------
        ValueError
            If the shape is not two whole numbers of pixels, or the count no whole number of 0 or more.
        """
        mask = self.draw(rng, shape, count, shares, source)
        if mask.placed < mask.requested:
            height, width = mask.instances.shape
            warnings.warn(
                f"{mask.placed} of {mask.requested} cells placed: {width}×{height} px hold no more of these shapes",
                CrowdedWarning,
                stacklevel=2,
            )
        return mask

    def draw(
        self,
        rng: np.random.Generator,
        shape: tuple[int, int] | None = None,
        count: int | None = None,
        shares: np.ndarray | None = None,
        source: int | None = None,
    ) -> Mask:
        """Draw one mask as `sample` does, leaving it to the caller to see whether all cells found room."""
        shape = whole_shape(self.config.shape if shape is None else shape)
        config, slide = self.config, None
        if self.slides:
            source = int(rng.integers(len(self.slide_of))) if source is None else source
            slide = int(self.slide_of[source])
            config = self.slides[slide]
        requested = self.draw_count(rng, shape, config) if count is None else whole_count(count)
        layout = Layout(config, shape, self.shapes.reach_px, requested, rng)
        classes: list[int] = []  # of every cell that a place was looked for
        shape_ids: list[int] = []
        among = None if slide is None else self.shapes.of_slide(slide)

        def draw_any(rng: np.random.Generator) -> tuple[np.ndarray, int]:
            return self.shapes.draw(rng, among)

        def draw_classed(rng: np.random.Generator) -> tuple[np.ndarray, int]:
            kind = int(rng.choice(len(shares), p=shares))
            classes.append(kind)
            of_kind = self.shapes.of_class(kind) if slide is None else self.shapes.of_slide(slide, kind)
            piece, shape_id = self.shapes.draw(rng, of_kind)
            shape_ids.append(shape_id)
            return piece, len(shape_ids) - 1

        layout.fill(draw_any if shares is None else draw_classed)
        placed, drawn = layout.canvas.count, np.array(layout.shape_ids, dtype=int)
        return Mask(
            instances=layout.canvas.instances,
            colour_of=np.array(layout.canvas.colours, dtype=np.uint8),
            centres=layout.centres[:placed],
            requested=requested,
            placed=placed,
            shape_ids=drawn if shares is None else np.array(shape_ids, dtype=int)[drawn],
            trials=np.array(layout.trials, dtype=int),
            amodal=tuple(layout.canvas.cells),
            classes=None if shares is None else np.array(classes, dtype=int)[drawn],
            source=source if self.slides else None,
        )

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Give the shapes, and which smear is of which slide, as arrays, to be stored beside `to_dict`."""
        arrays = self.shapes.to_arrays()
        return arrays if self.slide_of is None else {**arrays, "slide_of": self.slide_of.astype(np.int32)}

    def to_dict(self) -> dict:
        """Give the configuration as plain values that JSON can hold."""
        slides = {"slides": [asdict(slide) for slide in self.slides]} if self.slides else {}
        return {**asdict(self.config), **slides}

    def digest(self) -> str:
        """Give sixteen hexadecimal digits that change with anything that decides its masks, but the code."""
        sha = hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode())
        for name, values in sorted(self.to_arrays().items()):
            sha.update(name.encode())
            sha.update(np.ascontiguousarray(values))
        return sha.hexdigest()[:16]

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], config: dict) -> MaskGenerator:
        """Build the generator again from what `to_arrays` and `to_dict` gave."""
        config, *slides = (MaskConfig.from_dict(one) for one in (config, *config.get("slides", ())))
        return cls(ShapeDatabase.from_arrays(arrays, config.shapes), config, slides, arrays.get("slide_of"))

    def __reduce__(self):
        """Travel to workers as small arrays, without what was softened for drawing."""
        return type(self).from_arrays, (self.to_arrays(), self.to_dict())

    def write(
        self,
        folder: str | os.PathLike[str],
        count: int,
        seed: int,
        shape: tuple[int, int] | None = None,
        workers: int | None = None,
        progress: bool = False,
    ) -> None:
        """Write masks: ``instances/00000.png`` (16 bit), ``masks/00000.png`` (the paper's colours) and manifest.json.

        Parameters
        ----------
        folder : path
            Files of the same names are replaced; each is written whole or not at all.
        count : int
            Number of masks.
        seed : int
            Mask k is drawn from the generator of (seed, k): the same bytes whatever is written
            beside it, on any number of workers.
        shape : (height, width), optional
            In pixels; that of the fitted smears if not given.
        workers : int, optional
            Processes; -1 for one on each core. None: one, or what `joblib.parallel_config` says, so that an
            existing Dask cluster can do the work: ``with joblib.parallel_config(backend="dask"):``.
        progress : bool
            Whether to show a progress bar.

        Raises
        ------
        ValueError
            As `sample`, if the number of masks or the seed is no whole number of 0 or more, or if the folder holds
            anything but masks of this seed and shape: before anything is written.

        Warns
        -----
        CrowdedWarning
            Once, if cells found no room in some masks; manifest.json gives requested and placed for each.

        Notes
        -----
        With ``overlap`` in the configuration there is also coco.json, with every cell whole and as
        far as it is seen (see `bloodlib.sampler.writing.amodal_annotations`). Book: chapter 03.
        """
        write_masks(self, folder, count, seed, shape, workers, progress)
