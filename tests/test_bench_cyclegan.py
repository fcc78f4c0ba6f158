"""CycleGAN's benchmark measures toys rightly, and what is stored is of the present settings."""

from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from benchmarks import cyclegan
from bloodlib._files import package_data
from bloodlib.datasets.phantom_white_cells import render_white_cell
from bloodlib.gan.cyclegan import CYCLE_PRESETS
from bloodlib.gan.cyclegan_painting import CellPainter
from bloodlib.gan.training import Trainer
from tools.layout import ROOT


@pytest.fixture(scope="module")
def cells():
    return [render_white_cell(k) for k in range(4)]


def test_a_perfect_finder_scores_one_and_one_that_exchanges_classes_is_told(cells):
    known = {cell.image.tobytes(): cell.trimap for cell in cells}
    swap = np.array([0, 2, 1], np.uint8)
    finders = {"perfect": lambda x: known[x.tobytes()], "swaps": lambda x: swap[known[x.tobytes()]]}
    found = cyclegan.measure_trimaps(finders, cells, seed=0)
    assert found["perfect"]["dice"]["nucleus"] == {"mean": 1.0, "low": 1.0, "high": 1.0}
    assert found["swaps"]["classes"]["order"] == [0, 2, 1]
    assert found["swaps"]["dice"]["whole cell"]["mean"] == 1
    assert set(found["swaps"]["per_image"]) == {cell.name for cell in cells}


def test_an_arm_is_trained_once_and_then_read(cells, tmp_path, monkeypatch):
    pairs, kept = [(cell.image, cell.trimap) for cell in cells], tmp_path / "arm.json"
    first = cyclegan.measure_arm("real and painted", (pairs[:2], pairs[2:]), cells, 1, 2, kept)
    assert set(first["dice"]) == {"cytoplasm", "nucleus", "whole cell"}
    monkeypatch.setattr(cyclegan, "train_trimap_net", None)
    assert cyclegan.measure_arm("real and painted", (pairs[:2], pairs[2:]), cells, 1, 2, kept) == first


def test_the_paired_painter_paints_native_sizes_in_lent_styles(cells):
    config = cyclegan.paired_config(replace(CYCLE_PRESETS["laptop"], side_px=32, steps=2))
    assert [stage.steps for stage in config.stages] == [1, 2]
    assert config.labels == 3, "background, cytoplasm, nucleus"
    small = replace(config, filters=2, blocks=1, discriminator_filters=2, perceptual="none")
    trainer = Trainer(small, [cell.to_smear() for cell in cells])
    trainer.run()
    once, again, other = (cyclegan.paint_paired(trainer, cells[:2], cells[2:], seed) for seed in (0, 0, 1))
    assert [image.shape for image in once] == [cell.image.shape for cell in cells[:2]]
    assert all(np.array_equal(a, b) for a, b in zip(once, again, strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(once, other, strict=True))


class Flat:
    """Paint every trimap in one grey, and find the trimap that it was made for."""

    def __init__(self, trimap):
        self.trimap = trimap

    def paint(self, trimap):
        return np.full((*trimap.shape, 3), 77, np.uint8)

    def find(self, image):
        return self.trimap if (image == 77).all() else np.where(self.trimap == 1, 0, self.trimap)


def test_the_sheet_shows_what_it_says_and_no_photograph(cells):
    cell, paired = cells[0], np.full_like(cells[0].image, 150)
    picture, (row,) = cyclegan.sheet([cell], Flat(cell.trimap), [paired])
    step = cyclegan.PANEL_PX + cyclegan.GAP_PX
    assert picture.shape == (cyclegan.HEAD_PX + step, len(cyclegan.COLUMNS) * step, 3)
    below = picture[cyclegan.HEAD_PX :]
    panels = [below[: -cyclegan.GAP_PX, k * step : (k + 1) * step - cyclegan.GAP_PX] for k in range(5)]
    levels = [set(np.unique(panel)) for panel in panels]
    assert levels == [{77}, {0, 128, 255}, {150}, {0, 255}, {77}], "painted, found again, paired, found, painted again"
    assert row["dice"]["found again"] == {"cytoplasm": 1.0, "nucleus": 1.0, "whole cell": 1.0}
    assert row["dice"]["found in the picture"]["cytoplasm"] == 0 < row["dice"]["found in the picture"]["nucleus"]


def test_the_first_of_each_type_are_shown():
    assert cyclegan.first_of_each(np.array([3, 0, 3, 0, 0, 3, 1]), 2) == [1, 3, 6, 0, 2]


def test_spread_of_stains_is_that_of_the_backgrounds():
    trimap = np.array([[0, 0, 1, 2]], np.uint8)
    flat = [np.full((1, 4, 3), (level, 50, 50), np.uint8) for level in (10, 14)]
    assert cyclegan.stain_spread([(image, trimap) for image in flat]) == pytest.approx(2)
    flat[1][0, :2] = flat[0][0, :2]  # the cells still differ
    assert cyclegan.stain_spread([(image, trimap) for image in flat]) == 0


def test_few_cells_are_scored_by_count_and_seed_and_come_out_the_same_again():
    config = replace(CYCLE_PRESETS["smoke"], side_px=32, filters=2, blocks=1, discriminator_filters=2, steps=2)
    rows = cyclegan.few_cells(config, (1, 2), 2, range(50, 52))
    assert [(row["cells"], row["seed"]) for row in rows] == [(1, 0), (1, 1), (2, 0), (2, 1)]
    assert len({str(row["dice"]) for row in rows}) > 1
    assert cyclegan.few_cells(config, (2,), 1, range(50, 52)) == rows[2:3]


def test_few_cells_are_stored_of_the_present_settings():
    stored = json.loads(cyclegan.FEW.read_text())
    assert stored["config_hash"] == CYCLE_PRESETS["smoke"].digest(), f"again: {stored['command']}"
    assert len(stored["rows"]) == len(cyclegan.COUNTS) * cyclegan.FEW_SEEDS
    assert {row["cells"] for row in stored["rows"]} == set(cyclegan.COUNTS)


def test_what_is_stored_is_of_the_present_settings():
    if not cyclegan.RESULT.is_file():
        pytest.skip(f"nothing stored yet: {cyclegan.COMMAND}")
    stored = json.loads(cyclegan.RESULT.read_text())
    config = CYCLE_PRESETS["laptop"]
    assert stored["config_hash"] == config.digest(), "the laptop preset was changed: measure again"
    assert stored["paired_config_hash"] == cyclegan.paired_config(config).digest()
    assert list(stored["augmentation"]["arms"]) == list(cyclegan.ARMS)
    assert len(stored["trimaps"]["CycleGAN"]["per_image"]) == stored["split"]["test"] == 60
    assert CellPainter.load(package_data("painters", "cyclegan-wbc")).config == config


def test_the_sheet_is_of_the_measured_painters_and_of_every_held_out_type():
    drawn, measured = (json.loads(path.read_text()) for path in (cyclegan.SHEET, cyclegan.RESULT))
    for key in ("config_hash", "paired_config_hash", "seed", "split"):
        assert drawn[key] == measured[key]
    assert drawn["columns"] == cyclegan.COLUMNS
    names, held_out = [row["name"] for row in drawn["rows"]], measured["trimaps"]["CycleGAN"]["per_image"]
    assert set(names) <= set(held_out)
    assert len({row["type"] for row in drawn["rows"]}) == 4  # the single basophil is one to train on
    for row in drawn["rows"]:  # the same networks: what they find in the photographs is what was measured
        assert list(row["dice"]["found in the picture"].values()) == pytest.approx(held_out[row["name"]], abs=0.02)
    picture = cv2.imread(str(ROOT / drawn["picture"]))
    step = cyclegan.PANEL_PX + cyclegan.GAP_PX
    assert picture.shape[:2] == (cyclegan.HEAD_PX + len(names) * step, len(cyclegan.COLUMNS) * step)
    assert (ROOT / drawn["picture"]).stat().st_size <= 300_000
