"""Masks that can be read but most likely say something else than was meant."""

from __future__ import annotations

import os

import cv2
import numpy as np
from scipy import ndimage

IDS = (
    "must have the id 0, and so must lines between cells (cv2.watershed gives the background 1 and lines -1, which "
    "become 65535): set both to 0"
)
COLOURS = (
    "must be black or transparent, so repaint it. Where it is white, bloodlib.io.read_colours(file, "
    "background=(255, 255, 255)) reads it, and write_instances writes that as a label image"
)


def scattered_cells(path: str | os.PathLike[str], ids: np.ndarray, regions: np.ndarray) -> list[str]:
    """Find ids that stand for several cells far apart, and say how many there are.

    Parameters
    ----------
    path : path
        Named in the message.
    ids : integer (H, W)
        0 is background; at least one pixel is not.
    regions : integer (H, W)
        The connected regions of one id, numbered 1..n; 0 is background.

    Returns
    -------
    list of str
        One message, or none.

    Notes
    -----
    The rule (ours): two regions of one id, each at least half as large as a cell, lie more than one and
    a half times the length of a cell apart, along the rows or along the columns. The size of a cell is
    the median of all regions but crumbs, which are smaller than a fifth of the region that the middle
    pixel of the foreground lies in; its length is the median longer side of the boxes of what is at least
    half as large. The parts of a cell that lies under others are not found, since they are at most as far
    apart as the others are wide. Measured: of 84 reference masks of Chula RBC-12 it reported none, and all
    once their ids were taken modulo 32, cut to the lower half or replaced by one of two kinds.
    """
    areas = np.bincount(regions.ravel())[1:]
    ascending = np.sort(areas)
    middle = ascending[np.searchsorted(np.cumsum(ascending), areas.sum() / 2)]
    large = np.flatnonzero(2 * areas >= np.median(areas[5 * areas >= middle]))
    owners = np.zeros(len(areas) + 1, dtype=ids.dtype)
    owners[regions] = ids  # every pixel of a region has the same id
    found, owners, places = np.unique(owners[large + 1], return_inverse=True, return_counts=True)
    if places.max() == 1:
        return []
    first, last = (ends[large + 1] for ends in _extents(regions, len(areas)))  # (k, 2) each
    length_px = np.median((last - first).max(axis=1) + 1)
    last_begin, first_end = np.zeros((len(found), 2), int), np.full((len(found), 2), max(ids.shape))
    np.maximum.at(last_begin, owners, first)
    np.minimum.at(first_end, owners, last)
    apart = (last_begin - first_end - 1).max(axis=1) > 1.5 * length_px
    if not apart.any():
        return []
    worst = np.argmax(np.where(apart, places, 0))
    return [
        f"{path}: the id {found[worst]} lies in {places[worst]} places of a cell's size, some of them far apart, and "
        f"counts as one cell (such ids: {apart.sum()}). Was the mask saved with 8 bits, so that ids above 255 were "
        "cut? Save it with 16. Or does the id say what kind of cell it is? Such a mask belongs in masks/, where each "
        "place is a cell"
    ]


def _extents(regions: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Give the first and the last row and column of each region, int32 (count + 1, 2).

    `scipy.ndimage.find_objects` gives the same in objects that take a gibibyte for two million regions.
    """
    first, last = np.zeros((2, count + 1, 2), np.int32)
    for axis, lines in enumerate((regions, regions.T)):
        for k, line in enumerate(lines):
            last[line, axis] = k
        for k in range(len(lines) - 1, -1, -1):
            first[lines[k], axis] = k
    return first, last


def background_taken_for_a_cell(path: str | os.PathLike[str], instances: np.ndarray, cure: str) -> list[str]:
    """Find a region of a mask that is read as a cell and seems to be the background, and say so.

    Parameters
    ----------
    path : path
        Named in the message.
    instances : int32 (H, W)
    cure : str
        `IDS` or `COLOURS`: what is to be done about it.

    Returns
    -------
    list of str
        One message, or none.

    Notes
    -----
    The rule (ours): among two regions or more, one covers most of the picture's border, or no pixel at all
    is background. A region alone is it if it covers most of the border and has holes, as where black cells lie
    on white.
    """
    edge = np.ones(instances.shape, dtype=bool)
    edge[1:-1, 1:-1] = False
    border = np.bincount(instances[edge], minlength=2)
    widest = int(np.argmax(border[1:])) + 1
    around = 2 * border[widest] > border.sum()
    if instances.max() == 1:
        cell = instances == 1
        meant = not around or not (ndimage.binary_fill_holes(cell) & ~cell).any()
    else:
        meant = not around and not instances.all()
    if meant or not instances.any():
        return []
    return [
        f"{path}: one region covers {border[widest] / border.sum():.0%} of the picture's border and is read as a "
        f"cell; it seems to be the background, which {cure}"
    ]


def merged_cells(path: str | os.PathLike[str], instances: np.ndarray) -> list[str]:
    """Find regions that look like several touching cells of one colour, and say where.

    Parameters
    ----------
    path : path
        Named in the messages.
    instances : int32 (H, W)

    Returns
    -------
    list of str
        One message per region.

    Notes
    -----
    The rule (ours): the region fills less than 96 % of its convex hull; it falls into two or more
    parts when eroded to a depth at which each part still has a core a fifth deeper, so that it has
    a neck; and among five regions or more it is 1.3 times as large as their median. Cells joined
    along most of their width are not found, and a large single cell with a waist is.
    Measured on masks derived from Chula RBC-12: of 88 touching pairs it found 65 once they were
    joined; of 1,683 cells it reported 15, and nearly all of these were, looked at, cells that the
    derivation had joined. On the phantom it reported none of 1,667.
    """
    found = []
    areas = np.bincount(instances.ravel())[1:]
    least = 1.3 * np.median(areas) if len(areas) >= 5 else 0
    for identity, box in enumerate(ndimage.find_objects(instances), start=1):
        if box is None or areas[identity - 1] < least:
            continue
        outline, _ = cv2.findContours(
            np.ascontiguousarray(instances[box] == identity).view(np.uint8),
            cv2.RETR_EXTERNAL,
            cv2.CHAIN_APPROX_NONE,
        )
        outline = max(outline, key=cv2.contourArea)
        hull = cv2.contourArea(cv2.convexHull(outline))
        if hull < 16 or cv2.contourArea(outline) >= 0.96 * hull:
            continue
        rows, columns = (extent.stop - extent.start for extent in box)
        filled = cv2.drawContours(np.zeros((rows + 2, columns + 2), np.uint8), [outline + 1], -1, 1, cv2.FILLED)
        if _has_neck(filled):
            row, column = box[0].start + rows // 2, box[1].start + columns // 2
            found.append(
                f"{path}: the region around column {column}, row {row} ({columns}×{rows} px) looks like touching cells "
                "of one colour and is read as one cell; touching cells need different colours, so repaint one"
            )
    return found


def _has_neck(filled: np.ndarray) -> bool:
    depth = cv2.distanceTransform(filled, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    for level in np.linspace(0.2, 0.8, 13) * depth.max():
        count, parts = cv2.connectedComponents((depth > level).astype(np.uint8), connectivity=8)
        cores = ndimage.maximum(depth, parts, np.arange(1, count))
        if (np.asarray(cores) > 1.2 * level).sum() > 1:
            return True
    return False
