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
    quoted = yaml.safe_load((root / "data" / "quoted.yml").read_text())
    return {
        "quoted": quoted,
        "phantom_table1": phantom_table(root / "data" / "results" / "phantom_table1.json", quoted),
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
    split = read_json(path)
    parts, sizes, families = split["parts"], split["sizes"], split["stain_families"]
    part_of = {group: part for part, groups in parts.items() for group in groups}
    lines = ["| stain | appearance group (file numbers) | fit | validation | test |", "|---|---|---:|---:|---:|"]
    for family, groups in families.items():
        for group in groups:
            cells = [str(sizes[group]) if part_of[group] == part else "·" for part in parts]
            lines.append(f"| {family} | {group.replace('-', '–')} | " + " | ".join(cells) + " |")
    totals = [sum(sizes[group] for group in groups) for groups in parts.values()]
    return "\n".join([*lines, "| **all** | | " + " | ".join(f"**{n}**" for n in totals) + " |"])


def phantom_table(path: Path, quoted: dict[str, Any]) -> str:
    """Set the phantom's measured statistics at full size beside the paper's."""
    if not path.exists():
        return "No measurement of the phantom is stored in this checkout."
    ours, paper = read_json(path)["full"]["table1"], quoted["bailo2019"]["table1"]
    rows = [
        ("cells per image", "rbcs_per_image", ours["count_mean"], ours["count_std"]),
        ("width of a cell (px)", "width_px", ours["width_mean"], ours["width_std"]),
        ("height of a cell (px)", "height_px", ours["height_mean"], ours["height_std"]),
    ]
    colours = zip(("red", "green", "blue"), ours["colour_mean"], ours["colour_std"], strict=True)
    rows += [(name, name, mean, std) for name, mean, std in colours]
    lines = ["| | phantom | the paper's smears |", "|---|---:|---:|"]
    for name, key, mean, std in rows:
        lines.append(f"| {name} | {mean:.0f} ± {std:.0f} | {paper[f'{key}_mean']} ± {paper[f'{key}_std']} |")
    return "\n".join(lines)
