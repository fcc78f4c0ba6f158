"""Records of runs as `bloodlib.evaluators.protocol.run` writes them, made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from bloodlib.evaluators.config import preset

MAIN = {"fcn8s": "dice", "faster_rcnn": "AP50", "contour_fcn": "AP50"}


def record(
    task: str, arm: str, seed: int, values: list[float | None], groups: str = "aabb", found: int = 9, **more: Any
) -> dict[str, Any]:
    """Make a run whose test images have the given main scores, 10 cells each and `found` predictions."""
    main = MAIN[task]
    rows = [
        {"name": str(k), "group": group, "cells": 10, "found": found, main: value}
        for k, (group, value) in enumerate(zip(groups, values, strict=True))
    ]
    mean = float(np.mean([v for v in values if v is not None]))
    chosen = {"step": 1, "test": {main: mean, "count_mae": float(abs(10 - found))}}
    return {
        "task": task, "arm": arm, "seed": seed, "dataset": "toy", "profile": "laptop",
        "config": preset("laptop", task).to_dict(), "config_hash": preset("laptop", task).hash,
        "painter": None, "painter_seed": None,
        "split": {part: {"images": 4, "sha256": f"{part}0"} for part in ("fit", "validation", "test")},
        "selected": {"on_validation": chosen, "on_test": chosen, "main": main, "optimism": 0.0},
        "per_image": {"on_validation": rows, "on_test": rows},
        "seconds": {"total": 60.0}, "device": "cpu", "commit": "0123456789", **more,
    }  # fmt: skip
