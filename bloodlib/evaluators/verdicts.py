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
    none = "no pair of runs (one seed, configuration and kind of device) tells of either difference yet."
    return "\n".join(f"- **{TITLES[task]}**{rendered}: {' '.join(said) or none}" for task, said in by_task.items())


COUNTS = ("none", "one", "two", "three")


def plainly(contrasts: Contrasts) -> str:
    """Say the two answers without a score's name or a p-value, for somebody who reads smears and not statistics.

    Parameters
    ----------
    contrasts : mapping
        As for `answer`; a network counts where its difference may be tested.

    Returns
    -------
    str
        Two sentences; empty where nothing may be tested.
    """
    said = []
    for pair, when in (
        (PRIMARY[0], "when painted smears were added to real ones and their mirrored, turned and recoloured copies"),
        (PRIMARY[1], "when painted smears took the place of the real ones"),
    ):
        tested = [c for (_, *arms), c in contrasts.items() if tuple(arms) == pair and may_be_tested(c)]
        if tested:
            sides = [(c.gain > 0) - (c.gain < 0) if significant(c) else 0 for c in tested]
            found = ((sides.count(1), "got better"), (sides.count(-1), "got worse"))
            parts = [f"{_count(n, len(tested))} {what}" for n, what in found if n]
            same = sides.count(0)
            if same:
                parts.append(f"{_count(same, len(tested))} did as before, as far as could be seen,")
            programs = f"computer program{'s' if len(tested) > 1 else ''} that find{'' if len(tested) > 1 else 's'}"
            of = f"Of {_count(len(tested))} {programs} or outline{'' if len(tested) > 1 else 's'} red cells, "
            of = "" if said else of
            sentence = f"{of}{' and '.join(parts)} {when}."
            said.append(sentence[0].upper() + sentence[1:])
    return " ".join(said)


def _count(number: int, of: int = 0) -> str:
    return "all" if number == of > 1 else COUNTS[number] if number < len(COUNTS) else str(number)


def worth(contrasts: Contrasts, painter_hours: float, extra_minutes: float) -> str:
    """Hold what painted smears cost against what they gave, as the paper's conclusion asks.

    Parameters
    ----------
    contrasts : mapping
        As for `answer`.
    painter_hours : float
        Of training the painters that served, all together.
    extra_minutes : float
        Processor time of a run of RD+SD+aug beyond one of RD+aug, on average.

    Returns
    -------
    str
        A paragraph; empty where there is no pair of the arms that tell.
    """
    tested = {task: c for (task, *arms), c in contrasts.items() if tuple(arms) == PRIMARY[0]}
    if not tested:
        return ""
    gains = "; ".join(
        f"{TITLES[task]} {c.mean:+.3f}" + (f" (seen if beyond {c.smallest:.3f})" if math.isfinite(c.smallest) else "")
        for task, c in tested.items()
    )
    cost = f"The painters took {painter_hours:.1f} hours to train; a run took {extra_minutes:+.1f} processor minutes "
    cost += "against one without them."
    changed = f"{cost} Beside augmentation they changed the main score of {gains}."
    if not any(may_be_tested(c) for c in tested.values()):
        return f"{changed} So few seeds decide nothing."
    helped = [TITLES[task] for task, c in tested.items() if significant(c) and c.gain > 0]
    verdict = f"**worth trying for {' and '.join(helped)}**" if helped else "**not worth it here**"
    return f"{changed} By these numbers they are {verdict}."


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
