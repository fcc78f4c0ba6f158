"""What runs share: found, waited for, and known to be gone."""

from __future__ import annotations

import shutil

import pytest

from bloodlib._files import package_data, read_json, write_json
from bloodlib.evaluators import prepare
from bloodlib.evaluators.config import backbone_name, preset
from bloodlib.evaluators.synthetic import fingerprint

PAINTER = fingerprint(package_data("painters", "chula_rbc12-laptop-0"))
RELEASED = fingerprint(package_data("models", "chula_rbc12-laptop"))


@pytest.fixture
def artifacts(tmp_path):
    """As after a grid: a backbone, sets of a stored and of the released painter, and what says so."""
    name = backbone_name(preset("laptop", "faster_rcnn"))
    (tmp_path / name).write_text("")
    for folder in (f"synthetic-{PAINTER}", f"synthetic-{PAINTER}-uniform", f"synthetic-{RELEASED}"):
        write_json(tmp_path / folder / "manifest.json", {"smears": [{}, {}]})
    made = {
        "backbone-0": {"file": name},
        "painter-0": {"painter": PAINTER, "seed": 0},
        "painted-0": {"painter": PAINTER, "seed": 0, "smears": 2},
        "uniform-0": {"painter": PAINTER, "seed": 0, "smears": 2},
        "released-0": {"painter": RELEASED, "seed": 0, "smears": 2},
    }
    for key, content in made.items():
        write_json(tmp_path / "prepared" / f"{key}.json", content)
    return tmp_path


def forgotten(artifacts) -> list[str]:
    return prepare.forget_missing(artifacts / "prepared", "laptop", artifacts)


def test_what_is_there_is_not_forgotten(artifacts):
    assert forgotten(artifacts) == []
    assert len(list((artifacts / "prepared").iterdir())) == 5
    assert prepare.forget_missing(artifacts / "none", "laptop", artifacts) == []


def test_what_was_deleted_is_forgotten(artifacts):
    (artifacts / backbone_name(preset("laptop", "faster_rcnn"))).unlink()
    shutil.rmtree(artifacts / f"synthetic-{PAINTER}-uniform")
    write_json(artifacts / f"synthetic-{PAINTER}" / "manifest.json", {"smears": [{}]})  # of two
    assert forgotten(artifacts) == ["backbone-0", "painted-0", "uniform-0"]
    assert sorted(path.stem for path in (artifacts / "prepared").iterdir()) == ["painter-0", "released-0"]


def test_another_painter_or_backbone_than_there_is_now_is_forgotten(artifacts):
    prepared = artifacts / "prepared"
    for key, name, other in (
        ("released-0", "painter", PAINTER),  # released before, and no more
        ("painter-0", "painter", "0" * 12),
        ("backbone-0", "file", "backbone-of-another-preset.safetensors"),
    ):
        write_json(prepared / f"{key}.json", {**read_json(prepared / f"{key}.json"), name: other})
    assert forgotten(artifacts) == ["backbone-0", "painter-0", "released-0"]
