"""Single white cells rendered by the phantom's physics, with exact trimaps: for trying things, never blood."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_fill_holes

from ..io.trimaps import CYTOPLASM, NUCLEUS
from . import _phantom_debris as debris
from ._phantom_cells import cell_patch, draw_cell
from .phantom import SLIDES, expose, slide
from .wbc_segmentation import TYPE_NAMES, WhiteCell

TITLE = "phantom white cells (rendered, not blood)"
SIDE_PX = 120  # as wide as a picture of wbc_segmentation
_SEED = 2019


def render_white_cell(number: int, side_px: int = SIDE_PX) -> WhiteCell:
    """Render one white cell among a few red ones.

    Parameters
    ----------
    number : int
        Any; decides cell and slide. The same number gives the same bytes on one machine.
    side_px : int

    Returns
    -------
    WhiteCell
        A rendered cell has lobes but no type: `kind` is 0 for lobed nuclei (neutrophil), 1 for round ones.

    Notes
    -----
    What absorbs at a pixel is c · cytoplasm + n · nucleus; c and n are solved for exactly from the three colour
    channels. A pixel is nucleus where n is above a quarter, else cytoplasm where c is above 0.4; holes are filled.
    """
    habit, rng = slide(number % SLIDES), np.random.default_rng([_SEED, number])
    shape = (side_px, side_px)
    absorbance, phase = np.zeros((*shape, 3), np.float32), np.zeros(shape, np.float32)
    centre = side_px / 2 + rng.normal(0, 0.03 * side_px, 2)
    radius = rng.uniform(0.62, 0.85) * habit.diameter_px
    debris.add_white_cell(absorbance, phase, centre, radius, rng)
    basis = np.stack([debris.CYTOPLASM, debris.NUCLEUS], axis=1)  # (3 channels, 2)
    shares = absorbance @ np.linalg.pinv(basis).T  # (H, W, 2)
    nucleus = binary_fill_holes(shares[..., 1] > 0.25)
    trimap = np.where(binary_fill_holes((shares[..., 0] > 0.4) | nucleus), CYTOPLASM, 0)
    trimap = np.where(nucleus, NUCLEUS, trimap).astype(np.uint8)
    thickness = np.zeros(shape, np.float32)
    first = rng.uniform(0, 2 * np.pi)
    for k in range(int(rng.integers(2, 6))):
        cell = draw_cell(rng, "discocyte", habit.diameter_px * rng.uniform(0.9, 1.1), habit)
        angle, away = first + 1.25 * k + rng.uniform(-0.1, 0.1), radius + habit.diameter_px * rng.uniform(0.55, 0.9)
        patch = cell_patch(cell, centre + away * np.array([np.sin(angle), np.cos(angle)]), shape)
        if patch is not None:
            where, _, depth = patch
            thickness[where] += depth
    lobes = _lobes(trimap == NUCLEUS)
    image = expose(rng, habit, thickness, absorbance, phase)
    return WhiteCell(image, trimap, TYPE_NAMES.index("neutrophil" if lobes else "lymphocyte"), f"phantom-{number:03d}")


def _lobes(nucleus: np.ndarray) -> bool:
    """Say whether a nucleus fills less of its own box than a disc does."""
    rows, columns = np.nonzero(nucleus)
    box = (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
    return bool(len(rows) < 0.7 * box)
