"""What became of the paper's claims: the table of book/claims.md, its verdicts read from stored results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bloodlib._files import read_json
from bloodlib.evaluators.contrasts import PRIMARY, Contrast

ADHESION, UNIFORM, GRAPH = "final, inverted", "uniform", "graph"
BAILO, RAO, THESIS = "{cite:t}`bailo2019`", "{cite:t}`rao2019`", "the thesis"
ENOUGH = 0.9  # ours: of what all cells of a type reach
NOT_STORED = "could not test: nothing is stored in this checkout"
UNTOLD = "could not be told"


def table(root: Path, runs: list[dict[str, Any]], quoted: dict[str, Any]) -> str:
    """Write each claim, what was done about it, the verdict, and the chapter, as a Markdown table.

    Parameters
    ----------
    root : Path
        The checkout.
    runs : list of dict
        Stored runs of Table 2.
    quoted : dict
        Of ``data/quoted.yml``.
    """
    stored, paper = root / "data" / "results", quoted["bailo2019"]
    rows = [
        (
            BAILO,
            f"A mask takes {paper['sampler']['seconds_per_mask']} s",
            "drawn from the same law without its map",
            _mask(stored / "masks.json"),
            "03_probability_map",
        ),
        (
            BAILO,
            "Adhesion looks more like blood than uniform placement",
            "distances to real slides, and a test that can say no",
            _layout(stored / "layouts.json"),
            "04_layout_realism",
        ),
        (
            BAILO,
            "pix2pixHD paints a smear from its mask",
            "trained on open smears; a blind test, and a list of what is wrong",
            "partly: pictures of blood, but an automated image reader tells most from real ones; no person was asked",
            "07_synthetic_dataset",
        ),
        (
            BAILO,
            f"An image takes {paper['gan']['seconds_per_image']} s on the paper's card",
            "timed on other machines only",
            "could not test: not that card",
            "07_synthetic_dataset",
        ),
        (
            BAILO,
            "Better not used for real-time augmentation: a mask takes too long",
            "labelled samples painted as a training asks for them, held against what its step costs",
            _real_time(stored / "painter" / "bench.json", runs, paper),
            "16_real_time_augmentation",
        ),
        *((BAILO, *row) for row in _contrasts(runs, paper["table2"])),
        (
            RAO,
            "White cells can be painted from masks, and masks found, without any pair",
            "CycleGAN in the laptop profile on the same cells, a fifth held out",
            _unpaired(stored / "cyclegan" / "laptop.json"),
            "12_cyclegan_white_cells",
        ),
        (
            RAO,
            "Masks drawn in any paint program will do",
            "one drawn in the chapter, or the reader's own, painted with its label",
            "reproduced",
            "12_cyclegan_white_cells",
        ),
        (
            RAO,
            "Geometric and noise augmentation give poor data sets",
            "a small segmenter on a few labelled cells, with either and with painted cells",
            _augmentation(stored / "cyclegan" / "laptop.json"),
            "12_cyclegan_white_cells",
        ),
        (
            THESIS,
            "Cells at the nodes of a Dorogovtsev–Goltsev–Mendes graph are most similar to blood",
            "distances to real slides, and the same test",
            _graph(stored / "layouts.json"),
            "13_graph_layout",
        ),
        (
            THESIS,
            "Very few images of a cell type are needed for decent results, it suspects",
            "painters of single cells trained on few and on all cells, judged by a classifier",
            _few(stored / "composition" / "single_cells.json"),
            "14_cell_types",
        ),
        (
            THESIS,
            "Its discriminator does no better than random",
            "the balance of what was added up, and training curves of our own",
            _curves(quoted["thesis"]["curves"]),
            "14_cell_types",
        ),
        (
            THESIS,
            "Painting the whole picture at once gave no good quality",
            "whole smears painted by the main generator, told the class of every red cell; no white cells",
            "could not test: no open set outlines all its types in whole smears",
            "14_cell_types",
        ),
    ]
    lines = ["| who | says | verdict | what we did | chapter |", "|---|---|---|---|---|"]  # a phone shows the first
    lines += [
        f"| {who} | {says} | {said} | {did} | {{doc}}`../notebooks/{chapter}` |"
        for who, says, did, said, chapter in rows
    ]
    return "\n".join(lines)


def _real_time(path: Path, runs: list[dict[str, Any]], paper: dict[str, Any]) -> str:
    """Hold a sample of the stream against a training step on one sample, of every network trained on a processor.

    The claim falls if to paint a sample costs less than to train on it, whichever the network; it stands if more,
    whichever the network. A network's step counts as in its fastest run, the one with the fewest neighbours.
    """
    stream = [row for row in read_json(path)["rows"] if row["what"] == "stream"] if path.is_file() else []
    if not stream:
        return NOT_STORED
    seconds, cpu = stream[0]["seconds"], stream[0]["cpu_seconds"]
    side = int(stream[0]["size"].split("×")[0])
    share = side**2 / (paper["data"]["image_width_px"] * paper["data"]["image_height_px"])
    published = share * (paper["sampler"]["seconds_per_mask"] + paper["gan"]["seconds_per_image"])
    steps: dict[str, float] = {}
    for run in runs:
        config = run["config"]
        if run["device"].startswith("cpu") and config["crop_px"] == side:
            one = run["seconds"]["training"] / (config["steps"] * config["batch"])
            steps[run["task"]] = min(one, steps.get(run["task"], one))
    sample = (
        f"a sample of {side}×{side} with its mask takes {seconds:.2g} s ({cpu:.2g} CPU-s), where the paper's own "
        f"figures come to {published:.1f} s for its area"
    )
    if not steps:
        return f"{UNTOLD}: {sample}; no training on a processor is stored to hold it against"
    cheaper, low, high = sum(cpu < one for one in steps.values()), min(steps.values()), max(steps.values())
    word = "not reproduced" if cheaper == len(steps) else "partly" if cheaper else "reproduced"
    return (
        f"{word}: {sample}; to train on one costs a processor {low:.2f} to {high:.2f} s, more than to paint it for "
        f"{cheaper} of {len(steps)} networks"
    )


def _unpaired(path: Path) -> str:
    if not path.is_file():
        return NOT_STORED
    found = read_json(path)
    dice = {name: one["dice"]["nucleus"]["mean"] for name, one in found["trimaps"].items()}
    kid = {name: one["mean"] for name, one in found["painting"]["kid"]["values"].items()}
    unpaired, *others = dice.values()
    word = "reproduced" if unpaired >= max(others) else "partly"
    return (
        f"{word}: nuclei found at a Dice of {unpaired:.2f}, where {' and '.join(list(dice)[1:])} reach "
        f"{' and '.join(f'{value:.2f}' for value in others)}; painted cells at a kernel distance of "
        f"{kid['CycleGAN']:.2f}, real ones {kid['within groups']:.2f}, flat colours {kid['flat colours']:.2f}"
    )


def _augmentation(path: Path) -> str:
    if not path.is_file():
        return NOT_STORED
    arms = read_json(path)["augmentation"]["arms"]
    seeds = {name: np.array(arms[name]["by_seed"]["nucleus"]) for name in arms}
    augmented, painted = seeds["real, geometric and noise"], seeds["real and painted"]
    every = bool((painted > augmented).all())
    word = "reproduced" if every else "not reproduced" if bool((painted < augmented).all()) else UNTOLD
    return (
        f"{word}: Dice of the nucleus {seeds['real'].mean():.2f} without, {augmented.mean():.2f} with either, "
        f"{painted.mean():.2f} with painted cells; seeds differ by up to {np.ptp(augmented):.2f}"
    )


def _few(path: Path) -> str:
    if not path.is_file():
        return NOT_STORED
    rows = [row for row in read_json(path)["rows"] if row["fold"] == 0]
    long = [row for row in rows if row["name"] == "released" or row["name"].endswith("-long")]
    short = [row for row in rows if row not in long]
    rows, others = (long, short) if any(row["each"] for row in long) else (short, [])
    means, real = _painted(rows), float(np.mean([value for row in rows for value in row["macro_f1"]["real"]]))
    tried = sorted({row["each"] for row in (*rows, *others)} - {0})
    enough = [each for each in tried if means.get(each, 0) >= ENOUGH * means[0]]  # one only tried briefly is not
    word = "reproduced" if enough == tried else "partly" if enough else "not reproduced"
    if means[0] < real / 2:  # such a training is too short for any number of cells
        word = UNTOLD
    said = (
        f"{word}: a classifier names painted cells at a macro-F1 of {_by_number(means)} cells of a type, real ones of "
        f"{real:.2f}"
    )
    if others:
        said += f" (one training each); after trainings of {others[0]['steps']:,} steps {_by_number(_painted(others))}"
    return said


def _painted(rows: list[dict[str, Any]]) -> dict[int, float]:
    """Average what painted cells reach, by the number of cells of a type that their painter saw (0: all)."""
    known: dict[int, list[float]] = {}
    for row in rows:
        known.setdefault(row["each"], []).extend(row["macro_f1"]["painted"])
    return {each: float(np.mean(values)) for each, values in known.items()}


def _by_number(means: dict[int, float]) -> str:
    few = ", ".join(f"{means[each]:.2f} after {each}" for each in sorted(means) if each)
    return f"{few} and {means[0]:.2f} after all"


def _curves(curves: dict[str, Any]) -> str:
    balance = 2 * float(np.log(2))
    loss = curves["discriminator_loss"]
    word = "not reproduced" if loss < balance else "reproduced"
    return (
        f"{word}: its loss of {loss} is the sum of two terms, whose balance is {balance:.3f}, not {curves['reference']}"
    )


def _mask(path: Path) -> str:
    if not path.is_file():
        return NOT_STORED
    found = read_json(path)
    seconds = f"{found['generator_seconds']:.2g} CPU-s"
    literal = f"{found['literal_seconds']:.0f}"
    return (
        f"could not test: not that processor; here the literal form takes {literal} CPU-s, and the same law {seconds}, "
        f"{found['ratio']:,.0f} times less"
    )


def _layout(path: Path) -> str:
    if not path.is_file():
        return NOT_STORED
    slides = list(read_json(path)["groups"].values())
    rejected = sum(slide["layouts"][ADHESION]["p"]["all together"] <= 0.05 for slide in slides)
    return f"{_against_uniform(slides, ADHESION)}; {rejected} slides still tell it from real cells"


def _graph(path: Path) -> str:
    return _against_uniform(list(read_json(path)["groups"].values()), GRAPH) if path.is_file() else NOT_STORED


def _against_uniform(slides: list[dict[str, Any]], layout: str) -> str:
    far = {n: [slide["layouts"][n]["distance"]["all"] for slide in slides] for n in (layout, UNIFORM)}
    nearer = sum(a < u for a, u in zip(far[layout], far[UNIFORM], strict=True))
    word = "reproduced" if nearer == len(slides) else "partly" if 2 * nearer > len(slides) else "not reproduced"
    return (
        f"{word}: nearer than uniform placement on {nearer} of {len(slides)} test slides (mean distance "
        f"{np.mean(far[layout]):.1f} against {np.mean(far[UNIFORM]):.1f})"
    )


def _interval(c: Contrast, paper: float) -> str:
    return f"{c.mean:+.3f} ({c.low:+.3f} to {c.high:+.3f}; {c.seeds} pairs of seeds; the paper {paper:+.3f})"


def _best(arm: str, found: dict[str, Contrast], paper: dict[str, float]) -> str:
    """Say whether an arm is the best: above every other, its interval without 0.

    Parameters
    ----------
    arm : str
    found : dict
        The arm's difference to each other one.
    paper : dict
        Its score by arm.
    """
    behind = [other for other, c in found.items() if c.high < 0]
    word = "not reproduced" if behind else "reproduced" if all(c.low > 0 for c in found.values()) else UNTOLD
    said = (f"against {other} {_interval(c, paper[arm] - paper[other])}" for other, c in found.items())
    return f"{word}: {', '.join(said)}"


def _replaces(c: Contrast, paper: float) -> str:
    """Say whether a difference has the paper's sign, and whether the paper's size is among what is likely."""
    far = not c.low <= paper <= c.high
    if not c.straddles:
        word = "reproduced" if (c.mean > 0) == (paper > 0) else "not reproduced"
        word = "partly" if word == "reproduced" and far else word
    else:
        word = "not reproduced" if far else UNTOLD
    return f"{word}: {_interval(c, paper)}" + (", whose size our interval leaves out" if far else "")


def _contrasts(runs: list[dict[str, Any]], paper: dict[str, dict[str, float]]) -> list[tuple[str, str, str, str]]:
    """Give two rows for each network of the first set of runs, as far as it has several seeds; real data come first."""
    from bloodlib import datasets
    from bloodlib.evaluators import report
    from bloodlib.evaluators.arms import ARMS
    from bloodlib.evaluators.contrasts import contrast

    (best, augmented), (synthetic, real) = PRIMARY
    for (data, profile), mine in report.by_set(runs).items():
        did = f"{datasets.title(data)}, {profile} profile"
        primary = report.primary(mine, np.random.default_rng(0))  # as everywhere else, intervals to the digit
        rows, sizes = [], []
        for task in report.TASKS:
            every = {
                other: primary.get((task, best, augmented))
                if other == augmented
                else contrast(mine, task, best, other, np.random.default_rng(0))
                for other in ARMS
                if other != best
            }
            told = {other: c for other, c in every.items() if c and c.seeds > 1}
            if told:
                says = f"Real, synthetic and augmented together are best: {report.TITLES[task]}"
                rows.append((says, f"{best} against every other arm; {did}", _best(best, told, paper[task])))
            c = primary.get((task, synthetic, real))
            if c and c.seeds > 1:
                claimed = paper[task][synthetic] - paper[task][real]
                says = f"Synthetic alone is {'better' if claimed > 0 else 'worse'} than real: {report.TITLES[task]}"
                sizes.append((says, f"{synthetic} against {real}; {did}", _replaces(c, claimed)))
        if rows or sizes:
            return [(*row, "11_table2") for row in (*rows, *sizes)]
    return [("The gains of its Table 2", "the same arms, on open data", NOT_STORED, "11_table2")]
