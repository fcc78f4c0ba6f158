"""Cells that lie on one another: sorted into layers, measured whole, painted through one another."""

import itertools

import numpy as np
import pytest
import torch

from bloodlib.gan import overlaps
from bloodlib.gan.config import preset
from bloodlib.gan.networks import make_painter
from bloodlib.gan.painting import paint_instances
from bloodlib.gan.styles import forms

DISC = np.hypot(*np.mgrid[-9:10, -9:10]) <= 9.2
SHAPE = (64, 96)


def test_no_two_cells_of_a_layer_overlap_and_every_cell_is_whole_in_one():
    rng = np.random.default_rng(0)
    cells = [(int(r), int(c), DISC) for r, c in rng.integers((-9, -9), (55, 87), size=(25, 2))]
    found = overlaps.layers(cells, SHAPE)
    assert len(found) > 1
    seen = np.zeros(26, int)
    for layer in found:
        for k in np.setdiff1d(layer, 0):
            row, column, whole = cells[k - 1]
            alone = np.zeros((SHAPE[0] + 60, SHAPE[1] + 60), bool)
            alone[row + 30 : row + 49, column + 30 : column + 49] = whole
            assert np.array_equal(layer == k, alone[30:-30, 30:-30])
            seen[k] += 1
    assert set(seen[1:]) == {1}


def test_cells_that_lie_apart_are_one_layer():
    cells = [(2, 2, DISC), (2, 40, DISC), (40, 60, DISC)]
    (only,) = overlaps.layers(cells, SHAPE)
    assert np.setdiff1d(only, 0).tolist() == [1, 2, 3]
    assert [layer.any() for layer in overlaps.layers([], SHAPE)] == [False]


def test_cells_are_measured_whole():
    found = overlaps.layers([(10, 10, DISC), (10, 22, DISC)], SHAPE)
    measured = overlaps.whole_forms(found, 3)
    alone = forms(found[0], 2)
    assert measured["sizes_px"][1] == measured["sizes_px"][2] == DISC.sum()
    for k in (1, 2):
        np.testing.assert_allclose(measured["elongation"][k], alone["elongation"][1], atol=1e-6)


def test_one_layer_is_painted_as_ever():
    torch.manual_seed(0)
    generator, _ = make_painter(preset("smoke"))
    (layer,) = overlaps.layers([(10, 10, DISC), (40, 60, DISC)], SHAPE)
    styles = torch.rand(3, 3)
    painted = (
        paint(generator, given, styles, rng=np.random.default_rng(0))
        for paint, given in ((overlaps.paint_layers, [layer]), (paint_instances, layer))
    )
    assert np.array_equal(*painted)


@pytest.mark.parametrize("order", list(itertools.permutations((140, 100, 60))))
def test_where_cells_overlap_the_darkest_is_seen_and_beside_them_each_alone(monkeypatch, order):
    cells = [(20, 10, DISC), (20, 22, DISC), (20, 34, DISC)]
    grey = np.array([200, *order])

    def paint(generator, instances, styles, kinds, rng, *, fast):
        return np.repeat(grey[instances].astype(np.uint8)[..., None], 3, axis=2)

    monkeypatch.setattr(overlaps, "paint_instances", paint)
    image = overlaps.paint_layers(
        torch.nn.Identity(), overlaps.layers(cells, SHAPE), None, None, np.random.default_rng(0)
    )
    assert image[29, [14, 50]].tolist() == [[grey[1]] * 3, [grey[3]] * 3]  # of the first and the last alone
    assert image[29, 25].tolist() == [min(grey[1], grey[2])] * 3
    assert image[29, 37].tolist() == [min(grey[2], grey[3])] * 3
    assert image[5, 5].tolist() == image[60, 90].tolist() == [200] * 3


def test_a_window_is_painted_as_the_whole_layer():
    torch.manual_seed(0)
    generator, _ = make_painter(preset("laptop", filters=8, blocks=2))
    (layer,) = overlaps.layers([(30, 30, DISC), (45, 60, DISC), (20, 250, DISC)], (128, 320))
    styles = torch.rand(4, 8 * 6)
    whole = paint_instances(generator.eval(), layer, styles)
    windows = list(overlaps._windows(layer))
    assert [np.setdiff1d(cells, 0).tolist() for _, cells in windows] == [[1, 2], [3]]
    for window, cells in windows:
        painted = paint_instances(generator, cells, styles)
        assert np.abs(painted[cells > 0].astype(float) - whole[window][cells > 0]).mean() < 3
        assert cells.size < layer.size / 2


@pytest.mark.parametrize(
    ("start", "length", "side", "expected"),
    [
        (100, 70, 640, (71, 199)),
        (0, 10, 640, (0, 64)),
        (600, 40, 640, (576, 640)),
        (3, 60, 61, (0, 61)),
        (5, 64, 90, (5, 69)),
    ],
)
def test_windows_have_few_sizes_and_stay_in_the_picture(start, length, side, expected):
    found = overlaps._grown(start, length, side)
    assert (found.start, found.stop) == expected


def test_a_painter_with_instance_norm_paints_whole_layers(monkeypatch):
    generator, _ = make_painter(preset("smoke"))
    sizes = []
    paint = overlaps.paint_instances
    monkeypatch.setattr(
        overlaps, "paint_instances", lambda g, ids, *a, **k: sizes.append(ids.shape) or paint(g, ids, *a, **k)
    )
    overlaps.paint_layers(generator, overlaps.layers([(10, 10, DISC), (10, 20, DISC)], SHAPE), torch.rand(3, 3))
    assert sizes == [SHAPE, SHAPE]
