"""WBC segmentation: single white cells with a trimap of background, cytoplasm and nucleus; the set of `rao2019`."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np

from ..io import read_image
from ..io.trimaps import CYTOPLASM, NUCLEUS, read_trimap
from ..smears import Smear, relabel
from .registry import fetch

TITLE = "WBC segmentation"
TYPE_NAMES = ("neutrophil", "lymphocyte", "monocyte", "eosinophil", "basophil")  # labels 1..5 of the set
SOURCES = {"tecom": "1", "cellavision": "2"}  # who took the pictures -> number of the set's two folders
EVERY, HELD_OUT = (
    5,
    2,
)  # ours: of the pictures of each type in the order of their numbers, 3rd, 8th, 13th … are the test


@dataclass(frozen=True, eq=False)
class WhiteCell:
    """Hold the picture of one white cell with its trimap.

    Parameters
    ----------
    image : uint8 (H, W, 3)
        RGB.
    trimap : uint8 (H, W)
        0 background (red cells included), 1 cytoplasm, 2 nucleus.
    kind : int
        Position of its type in `TYPE_NAMES`; not checked by experts.
    name : str
        ``tecom-001``.
    """

    image: np.ndarray
    trimap: np.ndarray
    kind: int
    name: str

    def to_smear(self) -> Smear:
        """Give it as a smear of two instances: cytoplasm is of class 0, nucleus of class 1."""
        present = [k for k in (CYTOPLASM, NUCLEUS) if (self.trimap == k).any()]
        instances, _ = relabel(self.trimap.astype(np.int32))
        return Smear(self.image, instances, np.array(present, dtype=np.int64) - CYTOPLASM, self.name)


class WhiteCells(Sequence[WhiteCell]):
    """Give the cells of the set by position, each read when it is asked for.

    Parameters
    ----------
    folder : path
    names : sequence of str
        ``source-number``.
    kinds : int (n,)
        Known without reading.
    """

    def __init__(self, folder: Path, names: Sequence[str], kinds: np.ndarray) -> None:
        self.folder, self.names, self.kinds = folder, tuple(names), np.asarray(kinds, dtype=np.int64)
        self.class_names = TYPE_NAMES

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, index: int) -> WhiteCell: ...
    @overload
    def __getitem__(self, index: slice) -> WhiteCells: ...
    def __getitem__(self, index):
        if isinstance(index, slice):
            return WhiteCells(self.folder, self.names[index], self.kinds[index])
        name = self.names[index]
        source, number = name.split("-")
        beside = self.folder / f"Dataset {SOURCES[source]}" / number
        image, trimap = read_image(beside.with_suffix(".bmp")), read_trimap(beside.with_suffix(".png"))
        if image.shape[:2] != trimap.shape:
            raise ValueError(f"{beside}.png: the trimap is {trimap.shape} but the image {image.shape[:2]}; fetch again")
        return WhiteCell(image, trimap, int(self.kinds[index]), name)

    def __iter__(self) -> Iterator[WhiteCell]:
        return (self[k] for k in range(len(self)))

    def __repr__(self) -> str:
        return f"<WhiteCells {TITLE}: {len(self)} cells, {len(np.unique(self.kinds))} types>"


def read_labels(path: Path) -> dict[int, int]:
    """Read the class labels of one folder: number of the picture -> position in `TYPE_NAMES`.

    Raises
    ------
    ValueError
        If a label is none of 1..5; names the file and the line.
    """
    with path.open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    found = {}
    for line, row in enumerate(rows, start=2):
        if len(row) < 2 or not row[0].strip().isdigit() or row[1].strip() not in set("12345"):
            raise ValueError(f"{path}, line {line}: found {row}, needed is `number,label` with a label of 1..5")
        found[int(row[0])] = int(row[1]) - 1
    return found


def split_names(kinds: dict[str, int], split: str) -> list[str]:
    """Choose the names of one part: of every source and type, every fifth picture is held out.

    Parameters
    ----------
    kinds : dict of str to int
        Name of each cell -> its type.
    split : {"fit", "test", "all"}

    Raises
    ------
    ValueError
        If the split is unknown.

    Notes
    -----
    Of n pictures of a type the ones at positions 2, 7, 12, … of the sorted names are the test part, so the
    single basophil of the Tecom pictures is one to train on.
    """
    if split not in ("fit", "test", "all"):
        raise ValueError(f"split is {split!r}; allowed are fit, test, all")
    groups: dict[tuple[str, int], list[str]] = {}
    for name in sorted(kinds):
        groups.setdefault((name.split("-")[0], kinds[name]), []).append(name)
    chosen = []
    for members in groups.values():
        chosen += [n for k, n in enumerate(members) if split == "all" or (k % EVERY == HELD_OUT) == (split == "test")]
    return sorted(chosen)


def load(split: str = "all", source: str | None = None) -> WhiteCells:
    """Open the 400 cells, or one part of them.

    Parameters
    ----------
    split : {"fit", "test", "all"}
        No patients or slides are published, so the parts are cut by file number and may share patients.
    source : {"tecom", "cellavision"}, optional
        300 pictures of 88 to 120 px (224 of them 120×120), or 100 of 300×300; both if not given.

    Returns
    -------
    WhiteCells

    Raises
    ------
    ValueError, OSError
        If split or source are unknown, or a file is damaged or cannot be fetched.

    Notes
    -----
    Five trimaps of CellaVision hold a few stray greys, which are taken to the nearest of the three. Book: chapter 12.

    References
    ----------
    Zheng et al. 2018, https://doi.org/10.1016/j.micron.2018.01.010
    """
    if source is not None and source not in SOURCES:
        raise ValueError(f"source is {source!r}; allowed are {', '.join(SOURCES)}, or None for both")
    folder = fetch("wbc_segmentation", progress=False)
    kinds = {
        f"{taken_by}-{number:03d}": kind
        for taken_by, which in SOURCES.items()
        if source in (None, taken_by)
        for number, kind in read_labels(folder / f"Class Labels of Dataset {which}.csv").items()
    }
    names = split_names(kinds, split)
    return WhiteCells(folder, names, np.array([kinds[name] for name in names]))
