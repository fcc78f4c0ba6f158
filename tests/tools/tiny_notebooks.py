"""Notebooks small enough to run in a test."""

from __future__ import annotations

import textwrap
from pathlib import Path

import nbformat


def make_notebook(path: Path, *, body: str = 'print("points:", count)', ident: str = "num") -> Path:
    """Write a notebook with typed parameters and one cell that prints."""
    v4 = nbformat.v4
    parameters = textwrap.dedent("""\
        data: str = "phantom"  # data set name or folder
        profile: str = "smoke"  # preset
        seed: int = 0  # seed of every random draw
        count: int = 3  # how many points
        width: float = 0.5  # how wide
        shape: list[int] = [3, 4]  # rows and columns
    """).strip()
    cells = [
        v4.new_markdown_cell(
            "# A title\n\n*You will see* a line. *You need* nothing. *It takes* a second.", id="title"
        ),
        v4.new_code_cell(parameters, id="params", metadata={"tags": ["parameters"]}),
        v4.new_code_cell(body, id=ident),
    ]
    metadata = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}}
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(v4.new_notebook(cells=cells, metadata=metadata), path)
    return path
