"""BCCD: real smears with boxes; the instance masks are derived from colour alone, so that the boxes can judge them."""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from .._files import package_data
from ..derive import VERSION, derive_instances
from ..io import VocBoxes, read_image, read_voc
from ..smears import Smear, SmearFolder
from .registry import fetch, read_registry

TITLE = "BCCD"
_IMAGES, _BOXES = "BCCD/JPEGImages", "BCCD/Annotations"


def load(split: str = "all") -> SmearFolder:
    """Open the 364 smears.

    Parameters
    ----------
    split : {"all"}
        No slide numbers are published, and the set's own lists split single images, which would put
        one slide on both sides; so there is no split.

    Returns
    -------
    SmearFolder
        Images 480×640; masks of `bloodlib.derive.derive_instances` from the image alone, hence an algorithm's
        output that has not seen a box. White cells and platelets are left out of them.

    Raises
    ------
    ValueError, OSError
        If a split is asked for, or a file is damaged or cannot be fetched.

    Notes
    -----
    Book: data card, chapter 15.
    """
    if split != "all":
        raise ValueError(
            f"split is {split!r}, but bccd has no slide numbers to split by, only 'all' (on the command line: "
            "--split all); splits of single images would put one slide on both sides"
        )
    _, hashes = read_registry(package_data("registries", "bccd.txt"))
    names = sorted(Path(path).stem for path in hashes if path.startswith(_IMAGES))
    return SmearFolder(
        names, partial(_read, fetch("bccd", progress=False)), title=TITLE, rendered=f"bccd by derivation {VERSION}"
    )


def boxes(name: str) -> VocBoxes:
    """Give the published boxes of one smear: RBC, WBC and Platelets, with cells in clumps often left out.

    Raises
    ------
    ValueError
        If the set has no such smear.

    Warns
    -----
    bloodlib.io.DataWarning
        For each of the set's two boxes without an area, which is left out.
    """
    path = f"{_BOXES}/{name}.xml"
    return read_voc(fetch("bccd", progress=False, only=path) / path)


def _read(folder: Path, name: str) -> Smear:
    image = read_image(folder / _IMAGES / f"{name}.jpg")
    return Smear(image, _derived(folder, name).astype(np.int32), name=name)


@lru_cache(maxsize=400)  # 0.6 MB each
def _derived(folder: Path, name: str) -> np.ndarray:
    return derive_instances(read_image(folder / _IMAGES / f"{name}.jpg"))[0].astype(np.uint16)
