"""The command that releases the painter finishes it, makes it small, measures both, and writes the card."""

from __future__ import annotations

import json
import shutil

import pytest

import bloodlib
from bloodlib.gan.config import PRESETS, GanConfig, Stage
from tools import card
from tools import release as command
from tools.layout import ROOT

pytestmark = pytest.mark.filterwarnings("ignore::bloodlib.sampler.masks.CrowdedWarning")


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A checkout without a model, where the smoke preset of the phantom is tiny."""
    (tmp_path / "book").mkdir()
    shutil.copy(ROOT / card.PAGE, tmp_path / card.PAGE)
    stages = (Stage(crop=32, steps=2, constant=1.0), Stage(crop=32, steps=1))
    tiny = GanConfig(stages=stages, filters=2, blocks=1, perceptual="none", precision="float32")
    monkeypatch.setitem(PRESETS, "smoke", tiny)
    few = bloodlib.load("phantom", split="fit", shape=(96, 128))[:3]
    monkeypatch.setattr(bloodlib, "load", lambda name, split: few, raising=False)
    monkeypatch.setattr(command, "ROOT", tmp_path)
    return tmp_path


def test_one_command_trains_releases_measures_and_writes_the_card(root, capsys):
    for module in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(module, reason="the ONNX export needs bloodlib[export]")
    options = [str(root / "painter"), "--data", "phantom", "--profile", "smoke", "--device", "a test machine"]
    assert command.main(options) == 0
    assert "data/models/phantom-smoke: 0." in capsys.readouterr().out
    folder = root / "data" / "models" / "phantom-smoke"
    made = json.loads((folder / "config.json").read_text())["released"]
    assert 0 < made["grey_levels"] < 1
    assert 0 < made["onnx"] < 1e-3
    assert made["data_licence"] == "BSD-3-Clause (this project)"
    text = (folder / "README.md").read_text()
    assert "smoke profile, 2 + 1 steps" in text
    assert f"{made['grey_levels']:.2g} of 255 grey levels" in text
    bloodlib.Synthesizer.load(folder)

    assert command.main(options) == 2, "the name is taken"
    assert "exists" in capsys.readouterr().err
