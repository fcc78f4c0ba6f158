"""The network behind KID: what is released is what its card says, and small tiles train it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from bloodlib._files import package_data, read_json
from bloodlib.datasets import load_cells
from bloodlib.datasets.pbc_subset import TYPE_NAMES
from bloodlib.evaluators import cell_types


def test_released_weights_match_their_card():
    folder = package_data("models", "cell_types")
    card = read_json(folder / cell_types.CARD)
    model = cell_types.load()
    assert card["parameters"] == sum(p.numel() for p in model.parameters())
    assert card["classes"] == list(cell_types.CLASS_NAMES)
    assert (folder / cell_types.WEIGHTS).stat().st_size < 2.5e6
    assert card["held_out"]["balanced"] > 0.9
    assert "unverified" in card["data_licence"]
    assert card["command"].startswith(cell_types.COMMAND)


def test_damaged_or_missing_weights_are_refused(tmp_path):
    shutil.copytree(package_data("models", "cell_types"), tmp_path / "m")
    path = tmp_path / "m" / cell_types.WEIGHTS
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"weights\.safetensors: does not match its hash"):
        cell_types.load(tmp_path / "m")
    path.unlink()
    with pytest.raises(ValueError, match="no file"):
        cell_types.load(tmp_path / "m")
    with pytest.raises(FileNotFoundError, match="train the classifier again"):
        cell_types.load(tmp_path)


def test_features_are_means_over_the_tile_whatever_its_size():
    model = cell_types.CellTypes().eval()
    tiles = np.full((3, 64, 64, 3), 90, np.uint8)
    found = cell_types.tile_features(model, tiles, batch=2)
    assert found.shape == (3, sum(cell_types.CHANNELS[1:]))
    assert cell_types.tile_features(model, tiles[:, :48, :48]).shape == found.shape
    np.testing.assert_allclose(found[0], found[2], rtol=1e-3, atol=1e-6)
    half = cell_types.tile_features(model, np.random.default_rng(0).integers(0, 256, tiles.shape, dtype=np.uint8))
    assert np.abs(half - found).max() > 0.01


def test_tiles_are_centred_scaled_and_turned():
    picture = np.zeros((101, 101, 3), np.uint8)
    picture[48:53, 48:53] = 255  # centre 50, 50
    for turn in (0.0, 90.0):
        tile = cell_types.cut_tile(picture, (50, 50), 2.0, 41, turn)
        assert tile.shape == (41, 41, 3)
        rows, columns = np.nonzero(tile[..., 0] > 127)
        assert (rows.mean(), columns.mean()) == pytest.approx((20, 20), abs=0.5)
        assert rows.max() - rows.min() + 1 == pytest.approx(10, abs=1)
    off = cell_types.cut_tile(picture, (40, 50), 1.0, 41)
    assert np.nonzero(off[..., 0] > 127)[0].mean() == pytest.approx(30, abs=0.5)


@pytest.mark.real("pbc_subset")
def test_released_classifier_knows_held_out_cells(real_data):
    found = cell_types.accuracy(cell_types.load(), load_cells("pbc_subset", "test"))
    stored = read_json(package_data("models", "cell_types", cell_types.CARD))["held_out"]
    assert found["pictures"] == 130
    assert found["balanced"] == pytest.approx(stored["balanced"], abs=0.02)
    assert set(found["by_type"]) == set(TYPE_NAMES)


@pytest.mark.real("pbc_subset")
def test_training_repeats_leaves_the_global_state_and_is_stored_in_half(real_data, tmp_path: Path):
    cells = load_cells("pbc_subset", "fit")[::40]
    before = torch.random.get_rng_state()
    first, again = (cell_types.train(cells, seed=3, steps=2, batch=4) for _ in range(2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True))
    cell_types.save(first, tmp_path, {"what": "test"})
    found = cell_types.load(tmp_path)
    tiles = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    with torch.no_grad():
        x = cell_types.to_tensor(tiles)
        torch.testing.assert_close(found(x), first(x), rtol=0.02, atol=0.02)
