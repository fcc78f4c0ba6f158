"""Under every figure of a chapter: the cell and the functions that made it, and the command that makes it again."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat

PACKAGE = "bloodlib"
TITLE = "How this figure was made"
_AIDS = tuple(
    f"{PACKAGE}.{name}" for name in ("_files", "quoted", "paths")
)  # what every cell may use and no figure comes of


def explain(notebook: nbformat.NotebookNode, card: dict[str, Any], root: Path) -> None:
    """Put a note, closed until it is opened, under each cell that draws a figure."""
    cells = []
    for cell in notebook.cells:
        cells.append(cell)
        name = cell.metadata.get("mystnb", {}).get("figure", {}).get("name")
        if name and any("image/png" in output.get("data", {}) for output in cell.get("outputs", [])):
            written = note(notebook, cell, card, root)
            cells.append(nbformat.v4.new_markdown_cell(written, id=f"made-{name}"))
    notebook.cells = cells


def note(
    notebook: nbformat.NotebookNode, cell: nbformat.NotebookNode, card: dict[str, Any], root: Path, here: bool = True
) -> str:
    """Write the note on a figure as MyST; `here` says whether its cell is on the same page."""
    code = [one for one in notebook.cells if one.cell_type == "code"]
    drawn, given = functions(cell, code[: code.index(cell)], _imported(notebook))
    drawn, given = ([source_of(f, root) for f in some] for some in (drawn, given))
    said = f"Drawn by cell `{cell.id}` of `notebooks/{card['notebook']}.ipynb`, {'just above, ' if here else ''}with "
    said += ", ".join(drawn) or "matplotlib alone"
    said += f", of what the cells before made with {', '.join(given)}. " if given else ". "
    of = "this page's" if here else "that page's"
    said += f"Profile, data, seed and device are on {of} {{ref}}`run card <{label(card)}>`."
    return folded(said, card["command"])


def folded(said: str, command: str) -> str:
    """Write what is said of a figure, and the command that makes it again, as MyST that opens on a click."""
    head = [f"::::{{dropdown}} {TITLE}", ":class-container: how-made", "", said, ""]
    return "\n".join([*head, "Again, from the top of a checkout:", "", "```bash", command, "```", "::::"])


def label(card: dict[str, Any]) -> str:
    """Name the place of a page's run card."""
    return f"run-card-{card['notebook'].split('_')[0]}"


def source_of(name: str, root: Path) -> str:
    """Name a function of the library with its file, as a link where the repository's address is known."""
    thing = _plain(name)
    path = Path(inspect.getsourcefile(thing)).resolve().relative_to(root.resolve()).as_posix()
    url, branch = os.environ.get("REPOSITORY_URL", "").rstrip("/"), os.environ.get("REPOSITORY_BRANCH", "main")
    if not url:
        return f"`{name}` (`{path}`)"
    return f"[`{name}`]({url}/blob/{branch}/{path}#L{inspect.getsourcelines(thing)[1]})"


def functions(
    cell: nbformat.NotebookNode, before: list[nbformat.NotebookNode], known: dict[str, str]
) -> tuple[list[str], list[str]]:
    """Name the library's functions that a cell calls, and those that made what it is given.

    Notes
    -----
    The second list follows names backwards through the statements of the cells before, as a compiler
    finds what is live: a statement counts if it sets a name that is needed; then what it uses is
    needed instead. What a function changes in its arguments is not followed.
    """
    tree = ast.parse(cell.source)
    drawn, given, needed = _library(tree, known), set(), set()
    for statement in reversed(tree.body):
        needed = (needed - _set_anew(statement)) | _uses(statement)
    for earlier in reversed(before):
        for statement in reversed(ast.parse(earlier.source).body):
            anew = _set_anew(statement)
            if not isinstance(statement, (ast.Import, ast.ImportFrom)) and (anew | _changed(statement)) & needed:
                needed = (needed - anew) | _uses(statement)
                given |= _library(statement, known)
    return sorted(drawn), sorted(given - drawn)


def _imported(notebook: nbformat.NotebookNode) -> dict[str, str]:
    """Give what names of a notebook stand for, of those that come from the library."""
    found = {}
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == PACKAGE:
                found |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.Import):
                found |= {alias.name: alias.name for alias in node.names if alias.name.split(".")[0] == PACKAGE}
    return found


def _named(tree: ast.AST, context: type) -> set[str]:
    return {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, context)}


def _inside(tree: ast.AST) -> set[str]:
    """Name what lives within a piece of code only: variables of comprehensions, arguments, what a function sets."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.comprehension, ast.For)):
            found |= _named(node.target, ast.Store)
        elif isinstance(node, ast.FunctionDef):
            found |= _named(node, ast.Store)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
    return found


def _uses(statement: ast.stmt) -> set[str]:
    return _named(statement, ast.Load) - _inside(statement)


def _set_anew(statement: ast.stmt) -> set[str]:
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        return {statement.name}
    return set() if isinstance(statement, ast.AugAssign) else _named(statement, ast.Store) - _inside(statement)


def _changed(statement: ast.stmt) -> set[str]:
    """Name what a statement changes in part: x += 1, x[k] = 1, and loop variables that outlive their loop."""
    targets = [n.target for n in ast.walk(statement) if isinstance(n, ast.AugAssign)]
    parts = [
        n.value
        for n in ast.walk(statement)
        if isinstance(n, (ast.Subscript, ast.Attribute)) and isinstance(n.ctx, ast.Store)
    ]
    loops = _named(statement.target, ast.Store) if isinstance(statement, ast.For) else set()
    return loops.union(*(_named(one, (ast.Load, ast.Store)) for one in [*targets, *parts]))


def _library(tree: ast.AST, known: dict[str, str]) -> set[str]:
    """Name the functions, methods and classes of the library in a piece of code."""
    names = set()
    for node in ast.walk(tree):
        dotted: list[str] = []
        while isinstance(node, ast.Attribute):
            dotted.insert(0, node.attr)
            node = node.value
        if isinstance(node, ast.Name) and node.id in known:
            names.add(".".join([known[node.id], *dotted]))
    names = {name for name in names if not name.startswith(_AIDS)}
    found = {name for name in names if inspect.isfunction(_plain(name)) or inspect.isclass(_plain(name))}
    return {name for name in found if not any(other.startswith(f"{name}.") for other in found)}


def _plain(name: str) -> Any:
    thing = _resolved(name)
    return inspect.unwrap(getattr(thing, "__func__", thing))


def _resolved(name: str) -> Any:
    thing: Any = importlib.import_module(PACKAGE)
    for part in name.split(".")[1:]:
        if isinstance(thing, ModuleType) and not hasattr(thing, part):
            try:
                thing = importlib.import_module(f"{thing.__name__}.{part}")
            except ImportError:
                return None
        else:
            thing = getattr(thing, part, None)
    return thing
