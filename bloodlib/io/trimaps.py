"""Trimaps of single white cells: which pixel is background, cytoplasm or nucleus."""

from __future__ import annotations

import os
import warnings

import cv2
import numpy as np

from .images import LabelWarning, bits, opened, write_png

BACKGROUND, CYTOPLASM, NUCLEUS = 0, 1, 2
LEVELS = np.array([0, 128, 255], dtype=np.uint8)  # grey of each class in the files of wbc_segmentation
_FAR = 24  # ours: grey levels from all three beyond which a pixel was not meant as one of them


def snap(levels: np.ndarray) -> np.ndarray:
    """Take every grey level or colour to the nearest of the three that a trimap is drawn in.

    Parameters
    ----------
    levels : uint8 or float (H, W) or (H, W, 3)
        0..255.

    Returns
    -------
    uint8 (H, W)
        0 background, 1 cytoplasm, 2 nucleus.

    Notes
    -----
    Of greys, the one nearest to a colour in RGB is the one nearest to the mean of its channels. A
    smooth brush between white and black passes through grey, and so leaves a thin rim of cytoplasm.

    Examples
    --------
    >>> snap(np.array([[0, 50, 100, 180, 250]])).tolist()
    [[0, 0, 1, 1, 2]]
    """
    grey = np.asarray(levels, dtype=np.float32)
    grey = grey.mean(axis=2) if grey.ndim == 3 else grey  # (H, W, 3) -> (H, W)
    borders = (LEVELS[1:].astype(np.float32) + LEVELS[:-1]) / 2
    return np.digitize(grey, borders).astype(np.uint8)


def read_trimap(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a trimap: black is background, mid-grey cytoplasm, white nucleus.

    Parameters
    ----------
    path : path
        Any picture with 8 bits per channel, as any paint program saves it; what is transparent is background.

    Returns
    -------
    uint8 (H, W)
        0 background, 1 cytoplasm, 2 nucleus; see `snap` for what is in between.

    Raises
    ------
    FileNotFoundError, ValueError
        If the file cannot be read, has 16 bits, or holds no cell.

    Warns
    -----
    LabelWarning
        If more than 2 % of the pixels are far from all three greys: it is no trimap, or was drawn in other colours.
        What a smooth brush leaves along the border of two parts does not count.
    """
    with opened(path) as picture:
        if bits(picture) != 8 or picture.mode.startswith(("I", "F")):
            raise ValueError(f"{path}: the trimap has more than 8 bits per channel; save it with 8")
        pixels = np.array(picture.convert("RGBA"))
    grey = pixels[..., :3].mean(axis=2) * (pixels[..., 3] >= 128)  # (H, W, 4) -> (H, W)
    trimap = snap(grey)
    if not trimap.any():
        raise ValueError(
            f"{path}: the trimap holds no cell (all of it is dark); draw cytoplasm grey, the nucleus white"
        )
    around = np.ones((3, 3), np.uint8)
    inside = cv2.dilate(trimap, around) == cv2.erode(trimap, around)  # (H, W): a part and its neighbours are one
    far = ((np.abs(grey[..., None] - LEVELS).min(axis=2) > _FAR) & inside).mean()
    if far > 0.02:
        warnings.warn(
            f"{path}: {far:.0%} of the pixels are neither black (background), mid-grey {LEVELS[1]} (cytoplasm) nor "
            "white (nucleus) and were taken to the nearest; is it a trimap?",
            LabelWarning,
            stacklevel=2,
        )
    return trimap


def write_trimap(path: str | os.PathLike[str], trimap: np.ndarray) -> None:
    """Write a trimap as grey PNG of the levels 0, 128 and 255, whole or not at all."""
    write_png(path, to_levels(trimap))


def check_trimap(trimap: np.ndarray) -> None:
    """Refuse, by ValueError, what is no trimap: anything but (H, W) of 0, 1 and 2."""
    if trimap.ndim != 2 or trimap.min(initial=0) < 0 or trimap.max(initial=0) > NUCLEUS:
        raise ValueError(f"the trimap has shape {trimap.shape} and values up to {trimap.max(initial=0)}; allowed are "
                         "(H, W) of 0 (background), 1 (cytoplasm) and 2 (nucleus)")  # fmt: skip


def to_levels(trimap: np.ndarray) -> np.ndarray:
    """Give the grey levels uint8 (H, W) that a trimap of 0, 1, 2 is drawn in; errors as in `check_trimap`."""
    check_trimap(trimap)
    return LEVELS[trimap]


def resize_trimap(trimap: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Give a trimap at another (height, width); classes never mix."""
    return cv2.resize(trimap, (shape[1], shape[0]), interpolation=cv2.INTER_NEAREST_EXACT)
