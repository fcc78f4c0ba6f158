"""What a contrast shows and what it cannot show, in words."""

from __future__ import annotations

import math

from .config import TASKS
from .contrasts import PRIMARY, Contrast, Contrasts
from .significance import ALPHA, LEAST_SEEDS, POWER
from .stored_scores import NAMES
from .tasks import TITLES

QUESTIONS = {
    PRIMARY[0]: "adding synthetic smears to augmented real ones",
    PRIMARY[1]: "training on synthetic smears instead of real ones",
}


def may_be_tested(c: Contrast) -> bool:
    """Say whether a contrast may be tested: a primary one, on enough seeds."""
    return c.seeds >= LEAST_SEEDS and math.isfinite(c.p_holm)


def significant(c: Contrast) -> bool:
    """Say whether a difference may be claimed: over seeds by its Holm p, over slides, two at least, by its interval."""
    return may_be_tested(c) and c.p_holm <= ALPHA and not c.straddles and c.groups > 1


def _detectable(c: Contrast) -> str:
    """Say which difference could have been found; nothing where that cannot be estimated."""
    return f"; smallest detectable difference {c.smallest:.3f}" if math.isfinite(c.smallest) else ""


def verdict(c: Contrast) -> str:
    """Say in words what a contrast shows, and what it cannot show.

    Examples
    --------
    >>> verdict(Contrast(0.02, -0.01, 0.05, 3, 7, 34))
    'no difference can be told from chance (+0.020, interval -0.010 to +0.050, 3 seeds; no test below 8 seeds)'
    """
    if c.seeds < 2:
        return f"{c.mean:+.3f} in the one seed run so far, which decides nothing"
    numbers = f"{c.mean:+.3f}, interval {c.low:+.3f} to {c.high:+.3f}, {c.seeds} seeds"
    side = "better" if c.gain > 0 else "worse"
    if not may_be_tested(c):
        said = "no difference can be told from chance" if c.straddles else f"{side} on these test slides"
        why = f"no test below {LEAST_SEEDS} seeds" if c.seeds < LEAST_SEEDS else "descriptive, not tested"
        return f"{said} ({numbers}; {why}{_detectable(c)})"
    numbers += f", Holm p {c.p_holm:.3f}"
    if significant(c):
        return f"{side}, over seeds and over slides ({numbers})"
    if c.p_holm <= ALPHA:
        return f"{side} on these test slides, but not shown for others ({numbers}{_detectable(c)})"
    return f"not significant ({numbers}{_detectable(c)})"


def answer(contrasts: Contrasts) -> str:
    """Answer per task, in at most two sentences, whether synthetic smears add to augmentation or replace real ones.

    Parameters
    ----------
    contrasts : mapping
        Of one data set and profile, as `contrasts.primary` gives them. Others than the two primary
        differences are not part of the answer.

    Returns
    -------
    str
        A Markdown list, one entry per task; those on the phantom say that they are not about blood.
    """
    by_task: dict[str, list[str]] = {task: [] for task in TASKS}
    for (task, arm, against), c in contrasts.items():
        if (arm, against) in QUESTIONS:
            by_task[task].append(_sentence(QUESTIONS[arm, against], c))
    rendered = " (rendered pictures, not blood)" if any(c.dataset == "phantom" for c in contrasts.values()) else ""
    none = "neither difference has runs in both arms yet, so nothing is claimed."
    return "\n".join(f"- **{TITLES[task]}**{rendered}: {' '.join(said) or none}" for task, said in by_task.items())


def _sentence(what: str, c: Contrast) -> str:
    what, score = what[0].upper() + what[1:], NAMES.get(c.score, "the score")
    if c.seeds < 2:
        return f"{what} changed {score} by {c.mean:+.3f} in the one pair of runs so far, which decides nothing."
    numbers = f"{c.mean:+.3f}, 95 % interval {c.low:+.3f} to {c.high:+.3f}"
    side = "raised" if c.mean > 0 else "lowered"
    if not may_be_tested(c):
        said = f"left {score} unchanged as far as can be told" if c.straddles else f"{side} {score} on these slides"
        why = "this is description"
        if c.seeds < LEAST_SEEDS:
            why = f"with {c.seeds} of the {LEAST_SEEDS} seeds that a test needs, nothing is claimed"
        return f"{what} {said} ({numbers}); {why}."
    chance = ""
    if math.isfinite(c.smallest):
        chance = (
            f"; true differences below {c.smallest:.3f} would be missed more often than {1 - POWER:.0%} of the time"
        )
    numbers += f", p = {c.p_holm:.3f} after Holm"
    if significant(c):
        verb = "improved" if c.gain > 0 else "worsened"
        return f"{what} {verb} {score} by more than chance explains ({numbers})."
    if c.p_holm <= ALPHA:
        return f"{what} {side} {score} on these slides, but on other slides it may not ({numbers}){chance}."
    return f"{what} made no significant difference to {score} ({numbers}){chance}."
