"""Numbers for the prose pages: quoted from the papers, from the splits, from stored results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml

import bloodlib
from benchmarks import targets
from bloodlib._files import read_json

from . import binder, card, claims, faults, licences
from .typography import minus


def substitutions(root: Path) -> dict[str, Any]:
    """Collect what pages under book/ may use as ``{{ name }}``."""
    from bloodlib.evaluators.records import load_runs

    stored = root / "data" / "results"
    cell_types = root / "data" / "models" / "cell_types" / "card.json"
    runs = load_runs(stored / "table2")
    quoted = yaml.safe_load((root / "data" / "quoted.yml").read_text())
    found = {
        "quoted": quoted,
        "phantom_table1": phantom_table(stored / "phantom_table1.json", quoted),
        "finding": finding(runs),
        "claim_verdicts": claims.table(root, runs, quoted) if "bailo2019" in quoted else "",
        "headline": headline(runs),
        **table2_words(runs),
        "run_times": run_times(stored / "run_times.json"),
        "table2_cost": cost(runs),
        "stored_runs": str(len(runs)),
        "chula_split": split_table(root / "data" / "splits" / "chula_rbc12.json"),
        "derivation": derivation_table(stored / "derivation.json"),
        "painter": card.values(root),
        "cell_types": read_json(cell_types) if cell_types.exists() else {},
        # Not the size of the pages: it would be that of the pages before these.
        "benchmarks": targets.table([one for one in targets.lines(stored, root / "build") if one.what != targets.SITE]),
        "licences": licences.table(root),
        "binder_size": binder.sentence(root / binder.STORED),
        "release": bloodlib.__version__,
        "sampler_speed": sampler_speed(stored / "masks.json"),
        "kills": faults.kills(stored / "faults"),
        "fuzz": faults.fuzz(stored / "faults"),
        "ten_million": ten_million(stored / "masks.json", stored / "painter" / "bench.json"),
    }
    return {name: minus(value) if isinstance(value, str) else value for name, value in found.items()}


def sampler_speed(masks: Path) -> dict[str, str]:
    """Say how many times faster the sampler is than two literal forms of Eq. 3, as measured."""
    found = read_json(masks) if masks.is_file() else {}
    return {
        name: f"{found[name]:,}" if name in found else "an unmeasured number of" for name in ("ratio", "ratio_hoisted")
    }


def ten_million(masks: Path, painter: Path, images: int = 10_000_000) -> str:
    """Estimate from stored benchmarks what a large set would cost: processor time and storage at 1920×1200."""
    if not (masks.is_file() and painter.is_file()):
        return "*No benchmark is stored to compute this from.*"
    found = read_json(painter)
    smear = next((row for row in found["rows"] if row["what"] == "smear, released"), None)
    if smear is None:
        return "*No benchmark of whole smears is stored to compute this from.*"
    seconds = {"mask": read_json(masks)["generator_seconds"], "labelled smear": smear["cpu_seconds"]}
    rows = ["| each image | CPU-seconds | all of them, core-years | hours on 1,000 cores |", "|---|---|---|---|"]
    for name, one in seconds.items():
        total = images * one
        rows.append(f"| {name} | {one:.2g} | {total / 3.156e7:.2g} | {total / 3600 / 1000:.2g} |")
    raw = 1920 * 1200 * (3 + 2) * images / 1e12
    rows += [
        "",
        "A mask is one of the paper's layout alone; a smear is the released painter's, with a mask of its own,",
    ]
    rows.append("cells that lie on others, objects, camera and the two files that are written.")
    rows.append(f"Measured on {found['device']}, {smear.get('date', found['date'])}, with other work beside it.")
    rows.append(f"Pictures of 8 and masks of 16 bits are {raw:.0f} TB before compression, in {2 * images:,} files.")
    return "\n".join(rows)


def finding(runs: list[dict[str, Any]]) -> str:
    """State the two primary contrasts of each task per data set, or that nothing is stored.

    Parameters
    ----------
    runs : list of dict
        As `bloodlib.evaluators.records.load_runs` gives them.
    """
    from bloodlib import datasets
    from bloodlib.evaluators import report

    if not runs:
        return "No stored result yet: this build shows only what was computed live, at the size of its profile."
    lines = []
    for (data, profile), mine in report.by_set(runs).items():
        contrasts = report.primary(mine, np.random.default_rng(0))
        lines += [f"**{datasets.title(data)}, {profile} profile, under a fixed small budget:**", ""]
        for (task, arm, against), contrast in contrasts.items():
            lines.append(f"- {report.TITLES[task]}, {arm} against {against}: {report.verdict(contrast)}")
        lines += [] if contrasts else ["- no pair of arms that a contrast needs is stored yet"]
        lines.append("")
    return "\n".join(lines)


def headline(runs: list[dict[str, Any]]) -> str:
    """Answer the book's first question in one sentence, all networks with their intervals; real data come first.

    Notes
    -----
    The question is the first primary difference, RD+SD+aug − RD+aug. No network is left out, whatever came out.
    """
    from bloodlib import datasets
    from bloodlib.evaluators import report
    from bloodlib.evaluators.contrasts import PRIMARY
    from bloodlib.evaluators.significance import LEAST_SEEDS
    from bloodlib.evaluators.stored_scores import NAMES
    from bloodlib.evaluators.verdicts import significant

    for (data, profile), mine in report.by_set(runs).items():
        found = report.primary(mine, np.random.default_rng(0))
        asked = {task: c for (task, *arms), c in found.items() if tuple(arms) == PRIMARY[0] and c.seeds > 1}
        if not asked:
            continue
        parts = [
            f"{NAMES.get(c.score, 'the score')} of {report.TITLES[task]} by **{c.mean:+.3f}** "
            f"({c.low:+.3f} to {c.high:+.3f})"
            for task, c in asked.items()
        ]
        seeds = min(c.seeds for c in asked.values())
        shown = sum(significant(c) for c in asked.values())
        end = f"more than chance explains for {shown} of {len(asked)} networks"
        if seeds < LEAST_SEEDS:
            end = f"from {seeds} of the {LEAST_SEEDS} seeds that a test needs, so nothing is claimed yet"
        changed = " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))
        return (
            f"On {datasets.title(data)} ({profile} profile, a fixed small budget), adding painted smears to augmented "
            f"real ones changed {changed}, 95 % intervals in brackets: {end}."
        )
    return "No pair of arms that answers the question is stored yet: this build shows only what was computed live."


def table2_words(runs: list[dict[str, Any]]) -> dict[str, str]:
    """Answer for the real default: two plain sentences, then each network's, then what stands beside them."""
    from bloodlib.evaluators import report, verdicts

    from . import headline as tables

    mine = report.by_set(runs).get((tables.DATA, tables.PROFILE), [])
    none = "*No run of it is stored in this checkout.*"
    return {
        "plain_answer": verdicts.plainly(report.primary(mine, np.random.default_rng(0))) or none,
        "table2_answer": tables.answered(mine),
        "table2_beside": tables.beside(mine) or none,
    }


def cost(runs: list[dict[str, Any]]) -> str:
    """Say how many runs are stored, their processor-hours, and on what they ran."""
    if not runs:
        return "No run of Table 2 is stored yet."
    hours = sum(run["seconds"]["cpu"] for run in runs) / 3600
    devices = sorted({run["device"] for run in runs})
    return f"{len(runs)} stored runs took {hours:.1f} processor-hours ({'; '.join(devices)})."


TIMED = ("smoke-phantom", "laptop-chula_rbc12", "paper-chula_rbc12")  # builds that the table of run times names


def run_times(path: Path) -> str:
    """Write how long the chapters took, as ``python -m tools.times`` stored it, one column per build.

    Builds of which nothing was measured are named below.
    """
    if not path.exists():
        return "No run times are stored in this checkout."
    builds = read_json(path)["builds"]
    chapters = sorted({chapter for one in builds.values() for chapter in one["seconds"]})
    missing = [name for name in TIMED if name not in builds]
    lines = [f"| chapter | {' | '.join(builds)} |", "|---|" + "---:|" * len(builds)]
    for chapter in chapters:
        seconds = [one["seconds"].get(chapter) for one in builds.values()]
        cells = ["not measured" if s is None else f"{s:.0f} s" if s < 100 else f"{s / 60:.1f} min" for s in seconds]
        lines.append(f"| {{doc}}`../notebooks/{chapter}` | {' | '.join(cells)} |")
    measured = [f"{name}: {one['device']}, {one['remark']}" for name, one in builds.items()]
    lines += ["", f"Measured on {'; '.join(measured)}."]
    if missing:
        lines.append(f"Not measured in any chapter: {', '.join(missing)}.")
    return "\n".join(lines)


def derivation_table(path: Path) -> str:
    """Write how well masks are derived: against exact truth, and against another derivation."""
    if not path.exists():
        return "No measurement of the derivation is stored in this checkout."
    measured = read_json(path)
    names = {
        "phantom": "phantom: exact masks",
        "chula_rbc12": "Chula: another derivation",
    }
    lines = ["| compared with | points | images | F1 (IoU 0.5) | count error per image |", "|---|---|---:|---:|---:|"]
    for key, name in names.items():
        for how, words in (("with_points", "with"), ("without_points", "without")):
            if one := measured.get(key, {}).get(how):
                numbers = f"{one['images']} | {one['f1_50']:.3f} | {one['count_error_per_image']:.1f}"
                lines.append(f"| {name} | {words} | {numbers} |")
    return "\n".join(lines)


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
    lines = ["| measure | phantom | the paper's smears |", "|---|---:|---:|"]
    for name, key, mean, std in rows:
        lines.append(f"| {name} | {mean:.0f} ± {std:.0f} | {paper[f'{key}_mean']} ± {paper[f'{key}_std']} |")
    return "\n".join(lines)
