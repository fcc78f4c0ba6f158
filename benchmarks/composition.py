"""Many cell types: what the discard rule keeps, how single cells are painted, compositions before and after mending.

``python -m benchmarks.composition`` rewrites data/results/composition/*.json; a part by itself:
``--only acceptance``, ``masks``, ``train``, ``composed``. Training goes on where it was stopped.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np

from bloodlib._files import package_data, write_json
from bloodlib._versions import versions
from bloodlib.datasets import load, pbc_subset, single_cells, wbc_segmentation
from bloodlib.datasets.pbc_subset import PREFIXES
from bloodlib.datasets.single_cells import FIELD_PX, WHITE_NAMES, derive_white_cell
from bloodlib.datasets.wbc_segmentation import WhiteCell
from bloodlib.gan.cell_layouts import (
    OUTLINES,
    RELEASED,
    Drawn,
    GraphConfig,
    Outline,
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
CELLAVISION_SCALE = 0.77  # measured: median widths of the five types are 0.75 to 0.80 times as large in PBC
PICTURE, THUMBNAIL_PX, COLUMNS = Path("book/_static/composed.jpg"), 240, 5
COMPOSED = 10  # the thesis' number
PUBLISHED = GraphConfig(red_cell_px=40.0)  # ours: the thesis does not say; at full size nearly nothing is kept
FULL_SIZE = GraphConfig(count=6)  # ours: cells as large as the painter saw them, and as few as are often kept so
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
    """Count the single cells of every type, and hold the derivation of their masks against masks drawn by experts."""
    begun = time.process_time()
    fit, held_out = single_cells.load(FOLD)
    pictures = Counter(picture.prefix for picture in pbc_subset.load("all"))
    used = single_cells.count_types([*fit, *held_out])
    left_out = {name: pictures[prefix] - used[name] for name, prefix in zip(WHITE_NAMES, PREFIXES, strict=True)}
    store(
        "masks",
        "single cells of every type; PBC gives 50 pictures of each, of Tecom at most so many are taken; left out are "
        "those without a usable mask",
        {"fold": FOLD, "fit": single_cells.count_types(fit), "held_out": single_cells.count_types(held_out)}
        | {"pictures": sum(pictures.values()), "left_out": left_out}
        | {"against_trimaps": against_trimaps(wbc_segmentation.load("all", "cellavision"))},
        begun,
    )


def against_trimaps(cells: Iterable[WhiteCell], scale: float = CELLAVISION_SCALE) -> dict:
    """Derive the masks of cells that experts drew, and give their Dice by type.

    Parameters
    ----------
    cells : iterable of WhiteCell
    scale : float
        Pixels of PBC, for which the derivation is made, per pixel of these pictures.

    Returns
    -------
    dict
        ``cells`` and ``left_out``, by type; of those with a mask, in the order of their Dice and by type, ``dice`` and
        ``area``: that of the derived mask as a share of the drawn one's.
    """
    asked: Counter[str] = Counter()
    pairs: dict[str, list[tuple[float, float]]] = {}
    for cell in cells:
        kind = wbc_segmentation.TYPE_NAMES[cell.kind]
        asked[kind] += 1
        found = pairs.setdefault(kind, [])
        image = cv2.resize(cell.image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        size = image.shape[1::-1]  # (width, height)
        drawn = cv2.resize(cell.trimap, size, interpolation=cv2.INTER_NEAREST) > 0
        derived = derive_white_cell(image)
        if derived is not None:
            own, true, both = (int(mask.sum()) for mask in (derived, drawn, derived & drawn))
            found.append((round(2 * both / (own + true), 4), round(own / true, 4)))
    return {
        "set": "wbc_segmentation, cellavision",
        "scale": scale,
        "cells": dict(asked),
        "left_out": {kind: asked[kind] - len(found) for kind, found in pairs.items()},
        "dice": {kind: [dice for dice, _ in sorted(found)] for kind, found in pairs.items()},
        "area": {kind: [area for _, area in sorted(found)] for kind, found in pairs.items()},
    }


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


def draw_kept(outlines: Sequence[Outline], rng: np.random.Generator, config: GraphConfig) -> tuple[Drawn, int]:
    """Draw layouts until the thesis' rule keeps one; give it with the number of tries."""
    drawn, tries = None, 0
    while drawn is None or not drawn.accepted:
        drawn, tries = draw_layout(outlines, rng, config), tries + 1
    return drawn, tries


def spread_of(rows: Sequence[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Give mean and spread of every measure."""
    values = {key: [row[key] for row in rows] for key in rows[0]}
    return {k: {"mean": round(float(np.mean(v)), 4), "std": round(float(np.std(v)), 4)} for k, v in values.items()}


def looks_of(image: np.ndarray, instances: np.ndarray) -> dict[str, float]:
    """Measure what can be measured in a real smear as well, with its cells about as large."""
    return {
        "coverage": float((instances > 0).mean()),
        "border_step": border_step(image, instances),
        "cell_grey": float(image[instances > 0].astype(float).mean()),
        "ground_grey": float(image[instances == 0].astype(float).mean()),
    }


def thumbnails(images: Sequence[np.ndarray]) -> np.ndarray:
    """Lay pictures out small, `COLUMNS` in a row, white between them; uint8 (H, W, 3)."""
    size, white = (THUMBNAIL_PX, THUMBNAIL_PX), ((0, 4), (0, 4), (0, 0))
    small = [
        np.pad(cv2.resize(image, size, interpolation=cv2.INTER_AREA), white, constant_values=255) for image in images
    ]
    return np.vstack([np.hstack(small[k : k + COLUMNS]) for k in range(0, len(small), COLUMNS)])


def composed() -> None:
    """Compose smears as published and mended, measure what gives either away, and draw all of them."""
    begun, painter, outlines = time.process_time(), CellPainter.load(), read_outlines()
    side = painter.config.side_px
    scale, config = FIELD_PX / side, painter.config
    ranges = size_ranges(outlines, scales=(config.smallest or config.jitter, config.jitter))
    rows: dict[str, list[dict]] = {"published": [], "full_size": [], "mended": []}
    pictures: dict[str, list[np.ndarray]] = {name: [] for name in rows}
    for k in range(COMPOSED):
        rng, other = np.random.default_rng([7, k]), np.random.default_rng([8, k])
        drawn, tries = draw_kept(outlines, rng, PUBLISHED)
        dense = draw_dense(outlines, rng, (PUBLISHED.canvas_px, PUBLISHED.canvas_px), COVERAGE, **OVERLAPS)
        large, more_tries = draw_kept(outlines, other, FULL_SIZE)
        tiled = tiled_ground(painter, rng)
        smooth = seamless_ground(painter, rng, tiled.shape[:2])
        for name, layout, ground, look, tried, chance in (
            ("published", drawn, tiled, {"white_boxes": True}, tries, rng),
            ("mended", dense, smooth, {"blend_px": BLEND_PX}, 1, rng),
            ("full_size", large, tiled, {"white_boxes": True}, more_tries, other),
        ):
            small = to_scale(layout, side)
            image = compose(small, ground, painter, chance, **look).image
            pictures[name].append(image)
            rows[name].append(
                {
                    "cells": len(small.kinds),
                    "tries": tried,
                    "repetition": repetition(ground, (side // 2, side // 4)),
                    "strange_sizes": strange_sizes(layout, ranges),
                    "covered": covered_cells(small),
                }
                | looks_of(image, small.instances)
            )
        print(k, {name: {key: round(v, 3) for key, v in row[-1].items()} for name, row in rows.items()}, flush=True)
    sheet = thumbnails([*pictures["published"], *pictures["mended"]])
    cv2.imwrite(str(PICTURE), sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])
    smears = load("chula_rbc12", split="test")
    floor = np.random.default_rng(0).normal(0, 8, (4 * side, 4 * side, 3)) + 200
    content = {
        "images": COMPOSED,
        **{name: spread_of(row) for name, row in rows.items()},
        "real": spread_of([looks_of(smear.image, smear.instances) for smear in smears]) | {"smears": len(smears)},
        "repetition_of_white_noise": round(repetition(floor, (side // 2, side // 4)), 4),
        "graph": asdict(PUBLISHED),
        "graph_at_full_size": asdict(FULL_SIZE),
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
