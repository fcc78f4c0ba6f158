"""Student notebooks, solutions taken out: python -m tools.lab [--only NB] [--run]; they lie in build/lab.

Exercises stay, with room for an answer below each. Outputs are cleared. What a solution cell defined, no later cell may
use, so that every student notebook runs from top to bottom; ``--run`` proves it by running them.
"""

from __future__ import annotations

import argparse
import ast
import builtins
import os
import shutil
import sys
from pathlib import Path

import nbformat

from . import plain
from .layout import ROOT, notebooks

LAB = Path("build") / "lab"
TAG = "solution"


def student(notebook: nbformat.NotebookNode, book: plain.Book, chapter: str = "") -> nbformat.NotebookNode:
    """Take solutions and outputs out of a notebook, and write roles and directives as Jupyter shows them.

    Parameters
    ----------
    notebook : NotebookNode
        A chapter.
    book : Book
        What its roles may name.
    chapter : str
        Its file's name, without ending.

    Raises
    ------
    ValueError
        If a cell uses a name that only a solution defines, or a role names what the book does not have.
    """
    copy = nbformat.from_dict(notebook)
    kept, gone = [], []
    for cell in copy.cells:
        if TAG in cell.metadata.get("tags", []):
            gone.append(cell)
            continue
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        else:
            cell.source = plain.plain(cell.source, book, chapter)
        if cell.source.strip():
            kept.append(cell)
        if cell.cell_type == "code" and (below := plain.caption(cell, book, chapter)):
            kept.append(nbformat.v4.new_markdown_cell(below, id=f"caption-{cell.id}"))
    missing = _used(kept) - _defined(kept) - set(dir(builtins))
    if needed := sorted(missing & _defined(gone)):
        raise ValueError(f"{', '.join(needed)}: defined in a solution only, but used outside of solutions")
    copy.cells = kept
    return copy


def _names(cells: list[nbformat.NotebookNode]) -> list[ast.AST]:
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    return list(ast.walk(ast.parse(code)))


def _used(cells: list[nbformat.NotebookNode]) -> set[str]:
    return {node.id for node in _names(cells) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}


def _defined(cells: list[nbformat.NotebookNode]) -> set[str]:
    found: set[str] = set()
    for node in _names(cells):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            found.add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.alias):
            found.add((node.asname or node.name).split(".")[0])
        elif isinstance(node, ast.arg):
            found.add(node.arg)
    return found


def make(root: Path = ROOT, only: str = "") -> list[Path]:
    """Write the student notebooks and give their paths."""
    folder = root / LAB
    folder.mkdir(parents=True, exist_ok=True)
    book, made = plain.Book.read(root), []
    for path in notebooks(root, only):
        chapter = nbformat.read(path, as_version=4)
        try:
            lesson = student(chapter, book, path.stem)
        except ValueError as error:
            raise ValueError(f"{path.name}: {error}") from error
        nbformat.write(lesson, folder / path.name)
        for cell in chapter.cells:
            for picture in plain.pictures(cell.source) if cell.cell_type == "markdown" else []:
                (folder / plain.FIGURES).mkdir(exist_ok=True)
                shutil.copy(path.parent / picture, folder / plain.FIGURES)
        made.append(folder / path.name)
    return made


def run(paths: list[Path], root: Path = ROOT) -> list[str]:
    """Run student notebooks from top to bottom where the others run; list those that fail."""
    import papermill
    from papermill.exceptions import PapermillExecutionError

    failed = []
    for path in paths:
        try:
            papermill.execute_notebook(path, None, cwd=root / "notebooks", progress_bar=False)
        except PapermillExecutionError as error:
            failed.append(f"{path.name}: {error.ename}: {error.evalue}")
    return failed


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.lab", description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", metavar="NB")
    parser.add_argument("--run", action="store_true", help="run them as well (minutes)")
    options = parser.parse_args(arguments)
    try:
        made = make(only=options.only)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{len(made)} student notebooks in {os.path.relpath(ROOT / LAB)}")
    failed = run(made) if options.run else []
    for line in failed:
        print(f"failed: {line}", file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
