"""One synthetic mask: what the generator gives."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from .canvas import COLOURS


class CrowdedWarning(UserWarning):
    """Says that fewer cells were placed than requested, since no shape drawn fits anywhere any more."""


@dataclass(frozen=True, eq=False)
class Mask:
    """Hold one synthetic mask.

    ``instances`` int32 (H, W): 0 is background, cells 1..placed in the order of placement; where cells
    overlap, what is seen of each;
    ``colours`` uint8 (H, W, 3): the paper's colour mask, background black, touching cells differ;
    ``colour_of`` uint8 (placed,): colour of each cell, its position in the list of colours from 1 on;
    ``centres`` int (placed, 2): row, column drawn for each cell (the centroid of its whole shape);
    ``requested``, ``placed``: number of cells; ``shape_ids`` int (placed,): which shape of the database;
    ``trials`` int (placed,): locations drawn from P until one could hold the cell (beyond ``tries`` of the
    configuration: places that were looked through, see `bloodlib.sampler.layout.Layout`);
    ``amodal`` for each cell (row, column, bool (h, w)): where its box begins and its shape in it, whole:
    also what the border cuts (row or column may be below 0) or cells on top of it hide;
    ``classes`` int (placed,): class of each cell, where shares of the classes were asked for, else None;
    ``source``: smear whose slide it is drawn after, where slides are kept apart, else None.
    """

    instances: np.ndarray
    colour_of: np.ndarray
    centres: np.ndarray
    requested: int
    placed: int
    shape_ids: np.ndarray
    trials: np.ndarray
    amodal: tuple[tuple[int, int, np.ndarray], ...]
    classes: np.ndarray | None = None
    source: int | None = None

    @property
    def order(self) -> np.ndarray:
        """Height of each cell where cells overlap, int (placed,): of two, the higher lies on the other."""
        return np.arange(self.placed)

    @cached_property
    def colours(self) -> np.ndarray:
        """The paper's colour mask, uint8 (H, W, 3), made when first asked for."""
        pixels = np.zeros((self.placed + 1, 4), dtype=np.uint8)  # a fourth byte makes one number of each pixel
        pixels[1:, :3] = COLOURS[self.colour_of - 1]
        painted = pixels.view(np.uint32)[:, 0].take(self.instances)  # (H, W)
        return cv2.cvtColor(painted.view(np.uint8).reshape(*painted.shape, 4), cv2.COLOR_RGBA2RGB)
