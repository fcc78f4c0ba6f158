"""What the rules of the shape database leave out, whom they hit, and what a draw costs.

``python -m benchmarks.shapes`` rewrites data/results/shapes.json; it takes about half a minute on one core. It
also writes build/shapes/RULE.png: what a rule left out, drawn on its smear, to be looked at. How many of them are
whole cells (``whole``, by eye) is typed into the file and kept for as long as the same instances are shown.
"""

from __future__ import annotations

import time
import zlib
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np

from bloodlib._files import package_data, read_json, write_json
from bloodlib.datasets import load
from bloodlib.io import write_image
from bloodlib.sampler.outlines import deepest_dent, fill_and_solidity, largest_piece
from bloodlib.sampler.shapes import ShapeConfig, ShapeDatabase, contact_share
from bloodlib.smears import Smear
from bloodlib.statistics import measure_cells

COMMAND = "python -m benchmarks.shapes"
SHOWN = 60
DRAWS = 669  # the paper's cells per mask
TILE_PX, COLUMNS = 150, 10


def left_out(smears: list[Smear], config: ShapeConfig) -> dict[str, list[tuple[int, int]]]:
    """List (smear, instance) of the complete instances that the two rules on outlines leave out."""
    found: dict[str, list[tuple[int, int]]] = {"cut by a neighbour": [], "dented": []}
    for position, smear in enumerate(smears):
        cells, contact = measure_cells(smear.instances), contact_share(smear.instances)
        for k in np.flatnonzero(cells.complete):
            r0, c0, r1, c1 = cells.box[k]
            outline = fill_and_solidity(largest_piece(smear.instances[r0:r1, c0:c1] == k + 1))[0]
            if contact[k] > config.max_contact:
                found["cut by a neighbour"].append((position, int(k) + 1))
            elif deepest_dent(outline) > config.max_dent:
                found["dented"].append((position, int(k) + 1))
    return found


def tile(smear: Smear, label: int, margin_px: int = 12) -> np.ndarray:
    """Cut an instance out with what lies around it, its outline drawn in green."""
    rows, cols = np.nonzero(smear.instances == label)
    window = tuple(slice(max(0, side.min() - margin_px), side.max() + margin_px) for side in (rows, cols))
    picture, shape = smear.image[window].copy(), (smear.instances[window] == label).astype(np.uint8)
    zoom = TILE_PX / max(shape.shape)
    picture, shape = (cv2.resize(a, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_NEAREST) for a in (picture, shape))
    outline, _ = cv2.findContours(shape, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture, outline, -1, (0, 255, 0), 1)
    below, right = (TILE_PX - side for side in picture.shape[:2])
    return np.pad(picture, ((0, max(0, below)), (0, max(0, right)), (0, 0)))[:TILE_PX, :TILE_PX]


def look(smears: list[Smear], chosen: list[tuple[int, int]], path: Path) -> None:
    """Write the tiles of some instances as one picture."""
    tiles = [tile(smears[position], label) for position, label in chosen]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % COLUMNS)
    rows = [np.concatenate(tiles[k : k + COLUMNS], axis=1) for k in range(0, len(tiles), COLUMNS)]
    write_image(path, np.concatenate(rows))


def main() -> None:
    """Apply the rules to the fit part of Chula, print and store what they do, and time the draws."""
    cv2.setNumThreads(1)
    path, config = package_data("results", "shapes.json"), ShapeConfig()
    smears, names = list(load("chula_rbc12", split="fit")), load("chula_rbc12", split="fit").class_names
    database = ShapeDatabase.fit(smears, config)
    found = left_out(smears, config)
    before = read_json(path).get("looked_at", {}) if path.exists() else {}
    looked_at, classes = {}, {}
    for rule, instances in found.items():
        rng = np.random.default_rng(0)
        chosen = sorted(map(tuple, rng.permutation(instances)[:SHOWN].tolist()))
        look(smears, chosen, Path("build/shapes") / f"{rule.replace(' ', '_')}.png")
        fingerprint = zlib.crc32(repr(chosen).encode())
        old = before.get(rule, {})
        whole = old.get("whole") if old.get("fingerprint") == fingerprint else None
        looked_at[rule] = {"shown": len(chosen), "whole": whole, "fingerprint": fingerprint}
        named = Counter(names[int(smears[position].classes[label - 1])] for position, label in instances)
        classes[rule] = dict(sorted(named.items()))
    complete = [smear.classes[measure_cells(smear.instances).complete] for smear in smears]
    named = Counter(names[int(code)] for code in np.concatenate(complete))
    classes["complete"] = dict(sorted(named.items()))
    result = {
        "command": COMMAND,
        "dataset": "chula_rbc12",
        "split": "fit",
        "config": asdict(config),
        "instances": sum(smear.count for smear in smears),
        "dropped": database.dropped,
        "kept": len(database),
        "by_expert_class": classes,
        "looked_at": looked_at,
    }
    write_json(path, result)
    print(f"{result['instances']} instances, {len(database)} kept; left out: {database.dropped}")
    for rule, about in looked_at.items():
        print(f"{rule}: {about['whole']} of {about['shown']} looked at are whole cells; {classes[rule]}")
    for when in ("first", "later"):
        rng, start = np.random.default_rng(0), time.process_time()
        for _ in range(DRAWS):
            database.draw(rng)
        print(f"{DRAWS} draws, {when} time: {time.process_time() - start:.3f} CPU-s")


if __name__ == "__main__":
    main()
