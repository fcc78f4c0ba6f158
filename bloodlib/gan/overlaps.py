"""Cells that lie on one another, painted one layer after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from torch import Tensor

from .layers import InstanceNorm
from .networks import GlobalGenerator
from .painting import paint_instances
from .styles import forms

REACH_PX = 3  # ours: around the cells of an upper layer, as far as their rims and halos reach
MARGIN_PX = 32  # ours: of background that is painted around them
STEP_PX = 64  # ours: of the sides of windows
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
    layer is painted alone, those above the first in windows around their cells, and where a cell lies on another the
    darker of the two is taken. Not their product, as the law of Beer and Lambert would have it: cells give way where
    they meet, and in real smears such places are about as dark as either cell (`bloodlib.evaluators.lenses`). A
    generator with instance norm, which sees the whole of what it paints, paints whole layers. Book: chapter 07.
    """
    first = paint_instances(generator, instances[0], styles, kinds, rng, fast=fast)
    if len(instances) == 1:
        return first
    image, below = first.astype(np.float32), instances[0] > 0
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * REACH_PX + 1,) * 2)
    everywhere = any(isinstance(module, InstanceNorm) for module in generator.modules())
    for layer in instances[1:]:
        for window, cells in [(np.s_[:, :], layer)] if everywhere else _windows(layer):
            painted = paint_instances(generator, cells, styles, kinds, rng, fast=fast)
            near = cv2.dilate((cells > 0).astype(np.float32), disc)
            weight = cv2.GaussianBlur(near, (0, 0), FEATHER_PX)[..., None]
            seen = np.where(below[window][..., None], np.minimum(image[window], painted), painted)
            image[window] += weight * (seen - image[window])
            below[window] |= cells > 0
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _windows(layer: np.ndarray) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
    """Cut a layer into windows around cells that lie near one another, int (h, w) with no others in them.

    Their sides are multiples of `STEP_PX` where the picture has room: every new size of a window makes new kernels.
    """
    reach = np.ones((2 * MARGIN_PX + 1,) * 2, np.uint8)
    count, parts, boxes, _ = cv2.connectedComponentsWithStats(cv2.dilate((layer > 0).astype(np.uint8), reach))
    for k in range(1, count):
        left, top, width, height = (int(x) for x in boxes[k, :4])
        rows, cols = _grown(top, height, layer.shape[0]), _grown(left, width, layer.shape[1])
        yield (rows, cols), np.where(parts[rows, cols] == k, layer[rows, cols], 0)


def _grown(start: int, length: int, side: int) -> slice:
    """Lengthen a stretch of a side to a multiple of `STEP_PX`, or to all of it."""
    longer = min(-(-length // STEP_PX) * STEP_PX, side)
    start = min(max(start - (longer - length) // 2, 0), side - longer)
    return slice(start, start + longer)
