"""Instance masks as label images and as the paper's colour masks."""

from __future__ import annotations

import os
import warnings

import cv2
import numpy as np
from PIL import Image
from scipy import ndimage
from skimage.measure import label

from ..smears import relabel
from .images import LabelWarning, bits, opened, write_png

_MOST = 2**16 - 1  # ids that a 16-bit PNG can hold


def mask_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Give (rows, columns) of a mask from its header; refuse a JPEG."""
    with opened(path) as picture:
        _refuse_jpeg(path, picture)
        return picture.height, picture.width


def _refuse_jpeg(path: str | os.PathLike[str], picture: Image.Image) -> None:
    if picture.format == "JPEG":
        raise ValueError(
            f"{path}: the mask is a JPEG, which turns every id or colour into many near ones; "
            "allowed are PNG and TIFF, so export it again from where it was drawn"
        )


def read_instances(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a label image: the grey value of a pixel is the id of its cell.

    Parameters
    ----------
    path : path
        PNG or TIFF, one channel of 8, 16 or 32 bits; of a palette image the indices count.

    Returns
    -------
    int32 (H, W)
        0 is background; cells are numbered 1..n in the order of their ids.

    Raises
    ------
    FileNotFoundError, ValueError
        If the file cannot be read, is a JPEG, is in colour, or holds no cell.

    Warns
    -----
    LabelWarning
        If one id is all there is and it lies in several places: a semantic mask, it seems.
    """
    with opened(path) as picture:
        _refuse_jpeg(path, picture)
        ids = np.array(picture)
    if ids.ndim == 3 and (ids[..., :3] == ids[..., :1]).all():
        ids = ids[..., 0]  # grey, saved as RGB
    if ids.ndim != 2:
        raise ValueError(
            f"{path}: the label mask is in colour ({ids.shape[2]} channels), needed is one channel of ids; "
            "put masks with a colour per cell in masks/, not instances/"
        )
    if not np.issubdtype(ids.dtype, np.integer) and ids.dtype != bool:
        raise ValueError(f"{path}: the label mask holds {ids.dtype} values, needed are whole ids of 8 or 16 bits")
    if ids.min(initial=0) < 0:
        raise ValueError(f"{path}: the label mask holds the id {ids.min()}, allowed are 0 (background) and more")
    if not ids.any():
        raise ValueError(f"{path}: the mask holds no cell (every pixel is 0); label its cells or leave it out")
    regions = _regions(ids)
    _refuse_speckle(path, regions, ids)
    if np.unique(ids).size <= 2 and regions.max() > 1:
        warnings.warn(
            f"{path}: all {regions.max()} separate places have the one id {ids.max()} and count as one cell; "
            "a mask of cell against background belongs in masks/, where each place is a cell",
            LabelWarning,
            stacklevel=2,
        )
    return _numbered(ids)


def _numbered(ids: np.ndarray) -> np.ndarray:
    if ids.max() >= 2**24:  # too large for relabel's lookup table
        ids = np.unique(ids, return_inverse=True)[1].reshape(ids.shape) + int(ids.min() > 0)
    return relabel(ids.astype(np.int64))[0]


def write_instances(path: str | os.PathLike[str], instances: np.ndarray) -> None:
    """Write an instance mask as 16-bit PNG, whole or not at all.

    Parameters
    ----------
    path : path
        Ends in .png.
    instances : integer (H, W)
        Ids 0..65535; more do not fit in 16 bits and are refused, never wrapped around.
    """
    if instances.ndim != 2 or not np.issubdtype(instances.dtype, np.integer):
        raise ValueError(f"{path}: instances are {instances.dtype} {instances.shape}, needed are integers (H, W)")
    least, most = int(instances.min(initial=0)), int(instances.max(initial=0))
    if least < 0 or most > _MOST:
        raise ValueError(
            f"{path}: ids run from {least} to {most}, allowed in a 16-bit PNG are 0..{_MOST}; "
            "number them without gaps with bloodlib.smears.relabel, or tile the image"
        )
    write_png(path, instances.astype(np.uint16))


def colours_to_instances(colours: np.ndarray, background: tuple[int, int, int] = (0, 0, 0)) -> np.ndarray:
    """Number the cells of a colour mask, in which touching cells have different colours.

    Parameters
    ----------
    colours : uint8 (H, W, 3)
        RGB.
    background : tuple of int
        The colour of what is no cell.

    Returns
    -------
    int32 (H, W)
        One id per connected region of one colour, numbered row by row.

    Notes
    -----
    Pixels of one colour that share an edge or a corner are one cell (8-connectivity), so the
    colouring must treat cells that meet at a corner as touching (Bailo et al. 2019, §3.2).

    Examples
    --------
    >>> mask = np.zeros((2, 5, 3), np.uint8)
    >>> mask[:, :2], mask[:, 2:4] = (255, 0, 0), (0, 255, 0)
    >>> colours_to_instances(mask).tolist()
    [[1, 1, 2, 2, 0], [1, 1, 2, 2, 0]]
    """
    if colours.dtype != np.uint8 or colours.ndim != 3 or colours.shape[2] != 3:
        raise ValueError(f"colours are {colours.dtype} {colours.shape}, needed is uint8 (H, W, 3) RGB")
    codes = _codes(colours)
    return label(codes, background=int(_codes(np.array(background))), connectivity=2).astype(np.int32)


def _codes(colours: np.ndarray) -> np.ndarray:
    red, green, blue = np.moveaxis(colours.astype(np.int32), -1, 0)  # (…, 3) -> three of (…)
    return red << 16 | green << 8 | blue


def read_colours(path: str | os.PathLike[str], background: tuple[int, int, int] = (0, 0, 0)) -> np.ndarray:
    """Read one of the paper's colour masks as instances.

    Parameters
    ----------
    path : path
        PNG or TIFF: RGB; RGBA, where a transparent pixel is background; a palette; or grey
        values in place of colours.
    background : tuple of int
        The colour of what is no cell.

    Returns
    -------
    int32 (H, W)
        As of `colours_to_instances`.

    Raises
    ------
    FileNotFoundError, ValueError
        If the file cannot be read, holds no cell, or its colours are blurred (JPEG, smooth brush).

    Warns
    -----
    LabelWarning
        If a region looks like touching cells of one colour; says where. They stay one cell.
    """
    instances = _colour_regions(path, background)
    for problem in merged_cells(path, instances):
        warnings.warn(problem, LabelWarning, stacklevel=2)
    return instances


def _colour_regions(path: str | os.PathLike[str], background: tuple[int, int, int] = (0, 0, 0)) -> np.ndarray:
    with opened(path) as picture:
        _refuse_jpeg(path, picture)
        if picture.mode in ("RGB", "RGBA", "P", "PA", "LA"):
            if bits(picture) != 8:
                raise ValueError(f"{path}: the colour mask has 16 bits per channel, needed are 8; save it with 8")
            pixels = np.array(picture.convert("RGBA"))  # resolves palettes and their transparency, too
        else:
            pixels = np.array(picture)
    if pixels.ndim == 2:
        instances = label(pixels, background=0, connectivity=2).astype(np.int32)
    else:
        alpha = pixels[..., 3]
        half = (alpha > 0) & (alpha < 255)
        if half.any():
            raise ValueError(
                f"{path}: {half.sum()} pixels of the colour mask are half transparent, allowed is opaque or "
                "not at all; draw cells with a hard brush (no anti-aliasing)"
            )
        colours = np.where(alpha[..., None] > 0, pixels[..., :3], np.array(background, np.uint8))
        instances, pixels = colours_to_instances(colours, background), _codes(colours)
    if not instances.any():
        raise ValueError(f"{path}: the mask holds no cell (all of it is background {background}); draw its cells")
    _refuse_speckle(path, instances, pixels)
    return instances


def _regions(ids: np.ndarray) -> np.ndarray:
    return label(ids, background=0, connectivity=2)


def _refuse_speckle(path: str | os.PathLike[str], regions: np.ndarray, values: np.ndarray) -> None:
    """Refuse a mask that went through a JPEG or was drawn with a smooth brush.

    The rule: more than 20 regions of one value, over half of which are specks of at most 4 px.
    """
    sizes = np.bincount(regions.ravel())[1:]
    specks = int((sizes <= 4).sum())
    if len(sizes) > 20 and 2 * specks > len(sizes):
        raise ValueError(
            f"{path}: the mask holds {np.unique(values).size} different values, and {specks} of its {len(sizes)} "
            "regions are specks of at most 4 px; it was saved as JPEG, resized smoothly or drawn with a smooth brush; "
            "needed is one exact value per cell, so export it again as PNG without smoothing"
        )


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
