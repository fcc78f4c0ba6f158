"""Red cells of a chosen class: does a classifier know them again, and do rare classes gain from painted examples?

``python -m benchmarks.morphology`` fits a painter that is told the class of every cell of Chula RBC-12 (going on from
the released one; build/morphology keeps it, and goes on where it was stopped), and rewrites
data/results/composition/morphology.json.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np
import torch

from bloodlib._files import package_data, write_json
from bloodlib._versions import versions
from bloodlib.datasets import load
from bloodlib.evaluators import morphology
from bloodlib.evaluators.synthetic import PLAIN_LAYOUT, PLAIN_PAINTER
from bloodlib.gan.classes import class_shares
from bloodlib.gan.config import Stage
from bloodlib.gan.data import label
from bloodlib.gan.painting import find_styles
from bloodlib.gan.styles import Styles, forms
from bloodlib.smears import Smear
from bloodlib.synthesis import Synthesizer

COMMAND = "python -m benchmarks.morphology"
PICTURE = Path("book/_static/morphology.jpg")  # painted, of each class alone, and below a mix
FOLDER = Path("build/morphology/painter")
START = package_data("painters", "chula_rbc12-laptop-0")  # without a camera, as the painter of classes
STAGES = (Stage(crop=256, batch=2, steps=300, constant=1.0), Stage(crop=256, batch=2, steps=500))
AVERAGE = 0.99  # ours: of a tenth of the released painter's steps
UNCATEGORISED = 10  # no class of its own: what the experts gave no name, and cells without a point
RARE = 100  # ours: fewer cells to learn from
SEEDS, STEPS, PAINTED = 5, 300, 60
MIX = {4: 1.0, 6: 2.0}  # ours, of the smear with a chosen mix: target cells to ovalocytes as 1 : 2
MIXED = 20  # ours: masks drawn of that mix, to count


def painter(fit: Sequence[Smear]) -> Synthesizer:
    """Fit the painter of classes, or find it."""
    return Synthesizer.fit(
        fit,
        profile="laptop",
        folder=FOLDER,
        layout=PLAIN_LAYOUT,
        start_from=START,
        cell_classes=len(fit.class_names),
        stages=STAGES,
        average=AVERAGE,
        **PLAIN_PAINTER,
        checkpoint_every=50,
    )


def repaint(synth: Synthesizer, smear: Smear, known: Sequence[int], rng: np.random.Generator) -> Smear:
    """Paint a smear's mask with its own classes and looks drawn from the fitted smears.

    Cells of a class that was never seen are painted as uncategorised ones, and keep the class they have.
    """
    asked = np.where(np.isin(smear.classes, known), smear.classes, UNCATEGORISED)
    return replace(smear, image=synth.paint(smear.instances, rng, classes=asked))


def class_styles(classless: Synthesizer, smears: Sequence[Smear], classes: int) -> Styles:
    """Sort the looks that a painter without classes finds in real cells by the classes of those cells.

    Looks drawn from these are of cells of the class that is asked for, as those of the painter of classes are; the
    painter itself is told nothing but the looks.
    """
    config = replace(classless.config, cell_classes=classes)
    return find_styles(classless.encoder, [label(smear, config) for smear in smears], config, seed=0)


def repaint_without(
    classless: Synthesizer, styles: Styles, smear: Smear, known: Sequence[int], rng: np.random.Generator
) -> Smear:
    """Paint a smear's mask without its classes, every cell in the look of a fitted cell of its class."""
    asked = np.where(np.isin(smear.classes, known), smear.classes, UNCATEGORISED)
    kinds = np.concatenate([[0], asked + 1])  # the background's, then the cells'
    features, _ = styles.sample(rng, kinds, **forms(smear.instances, len(kinds)))
    return replace(smear, image=classless.paint(smear.instances, rng, features=features))


def sheet(
    synth: Synthesizer,
    kinds: Sequence[int],
    mix: dict[int, float],
    side_px: int = 160,
    columns: int = 5,
    gap_px: int = 6,
) -> tuple[np.ndarray, np.ndarray]:
    """Paint a small smear of each class alone, with white gaps, and below them a wide one of a mix.

    Returns
    -------
    uint8 (H, W, 3)
    int64 (n,)
        Classes of the cells of the mixed one.
    """
    alone = [
        synth.sample(np.random.default_rng([0, 24, k]), (side_px, side_px), classes={k: 1.0}, name=f"of-{k}").image
        for k in kinds
    ]
    rows = [alone[k : k + columns] for k in range(0, len(alone), columns)]
    mixed = synth.sample(np.random.default_rng([0, 26]), (side_px, columns * side_px), classes=mix, name="mixed")
    full = (side_px, columns * side_px + (columns - 1) * gap_px, 3)
    lines = [np.full(full, 255, np.uint8) for _ in range(len(rows) + 1)]
    for line, row in zip(lines, rows, strict=False):
        for column, panel in enumerate(row):
            line[:, column * (side_px + gap_px) :][:, :side_px] = panel
    left = (full[1] - columns * side_px) // 2
    lines[-1][:, left : left + columns * side_px] = mixed.image
    between = np.full((gap_px, *full[1:]), 255, np.uint8)
    return np.vstack([part for line in lines for part in (between, line)][1:]), mixed.classes


def mix_drawn(synth: Synthesizer, classes: int) -> dict:
    """Count the cells of each class in masks of the chosen mix, whose classes are drawn cell by cell."""
    shares = class_shares(MIX, classes)
    masks = [synth.draw_cells(np.random.default_rng([0, 27, k]), shares=shares) for k in range(MIXED)]
    drawn = np.bincount(np.concatenate([mask.classes for mask in masks]), minlength=classes)
    return {"asked": [MIX.get(k, 0.0) for k in range(classes)], "masks": MIXED, "drawn": drawn.tolist()}


def run(painted: int = PAINTED, seeds: int = SEEDS, steps: int = STEPS) -> dict:
    """Paint, train the classifiers, and give what is stored."""
    fit, test = load("chula_rbc12", split="fit"), load("chula_rbc12", split="test")
    synth, names = painter(fit), fit.class_names
    classes = len(names)
    real, held_out = morphology.cut_cells(fit), morphology.cut_cells(test)
    counts = np.bincount(real.kinds, minlength=classes)
    asked_for = [k for k in range(classes) if counts[k] and k != UNCATEGORISED]
    scored = [k for k in asked_for if (held_out.kinds == k).any()]
    rare = [k for k in scored if counts[k] < RARE]
    seen = [k for k in range(classes) if counts[k]]
    rng = np.random.default_rng([0, 21])
    classless = Synthesizer.load(START)
    styles = class_styles(classless, fit, classes)
    judges = {
        "real": held_out,
        "painted by class": morphology.cut_cells(repaint(synth, smear, seen, rng) for smear in test),
        "painted without": morphology.cut_cells(  # what the outline alone says of a class
            replace(smear, image=classless.paint(smear.instances, rng)) for smear in test
        ),
        "painted without, looks of the class": morphology.cut_cells(  # and what stain and cells of its slides say
            repaint_without(classless, styles, smear, seen, np.random.default_rng([0, 25, k]))
            for k, smear in enumerate(test)
        ),
    }
    judges = {name: cells.of_classes(scored) for name, cells in judges.items()}
    mix = dict.fromkeys(asked_for, 1.0)
    sampled = morphology.cut_cells(
        synth.sample(np.random.default_rng([0, 22, k]), classes=mix, name=f"painted-{k}") for k in range(painted)
    )
    real, held_out = real.of_classes(asked_for), held_out.of_classes(scored)
    picture, mixed = sheet(synth, asked_for, MIX)
    cv2.imwrite(str(PICTURE), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
    judged: dict[str, list[np.ndarray]] = {name: [] for name in judges}
    arms: dict[str, list[np.ndarray]] = {"real": [], "real + painted": []}
    groups = np.empty(0)
    for seed in range(seeds):
        for arm, also in (("real", None), ("real + painted", sampled)):
            model = morphology.train(real, classes, also, seed=seed, steps=steps)
            tables, groups = morphology.tables_of(held_out, morphology.classify(model, held_out), classes)
            arms[arm].append(tables)
            print(seed, arm, round(float(morphology.macro_f1(tables.sum(axis=0))), 3), flush=True)
            for name, cells in judges.items() if arm == "real" else ():
                judged[name].append(morphology.confusion(cells.kinds, morphology.classify(model, cells), classes))
    stacked = {arm: np.stack(tables) for arm, tables in arms.items()}  # (seeds, smears, classes, classes)
    rng = np.random.default_rng([0, 23])
    with_painted, without = stacked["real + painted"], stacked["real"]
    return {
        "classes": list(names),
        "fit": counts.tolist(),
        "shapes": np.bincount(synth.layout.shapes.classes, minlength=classes).tolist(),
        "shown": asked_for,
        "scored": scored,
        "rare": rare,
        "held_out": np.bincount(held_out.kinds, minlength=classes).tolist(),
        "painted": np.bincount(sampled.kinds, minlength=classes).tolist(),
        "smears": {"fit": len(fit), "test": len(test), "painted": painted},
        "mix": mix_drawn(synth, classes) | {"shown": np.bincount(mixed, minlength=classes).tolist()},
        "judge": {
            "confusion": {arm: np.sum(tables, axis=0).tolist() for arm, tables in judged.items()},
            "macro_f1": {
                arm: [round(float(morphology.macro_f1(table, scored)), 4) for table in tables]
                for arm, tables in judged.items()
            },
        },
        "gain": {
            "macro_f1": {
                arm: [round(float(morphology.macro_f1(x.sum(axis=0), scored)), 4) for x in tables]
                for arm, tables in stacked.items()
            },
            "f1": {
                arm: np.round(np.nanmean(morphology.f1_scores(tables.sum(axis=1)), axis=0)[scored], 4).tolist()
                for arm, tables in stacked.items()
            },
            "all": morphology.compare(with_painted, without, groups, rng, scored),
            "rare": morphology.compare(with_painted, without, groups, rng, rare),
        },
        "seeds": seeds,
        "steps": steps,
        "painter": {"start": synth.about["start"], "identity": synth.about["identity"]}
        | {"stages": [asdict(stage) for stage in STAGES]},
    }


def main() -> None:
    """Run and store it."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    torch.set_num_threads(parser.parse_args().threads)
    begun = time.process_time()
    content = run()
    about = {
        "what": "red cells of a chosen class: a classifier's confusion on real and painted ones, and with painted ones",
        "command": COMMAND,
        "cpu_seconds": round(time.process_time() - begun),
        "versions": versions("numpy", "torch"),
    }
    write_json(package_data("results", "composition", "morphology.json"), about | content)
    print({part: content["gain"][part] for part in ("all", "rare")})


if __name__ == "__main__":
    main()
