"""Everything that the book shows is in the table of licences, and each licence is where it is said to be."""

from __future__ import annotations

import json
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from bloodlib.datasets import registry
from tools import licences
from tools.layout import ROOT

TABLE = licences.table(ROOT)


def test_every_data_set_and_every_stored_network_is_in_the_table():
    for one in registry.available():
        assert f"`{one.name}`" in TABLE
        assert f"| {one.licence} |" in TABLE
    folders = [one for parent in licences.PAINTED_BY for one in (ROOT / parent).iterdir() if one.is_dir()]
    assert len(folders) >= 5
    for folder in folders:
        assert f"`{folder.name}`" in TABLE
    assert "`cyclegan-wbc` | wbc_segmentation, tecom | weights BSD-3-Clause; data GPL-3.0" in TABLE


def test_network_without_a_licence_is_refused(tmp_path):
    card = tmp_path / "data" / "painters" / "mine" / "card.json"
    card.parent.mkdir(parents=True)
    card.write_text(json.dumps({"data": "my smears", "licence": "MIT"}))
    with pytest.raises(ValueError, match=r"mine: .* must name data, licence and data_licence"):
        licences.painted(tmp_path)
    card.write_text(json.dumps({"data": "my smears", "licence": "MIT", "data_licence": "CC0"}))
    assert licences.painted(tmp_path) == [("mine", "my smears", "MIT", "CC0")]


def test_what_the_theme_brings_along_declares_that_licence():
    theme = Path(find_spec("pydata_sphinx_theme").origin).parent / "theme" / "pydata_sphinx_theme" / "static"
    for file, licence in licences.BROUGHT.values():
        assert licence in (theme / file).read_text()
    assert "Apache License" in (ROOT / "book" / "_static" / "mathjax" / "LICENSE").read_text()
    assert all(len(licences.of_package(name)) > 2 for name in licences.THEME)


def test_committed_pictures_are_painted_and_named_on_the_page():
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout, so nobody knows what a repository would hold")
    listed = subprocess.run(["git", "ls-files", "book/_static"], cwd=ROOT, capture_output=True, text=True, check=True)
    pictures = {Path(one).name for one in listed.stdout.split() if Path(one).suffix in (".jpg", ".png", ".webp")}
    page = (ROOT / "book" / "limits.md").read_text()
    assert pictures
    assert {name for name in pictures if f"`{name}`" not in page} == set()
    assert "{{ licences }}" in page
