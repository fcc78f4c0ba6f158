"""Notebooks find the same files from the root, from notebooks/ and from elsewhere."""

from __future__ import annotations

from pathlib import Path

from bloodlib.paths import in_checkout


def test_a_path_is_taken_from_the_root_of_the_checkout(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "_toc.yml").touch()
    monkeypatch.chdir(tmp_path)
    assert Path(in_checkout("build/a")) == Path("build/a")
    monkeypatch.chdir(tmp_path / "notebooks")
    assert Path(in_checkout("build/a")) == Path("../build/a")
    assert in_checkout(tmp_path / "elsewhere") == str(tmp_path / "elsewhere")


def test_outside_a_checkout_a_path_stays_as_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Path(in_checkout("build/a")) == Path("build/a")
    assert not Path(in_checkout("build/a")).exists()
