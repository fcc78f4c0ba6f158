"""Numbers for the prose pages: quoted from the papers, from the splits, from stored results."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from bloodlib._files import read_json

TASKS = {
    "fcn8s": "segmentation (Dice)",
    "faster_rcnn": "detection (AP50)",
    "contour_fcn": "detection from segmentation (AP50)",
}
CONTRASTS = {
    ("RD+SD+aug", "RD+aug"): "adding synthetic smears to augmentation",
    ("SD", "RD"): "replacing real smears by synthetic ones",
}


def substitutions(root: Path) -> dict[str, Any]:
    """Collect what pages under book/ may use as ``{{ name }}``."""
    results = stored_runs(root / "data" / "results")
    return {
        "quoted": yaml.safe_load((root / "data" / "quoted.yml").read_text()),
        "finding": finding(results),
        "stored_runs": str(len(results)),
        "chula_split": split_table(root / "data" / "splits" / "chula_rbc12.json"),
    }


def stored_runs(folder: Path) -> list[dict[str, Any]]:
    """Read every per-run JSON below a folder (those that name a task and an arm)."""
    every = [read_json(path) for path in sorted(folder.rglob("*.json"))]
    return [run for run in every if isinstance(run, dict) and {"task", "arm", "seed"} <= run.keys()]


def score(run: dict[str, Any]) -> float | None:
    """Take the test score that a run is judged by: the one of the weights chosen on validation."""
    test = run.get("test", run)
    value = test.get("score") if isinstance(test, dict) else None
    return float(value) if isinstance(value, int | float) else None


def finding(runs: list[dict[str, Any]]) -> str:
    """State the two primary contrasts in one sentence per data set, or that nothing is stored."""
    if not runs:
        return "No stored result yet: this build shows only what was computed live, at the size of its profile."
    table: dict[tuple[str, str, str], dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for run in runs:
        value = score(run)
        if value is not None:
            table[run.get("dataset", "?"), run.get("profile", "?"), run["task"]][run["arm"]][run["seed"]] = value
    lines = []
    for (dataset, profile, task), arms in sorted(table.items()):
        for (one, other), words in CONTRASTS.items():
            seeds = sorted(set(arms[one]) & set(arms[other]))
            if not seeds:
                continue
            gains = np.array([arms[one][seed] - arms[other][seed] for seed in seeds])
            lines.append(
                f"On {dataset} ({profile}), {words} changed {TASKS.get(task, task)} by {gains.mean():+.3f} "
                f"(mean of {len(seeds)} paired seed{'s' * (len(seeds) > 1)}, "
                f"from {gains.min():+.3f} to {gains.max():+.3f})."
            )
    return " ".join(lines) or f"{len(runs)} runs are stored, but no pair of arms that a contrast needs."


def split_table(path: Path) -> str:
    """Write the split of a data set as a Markdown table, one line per appearance group."""
    if not path.exists():
        return "The split of this set is not stored in this checkout."
    parts = read_json(path)
    groups: dict[str, dict[str, int]] = {}
    for part in ("fit", "validation", "test"):
        for group, names in _groups(parts, part).items():
            groups.setdefault(group, dict.fromkeys(("fit", "validation", "test"), 0))[part] += len(names)
    lines = ["| appearance group | fit | validation | test |", "|---|---:|---:|---:|"]
    lines += [
        f"| {group} | " + " | ".join(str(n or "·") for n in sizes.values()) + " |" for group, sizes in groups.items()
    ]
    totals = [sum(sizes[part] for sizes in groups.values()) for part in ("fit", "validation", "test")]
    return "\n".join([*lines, "| **all** | " + " | ".join(f"**{n}**" for n in totals) + " |"])


def _groups(parts: dict[str, Any], part: str) -> dict[str, list[str]]:
    held = parts.get(part, {})
    return held if isinstance(held, dict) else {"all": held}
