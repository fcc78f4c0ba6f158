"""Single cells of many types: trained twice with swapped test sets, on few cells, and a classifier with painted ones.

``python -m benchmarks.single_cells`` trains what is missing in build/single_cells (it goes on where it was stopped) and
rewrites data/results/composition/single_cells.json and the picture; ``--only train`` or ``--only judge`` does half.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from bloodlib._files import package_data, write_json
from bloodlib._versions import versions
from bloodlib.datasets import single_cells as sets
from bloodlib.datasets.single_cells import RED_CELL, TYPE_NAMES, SingleCell
from bloodlib.evaluators import morphology
from bloodlib.evaluators import single_cells as judged
from bloodlib.evaluators.cell_types import CellTypes
from bloodlib.evaluators.significance import RESAMPLES
from bloodlib.gan.pix2pix_training import CellPainter, CellTrainer, labels_of, preset

from .parts import run_parts

COMMAND = "python -m benchmarks.single_cells"
FOLDER, PICTURE = Path("build/single_cells"), Path("book/_static/few_cells.jpg")
STEPS = 1200  # of every training here, at a constant rate: the released painter's went on from there
SEEDS, JUDGE_STEPS, PAINTED = 3, 100, 40
SHOWN = ("eosinophil", "erythroblast", "lymphocyte", "neutrophil", "platelet", "red blood cell", "monocyte (Tecom)")


@dataclass(frozen=True)
class Training:
    """Name a training: which fifth is held out, and of which draw how many cells of every type are seen (0: all)."""

    fold: int = 0
    each: int = 0
    subset: int = 0
    long: bool = False  # as many steps as the released painter, and a rate that falls to nothing like its; it, for all

    @property
    def name(self) -> str:
        """What its folder and its row are called."""
        if self.each:
            return f"few-{self.each}-{self.subset}{'-long' * self.long}"
        return "released" if self.long else f"fold-{self.fold}-at-{STEPS}"

    def cells(self) -> list[SingleCell]:
        """Cut out what it is trained on."""
        fit, _ = sets.load(self.fold)
        return judged.few_of_each(fit, self.each, np.random.default_rng([self.each, self.subset])) if self.each else fit

    def painter(self, cells: Sequence[SingleCell]) -> tuple[CellPainter, int]:
        """Train until done, or find what is trained; give it with its steps."""
        config, released = preset("laptop"), CellPainter.load()
        if self.long and not self.each:
            return released, released.card["steps"]
        steps = released.card["steps"] if self.long else STEPS
        if self.each:
            shape = {} if self.long else {"constant": 1.0}
            config = preset("laptop", epochs=-(-steps * config.batch // len(cells)), **shape)
        trainer = CellTrainer(config, cells, FOLDER / self.name, progress=True)
        trainer.run(None if self.long else max(0, STEPS - trainer.step))
        return trainer.painter, trainer.step


SWAPPED = (Training(0), Training(1), Training(long=True))
FEW = (
    Training(each=10),
    Training(each=3),
    Training(each=10, subset=1),
    Training(each=3, subset=1),
    Training(each=10, long=True),
)


def train() -> None:
    """Train everything that is judged."""
    for one in (*SWAPPED, *FEW):
        one.painter(one.cells())


def judge_one(one: Training, judges: dict[tuple[int, int], CellTypes]) -> tuple[dict, list[np.ndarray]]:
    """Ask classifiers about held-out cells, real and painted, and train them with and without painted ones.

    Returns
    -------
    dict
        What is stored.
    list of uint8 (side, n · side, 3)
        The labels of some held-out cells, and what was painted on them.
    """
    cells, (fit, held_out) = one.cells(), sets.load(one.fold)
    (painter, steps), rng = one.painter(cells), np.random.default_rng([0, 31])
    held_out = judged.without_ground(held_out)
    scored = [k for k in np.unique([cell.kind for cell in held_out]).tolist() if k != RED_CELL]
    real, asked = judged.to_tiles(judged.without_ground(fit)), judged.to_tiles(held_out)
    painted = judged.repaint(painter, held_out, rng)
    learnt = judged.without_ground(cells)
    more, own = judged.paint_more(painter, learnt, PAINTED, rng), judged.to_tiles(learnt)
    scores: dict[str, list[float]] = {"real": [], "painted": []}
    tables: dict[str, list[np.ndarray]] = {"without": [], "with": []}
    for seed in range(SEEDS):
        if (one.fold, seed) not in judges:
            judges[one.fold, seed] = morphology.train(real, judged.CLASSES, seed=seed, steps=JUDGE_STEPS)
        known = judges[one.fold, seed]
        for name, tiles in (("real", asked), ("painted", painted)):
            table = morphology.confusion(tiles.kinds, morphology.classify(known, tiles), judged.CLASSES)
            scores[name].append(round(float(morphology.macro_f1(table, scored)), 4))
        for arm, also in (("without", None), ("with", more)):
            # The classifier has the same cells as the painter; all of them have been learnt from already.
            model = known if also is None and not one.each else None
            model = model or morphology.train(own, judged.CLASSES, also, seed=seed, steps=JUDGE_STEPS)
            found, _ = morphology.tables_of(asked, morphology.classify(model, asked), judged.CLASSES)
            tables[arm].append(found)
    stacked = {arm: np.stack(found) for arm, found in tables.items()}
    gain = morphology.compare(stacked["with"], stacked["without"], asked.groups, np.random.default_rng(1), scored)
    gain["macro_f1"] = {
        arm: round(float(np.mean(morphology.macro_f1(found.sum(axis=1), scored))), 4) for arm, found in stacked.items()
    }
    row = {
        "name": one.name,
        "fold": one.fold,
        "each": one.each,
        "subset": one.subset,
        "cells": len(cells),
        "steps": steps,
        "held_out": len(held_out),
        "grey_levels_away": {
            name: round(float(judged.grey_levels_away(painter, of, np.random.default_rng(2)).mean()), 2)
            for name, of in (("learnt", learnt), ("held out", held_out))
        },
        "macro_f1": scores,
        "gain": gain,
    }
    chosen = [next(cell for cell in held_out if TYPE_NAMES[cell.kind] == name) for name in SHOWN]
    shown = labels_of(chosen, painter.config)
    return row, [np.hstack(shown), np.hstack(painter.paint(shown, np.random.default_rng(3)))]


def judge() -> None:
    """Judge every training, store what came out, and draw the picture."""
    begun, rows, pictures = time.process_time(), [], {}
    judges: dict[tuple[int, int], CellTypes] = {}  # trained on all real cells of a fold
    for one in (*SWAPPED, *FEW):
        row, pictures[one.name] = judge_one(one, judges)
        rows.append(row)
        print(row, flush=True)
    few, several, every = (pictures[one.name] for one in (FEW[1], FEW[0], SWAPPED[0]))
    picture = np.vstack([few[0], few[1], several[1], every[1]])
    cv2.imwrite(str(PICTURE), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
    write_json(
        package_data("results", "composition", "single_cells.json"),
        {
            "what": "painters of single cells: swapped test sets, few cells, and a classifier with painted cells",
            "command": COMMAND,
            "cpu_seconds_of_judging": round(time.process_time() - begun),
            "versions": versions("numpy", "torch"),
            "rows": rows,
            "seeds": SEEDS,
            "classifier_steps": JUDGE_STEPS,
            "painted_of_each_type": PAINTED,
            "resamples": RESAMPLES,
            "shown": list(SHOWN),
        },
    )
    print(f"judged: stored after {time.process_time() - begun:.0f} CPU-s", flush=True)


PARTS = {"train": train, "judge": judge}


if __name__ == "__main__":
    run_parts(COMMAND, __doc__, PARTS)
