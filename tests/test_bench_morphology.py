"""The benchmark of chosen classes on a painter that paints nothing, and what it stored."""

from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import morphology
from bloodlib._files import package_data, read_json
from bloodlib.evaluators.morphology import macro_f1
from bloodlib.gan.styles import Styles
from bloodlib.smears import Smear


def test_classes_that_were_never_seen_are_asked_for_as_uncategorised():
    asked = []
    synth = SimpleNamespace(
        paint=lambda ids, rng, classes: asked.append(classes) or np.zeros((*ids.shape, 3), np.uint8)
    )
    smear = Smear(np.ones((4, 4, 3), np.uint8), np.array([[0, 1, 2, 3]] * 4, np.int32), np.array([0, 1, 7]))
    painted = morphology.repaint(synth, smear, [0, 7, 10], np.random.default_rng(0))
    assert asked[0].tolist() == [0, 10, 7]
    assert painted.classes.tolist() == [0, 1, 7]
    assert not painted.image.any()


def test_the_sheet_has_a_panel_for_every_class_and_a_wide_one_for_the_mix():
    drawn = []

    def sample(rng, shape, classes, name):
        drawn.append(classes)
        return SimpleNamespace(image=np.full((*shape, 3), len(drawn), np.uint8), classes=np.array([2, 5, 5]))

    mix = {2: 1.0, 5: 2.0}
    sheet, mixed = morphology.sheet(SimpleNamespace(sample=sample), [0, 2, 5], mix, side_px=8, columns=2, gap_px=2)
    assert sheet.shape == (28, 18, 3)
    assert drawn == [{0: 1.0}, {2: 1.0}, {5: 1.0}, mix]
    assert [sheet[y, x, 0] for y in (0, 10, 20) for x in (0, 17)] == [1, 2, 3, 255, 255, 255]
    assert (sheet[:, 8:10][:18] == 255).all()
    assert (sheet[[8, 9, 18, 19]] == 255).all()
    assert np.unique(sheet[20:, 1:17]).tolist() == [4]
    assert mixed.tolist() == [2, 5, 5]


def test_without_classes_looks_are_still_of_cells_of_the_class():
    """Cells of class 0 look like 0, those of class 2 like 1 in every fitted smear: the painter is given just these."""
    kinds = np.array([0, 1, 1, 3])  # the background's, then of two cells of class 0 and one of class 2
    looks = np.array([[0.5], [0.0], [0.0], [1.0]], np.float32)
    styles = Styles.fit([looks, looks], 2, kinds=[kinds, kinds], cell_classes=3)
    shown = []

    def paint(ids, rng, features):
        shown.append(features)
        return np.zeros((*ids.shape, 3), np.uint8)

    smear = Smear(np.ones((4, 4, 3), np.uint8), np.array([[0, 1, 2, 3]] * 4, np.int32), np.array([2, 0, 2]))
    rng = np.random.default_rng(0)
    painted = morphology.repaint_without(SimpleNamespace(paint=paint), styles, smear, [0, 2], rng)
    assert shown[0].ravel().tolist() == [0.5, 1.0, 0.0, 1.0]
    assert painted.classes.tolist() == [2, 0, 2]


def test_what_is_stored_adds_up():
    stored = read_json(package_data("results", "composition", "morphology.json"))
    classes, scored = len(stored["classes"]), stored["scored"]
    for name, table in stored["judge"]["confusion"].items():
        counted = np.array(table)
        assert counted.shape == (classes, classes)
        assert counted[scored].sum() == counted.sum(), name
        by_seed = stored["judge"]["macro_f1"][name]
        assert macro_f1(counted, scored) == pytest.approx(np.mean(by_seed), abs=0.02)  # of sums, not a mean of seeds
    mix = stored["mix"]
    asked = np.array(mix["asked"]) / sum(mix["asked"])
    assert set(np.flatnonzero(mix["shown"])) <= set(np.flatnonzero(asked)) <= set(stored["shown"])
    off = np.array(mix["drawn"]) / sum(mix["drawn"]) - asked
    assert abs(off).max() < 4 * 0.5 / np.sqrt(sum(mix["drawn"]))  # cell by cell: false alarm below 1e-4
    real = np.array(stored["judge"]["confusion"]["real"]).sum(axis=1)
    assert real.tolist() == [stored["seeds"] * n for n in stored["held_out"]]
    for part in ("all", "rare"):
        gain = stored["gain"][part]
        assert gain["low"] <= gain["difference"] <= gain["high"]
        assert len(gain["by_seed"]) == stored["seeds"]
    arms = stored["gain"]["macro_f1"]
    difference = np.subtract(arms["real + painted"], arms["real"])
    np.testing.assert_allclose(difference, stored["gain"]["all"]["by_seed"], atol=2e-4)
