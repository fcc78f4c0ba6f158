"""Layouts of many types, their composition, its annotations and its measures, with a painter that needs no training."""

import json

import numpy as np
import pytest
from pycocotools.coco import COCO

from bloodlib.datasets.single_cells import BACKGROUND, FIELD_PX, RED_CELL, TYPE_COLOURS, SingleCell
from bloodlib.gan.cell_layouts import (
    CELL_NAMES,
    Drawn,
    GraphConfig,
    Outline,
    draw_dense,
    draw_layout,
    outlines_of,
    read_outlines,
    to_scale,
    write_outlines,
)
from bloodlib.gan.compose import compose, seamless_ground, tiled_ground
from bloodlib.gan.composition_measures import border_step, covered_cells, repetition, size_ranges, strange_sizes
from bloodlib.gan.pix2pix_training import preset
from bloodlib.io.coco import write_coco


def disc(radius):
    rows, columns = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return np.hypot(rows, columns) <= radius


OUTLINES = [Outline(RED_CELL, disc(37)), Outline(0, disc(60)), Outline(7, disc(50))]


class Plain:
    """Paints every type in a grey of its own on black, and grain where the background is."""

    config = preset("smoke", side_px=64)

    def paint(self, labels, rng):
        out = np.zeros_like(labels)
        for kind, colour in enumerate(TYPE_COLOURS):
            out[(labels == colour).all(axis=-1)] = 60 + 8 * kind
        ground = (labels == TYPE_COLOURS[BACKGROUND]).all(axis=-1)
        out[ground] = rng.integers(190, 210, (int(ground.sum()), 1))
        return out


class Copying(Plain):
    """Paints the same ground again and again."""

    def paint(self, labels, rng):
        return np.concatenate([super(Copying, self).paint(label[None], np.random.default_rng(0)) for label in labels])


def test_outlines_survive_being_stored(tmp_path):
    write_outlines(tmp_path / "outlines.json", OUTLINES, tolerance_px=0.5)
    read = read_outlines(str(tmp_path))
    assert sorted(o.kind for o in read) == [0, 7, RED_CELL]
    for one in OUTLINES:
        (other,) = (o for o in read if o.kind == one.kind)
        assert other.shape.sum() == pytest.approx(one.shape.sum(), rel=0.02)


def test_grounds_have_no_outline():
    field = np.zeros((FIELD_PX, FIELD_PX), bool)
    field[10:20, 30:50] = True
    image = np.zeros((FIELD_PX, FIELD_PX, 3), np.uint8)
    (only,) = outlines_of([SingleCell(image, field, kind, "a") for kind in (BACKGROUND, 2)])
    assert (only.kind, only.shape.shape) == (2, (10, 20))


def test_red_cells_come_four_to_one_and_sizes_follow_z():
    config = GraphConfig(count=42, red_cell_px=8.0)
    kinds = np.concatenate([draw_layout(OUTLINES, np.random.default_rng(k), config).kinds for k in range(20)])
    share = np.mean(kinds == RED_CELL)
    assert abs(share - 0.8) < 4 * np.sqrt(0.16 / len(kinds))  # false alarm below 1e-4
    alone = [
        draw_layout(OUTLINES[:1], np.random.default_rng(k), GraphConfig(count=3, red_cell_px=40)) for k in range(5)
    ]
    widths = np.concatenate([2 * np.sqrt(np.bincount(d.instances.ravel())[1:] / np.pi) for d in alone if d.accepted])
    assert widths.min() == pytest.approx(0.7 * 40, rel=0.05)
    assert widths.max() == pytest.approx(1.3 * 40, rel=0.05)


def test_overlaps_and_cuts_are_noticed():
    assert draw_layout(OUTLINES, np.random.default_rng(0), GraphConfig(count=42, red_cell_px=300.0)).overlaps
    assert draw_layout(OUTLINES, np.random.default_rng(0), GraphConfig(count=3, margin=0.0)).cut
    few = draw_layout(OUTLINES, np.random.default_rng(0), GraphConfig(count=2, red_cell_px=10.0))
    assert few.accepted
    assert len(few.kinds) == 2


def test_dense_layouts_reach_the_coverage():
    drawn = draw_dense(OUTLINES, np.random.default_rng(0), (900, 900), 0.4)
    assert np.mean(drawn.instances > 0) == pytest.approx(0.4, abs=0.06)
    assert len(drawn.kinds) == drawn.instances.max()
    with pytest.raises(ValueError, match=r"coverage=1\.2"):
        draw_dense(OUTLINES, np.random.default_rng(0), (90, 90), 1.2)


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # pycocotools, with numpy 2
def test_a_composed_smear_and_its_annotations(tmp_path):
    rng = np.random.default_rng(3)
    drawn = to_scale(draw_layout(OUTLINES, rng, GraphConfig(count=6, red_cell_px=74.0)), 64)
    ground = np.full((256, 256, 3), 200, np.uint8)
    smear = compose(drawn, ground, Plain(), rng)
    for k, kind in enumerate(drawn.kinds, start=1):
        assert (smear.image[smear.instances == k] == 60 + 8 * kind).all()
    assert (smear.image[smear.instances == 0] == 200).all()
    write_coco(tmp_path / "coco.json", [smear], CELL_NAMES, segmentation="rle")
    coco = COCO(str(tmp_path / "coco.json"))
    annotations = coco.loadAnns(coco.getAnnIds())
    assert len(annotations) == len(drawn.kinds)
    for one in annotations:
        mask = coco.annToMask(one).astype(bool)
        assert np.array_equal(mask, smear.instances == one["instance"])
        assert coco.loadCats(one["category_id"])[0]["name"] == CELL_NAMES[drawn.kinds[one["instance"] - 1]]
    write_coco(tmp_path / "polygons.json", [smear], CELL_NAMES, segmentation="polygon")
    coco = COCO(str(tmp_path / "polygons.json"))
    for one in coco.loadAnns(coco.getAnnIds()):
        cell = smear.instances == one["instance"]
        both = (coco.annToMask(one).astype(bool) & cell).sum()
        assert both >= 0.85 * cell.sum()
    assert json.loads((tmp_path / "coco.json").read_text())["categories"][RED_CELL]["name"] == "red blood cell"


def test_white_boxes_show_the_painter_what_it_was_not_trained_on():
    shown = []

    class Watching(Plain):
        def paint(self, labels, rng):
            shown.append(labels[0])
            return super().paint(labels, rng)

    drawn = Drawn(np.pad(disc(5).astype(np.int32), 20), np.array([RED_CELL]), False, False)
    ground = np.zeros((51, 51, 3), np.uint8)
    for white in (True, False):
        compose(drawn, ground, Watching(), np.random.default_rng(0), white_boxes=white)
    assert [(x == 255).all(axis=-1).any() for x in shown] == [True, False]


def test_blending_softens_the_border():
    drawn = Drawn(np.pad(disc(20).astype(np.int32), 20), np.array([RED_CELL]), False, False)
    ground = np.full((81, 81, 3), 200, np.uint8)
    hard, soft = (
        border_step(compose(drawn, ground, Plain(), np.random.default_rng(0), blend_px=b).image, drawn.instances)
        for b in (0.0, 2.0)
    )
    assert hard == 200 - (60 + 8 * RED_CELL)
    assert soft < 0.6 * hard


def test_tiles_repeat_and_windows_do_not():
    rng = np.random.default_rng(0)
    tiled = tiled_ground(Copying(), rng)
    assert tiled.shape == (256, 256, 3)
    assert repetition(tiled, (32, 16)) == pytest.approx(1.0, abs=0.01)
    smooth = seamless_ground(Copying(), rng, (256, 256))
    assert smooth.shape == (256, 256, 3)
    assert repetition(smooth, (32, 16)) < 0.2
    grain = seamless_ground(Plain(), rng, (256, 256)).std()
    assert grain == pytest.approx(20 / np.sqrt(12), rel=0.15)  # that of what was painted


def test_strange_sizes_are_counted():
    ranges = size_ranges([Outline(RED_CELL, disc(r)) for r in (10, 11, 12)])
    wider = size_ranges([Outline(RED_CELL, disc(r)) for r in (10, 11, 12)], scales=(0.5, 2.0))
    assert wider[RED_CELL] == pytest.approx((ranges[RED_CELL][0] / 4, 4 * ranges[RED_CELL][1]))
    instances = np.zeros((100, 100), np.int32)
    instances[20:43, 20:43][disc(11)] = 1
    instances[50:91, 50:91][disc(20)] = 2
    assert strange_sizes(Drawn(instances, np.array([RED_CELL, RED_CELL]), False, False), ranges) == 0.5


def test_cells_that_lie_on_others_are_painted_whole_and_the_darker_counts():
    drawn = draw_dense(OUTLINES, np.random.default_rng(0), (1024, 1024), 0.45, overlap=0.3)
    assert len(drawn.layers) > 1
    assert 0 < covered_cells(drawn) < 0.9
    small = to_scale(drawn, 64)
    for one in (drawn, small):
        assert set(np.unique(one.instances)) == set(range(len(one.kinds) + 1))
        first = next(layer for layer in one.layers if (layer > 0).any())
        assert ((one.instances > 0) == np.any([layer > 0 for layer in one.layers], axis=0)).all()
        assert first.max() <= len(one.kinds)
        for k in (1, len(one.kinds)):
            seen = one.instances == k
            assert any(((layer == k) >= seen).all() for layer in one.layers)
    assert covered_cells(draw_dense(OUTLINES, np.random.default_rng(0), (1024, 1024), 0.3)) == 0

    ids = np.zeros((40, 60), np.int32)
    lower, upper, seen = ids.copy(), ids.copy(), ids.copy()
    lower[10:30, 5:35], upper[10:30, 25:55] = 1, 2
    seen[lower > 0], seen[upper > 0] = 1, 2
    pair = Drawn(seen, np.array([0, RED_CELL]), False, True, (lower, upper))
    painter = Plain()
    image = compose(pair, np.full((40, 60, 3), 250, np.uint8), painter, np.random.default_rng(0)).image
    levels = {kind: 60 + 8 * kind for kind in (0, RED_CELL)}
    assert image[20, 10, 0] == levels[0]
    assert image[20, 50, 0] == levels[RED_CELL]
    assert image[20, 30, 0] == min(levels.values())
    assert strange_sizes(pair, {0: (600, 600), RED_CELL: (600, 600)}) == 0  # what is hidden counts


def test_a_cell_wider_than_the_painter_s_field_is_painted_whole():
    drawn = Drawn(np.pad(disc(50).astype(np.int32), 5), np.array([RED_CELL]), False, False)
    image = compose(drawn, np.full((111, 111, 3), 250, np.uint8), Plain(), np.random.default_rng(0)).image
    inside = drawn.instances > 0
    assert Plain.config.side_px < 101
    assert (image[inside] < 250).all()
    assert np.mean(image[inside] == 60 + 8 * RED_CELL) > 0.95
    assert (image[~inside] == 250).all()


def test_red_cells_alone_can_be_laid_out_and_none_that_are_not_there():
    alone = draw_dense(OUTLINES, np.random.default_rng(0), (512, 512), 0.3, red_share=1)
    assert set(alone.kinds) == {RED_CELL}
    with pytest.raises(ValueError, match=r"red_share=1\.5"):
        draw_dense(OUTLINES, np.random.default_rng(0), (512, 512), 0.3, red_share=1.5)
    red = [outline for outline in OUTLINES if outline.kind == RED_CELL]
    with pytest.raises(ValueError, match="red_share=0, but all"):
        draw_dense(red, np.random.default_rng(0), (512, 512), 0.3, red_share=0)
    for draw in (lambda o, rng: draw_dense(o, rng, (512, 512), 0.3), draw_layout):
        with pytest.raises(ValueError, match="none of 2 outlines is of a red blood cell"):
            draw(OUTLINES[1:], np.random.default_rng(0))
