"""One cell as COCO writes it, polygons or run lengths, by way of faster-coco-eval."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from faster_coco_eval.core import mask as rle
from scipy import ndimage
from skimage.measure import find_contours


def rasterise(what: str, entry: dict[str, Any], rows: int, columns: int) -> tuple[tuple[slice, slice], np.ndarray]:
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


def run_lengths(instances: np.ndarray, instance: int, box: tuple[slice, slice]) -> dict[str, Any]:
    """Encode a cell from the columns it touches: run lengths go down the columns, so the rest is offset."""
    rows, columns = instances.shape
    strip = (instances[:, box[1]] == instance).ravel(order="F")
    turns = np.flatnonzero(np.diff(strip, prepend=False, append=False)) + box[1].start * rows
    counts = np.diff(turns, prepend=0, append=rows * columns).tolist()
    code = rle.frPyObjects({"size": [rows, columns], "counts": counts}, rows, columns)
    return {"size": [rows, columns], "counts": code["counts"].decode("ascii")}


def as_polygons(cell: np.ndarray, box: tuple[slice, slice]) -> list[list[float]]:
    """Outline every part of a cell, holes filled; x, y with pixel centres at halves."""
    filled = np.pad(ndimage.binary_fill_holes(cell), 1)
    offset = np.array([box[0].start - 0.5, box[1].start - 0.5])
    outlines = [contour[:-1] + offset for contour in find_contours(filled.astype(float), 0.5)]
    return [outline[:, ::-1].ravel().tolist() for outline in outlines]  # row, column -> x, y
