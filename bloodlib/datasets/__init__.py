"""Open a set of smears by its name, or one's own from a folder."""

from __future__ import annotations

import os
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from ..io.splits import PARTS
from ..smears import SmearFolder
from .pbc_subset import CellImages
from .registry import SETS
from .wbc_segmentation import WhiteCells

SPLITS = ("train", "fit", "validation", "test", "all")


def names() -> tuple[str, ...]:
    """List the names that `load` opens; the first is the default everywhere.

    Examples
    --------
    >>> names()
    ('phantom', 'chula_rbc12', 'bccd')
    """
    return tuple(name for name, entry in SETS.items() if entry.module)


def title(name_or_folder: str | os.PathLike[str]) -> str:
    """Say what a figure should call this set.

    Examples
    --------
    >>> title("phantom")
    'phantom (rendered, not blood)'
    """
    entry = SETS.get(str(name_or_folder))
    return entry.title if entry else Path(name_or_folder).resolve().name


def load(name_or_folder: str | os.PathLike[str], split: str = "all", **options: Any) -> SmearFolder:
    """Open a set of smears.

    Parameters
    ----------
    name_or_folder : str or path
        A name of `names()`, or a folder with images/ beside instances/, masks/ or coco.json.
        A name wins over a folder of that name; write ``./phantom`` for the folder.
    split : {"train", "fit", "validation", "test", "all"}
        train is fit and validation together. A folder has only "all" unless it holds splits.json.
    **options
        Given to the set: ``shape=(rows, columns)`` for the phantom.

    Returns
    -------
    SmearFolder
        Lazy: a smear is read (or rendered) when it is asked for.

    Raises
    ------
    ValueError, FileNotFoundError
        If name, split or folder are not what is allowed; the message lists what is.

    Notes
    -----
    Book: chapter 1.
    """
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}; allowed are {', '.join(SPLITS)}")
    entry = SETS.get(str(name_or_folder))
    if entry is None:
        return _load_folder(name_or_folder, split, options)
    if not entry.module:
        raise ValueError(
            f"{entry.name} holds {entry.holds} but no instance mask of each cell, which load() needs; "
            f"loadable are {', '.join(names())}, or a folder of your own "
            f"(`bloodlib data fetch {entry.name}` still downloads it"
            + (
                f", load_cells({entry.name!r}) of bloodlib.datasets gives its pictures and types)"
                if entry.cells
                else ")"
            )
        )
    return import_module(f".{entry.module}", __name__).load(split, **options)


def named_splits(name: str) -> dict[str, list[str]]:
    """Give the names of the smears in each part of a known set, by part; none where it has no fixed parts."""
    with suppress(ValueError):  # the set has no such part
        return {part: list(load(name, split=part).names) for part in PARTS}
    return {}


def load_cells(name: str, split: str = "all", **options: Any) -> CellImages | WhiteCells:
    """Open a set of pictures of single cells, which have a type but no instance mask of all cells around.

    Parameters
    ----------
    name : {"wbc_segmentation", "pbc_subset"}
        The first has a trimap of each white cell.
    split : {"fit", "test", "all"}
    **options
        Given to the set: ``source="tecom"`` for wbc_segmentation.

    Returns
    -------
    WhiteCells or CellImages
        Lazy: a picture is read when it is asked for.

    Raises
    ------
    ValueError
        If there is no such set or split.
    """
    entry = SETS.get(name)
    if entry is None or not entry.cells:
        legal = ", ".join(key for key, value in SETS.items() if value.cells)
        raise ValueError(f"{name!r} is no set of single-cell pictures; there is {legal}")
    return import_module(f".{entry.cells}", __name__).load(split, **options)


def _load_folder(folder: str | os.PathLike[str], split: str, options: dict[str, Any]) -> SmearFolder:
    if not Path(folder).is_dir():
        raise ValueError(
            f"no data set and no folder is called {os.fspath(folder)!r}; names are {', '.join(names())}, "
            "a folder needs images/ and instances/ (or masks/, or coco.json)"
        )
    if options:
        raise ValueError(f"{folder}: a folder takes no option {', '.join(map(repr, options))}; remove it")
    from ..io import read_folder

    return read_folder(folder, split=split)
