"""Cells by their morphology: what is cut out, what the classifier learns, how its answers are counted and compared."""

import numpy as np
import pytest
import torch

from bloodlib.evaluators import morphology
from bloodlib.smears import Smear

GROUND = (210, 205, 215)


def smear(name, group, colours, rng):
    """Squares in a row, each in the colour of its class, the last cut by the border."""
    image = np.full((60, 40 * len(colours) - 5, 3), GROUND, np.uint8)
    instances = np.zeros(image.shape[:2], np.int32)
    for k, colour in enumerate(colours):
        box = np.s_[20:40, 40 * k + 20 : 40 * k + 40]
        instances[box] = k + 1
        image[box] = np.clip(np.array(colour) + rng.normal(0, 4, image[box].shape), 0, 255)
    return Smear(image, instances, np.arange(len(colours)) % 2, name, group)


def smears(count=4):
    rng = np.random.default_rng(0)
    return [smear(f"s{k}", f"g{k // 2}", [(180, 60, 60), (60, 60, 180)] * 3, rng) for k in range(count)]


def test_tiles_hold_one_cell_on_the_ground_of_its_smear():
    cells = morphology.cut_cells(smears(1))
    assert len(cells) == 5, "the sixth is cut by the border"
    assert cells.kinds.tolist() == [0, 1, 0, 1, 0]
    middle = cells.tiles[0][14:34, 14:34].astype(int)
    assert abs(middle.mean(axis=(0, 1)) - (180, 60, 60)).max() < 3
    assert (cells.tiles[0][:8] == GROUND).all(), "what lies beyond the rim is hidden"
    assert not (cells.tiles[0].astype(int)[..., 2] > GROUND[2]).any(), "nothing of the blue neighbour"
    assert set(cells.groups) == {"g0"}


def test_what_is_added_and_chosen():
    cells = morphology.cut_cells(smears(1))
    both = cells + cells
    assert len(both) == 10
    assert set(both.of_classes([1]).kinds) == {1}


def test_the_classifier_learns_what_differs_and_repeats():
    """Two colours that no change of stain brings together are told apart after a few steps."""
    cells = morphology.cut_cells(smears())
    state = torch.random.get_rng_state()
    model, again = (morphology.train(cells, 3, seed=1, steps=25, batch=16) for _ in range(2))
    assert torch.equal(state, torch.random.get_rng_state())
    for a, b in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)
    found = morphology.classify(model, cells)
    assert (found == cells.kinds).mean() > 0.9
    with pytest.raises(ValueError, match="there is none to train on"):
        morphology.train(cells.of_classes([2]), 3)
    assert morphology.classify(model, cells.of_classes([2])).shape == (0,)


def test_counts_and_scores_by_hand():
    table = morphology.confusion(np.array([0, 0, 0, 1, 2, 2]), np.array([0, 0, 1, 1, 0, 2]), 4)
    assert table.tolist() == [[2, 1, 0, 0], [0, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(morphology.f1_scores(table), [4 / 6, 2 / 3, 2 / 3, np.nan])
    assert morphology.macro_f1(table) == pytest.approx(2 / 3)
    assert morphology.macro_f1(table, [1]) == pytest.approx(2 / 3)


def test_tables_are_per_smear_with_their_groups():
    cells = morphology.cut_cells(smears())
    tables, groups = morphology.tables_of(cells, np.zeros(len(cells), int), 2)
    assert tables.shape == (4, 2, 2)
    assert tables[0].tolist() == [[3, 0], [2, 0]]
    assert groups.tolist() == ["g0", "g0", "g1", "g1"]


def test_a_clear_gain_is_seen_and_none_is_not():
    """Of ten smears on five slides the second classifier gets every cell right, the first half of them."""
    groups = np.repeat(np.arange(5), 2)
    half = np.tile(np.array([[5, 5], [5, 5]]), (3, 10, 1, 1))
    right = np.tile(np.array([[10, 0], [0, 10]]), (3, 10, 1, 1))
    gain = morphology.compare(right, half, groups, np.random.default_rng(0), resamples=50)
    assert gain["difference"] == pytest.approx(0.5)
    assert gain["low"] == pytest.approx(0.5)
    assert gain["by_seed"] == [0.5, 0.5, 0.5]
    none = morphology.compare(half, half, groups, np.random.default_rng(0), resamples=50)
    assert (none["difference"], none["low"], none["high"]) == (0, 0, 0)
    noisy = half.copy()
    noisy[:, :2] = right[:, :2]  # all of the gain is on one slide
    wide = morphology.compare(noisy, half, groups, np.random.default_rng(0), resamples=400)
    assert wide["low"] == pytest.approx(0.0)
    assert wide["high"] > wide["difference"] > 0


def test_classes_that_a_draw_of_slides_may_miss_have_an_interval_or_a_reason():
    groups = np.arange(4)
    tables = np.zeros((2, 4, 2, 2), int)
    tables[:, :3, 1, 1] = tables[:, 3, 0, 0] = 5
    found = morphology.compare(tables, tables, groups, np.random.default_rng(0), classes=[0], resamples=200)
    assert (found["difference"], found["low"], found["high"]) == (0, 0, 0)
    with pytest.raises(ValueError, match="200 of 200 draws of slides hold no cell of the classes scored"):
        morphology.compare(tables[:, :3], tables[:, :3], groups[:3], np.random.default_rng(0), [0], resamples=200)
