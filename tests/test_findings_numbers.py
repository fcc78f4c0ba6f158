"""What book/findings.md and README.md say came out is what is stored: every number is computed here, or it fails."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy import stats

from bloodlib._files import read_json
from bloodlib.evaluators import report
from bloodlib.evaluators.arms import ARMS
from bloodlib.evaluators.contrasts import PRIMARY, cell, contrast, primary
from bloodlib.evaluators.protocol import load_runs
from bloodlib.evaluators.verdicts import significant
from bloodlib.quoted import quoted
from tools import headline
from tools.layout import ROOT

STORED = ROOT / "data" / "results"
WORDS = [
    "none",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
]
# A number: with a decimal point or thousands, or before what it counts.
NUMBER = re.compile(
    r"[+−]?\d[\d,]*\.\d+|\d{1,3},\d{3}|\b\d+ (?:times|tiles|cells|px|of|steps|test)\b|\b(?:of|forty) \d+\b"
)


def page() -> str:
    """Give the page of all findings without its links, on one line."""
    text = re.sub(r"\{\w+\}`([^`<]*?)(?:\s*<[^`>]*>)?`", r"\1", (ROOT / "book" / "findings.md").read_text())
    return " ".join(text.split())


def section() -> str:
    """Give the bullets of what came out, without the block that tools.headline writes, on one line."""
    text = (ROOT / "README.md").read_text().split("## What came out so far\n")[1].split("\n## ")[0]
    block = re.compile(f"{re.escape(headline.BEGIN)}.*?{re.escape(headline.END)}", re.DOTALL)
    assert block.search(text)
    return " ".join(block.sub("", text).split())


@cache
def runs(data: str = headline.DATA) -> list[dict[str, Any]]:
    return report.by_set(load_runs(STORED / "table2"))[(data, headline.PROFILE)]


def signed(x: float) -> str:
    return f"{x:+.3f}".replace("-", "−")


def difference(arm: str, against: str, absolute: bool = False, task: str = "fcn8s") -> tuple[str, str, str]:
    """Give mean, interval and number of pairs as they are written; absolute for what is lost."""
    if (arm, against) in PRIMARY:  # drawn as for the table
        found = primary(runs(), np.random.default_rng(0))[task, arm, against]
    else:
        found = contrast(runs(), task, arm, against, np.random.default_rng(0))
    if absolute:
        return f"{-found.mean:.3f}", f"{-found.high:.3f} to {-found.low:.3f}", WORDS[found.seeds]
    mean = signed(found.mean) if abs(found.mean) >= 0.0005 else "0.000"
    return mean, f"{signed(found.low)} to {signed(found.high)}", WORDS[found.seeds]


def masks() -> list[str]:
    found = read_json(STORED / "masks.json")
    rows, columns = found["shape"]
    return [
        f"{found['literal_cells']} cells at {columns}×{rows} in {found['generator_seconds']:.2f} s of one processor",
        f"{found['ratio']:,} times faster than the literal form and {found['ratio_hoisted']} times faster",
    ]


def layouts() -> list[str]:
    groups = read_json(STORED / "layouts.json")["groups"].values()
    told = {
        name: sum(one["layouts"][name]["p"]["all together"] <= 0.05 for one in groups)
        for name in ("final, inverted", "uniform", "graph")
    }
    near = {
        name: [
            (one["layouts"][name]["distance"]["all"], one["layouts"]["final, inverted"]["distance"]["all"])
            for one in groups
            if name in one["layouts"]
        ]
        for name in ("fitted", "fitted, same slide")
    }
    nearer = {name: sum(ours < paper for ours, paper in pairs) for name, pairs in near.items()}
    slides = WORDS[len(groups)]
    # "No nearer" is a sign test that does not reject; the other is counted out.
    assert stats.binomtest(nearer["fitted"], len(near["fitted"])).pvalue > 0.05
    same = f"{WORDS[nearer['fitted, same slide']]} slides of {WORDS[len(near['fitted, same slide'])]}"
    assert told["graph"] == len(groups)
    assert told["uniform"] == told["final, inverted"]  # "as many"
    return [
        f"On {WORDS[told['final, inverted']]} of {slides} test slides a test tells the paper's layout from real cells",
        f"constants fitted to other images of the same slide are, on {same}",
        f"is told from blood on all {slides}",
    ]


def told_apart() -> list[tuple[int, int]]:
    """Give how many paintings of how many were told: by many pairs, by one, and by one of whole smears."""
    blind = {path.stem: read_json(path) for path in (STORED / "painter").glob("chula_rbc12-laptop-blind*.json")}
    told = {name: (one["painted"]["told_apart"], one["painted"]["n"]) for name, one in blind.items()}
    alone, sampled = (told.pop(f"chula_rbc12-laptop-blind-alone{of}") for of in ("", "-sampled"))
    assert len(set(told.values())) == 1
    (many,) = set(told.values())
    assert many[0] == many[1], "all of them"
    return [many, alone, sampled]


def painter() -> list[str]:
    found = read_json(STORED / "painter" / "chula_rbc12-laptop.json")
    first = [read_json(STORED / "painter" / f"chula_rbc12-laptop-0{which}.json") for which in ("", "-camera")]
    before, kid = (one["kid"]["test"]["values"]["repainted"] for one in first)
    assert first[0]["model"]["generator_hash"] == first[1]["model"]["generator_hash"], "one network"
    rough = {name: one["picture_px"][-1] for name, one in found["roughness"].items()}
    low, high = found["roughness"]["real"]["wavelengths_px"][-1]
    sizes, values = found["sizes"], found["kid"]["fit"]["values"]
    draws = [one["mean"] for name, one in values.items() if name.startswith("sampled")]
    many, alone, sampled = told_apart()
    assert len(draws) == 3
    return [
        f"(of Table 2's first painter, KID {kid['mean']:.2f} ± {kid['std']:.2f} instead of {before['mean']:.2f})",
        f"(details of {low:g} to {high:g} px displace the outlines of painted test masks by "
        f"{rough['repainted']:.3f} px, of real ones by {rough['real']:.3f}, of sampled smears by "
        f"{rough['sampled']:.3f}, of the fitted slides by "
        f"{rough['real, part fit']:.3f})",
        f"vary by {sizes['sampled']['spread']:.3f} of the mean (real {sizes['real, part fit']['spread']:.3f})",
        "(KID {:.2f}, {:.2f} and {:.2f} in three draws of ".format(*draws) + f"{found['smears']['sampled']})",
        "that sees many pairs still tells {} tiles of {}".format(*many),
        "Looks of it at one pair each told {} of {}, and {} of {} of whole sampled smears".format(*alone, *sampled),
    ]


def hidden(arm: str, against: str, task: str = "fcn8s") -> str:
    return f"{contrast(runs(), task, arm, against, np.random.default_rng(0)).smallest:.3f}"


def gaining(arm: str, against: str, task: str) -> int:
    values = contrast(runs(), task, arm, against, np.random.default_rng(0)).by_seed.values()
    return sum(value > 0 for value in values)


def instrument() -> list[str]:
    steps = {run["config"]["steps"] for run in runs() if run["task"] == "fcn8s"}
    mean, interval, pairs = difference("SD", "RD", absolute=True)
    said = [f"After {min(steps)} steps", f"({mean} of Dice, {interval} over {pairs} pairs of seeds)"]
    mean, interval, pairs = difference("SD-camera", "SD")
    said.append(f"teach it more than without ({mean}, {interval}; {pairs} pairs)")
    mean, interval, pairs = difference("SD-camera", "RD")
    hide = hidden("SD-camera", "RD")
    said.append(f"was found: {mean} ({interval}; {pairs} pairs; a difference below {hide} could hide)")
    mean, interval, pairs = difference("SD-released", "RD")
    said.append(f"sizes and looks: {mean} ({interval}; {pairs} pairs; {hidden('SD-released', 'RD')} could hide)")
    others = cell(runs(), "fcn8s", "RD+SD-shuffled", rng=np.random.default_rng(0))
    return [*said, f"Dice falls to {others.mean:.2f}"]


def contact() -> list[str]:
    task, arm = "contour_fcn", "SD-overlap"
    apart, real = difference(arm, "SD", task=task), difference(arm, "RD", task=task)
    beside = [
        (difference("RD+SD-overlap", other, task=task), hidden("RD+SD-overlap", other, task))
        for other in ("RD", "RD+SD")
    ]
    points = contrast(runs(), task, arm, "RD", np.random.default_rng(0), score="point_f1")
    both = contrast(runs(), task, arm, "SD", np.random.default_rng(0)).by_seed
    mine = [run for run in runs() if run["task"] == task and run["seed"] in both]
    kinds = {name: [run["crowding"] for run in mine if run["arm"] == name] for name in ("SD", arm)}
    ap = {
        (name, kind): f"{np.mean([one[kind]['AP50'] for one in found]):.2f}"
        for name, found in kinds.items()
        for kind in ("isolated", "clustered")
    }
    segmenter, detector = difference(arm, "SD"), difference(arm, "SD", task="faster_rcnn")
    merged = contrast(runs(), "fcn8s", arm, "SD", np.random.default_rng(0), score="point_f1")
    assert merged.high < 0, "by points it loses"
    assert gaining(arm, "SD", task) == 8, "in every pair"
    assert points.straddles
    return [
        f"where none may (AP50 {apart[0]}, {apart[1]}; {apart[2]} pairs, all of which gained)",
        f"than from real ones ({real[0]}, {real[1]}; {WORDS[gaining(arm, 'RD', task)]} of {real[2]} pairs gained; "
        f"{hidden(arm, 'RD', task)} could hide)",
        "with real ones beside them, more than those alone ({0[0]}, {0[1]}; {0[2]} pairs; {1} could hide)".format(
            *beside[0]
        ),
        "painted ones ({0[0]}, {0[1]}; {1} could hide)".format(*beside[1]),
        f"AP50 of {ap[arm, 'clustered']} instead of {ap['SD', 'clustered']}), isolated ones hardly better "
        f"({ap[arm, 'isolated']}, {ap['SD', 'isolated']})",
        f"found before ({signed(points.mean)} of point F1, {signed(points.low)} to {signed(points.high)})",
        f"The segmenter gains nothing ({segmenter[0]}, {segmenter[1]}; {segmenter[2]} pairs) and loses by points "
        f"({signed(merged.mean)}, {signed(merged.low)} to {signed(merged.high)}), nor does the detector gain "
        f"({detector[0]}, {detector[1]}; {detector[2]} pairs)",
    ]


def rendered() -> list[str]:
    found = primary(runs("phantom"), np.random.default_rng(0))
    assert len(found) == 6
    assert all(significant(c) and c.gain < 0 for c in found.values()), "all six, and all of them losses"
    assert {c.seeds for c in found.values()} == {8}
    points = primary(runs("phantom"), np.random.default_rng(0), "point_f1")
    said = []
    for arm, against in (("SD", "RD"), ("RD+SD+aug", "RD+aug")):
        told = [
            f"{signed(c.mean)} ({signed(c.low)} to {signed(c.high)})"
            for c in (found[task, arm, against] for task in report.TASKS)
        ]
        said.append("the segmenter {}, the detector {} and the contour network {}".format(*told))
    by_points = [points["fcn8s", *pair] for pair in PRIMARY]
    assert all(c.mean > 0 for c in by_points)
    replaced, added = (points["fcn8s", *pair] for pair in (("SD", "RD"), ("RD+SD+aug", "RD+aug")))
    gained = "; ".join(f"{signed(c.mean)}, {signed(c.low)} to {signed(c.high)}" for c in (replaced, added))
    return [*said, f"by exact points the segmenter rather gained ({gained})"]


def rendered_controls() -> list[str]:
    """Give what controls came out as on the phantom, each over three pairs."""
    said = {}
    for task in ("fcn8s", "contour_fcn"):
        for arm in ("RD+SD", "RD+SD-half", "RD+CP"):
            c = contrast(runs("phantom"), task, arm, "RD", np.random.default_rng(0))
            assert c.seeds == 3
            said[task, arm] = f"{signed(c.mean)}, {signed(c.low)} to {signed(c.high)}"
            if arm == "RD+SD-half":
                halves = c.by_seed
            elif arm == "RD+SD":
                usual = c.by_seed
        assert all(halves[seed] > usual[seed] for seed in usual), "in every pair"
        assert contrast(runs("phantom"), task, "RD+SD-half", "RD", np.random.default_rng(0)).high < 0
    pasted = contrast(runs("phantom"), "contour_fcn", "RD+CP", "RD", np.random.default_rng(0))
    assert min(pasted.by_seed.values()) > 0, "in every pair"
    mean, interval = said["contour_fcn", "RD+CP"].split(", ")
    return [
        f"({said['fcn8s', 'RD+SD-half']}, against real ones alone; {said['fcn8s', 'RD+SD']}, where",
        f"({said['contour_fcn', 'RD+SD-half']}, instead of {said['contour_fcn', 'RD+SD']})",
        f"gives the contour network {mean} ({interval}), as on blood",
    ]


def how_many() -> list[str]:
    five, ten = difference("RD-5", "RD"), difference("RD-10", "RD")
    mean, interval, pairs = difference("RD+SD-10", "RD-10", absolute=True)
    few, ten_few = (difference(arm, "RD", task="contour_fcn") for arm in ("RD-5", "RD-10"))
    boxes = difference("RD-5", "RD", task="faster_rcnn")
    task = ("RD-5", "RD", "contour_fcn")
    return [
        f"({five[0]}, {five[1]}; {five[2]} pairs of seeds; {hidden('RD-5', 'RD')} could hide)",
        f"({ten[0]}, {ten[1]}; {hidden('RD-10', 'RD')} could hide)",
        f"detector ({boxes[0]}, {boxes[1]}; {boxes[2]} pairs; {hidden('RD-5', 'RD', 'faster_rcnn')} could hide)",
        f"and by ten no more that was seen ({ten_few[0]}, {ten_few[1]}; {ten_few[2]} pairs; "
        f"{hidden('RD-10', 'RD', 'contour_fcn')} could hide)",
        f"lost by five ({few[0]}, {few[1]}; {few[2]} pairs, of which {WORDS[gaining(*task)]} gained; "
        f"{hidden(*task)} could hide)",
        f"added to ten take {mean} away from the segmenter ({interval}; {pairs} pairs; "
        f"{hidden('RD+SD-10', 'RD-10')} could hide)",
    ]


def cells() -> list[str]:
    judged = {
        name: np.mean(x)
        for name, x in read_json(STORED / "composition" / "morphology.json")["judge"]["macro_f1"].items()
    }
    rows = read_json(STORED / "composition" / "single_cells.json")["rows"]
    long = [row for row in rows if row["name"] == "released" or row["name"].endswith("-long")]
    reached = {row["each"]: np.mean(row["macro_f1"]["painted"]) for row in long}
    real = np.mean([x for row in long for x in row["macro_f1"]["real"]])
    brief = sorted(np.mean(row["macro_f1"]["painted"]) for row in rows if row not in long)
    number = {6: "six"}[len(brief)]
    gain = next(row["gain"] for row in long if row["each"] == 0)
    return [
        f"macro-F1 {judged['painted by class']:.2f}, against {judged['painted without']:.2f} when told none and "
        f"{judged['real']:.2f} for real cells",
        f"no name told it is {judged['painted without, looks of the class']:.2f}",
        f"(macro-F1 {reached[0]:.2f} against {real:.2f}), and hardly less well if the painter saw ten cells of a type "
        f"({reached[10]:.2f})",
        f"{brief[0]:.2f} to {brief[-1]:.2f} in {number} trainings, whatever the number of cells",
        f"({signed(gain['difference'])}, {signed(gain['low'])} to {signed(gain['high'])};",
    ]


def networks_by_points() -> float:
    """Give the best mean of point F1 that an arm of Table 2 has."""
    cells = [
        cell(runs(), task, arm, score="point_f1", rng=np.random.default_rng(0)) for task in report.TASKS for arm in ARMS
    ]
    return max(found.mean for found in cells)


def rest() -> list[str]:
    rules = read_json(STORED / "baseline" / "chula_rbc12.json")["scores"]["point_f1"]
    derived = read_json(STORED / "derivation.json")
    f1 = {name: derived[name]["with_points"]["f1_50"] for name in ("chula_rbc12", "phantom")}
    steps = {run["config"]["steps"] for run in runs() if run["task"] == "fcn8s"}
    seeds = [sum((run["task"], run["arm"]) == (task, arm) for run in runs()) for task in report.TASKS for arm in ARMS]
    test = read_json(STORED / "painter" / "chula_rbc12-laptop.json")["smears"]["real"]
    assert quoted("bailo2019.sampler.cell_size_px") == read_json(STORED / "masks.json")["cell_px"]
    return [
        f"at an F1 of {rules:.3f} (`data/results/baseline`)",
        f"reach {networks_by_points():.3f} at most",
        f"All fifteen cells, {min(seeds)} to {max(seeds)} seeds each",
        f"budget of {min(steps)} steps; means on {test} test smears",
        f"another derivation at F1 {f1['chula_rbc12']:.3f} (IoU 0.5)",
        f"rendered smears at F1 {f1['phantom']:.3f}",
    ]


PARTS = (masks, layouts, painter, instrument, contact, rendered, rendered_controls, how_many, cells, rest)


def explained() -> list[str]:
    """Give the number that explains a phrase and is none of ours."""
    return ['"0.012 could hide" means: a true difference below 0.012 would']


def shortly() -> list[str]:
    """Give README's few numbers; what it claims without one is asserted."""
    slides = {name: len(parts) for name, parts in read_json(ROOT / "data/splits/chula_rbc12.json")["parts"].items()}
    smears = read_json(ROOT / "data/splits/chula_rbc12.json")["sizes"].values()
    steps = {run["config"]["steps"] for run in runs() if run["task"] == "fcn8s"}
    found = primary(runs(), np.random.default_rng(0))
    assert not any(significant(c) and c.gain > 0 for c in found.values()), "no gain that chance does not explain"
    assert [key for key, c in found.items() if significant(c)] == [("fcn8s", "SD", "RD")]
    assert contrast(runs(), "fcn8s", "SD-camera", "RD", np.random.default_rng(0)).straddles, "no difference is left"
    task, pasted = "contour_fcn", difference("RD+CP", "RD", task="contour_fcn")
    contact, lost = difference("SD-overlap", "RD", task=task), difference("SD", "RD", absolute=True)
    painted = [c for arm in ("SD", "SD-overlap", "RD+SD", "RD+SD-overlap") if (c := difference(arm, "RD", task=task))]
    assert float(pasted[0]) > max(float(mean.replace("−", "-")) for mean, *_ in painted), "than any painting"
    *_, sampled = told_apart()
    rules = read_json(STORED / "baseline" / "chula_rbc12.json")["scores"]["point_f1"]
    return [
        f"On {sum(smears)} real smears, split by slide, under a fixed small budget of {min(steps)} steps",
        f"on {WORDS[slides['test']]} test slides",
        f"loses {lost[0]} of Dice",
        f"than from real ones (AP50 {contact[0]}, {contact[1]})",
        f"more than any painting ({pasted[0]}, {pasted[1]}; {pasted[2]} pairs)",
        "tells the painting in {} of {}".format(*sampled),
        f"points at an F1 of {rules:.3f}; the networks of the table reach {networks_by_points():.3f} at most",
        masks()[0],
    ]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_what_is_stored_is_what_is_said(part):
    text = page()
    assert [said for said in part() if said not in text] == []


def others(text: str, parts: Iterable[Callable[[], list[str]]]) -> list[str]:
    """List the numbers of a text that no part gives, with what stands around them."""
    for said in (one for part in parts for one in part()):
        text = text.replace(said, "")
    return [text[max(0, found.start() - 30) : found.end() + 20] for found in NUMBER.finditer(text)]


def test_no_other_number_is_said():
    assert others(page(), (*PARTS, explained)) == []


def test_readme_says_the_same():
    text = section()
    assert [said for said in shortly() if said not in text] == []
    assert others(text, [shortly]) == []


@pytest.mark.parametrize("typed", ["a Dice of 0.93 is", "2,300 times as fast", "sees 40 tiles", "fell by −0.01 here"])
def test_numbers_are_noticed(typed):
    assert NUMBER.search(typed)
