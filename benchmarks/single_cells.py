"""Single cells of many types: trained twice with swapped test sets, on few cells, and a classifier with painted ones.

``python -m benchmarks.single_cells`` trains what is missing in build/single_cells (it goes on where it was stopped) and
rewrites data/results/composition/single_cells.json and the picture; ``--only train`` or ``--only judge`` does half.
"""

from __future__ import annotations

import argparse
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

    @property
    def name(self) -> str:
        return f"few-{self.each}-{self.subset}" if self.each else f"fold-{self.fold}-at-{STEPS}"

    def cells(self) -> list[SingleCell]:
        fit, _ = sets.load(self.fold)
        return judged.few_of_each(fit, self.each, np.random.default_rng([self.each, self.subset])) if self.each else fit

    def painter(self, cells: Sequence[SingleCell]) -> CellPainter:
        """Train until done, or find what is trained."""
        config = preset("laptop")
        if self.each:
            config = preset("laptop", epochs=-(-STEPS * config.batch // len(cells)), constant=1.0)
        trainer = CellTrainer(config, cells, FOLDER / self.name, progress=True)
        trainer.run(max(0, STEPS - trainer.step))
        return trainer.painter


SWAPPED = (Training(0), Training(1))
FEW = (Training(each=10), Training(each=3), Training(each=10, subset=1), Training(each=3, subset=1))


def train() -> None:
    """Train everything that is judged."""
    for one in (*SWAPPED, *FEW):
        one.painter(one.cells())


def judge() -> None:
    """Ask classifiers about real and painted cells, and train them with and without painted ones."""
    begun, rows, sheet = time.process_time(), [], []
    judges: dict[tuple[int, int], CellTypes] = {}  # trained on all real cells of a fold
    for one in (*SWAPPED, *FEW):
        cells, (fit, held_out) = one.cells(), sets.load(one.fold)
        painter, rng = one.painter(cells), np.random.default_rng([0, 31])
        held_out = judged.without_ground(held_out)
        scored = [k for k in np.unique([cell.kind for cell in held_out]).tolist() if k != RED_CELL]
        real, asked = judged.to_tiles(judged.without_ground(fit)), judged.to_tiles(held_out)
        painted = judged.repaint(painter, held_out, rng)
        learnt = judged.without_ground(cells)
        more = judged.paint_more(painter, learnt, PAINTED, rng)
        scores: dict[str, list[float]] = {"real": [], "painted": []}
        tables: dict[str, list[np.ndarray]] = {"without": [], "with": []}
        for seed in range(SEEDS):
            key = one.fold, seed
            if key not in judges:
                judges[key] = morphology.train(real, judged.CLASSES, seed=seed, steps=JUDGE_STEPS)
            model = judges[key]
            for name, tiles in (("real", asked), ("painted", painted)):
                table = morphology.confusion(tiles.kinds, morphology.classify(model, tiles), judged.CLASSES)
                scores[name].append(round(float(morphology.macro_f1(table, scored)), 4))
            for arm, also in (("without", None), ("with", more)):
                # The classifier has the same cells as the painter; all of them have been learnt from already.
                if one.each or also is not None:
                    own = judged.to_tiles(learnt)
                    model = morphology.train(own, judged.CLASSES, also, seed=seed, steps=JUDGE_STEPS)
                found, _ = morphology.tables_of(asked, morphology.classify(model, asked), judged.CLASSES)
                tables[arm].append(found)
        stacked = {arm: np.stack(found) for arm, found in tables.items()}
        gain = morphology.compare(stacked["with"], stacked["without"], asked.groups, np.random.default_rng(1), scored)
        gain["macro_f1"] = {
            arm: round(float(np.mean(morphology.macro_f1(found.sum(axis=1), scored))), 4)
            for arm, found in stacked.items()
        }
        row = {
            "name": one.name,
            "fold": one.fold,
            "each": one.each,
            "subset": one.subset,
            "cells": len(cells),
            "steps": STEPS,
            "held_out": len(held_out),
            "grey_levels_away": {
                name: round(float(judged.grey_levels_away(painter, of, np.random.default_rng(2)).mean()), 2)
                for name, of in (("learnt", learnt), ("held out", held_out))
            },
            "macro_f1": scores,
            "gain": gain,
        }
        rows.append(row)
        print(row, flush=True)
        if one.subset == 0:
            chosen = [next(cell for cell in held_out if TYPE_NAMES[cell.kind] == name) for name in SHOWN]
            shown = labels_of(chosen, painter.config)
            if not sheet:
                sheet.append(np.hstack(shown))
            if one.fold == 0:
                sheet.append(np.hstack(painter.paint(shown, np.random.default_rng(3))))
    order = [0, 3, 2, 1]  # outlines, then few to many
    picture = np.vstack([sheet[k] for k in order])
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


def main() -> None:
    """Run one part or both."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=PARTS)
    only = parser.parse_args().only
    for name, part in PARTS.items():
        if only in (None, name):
            part()


if __name__ == "__main__":
    main()
