"""What gives a composed smear away, in numbers: repeating blocks, hard borders, emptiness, sizes never trained on."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from .cell_layouts import Drawn, Outline


def repetition(ground: np.ndarray, period_px: tuple[int, int], most: int = 2) -> float:
    """Give the highest autocorrelation of a background at multiples of a period.

    Parameters
    ----------
    ground : uint8 (H, W, 3)
    period_px : (rows, columns)
        Of the tiles.
    most : int
        Multiples looked at in either direction, and in both together.

    Returns
    -------
    float
        1 for tiles that are copies, about 0 for grain without a period; NaN where the ground has no contrast.

    Notes
    -----
    Of grey levels; what varies more slowly than two tiles is taken off, so that uneven light counts for nothing.
    Correlation over the pixels that overlap, hence no wrapping around.
    """
    grey = ground.astype(np.float32).mean(axis=-1)
    grey = grey - cv2.GaussianBlur(grey, (0, 0), 2.0 * max(period_px))
    found = []
    for down in range(most + 1):
        for right in range(most + 1):
            rows, columns = down * period_px[0], right * period_px[1]
            if (down or right) and rows < grey.shape[0] / 2 and columns < grey.shape[1] / 2:
                one = grey[rows:, columns:].ravel()
                other = grey[: grey.shape[0] - rows, : grey.shape[1] - columns].ravel()
                if one.std() > 0 and other.std() > 0:
                    found.append(float(np.corrcoef(one, other)[0, 1]))
    return max(found, default=float("nan"))


def border_step(image: np.ndarray, instances: np.ndarray) -> float:
    """Give the mean change of grey levels from the outermost pixel of a cell to the background pixel beside it.

    Returns
    -------
    float
        In grey levels; NaN where no cell lies beside background.
    """
    grey, cell = image.astype(np.float32).mean(axis=-1), instances > 0
    steps = []
    for axis in (0, 1):
        differ = np.diff(cell.astype(np.int8), axis=axis) != 0
        steps.append(np.abs(np.diff(grey, axis=axis))[differ])
    joined = np.concatenate(steps)
    return float(joined.mean()) if len(joined) else float("nan")


def size_ranges(
    outlines: Sequence[Outline], low: float = 0.01, high: float = 0.99, scales: tuple[float, float] = (1.0, 1.0)
) -> dict[int, tuple[float, float]]:
    """Give the range of areas of each type that a painter was shown, in pixels of the outlines.

    Parameters
    ----------
    outlines : sequence of Outline
    low, high : float
        Quantiles between which the range lies.
    scales : (float, float)
        Between which factors the sides were jittered.
    """
    kinds = {outline.kind for outline in outlines}
    areas = {kind: [o.shape.sum() for o in outlines if o.kind == kind] for kind in kinds}
    least, most = (scale**2 for scale in scales)
    return {kind: (least * float(np.quantile(a, low)), most * float(np.quantile(a, high))) for kind, a in areas.items()}


def whole_areas(drawn: Drawn) -> np.ndarray:
    """Count the pixels of every cell, also those that others cover, int64 (n,)."""
    counted = [np.bincount(ids.ravel(), minlength=len(drawn.kinds) + 1) for ids in drawn.layers or (drawn.instances,)]
    return np.sum(counted, axis=0)[1:]


def covered_cells(drawn: Drawn) -> float:
    """Give the share of cells that another covers in part; NaN where there is no cell."""
    seen = np.bincount(drawn.instances.ravel(), minlength=len(drawn.kinds) + 1)[1:]
    return float((seen < whole_areas(drawn)).mean()) if len(drawn.kinds) else float("nan")


def strange_sizes(drawn: Drawn, ranges: dict[int, tuple[float, float]]) -> float:
    """Give the share of cells, those at the border left out, whose area lies out of the range of their type."""
    instances = drawn.instances
    edge = np.unique(np.concatenate([instances[0], instances[-1], instances[:, 0], instances[:, -1]]))
    areas = whole_areas(drawn)
    whole = ~np.isin(np.arange(1, len(drawn.kinds) + 1), edge)
    out = [
        not ranges[int(kind)][0] <= area <= ranges[int(kind)][1]
        for kind, area in zip(drawn.kinds[whole], areas[whole], strict=True)
    ]
    return float(np.mean(out)) if out else float("nan")
