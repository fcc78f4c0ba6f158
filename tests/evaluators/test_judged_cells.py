"""Painted single cells before a judge: what is cut, painted and counted, with painters that need no training."""

from __future__ import annotations

import numpy as np
import pytest

from bloodlib._files import package_data, read_json
from bloodlib.datasets.single_cells import BACKGROUND, FIELD_PX, RED_CELL, TECOM, TYPE_COLOURS, TYPE_NAMES, SingleCell
from bloodlib.evaluators import single_cells as judged
from bloodlib.evaluators.morphology import SIDE_PX
from bloodlib.gan.pix2pix_training import pictures_of, preset

CONFIG = preset("smoke", side_px=64)
KINDS = (0, 0, 0, 4, RED_CELL, BACKGROUND, TECOM)


def cell(kind: int, number: int) -> SingleCell:
    rows, columns = np.indices((FIELD_PX, FIELD_PX))
    mask = np.hypot(rows - 128, columns - 128) < 50 + number
    image = np.where(mask[..., None], 90 + kind, 0).astype(np.uint8).repeat(3, axis=2)
    return SingleCell(image, mask, kind, f"cell-{number}")


CELLS = [cell(kind, number) for number, kind in enumerate(KINDS)]


class Painter:
    """Paints every label 10 grey levels lighter than the cells of its type are, and remembers what it was shown."""

    config = CONFIG

    def __init__(self) -> None:
        self.shown: list[np.ndarray] = []

    def paint(self, labels, rng):
        self.shown.append(labels)
        out = np.zeros_like(labels)
        for kind, colour in enumerate(TYPE_COLOURS):
            out[(labels == colour).all(axis=-1)] = 100 + kind
        return out


def test_few_of_each_type_are_as_many_as_there_are():
    cells = judged.without_ground(CELLS)
    assert BACKGROUND not in [one.kind for one in cells]
    few = judged.few_of_each(cells, 2, np.random.default_rng(0))
    assert [one.kind for one in few] == [0, 0, 4, RED_CELL, TECOM]
    names = {tuple(x.name for x in judged.few_of_each(cells, 2, np.random.default_rng(k))) for k in range(20)}
    assert len(names) == 3  # two of three
    assert judged.few_of_each(cells, 9, np.random.default_rng(0)) == cells


def test_tiles_show_whole_fields_and_every_cell_is_its_own_group():
    tiles = judged.to_tiles(CELLS)
    assert tiles.tiles.shape == (len(CELLS), SIDE_PX, SIDE_PX, 3)
    assert tiles.kinds.tolist() == list(KINDS)
    assert len(set(tiles.groups)) == len(CELLS)
    assert tiles.tiles[:, SIDE_PX // 2, SIDE_PX // 2, 0].tolist() == [90 + kind for kind in KINDS]
    assert not tiles.tiles[:, 0].any()
    painted = judged.repaint(Painter(), CELLS, np.random.default_rng(0))
    assert painted.tiles[:, SIDE_PX // 2, SIDE_PX // 2, 0].tolist() == [100 + kind for kind in KINDS]
    assert not set(painted.smears) & set(tiles.smears)


def test_more_are_painted_of_every_type_on_varied_outlines():
    painter = Painter()
    more = judged.paint_more(painter, judged.without_ground(CELLS), 5, np.random.default_rng(0))
    kinds, counts = np.unique(more.kinds, return_counts=True)
    assert dict(zip(kinds.tolist(), counts.tolist(), strict=True)) == {0: 5, 4: 5, RED_CELL: 5, TECOM: 5}
    (labels,) = painter.shown
    assert len({label.any(axis=-1).tobytes() for label in labels}) > 15
    for label, kind in zip(labels, more.kinds, strict=True):
        assert (label[label.any(axis=-1)] == TYPE_COLOURS[kind]).all()


def test_distance_is_taken_inside_the_outline():
    away = judged.grey_levels_away(Painter(), CELLS, np.random.default_rng(0))
    inside = pictures_of(CELLS, CONFIG)[:, 32, 32, 0].astype(int)
    assert (inside == [90 + kind for kind in KINDS]).all()
    assert (away > 8).all()
    assert (away < 20).all()  # where the outline crosses pixels they are darker
    lighter = Painter()
    lighter.paint = lambda labels, rng: (
        np.where(labels.any(axis=-1, keepdims=True), 250, 0).astype(np.uint8).repeat(3, -1)
    )
    assert (judged.grey_levels_away(lighter, CELLS, np.random.default_rng(0)) > 100).all()


def test_what_is_stored_adds_up():
    stored = read_json(package_data("results", "composition", "single_cells.json"))
    rows = stored["rows"]
    assert {(row["fold"], row["each"]) for row in rows} >= {(0, 0), (1, 0), (0, 3), (0, 10)}
    assert set(stored["shown"]) <= set(TYPE_NAMES)
    for row in rows:
        assert all(len(scores) == stored["seeds"] for scores in row["macro_f1"].values())
        gain = row["gain"]
        assert gain["low"] <= gain["difference"] <= gain["high"]
        assert len(gain["by_seed"]) == stored["seeds"]
        arms = gain["macro_f1"]
        assert arms["with"] - arms["without"] == pytest.approx(gain["difference"], abs=2e-4)
        assert row["cells"] <= (row["each"] or 1000) * len(TYPE_NAMES)
    few, most = (next(row for row in rows if row["each"] == each and row["fold"] == 0) for each in (3, 0))
    assert few["grey_levels_away"]["learnt"] < few["grey_levels_away"]["held out"]
    assert few["cells"] < most["cells"]
