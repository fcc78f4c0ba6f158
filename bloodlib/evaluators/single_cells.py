"""Painted single cells, judged: is their type known again, how few cells suffice, and does a classifier gain?"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from ..datasets.single_cells import BACKGROUND, TYPE_NAMES, SingleCell
from ..gan.pix2pix_training import CellPainter, jitter, labels_of, pictures_of
from .morphology import SIDE_PX, CellTiles

CLASSES = len(TYPE_NAMES)


def without_ground(cells: Sequence[SingleCell]) -> list[SingleCell]:
    """Leave out the grounds, which are a type to a painter and none to a classifier."""
    return [cell for cell in cells if cell.kind != BACKGROUND]


def few_of_each(cells: Sequence[SingleCell], each: int, rng: np.random.Generator) -> list[SingleCell]:
    """Take so many cells of every type at random, all where there are fewer, in their order."""
    kinds, chosen = np.array([cell.kind for cell in cells]), []
    for kind in np.unique(kinds):
        own = np.flatnonzero(kinds == kind)
        chosen.extend(rng.choice(own, size=min(each, len(own)), replace=False).tolist())
    return [cells[k] for k in sorted(chosen)]


def to_tiles(cells: Sequence[SingleCell], images: np.ndarray | None = None, tag: str = "") -> CellTiles:
    """Bring cells to what the classifier of `bloodlib.evaluators.morphology` looks at.

    Parameters
    ----------
    cells : sequence of SingleCell
    images : uint8 (n, side, side, 3), optional
        Shown instead of the cells' own pictures; the kinds stay.
    tag : str
        At the end of the cells' names.

    Returns
    -------
    CellTiles
        The whole field at `SIDE_PX`, black around the cell. Each cell is a smear and a group of its own: patients are
        not known, so intervals resample cells.
    """
    shown = [cell.image for cell in cells] if images is None else images
    size = (SIDE_PX, SIDE_PX)
    tiles = [cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in shown]
    names = np.array([f"{cell.name}{tag}" for cell in cells], dtype=str)
    kinds = np.array([cell.kind for cell in cells], dtype=np.int64)
    return CellTiles(np.array(tiles, np.uint8).reshape(-1, SIDE_PX, SIDE_PX, 3), kinds, names, names)


def repaint(painter: CellPainter, cells: Sequence[SingleCell], rng: np.random.Generator) -> CellTiles:
    """Paint the outlines of real cells, in the colours of their types."""
    return to_tiles(cells, painter.paint(labels_of(cells, painter.config), rng), " painted")


def paint_more(painter: CellPainter, cells: Sequence[SingleCell], each: int, rng: np.random.Generator) -> CellTiles:
    """Paint so many cells of every type that there is one of, on varied outlines of these cells.

    Notes
    -----
    Outlines are enlarged, moved and mirrored as in training, and turned by quarters.
    """
    kinds = np.array([cell.kind for cell in cells])
    chosen = [cells[int(rng.choice(np.flatnonzero(kinds == kind)))] for kind in np.unique(kinds) for _ in range(each)]
    labels = [np.rot90(jitter(cell, painter.config, rng)[1], int(rng.integers(4))) for cell in chosen]
    return to_tiles(chosen, painter.paint(np.stack(labels), rng), " varied")


def grey_levels_away(painter: CellPainter, cells: Sequence[SingleCell], rng: np.random.Generator) -> np.ndarray:
    """Measure how far paintings are from the cells that their outlines are of, inside of them: float64 (n,)."""
    labels = labels_of(cells, painter.config)
    away = np.abs(painter.paint(labels, rng).astype(float) - pictures_of(cells, painter.config)).mean(axis=-1)
    inside = labels.any(axis=-1)  # (n, side, side)
    return np.array([away[k][inside[k]].mean() for k in range(len(cells))])
