"""CycleGAN's benchmark measures toys rightly, and what is stored is of the present settings."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import cyclegan
from bloodlib._files import package_data
from bloodlib.datasets.phantom_white_cells import render_white_cell
from bloodlib.gan.cyclegan import CYCLE_PRESETS
from bloodlib.gan.cyclegan_painting import CellPainter
from bloodlib.gan.training import Trainer


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
