"""Stored and live runs as Markdown tables; every number says how many runs are behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .arms import ARMS
from .config import TASKS
from .contrasts import PRIMARY, Contrast, cell, contrast
from .protocol import stale
from .run import command
from .tasks import MAIN_SCORE, TITLES

NAMES = {"dice": "Dice", "AP50": "AP50", "AP": "AP"}


def by_set(runs: Sequence[dict[str, Any]]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Sort runs by (data set, profile), which are never mixed; real data sets come first."""
    kinds = sorted({(r["dataset"], r["profile"]) for r in runs}, key=lambda kind: (kind[0] == "phantom", kind))
    return {kind: [r for r in runs if (r["dataset"], r["profile"]) == kind] for kind in kinds}


def _row(*entries: str) -> str:
    return "| " + " | ".join(entries) + " |"


def _head(*entries: str) -> list[str]:
    return [_row(*entries), "|---" * len(entries) + "|"]


def table(runs: Sequence[dict[str, Any]], paper: Mapping[str, Mapping[str, float]]) -> str:
    """Write Table 2 of one data set and profile, the paper's numbers under ours.

    Parameters
    ----------
    runs : sequence of dict
        Of one data set and profile.
    paper : mapping
        Score by task and arm.

    Returns
    -------
    str
        Mean over seeds, smallest – greatest and number of seeds per cell; – where nothing is stored.
    """
    lines = _head("", *ARMS)
    for task in TASKS:
        cells = [cell(runs, task, arm) for arm in ARMS]
        ours = [f"**{c.mean:.3f}** ({c.low:.3f}–{c.high:.3f}; n = {c.seeds})" if c else "–" for c in cells]
        lines.append(_row(f"{TITLES[task]}, {NAMES[MAIN_SCORE[task]]}: ours", *ours))
        score = "Dice" if task == "fcn8s" else "AP (IoU not stated)"
        lines.append(_row(f"{TITLES[task]}, {score}: the paper", *(f"{paper[task][arm]:.3f}" for arm in ARMS)))
    return "\n".join(lines)


def details(runs: Sequence[dict[str, Any]], task: str) -> str:
    """Write every other score of a task: means over the stored seeds of one data set and profile."""
    mine = [r for r in runs if r["task"] == task]
    if not mine:
        return "*No run of this task is stored.*"
    keys = list(mine[0]["selected"]["on_validation"]["test"])
    lines = _head("arm", *keys, "optimism of choosing on test", "minutes", "runs")
    for arm in ARMS:
        those = [r for r in mine if r["arm"] == arm]
        if those:
            scores = [np.mean([r["selected"]["on_validation"]["test"][k] for r in those]) for k in keys]
            optimism = np.mean([r["selected"]["optimism"] for r in those])
            minutes = np.mean([r["seconds"]["total"] for r in those]) / 60
            numbers = [f"{s:.1f}" if k == "count_mae" else f"{s:.3f}" for k, s in zip(keys, scores, strict=True)]
            lines.append(_row(arm, *numbers, f"{optimism:+.4f}", f"{minutes:.1f}", str(len(those))))
    return "\n".join(lines)


def primary(runs: Sequence[dict[str, Any]], rng: np.random.Generator) -> dict[tuple[str, str, str], Contrast]:
    """Estimate the two primary contrasts of every task that has runs for them."""
    found = {(t, a, b): contrast(runs, t, a, b, rng) for t in TASKS for a, b in PRIMARY}
    return {key: value for key, value in found.items() if value}


def contrast_table(contrasts: Mapping[tuple[str, str, str], Contrast]) -> str:
    """Write differences between arms with their intervals, or why there is none."""
    lines = _head("task", "difference", "mean", "95 % interval (slides, then images)", "seeds", "test groups", "images")
    for (task, arm, against), c in contrasts.items():
        interval = f"{c.low:+.3f} to {c.high:+.3f}" if c.seeds >= 2 else "too few seeds"
        numbers = (f"{c.mean:+.3f}", interval, str(c.seeds), str(c.groups), str(c.images))
        lines.append(_row(TITLES[task], f"{arm} − {against}", *numbers))
    return "\n".join(lines)


def live_beside_stored(live: Sequence[dict[str, Any]], stored: Sequence[dict[str, Any]]) -> str:
    """Write the live runs of a page above the stored ones of the same task, each labelled.

    Notes
    -----
    Live runs are single ones; stored ones of other data sets or profiles have lines of their own.
    """
    task = live[0]["task"]
    main = NAMES[MAIN_SCORE[task]]
    lines = _head("which", "data set", "profile", f"{main} of arm", "on test", "runs")
    for r in live:
        score = r["selected"]["on_validation"]["test"][MAIN_SCORE[task]]
        lines.append(_row("**live**, in this build", r["dataset"], r["profile"], r["arm"], f"{score:.3f}", "1"))
    for (data, profile), runs in by_set([r for r in stored if r["task"] == task]).items():
        for arm in ARMS:
            if found := cell(runs, task, arm):
                lines.append(_row("stored", data, profile, arm, f"{found.mean:.3f}", str(found.seeds)))
    if len(lines) == 2 + len(live):
        lines.append(_row("stored", "none yet", "", "", "–", "0"))
    return "\n".join(lines)


def commands(runs: Sequence[dict[str, Any]]) -> str:
    """List the command that recomputes each stored run, and mark the stale ones."""
    marked = [command(r) + ("    # stale: the preset has changed since" if stale(r) else "") for r in runs]
    return "\n".join(["```bash", *marked, "```"])


def verdict(c: Contrast, least_seeds: int = 3) -> str:
    """Say in words what a contrast shows, and what it cannot show.

    Examples
    --------
    >>> verdict(Contrast(0.02, -0.01, 0.05, 3, 7, 34))
    'no difference can be told from chance (+0.020, interval -0.010 to +0.050, 3 seeds)'
    """
    if c.seeds < 2:
        return f"{c.mean:+.3f} in the one seed run so far, which decides nothing"
    numbers = f"({c.mean:+.3f}, interval {c.low:+.3f} to {c.high:+.3f}, {c.seeds} seeds)"
    if c.low <= 0 <= c.high:
        return f"no difference can be told from chance {numbers}"
    few = f", on only {c.seeds} seeds" if c.seeds < least_seeds else ""
    return f"{'better' if c.mean > 0 else 'worse'} on these test slides{few} {numbers}"


def chosen_otherwise(record: dict[str, Any]) -> bool:
    """Say whether the reported checkpoint of a run is not the earliest best one on validation."""
    main = MAIN_SCORE[record["task"]]
    best = max(record["history"], key=lambda entry: entry["validation"][main])
    return record["selected"]["on_validation"]["step"] != best["step"]
