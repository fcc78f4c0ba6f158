"""Slides apart: how many cells each has, of which size, and where they lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ..statistics import CellMeasures, Table1
from .config import MaskConfig
from .constants import LayoutConstants


def slide_configs(
    groups: Sequence[str],
    measures: Sequence[CellMeasures],
    shapes: Sequence[tuple[int, int]],
    config: MaskConfig,
    cell_size_px: float | None = None,
    constants: Mapping[str, LayoutConstants] | None = None,
) -> tuple[tuple[MaskConfig, ...], np.ndarray]:
    """Configure masks slide by slide.

    Parameters
    ----------
    groups : sequence of str
        Slide of each smear; smears without one (``""``) count as one slide.
    measures : sequence of CellMeasures
    shapes : sequence of (height, width)
        Of the smears, in pixels.
    config : MaskConfig
        What is the same for all.
    cell_size_px : float, optional
        The same for all; each slide's own if not given.
    constants : mapping of str to LayoutConstants, optional
        Of each slide; those of `config` for all if not given.

    Returns
    -------
    tuple of MaskConfig
        One per slide, in the order of their names.
    int64 (m,)
        Number of each smear's slide.

    Notes
    -----
    Ours; the paper has one law for all. A slide's mean is its own, and all share the spread of counts
    around it, since a slide may have one smear only.
    """
    names, slide_of = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    counts = np.array([len(cells.complete) for cells in measures], dtype=float)
    means = np.bincount(slide_of, counts) / np.bincount(slide_of)
    freedom = len(counts) - len(names)
    spread = float(np.sqrt(np.square(counts - means[slide_of]).sum() / freedom)) if freedom else 0.0
    found = []
    for number, name in enumerate(names):
        own = np.flatnonzero(slide_of == number)
        if not any(len(measures[k].complete) and measures[k].complete.any() for k in own):
            raise ValueError(
                f"slide {str(name)!r}: holds no whole cell, so no mask can be drawn after it; leave its smears out, or "
                "draw from all slides together (by_slide=False)"
            )
        table = Table1.of([measures[k] for k in own])
        size_px = (table.width_mean + table.height_mean) / 2 if cell_size_px is None else cell_size_px
        height, width = np.mean([shapes[k] for k in own], axis=0).round().astype(int).tolist()
        placement = replace(config.placement, cell_size_px=size_px)
        slide = replace(
            config, count_mean=float(means[number]), count_std=spread, shape=(height, width), placement=placement
        )
        found.append(slide if constants is None else constants[str(name)].apply(slide))
    return tuple(found), slide_of.astype(np.int64)
