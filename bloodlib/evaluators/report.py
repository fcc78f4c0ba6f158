"""Stored and live runs as Markdown tables; every number says how many runs are behind it, and links to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .arms import ARMS
from .config import TASKS
from .contrasts import Cell, cell, controls, primary
from .markdown import anchor, head, row
from .records import stale
from .report_contrasts import contrast_table, controls_table, forest, group_table, painter_table
from .report_runs import commands, cost_table, crowding_table, optimism_table, run_page
from .stored_scores import ALSO, IN_RECORD, LOWER_IS_BETTER, NAMES, one_set, other_masks
from .tasks import BASELINE, MAIN_SCORE, TITLES
from .verdicts import answer, verdict

# Notebooks find every table behind this one door.
__all__ = [
    "TASKS", "TITLES", "answer", "by_set", "chosen_otherwise", "commands", "contrast_table", "controls",
    "controls_table", "cost_table", "crowding_table", "details", "forest", "group_table", "human_table",
    "live_beside_stored", "optimism_table", "other_masks", "painter_table", "primary", "run_page", "table", "verdict",
]  # fmt: skip

STALE = "†"
HUMAN = ("point_f1", "point_count_error")  # what experts' points and their number say, whoever derived the masks


def by_set(runs: Sequence[dict[str, Any]]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Sort runs by (data set, profile), which are never mixed; real data sets come first."""
    kinds = sorted({(r["dataset"], r["profile"]) for r in runs}, key=lambda kind: (kind[0] == "phantom", kind))
    return {kind: [r for r in runs if (r["dataset"], r["profile"]) == kind] for kind in kinds}


def table(
    runs: Sequence[dict[str, Any]],
    paper: Mapping[str, Mapping[str, float]],
    rng: np.random.Generator | None = None,
    baseline: Mapping[str, Any] | None = None,
) -> str:
    """Write Table 2 of one data set and profile, the paper's numbers under ours.

    Parameters
    ----------
    runs : sequence of dict
        Of one data set and profile.
    paper : mapping
        Score by task and arm.
    rng : numpy.random.Generator, optional
        For the intervals; see `contrasts.cell`.
    baseline : mapping, optional
        ``scores`` of the masks that are derived without the experts' points, on the same test
        smears: no network, so one column for all arms.

    Returns
    -------
    str
        Mean over seeds, which links to the runs, interval over groups and images, number of seeds
        per cell; – where nothing is stored, † where a run is stale. `run_page` on the same page is
        what the links lead to.
    """
    baseline = baseline_scores(runs, baseline)
    lines = head("network", *ARMS, *([BASELINE] if baseline else []))
    for task in TASKS:
        main = MAIN_SCORE[task]
        ours = [_entry(cell(runs, task, arm, rng=rng)) for arm in ARMS]
        beside = [number(baseline.get(main))] if baseline else []
        lines.append(row(f"{TITLES[task]}, {NAMES[main]}: ours", *ours, *beside))
        score = "Dice" if task == "fcn8s" else "AP (IoU not stated)"
        quoted = [f"{paper[task][arm]:.3f}" for arm in ARMS]
        lines.append(row(f"{TITLES[task]}, {score}: the paper", *quoted, *(["–"] if baseline else [])))
    return _explained(lines)


def human_table(
    runs: Sequence[dict[str, Any]],
    rng: np.random.Generator | None = None,
    baseline: Mapping[str, Any] | None = None,
) -> str:
    """Write what no mask derivation can flatter: agreement with experts' points, and counts.

    Parameters
    ----------
    runs, rng, baseline
        As for `table`. The row of the baseline is the same for every task.

    Notes
    -----
    Count error is the mean of |found − points| per image in cells, the lower the better; predictions at the border
    that no point is in are not counted, since experts leave cut cells out.
    """
    baseline = baseline_scores(runs, baseline)
    columns = [(task, score) for task in TASKS for score in HUMAN]
    lines = head("arm", *(f"{TITLES[task]}: {NAMES[score]}" for task, score in columns))
    for arm in ARMS:
        cells = [_entry(cell(runs, t, arm, score=s, rng=rng), 1 if s in LOWER_IS_BETTER else 3) for t, s in columns]
        lines.append(row(arm, *cells))
    if baseline:
        point_f1, count = number(baseline.get("point_f1")), number(baseline.get("point_count_mae"), 1)
        lines.append(row(f"{BASELINE} (no network)", *[point_f1, count] * len(TASKS)))
    return _explained(lines)


def baseline_scores(runs: Sequence[dict[str, Any]], baseline: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Give the baseline's scores, none where there is none; that of another data set is refused."""
    if baseline is None:
        return {}
    other = {r["dataset"] for r in runs} - {baseline.get("dataset")}
    if "dataset" in baseline and other:
        raise ValueError(f"baseline is of {baseline['dataset']} but the runs are of {', '.join(sorted(other))}")
    return baseline["scores"]


def number(value: float | None, digits: int = 3) -> str:
    """Write a score, or a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}"


def _entry(found: Cell | None, digits: int = 3) -> str:
    """Write one cell, linked to its runs."""
    if found is None:
        return "–"
    old = f" {STALE}" if any(stale(r) for r in found.runs) else ""
    low, high = number(found.low, digits), number(found.high, digits)
    return f"[**{number(found.mean, digits)}**](#{anchor(found.runs[0])}){old} ({low}–{high}; n = {found.seeds})"


def _explained(lines: list[str]) -> str:
    """Join the lines of a table and say below what the mark of stale runs means, where there is one."""
    stale_ones = any(STALE in line for line in lines)
    why = ["", f"*{STALE} some of these runs are stale: their preset has changed since.*"] if stale_ones else []
    return "\n".join(lines + why)


def details(runs: Sequence[dict[str, Any]], task: str, baseline: Mapping[str, Any] | None = None) -> str:
    """Write every other score of a task: means over the stored seeds of one set and profile; and the baseline's."""
    given = baseline_scores(runs, baseline)
    mine = [r for r in one_set(runs) if r["task"] == task]
    if not mine:
        return "*No run of this task is stored.*"
    scored = [r["selected"]["on_validation"]["test"] for r in mine]
    keys = list(dict.fromkeys(key for scores in scored for key in scores))  # a score may be younger than some runs
    names = {**NAMES, **ALSO, **{kept: NAMES[score] for score, kept in IN_RECORD.items()}}
    lines = head("arm", *(names[key] for key in keys), "optimism of choosing on test", "minutes", "runs")
    present = {r["arm"] for r in mine}
    digits = {key: 1 if key in ("count_mae", "point_count_mae") else 3 for key in keys}
    for arm in [*(a for a in ARMS if a in present), *sorted(present - set(ARMS))]:
        those = [r for r in mine if r["arm"] == arm]
        kept = [[s[k] for r in those if k in (s := r["selected"]["on_validation"]["test"])] for k in keys]
        scores = [float(np.mean(values)) if values else None for values in kept]
        optimism = np.mean([r["selected"]["optimism"] for r in those])
        minutes = np.mean([r["seconds"]["total"] for r in those]) / 60
        numbers = [number(s, digits[k]) for k, s in zip(keys, scores, strict=True)]
        lines.append(row(arm, *numbers, f"{optimism:+.4f}", f"{minutes:.1f}", str(len(those))))
    if given:
        lines.append(row(BASELINE, *(number(given.get(k), digits[k]) for k in keys), "–", "–", "–"))
    return "\n".join(lines)


def live_beside_stored(live: Sequence[dict[str, Any]], stored: Sequence[dict[str, Any]]) -> str:
    """Write the live runs of a page above the stored ones of the same task, each labelled.

    Notes
    -----
    Live runs are single ones; stored ones of other data sets or profiles have lines of their own.
    """
    task = live[0]["task"]
    main = NAMES[MAIN_SCORE[task]]
    lines = head("which", "data set", "profile", f"{main} of arm", "on test", "runs")
    for r in live:
        score = r["selected"]["on_validation"]["test"][MAIN_SCORE[task]]
        lines.append(row("**live**, in this build", r["dataset"], r["profile"], r["arm"], f"{score:.3f}", "1"))
    for (data, profile), runs in by_set([r for r in stored if r["task"] == task]).items():
        for arm in ARMS:
            if found := cell(runs, task, arm):
                lines.append(row("stored", data, profile, arm, f"{found.mean:.3f}", str(found.seeds)))
    if len(lines) == 2 + len(live):
        lines.append(row("stored", "none yet", "", "", "–", "0"))
    return "\n".join(lines)


def chosen_otherwise(record: dict[str, Any]) -> bool:
    """Say whether the reported checkpoint of a run is not the earliest best one on validation."""
    main = MAIN_SCORE[record["task"]]
    best = max(record["history"], key=lambda entry: entry["validation"][main])
    return record["selected"]["on_validation"]["step"] != best["step"]
