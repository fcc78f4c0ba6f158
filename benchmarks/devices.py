"""The same runs of Table 2 on two machines: is it the machine that makes a difference?

``python -m benchmarks.devices FOLDER_OF_ONE FOLDER_OF_OTHER`` compares runs of equal task, arm, seed, settings and
painter, and rewrites data/results/devices.json. Rerun what ``bloodlib.evaluators.run`` stored with another
``--accelerator`` (and another ``--out``) to get the second folder.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from bloodlib._files import package_data, read_json, write_json

COMMAND = "python -m benchmarks.devices"
ALIKE = ("task", "arm", "seed", "config_hash", "painter", "backbone")


def score(run: dict[str, Any]) -> float:
    """Give the main score on test of the weights chosen on validation."""
    return run["selected"]["on_validation"]["test"][run["selected"]["main"]]


def compare(one: Path, other: Path) -> dict[str, Any]:
    """Pair the runs of two folders by their file names.

    Raises
    ------
    ValueError
        If two runs of one name are of different settings, or no name is in both.
    """
    rows = []
    for path in sorted(one.glob("*.json")):
        if not (other / path.name).is_file():
            continue
        runs = read_json(path), read_json(other / path.name)
        differ = [name for name in ALIKE if runs[0][name] != runs[1][name]]
        if differ:
            raise ValueError(f"{path.name}: the two runs differ in {differ[0]}, not in their machine alone")
        scores = [round(score(run), 5) for run in runs]
        rows.append({name: runs[0][name] for name in ("task", "arm", "seed")} | {"scores": scores})
        devices = [run["device"] for run in runs]
    if not rows:
        raise ValueError(f"no run of {one} is in {other}")
    tasks = {}
    for task in dict.fromkeys(row["task"] for row in rows):
        away = np.array([np.subtract(*row["scores"]) for row in rows if row["task"] == task])
        spread = float(away.std(ddof=1)) if len(away) > 1 else None
        tasks[task] = {"pairs": len(away), "mean": float(away.mean()), "std": spread}
    return {"devices": devices, "tasks": tasks, "rows": rows}


def main() -> None:
    """Compare and store."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0])
    parser.add_argument("one", type=Path)
    parser.add_argument("other", type=Path)
    given = parser.parse_args()
    content = compare(given.one, given.other)
    what = "the same runs on two machines: test scores of the weights chosen on validation, first minus second"
    write_json(package_data("results", "devices.json"), {"what": what, "command": COMMAND, **content})
    for task, found in content["tasks"].items():
        print(task, found)


if __name__ == "__main__":
    main()
