"""What choosing weights on the test set, as the paper does, adds to a score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .config import TASKS
from .stored_scores import one_set


class Optimism(NamedTuple):
    """Hold the gain of choosing on test instead of on validation, in the main score on test."""

    mean: float
    low: float  # smallest of the runs
    high: float  # greatest of the runs
    gaining: int  # runs that gain at all
    runs: int


def optimism(runs: Sequence[dict[str, Any]]) -> dict[str, Optimism]:
    """Summarise by task how much the runs of one data set and profile gain by looking at the test set.

    Notes
    -----
    The gain cannot be negative: both choices are among the same checkpoints. Book: chapter 11.
    """
    found = {}
    for task in TASKS:
        gains = [r["selected"]["optimism"] for r in one_set(runs) if r["task"] == task]
        if gains := [gain for gain in gains if gain is not None]:
            gaining = sum(gain > 0 for gain in gains)
            found[task] = Optimism(float(np.mean(gains)), min(gains), max(gains), gaining, len(gains))
    return found
