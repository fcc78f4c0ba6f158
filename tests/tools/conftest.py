"""A small project in a temporary folder: two notebooks, a profile, a page."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_notebooks import make_notebook


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Give the root of a project with notebooks 01 and 02 and a smoke profile."""
    make_notebook(tmp_path / "notebooks" / "01_alpha.ipynb")
    make_notebook(tmp_path / "notebooks" / "02_beta.ipynb")
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "smoke.yml").write_text("common: {}\nnotebooks: {}\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "quoted.yml").write_text("paper: {cells: 669}\n")
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "index.md").write_text("# A book\n")
    (tmp_path / "_config.yml").write_text("title: A book\nhtml: {}\nparse: {}\n")
    (tmp_path / "_toc.yml").write_text(
        "format: jb-book\nroot: book/index\nparts:\n- caption: All\n  chapters:\n"
        "  - file: notebooks/01_alpha\n  - file: notebooks/02_beta\n"
    )
    return tmp_path
