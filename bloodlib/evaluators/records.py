"""Records of runs on disk: read without what makes runs, since a grid, tables and pages only look at them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._files import read_json, write_json
from ..smears import Smear, SmearFolder
from .arms import ARMS, CONTROLS
from .config import PROFILES, TASKS, preset


def evenly(smears: Sequence[Smear], count: int) -> list[Smear]:
    """Read `count` smears evenly spread over a set; all of them where count is 0 or as many."""
    if not 0 < count < len(smears):
        return list(smears)
    chosen = np.linspace(0, len(smears) - 1, count).round().astype(int).tolist()
    return list(smears.select(chosen)) if isinstance(smears, SmearFolder) else [smears[k] for k in chosen]


def digest(smears: Sequence[Smear]) -> str:
    """Give twelve hexadecimal digits of images and masks, since derived masks change with their derivation."""
    sha = hashlib.sha256()
    for smear in smears:
        sha.update(np.ascontiguousarray(smear.image))
        sha.update(np.ascontiguousarray(smear.instances))
    return sha.hexdigest()[:12]


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


def of_other_smears(stored: Mapping[str, Mapping[str, Any]], data: str) -> list[str]:
    """Name the stored runs that were scored on other validation smears than a folder holds today.

    Parameters
    ----------
    stored : mapping of str to dict
        Records by their paths.
    data : str
        A folder, whose annotations may have been corrected and whose name another folder may have. The smears of a
        known set cannot change, so that nothing is read for it.
    """
    from ..datasets import load, registry

    if data in registry.SETS or not Path(data).is_dir():
        return []
    smears, known = load(data, split="validation"), {}
    other = []
    for path, record in stored.items():
        count = record["config"]["scored_images"]
        if count not in known:
            known[count] = digest(evenly(smears, count))
        if record["split"]["validation"]["sha256"] != known[count]:
            other.append(path)
    return other
