"""Instance masks as COCO JSON (polygons or run lengths), by way of faster-coco-eval."""

from __future__ import annotations

import itertools
import math
import os
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, Literal

import numpy as np
from faster_coco_eval.core import mask as rle
from scipy import ndimage
from skimage.measure import find_contours

from .._files import read_json, write_json
from ..smears import Smear, relabel
from .images import MOST_PIXELS, DataWarning


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
            If the image has no cell, or an annotation has no usable segmentation at all.

        Warns
        -----
        DataWarning
            For each annotation left out: empty, wholly hidden under later ones, or a crowd region.
        """
        rows, columns = self.sizes[name]
        instances, classes = np.zeros((rows, columns), np.int32), []
        for entry in self._annotations[name]:
            what = f"{self.path}: annotation {entry.get('id')} of image {self.files[name]!r}"
            if entry.get("iscrowd"):
                warnings.warn(f"{what} is a crowd region, not one cell; it is left out", DataWarning, stacklevel=2)
                continue
            box, cell = _rasterise(what, entry, rows, columns)
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
            raise ValueError(
                f"{self.path}: image {self.files[name]!r} has no cell; annotate its cells, or remove the image"
            )
        return relabel(instances)[0], np.asarray(classes, dtype=np.int64)[seen]

    def numbered_classes(self, name: str, count: int) -> np.ndarray | None:
        """Give the class of instance 1..count where `write_coco` numbered them, else None."""
        classes = {a.get("instance"): self._classes[a["category_id"]] for a in self._annotations.get(name, ())}
        if set(classes) != set(range(1, count + 1)):
            return None
        return np.array([classes[k] for k in range(1, count + 1)], dtype=np.int64)


def _rasterise(what: str, entry: dict[str, Any], rows: int, columns: int) -> tuple[tuple[slice, slice], np.ndarray]:
    """Give the box of a cell, and which pixels of the box are the cell's."""
    shape = entry.get("segmentation")
    try:
        if isinstance(shape, list):
            polygons = [list(map(float, polygon)) for polygon in shape]
            if not polygons or any(len(polygon) < 6 or len(polygon) % 2 for polygon in polygons):
                raise ValueError("a polygon needs at least three x, y pairs")
            far = max(max(map(abs, polygon)) for polygon in polygons)  # the rasteriser walks along every edge
            if not far <= 2 * max(rows, columns) or any(map(math.isnan, itertools.chain(*polygons))):
                raise ValueError(f"a corner lies at {far:g}, far outside of the image or nowhere")
            code = rle.merge(rle.frPyObjects(polygons, rows, columns))
        elif isinstance(shape, dict):
            if list(shape["size"]) != [rows, columns]:
                raise ValueError(f"its size is {shape['size']}, that of the image is {[rows, columns]}")
            code = _checked_runs(shape, rows, columns)
        else:
            raise ValueError("there is none, and a box alone does not outline a cell")
        cell = rle.decode(code)
        left, top, width, height = (int(side) for side in rle.toBbox(code))
        box = (slice(top, top + height), slice(left, left + width))
        return box, cell[box].astype(bool)
    except (ValueError, TypeError, KeyError, RuntimeError, ArithmeticError) as error:
        raise ValueError(
            f"{what} has an unusable segmentation ({error}); allowed are polygons [[x1, y1, x2, y2, …], …] "
            "and run lengths {size, counts}"
        ) from error


def _checked_runs(shape: dict[str, Any], rows: int, columns: int) -> dict[str, Any]:
    """Give run lengths as the decoder takes them, once they are known to fill the image exactly."""
    counts = shape["counts"]
    if not isinstance(counts, list):
        counts = _unpacked(counts.encode("ascii") if isinstance(counts, str) else bytes(counts))
    if any(not isinstance(n, int) or n < 0 for n in counts):
        raise ValueError("run lengths are whole numbers of 0 or more")
    if sum(counts) > rows * columns:
        raise ValueError(f"the run lengths exceed the mask: {sum(counts)} pixels of {rows * columns}")
    if sum(counts) < rows * columns:
        raise ValueError(f"the run lengths decoded {sum(counts)} pixels but expected {rows * columns}")
    return rle.frPyObjects({"size": [rows, columns], "counts": counts}, rows, columns)


def _unpacked(text: bytes) -> list[int]:
    """Decode COCO's packed run lengths: base 32 from character 48 on, differences to the last but one."""
    counts: list[int] = []
    value, shift = 0, 0
    for code in text:
        digit = code - 48
        if not 0 <= digit < 64 or shift > 60:
            raise ValueError("the packed run lengths hold characters that are none")
        value |= (digit & 31) << shift
        shift += 5
        if digit & 32:  # more digits follow
            continue
        if digit & 16:  # the sign
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value, shift = 0, 0
    if shift:
        raise ValueError("the packed run lengths are cut short")
    return counts


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
    categories = sorted(_each(path, content, "categories", ("id", "name")), key=lambda c: (str(type(c["id"])), c["id"]))
    images, sizes, files, groups = {}, {}, {}, {}
    for image in _each(path, content, "images", ("id", "file_name", "width", "height")):
        name = PurePath(image["file_name"]).stem  # of the path no more: a folder in it is never followed
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
    class_names: Sequence[str] = ("red blood cell",),
    segmentation: Literal["rle", "polygon"] = "rle",
) -> None:
    """Write the cells of many smears as one COCO file, whole or not at all.

    Parameters
    ----------
    path : path
    smears : iterable of Smear
        Read one after the other; images are named NAME.png, as `write_smear` names them.
    class_names : sequence of str
        Category ``k + 1`` is the name of class ``k``.
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
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    names: set[str] = set()
    for number, smear in enumerate(smears, start=1):
        if smear.name in names or not smear.name:
            raise ValueError(f"{path}: the name {smear.name!r} is empty or comes twice; every smear needs its own")
        if smear.count and not 0 <= min(smear.classes) <= max(smear.classes) < len(class_names):
            raise ValueError(
                f"{path}: smear {smear.name!r} has classes {min(smear.classes)} to {max(smear.classes)}, but "
                f"{len(class_names)} class names are given ({', '.join(class_names)}); name each class"
            )
        names.add(smear.name)
        rows, columns = smear.instances.shape
        image = {"id": number, "file_name": f"{smear.name}.png", "width": columns, "height": rows}
        images.append(image | ({"group": smear.group} if smear.group else {}))
        for instance, box in enumerate(ndimage.find_objects(smear.instances), start=1):
            cell = smear.instances[box] == instance
            shape = _polygons(cell, box) if segmentation == "polygon" else run_lengths(smear.instances, instance, box)
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


def run_lengths(instances: np.ndarray, instance: int, box: tuple[slice, slice]) -> dict[str, Any]:
    """Encode a cell from the columns it touches: run lengths go down the columns, so the rest is offset."""
    rows, columns = instances.shape
    strip = (instances[:, box[1]] == instance).ravel(order="F")
    turns = np.flatnonzero(np.diff(strip, prepend=False, append=False)) + box[1].start * rows
    counts = np.diff(turns, prepend=0, append=rows * columns).tolist()
    code = rle.frPyObjects({"size": [rows, columns], "counts": counts}, rows, columns)
    return {"size": [rows, columns], "counts": code["counts"].decode("ascii")}


def _polygons(cell: np.ndarray, box: tuple[slice, slice]) -> list[list[float]]:
    """Outline every part of a cell, holes filled; x, y with pixel centres at halves."""
    filled = np.pad(ndimage.binary_fill_holes(cell), 1)
    offset = np.array([box[0].start - 0.5, box[1].start - 0.5])
    outlines = [contour[:-1] + offset for contour in find_contours(filled.astype(float), 0.5)]
    return [outline[:, ::-1].ravel().tolist() for outline in outlines]  # row, column -> x, y
