"""How dark a smear is where cells lie on one another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np

from ..sampler.shapes import ShapeConfig, contact_share
from ..smears import Smear
from ..statistics import measure_cells

DEEP_PX = 4.0  # ours: of a common border counts what lies farther than this from the background
RIM_PX = (2.5, 5.5)  # ours: from the background, where a cell's rim is compared with
APART_PX = 6  # ours: from the other cell
FEWEST_PX = 8  # ours: of border and of rim
GROUND_PX = 4  # ours: from cells; nearer background does not count
PERCENTILES = (5, 25, 50, 75, 95)


def lens_darkness(smears: Sequence[Smear]) -> dict[str, Any]:
    """Compare the border along which a neighbour cuts a cell with the cell's free rim.

    Parameters
    ----------
    smears : sequence of Smear

    Returns
    -------
    dict
        ``cells`` measured; ``ratio``: `PERCENTILES` of absorbance along the border over absorbance of the rim, in
        green; none without cells.

    Notes
    -----
    Cells that share more of their outline with one neighbour than `bloodlib.sampler.shapes.ShapeConfig.max_contact`
    lie on it or under it, and a mask cuts the two apart somewhere in the place that both cover. If light passed both
    there in full, the ratio would be near 2; where they only meet, near 1 or below it.
    """
    found = np.array([ratio for smear in smears for ratio in ratios_of(smear)])
    values = np.percentile(found, PERCENTILES) if len(found) else ()
    return {"cells": len(found), "ratio": [round(float(x), 3) for x in values]}


def ratios_of(smear: Smear) -> Iterator[float]:
    """Give the ratio of every cell that a neighbour cuts."""
    instances, cells = smear.instances, measure_cells(smear.instances)
    away = cv2.distanceTransform((instances == 0).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) > GROUND_PX
    if not away.any():
        return
    green = cv2.GaussianBlur(smear.image[..., 1].astype(np.float32), (0, 0), 0.7)
    absorbance = -np.log(np.maximum(green, 1) / max(float(np.median(smear.image[away, 1])), 1.0))
    depth = cv2.distanceTransform((instances > 0).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    reach = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * APART_PX + 1,) * 2)
    cut = cells.complete & (contact_share(instances) > ShapeConfig().max_contact)
    for k in np.flatnonzero(cut):
        r0, c0, r1, c1 = (int(x) for x in cells.box[k])
        box = np.s_[max(r0 - 2, 0) : r1 + 2, max(c0 - 2, 0) : c1 + 2]
        cell = instances[box] == k + 1
        other = ((instances[box] > 0) & ~cell).astype(np.uint8)
        border = cell & (cv2.dilate(other, np.ones((3, 3), np.uint8)) > 0) & (depth[box] > DEEP_PX)
        low, high = RIM_PX
        rim = cell & (depth[box] > low) & (depth[box] < high) & (cv2.dilate(other, reach) == 0)
        if min(np.count_nonzero(border), np.count_nonzero(rim)) < FEWEST_PX:
            continue
        free = float(np.median(absorbance[box][rim]))
        if free > 0:
            yield float(np.median(absorbance[box][border])) / free
