"""splits.json beside a folder of smears: which of them are for fitting, validation and testing."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from .._files import read_json, write_json
from .images import stem

PARTS = ("fit", "validation", "test")


def read_splits(folder: str | os.PathLike[str]) -> dict[str, list[str]]:
    """Give the names in each part of a folder, as its splits.json has them.

    Parameters
    ----------
    folder : path

    Returns
    -------
    dict of str to list of str
        Of "fit", "validation" and "test" those that are there; empty if the folder has no splits.json.

    Raises
    ------
    ValueError
        If it holds anything else. Whether the names fit the folder `read_folder` checks.
    """
    path = Path(folder) / "splits.json"
    content = _content(path) if path.is_file() else {}
    return {part: content[part] for part in PARTS if part in content}


def _content(path: Path) -> dict[str, Any]:
    content = read_json(path)
    kinds = {"fit": list, "validation": list, "test": list, "groups": dict}
    given = content if isinstance(content, dict) else {}
    texts = [x for value in given.values() for x in (value.values() if isinstance(value, dict) else [value])]
    texts = [x for value in texts for x in (value if isinstance(value, list) else [value])]
    wrong = any(not isinstance(given[key], kinds.get(key, ())) for key in given)
    odd = [x for x in texts if not isinstance(x, str)]
    if odd and not wrong:
        raise ValueError(f"{path}: names {odd[0]!r}, which is no text; names of smears stand in quotes")
    if wrong or not set(given) & set(PARTS):
        found = ", ".join(f"{key}: {type(value).__name__}" for key, value in given.items()) or type(content).__name__
        raise ValueError(f"{path}: holds {found}; allowed are lists of names fit, validation, test, and a map groups")
    return {key: _composed(value) for key, value in content.items()}


def _composed(names: list[str] | dict[str, str]) -> list[str] | dict[str, str]:
    """Give names of smears as `bloodlib.io.images.stem` does, whichever way their accents are written."""
    as_read = partial(unicodedata.normalize, "NFC")
    if isinstance(names, dict):
        return {as_read(name): group for name, group in names.items()}
    return [as_read(name) for name in names]


def checked_splits(
    path: Path, images: Collection[str], known: Mapping[str, str]
) -> tuple[dict[str, list[str]], dict[str, str], list[str]]:
    """Read splits.json and list what is wrong with it.

    Parameters
    ----------
    path : path
        splits.json.
    images : collection of str
        The names that there are.
    known : mapping of str to str
        The slide of a name, as far as another file gives it; splits.json overrules it.

    Returns
    -------
    parts : dict of str to list of str
    groups : dict of str to str
    problems : list of str

    Raises
    ------
    ValueError
        If the file does not hold what it should.
    """
    content = _content(path)
    groups = {**known, **content.get("groups", {})}
    parts = {part: content.get(part, []) for part in PARTS}
    problems: list[str] = []
    for name in sorted(set(content.get("groups", {})) - set(images)):
        problems.append(f"{path}: groups names {name!r}, but images/ has no such file; correct or remove it")
    home: dict[str, str] = {}
    slides: dict[str, str] = {}
    for part, names in parts.items():
        for name in names:
            slide = groups.get(name)
            if name not in images:
                ending = " (names are given without their ending)" if stem(name) in images else ""
                why = f"{part} names {name!r}, but images/ has no such file{ending}; correct or remove it"
                problems.append(f"{path}: {why}")
            elif name in home:
                problems.append(f"{path}: {name!r} is in {home[name]} and in {part}; every smear belongs to one part")
            elif slide and slides.setdefault(slide, part) != part:
                problems.append(f"{path}: the group {slide!r} is in {slides[slide]} and in {part}; split by group")
            home.setdefault(name, part)
    return parts, groups, problems


def refuse_parts(path: str | os.PathLike[str], splits: Mapping[str, Sequence[str]]) -> None:
    """Refuse parts of other names than splits.json may have."""
    if set(splits) - set(PARTS):
        raise ValueError(f"{path}: splits has the parts {', '.join(splits)}; allowed are {', '.join(PARTS)}")


def write_splits(path: Path, splits: Mapping[str, Sequence[str]], names: Iterable[str]) -> None:
    """Write as splits.json which part the smears `names` belong to; a part without any is left out."""
    there = set(names)
    kept = {part: [name for name in splits[part] if name in there] for part in PARTS if part in splits}
    if any(kept.values()):
        write_json(path, {part: part_names for part, part_names in kept.items() if part_names})
