"""Measure smears: Table 1 of a set. How its cells lie to one another: `bloodlib.layout_statistics`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import numpy as np
from scipy.ndimage import find_objects

from .layout_statistics import (
    DeviationTest,
    cluster_sizes,
    coverage,
    deviation_test,
    nearest_neighbour_distances,
    pair_correlation,
    ripley_k,
    touching_pairs,
    touching_share,
)
from .smears import Smear

__all__ = [
    "CellMeasures",
    "DeviationTest",
    "Table1",
    "cluster_sizes",
    "coverage",
    "describe",
    "deviation_test",
    "measure_cells",
    "nearest_neighbour_distances",
    "pair_correlation",
    "ripley_k",
    "touching_pairs",
    "touching_share",
]


@dataclass(frozen=True, eq=False)
class CellMeasures:
    """Hold what is measured on each cell of one mask; entry ``k - 1`` belongs to instance ``k``.

    ``area_px`` int (n,); ``box`` int (n, 4): first row, first column, end row, end column;
    ``complete`` bool (n,): not cut by the border; ``centre`` float (n, 2): row, column of the
    centroid; ``colour`` float (n, 3): mean RGB over the cell, NaN where no image was given.
    """

    area_px: np.ndarray
    box: np.ndarray
    complete: np.ndarray
    centre: np.ndarray
    colour: np.ndarray


def measure_cells(instances: np.ndarray, image: np.ndarray | None = None) -> CellMeasures:
    """Measure every instance of a mask in one pass over its pixels.

    Parameters
    ----------
    instances : int32 (H, W)
        0 is background, cells are 1..n without gaps.
    image : uint8 (H, W, 3), optional

    Returns
    -------
    CellMeasures

    Notes
    -----
    A cell is *complete* when none of its pixels lies on the outermost row or column: only
    then is its bounding box the size of the cell. Book: chapter 01.

    Examples
    --------
    >>> mask = np.zeros((6, 8), dtype=np.int32)
    >>> mask[1:4, 2:7] = 1
    >>> cells = measure_cells(mask)
    >>> cells.area_px.tolist(), cells.box.tolist(), cells.centre.tolist(), cells.complete.tolist()
    ([15], [[1, 2, 4, 7]], [[2.0, 4.0]], [True])
    """
    height, width = instances.shape
    row, col = np.nonzero(instances)
    label = instances[row, col] - 1
    n = int(label.max(initial=-1)) + 1
    area = np.bincount(label, minlength=n)
    box = np.tile([max(height, width)] * 2 + [1] * 2, (n, 1))
    for k, found in enumerate(find_objects(instances)):
        if found is not None:
            box[k] = [side.start for side in found] + [side.stop for side in found]

    def mean(values: np.ndarray) -> np.ndarray:
        return np.bincount(label, weights=values, minlength=n) / np.maximum(area, 1)

    colour = np.full((n, 3), np.nan)
    if image is not None:
        pixels = image[row, col]
        colour = np.stack([mean(pixels[:, c]) for c in range(3)], axis=1)  # (n, 3)
    complete = (box[:, :2] > 0).all(axis=1) & (box[:, 2] < height) & (box[:, 3] < width)
    return CellMeasures(
        area_px=area,
        box=box,
        complete=complete,
        centre=np.stack([mean(row), mean(col)], axis=1),  # (n, 2)
        colour=colour,
    )


@dataclass(frozen=True)
class Table1:
    """Hold the statistics that Table 1 of Bailo et al. 2019 gives, for any set of smears.

    Sizes are bounding boxes of complete cells in pixels; colours are means and standard
    deviations over cells of the cell's mean colour (RGB, 0 to 255); the standard deviations
    are those of the population. ``largest`` and ``smallest`` are (width, height) of the
    complete cells whose boxes have the largest and the smallest area.
    """

    images: int
    cells: int
    count_mean: float
    count_std: float
    width_mean: float
    width_std: float
    height_mean: float
    height_std: float
    colour_mean: tuple[float, float, float]
    colour_std: tuple[float, float, float]
    largest: tuple[int, int]
    smallest: tuple[int, int]

    def rows(self) -> list[tuple[str, float, float]]:
        """List (name, mean, standard deviation) in the order of the paper's table."""
        channels = zip(("red", "green", "blue"), self.colour_mean, self.colour_std, strict=True)
        return [
            ("cells per image", self.count_mean, self.count_std),
            ("cell width (px)", self.width_mean, self.width_std),
            ("cell height (px)", self.height_mean, self.height_std),
            *((f"cell colour, {name}", mean, std) for name, mean, std in channels),
        ]

    def to_dict(self) -> dict:
        """Give the fields as plain values that JSON can hold."""
        return asdict(self)

    @classmethod
    def of(cls, measures: Iterable[CellMeasures]) -> Table1:
        """Summarise smears that were measured with `measure_cells`.

        Raises
        ------
        ValueError
            If there is no smear, or none with a complete cell.
        """
        measures = list(measures)
        if not measures:
            raise ValueError("no smears to describe: the folder is empty; did the split keep any?")
        counts = np.array([len(cells.area_px) for cells in measures])
        box = np.concatenate([cells.box[cells.complete] for cells in measures])
        if len(box) == 0:
            raise ValueError(
                f"{len(measures)} smears hold no complete cell ({counts.sum()} cells, all cut by the border): "
                "sizes cannot be measured; are these crops of single cells?"
            )
        height, width = (box[:, 2:] - box[:, :2]).T
        colour = np.concatenate([cells.colour for cells in measures])
        order = np.argsort(height * width, kind="stable")
        return cls(
            images=len(measures),
            cells=int(counts.sum()),
            count_mean=float(counts.mean()),
            count_std=float(counts.std()),
            width_mean=float(width.mean()),
            width_std=float(width.std()),
            height_mean=float(height.mean()),
            height_std=float(height.std()),
            colour_mean=tuple(colour.mean(axis=0).tolist()),
            colour_std=tuple(colour.std(axis=0).tolist()),
            largest=(int(width[order[-1]]), int(height[order[-1]])),
            smallest=(int(width[order[0]]), int(height[order[0]])),
        )


def describe(smears: Iterable[Smear]) -> Table1:
    """Measure Table 1 of Bailo et al. 2019 on any smears. Book: chapter 01.

    Parameters
    ----------
    smears : SmearFolder or iterable of Smear
        Read one at a time.

    Returns
    -------
    Table1
    """
    return Table1.of(measure_cells(smear.instances, smear.image) for smear in smears)
