"""Which layouts real slides reject, and constants fitted to how their cells lie.

``python -m benchmarks.layouts`` prints what is stored. With ``--fit`` it first fits the constants to the fit slides of
Chula RBC-12 (about 5 CPU-minutes; data/results/layout_fit.json), with ``--compare`` it puts every layout to the test
on the test slides (about 10 CPU-minutes; data/results/layouts.json).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np

from bloodlib._files import package_data, read_json, write_json
from bloodlib.datasets import load
from bloodlib.layout_statistics import deviation_test
from bloodlib.realism import (
    PARTS,
    Comparison,
    Group,
    between_images,
    by_group,
    compare,
    distance,
    mean_curve,
    spread_over,
)
from bloodlib.sampler.constants import PUBLISHED, LayoutConstants
from bloodlib.sampler.fitting import AFRESH, FitConfig, LayoutFit, fit_layout, fit_slides, layout_distances
from bloodlib.smears import Smear

COMMAND = "python -m benchmarks.layouts"
FIT, COMPARED = package_data("results", "layout_fit.json"), package_data("results", "layouts.json")
LEVEL = 0.05
SAME = "fitted, same slide"  # to images of the slide that are not tested; where it has this many of them:
LEAST_REST = 3


def versions() -> dict[str, str]:
    """Versions of what the numbers depend on."""
    return {name: version(name) for name in ("numpy", "opencv-python", "scipy", "networkx")}


def significant(constants: LayoutConstants) -> dict:
    """Give constants as plain values, numbers to four significant digits."""
    values = constants.to_dict()
    return {name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in values.items()}


def rounded(curve: np.ndarray) -> list[float | None]:
    """Give a curve as numbers that JSON can hold, with four decimals; None where there is none."""
    return [None if np.isnan(value) else round(float(value), 4) for value in curve]


def afresh(constants: Mapping, groups: Mapping[str, Group], spread: np.ndarray, config: FitConfig) -> dict:
    """Measure the distances of constants as they are stored, with random numbers by which nothing was chosen."""
    seed = config.seed + AFRESH
    found = layout_distances(groups, LayoutConstants(**constants), spread, config.smears, config.repeats, seed)
    return {name: round(value, 3) for name, value in found.items()}


def plain(fit: LayoutFit, seconds: float, groups: Mapping[str, Group], spread: np.ndarray, config: FitConfig) -> dict:
    """Give a fit to these groups as plain values."""
    constants = significant(fit.constants)
    return {
        "constants": constants,
        "distances": afresh(constants, groups, spread, config),
        "published": afresh({}, groups, spread, config),
        "stages": {
            name: {"constants": significant(constants), "distance": round(value, 3)}
            for name, (constants, value) in fit.stages.items()
        },
        "tried": fit.tried,
        "cpu_seconds": round(seconds),
    }


def fit(dataset: str, config: FitConfig) -> dict:
    """Fit to all slides together, and to each of them."""
    smears, start = list(load(dataset, split="fit")), time.process_time()
    found = fit_layout(smears, config)
    half = time.process_time()
    print("one for all:", {name: round(value, 2) for name, (_, value) in found.stages.items()}, flush=True)
    slides = fit_slides(smears, config)
    seconds = (time.process_time() - half) / len(slides)
    groups = by_group(smears, config.gap_px)
    spread = between_images(groups.values())
    return {
        "command": f"{COMMAND} --fit",
        "dataset": dataset,
        "split": "fit",
        "config": asdict(config),
        "one_for_all": plain(found, half - start, groups, spread, config),
        "slides": {name: plain(found, seconds, {name: groups[name]}, spread, config) for name, found in slides.items()},
        "versions": versions(),
    }


def layouts(fitted: Mapping) -> dict[str, LayoutConstants | list[LayoutConstants]]:
    """Gather the published layouts and the fitted ones."""
    return {
        **PUBLISHED,
        "fitted": LayoutConstants(**fitted["one_for_all"]["constants"]),
        "fitted by slide": [LayoutConstants(**slide["constants"]) for slide in fitted["slides"].values()],
    }


def one_layout(group: Group, found: Comparison) -> dict:
    """Give what was found for one layout and one group as plain values, with the band that g(r) was held to."""
    part = PARTS["g(r)"]
    band = deviation_test(group.observed[part], found.made.curves[:, part])
    return {
        "mean": rounded(found.made.mean),
        "low": rounded(band.low),
        "high": rounded(band.high),
        "p": {name: round(value, 4) for name, value in found.p.items()},
        "distance": {name: round(value, 3) for name, value in found.distance.items()},
        "short": round(found.made.short, 3),
    }


def parts(smears: Iterable[Smear], per_group: int) -> dict[str, tuple[list[Smear], list[Smear]]]:
    """Divide each group into the smears that are tested and the rest."""
    members: dict[str, list[Smear]] = {}
    for smear in smears:
        members.setdefault(smear.group, []).append(smear)
    tested = {name: spread_over(of, per_group) for name, of in members.items()}
    return {name: (tested[name], [s for s in of if s not in tested[name]]) for name, of in members.items()}


def references(group: Group, slides: list[np.ndarray], spread: np.ndarray) -> dict[str, float]:
    """Put other real slides in a layout's place: each of them, and their mean curve, as a perfect layout would have."""
    one = np.mean([distance(group.observed, slide, spread)["all"] for slide in slides])
    return {
        "another real slide": round(float(one), 3),
        "mean of real slides": round(distance(group.observed, mean_curve(slides), spread)["all"], 3),
    }


def tested(dataset: str, fitted: Mapping, split: str, per_group: int, simulations: int, gap_px: float) -> dict:
    """Compare every layout with every group of the split."""
    known = by_group(load(dataset, split="fit"), gap_px)
    spread = between_images(known.values())
    groups, start = {}, time.process_time()
    for name, (smears, rest) in parts(load(dataset, split=split), per_group).items():
        group, candidates = Group(smears, gap_px), layouts(fitted)
        if len(rest) >= LEAST_REST:
            candidates[SAME] = fit_layout(rest, FitConfig(gap_px=gap_px), spread=spread).constants
        found = compare(group, candidates, simulations, spread)
        groups[name] = {
            "images": len(smears),
            "cell_px": round(group.cell_px, 2),
            "observed": rounded(group.observed),
            "references": references(group, [slide.observed for slide in known.values()], spread),
            "layouts": {layout: one_layout(group, one) for layout, one in found.items()},
        }
        if SAME in candidates:
            groups[name]["same_slide"] = {"images": len(rest), "constants": significant(candidates[SAME])}
        print(name, {layout: round(one.distance["all"], 2) for layout, one in found.items()}, flush=True)
    return {
        "command": f"{COMMAND} --compare",
        "dataset": dataset,
        "split": split,
        "per_group": per_group,
        "simulations": simulations,
        "gap_px": gap_px,
        "spread": rounded(spread),
        "groups": groups,
        "cpu_seconds": round(time.process_time() - start),
        "versions": versions(),
    }


def show(stored: Mapping) -> None:
    """Print distances by group, and in how many groups each layout is rejected."""
    groups = stored["groups"]
    names = list(dict.fromkeys(name for group in groups.values() for name in group["layouts"]))
    print(f"\n{stored['dataset']}, {stored['split']} slides: distance (0: no difference; rejected at 5 %: *)")
    print(f"{'':>19} " + " ".join(f"{group:>9}" for group in groups) + "      mean  rejected")
    for name in names:
        found = [group["layouts"].get(name) for group in groups.values()]
        cells = [
            f"{one['distance']['all']:8.2f}{'*' if rejects(one) else ' '}" if one else f"{'–':>9}" for one in found
        ]
        mean = np.mean([one["distance"]["all"] for one in found if one])
        rejected = sum(rejects(one) for one in found if one)
        print(f"{name:>19} {' '.join(cells)} {mean:9.2f}  {rejected} of {sum(map(bool, found))}")
    for name in next(iter(groups.values())).get("references", {}):  # which the earliest files lack
        found = [group["references"][name] for group in groups.values()]
        print(f"{name:>19} {' '.join(f'{value:8.2f} ' for value in found)} {np.mean(found):9.2f}")


def rejects(one: Mapping) -> bool:
    """Say whether a group rejects a layout, all measures together."""
    return one["p"]["all together"] <= LEVEL


def main() -> None:
    """Recompute what is asked for, and print what is stored."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="chula_rbc12", help="data set name or folder")
    parser.add_argument("--fit", action="store_true", help=f"fit the constants again and store {FIT.name}")
    parser.add_argument("--compare", action="store_true", help=f"test the layouts again and store {COMPARED.name}")
    parser.add_argument("--split", default="test")
    parser.add_argument("--per-group", type=int, default=2, help="smears of each group")
    parser.add_argument("--simulations", type=int, default=99, help="counterparts of each layout and group")
    parser.add_argument("--gap-px", type=float, default=2.0, help="background between cells that count as touching")
    parser.add_argument("--out", type=Path, default=COMPARED.parent)
    asked = parser.parse_args()
    cv2.setNumThreads(1)
    if asked.fit:
        write_json(asked.out / FIT.name, fit(asked.data, FitConfig(gap_px=asked.gap_px)))
    if asked.compare:
        fitted = read_json(asked.out / FIT.name)
        result = tested(asked.data, fitted, asked.split, asked.per_group, asked.simulations, asked.gap_px)
        write_json(asked.out / COMPARED.name, result)
    stored = asked.out / COMPARED.name
    if not stored.exists():
        parser.exit(1, f"{stored}: nothing is stored there yet; {COMMAND} --fit --compare makes it\n")
    show(read_json(stored))


if __name__ == "__main__":
    main()
