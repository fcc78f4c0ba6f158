"""Scale bars and lettering that a microscope wrote into a picture: found, and painted over."""

from __future__ import annotations

import cv2
import numpy as np

from .derive import INK_EXCESS

BAR_PX = (7, 15)  # measured on Chula: bars are 2 px thick and 17 to 50 px long
BAR_DEPTH = 25  # measured on Chula: bars are darker than what is above and below by 30 to 100 grey levels
LETTERS_PX = 20  # measured on Chula


def find_ink(image: np.ndarray) -> np.ndarray:
    """Mark scale bars and their lettering: bool (H, W).

    Notes
    -----
    Coloured ink absorbs more red than green, as no blood does (rule and threshold as in `bloodlib.derive`, against the
    image's median in place of a fitted background). A black bar is a dark level line, thinner than `BAR_PX[0]` and
    longer than `BAR_PX[1]`; what lies within `LETTERS_PX` above or below it counts as lettering. On Chula RBC-12 that
    finds the bar of every smear; now and then a cell that is cut flat by the border is taken for one.
    """
    return _coloured(image) | _lettered(_strokes(image))


def without_ink(image: np.ndarray) -> np.ndarray:
    """Paint over scale bars and lettering: no label tells of them, so that a painter must not learn them.

    Parameters
    ----------
    image : uint8 (H, W, 3)

    Returns
    -------
    uint8 (H, W, 3)
        The image itself where there is none. Of a black bar and its letters the strokes alone are painted over,
        with what is around them: a bar can lie across a cell.
    """
    strokes = _strokes(image)
    upright = cv2.morphologyEx(image.max(axis=2), cv2.MORPH_BLACKHAT, np.ones((1, BAR_PX[0]), np.uint8)) > BAR_DEPTH
    ink = _coloured(image) | (_lettered(strokes) & (strokes | upright))
    if not ink.any():
        return image
    around = cv2.dilate(ink.astype(np.uint8), np.ones((5, 5), np.uint8))  # edges are soft
    return cv2.inpaint(image, around, 3, cv2.INPAINT_TELEA)


def _coloured(image: np.ndarray) -> np.ndarray:
    red, green = (np.log(np.maximum(image[..., channel], 1).astype(np.float32)) for channel in (0, 1))
    excess = green - red
    return excess - np.median(excess) > INK_EXCESS


def _strokes(image: np.ndarray) -> np.ndarray:
    """Mark what is dark, and thin from top to bottom."""
    return cv2.morphologyEx(image.max(axis=2), cv2.MORPH_BLACKHAT, np.ones((BAR_PX[0], 1), np.uint8)) > BAR_DEPTH


def _lettered(strokes: np.ndarray) -> np.ndarray:
    """Mark level bars among those strokes, and their surroundings."""
    bars = cv2.morphologyEx(strokes.astype(np.uint8), cv2.MORPH_OPEN, np.ones((1, BAR_PX[1]), np.uint8))
    return cv2.dilate(bars, np.ones((2 * LETTERS_PX + 1, 9), np.uint8)) > 0
