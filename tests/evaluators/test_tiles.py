"""Tiles: where they are from, and that scale bars are kept out."""

from __future__ import annotations

import numpy as np
import pytest

from bloodlib.datasets import load
from bloodlib.evaluators.tiles import cut_tiles, find_ink
from bloodlib.smears import Smear


def grey(seed: int = 0, shape=(120, 160)) -> np.ndarray:
    return np.random.default_rng(seed).integers(150, 170, (*shape, 3), dtype=np.uint8)


def barred(kind: str) -> np.ndarray:
    image = grey()
    colour = (20, 20, 20) if kind == "black" else (60, 200, 70)
    image[90:92, 100:140] = colour
    return image


@pytest.mark.parametrize("kind", ["black", "green"])
def test_bars_are_found_and_nothing_else(kind):
    ink = find_ink(barred(kind))
    assert ink[90:92, 100:140].all()
    assert not ink[:60].any()
    assert not ink[:, :90].any()
    assert not find_ink(grey()).any()


def test_round_dark_cells_are_no_bars():
    image = grey()
    rows, columns = np.indices(image.shape[:2])
    image[(rows - 60) ** 2 + (columns - 80) ** 2 < 20**2] = (90, 40, 80)
    assert not find_ink(image).any()


@pytest.mark.parametrize("kind", ["black", "green"])
def test_tiles_are_pieces_without_ink(kind):
    smear = Smear(barred(kind), np.zeros((120, 160), np.int32), name="s", group="g")
    ink = find_ink(smear.image)
    tiles = cut_tiles([smear] * 2, np.random.default_rng(0), 40, 48)
    assert len(tiles) == 80
    for tile in tiles:
        window = (slice(tile.row, tile.row + 48), slice(tile.column, tile.column + 48))
        np.testing.assert_array_equal(tile.image, smear.image[window])
        assert not ink[window].any()
        assert (tile.source, tile.group) == ("s", "g")


def test_painted_tiles_lie_where_the_real_ones_do():
    real = Smear(barred("black"), np.zeros((120, 160), np.int32))
    painted = Smear(grey(1), np.zeros((120, 160), np.int32))
    places = [
        [(t.row, t.column) for t in cut_tiles([smear], np.random.default_rng(3), 20, 48, like=[real])]
        for smear in (real, painted)
    ]
    assert places[0] == places[1]


def test_painted_bars_are_left_in_on_request():
    smear = Smear(barred("black"), np.zeros((120, 160), np.int32))
    tiles = cut_tiles([smear], np.random.default_rng(0), 40, 48, ink=False)
    assert any(find_ink(smear.image)[t.row : t.row + 48, t.column : t.column + 48].any() for t in tiles)


def test_no_room_is_said():
    smear = Smear(barred("black"), np.zeros((120, 160), np.int32), name="tiny")
    with pytest.raises(ValueError, match="'tiny' is 160×120, a tile of 130 px does not fit"):
        cut_tiles([smear], np.random.default_rng(0), 1, 130)
    with pytest.raises(ValueError, match="'tiny': no tile of 118 px without a scale bar"):
        cut_tiles([smear], np.random.default_rng(0), 1, 118)


@pytest.mark.real
def test_every_scale_bar_of_chula_is_found(real_data):
    from bloodlib.io import read_image

    for name in load("chula_rbc12").names:
        ink = find_ink(read_image(real_data / "chula_rbc12" / "Dataset" / f"{name}.jpg"))
        assert ink[425:450, 490:610].any(), f"the bar of {name} is not found"
        assert ink.mean() < 0.03, f"{name}: too much is taken for ink"
