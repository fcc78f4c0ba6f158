"""Records of runs on disk: read without what makes runs, since a grid, tables and pages only look at them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .._files import read_json, write_json
from .arms import ARMS, CONTROLS
from .config import PROFILES, TASKS, preset


def save_run(path: str | Path, record: dict[str, Any]) -> None:
    """Write a record whole or not at all."""
    write_json(path, record)


def load_runs(folder: str | Path) -> list[dict[str, Any]]:
    """Read every stored run below a folder, in the order of task, arm and seed.

    Raises
    ------
    ValueError
        If a file is not a record of a run, or of the same one as another, with its name.

    Notes
    -----
    A folder that does not exist holds no runs.
    """
    runs = []
    known: dict[tuple, Path] = {}
    for path in sorted(Path(folder).rglob("[!.]*.json")):  # what begins with a dot is being written
        record = read_json(path)
        missing = [key for key in ("task", "arm", "seed", "dataset", "selected") if key not in record]
        if missing or record["task"] not in TASKS or record["arm"] not in ARMS + CONTROLS:
            raise ValueError(f"{path}: not the record of a run ({', '.join(missing) or 'unknown task or arm'})")
        which = tuple(record.get(name) for name in ("dataset", "profile", "task", "arm", "seed", "config_hash"))
        if known.setdefault(which, path) != path:
            raise ValueError(f"{path}: is of the same run as {known[which]}, which would count twice; remove one")
        runs.append(record)
    return sorted(
        runs,
        key=lambda r: (
            r["dataset"],
            r["profile"],
            TASKS.index(r["task"]),
            (ARMS + CONTROLS).index(r["arm"]),
            r["seed"],
        ),
    )


def stale(record: dict[str, Any]) -> bool:
    """Say whether a stored run was made with another configuration than its preset has today."""
    return record["profile"] not in PROFILES or record["config_hash"] != preset(record["profile"], record["task"]).hash
