"""Tiles: where they are from, and that scale bars are kept out."""

from __future__ import annotations

import numpy as np
import pytest
from barred import barred, grey

from bloodlib.evaluators.tiles import cut_tiles
from bloodlib.ink import find_ink
from bloodlib.smears import Smear


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
