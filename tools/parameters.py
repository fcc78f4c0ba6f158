"""Parameters of notebooks: read from profiles, checked by name and type before anything runs."""

from __future__ import annotations

import ast
import logging
import reprlib
from pathlib import Path
from textwrap import shorten
from typing import Any

import yaml
from papermill import inspect_notebook

from .layout import Build

_PLAIN = {
    "int": int,
    "float": (int, float),
    "str": str,
    "bool": bool,
    "list": list,
    "tuple": (list, tuple),
    "dict": dict,
}


def declared(notebook: Path) -> dict[str, dict[str, str]]:
    """Read name, type, default and help of every parameter of a notebook.

    Raises
    ------
    ValueError
        If a parameter has no type or no help, or none is declared.
    """
    logging.getLogger("papermill").setLevel(logging.ERROR)
    found = inspect_notebook(notebook)
    if not found:
        raise ValueError(
            f"{notebook.name}: no cell tagged 'parameters' that declares any; add one (name: type = value  # help)"
        )
    for name, one in found.items():
        if one["inferred_type_name"] == "None" or not one["help"]:
            raise ValueError(f"{notebook.name}: parameter {name!r} needs a type and a comment that explains it")
    return found


def fits(value: Any, annotation: str) -> bool:
    """Say whether a value is of a type written as an annotation.

    >>> fits([300, 480], "tuple[int, int]"), fits(True, "int"), fits(1, "float"), fits("1", "int")
    (True, False, True, False)
    """
    return _fits(value, ast.parse(annotation, mode="eval").body)


def _fits(value: Any, kind: ast.expr) -> bool:
    match kind:
        case ast.Name(id="Any"):
            return True
        case ast.Name(id=name) if name in _PLAIN:
            return isinstance(value, _PLAIN[name]) and (name == "bool" or not isinstance(value, bool))
        case ast.Subscript(value=ast.Name(id="list"), slice=inner):
            return isinstance(value, list) and all(_fits(item, inner) for item in value)
        case ast.Subscript(value=ast.Name(id="tuple"), slice=ast.Tuple(elts=inner)):
            same_length = isinstance(value, (list, tuple)) and len(value) == len(inner)
            return same_length and all(map(_fits, value, inner))
        case ast.Subscript(value=ast.Name(id="dict"), slice=ast.Tuple(elts=[key, item])):
            return isinstance(value, dict) and all(_fits(k, key) and _fits(v, item) for k, v in value.items())
    raise ValueError(
        f"type {ast.unparse(kind)!r} is not one that a parameter can have; "
        "use int, float, str, bool, list, tuple or dict"
    )


def validate(notebook: Path, given: dict[str, Any]) -> None:
    """Refuse parameters that the notebook does not know, or of another type.

    papermill itself only warns about an unknown name and never looks at types.

    Raises
    ------
    ValueError
        With the legal names and their types.
    """
    known = declared(notebook)
    legal = ", ".join(f"{name}: {one['inferred_type_name']}" for name, one in known.items())
    for name, value in given.items():
        if name not in known:
            raise ValueError(f"{notebook.name}: unknown parameter {name!r}; legal are {legal}")
        kind = known[name]["inferred_type_name"]
        if not fits(value, kind):
            raise ValueError(
                f"{notebook.name}: parameter {name!r} is {shorten(reprlib.repr(value), 200)} ({type(value).__name__}), "
                f"needed is {kind}; legal are {legal}"
            )


def for_notebook(notebook: Path, build: Build, extra: dict[str, Any] | None = None) -> dict[str, Any]:
    """Collect and check what one notebook is run with under a profile.

    Later ones win: what every notebook gets (data, profile, seed, artifacts, as far as it
    declares them), the profile's `common`, the profile's entry for this notebook, `extra`.
    """
    path = build.root / "profiles" / f"{build.profile}.yml"
    profile = yaml.safe_load(path.read_text()) or {}
    unknown = set(profile) - {"common", "notebooks"}
    if unknown:
        raise ValueError(f"{path.name}: unknown key {sorted(unknown)[0]!r}, allowed are 'common' and 'notebooks'")
    chapters = {stem.split("_")[0]: stem for stem in (p.stem for p in (build.root / "notebooks").glob("*.ipynb"))}
    for key in profile.get("notebooks") or {}:
        if key not in chapters:
            raise ValueError(
                f"{path.name}: no notebook {key!r}; there are {', '.join(sorted(chapters))} (quote the numbers)"
            )
    known = declared(notebook)
    everywhere = {
        "data": build.data_parameter,
        "profile": build.profile,
        "seed": 0,
        "artifacts": f"build/{build.name}/artifacts",
    } | (profile.get("common") or {})
    given = {name: value for name, value in everywhere.items() if name in known}
    given |= (profile.get("notebooks") or {}).get(notebook.stem.split("_")[0]) or {}
    given |= extra or {}
    validate(notebook, given)
    return given


def injected(notebook: Path, given: dict[str, Any]) -> dict[str, Any]:
    """Keep the parameters that differ from the notebook's own defaults."""
    known = declared(notebook)
    return {name: value for name, value in given.items() if not _same(value, ast.literal_eval(known[name]["default"]))}


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(_same, one, other))
    return one == other and isinstance(one, bool) == isinstance(other, bool)
