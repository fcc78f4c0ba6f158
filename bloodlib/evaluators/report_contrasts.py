"""Differences between arms as Markdown tables and as rows of a forest plot."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .contrasts import PRIMARY, Contrast, Contrasts, cell, contrast, controls
from .markdown import anchor, head, row
from .significance import LEAST_SEEDS
from .stored_scores import NAMES
from .tasks import TITLES
from .verdicts import may_be_tested, significant

MIXED = "‡"
INTERVAL = "95 % interval (slides, then images)"


def _p(value: float, c: Contrast) -> str:
    """Write a p-value, none where the contrast is not to be tested."""
    return f"{value:.4f}" if may_be_tested(c) else "–"


def _interval(c: Contrast) -> str:
    return f"{c.low:+.3f} to {c.high:+.3f}" if c.seeds >= 2 else "too few seeds"


def _signed(value: float) -> str:
    return f"{value:+.3f}" if math.isfinite(value) else "–"


def _size(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "–"


def contrast_table(contrasts: Contrasts) -> str:
    """Write differences between arms with intervals and tests, or why there is none.

    Notes
    -----
    p-values (sign flips over seeds, and after Holm) stand only where at least eight seeds were run
    and the contrast is one of the primary ones. Below eight seeds the smallest detectable difference is that of a
    single t-test.
    """
    lines = head(
        "task, score of an image", "difference", "mean", INTERVAL, "p", "Holm p", "smallest detectable difference",
        "seeds, images", "the same of whole sets",
    )  # fmt: skip
    for (task, arm, against), c in contrasts.items():
        what = ", ".join(filter(None, (TITLES[task], NAMES.get(c.score))))
        numbers = (_signed(c.mean), _interval(c), _p(c.p, c), _p(c.p_holm, c), _size(c.smallest))
        seeds = f"{c.seeds}{MIXED * bool(c.mixed)}"
        lines.append(
            row(what, f"{arm} − {against}", *numbers, f"{seeds}, {c.images} of {c.groups} slides", _signed(c.of_sets))
        )
    lines += _mixed(lines)
    if any(c.seeds < LEAST_SEEDS for c in contrasts.values()):
        lines += [
            "",
            f"*Differences with fewer than {LEAST_SEEDS} seeds have intervals only, no test; what they could have "
            "detected is that of a single t-test.*",
        ]
    return "\n".join(lines)


def group_table(contrasts: Contrasts) -> str:
    """Write the mean difference within every test group: a row per group, a column per contrast.

    Notes
    -----
    A number of images that is not that of the column "images" stands in brackets: an image may lack a score.
    """
    if not contrasts:
        return "*No contrast has runs in both arms yet.*"
    images: dict[str, int] = {}
    for c in contrasts.values():
        for effect in c.by_group:
            images[effect.group] = max(effect.images, images.get(effect.group, 0))
    lines = head("test group", "images", *(f"{TITLES[t]}: {a} − {b}" for t, a, b in contrasts))
    for group, most in sorted(images.items()):
        entries = []
        for c in contrasts.values():
            effect = next((e for e in c.by_group if e.group == group), None)
            fewer = f" ({effect.images})" if effect and effect.images != most else ""
            entries.append("–" if effect is None else f"{effect.mean:+.3f}{fewer}")
        lines.append(row(group, str(most), *entries))
    return "\n".join(lines)


def painter_table(contrasts: Contrasts) -> str:
    """Write what each painter's seeds gained, and how much painters differ.

    Notes
    -----
    Contrasts whose first arm was painted by nobody are left out. Two standard deviations: of the
    painters' means as they are, and between painters with the seeds' share taken off
    (`painters.painter_spread`).
    """
    lines = head("task", "difference", "by painter (runs)", "spread of painters' means", "spread between painters")
    for (task, arm, against), c in contrasts.items():
        if c.painters is None:
            continue
        each = (f"{_called(e.painter)}: {e.mean:+.3f} ({e.seeds})" for e in c.painters.by_painter)
        each = "<br>".join(one.replace(" ", "\N{NO-BREAK SPACE}") for one in each)
        spread = (_size(c.painters.sd_of_means), _size(c.painters.sd_between))
        if len(c.painters.by_painter) < 2:
            spread = ("one painter: not estimated",) * 2
        lines.append(row(TITLES[task], f"{arm} − {against}", each, *spread))
    return "\n".join(lines) if len(lines) > 2 else "*No contrast with a painter is stored.*"


def _called(painter: str) -> str:
    """Call a painter by its seed alone, where that is known; the list of runs has its fingerprint."""
    seed = re.search(r"\((seed \d+)\)$", painter)
    return seed[1] if seed else painter


def controls_table(
    runs: Sequence[dict[str, Any]],
    reference: Mapping[str, str],
    rng: np.random.Generator,
    score: str | None = None,
) -> str:
    """Write every control that was run beside the arm that it is compared with.

    Parameters
    ----------
    runs : sequence of dict
        Of one data set and profile.
    reference : mapping
        ``arms.REFERENCE``: control → the arm that it is compared with.
    rng : numpy.random.Generator
    score : str, optional
        Each task's main score where left out.

    Notes
    -----
    Controls are description: an interval, no test. Both means are of the seeds that were paired; AP50 of a set is
    over all boxes at once, so their difference need not be the mean of the images' differences beside it.
    """
    last = (INTERVAL, "smallest detectable difference", "pairs of seeds")
    lines = head("task", "score", "control", "compared with", "difference", *last)
    for (task, arm, against), c in controls(runs, reference, rng, score).items():
        names, paired = [], [r for r in runs if r["seed"] in c.by_seed]  # means of the seeds that both arms have
        for name in (arm, against):
            found = cell(paired, task, name, score=score)
            names.append(f"{name} [{found.mean:.3f}](#{anchor(found.runs[0])})")
        numbers = (_signed(c.mean), _interval(c), _size(c.smallest), str(c.seeds) + MIXED * bool(c.mixed))
        lines.append(row(TITLES[task], NAMES[c.score], *names, *numbers))
    if len(lines) == 2:
        return "*No control is stored with its reference arm yet.*"
    return "\n".join([*lines, *_mixed(lines)])


def _mixed(lines: Sequence[str]) -> list[str]:
    """Explain the mark of mixed pairs below a table that has one."""
    return [
        "",
        f"*{MIXED} in some pairs the two runs are of unlike processors or versions of torch, or one names no "
        "processor.*",
    ] * any(MIXED in line for line in lines)


def steps_table(runs: Sequence[dict[str, Any]], rng: np.random.Generator) -> str:
    """Write the primary differences for every number of optimiser steps that was tried.

    Parameters
    ----------
    runs : sequence of dict
        Of one data set and profile, with the steps of the profile and with others. A difference counts only where it
        was tried with several numbers of steps, and only the seeds that all of them have.
    rng : numpy.random.Generator
    """
    lines = head("task", "difference", "steps", "first", "second", "mean", INTERVAL, "pairs of seeds")
    for task, (arm, against) in itertools.product(TITLES, PRIMARY):
        ours = [r for r in runs if r["task"] == task and r["arm"] in (arm, against)]
        seeds: dict[tuple[int, str], set[int]] = {}
        for r in ours:
            seeds.setdefault((r["config"]["steps"], r["arm"]), set()).add(r["seed"])
        tried = sorted({steps for steps, _ in seeds if {(steps, arm), (steps, against)} <= seeds.keys()})
        common = set.intersection(*(seeds[steps, name] for steps in tried for name in (arm, against))) if tried else ()
        for steps in tried if len(tried) > 1 and common else ():
            mine = [r for r in ours if r["config"]["steps"] == steps and r["seed"] in common]
            c = contrast(mine, task, arm, against, rng)
            if c is None:
                continue
            scores = (f"{cell(mine, task, name).mean:.3f}" for name in (arm, against))
            numbers = (_signed(c.mean), _interval(c), str(c.seeds))
            lines.append(row(TITLES[task], f"{arm} − {against}", str(steps), *scores, *numbers))
    return "\n".join(lines) if len(lines) > 2 else "*Nothing was run with other steps yet.*"


class ForestRow(NamedTuple):
    """Hold one line of a forest plot; ``low`` and ``high`` are NaN where there is no interval."""

    label: str
    task: str
    arm: str  # the first one, which gives the colour
    mean: float
    low: float
    high: float
    seeds: int
    images: int  # size of the mark
    smallest: float  # smallest detectable difference, NaN in a group's line
    significant: bool
    group: str | None = None  # test group; None: all of them


def forest(contrasts: Contrasts, groups: bool = False) -> list[ForestRow]:
    """Gather the lines of a forest plot, from top to bottom.

    Parameters
    ----------
    contrasts : mapping
        By task, arm and the arm it is compared with.
    groups : bool
        Each contrast is followed by its test groups, which have no intervals.
    """
    rows = []
    for (task, arm, against), c in contrasts.items():
        label = f"{TITLES[task]}: {arm} − {against}"
        whole = (c.mean, c.low, c.high, c.seeds, c.images, c.smallest, significant(c))
        rows.append(ForestRow(label, task, arm, *whole))
        for e in c.by_group if groups else ():
            part = (e.mean, float("nan"), float("nan"), c.seeds, e.images, float("nan"), False)
            rows.append(ForestRow(f"slide {e.group}", task, arm, *part, e.group))
    return rows
