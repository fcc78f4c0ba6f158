"""The detector's start: trained on the phantom once, then the same for every arm."""

from contextlib import ExitStack

import pytest
import torch
from safetensors.torch import load_file, save_file

from bloodlib._files import alone_in
from bloodlib.evaluators import backbone, tasks
from bloodlib.evaluators.config import backbone_name, preset

TINY = {"crop_px": 64, "batch": 1, "train_proposals": 20, "proposals": 30, "rois": 8, "head_width": 8}


def test_every_detector_starts_from_the_file_and_only_its_head_is_drawn(tmp_path, monkeypatch):
    config = preset("smoke", "faster_rcnn", start="phantom", start_steps=1, **TINY)
    path = backbone.phantom_backbone(config, tmp_path)
    before = path.stat().st_mtime_ns
    assert backbone.phantom_backbone(config, tmp_path) == path
    assert path.stat().st_mtime_ns == before
    given = load_file(path)
    torch.manual_seed(0)
    first = tasks.build(config, path).state_dict()
    second = tasks.build(config, path).state_dict()
    assert given
    assert all(torch.equal(first[name], x) and torch.equal(second[name], x) for name, x in given.items())
    drawn = [name for name in first if name not in given]
    assert any(not torch.equal(first[name], second[name]) for name in drawn)


def test_a_backbone_that_another_process_trains_is_waited_for(tmp_path, monkeypatch):
    config = preset("smoke", "faster_rcnn", start="phantom", start_steps=1, **TINY)
    path, waits = tmp_path / backbone_name(config), []

    def sleep(seconds):
        waits.append(seconds)
        if len(waits) == 2:
            path.write_text("theirs")
            lock.close()

    monkeypatch.setattr("bloodlib._files.time.sleep", sleep)
    with ExitStack() as lock:
        lock.enter_context(alone_in(path.with_suffix("")))
        assert backbone.phantom_backbone(config, tmp_path) == path
    assert len(waits) == 2
    assert path.read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [path]


def test_another_network_s_backbone_is_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"backbone.inner.body.conv1.weight": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="another backbone"):
        tasks.build(preset("smoke", "faster_rcnn", start="phantom"), path)


def test_a_start_without_its_file_is_refused():
    with pytest.raises(ValueError, match="start_from"):
        tasks.build(preset("smoke", "faster_rcnn", start="phantom"))
