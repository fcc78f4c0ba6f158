"""Smears of many cell types put together from painted single cells: as the thesis does it, and mended."""

from __future__ import annotations

import cv2
import numpy as np
from scipy import ndimage

from ..datasets.single_cells import BACKGROUND, TYPE_COLOURS
from ..smears import Smear
from .cell_layouts import Drawn
from .pix2pix_training import CellPainter

TILE_ROWS, TILE_COLUMNS = 8, 16  # the thesis': tiles of 64×128 fill 1024×1024


def tiled_ground(painter: CellPainter, rng: np.random.Generator) -> np.ndarray:
    """Paint a background as published: tiles cut out of painted half grounds, side by side.

    Returns
    -------
    uint8 (4 · side_px, 4 · side_px, 3)

    Notes
    -----
    The label's left half has the background's colour (a label of one colour all over is painted blank), of what
    is painted there the middle half by half is kept, at 256 px a tile of 64×128; every tile is painted from the same
    label and differs by dropout alone. The thesis prints 16 rows of 8; tiles that are 64 wide need 16 in a row.
    """
    side = painter.config.side_px
    painted = painter.paint(np.repeat(_half_ground(side)[None], TILE_ROWS * TILE_COLUMNS, axis=0), rng)
    tiles = painted[:, side // 4 : 3 * side // 4, side // 8 : 3 * side // 8]
    grid = tiles.reshape(TILE_ROWS, TILE_COLUMNS, side // 2, side // 4, 3)
    return grid.transpose(0, 2, 1, 3, 4).reshape(4 * side, 4 * side, 3)  # (rows, h, columns, w, 3) -> (H, W, 3)


def _half_ground(side_px: int) -> np.ndarray:
    label = np.zeros((side_px, side_px, 3), np.uint8)
    label[:, : side_px // 2] = TYPE_COLOURS[BACKGROUND]
    return label


def seamless_ground(
    painter: CellPainter, rng: np.random.Generator, shape: tuple[int, int], painted: int = 16
) -> np.ndarray:
    """Paint a background without blocks: overlapping windows out of several paintings, blended with their grain kept.

    Notes
    -----
    Windows are drawn from different paintings at random places, mirrored at random, and overlap by half. Their
    deviations from the mean colour are added with weights √w, where the w of Hann windows sum to one: means would
    be kept by weights w, the variance of independent grain is by √w.
    """
    side = painter.config.side_px
    grounds = painter.paint(np.repeat(_half_ground(side)[None], painted, axis=0), rng)
    grounds = grounds[:, side // 8 : -side // 8, side // 8 : 3 * side // 8].astype(np.float32)
    mean = grounds.mean(axis=(0, 1, 2))
    patch = side // 8
    window = np.sin(np.pi * (np.arange(patch) + 0.5) / patch)
    weight = (window[:, None] * window[None])[..., None]  # squares sum to 1 over windows that overlap by half
    height, width = shape
    out = np.zeros((height + 2 * patch, width + 2 * patch, 3), np.float32)
    for row in range(0, height + patch, patch // 2):
        for column in range(0, width + patch, patch // 2):
            one = grounds[int(rng.integers(painted))]
            top, left = (int(rng.integers(0, s - patch + 1)) for s in one.shape[:2])
            piece = one[top : top + patch, left : left + patch][:: rng.choice([-1, 1]), :: rng.choice([-1, 1])]
            piece = piece.transpose(1, 0, 2) if rng.random() < 0.5 else piece
            out[row : row + patch, column : column + patch] += weight * (piece - mean)
    half = patch // 2
    return np.clip(mean + out[half : half + height, half : half + width], 0, 255).round().astype(np.uint8)


def compose(
    drawn: Drawn,
    ground: np.ndarray,
    painter: CellPainter,
    rng: np.random.Generator,
    *,
    blend_px: float = 0.0,
    white_boxes: bool = False,
    name: str = "composed",
) -> Smear:
    """Paint every cell of a layout by itself and paste it onto the ground through its outline.

    Parameters
    ----------
    drawn : Drawn
        At the painter's scale, see `bloodlib.gan.cell_layouts.to_scale`.
    ground : uint8 (H, W, 3)
        At least as large as the layout.
    painter : CellPainter
    rng : numpy.random.Generator
    blend_px : float
        Width over which a cell's border is blended with the ground; 0, the thesis', is a hard stencil.
    white_boxes : bool
        Whether the box around a cell is shown to the painter as it is in the layout, neighbours on white, while it was
        trained on black: the thesis' way.
    name : str

    Returns
    -------
    Smear
        With a class for every cell, a position in `CELL_NAMES` of `bloodlib.gan.cell_layouts`;
        `bloodlib.io.coco.write_coco` writes it down.

    Notes
    -----
    Where the layout has layers, every cell is painted whole, and of two that cover a place the darker counts, as in
    `bloodlib.gan.overlaps`.
    """
    side = painter.config.side_px
    layout = np.full((*drawn.instances.shape, 3), 255 if white_boxes else 0, np.uint8)
    layout[drawn.instances > 0] = TYPE_COLOURS[drawn.kinds[drawn.instances[drawn.instances > 0] - 1]]
    image = ground[: layout.shape[0], : layout.shape[1]].astype(np.float32)
    below = np.zeros(drawn.instances.shape, dtype=bool)  # where cells lie already
    for ids in drawn.layers or (drawn.instances,):
        for k, box in enumerate(ndimage.find_objects(ids), start=1):
            if box is None:
                continue
            shape = ids[box] == k
            fits = min(1.0, side / max(shape.shape))  # what is wider than the painter's field is painted smaller
            height, width = (max(1, round(fits * s)) for s in shape.shape)
            top, left = (side - height) // 2, (side - width) // 2
            label = np.zeros((side, side, 3), np.uint8)
            colours = layout[box] if white_boxes else np.where(shape[..., None], TYPE_COLOURS[drawn.kinds[k - 1]], 0)
            label[top : top + height, left : left + width] = cv2.resize(
                colours, (width, height), interpolation=cv2.INTER_NEAREST
            )
            cell = painter.paint(label[None], rng)[0, top : top + height, left : left + width]
            cell = cv2.resize(cell, shape.shape[::-1], interpolation=cv2.INTER_LINEAR)
            depth = cv2.distanceTransform(np.pad(shape, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
            share = (np.clip(depth / (blend_px + 1), 0, 1) if blend_px else shape.astype(np.float32))[..., None]
            cell = np.where(below[box][..., None], np.minimum(cell, image[box]), cell)  # the darker counts
            image[box] = share * cell + (1 - share) * image[box]
        below |= ids > 0
    classes = drawn.kinds.astype(np.int64)
    return Smear(np.clip(image, 0, 255).round().astype(np.uint8), drawn.instances, classes, name=name)
