"""Instance masks as label images and as the paper's colour masks."""

from __future__ import annotations

import os
import warnings

import numpy as np
from PIL import Image
from skimage.measure import label

from ..smears import relabel
from .images import LabelWarning, bits, opened, refuse_turned, write_png
from .suspects import COLOURS, IDS, background_taken_for_a_cell, merged_cells, scattered_cells

_MOST = 2**16 - 1  # ids that a 16-bit PNG can hold


def mask_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Give (rows, columns) of a mask from its header; refuse a JPEG, and what is to be turned."""
    with opened(path) as picture:
        _refuse_unfit(path, picture)
        return picture.height, picture.width


def _refuse_unfit(path: str | os.PathLike[str], picture: Image.Image) -> None:
    refuse_turned(path, picture)
    if picture.format == "JPEG":
        raise ValueError(
            f"{path}: the mask is a JPEG, which turns every id or colour into many near ones; "
            "allowed are PNG and TIFF, so export it again from where it was drawn"
        )


def read_instances(path: str | os.PathLike[str], empty: bool = False) -> np.ndarray:
    """Read a label image: the grey value of a pixel is the id of its cell.

    Parameters
    ----------
    path : path
        PNG or TIFF, one channel of 8, 16 or 32 bits; of a palette image the indices count.
    empty : bool
        Whether a mask without a cell is read, or one of specks, as what a program found may be; annotations have
        cells.

    Returns
    -------
    int32 (H, W)
        0 is background; cells are numbered 1..n in the order of their ids.

    Raises
    ------
    FileNotFoundError, ValueError
        If the file cannot be read, is a JPEG, is to be turned, is in colour, or holds no cell, or mostly specks, and
        `empty` is not set.

    Warns
    -----
    LabelWarning
        If one id is all there is and it lies in several places, or ids lie in places far apart: a semantic
        mask, it seems, or ids that did not fit in 8 bits. Also if one cell seems to be the background, where `empty`
        is not set.
    """
    with opened(path) as picture:
        _refuse_unfit(path, picture)
        if len(picture.getbands()) > 1 and bits(picture) != 8:  # of which Pillow would keep the high bytes
            raise ValueError(
                f"{path}: the label mask has several channels of {bits(picture)} bits, needed is one; "
                "save it as grey with 16 bits"
            )
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
        if empty:
            return np.zeros(ids.shape, np.int32)
        raise ValueError(f"{path}: the mask holds no cell (every pixel is 0); label its cells or leave it out")
    regions = _regions(ids)
    if not empty:  # a program's output may be specks, and is to be scored so
        _refuse_speckle(path, regions, ids)
    if np.unique(ids).size <= 2 and regions.max() > 1:
        warnings.warn(
            f"{path}: all {regions.max()} separate places have the one id {ids.max()} and count as one cell; "
            "a mask of cell against background belongs in masks/, where each place is a cell",
            LabelWarning,
            stacklevel=2,
        )
    else:
        for problem in scattered_cells(path, ids, regions):
            warnings.warn(problem, LabelWarning, stacklevel=2)
    instances = _numbered(ids)
    if not empty:
        for problem in background_taken_for_a_cell(path, instances, IDS):
            warnings.warn(problem, LabelWarning, stacklevel=2)
    return instances


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
        If a region looks like touching cells of one colour; says where. They stay one cell. Also if one
        looks like a background of another colour.
    """
    instances = _colour_regions(path, background)
    for problem in background_taken_for_a_cell(path, instances, COLOURS) + merged_cells(path, instances):
        warnings.warn(problem, LabelWarning, stacklevel=2)
    return instances


def _colour_regions(path: str | os.PathLike[str], background: tuple[int, int, int] = (0, 0, 0)) -> np.ndarray:
    with opened(path) as picture:
        _refuse_unfit(path, picture)
        if picture.mode in ("RGB", "RGBA", "P", "PA", "LA"):
            if bits(picture) != 8:
                raise ValueError(f"{path}: the colour mask has 16 bits per channel, needed are 8; save it with 8")
            pixels = np.array(picture.convert("RGBA"))  # resolves palettes and their transparency, too
        elif picture.mode in ("1", "L", "I", "F") or picture.mode.startswith("I;"):
            pixels = np.array(picture)
        else:
            raise ValueError(f"{path}: the colour mask is of colour mode {picture.mode}; save it as RGB")
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
