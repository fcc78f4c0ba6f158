"""Cells that lie on one another, painted one layer after the other."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from torch import Tensor

from .networks import GlobalGenerator
from .painting import paint_instances
from .styles import forms

REACH_PX = 3  # ours: around the cells of an upper layer, as far as their rims and halos reach
FEATHER_PX = 1.5  # ours: sigma over which its painting goes over into what was there


def layers(cells: Sequence[tuple[int, int, np.ndarray]], shape: tuple[int, int]) -> list[np.ndarray]:
    """Sort whole cells into layers in each of which none lies on another.

    Parameters
    ----------
    cells : sequence of (row, column, bool (h, w))
        As `bloodlib.sampler.mask.Mask.amodal`; beyond the border they are cut off.
    shape : (height, width)

    Returns
    -------
    list of int32 (H, W)
        Cell k has the id k + 1, whole, in one of them, the first that has room; there is one layer at least.

    Examples
    --------
    >>> bar = np.ones((1, 3), dtype=bool)
    >>> [layer.tolist() for layer in layers([(0, 0, bar), (0, 2, bar), (0, 5, bar)], (1, 8))]
    [[[1, 1, 1, 0, 0, 3, 3, 3]], [[0, 0, 2, 2, 2, 0, 0, 0]]]
    """
    found = [np.zeros(shape, np.int32)]
    for k, (row, column, whole) in enumerate(cells):
        top, left = max(-row, 0), max(-column, 0)
        seen = whole[top : shape[0] - row, left : shape[1] - column]
        box = np.s_[row + top : row + top + seen.shape[0], column + left : column + left + seen.shape[1]]
        with_room = (layer for layer in found if not layer[box][seen].any())
        layer = next(with_room, None)
        if layer is None:
            layer = np.zeros(shape, np.int32)
            found.append(layer)
        layer[box][seen] = k + 1
    return found


def whole_forms(instances: Sequence[np.ndarray], count: int) -> dict[str, np.ndarray]:
    """Measure cells as `bloodlib.gan.styles.forms`, each in the layer where it is whole."""
    first, *others = (forms(layer, count) for layer in instances)
    for layer, found in zip(instances[1:], others, strict=True):
        here = np.setdiff1d(layer, 0)
        for name, values in found.items():
            first[name][here] = values[here]
    return first


def paint_layers(
    generator: GlobalGenerator,
    instances: Sequence[np.ndarray],
    styles: Tensor,
    kinds: np.ndarray | None = None,
    rng: np.random.Generator | None = None,
    *,
    fast: bool = False,
) -> np.ndarray:
    """Paint cells that may lie on one another; see `bloodlib.gan.painting.paint_instances`.

    Parameters
    ----------
    instances : sequence of int (H, W)
        Layers, ids of all of them different; incidental objects are best in the first.

    Returns
    -------
    uint8 (H, W, 3)

    Notes
    -----
    A painter is told of edges, not of depths, and paints a muddle where one cell cuts off part of another. So every
    layer is painted alone, with the same noise, and where a cell lies on another the darker of the two is taken. Not
    their product, as the law of Beer and Lambert would have it: cells give way where they meet, and in real smears
    such places are about as dark as either cell (`bloodlib.evaluators.lenses`). Book: chapter 07.
    """
    if len(instances) == 1:
        return paint_instances(generator, instances[0], styles, kinds, rng, fast=fast)
    seed = None if rng is None else int(rng.integers(2**63))
    drawn = [None if seed is None else np.random.default_rng(seed) for _ in instances]
    first, *upper = (
        paint_instances(generator, layer, styles, kinds, noise, fast=fast).astype(np.float32)
        for layer, noise in zip(instances, drawn, strict=True)
    )
    below = instances[0] > 0
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * REACH_PX + 1,) * 2)
    for layer, painted in zip(instances[1:], upper, strict=True):
        near = cv2.dilate((layer > 0).astype(np.float32), disc)
        weight = cv2.GaussianBlur(near, (0, 0), FEATHER_PX)[..., None]
        seen = np.where(below[..., None], np.minimum(first, painted), painted)
        first += weight * (seen - first)
        below |= layer > 0
    return np.clip(np.rint(first), 0, 255).astype(np.uint8)
