"""Cut square tiles out of smears, away from scale bars and their lettering."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ..derive import INK_EXCESS
from ..smears import Smear

BAR_PX = (7, 15)  # measured on Chula: bars are 2 px thick and 17 to 50 px long
BAR_DEPTH = 25  # measured on Chula: bars are darker than what is above and below by 30 to 100 grey levels
LETTERS_PX = 20  # measured on Chula
TRIES = 50  # ours: places tried per tile before a smear is said to have no room


@dataclass(frozen=True, eq=False)
class Tile:
    """Hold a square piece of a smear and where it comes from.

    Parameters
    ----------
    image : uint8 (side, side, 3)
    source : str
        Name of the smear.
    group : str
        Slide or appearance group of the smear.
    row, column : int
        The tile's first pixel in the smear.
    """

    image: np.ndarray
    source: str = ""
    group: str = ""
    row: int = 0
    column: int = 0


def find_ink(image: np.ndarray) -> np.ndarray:
    """Mark scale bars and their lettering: bool (H, W).

    Notes
    -----
    Coloured ink absorbs more red than green, as no blood does (rule and threshold as in `bloodlib.derive`, against the
    image's median in place of a fitted background). A black bar is a dark level line, thinner than `BAR_PX[0]` and
    longer than `BAR_PX[1]`; what lies within `LETTERS_PX` above or below it counts as lettering. On Chula RBC-12 that
    finds the bar of every smear; now and then a cell that is cut flat by the border is taken for one.
    """
    red, green = (np.log(np.maximum(image[..., channel], 1).astype(np.float32)) for channel in (0, 1))
    excess = green - red
    coloured = excess - np.median(excess) > INK_EXCESS
    thin = cv2.morphologyEx(image.max(axis=2), cv2.MORPH_BLACKHAT, np.ones((BAR_PX[0], 1), np.uint8)) > BAR_DEPTH
    bars = cv2.morphologyEx(thin.astype(np.uint8), cv2.MORPH_OPEN, np.ones((1, BAR_PX[1]), np.uint8))
    lettered = cv2.dilate(bars, np.ones((2 * LETTERS_PX + 1, 9), np.uint8)) > 0
    return coloured | lettered


def cut_tiles(
    smears: Sequence[Smear],
    rng: np.random.Generator,
    each: int,
    side_px: int,
    like: Sequence[Smear] | None = None,
    ink: bool = True,
) -> list[Tile]:
    """Cut tiles at random places, as many from every smear.

    Parameters
    ----------
    smears : sequence of Smear
        Read one at a time.
    rng : numpy.random.Generator
    each : int
        Tiles per smear; they may overlap.
    side_px : int
    like : sequence of Smear, optional
        The real smears that these were painted after: places with scale bars *there* are avoided, so that equal
        `rng` gives the tiles of both at equal places.
    ink : bool
        False looks for no scale bars: painted smears have none, and what looks like one is the painter's own.

    Returns
    -------
    list of Tile
        In the order of the smears.

    Raises
    ------
    ValueError
        If a smear is smaller than a tile, or scale bars are everywhere.
    """
    tiles = []
    for smear, model in zip(smears, like or smears, strict=True):
        height, width = smear.instances.shape
        if side_px > min(height, width):
            raise ValueError(
                f"smear {smear.name!r} is {width}×{height}, a tile of {side_px} px does not fit; lower side_px"
            )
        barred = find_ink(model.image) if ink else np.zeros((height, width), bool)
        for _ in range(each):
            row, column = _free_place(barred, side_px, rng, smear.name)
            piece = smear.image[row : row + side_px, column : column + side_px].copy()
            tiles.append(Tile(piece, smear.name, smear.group, row, column))
    return tiles


def _free_place(barred: np.ndarray, side_px: int, rng: np.random.Generator, name: str) -> tuple[int, int]:
    for _ in range(TRIES):
        row, column = (int(rng.integers(side - side_px + 1)) for side in barred.shape)
        if not barred[row : row + side_px, column : column + side_px].any():
            return row, column
    raise ValueError(f"smear {name!r}: no tile of {side_px} px without a scale bar in {TRIES} tries; lower side_px")
