"""What a night of kills and of fuzzing counted: the tables of book/faults.md, from data/results/faults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bloodlib._files import read_json

NOT_STORED = "*No night's counts are stored in this checkout.*"
_KINDS = {  # of inputs, and how many readers tried each
    "coco": "COCO files, their ids, polygons and run lengths",
    "voc": "VOC boxes",
    "picture": "pictures with damaged bytes, each by three readers",
    "bytes": "any bytes under any ending, each by eight readers",
    "folder": "folders with odd `coco.json` and `splits.json`",
    "text": "text, as points and as a registry, by two readers",
}


def kills(folder: Path) -> str:
    """Write how often each command was killed and what was found on disk afterwards, as a Markdown table."""
    found = _stored(folder, "fit", "generate", "table2")
    if found is None:
        return NOT_STORED
    fit, generate, table2 = found
    rows = [
        (
            "`fit`",
            fit["kills"],
            f"{fit['resumed']} from a checkpoint",
            fit["corrupt"],
            f"{fit['twice']} steps",
            f"{fit['tensors_different']} of {fit['tensors']} tensors differ from an unbroken training",
        ),
        (
            "`generate`",
            generate["kills"],
            f"{generate['resumed']} from a manifest with smears",
            f"{generate['corrupt']} of {generate['files_read']}",
            f"{generate['twice']} smears",
            f"{generate['listed_not_there']} listed and not there; {generate['sets_the_same']} finished sets, "
            "each byte for byte as an unbroken one",
        ),
        (
            "a run of Table 2",
            table2["kills"],
            "made again",
            f"{table2['corrupt']} of {table2['records']}",
            f"{table2['other_files']} files beside the record",
            f"{table2['records_the_same']} of {table2['records']} records as an unbroken run's, but for times",
        ),
    ]
    lines = [
        "| killed | times | went on | damaged files | twice or left over | in the end |",
        "|---|---:|---|---|---|---|",
    ]
    lines += [f"| {' | '.join(map(str, row))} |" for row in rows]
    return "\n".join([*lines, "", _made(fit)])


def fuzz(folder: Path) -> str:
    """Write how many inputs the readers were given and which way they went, as a Markdown table."""
    found = _stored(folder, "fuzz")
    if found is None:
        return NOT_STORED
    (one,) = found
    lines = ["| what was read | inputs | readings that gave a value | readings refused |", "|---|---:|---:|---:|"]
    for kind, words in _KINDS.items():
        ways = one["readings"][kind]
        lines.append(f"| {words} | {one['inputs'][kind]:,} | {ways['read']:,} | {ways['refused']:,} |")
    total = [sum(way[name] for way in one["readings"].values()) for name in ("read", "refused")]
    lines.append(f"| **all** | **{sum(one['inputs'].values()):,}** | {total[0]:,} | {total[1]:,} |")
    end = (
        f"Inputs that took {one['hangs_after_s']} s: {one['hangs']}. The most memory that one row of the table took: "
        f"{one['most_mib']} MiB. {_made(one)}"
    )
    return "\n".join([*lines, "", end])


def _stored(folder: Path, *names: str) -> list[dict[str, Any]] | None:
    paths = [folder / f"{name}.json" for name in names]
    return [read_json(path) for path in paths] if all(path.is_file() for path in paths) else None


def _made(one: dict[str, Any]) -> str:
    return f"Counted on {one['date']} with torch {one['versions']['torch']}."
