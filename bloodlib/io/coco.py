"""Instance masks as COCO JSON."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy import ndimage

from .._files import read_json, write_json
from ..smears import RED_CELLS, Smear, SmearFolder, relabel
from .images import MOST_PIXELS, DataWarning, LabelWarning, stem
from .segmentations import as_polygons, rasterise, run_lengths


@dataclass(frozen=True)
class CocoFile:
    """Hold the annotations of one COCO file, by image name without its ending."""

    path: Path
    class_names: tuple[str, ...]  # in the order of the category ids
    sizes: dict[str, tuple[int, int]]  # name -> (rows, columns)
    files: dict[str, str]  # name -> file name as written in the JSON
    groups: dict[str, str]  # name -> slide; our own optional key "group" of an image
    _annotations: dict[str, list[dict[str, Any]]] = field(repr=False)
    _classes: dict[int, int] = field(repr=False)

    def instances(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Rasterise the cells of one image.

        Returns
        -------
        instances : int32 (H, W)
            Numbered in the order of the annotations; where cells overlap the later lies on top.
        classes : int (n,)
            Positions in `class_names`.

        Raises
        ------
        ValueError
            If the image has no cell, none is left, or one has no usable segmentation at all.

        Warns
        -----
        DataWarning
            For each annotation left out: empty, wholly hidden under later ones, or a crowd region.
        LabelWarning
            If crowd regions look like single cells: run lengths of one connected piece.
        """
        rows, columns = self.sizes[name]
        instances, classes = np.zeros((rows, columns), np.int32), []
        crowds = [entry for entry in self._annotations[name] if entry.get("iscrowd")]
        self._tell_of(crowds, name)
        for entry in self._annotations[name]:
            if entry.get("iscrowd"):
                continue
            what = self._what(entry, name)
            box, cell = rasterise(what, entry, rows, columns)
            if not cell.any():
                warnings.warn(f"{what} covers no pixel; it is left out", DataWarning, stacklevel=2)
                continue
            classes.append(self._classes[entry["category_id"]])
            instances[box][cell] = len(classes)
        seen = np.bincount(instances.ravel(), minlength=len(classes) + 1)[1:] > 0
        if not seen.all():
            hidden = ", ".join(map(str, np.flatnonzero(~seen) + 1))
            warnings.warn(
                f"{self.path}: in image {self.files[name]!r} the cells number {hidden} are wholly hidden under "
                "later ones and left out",
                DataWarning,
                stacklevel=2,
            )
        if not seen.any():
            why = "; annotate its cells, or remove the image"
            if self._annotations[name]:
                why = (
                    f" left: {len(crowds)} of its {len(self._annotations[name])} annotations are crowd regions "
                    "(iscrowd 1), the rest cover no pixel; set iscrowd to 0 where it is one cell, or outline its cells"
                )
            raise ValueError(f"{self.path}: image {self.files[name]!r} has no cell{why}")
        return relabel(instances)[0], np.asarray(classes, dtype=np.int64)[seen]

    def _what(self, entry: dict[str, Any], name: str) -> str:
        return f"{self.path}: annotation {entry.get('id')} of image {self.files[name]!r}"

    def _tell_of(self, crowds: list[dict[str, Any]], name: str) -> None:
        """Warn of the crowd regions of an image; those that look like single cells are told of together."""
        single = []
        for entry in crowds:
            if _is_one_piece(entry, *self.sizes[name]):
                single.append(str(entry.get("id")))
                continue
            text = f"{self._what(entry, name)} is a crowd region, not one cell; it is left out"
            warnings.warn(text, DataWarning, stacklevel=3)
        if single:
            first = ", ".join(single[:5]) + (", …" if len(single) > 5 else "")
            warnings.warn(
                f"{self.path}: in image {self.files[name]!r} {len(single)} annotations ({first}) are left out as crowd "
                "regions (iscrowd 1), though each is one piece; CVAT writes this for every brush mask, so set iscrowd "
                "to 0 where it is one cell",
                LabelWarning,
                stacklevel=3,
            )

    def numbered_classes(self, name: str, count: int) -> np.ndarray | None:
        """Give the class of instance 1..count where `write_coco` numbered them, else None."""
        classes = {a.get("instance"): self._classes[a["category_id"]] for a in self._annotations.get(name, ())}
        if set(classes) != set(range(1, count + 1)):
            return None
        return np.array([classes[k] for k in range(1, count + 1)], dtype=np.int64)


def _is_one_piece(entry: dict[str, Any], rows: int, columns: int) -> bool:
    """Tell whether a crowd region could be one cell: run lengths, as a brush gives them, in one piece."""
    if not isinstance(entry.get("segmentation"), dict):
        return False
    try:
        _, region = rasterise("the crowd region", entry, rows, columns)
    except ValueError:  # it is left out in any case
        return False
    return ndimage.label(region, structure=np.ones((3, 3)))[1] == 1


def read_coco(path: str | os.PathLike[str]) -> CocoFile:
    """Read a COCO instance file and check that its parts refer to each other.

    Parameters
    ----------
    path : path
        JSON with images, annotations and categories.

    Returns
    -------
    CocoFile

    Raises
    ------
    FileNotFoundError, ValueError
        If it is no JSON, a list or a key is missing, or an annotation refers to nothing.
    """
    path, content = Path(path), read_json(path)
    missing = [key for key in ("images", "annotations", "categories") if not _is_table(content, key)]
    if missing:
        raise ValueError(f"{path}: has no list {', '.join(missing)}; a COCO file has images, annotations, categories")
    _refuse_twice(path, content)
    categories = sorted(_each(path, content, "categories", ("id", "name")), key=lambda c: (str(type(c["id"])), c["id"]))
    images, sizes, files, groups = {}, {}, {}, {}
    for image in _each(path, content, "images", ("id", "file_name", "width", "height")):
        name = stem(image["file_name"])  # of the path no more: a folder in it is never followed
        if name in sizes:
            raise ValueError(
                f"{path}: two images are called {name!r} ({files[name]!r} and {image['file_name']!r}); rename one"
            )
        images[image["id"]], sizes[name] = name, _size(path, image)
        files[name], groups[name] = image["file_name"], str(image.get("group", ""))
    classes = {category["id"]: position for position, category in enumerate(categories)}
    annotations: dict[str, list[dict[str, Any]]] = {name: [] for name in sizes}
    for entry in _each(path, content, "annotations", ("image_id", "category_id")):
        for key, legal in (("image_id", images), ("category_id", classes)):
            if entry[key] not in legal:
                raise ValueError(
                    f"{path}: annotation {entry.get('id')} has {key} {entry[key]!r}, which is not in the file; "
                    "were images or categories removed from it?"
                )
        annotations[images[entry["image_id"]]].append(entry)
    return CocoFile(path, tuple(str(c["name"]) for c in categories), sizes, files, groups, annotations, classes)


def _refuse_twice(path: Path, content: dict[str, Any]) -> None:
    """Refuse an id that stands for two images, or two categories: cells of one would land on the other."""
    for table in ("images", "categories"):
        seen: dict[Any, int] = {}
        for number, entry in enumerate(content[table]):
            if not isinstance(entry, dict) or not isinstance(entry.get("id"), int | str):
                continue  # which is told below
            first = seen.setdefault(entry["id"], number)
            if first != number:
                raise ValueError(
                    f"{path}: {table}[{first}] and {table}[{number}] both have the id {entry['id']!r}; were files "
                    "joined? Give every image, category and annotation a number of its own"
                )


def _is_table(content: Any, key: str) -> bool:
    return isinstance(content, dict) and isinstance(content.get(key), list)


def _each(path: Path, content: dict[str, Any], table: str, keys: tuple[str, ...]) -> Iterable[dict[str, Any]]:
    for number, entry in enumerate(content[table]):
        missing = [key for key in keys if not isinstance(entry, dict) or key not in entry]
        if missing:
            raise ValueError(f"{path}: {table}[{number}] has no {', '.join(missing)}; was it written by hand?")
        for key in keys:
            allowed = str if key in ("file_name", "name") else int | str if key.endswith("id") else int | float
            if not isinstance(entry[key], allowed):
                raise ValueError(
                    f"{path}: {table}[{number}] has the {key} {str(entry[key])[:40]!r}; needed is "
                    f"{'text' if allowed is str else 'a number'}"
                )
        yield entry


def _size(path: Path, image: dict[str, Any]) -> tuple[int, int]:
    rows, columns = image["height"], image["width"]
    if not (1 <= rows < math.inf and 1 <= columns < math.inf and rows * columns <= MOST_PIXELS):
        raise ValueError(
            f"{path}: image {image['file_name']!r} is said to be {columns}×{rows} px; allowed are 1 or more each "
            f"way and {MOST_PIXELS:,} px in all, so cut a whole slide into fields of view"
        )
    return int(rows), int(columns)


def write_coco(
    path: str | os.PathLike[str],
    smears: Iterable[Smear],
    class_names: Sequence[str] | None = None,
    segmentation: Literal["rle", "polygon"] = "rle",
) -> None:
    """Write the cells of many smears as one COCO file, whole or not at all.

    Parameters
    ----------
    path : path
    smears : iterable of Smear
        Read one after the other; images are named NAME.png, as `write_smear` names them.
    class_names : sequence of str, optional
        Category ``k + 1`` is the name of class ``k``; if not given, the names of a `SmearFolder`, else one,
        "red blood cell".
    segmentation : {"rle", "polygon"}
        Run lengths give back every pixel; polygons are for tools that read nothing else: they
        give back a cell's pixels too, except that holes are filled.

    Raises
    ------
    ValueError
        If a class has no name, two smears have one name, or `segmentation` is neither of the two.

    Notes
    -----
    Each annotation also has "instance" (its id in the mask), each image of a known slide "group".
    """
    if segmentation not in ("rle", "polygon"):
        raise ValueError(f"segmentation is {segmentation!r}; allowed are 'rle' and 'polygon'")
    class_names = names_or_default(smears, class_names)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, smear in enumerate(checked_smears(path, smears, class_names), start=1):
        rows, columns = smear.instances.shape
        image = {"id": number, "file_name": f"{smear.name}.png", "width": columns, "height": rows}
        images.append(image | ({"group": smear.group} if smear.group else {}))
        for instance, box in enumerate(ndimage.find_objects(smear.instances), start=1):
            cell = smear.instances[box] == instance
            shape = as_polygons(cell, box) if segmentation == "polygon" else run_lengths(smear.instances, instance, box)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": int(smear.classes[instance - 1]) + 1,
                    "instance": instance,
                    "bbox": [box[1].start, box[0].start, cell.shape[1], cell.shape[0]],
                    "area": int(cell.sum()),
                    "iscrowd": 0,
                    "segmentation": shape,
                }
            )
    categories = [{"id": k, "name": str(name)} for k, name in enumerate(class_names, start=1)]
    write_json(path, {"images": images, "annotations": annotations, "categories": categories}, indent=None)


def names_or_default(smears: Iterable[Smear], class_names: Sequence[str] | None) -> Sequence[str]:
    """Give the class names that are to be written: those given, those of a `SmearFolder`, or the one of red cells."""
    if class_names is not None:
        return class_names
    return smears.class_names if isinstance(smears, SmearFolder) else RED_CELLS


def checked_smears(
    path: str | os.PathLike[str], smears: Iterable[Smear], class_names: Sequence[str]
) -> Iterator[Smear]:
    """Pass smears on one by one; refuse a class without a name, and a name that is empty or comes twice."""
    names: set[str] = set()
    for smear in smears:
        if smear.name in names or not smear.name:
            raise ValueError(f"{path}: the name {smear.name!r} is empty or comes twice; every smear needs its own")
        if smear.count and not 0 <= min(smear.classes) <= max(smear.classes) < len(class_names):
            raise ValueError(
                f"{path}: smear {smear.name!r} has classes {min(smear.classes)} to {max(smear.classes)}, but "
                f"{len(class_names)} class names are given ({', '.join(class_names)}); name each class"
            )
        names.add(smear.name)
        yield smear
