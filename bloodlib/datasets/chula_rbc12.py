"""Chula RBC-12: real smears with expert points; the instance masks are derived here."""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from .._files import package_data, read_json
from ..derive import VERSION, derive_instances
from ..io import read_image
from ..smears import Smear, SmearFolder
from .registry import fetch

# Codes 0 to 12 of the set's own README.
CLASS_NAMES = (
    "normal cell",
    "macrocyte",
    "microcyte",
    "spherocyte",
    "target cell",
    "stomatocyte",
    "ovalocyte",
    "teardrop",
    "burr cell",
    "schistocyte",
    "uncategorised",
    "hypochromia",
    "elliptocyte",
)
TITLE = "Chula RBC-12"


def load(split: str = "all") -> SmearFolder:
    """Open the 84 smears, or one part of the fixed split by appearance group.

    Parameters
    ----------
    split : {"train", "fit", "validation", "test", "all"}
        train is fit and validation together.

    Returns
    -------
    SmearFolder
        Images 480×640; masks of `bloodlib.derive.derive_instances` from image and points, hence
        an algorithm's output, kept for the process once derived. A cell without a point has
        class 10, uncategorised.

    Raises
    ------
    ValueError, OSError
        If the split is unknown, or a file is damaged or cannot be fetched.

    References
    ----------
    Naruenatthanaset et al. 2021, https://arxiv.org/abs/2012.01321
    """
    parts = read_json(package_data("splits", "chula_rbc12.json"))
    chosen = {"train": ("fit", "validation"), "all": ("fit", "validation", "test")}.get(split, (split,))
    if not set(chosen) <= {"fit", "validation", "test"}:
        raise ValueError(f"split is {split!r}; allowed are train, fit, validation, test, all")
    names = sorted((name for part in chosen for name in parts[part]), key=int)
    group_of = {name: group for group, members in parts["groups"].items() for name in members}
    return SmearFolder(
        names,
        partial(_read, fetch("chula_rbc12", progress=False), group_of),
        groups=[group_of[name] for name in names],
        class_names=CLASS_NAMES,
        title=f"{TITLE} ({split})",
        rendered=f"chula_rbc12 by derivation {VERSION}",
    )


def read_points(path: Path) -> np.ndarray:
    """Read the expert points of one smear.

    Returns
    -------
    int64 (k, 3)
        Column x, row y, class 0..12.

    Raises
    ------
    ValueError
        If a line is not three whole numbers or the class is unknown.
    """
    points = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) != 3 or not all(field.isdigit() for field in fields) or int(fields[2]) >= len(CLASS_NAMES):
            raise ValueError(f"{path}, line {number}: found {line!r}, needed is `x y class` with a class of 0 to 12")
        points.append([int(field) for field in fields])
    return np.array(points, dtype=np.int64).reshape(-1, 3)


def _read(folder: Path, group_of: dict[str, str], name: str) -> Smear:
    image, points = _image(folder, name), read_points(folder / "Label" / f"{name}.txt")
    instances, classes = _derived(folder, name)
    return Smear(image, instances.astype(np.int32), classes.copy(), name, group_of[name], points)


def _image(folder: Path, name: str) -> np.ndarray:
    return read_image(folder / "Dataset" / f"{name}.jpg")


@lru_cache(maxsize=96)  # 0.6 MB each
def _derived(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    instances, classes = derive_instances(_image(folder, name), read_points(folder / "Label" / f"{name}.txt"))
    return instances.astype(np.uint16), classes
