"""Boxes of Pascal VOC annotation files."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, ElementTree, ParseError, SubElement, indent

import numpy as np
from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import parse
from scipy import ndimage

from .._files import replacing
from ..smears import Smear
from .images import DataWarning, name_of, stem


@dataclass(frozen=True, eq=False)
class VocBoxes:
    """Hold the boxes of one image: float (n, 4) as xmin, ymin, xmax, ymax in px, and a label each."""

    name: str  # of the image, without its ending
    shape: tuple[int, int]  # rows, columns
    boxes: np.ndarray
    labels: tuple[str, ...]


def read_voc(path: str | os.PathLike[str]) -> VocBoxes:
    """Read the boxes of one VOC XML file, leaving out degenerate ones.

    Parameters
    ----------
    path : path

    Returns
    -------
    VocBoxes
        Coordinates as they are in the file (VOC counts pixels from 1).

    Raises
    ------
    FileNotFoundError, ValueError
        If it is no VOC XML, lacks the image size or a coordinate, or one is no finite number.

    Warns
    -----
    DataWarning
        For each box with xmax <= xmin or ymax <= ymin, which is left out.
    """
    path = Path(path)
    try:
        root = parse(path).getroot()
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:  # the last two: odd encodings
        raise ValueError(f"{path}: not a readable XML file ({error}); was it cut short?") from error
    if root.tag != "annotation":
        raise ValueError(f"{path}: its first tag is <{root.tag}>, needed is <annotation>; is it a VOC file?")
    said = (root.findtext("filename") or "").strip()
    name = stem(said) if said else name_of(path)
    shape = (int(_number(path, root, "size/height")), int(_number(path, root, "size/width")))
    if min(shape) < 1:
        raise ValueError(f"{path}: the image is said to be {shape[1]}×{shape[0]} px; needed are 1 or more each way")
    boxes, labels = [], []
    for position, entry in enumerate(root.iter("object"), start=1):
        label = (entry.findtext("name") or "").strip()
        keys = ("xmin", "ymin", "xmax", "ymax")
        left, top, right, bottom = box = [_number(path, entry, f"bndbox/{key}") for key in keys]
        if right <= left or bottom <= top:
            warnings.warn(
                f"{path}: box {position} ({label or 'unnamed'}) runs from x {left:g} to {right:g} and y {top:g} to "
                f"{bottom:g}, allowed is xmin < xmax and ymin < ymax; it is left out, so draw it again if it matters",
                DataWarning,
                stacklevel=2,
            )
            continue
        boxes.append(box)
        labels.append(label)
    return VocBoxes(name, shape, np.array(boxes, dtype=float).reshape(-1, 4), tuple(labels))


def _number(path: Path, element: Element, tag: str) -> float:
    text = element.findtext(tag)
    try:
        value = float(text)
        if math.isfinite(value):
            return value
        raise ValueError("not finite")
    except (TypeError, ValueError):
        raise ValueError(
            f"{path}: <{tag}> of <{element.tag}> is {text!r}, needed is a number; was the file written by hand?"
        ) from None


def write_voc(path: str | os.PathLike[str], smear: Smear, class_names: Sequence[str] = ("red blood cell",)) -> None:
    """Write the box of every cell as a VOC XML file, whole or not at all.

    Parameters
    ----------
    path : path
    smear : Smear
        Its picture is called NAME.png, as `write_smear` names it.
    class_names : sequence of str
        ``class_names[k]`` is the name of class ``k``.

    Raises
    ------
    ValueError
        If a class has no name.

    Notes
    -----
    VOC counts pixels from 1, and the last one belongs to the box: a cell in column 0 alone has
    xmin = xmax = 1, and readers that take such a box for an error (`read_voc` is one) leave it out.
    """
    if smear.count and not 0 <= min(smear.classes) <= max(smear.classes) < len(class_names):
        raise ValueError(
            f"{path}: smear {smear.name!r} has classes {min(smear.classes)} to {max(smear.classes)}, but "
            f"{len(class_names)} class names are given ({', '.join(class_names)}); name each class"
        )
    rows, columns = smear.instances.shape
    root = Element("annotation")
    SubElement(root, "folder").text = "images"
    SubElement(root, "filename").text = f"{smear.name}.png"
    _fill(SubElement(root, "size"), {"width": columns, "height": rows, "depth": 3})
    SubElement(root, "segmented").text = "0"
    for kind, (down, right) in zip(smear.classes, ndimage.find_objects(smear.instances), strict=True):
        cut = down.start == 0 or right.start == 0 or down.stop == rows or right.stop == columns
        entry = SubElement(root, "object")
        SubElement(entry, "name").text = class_names[int(kind)]
        _fill(entry, {"pose": "Unspecified", "truncated": int(cut), "difficult": 0})
        box = {"xmin": right.start + 1, "ymin": down.start + 1, "xmax": right.stop, "ymax": down.stop}
        _fill(SubElement(entry, "bndbox"), box)
    indent(root)
    with replacing(path) as beside:
        ElementTree(root).write(beside, encoding="utf-8", xml_declaration=True)


def _fill(element: Element, values: dict[str, object]) -> None:
    for tag, value in values.items():
        SubElement(element, tag).text = str(value)
