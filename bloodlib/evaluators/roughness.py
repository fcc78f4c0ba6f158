"""How rough cells' outlines are: in pictures, and in the masks that say where the cells are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np

from ..sampler.contours import SOFT_PX, follow
from ..smears import Smear
from ..statistics import measure_cells

WAVELENGTHS_PX = ((5.0, 10.0), (10.0, 20.0))  # ours: coarser than pixels, finer than what makes the shape of a cell
APART_PX = 5  # ours: background around a cell that is measured
RIM_PX = 2  # ours: of the cell and of the background, left out where their levels are taken
FAINTEST = 10.0  # ours: grey levels between a cell's rim and its background below which its edge is not looked for


def roughness(smears: Sequence[Smear]) -> dict[str, Any]:
    """Measure how rough the outlines of cells are that lie alone.

    Parameters
    ----------
    smears : sequence of Smear

    Returns
    -------
    dict
        ``cells`` measured; ``wavelengths_px``; ``picture_px`` and ``mask_px``: for each range of wavelengths, the
        displacement of the outline (root mean square along it, median over cells); none without cells.

    Notes
    -----
    In the picture the outline is where green is halfway between background and the cell's rim, in the mask where it
    is between pixels; both after the same blur. Displacements are Parseval sums over Fourier descriptors. The steps
    of pixels alone give a mask of anything (2 N (1/shortest - 1/longest))^½ with N of
    `bloodlib.sampler.contours.STEP_NOISE`: 0.10 px and 0.08 px in the two ranges, after the blur.
    """
    found = [pair for smear in smears for pair in outlines_of(smear)]
    kinds = np.array([[displacement(*line) for line in pair] for pair in found]).reshape(-1, 2, len(WAVELENGTHS_PX))
    middle = np.median(kinds, axis=0) if len(found) else ((), ())
    return {
        "cells": len(found),
        "wavelengths_px": [list(band) for band in WAVELENGTHS_PX],
        "picture_px": [round(float(x), 4) for x in middle[0]],
        "mask_px": [round(float(x), 4) for x in middle[1]],
    }


def displacement(points: np.ndarray, length_px: float) -> list[float]:
    """Give the root mean square displacement of an outline in each of `WAVELENGTHS_PX`."""
    power = np.abs(np.fft.fft(points) / len(points)) ** 2
    per_px = np.abs(np.fft.fftfreq(len(points), length_px / len(points)))
    return [float(np.sqrt(power[(per_px > 1 / high) & (per_px <= 1 / low)].sum())) for low, high in WAVELENGTHS_PX]


def outlines_of(smear: Smear) -> Iterator[tuple[tuple[np.ndarray, float], tuple[np.ndarray, float]]]:
    """Follow every cell that lies alone, in the picture and in the mask: points and length as `follow` gives them."""
    cells, (height, width) = measure_cells(smear.instances), smear.instances.shape
    for k in np.flatnonzero(cells.complete):
        r0, c0, r1, c1 = (int(x) for x in cells.box[k])
        r0, c0, r1, c1 = r0 - APART_PX, c0 - APART_PX, r1 + APART_PX, c1 + APART_PX
        if r0 < 0 or c0 < 0 or r1 > height or c1 > width:
            continue
        window = smear.instances[r0:r1, c0:c1]
        cell = window == k + 1
        if (window[~cell] > 0).any():
            continue
        picture = _halfway(smear.image[r0:r1, c0:c1, 1], cell)
        if picture is not None and len(picture[0]):
            yield picture, follow(cv2.GaussianBlur(cell.astype(np.float32), (0, 0), SOFT_PX))


def _halfway(green: np.ndarray, cell: np.ndarray) -> tuple[np.ndarray, float] | None:
    """Follow a cell's edge in a picture, pallor filled; None where the cell is too faint."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * RIM_PX + 1, 2 * RIM_PX + 1))
    inner = cv2.erode(cell.astype(np.uint8), disc).astype(bool)
    outer = cv2.dilate(cell.astype(np.uint8), disc).astype(bool)
    light = np.median(green[~outer])
    depth = light - np.median(green[cell & ~inner])
    if depth < FAINTEST:
        return None
    dark = cv2.GaussianBlur(((light - green.astype(np.float32)) / depth).astype(np.float32), (0, 0), SOFT_PX)
    return follow(np.where(inner, 1.0, np.where(outer, dark, 0.0)))
