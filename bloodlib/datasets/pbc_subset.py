"""PBC subset: real pictures of single cells, each with its type and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload
from urllib.parse import unquote

import numpy as np

from .._files import package_data
from ..io import read_image
from .registry import fetch, read_registry

TITLE = "PBC subset"
# The folders of the set; IG are the immature granulocytes.
TYPE_NAMES = (
    "basophil",
    "eosinophil",
    "erythroblast",
    "ig",
    "lymphocyte",
    "monocyte",
    "neutrophil",
    "platelet",
)
PREFIXES = ("BA", "EO", "ERB", "IG", "MMY", "MY", "PMY", "LY", "MO", "BNE", "NEUTROPHIL", "SNE", "PLATELET")
HELD_OUT = 10  # ours: of the 50 pictures of every prefix


@dataclass(frozen=True, eq=False)
class CellImage:
    """Hold the picture of one cell, without a mask.

    Parameters
    ----------
    image : uint8 (H, W, 3)
        RGB; the named cell lies in the middle, red cells and platelets around it.
    kind : int
        Position of its type in `TYPE_NAMES`.
    prefix : str
        Beginning of the file name, finer than the type: MY, BNE, …
    name : str
        File name without its ending.
    """

    image: np.ndarray
    kind: int
    prefix: str
    name: str


class CellImages(Sequence[CellImage]):
    """Give the pictures of a set by position, each read when it is asked for.

    Parameters
    ----------
    folder : path
    paths : sequence of str
        Below the folder, ``type/PREFIX_number.jpg``.

    Notes
    -----
    ``kinds`` int (n,) is known without reading. Not a `SmearFolder`, since there are no instances:
    a mask without any would say that the picture holds no cell.
    """

    def __init__(self, folder: Path, paths: Sequence[str]) -> None:
        self.folder, self.paths = folder, tuple(paths)
        self.kinds = np.array([TYPE_NAMES.index(path.split("/")[0]) for path in self.paths], dtype=np.int64)
        self.class_names = TYPE_NAMES

    def __len__(self) -> int:
        return len(self.paths)

    @overload
    def __getitem__(self, index: int) -> CellImage: ...
    @overload
    def __getitem__(self, index: slice) -> CellImages: ...
    def __getitem__(self, index):
        if isinstance(index, slice):
            return CellImages(self.folder, self.paths[index])
        path = self.paths[index]
        name = Path(path).stem
        return CellImage(read_image(self.folder / path), int(self.kinds[index]), name.split("_")[0], name)

    def __iter__(self) -> Iterator[CellImage]:
        return (self[k] for k in range(len(self)))

    def __repr__(self) -> str:
        return f"<CellImages {TITLE}: {len(self)} pictures, {len(np.unique(self.kinds))} types>"


def split_paths(paths: Sequence[str], split: str) -> list[str]:
    """Choose the paths of one part: of every prefix, `HELD_OUT` spread evenly over the sorted names are the test part.

    Raises
    ------
    ValueError
        If the split is unknown, or a name has another prefix than those of `PREFIXES`.
    """
    if split not in ("fit", "test", "all"):
        raise ValueError(f"split is {split!r}; allowed are fit, test, all")
    groups: dict[str, list[str]] = {prefix: [] for prefix in PREFIXES}
    for path in sorted(paths):
        prefix = Path(path).name.split("_")[0]
        if prefix not in groups:
            raise ValueError(f"{path}: begins with none of {', '.join(PREFIXES)}")
        groups[prefix].append(path)
    chosen = []
    for members in groups.values():
        step = max(len(members) // HELD_OUT, 1)
        chosen += [path for k, path in enumerate(members) if split == "all" or (k % step == 0) == (split == "test")]
    return chosen


def load(split: str = "all") -> CellImages:
    """Open the 650 pictures, or one part of them.

    Parameters
    ----------
    split : {"fit", "test", "all"}
        No patients or slides are published for these files, so the two parts are cut by file name
        and may share patients: a score on "test" is an upper bound for other patients.

    Returns
    -------
    CellImages
        About 360×363 pixels; a red cell in the background is about 74 px wide (median of 368 lone ones).

    Raises
    ------
    ValueError, OSError
        If the split is unknown, or a file is damaged or cannot be fetched.

    Notes
    -----
    The stain goes with the label: the prefixes IG and NEUTROPHIL lie on a bluish ground, nearly all
    others on a yellowish one. Of the types, only `ig` and `neutrophil` mix both.

    References
    ----------
    Acevedo et al. 2020, https://doi.org/10.1016/j.dib.2020.105474
    """
    _, hashes = read_registry(package_data("registries", "pbc_subset.txt"))
    paths = split_paths([unquote(path) for path in hashes], split)
    return CellImages(fetch("pbc_subset", progress=False), paths)
