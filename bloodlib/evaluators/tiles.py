"""Cut square tiles out of smears, away from scale bars and their lettering."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..ink import find_ink
from ..smears import Smear

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
