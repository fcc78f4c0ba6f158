"""The dials of each chapter: read from its table, checked, run and timed: python -m tools.dials --only 13 --remark "…".

A dial is a row of the table under "Three dials" that names parameters and one value of each (``| `order` to 5 | …``).
What a run with them costs is stored in data/results/dials.json, as processor time of all threads, in which other work
on the machine hardly shows; staging writes it into the table.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
import yaml

from bloodlib._files import read_json, write_json

from . import parameters
from .execute import device
from .layout import ROOT, Build, notebooks

STORED = Path("data") / "results" / "dials.json"
CELL = "dials"
AS_IS = "as it is"
MEANT = (
    "Processor seconds are the work of all cores added up, from nothing, with every model trained anew. One waits less "
    "than that where several cores share it, and longer where other programs want them."
)
_TABLE = re.compile(r"^\| turn.*\n(?:\|.*\n)+", re.MULTILINE)
_SET = re.compile(r"`(\w+)` to (?:`([^`]+)`|(-?[\d.]+\d|-?\d+))")


def dials(notebook: Path) -> dict[str, dict[str, Any]]:
    """Read the dials of a chapter, by the first cell of their row.

    Raises
    ------
    ValueError
        If the chapter has no such table, or a row names no parameter and value, or several values of one.
    """
    cells = [cell for cell in nbformat.read(notebook, as_version=4).cells if cell.id == CELL]
    if not cells:
        raise ValueError(f"{notebook.name}: no cell {CELL!r} with a table of dials")
    found = {}
    for row in _rows(cells[0].source):
        given = {name: yaml.safe_load(text or number) for name, text, number in _SET.findall(row)}
        if not given:
            raise ValueError(f"{notebook.name}: the dial {row!r} names no parameter and value, as in `seed` to 1")
        if rest := _SET.sub("", row).strip(" ,"):
            raise ValueError(f"{notebook.name}: the dial {row!r} has {rest!r} left over; each parameter has one value")
        parameters.validate(notebook, given)
        found[row] = given
    return found


def _rows(table: str) -> list[str]:
    return [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| `")]


def with_times(table: str, stored: dict[str, Any]) -> str:
    """Add a column of what each dial's run took, where it was measured."""
    seconds = stored.get("processor_seconds", {})
    if AS_IS not in seconds or not set(seconds) & set(_rows(table)):
        return _classed(table)
    lines = []
    for line in table.splitlines():
        if line.startswith("| turn"):
            line += " CPU-s |"
        elif line.startswith("|---"):
            line += "---:|"
        elif line.startswith("| `"):
            one = seconds.get(line.split("|")[1].strip())
            line += " not measured |" if one is None else f" {one:.0f} |"
        lines.append(line)
    unturned = (
        f"All this is about the smoke book on the phantom; with no dial turned it takes {seconds[AS_IS]:.0f} CPU-s."
    )
    lines += ["", f"*{unturned} Measured on {stored['device']}; {stored['remark']}. {MEANT}*"]
    return _classed("\n".join(lines))


def _classed(text: str) -> str:
    """Give the table a class of its own, since a phone must lay it out otherwise than a table of numbers."""
    return _TABLE.sub("```{table}\n:class: dials\n\n\\g<0>```\n", f"{text}\n", count=1).rstrip("\n")


def times(root: Path, chapter: str) -> dict[str, Any]:
    """Give what is stored of a chapter, nothing where nothing is."""
    path = root / STORED
    return read_json(path)["chapters"].get(chapter, {}) if path.exists() else {}


def measure(notebook: Path, build: Build, given: dict[str, Any]) -> float:
    """Run a chapter from nothing (no model found trained) and give its processor seconds, children's included."""
    from papermill import execute_notebook

    with tempfile.TemporaryDirectory() as folder:
        needed = parameters.for_notebook(notebook, build)
        if "artifacts" in needed:
            given = {**given, "artifacts": folder}
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        execute_notebook(
            str(notebook),
            str(Path(folder) / "out.ipynb"),
            parameters={**needed, **given},
            cwd=str(notebook.parent),
            kernel_name="python3",
            progress_bar=False,
            start_timeout=180,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.dials", description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", metavar="NB")
    parser.add_argument("--remark", required=True, help="what else the machine did meanwhile")
    parser.add_argument("--again", action="store_true", help="measure what is stored already, too")
    options = parser.parse_args(arguments)
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    build, where = Build("smoke", "phantom", options.only, root), device()
    for notebook in notebooks(root, options.only):
        for name, given in {AS_IS: {}, **dials(notebook)}.items():
            stored = read_json(root / STORED) if (root / STORED).exists() else {"chapters": {}}
            chapter = stored["chapters"].setdefault(notebook.stem, {"processor_seconds": {}})
            if name in chapter["processor_seconds"] and not options.again:
                continue
            seconds = round(measure(notebook, build, given), 1)
            chapter["processor_seconds"][name] = seconds
            known = (AS_IS, *dials(notebook))  # what the table no longer names is dropped
            chapter["processor_seconds"] = {k: v for k, v in chapter["processor_seconds"].items() if k in known}
            chapter |= {"device": where, "remark": options.remark}
            write_json(root / STORED, stored)
            print(f"{notebook.stem:<32} {seconds:6.1f}  {name}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
