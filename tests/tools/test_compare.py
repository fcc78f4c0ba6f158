"""Two builds are the same if only dates differ, and nothing but dates is forgiven."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import compare


@pytest.fixture
def trees(tmp_path: Path) -> tuple[Path, Path]:
    """Give two sites built on different days."""
    for name, (day, time) in {
        "one": ("2026-11-26", "Nov 26, 2026"),
        "other": ("2027-01-02", "January 2, 2027"),
    }.items():
        (tmp_path / name / "_static").mkdir(parents=True)
        page = f"<p>669 cells. Built {day}T12:34:56Z, last changed {time}, 41.2 s, digest 0123-45.</p>"
        (tmp_path / name / "index.html").write_text(page)
        (tmp_path / name / "_static" / "a.png").write_bytes(b"\x89PNG 2026-11-26")
    return tmp_path / "one", tmp_path / "other"


def test_dates_alone_are_forgiven(trees, capsys):
    assert list(compare.differences(*trees)) == []
    assert compare.main([str(tree) for tree in trees]) == 0
    assert "2 files are the same but for dates" in capsys.readouterr().out


@pytest.mark.parametrize(("old", "new"), [("669", "670"), ("41.2 s", "41.3 s"), ("0123-45", "0123-46"), ("Built", "")])
def test_anything_else_in_a_page_counts(trees, old, new):
    page = trees[1] / "index.html"
    page.write_text(page.read_text().replace(old, new, 1))
    (line,) = compare.differences(*trees)
    assert line.startswith("index.html: differs from byte ")
    assert compare.main([str(tree) for tree in trees]) == 1


def test_dates_in_pictures_count_and_so_do_files_of_one_tree(trees):
    (trees[1] / "_static" / "a.png").write_bytes(b"\x89PNG 2026-11-27")
    (trees[0] / "gone.html").write_text("")
    (trees[1] / "new.html").write_text("")
    assert [line.split(": ")[0] for line in compare.differences(*trees)] == ["_static/a.png", "gone.html", "new.html"]


def test_empty_tree_is_no_build(trees, tmp_path):
    with pytest.raises(FileNotFoundError, match="was the book built"):
        list(compare.differences(trees[0], tmp_path / "nothing"))
    assert compare.main([str(trees[0]), str(tmp_path / "nothing")]) == 2
