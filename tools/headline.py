"""Write the headline tables of README.md from the stored runs: python -m tools.headline [--check].

What README has no room for is said in book/findings.md, by `answered` and `beside`.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from bloodlib._files import replacing
from bloodlib.evaluators import report, verdicts
from bloodlib.evaluators.arms import ARMS
from bloodlib.evaluators.baseline import load_baseline
from bloodlib.evaluators.contrasts import PRIMARY, Contrast, Contrasts, cell, contrast
from bloodlib.evaluators.markdown import head, row
from bloodlib.evaluators.records import load_runs

from .layout import ROOT
from .typography import minus

BEGIN, END = "<!-- headline: written by tools.headline -->", "<!-- headline ends -->"
DATA, PROFILE = "chula_rbc12", "laptop"
ADDED = {"RD+SD": "painted smears", "RD+CP": "copy-paste of real cells"}  # fifteen for each real smear, against RD


def headline(
    runs: Sequence[dict[str, Any]], paper: dict[str, dict[str, float]], baseline: Mapping[str, Any] | None = None
) -> str:
    """Write Table 2 of the real default, the paper's numbers under ours, the primary differences, and plain words.

    Parameters
    ----------
    runs : sequence of dict
        Of one data set and profile.
    paper : dict
        Score by task and arm.
    baseline : mapping, optional
        As for `report.table`.
    """
    known = report.baseline_scores(runs, baseline)
    lines = head("network", *ARMS, *([report.BASELINE] if known else []))
    for task in report.TASKS:
        entries = []
        for arm in ARMS:
            found = cell(runs, task, arm, rng=np.random.default_rng(0))
            said = "–" if found is None else f"**{found.mean:.3f}** ({found.low:.3f}–{found.high:.3f}; {found.seeds})"
            entries.append(said)
        main = report.MAIN_SCORE[task]
        beside, none = ([report.number(known.get(main))], ["–"]) if known else ([], [])
        lines.append(row(f"{report.TITLES[task]}, {report.NAMES[main]}", *entries, *beside))
        lines.append(row("the paper", *(f"{paper[task][arm]:.3f}" for arm in ARMS), *none))
    found = report.primary(runs, np.random.default_rng(0))
    plain = verdicts.plainly(found)
    return minus("\n".join([*lines, "", *differences(found), *([f"\n{plain}"] if plain else [])]))


def differences(found: Contrasts) -> list[str]:
    """Write the primary differences as a table, in bold what chance does not explain."""
    lines = head("difference", *(f"{arm} − {against}" for arm, against in PRIMARY), "could hide, each")
    for task in report.TASKS:
        mine = [found.get((task, *pair)) for pair in PRIMARY]
        entries = []
        for c in mine:
            said = "–" if c is None else f"{c.mean:+.3f} ({c.low:+.3f} to {c.high:+.3f}; p {c.p_holm:.3f}; {c.seeds})"
            entries.append(f"**{said}**" if c and verdicts.significant(c) else said)
        hidden = ", ".join("–" if c is None else f"{c.smallest:.3f}" for c in mine)
        lines.append(row(f"{report.TITLES[task]}, {report.NAMES[report.MAIN_SCORE[task]]}", *entries, hidden))
    return lines


def answered(runs: Sequence[dict[str, Any]]) -> str:
    """Answer the two primary questions, a paragraph for each network."""
    return report.answer(report.primary(runs, np.random.default_rng(0)))


def beside(runs: Sequence[dict[str, Any]]) -> str:
    """Say as a table what is added to real smears alone, and these and the primary differences by points.

    By the experts' points, which no algorithm drew; copy-paste and painted smears are fifteen for each real one.
    """
    lines = head("difference", *(report.TITLES[task] for task in report.TASKS))
    for score, by in ((None, ""), ("point_f1", ", by the experts' points")):
        for arm, against in (*(PRIMARY if score else ()), *((arm, "RD") for arm in ADDED)):
            found = _differences(runs, arm, against, score)
            if any(found.values()):
                name = f" ({ADDED[arm]})" if arm in ADDED and not score else ""
                lines.append(row(f"{arm} − {against}{name}{by}", *(_entry(found[task]) for task in report.TASKS)))
    return "\n".join(lines) if len(lines) > 2 else ""


def _differences(
    runs: Sequence[dict[str, Any]], arm: str, against: str, score: str | None = None
) -> dict[str, Contrast | None]:
    """Give one difference of every network, None where it was not run for it."""
    if (arm, against) in PRIMARY:  # drawn as for the page's tables
        drawn = report.primary(runs, np.random.default_rng(0), score)
        return {task: drawn.get((task, arm, against)) for task in report.TASKS}
    return {task: contrast(runs, task, arm, against, np.random.default_rng(0), score=score) for task in report.TASKS}


def _entry(c: Contrast | None) -> str:
    if c is None:
        return "–"
    return f"{c.mean:+.3f} " + (f"({c.low:+.3f} to {c.high:+.3f}; {c.seeds})" if c.seeds > 1 else "(one pair)")


def written(root: Path) -> str:
    """Give README.md with its headline as the stored runs have it.

    Raises
    ------
    ValueError
        If README.md has no place for it.
    """
    page = (root / "README.md").read_text()
    runs = report.by_set(load_runs(root / "data" / "results" / "table2")).get((DATA, PROFILE), [])
    paper = yaml.safe_load((root / "data" / "quoted.yml").read_text())["bailo2019"]["table2"]
    known = load_baseline(DATA, root / "data" / "results")
    block = f"{BEGIN}\n{headline(runs, paper, known)}\n{END}"
    new, count = re.subn(f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: block, page, flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"README.md has {count} places between {BEGIN!r} and {END!r}; needed is one")
    return new


def main(arguments: Sequence[str] | None = None) -> int:
    """Write README.md, or say whether it is as the stored runs have it."""
    parser = argparse.ArgumentParser(prog="python -m tools.headline", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 where it would change")
    given = parser.parse_args(arguments)
    new = written(ROOT)
    if given.check:
        return int(new != (ROOT / "README.md").read_text())
    with replacing(ROOT / "README.md") as beside:
        beside.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
