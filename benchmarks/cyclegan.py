"""Train CycleGAN on white cells, and measure what `rao2019` did not: trimaps found, cells painted, what pairing buys.

``python -m benchmarks.cyclegan`` writes data/results/cyclegan/laptop.json. Trainings are kept under build/cyclegan and
gone on with where they were stopped. With ``--sheet`` nothing is measured anew: what the trained painters make of the
first held-out cells is drawn, and what was drawn is written to data/results/cyclegan/sheet.json. With ``--few`` the
chapter's own small training is repeated on the phantom with fewer cells and other seeds, for its exercise:
data/results/cyclegan/few.json.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from bloodlib._files import package_data, read_json, write_json
from bloodlib._versions import versions
from bloodlib.datasets import wbc_segmentation
from bloodlib.datasets.phantom_white_cells import TITLE, render_white_cell
from bloodlib.datasets.wbc_segmentation import WhiteCells
from bloodlib.evaluators import cell_types
from bloodlib.evaluators.kid import kid_with_floors
from bloodlib.evaluators.synthetic import PLAIN_PAINTER
from bloodlib.evaluators.trimap_net import by_thresholds, segment, train_trimap_net
from bloodlib.evaluators.white_cells import (
    Pair,
    darkness_order,
    exchanged_classes,
    hidden_in_picture,
    hidden_in_trimap,
    summary,
    trimap_dice,
)
from bloodlib.gan.config import GanConfig, Stage, preset
from bloodlib.gan.cyclegan import CYCLE_PRESETS, CycleConfig
from bloodlib.gan.cyclegan_painting import CellPainter, resize_image, to_square
from bloodlib.gan.cyclegan_training import CycleTrainer
from bloodlib.gan.data import Labelled, label, resized
from bloodlib.gan.painting import encode_smear, paint_instances
from bloodlib.gan.precision import autocast_dtype
from bloodlib.gan.training import Trainer
from bloodlib.io.trimaps import BACKGROUND, resize_trimap, to_levels
from bloodlib.smears import Smear

COMMAND = "python -m benchmarks.cyclegan"
RESULT = package_data("results", "cyclegan", "laptop.json")
MODEL = package_data("painters", "cyclegan-wbc")
PICTURE, SHEET = Path("book/_static/white_cells.jpg"), package_data("results", "cyclegan", "sheet.json")
FEW, COUNTS, FEW_SEEDS = package_data("results", "cyclegan", "few.json"), (4, 8, 24), 4
HELD_OUT = range(100, 130)  # rendered cells that no training sees; the chapter's own six are among them
COLUMNS = {  # of the sheet, from the left: what each shows, under which letter
    "a": "painted by CycleGAN on the annotation, which is not shown",
    "b": "found again in it by CycleGAN",
    "c": "painted by pix2pixHD on the annotation",
    "d": "found by CycleGAN in the photograph, which is not shown",
    "e": "painted again by CycleGAN",
}
EACH, PANEL_PX, GAP_PX, HEAD_PX = 2, 112, 4, 30  # cells of each type; five panels fit into the width of a phone
TILE_PX = 80  # ours: fits into the smallest picture, of 88 px
ARMS: dict[str, tuple[bool, bool, tuple[str, ...]]] = {  # real pairs, painted pairs, augmentations
    "real": (True, False, ()),
    "real, geometric": (True, False, ("geometric",)),
    "real, noise": (True, False, ("noise",)),
    "real, geometric and noise": (True, False, ("geometric", "noise")),
    "painted": (False, True, ()),
    "real and painted": (True, True, ()),
    "real and painted, geometric and noise": (True, True, ("geometric", "noise")),
}


def paired_config(config: CycleConfig) -> GanConfig:
    """Give the library's pix2pixHD the square and the batch of CycleGAN, and about its processor time.

    A step of CycleGAN trains four networks, passes six times through its generators and takes 1.4 times as long.
    """
    shape, first = (config.side_px, config.side_px), config.steps // 2
    shared = {"shape": shape, "crop": config.side_px, "batch": config.batch}
    stages = (Stage(**shared, steps=first, constant=1.0), Stage(**shared, steps=config.steps))
    settings = {"cell_classes": 2, "objects": False, "checkpoint_every": 50, "preview_every": 200}
    return preset("laptop", stages=stages, **PLAIN_PAINTER, **settings)


def _names(cells: WhiteCells) -> str:
    return hashlib.sha256(" ".join(cells.names).encode()).hexdigest()


def train_unpaired(cells: WhiteCells, config: CycleConfig, folder: Path, seed: int) -> CycleTrainer:
    """Train a CycleGAN, or go on where it was stopped."""
    seen = list(cells)
    images, trimaps = [cell.image for cell in seen], [cell.trimap for cell in seen]
    identity = config.digest(seed=seed, cells=_names(cells))
    trainer = CycleTrainer(config, images, trimaps, folder, seed=seed, progress=True, identity=identity)
    trainer.run()
    return trainer


def train_paired(cells: WhiteCells, config: GanConfig, folder: Path, seed: int) -> Trainer:
    """Train pix2pixHD on the same cells, each with its own trimap, or go on where it was stopped."""
    smears = [cell.to_smear() for cell in cells]
    identity = config.digest(seed=seed, cells=_names(cells))
    trainer = Trainer(config, smears, folder, seed=seed, progress=True, identity=identity)
    trainer.run()
    return trainer


def paint_paired(trainer: Trainer, cells: Sequence[wbc_segmentation.WhiteCell], looks: WhiteCells, seed: int) -> list:
    """Paint each cell's trimap in the style of a random cell that was trained on; native size, uint8 (H, W, 3)."""
    side = trainer.config.stages[0].crop

    def square(smear: Smear) -> Labelled:
        return resized(label(smear, trainer.config), (side, side))

    lent = [square(cell.to_smear()) for cell in looks]
    styles = [encode_smear(trainer.encoder, seen) for seen in lent if len(seen.kinds) == 3]  # those with both parts
    painted = []
    for k, cell in enumerate(cells):
        rng = np.random.default_rng([seed, k])
        seen = square(cell.to_smear())
        means = styles[int(rng.integers(len(styles)))][torch.from_numpy(seen.kinds)]  # (parts + 1, C)
        painting = paint_instances(trainer.painter, seen.instances, means, seen.kinds, rng)
        painted.append(resize_image(painting, cell.trimap.shape))
    return painted


def _smears(images: Sequence[np.ndarray], cells: Sequence[wbc_segmentation.WhiteCell]) -> list[Smear]:
    found = [cell.to_smear() for cell in cells]
    return [Smear(image, s.instances, s.classes, s.name) for image, s in zip(images, found, strict=True)]


def measure_painting(
    painters: dict[str, list[np.ndarray]], cells: Sequence[wbc_segmentation.WhiteCell], side_px: int, seed: int
) -> dict[str, Any]:
    """Give KID of every painter on the held-out trimaps, with floors, and whether its colours are in order."""
    real = [cell.image for cell in cells]
    small = [resize_image(to_square(image, side_px), image.shape[:2]) for image in real]
    stand_ins = {name: _smears(images, cells) for name, images in painters.items()}
    stand_ins[f"real, through {side_px} px"] = _smears(small, cells)
    distances = kid_with_floors(
        cell_types.load(),
        _smears(real, cells),
        stand_ins,
        seed=seed,
        tiles_each=4,
        side_px=TILE_PX,
        subsets=20,
        ink=False,
    )
    trimaps = [cell.trimap for cell in cells]
    order = {
        name: darkness_order(list(zip(images, trimaps, strict=True)))
        for name, images in {"real": real, **painters}.items()
    }
    return {"kid": distances, "darker_inside": order}


def measure_trimaps(
    finders: dict[str, Callable[[np.ndarray], np.ndarray]], cells: Sequence[wbc_segmentation.WhiteCell], seed: int
) -> dict[str, Any]:
    """Score trimaps found in the held-out pictures against the annotation."""
    found = {}
    for name, find in finders.items():
        predicted = [find(cell.image) for cell in cells]
        scores = [trimap_dice(p, cell.trimap) for p, cell in zip(predicted, cells, strict=True)]
        found[name] = {
            "dice": summary(scores, np.random.default_rng([seed, 3])),
            "classes": exchanged_classes(predicted, [cell.trimap for cell in cells]),
            "per_image": {c.name: [round(v, 4) for v in s.values()] for c, s in zip(cells, scores, strict=True)},
        }
    return found


def first_of_each(kinds: np.ndarray, each: int) -> list[int]:
    """Choose the first cells of every type in the order they have: nobody picks the prettiest."""
    return [int(k) for kind in np.unique(kinds) for k in np.flatnonzero(kinds == kind)[:each]]


def sheet(
    cells: Sequence[wbc_segmentation.WhiteCell], painter: CellPainter, paired: Sequence[np.ndarray]
) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Draw a row for each cell with the columns of `COLUMNS`; nothing of the set itself is among them.

    Parameters
    ----------
    cells : sequence of WhiteCell
    painter : CellPainter
    paired : sequence of uint8 (H, W, 3)
        The painting of each cell's trimap by the painter that was trained on pairs.

    Returns
    -------
    picture : uint8 (H, W, 3)
    rows : list of dict
        Name and type of each cell, and the Dice of both trimaps that were found.
    """
    drawn, rows = [], []
    for cell, supervised in zip(cells, paired, strict=True):
        painting, found = painter.paint(cell.trimap), painter.find(cell.image)
        again = painter.find(painting)
        panels = [painting, again, supervised, found, painter.paint(found)]
        drawn.append(np.hstack([_panel(one) for one in panels]))
        dice = {"found again": trimap_dice(again, cell.trimap), "found in the picture": trimap_dice(found, cell.trimap)}
        rows.append(
            {
                "name": cell.name,
                "type": wbc_segmentation.TYPE_NAMES[cell.kind],
                "dice": {way: {part: round(v, 4) for part, v in one.items()} for way, one in dice.items()},
            }
        )
    head = np.full((HEAD_PX, drawn[0].shape[1], 3), 255, np.uint8)
    for k, letter in enumerate(COLUMNS):
        middle = k * (PANEL_PX + GAP_PX) + PANEL_PX // 2 - 8
        cv2.putText(head, letter, (middle, 22), cv2.FONT_HERSHEY_SIMPLEX, 0.9, (40, 40, 40), 2, cv2.LINE_AA)
    return np.vstack([head, *drawn]), rows


def stain_spread(pairs: Sequence[Pair]) -> float:
    """Say how much stains differ: RMS distance of each picture's mean background colour to the mean of all.

    In grey levels of RGB; 0 if every picture has the same background.
    """
    means = np.array([image[trimap == BACKGROUND].mean(axis=0) for image, trimap in pairs])  # (N, 3)
    return float(np.sqrt(((means - means.mean(axis=0)) ** 2).sum(axis=1).mean()))


def _panel(shown: np.ndarray) -> np.ndarray:
    """Bring a picture or a trimap to the side of a panel, white to its right and below; uint8 (S, S, 3)."""
    shape = (PANEL_PX, PANEL_PX)
    if shown.ndim == 2:
        shown = np.repeat(to_levels(resize_trimap(shown, shape))[..., None], 3, axis=2)  # (S, S) -> (S, S, 3)
    return np.pad(resize_image(shown, shape), ((0, GAP_PX), (0, GAP_PX), (0, 0)), constant_values=255)


def draw_sheet(cells: WhiteCells, painters: dict[str, list[np.ndarray]], painter: CellPainter) -> dict[str, Any]:
    """Write the sheet of the first held-out cells; give what is on it, and how much stains differ on all of them."""
    seen, chosen = list(cells), first_of_each(cells.kinds, EACH)
    picture, rows = sheet([seen[k] for k in chosen], painter, [painters["pix2pixHD"][k] for k in chosen])
    cv2.imwrite(str(PICTURE), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
    looks = {"real": [cell.image for cell in seen], **painters}
    trimaps = [cell.trimap for cell in seen]
    spread = {name: round(stain_spread(list(zip(images, trimaps, strict=True))), 2) for name, images in looks.items()}
    return {"picture": str(PICTURE), "each": EACH, "columns": COLUMNS, "rows": rows, "stain_spread": spread}


def measure_arm(
    arm: str,
    pools: tuple[Sequence[Pair], Sequence[Pair]],
    cells: Sequence[wbc_segmentation.WhiteCell],
    seeds: int,
    steps: int,
    kept: Path,
) -> dict[str, Any]:
    """Train the small segmenter on one arm and score it on the held-out pictures; read the scores where they are kept.

    Parameters
    ----------
    arm : str
        A key of `ARMS`.
    pools : (real pairs, painted pairs)
    cells : sequence of WhiteCell
    seeds, steps : int
    kept : Path
        JSON file.
    """
    if kept.is_file():
        return read_json(kept)
    with_real, with_painted, augmentations = ARMS[arm]
    chosen = (pools[0] if with_real else [], pools[1] if with_painted else [])
    runs = []
    for seed in range(seeds):
        net = train_trimap_net(*chosen, augmentations, steps=steps, seed=seed)
        runs.append([trimap_dice(segment(net, cell.image), cell.trimap) for cell in cells])
    means = {part: [round(float(np.mean([s[part] for s in run])), 4) for run in runs] for part in runs[0][0]}
    found = {"dice": {part: round(float(np.mean(v)), 4) for part, v in means.items()}, "by_seed": means}
    print(arm, found["dice"], flush=True)
    write_json(kept, found)
    return found


def few_cells(config: CycleConfig, counts: Sequence[int], seeds: int, held_out: Sequence[int]) -> list[dict[str, Any]]:
    """Train on so many rendered pictures, and as many trimaps of other cells, and score the trimaps that are found.

    Returns
    -------
    list of dict
        ``cells, seed, dice``, one for each count and seed; Dice is the mean over the held-out cells.
    """
    rows = []
    for cells in counts:
        pictured, drawn = ([render_white_cell(k) for k in part] for part in (range(cells), range(cells, 2 * cells)))
        for seed in range(seeds):
            images, trimaps = [cell.image for cell in pictured], [cell.trimap for cell in drawn]
            trainer = CycleTrainer(config, images, trimaps, seed=seed)
            trainer.run()
            known = [render_white_cell(k) for k in held_out]
            scores = [trimap_dice(trainer.painter.find(cell.image), cell.trimap) for cell in known]
            dice = {part: round(float(np.mean([score[part] for score in scores])), 4) for part in scores[0]}
            rows.append({"cells": cells, "seed": seed, "dice": dice})
            print(rows[-1], flush=True)
    return rows


def main(argv: Sequence[str] = ()) -> None:
    """Train what is not trained yet, measure all, and store the numbers and the generators."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("build/cyclegan"), help="where trainings are kept")
    parser.add_argument("--labelled", type=int, default=24, help="real pairs that the small segmenter is given")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of the small segmenter per arm")
    parser.add_argument("--steps", type=int, default=100, help="steps of each")
    parser.add_argument("--sheet", action="store_true", help="draw the sheet of painted cells, and measure nothing")
    parser.add_argument("--few", action="store_true", help="train on few rendered cells, and nothing else")
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--model", type=Path, default=MODEL, help="where the generators go")
    given = parser.parse_args(argv)
    if given.few:
        config = CYCLE_PRESETS["smoke"]
        about = {
            "command": f"{COMMAND} --few",
            "dataset": TITLE,
            "held_out": len(HELD_OUT),
            "config_hash": config.digest(),
            "device": f"cpu, {torch.get_num_threads()} thread, shared",
            "date": date.today().isoformat(),
            "versions": versions("bloodlib", "torch", "numpy"),
        }
        write_json(FEW, {**about, "rows": few_cells(config, COUNTS, FEW_SEEDS, HELD_OUT)})
        return
    config = CYCLE_PRESETS["laptop"]
    fit, test = (wbc_segmentation.load(split, "tecom") for split in ("fit", "test"))
    unpaired = train_unpaired(fit, config, given.folder / "cyclegan", given.seed)
    paired = train_paired(fit, paired_config(config), given.folder / "paired", given.seed)
    cells, seen, painter = list(test), list(fit), unpaired.painter
    painters = {
        "CycleGAN": [painter.paint(cell.trimap) for cell in cells],
        "pix2pixHD": paint_paired(paired, cells, fit, given.seed),
    }
    made_by = {
        "dataset": "wbc_segmentation, tecom",
        "split": {"fit": len(fit), "test": len(test), "rule": "bloodlib.datasets.wbc_segmentation.split_names"},
        "seed": given.seed,
        "config_hash": config.digest(),
        "paired_config_hash": paired_config(config).digest(),
        "device": f"cpu, {torch.get_num_threads()} thread, shared",
        "precision": str(autocast_dtype()).removeprefix("torch."),
        "date": date.today().isoformat(),
        "versions": versions("bloodlib", "torch", "numpy"),
    }
    write_json(SHEET, {"command": f"{COMMAND} --sheet", **draw_sheet(test, painters, painter), **made_by})
    if given.sheet:
        return

    labelled = [(cell.image, cell.trimap) for cell in seen[:: len(seen) // given.labelled][: given.labelled]]
    made = [(painter.paint(cell.trimap), cell.trimap) for cell in seen]
    arms = {}
    for arm, (_, with_painted, _) in ARMS.items():
        depends = [arm, given.labelled, given.seeds, given.steps, *([config.digest(), given.seed] * with_painted)]
        kept = given.folder / "arms" / f"{hashlib.sha256(repr(depends).encode()).hexdigest()[:16]}.json"
        arms[arm] = measure_arm(arm, (labelled, made), cells, given.seeds, given.steps, kept)
    everything = train_trimap_net(
        [(cell.image, cell.trimap) for cell in seen], augmentations=("geometric",), steps=given.steps, seed=given.seed
    )
    finders = {
        "CycleGAN": painter.find,
        "all pairs (small segmenter)": lambda image: segment(everything, image),
        "two thresholds": by_thresholds,
    }
    rng = np.random.default_rng([given.seed, 4])
    pairs = [(cell.image, cell.trimap) for cell in cells]
    result = {
        "command": COMMAND,
        **made_by,
        "config": config.to_dict(),
        "trimaps": measure_trimaps(finders, cells, given.seed),
        "painting": measure_painting(painters, cells, config.side_px, given.seed),
        "hidden": {
            "in_trimap": hidden_in_trimap(painter, [cell.image for cell in cells], rng),
            "in_picture": hidden_in_picture(painter, [cell.trimap for cell in cells], pairs, rng),
        },
        "augmentation": {"labelled": len(labelled), "painted": len(made), "steps": given.steps, "arms": arms},
        "training": {
            "CycleGAN": _cost(unpaired.history, config),
            "pix2pixHD": {**_cost(paired.history, config), "perceptual": paired.perceptual_used},
        },
    }
    write_json(given.out, result)
    save(painter, given.model, result)
    show(result)


def _cost(history: dict[str, list[float]], config: CycleConfig) -> dict[str, Any]:
    steps = len(history["seconds"])
    return {"steps": steps, "batch": config.batch, "wall_seconds": round(sum(history["seconds"]))}


def save(painter: CellPainter, folder: Path, result: dict[str, Any]) -> None:
    """Write the generators with a card that says what they are."""
    shared = {key: result[key] for key in ("command", "dataset", "split", "seed", "config_hash", "date", "versions")}
    painter.save(
        folder,
        what="CycleGAN between trimaps and pictures of single white cells, laptop profile",
        licence="BSD-3-Clause (these weights)",
        data_licence="GPL-3.0 (the pictures; none is part of this folder)",
        intended_use="the figures of chapter 12; not for diagnosis",
        **shared,
    )


def show(result: dict[str, Any]) -> None:
    """Print the numbers that the chapter prints."""
    for name, row in result["trimaps"].items():
        print(name, {part: value["mean"] for part, value in row["dice"].items()}, row["classes"])
    for name, value in result["painting"]["kid"]["values"].items():
        print(f"KID {name}: {value['mean']:.3f} ± {value['std']:.3f}")
    print(result["painting"]["darker_inside"], result["hidden"], sep="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
