"""How cells lie in masks of real smears, and in those drawn for SD and for SD-overlap: together, and at the border.

``python -m benchmarks.contact`` rewrites data/results/contact.json; it takes about a minute on one core.
"""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean

import numpy as np

from bloodlib._files import package_data, write_json
from bloodlib.datasets import load
from bloodlib.evaluators.crowding import GAP_PX, crowding
from bloodlib.evaluators.synthetic import LAYOUTS
from bloodlib.sampler.masks import MaskGenerator
from bloodlib.sampler.shapes import contact_share
from bloodlib.statistics import measure_cells

INNER_PX = 40  # ours: about a cell's width; what lies nearer to the border is not within
COMMAND = "python -m benchmarks.contact"
DRAWN = {"drawn for SD": {}, "drawn for SD-overlap": LAYOUTS["overlap"]}


def measured(masks: Iterable[np.ndarray]) -> dict[str, float]:
    """Measure contact in instance masks, and what the border does: shares of cells, of their outlines, of pixels."""
    near, against, shared, cells = [], [], [], 0
    at_border, covered = [], []
    for mask in masks:
        shares = contact_share(mask)
        near += (crowding(mask) > 0).tolist()
        against += (shares > 0).tolist()
        shared += shares.tolist()
        at_border += (~measure_cells(mask).complete).tolist()
        covered.append(float((mask[INNER_PX:-INNER_PX, INNER_PX:-INNER_PX] > 0).mean()))
        cells += len(shares)
    return {
        "cells": cells,
        "with another within the gap": round(fmean(near), 4),
        "against another": round(fmean(against), 4),
        "share of outline against another": round(fmean(shared), 4),
        "cut by the border": round(fmean(at_border), 4),
        "covered within": round(fmean(covered), 4),
    }


def main() -> None:
    """Measure both sets and store what was found."""
    found = {}
    for name in ("chula_rbc12", "phantom"):
        fit = load(name, split="fit")
        found[name] = {"of the set": measured(smear.instances for smear in fit)}
        for kind, settings in DRAWN.items():
            drawn = MaskGenerator.fit(fit, **settings)
            found[name][kind] = measured(drawn.draw(np.random.default_rng([0, k])).instances for k in range(len(fit)))
    write_json(
        package_data("results", "contact.json"),
        {"command": COMMAND, "gap_px": GAP_PX, "inner_px": INNER_PX, "sets": found},
    )


if __name__ == "__main__":
    main()
