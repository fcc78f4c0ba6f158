"""What stored runs say of each test image, and the check that runs are of one kind."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .run import stored_path
from .tasks import MAIN_SCORE

NAMES = {
    "dice": "Dice",
    "AP50": "AP50",
    "AP": "AP",
    "f1": "F1 (IoU 0.5)",
    "mask_f1": "mask F1 (IoU 0.5)",
    "point_f1": "point F1",
    "count_error": "count error against masks (cells per image)",
    "point_count_error": "count error against points (cells per image)",
}
ALSO = {  # of the whole test set; in no contrast
    "pooled_dice": "pooled Dice",
    "AP75": "AP75",
    "mask_AP50": "mask AP50",
    "mask_AP": "mask AP",
}
COUNTED = {"count_error": ("found", "cells"), "point_count_error": ("found_off_border", "points")}  # |first − second|
LOWER_IS_BETTER = tuple(COUNTED)
IN_RECORD = {  # what a record calls the mean over its test set, where that differs
    "count_error": "count_mae",
    "point_count_error": "point_count_mae",
}


_FIRST = {"phantom": "phantom 1", "chula_rbc12": "chula_rbc12 by derivation 1"}


class Scored(NamedTuple):
    """Hold one score of one arm: a row per run, a column per test image; NaN where an image has none."""

    values: np.ndarray  # float64 (runs, images)
    names: tuple[str, ...]
    groups: np.ndarray  # (images,)
    runs: tuple[dict[str, Any], ...]  # in the order of their seeds


def file_of(record: Mapping[str, Any]) -> str:
    """Name the file in which a run is stored."""
    return stored_path(record["dataset"], record["profile"], record["task"], record["arm"], record["seed"]).as_posix()


def painter_of(record: Mapping[str, Any]) -> str:
    """Name who painted the synthetic smears of a run: fingerprint, and seed where stored; – for nobody."""
    if record.get("painter") is None:
        return "–"
    seed = record.get("painter_seed")
    return record["painter"] if seed is None else f"{record['painter']} (seed {seed})"


def other_masks(runs: Sequence[dict[str, Any]]) -> list[str]:
    """Name the stored runs that saw other images or masks than most runs of their data set and profile.

    Notes
    -----
    Parts are compared by what their smears are made by, where they are rendered or derived, since no two kinds of
    processor round alike; else by the digest in ``split``. Fit parts of unlike size are not compared at all: controls
    may use fewer real smears.
    """
    seen: dict[tuple, Counter] = defaultdict(Counter)
    for r in runs:
        for part in r.get("split", {}):
            seen[_part(r, part)][_made_by(r, part)] += 1
    usual = {key: digests.most_common(1)[0][0] for key, digests in seen.items()}
    return [file_of(r) for r in runs if any(_made_by(r, part) != usual[_part(r, part)] for part in r.get("split", {}))]


def _made_by(record: dict[str, Any], part: str) -> str:
    """Say what decides the smears of a part; for records from before it was kept, by the first versions."""
    about = record["split"][part]
    return (about.get("made_by") or _FIRST.get(record["dataset"]) or about["sha256"]).split(",")[0]


def _part(record: dict[str, Any], part: str) -> tuple:
    size = record["split"][part].get("images") if part == "fit" else None
    return record["dataset"], record["profile"], part, size


def one_set(runs: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
    """Give the runs back if they are of one data set, one profile and one version of the masks.

    Raises
    ------
    ValueError
        If they are not; for masks, with the names of the files that differ from the rest.
    """
    kinds = {(r["dataset"], r["profile"]) for r in runs}
    if len(kinds) > 1:
        raise ValueError(f"runs of {sorted(kinds)} are mixed; results of different sets never share a column")
    if odd := other_masks(runs):
        raise ValueError(
            f"{', '.join(odd)}: other images or masks than in the remaining runs (split in the record); "
            "delete these files and recompute them with `make results`"
        )
    return runs


def by_image(
    runs: Sequence[dict[str, Any]], task: str, arm: str, score: str | None = None, way: str = "on_validation"
) -> Scored | None:
    """Gather one score of every test image over the runs of an arm.

    Parameters
    ----------
    runs : sequence of dict
        Of one data set and profile.
    task, arm : str
    score : str, optional
        A key of `NAMES`; the task's main score where left out. ``count_error`` is |found − cells of the mask|,
        ``point_count_error`` |found off the border − experts' points|, in cells, and the lower the better; all others
        lie in [0, 1], the higher the better. Runs from before a score was kept do not count for it.
    way : {"on_validation", "on_test"}
        How the checkpoint was chosen.

    Returns
    -------
    Scored or None
        None where no such run is stored or no image has the score.

    Raises
    ------
    ValueError
        If there is no such score, runs are of unlike kinds, or their test images differ.
    """
    score = score or MAIN_SCORE[task]
    if score not in NAMES:
        raise ValueError(f"score is {score!r}, allowed are {', '.join(NAMES)}")
    mine = [r for r in one_set(runs) if (r["task"], r["arm"]) == (task, arm) and _keeps(r["per_image"][way], score)]
    mine.sort(key=lambda r: r["seed"])
    if not mine:
        return None
    first = mine[0]["per_image"][way]
    names = tuple(row["name"] for row in first)
    for r in mine:
        if tuple(row["name"] for row in r["per_image"][way]) != names:
            raise ValueError(f"{file_of(r)}: its test images are not those of {file_of(mine[0])}; recompute one")
    values = np.array([[_value(row, score) for row in r["per_image"][way]] for r in mine])
    if np.isnan(values).all():
        return None
    return Scored(values, names, np.array([row["group"] for row in first]), tuple(mine))


def _keeps(rows: Sequence[Mapping[str, Any]], score: str) -> bool:
    return any(COUNTED.get(score, (score,))[0] in row for row in rows)


def _value(row: Mapping[str, Any], score: str) -> float:
    if score in COUNTED:
        found, expected = COUNTED[score]
        return float(abs(row[found] - row[expected]))
    value = row.get(score)
    return float("nan") if value is None else float(value)
