"""Many cell types: what the discard rule keeps, how single cells are painted, compositions before and after mending.

``python -m benchmarks.composition`` rewrites data/results/composition/*.json; a part by itself:
``--only acceptance``, ``masks``, ``train``, ``composed``. Training goes on where it was stopped.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

from bloodlib._files import package_data, write_json
from bloodlib._versions import versions
from bloodlib.datasets import single_cells
from bloodlib.datasets.single_cells import FIELD_PX
from bloodlib.gan.cell_layouts import (
    OUTLINES,
    RELEASED,
    GraphConfig,
    draw_dense,
    draw_layout,
    outlines_of,
    read_outlines,
    to_scale,
    write_outlines,
)
from bloodlib.gan.compose import compose, seamless_ground, tiled_ground
from bloodlib.gan.composition_measures import border_step, covered_cells, repetition, size_ranges, strange_sizes
from bloodlib.gan.pix2pix_training import CellPainter, CellTrainer, labels_of, pictures_of, preset

from .parts import run_parts

COMMAND = "python -m benchmarks.composition"
COUNTS, WIDTHS_PX, TRIES = (6, 15, 42), (20.0, 40.0, 74.0), 100
FOLD = 0  # held out
COMPOSED = 10  # the thesis' number
PUBLISHED = GraphConfig(red_cell_px=40.0)  # ours: the thesis does not say; at full size nearly nothing is kept
COVERAGE = 0.43  # measured: mean of Chula's test slides (chapter 04)
BLEND_PX = 1.0  # ours, pixels of the painter
OVERLAPS = {"overlap": 0.3, "overlap_share": 0.06}  # as of the released painter of smears


def store(name: str, what: str, content: dict, begun: float) -> None:
    """Write one part of the results with how it was made."""
    about = {
        "what": what,
        "command": f"{COMMAND} --only {name}",
        "cpu_seconds": round(time.process_time() - begun),
        "versions": versions("numpy", "torch", "networkx"),
    }
    write_json(package_data("results", "composition", f"{name}.json"), about | content)
    print(f"{name}: stored after {about['cpu_seconds']} CPU-s", flush=True)


def acceptance() -> None:
    """Count which layouts the thesis' rule keeps, by number of nodes and by size of the cells."""
    begun, rows = time.process_time(), []
    for count in COUNTS:
        for width in WIDTHS_PX:
            config = GraphConfig(count=count, red_cell_px=width)
            kept = [
                draw_layout(read_outlines(), np.random.default_rng([count, k]), config, whole=False).accepted
                for k in range(TRIES)
            ]
            rows.append({"nodes": count, "red_cell_px": width, "tries": TRIES, "accepted": int(sum(kept))})
            print(rows[-1], flush=True)
    store(
        "acceptance",
        "layouts of the graph without overlapping or cut cells",
        {"config": asdict(GraphConfig()), "rows": rows},
        begun,
    )


def masks() -> None:
    """Count the single cells of every type, to train on and held out."""
    begun = time.process_time()
    fit, held_out = single_cells.load(FOLD)
    store(
        "masks",
        "single cells of every type; PBC gives 50 pictures of each, of Tecom at most so many are taken; left out are "
        "those without a usable mask",
        {"fold": FOLD, "fit": single_cells.count_types(fit), "held_out": single_cells.count_types(held_out)},
        begun,
    )


def train() -> None:
    """Train the released painter, or go on with it, and store its curves."""
    begun = time.process_time()
    fit, held_out = single_cells.load(FOLD)
    config = preset("laptop")
    trainer = CellTrainer(config, fit, Path("build/single_cells") / f"fold-{FOLD}", progress=True)
    trainer.run()
    release(trainer, fit, held_out, begun)


def release(trainer: CellTrainer, fit: list, held_out: list, begun: float) -> None:
    """Store a painter with the outlines that it saw, its curves, and how far it is from held-out cells."""
    folder, history = package_data("painters", RELEASED), trainer.history
    every = max(1, trainer.step // 60)
    curves = {
        name: [round(float(np.mean(values[k : k + every])), 4) for k in range(0, trainer.step, every)]
        for name, values in history.items()
        if name != "seconds"
    }
    painter, rng = trainer.painter, np.random.default_rng(0)
    distance = {}
    for name, cells in (("fit", fit), ("held_out", held_out)):
        painted = painter.paint(labels_of(cells, trainer.config), rng)
        away = np.abs(painted.astype(float) - pictures_of(cells, trainer.config)).mean(axis=-1)
        inside = labels_of(cells, trainer.config).any(axis=-1)
        of_kind = {
            kind: [away[k][inside[k]].mean() for k, cell in enumerate(cells) if cell.kind == number]
            for number, kind in enumerate(single_cells.TYPE_NAMES)
        }
        distance[name] = {kind: round(float(np.mean(found)), 2) if found else None for kind, found in of_kind.items()}
    content = {
        "config": asdict(trainer.config),
        "cells": len(fit),
        "steps": trainer.step,
        "steps_asked_for": trainer.total,
        "training_seconds": round(sum(history["seconds"])),
        "epochs": round(trainer.step * trainer.config.batch / len(fit), 2),
        "every": every,
        "curves": curves,
        "grey_levels_away": distance,
    }
    write_outlines(folder / OUTLINES, outlines_of(fit))
    card = {
        "what": "pix2pix U-Net that paints single blood cells of twenty types, with outlines that it was trained on",
        "data": "pbc_subset, chula_rbc12 and up to 50 Tecom cells a type of wbc_segmentation, four fifths of each",
        "licence": "BSD-3-Clause (these weights)",
        "data_licence": "PBC: believed CC BY 4.0 (Acevedo et al. 2020), unverified; Chula RBC-12: MIT; "
        "wbc_segmentation: GPL-3",
        "intended_use": "to show the method; not for diagnosis",
        "command": f"{COMMAND} --only train",
        **{key: content[key] for key in ("cells", "steps", "steps_asked_for", "epochs")},
    }
    painter.save(folder, card)
    store("train", "training of the painter of single cells", content, begun)


def composed() -> None:
    """Compose smears as published and mended, and measure what gives either away."""
    begun, painter, outlines = time.process_time(), CellPainter.load(), read_outlines()
    side = painter.config.side_px
    scale, config = FIELD_PX / side, painter.config
    ranges = size_ranges(outlines, scales=(config.smallest or config.jitter, config.jitter))
    rows: dict[str, list[dict]] = {"published": [], "mended": []}
    for k in range(COMPOSED):
        rng = np.random.default_rng([7, k])
        drawn, tries = None, 0
        while drawn is None or not drawn.accepted:
            drawn, tries = draw_layout(outlines, rng, PUBLISHED), tries + 1
        dense = draw_dense(outlines, rng, (PUBLISHED.canvas_px, PUBLISHED.canvas_px), COVERAGE, **OVERLAPS)
        tiled = tiled_ground(painter, rng)
        smooth = seamless_ground(painter, rng, tiled.shape[:2])
        for name, layout, ground, look in (
            ("published", drawn, tiled, {"white_boxes": True}),
            ("mended", dense, smooth, {"blend_px": BLEND_PX}),
        ):
            small = to_scale(layout, side)
            image = compose(small, ground, painter, rng, **look).image
            away = image[small.instances > 0].astype(float).mean(axis=-1)
            rows[name].append(
                {
                    "cells": len(small.kinds),
                    "tries": tries if name == "published" else 1,
                    "coverage": float((small.instances > 0).mean()),
                    "repetition": repetition(ground, (side // 2, side // 4)),
                    "border_step": border_step(image, small.instances),
                    "strange_sizes": strange_sizes(layout, ranges),
                    "covered": covered_cells(small),
                    "cell_grey": float(away.mean()),
                }
            )
        print(k, {name: {key: round(v, 3) for key, v in row[-1].items()} for name, row in rows.items()}, flush=True)
    summary = {
        name: {
            key: {
                "mean": round(float(np.mean([r[key] for r in row])), 4),
                "std": round(float(np.std([r[key] for r in row])), 4),
            }
            for key in row[0]
        }
        for name, row in rows.items()
    }
    floor = np.random.default_rng(0).normal(0, 8, (4 * side, 4 * side, 3)) + 200
    content = {
        "images": COMPOSED,
        "published": summary["published"],
        "mended": summary["mended"],
        "repetition_of_white_noise": round(repetition(floor, (side // 2, side // 4)), 4),
        "graph": asdict(PUBLISHED),
        "blend_px": BLEND_PX,
        "coverage_aimed_at": COVERAGE,
        "overlaps": OVERLAPS,
        "painter_steps": painter.card.get("steps"),
        "field_scale": scale,
    }
    store("composed", "ten smears composed as published, and ten mended", content, begun)


PARTS = {"acceptance": acceptance, "masks": masks, "train": train, "composed": composed}


if __name__ == "__main__":
    run_parts(COMMAND, __doc__, PARTS)
