"""The runs themselves: a page that lists every one, what they cost, what looking at the test set gains."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .arms import ARMS
from .config import TASKS
from .markdown import anchor, head, row
from .optimism import optimism
from .records import stale
from .run import command
from .stored_scores import NAMES, one_set, painter_of
from .tasks import BASELINE, MAIN_SCORE, TITLES


def _by_cell(runs: Sequence[dict[str, Any]]) -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    """Give task, arm and runs of every cell that has any, arms of the paper first."""
    for task in TASKS:
        present = {r["arm"] for r in runs if r["task"] == task}
        for arm in [*(a for a in ARMS if a in present), *sorted(present - set(ARMS))]:
            those = [r for r in runs if (r["task"], r["arm"]) == (task, arm)]
            yield task, arm, sorted(those, key=lambda r: r["seed"])


def commands(runs: Sequence[dict[str, Any]]) -> str:
    """List the command that recomputes each stored run, and mark the stale ones."""
    marked = [command(r) + ("    # stale: the preset has changed since" if stale(r) else "") for r in runs]
    return "\n".join(["```bash", *marked, "```"])


def run_page(runs: Sequence[dict[str, Any]]) -> str:
    """List every stored run under a target that the cells of the tables link to.

    Parameters
    ----------
    runs : sequence of dict
        Of one data set and profile.

    Returns
    -------
    str
        Markdown, per task and arm a MyST target (`markdown.anchor`), a table, and the commands that recompute
        its rows. To be shown once, on the page that shows the tables.
    """
    lines: list[str] = []
    for task, arm, those in _by_cell(one_set(runs)):
        main = MAIN_SCORE[task]
        lines += [f"({anchor(those[0])})=", f"**{TITLES[task]}, {arm}**", ""]
        lines += head("seed", "painter", NAMES[main], "seconds", "device", "configuration", "commit")
        for r in those:
            score, old = _score(r), " (stale)" if stale(r) else ""
            about = (f"{r['seconds']['total']:.0f}", r["device"], f"`{r['config_hash']}`{old}")
            commit = f"`{r['commit'][:7]}`" if r["commit"] else "–"
            lines.append(row(str(r["seed"]), painter_of(r), f"{score:.3f}", *about, commit))
        lines += ["", commands(those), ""]
    return "\n".join(lines) or "*No run is stored.*"


def optimism_table(runs: Sequence[dict[str, Any]]) -> str:
    """Write by task what choosing weights on the test set would have added."""
    lines = head("task", "score", "mean gain", "smallest to greatest", "runs that gain")
    for task, o in optimism(runs).items():
        gained = f"{o.gaining} of {o.runs}"
        lines.append(
            row(TITLES[task], NAMES[MAIN_SCORE[task]], f"{o.mean:+.4f}", f"{o.low:+.4f} to {o.high:+.4f}", gained)
        )
    return "\n".join(lines) if len(lines) > 2 else "*No run is stored.*"


def cost_table(runs: Sequence[dict[str, Any]]) -> str:
    """Write what each evaluator needs: means over the runs that measured it, by device.

    Notes
    -----
    Reads ``cost`` of a record: ``parameters``, ``seconds_per_image``, ``peak_mib`` (on a CPU that of the
    whole process). Devices have lines of their own, since times of unlike machines have no mean.
    """
    lines = head("task", "device", "parameters (millions)", "seconds per image", "peak memory (MiB)", "runs")
    measured = [r for r in one_set(runs) if r.get("cost")]
    for task in TASKS:
        for device in sorted({r["device"] for r in measured if r["task"] == task}):
            costs = [r["cost"] for r in measured if (r["task"], r["device"]) == (task, device)]
            means = [_mean(costs, key) for key in ("parameters", "seconds_per_image", "peak_mib")]
            numbers = [
                "–" if m is None else f"{m / scale:.{digits}f}"
                for m, scale, digits in zip(means, (1e6, 1, 1), (2, 3, 0), strict=True)
            ]
            lines.append(row(TITLES[task], device, *numbers, str(len(costs))))
    return "\n".join(lines) if len(lines) > 2 else "*No stored run has measured its cost.*"


def networks_table(runs: Sequence[dict[str, Any]], others: Sequence[dict[str, Any]]) -> str:
    """Write by task and arm what networks of two sizes reach: means over the seeds that both were run with.

    Parameters
    ----------
    runs, others : sequence of dict
        Of one data set each, and of one profile each; only runs of equally many optimiser steps are compared.

    Raises
    ------
    ValueError
        If their test smears or masks differ.
    """
    lines = head("task", "arm", "score", "steps", *(_sized(kind) for kind in (runs, others)), "seeds")
    for task, arm, those in _by_cell(one_set(others)):
        mine = [r for r in one_set(runs) if (r["task"], r["arm"]) == (task, arm)]
        for steps in sorted({r["config"]["steps"] for r in those}):
            both = [{r["seed"]: r for r in kind if r["config"]["steps"] == steps} for kind in (mine, those)]
            common = sorted(both[0].keys() & both[1].keys())
            if not common:
                continue
            if len({r["split"]["test"]["sha256"] for kind in both for r in kind.values()}) > 1:
                raise ValueError(f"{task}, {arm}: the two profiles were tested on unlike smears or masks")
            scores = (np.mean([_score(kind[seed]) for seed in common]) for kind in both)
            numbers = (f"{score:.3f}" for score in scores)
            lines.append(row(TITLES[task], arm, NAMES[MAIN_SCORE[task]], str(steps), *numbers, str(len(common))))
    return "\n".join(lines) if len(lines) > 2 else "*No run of both sizes is stored.*"


def recomputed_table(runs: Sequence[dict[str, Any]], again: Sequence[dict[str, Any]]) -> str:
    """Write what runs gave when the same command was called once more, and the count errors that only those keep.

    Parameters
    ----------
    runs, again : sequence of dict
        Of one data set and profile each. Runs are matched by task, arm and seed.
    """
    stored = {(r["task"], r["arm"], r["seed"]): r for r in runs}
    score, count = "main score on test: stored", NAMES["point_count_error"]
    lines = head("task", "arm", "seed", score, "recomputed", "difference", f"{count}, recomputed")
    for task, arm, those in _by_cell(one_set(again)):
        for r in those:
            before = stored.get((task, arm, r["seed"]))
            if before is None or before["config_hash"] != r["config_hash"]:
                continue
            first, second = _score(before), _score(r)
            error = r["selected"]["on_validation"]["test"].get("point_count_mae")
            numbers = (
                f"{first:.3f}",
                f"{second:.3f}",
                f"{second - first:+.3f}",
                "–" if error is None else f"{error:.1f}",
            )
            lines.append(row(f"{TITLES[task]}, {NAMES[MAIN_SCORE[task]]}", arm, str(r["seed"]), *numbers))
    return "\n".join(lines) if len(lines) > 2 else "*No run was computed again.*"


def _sized(runs: Sequence[dict[str, Any]]) -> str:
    return f"{runs[0]['profile']} networks" if runs else "–"


def _score(run: dict[str, Any]) -> float:
    """Give the main score on test of the weights chosen on validation."""
    return run["selected"]["on_validation"]["test"][MAIN_SCORE[run["task"]]]


def crowding_table(runs: Sequence[dict[str, Any]], baseline: Mapping[str, Any] | None = None) -> str:
    """Write AP50 of isolated, touching and clustered cells by task and arm: means over seeds; and the baseline's.

    Notes
    -----
    Reads ``crowding`` of a record: ``AP50`` and number of ``cells`` for each kind. Numbers of cells
    are those of the test set, the same for every run.
    """
    measured = [r for r in one_set(runs) if r.get("crowding")]
    if not measured:
        return "*No stored run has measured crowding.*"
    kinds = list(measured[0]["crowding"])
    lines = head("task", "arm", *kinds, "runs")
    for task, arm, those in _by_cell(measured):
        entries = []
        for kind in kinds:
            found = [r["crowding"][kind] for r in those]
            mean = _mean(found, "AP50")
            entries.append("–" if mean is None else f"{mean:.3f} ({found[0]['cells']} cells)")
        lines.append(row(TITLES[task], arm, *entries, str(len(those))))
    if baseline:
        alone = (_mean([baseline["crowding"][kind]], "AP50") for kind in kinds)
        entries = ("–" if mean is None else f"{mean:.3f}" for mean in alone)  # a set may hold no cell of a kind
        lines.append(row("no network", BASELINE, *entries, "–"))
    return "\n".join(lines)


def _mean(entries: Sequence[dict[str, Any]], key: str) -> float | None:
    values = [entry[key] for entry in entries if entry.get(key) is not None]
    return float(np.mean(values)) if values else None
