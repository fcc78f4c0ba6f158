"""Boxes of Pascal VOC annotation files."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

import numpy as np
from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import parse

from .images import DataWarning


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
        If it is no VOC XML, or lacks the image size or a coordinate.

    Warns
    -----
    DataWarning
        For each box with xmax <= xmin or ymax <= ymin, which is left out.
    """
    path = Path(path)
    try:
        root = parse(path).getroot()
    except (ParseError, DefusedXmlException, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a readable XML file ({error}); was it cut short?") from error
    if root.tag != "annotation":
        raise ValueError(f"{path}: its first tag is <{root.tag}>, needed is <annotation>; is it a VOC file?")
    name = Path((root.findtext("filename") or path.stem).strip()).stem
    shape = (int(_number(path, root, "size/height")), int(_number(path, root, "size/width")))
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
        return float(text)
    except (TypeError, ValueError):
        raise ValueError(
            f"{path}: <{tag}> of <{element.tag}> is {text!r}, needed is a number; was the file written by hand?"
        ) from None
