"""A blind two-alternative test: which tile of a pair is painted?

``python -m bloodlib.evaluators.blind MODEL --data chula_rbc12 --out FOLDER`` writes the sheets of a model, and
``… --score answers.json --key key.json`` tells how often it was told apart.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.stats import binomtest

from .._files import is_vacant, read_json, write_json
from ..io import write_image
from ..smears import Smear
from .tiles import Tile, cut_tiles

SIDES = ("left", "right")
PAIRINGS = ("group", "other group", "colour", "any")
TILE_PX = 160
ZOOM = 2
COLUMNS, ROWS, GAP_PX, HEAD_PX = 2, 3, 12, 28  # of a sheet


def make_sheets(
    real: Sequence[Tile],
    painted: Sequence[Tile],
    rng: np.random.Generator,
    folder: str | Path,
    *,
    pairs: int = 40,
    floor_pairs: int = 20,
    pairing: str = "group",
    zoom: int = ZOOM,
    alone: bool = False,
) -> dict[str, Any]:
    """Write numbered pairs of tiles to look at, and the key apart from them.

    Parameters
    ----------
    real, painted : sequence of Tile
        Of one size. None is shown twice.
    rng : numpy.random.Generator
        Decides tiles, order and sides.
    folder : path
        Gets ``sheets/sheet_01.png`` …, ``sheets/answers.json`` to fill in, and ``key.json``.
    pairs : int
        Pairs of a painted and a real tile.
    floor_pairs : int
        Pairs of two tiles of one kind among them, one of which the key calls painted: what guessing gives. Every
        other one is of two painted tiles: if none were, a look that is never on both sides would be the painted one.
    pairing : {"group", "other group", "colour", "any"}
        Which real tile goes with a tile: one of the same slide but another smear, so that the stain does not
        decide (a tile whose slide has no other smear is passed over); one of another slide; the one nearest in
        mean colour, for painted tiles without a slide; or any.
    zoom : int
        Every tile is enlarged this many times, by Lanczos' filter.
    alone : bool
        One pair on each sheet, for as many observers as there are pairs: who sees one pair cannot sort the tiles of
        many into two looks, so that no answer hangs on another.

    Returns
    -------
    dict
        What key.json holds.

    Raises
    ------
    ValueError
        If tiles differ in size, there are too few to pair, or the folder holds sheets already.

    Notes
    -----
    Book: chapter 07.
    """
    if not is_vacant(Path(folder) / "sheets"):
        raise ValueError(f"{folder}: holds sheets already, whose key would be lost; write to another folder")
    sides = {tile.image.shape for tile in [*real, *painted]}
    if len(sides) != 1 or pairing not in PAIRINGS:
        raise ValueError(
            f"tiles have the shapes {sorted(sides)} and pairing is {pairing!r}; "
            f"needed are tiles of one size and one of {', '.join(PAIRINGS)}"
        )
    unused = [real[k] for k in rng.permutation(len(real))]
    alike = [f"two {('real', 'painted')[k % 2]}" for k in range(floor_pairs)]
    kinds = rng.permutation(["painted"] * pairs + alike).tolist()
    made = [painted[k] for k in rng.permutation(len(painted))]
    sources = {"painted": (made, unused), "two real": (unused, unused), "two painted": (made, made)}
    chosen: dict[int, tuple[Tile, Tile]] = {}
    for number, kind in enumerate(kinds, start=1):
        found = _next_pair(*sources[kind], pairing)
        if found is None:
            raise ValueError(
                f"{len(real)} real and {len(painted)} painted tiles do not make {pairs} + {floor_pairs} pairs by "
                f"pairing {pairing!r} (none is left for pair {number}); cut more tiles, or pair otherwise"
            )
        chosen[number] = found
    entries, shown = [], []
    for number, kind in enumerate(kinds, start=1):
        side = int(rng.integers(2))
        two = chosen[number] if side == 0 else chosen[number][::-1]
        shown.append((number, two[0].image, two[1].image))
        where = {name: f"{t.source} at {t.row}, {t.column}" for name, t in zip(SIDES, two, strict=True)}
        floor = {} if kind == "painted" else {"of": kind}
        entries.append({"pair": number, "kind": "floor" if floor else kind, **floor, "painted": SIDES[side], **where})
    side_px = real[0].image.shape[0]
    key = {"pairing": pairing, "zoom": zoom, "side_px": side_px, "alone": alone, "pairs": entries}
    folder, on_each = Path(folder), 1 if alone else COLUMNS * ROWS
    for k, start in enumerate(range(0, len(shown), on_each), start=1):
        write_image(folder / "sheets" / f"sheet_{k:02d}.png", draw_sheet(shown[start : start + on_each], zoom))
    write_json(folder / "sheets" / "answers.json", {str(number): "left or right?" for number in chosen})
    write_json(folder / "key.json", key)
    return key


def _next_pair(suspects: list[Tile], partners: list[Tile], pairing: str) -> tuple[Tile, Tile] | None:
    """Take the first suspect that has a partner, and that partner, out of the lists (which may be one list)."""
    for suspect in suspects:
        partner = _nearest([tile for tile in partners if tile is not suspect], _distance(suspect, pairing))
        if partner is not None:
            for tiles in (suspects, partners):
                tiles[:] = [tile for tile in tiles if tile is not suspect and tile is not partner]
            return suspect, partner
    return None


def _distance(tile: Tile, pairing: str) -> Callable[[Tile], float | None]:
    """Give a function that says how unlike another tile is, None where it may not be paired."""

    def distance(other: Tile) -> float | None:
        if pairing == "group":
            return 0.0 if other.group == tile.group and other.source != tile.source else None
        if pairing == "other group":
            return 0.0 if other.group != tile.group else None
        if pairing == "colour":
            means = [t.image.reshape(-1, 3).mean(axis=0) for t in (tile, other)]
            return float(np.linalg.norm(means[0] - means[1])) if other.source != tile.source else None
        return 0.0

    return distance


def _nearest(tiles: list[Tile], distance: Callable[[Tile], float | None]) -> Tile | None:
    """Give the nearest tile, the first among equals."""
    distances = [(d, k) for k, d in enumerate(map(distance, tiles)) if d is not None]
    return tiles[min(distances)[1]] if distances else None


def draw_sheet(pairs: Sequence[tuple[int, np.ndarray, np.ndarray]], zoom: int = ZOOM) -> np.ndarray:
    """Draw numbered pairs of tiles uint8 (side, side, 3) on one white sheet, uint8 (H, W, 3)."""
    side = pairs[0][1].shape[0] * zoom
    wide, high = 2 * side + 4 * GAP_PX, side + HEAD_PX + GAP_PX
    rows = -(-len(pairs) // COLUMNS)
    sheet = Image.new("RGB", (min(len(pairs), COLUMNS) * wide, rows * high + GAP_PX), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=20)
    for k, (number, *two) in enumerate(pairs):
        x, y = (k % COLUMNS) * wide + GAP_PX, (k // COLUMNS) * high
        pen.text((x, y + 2), f"{number}", fill="black", font=font)
        for j, tile in enumerate(two):
            large = cv2.resize(tile, (side, side), interpolation=cv2.INTER_LANCZOS4)
            sheet.paste(Image.fromarray(large), (x + j * (side + GAP_PX), y + HEAD_PX))
    return np.array(sheet)


def score(answers: Mapping[str, str], key: Mapping[str, Any], confidence: float = 0.95) -> dict[str, dict[str, Any]]:
    """Say how often the painted tile was told apart.

    Parameters
    ----------
    answers : mapping of str to {"left", "right"}
        Number of the pair -> the tile that was taken for painted; every pair must be answered.
    key : mapping
        Of `make_sheets`.
    confidence : float
        Of the intervals.

    Returns
    -------
    dict
        ``painted`` and ``floor``, each with ``told_apart``, ``n``, ``share``, ``interval`` (Clopper–Pearson) and
        ``p_value`` (two-sided, against guessing). A kind without pairs is left out.

    Raises
    ------
    ValueError
        If a pair has no answer, or one that is neither left nor right, or an answer has no pair.

    Examples
    --------
    >>> key = {"pairs": [{"pair": k, "kind": "painted", "painted": "left"} for k in range(1, 41)]}
    >>> score({str(k): "left" if k <= 30 else "right" for k in range(1, 41)}, key)["painted"]
    {'told_apart': 30, 'n': 40, 'share': 0.75, 'interval': [0.588, 0.873], 'p_value': 0.0022}
    """
    numbers = {str(entry["pair"]) for entry in key["pairs"]}
    wrong = sorted((n for n in numbers ^ set(answers)), key=str) or [n for n in numbers if answers[n] not in SIDES]
    if wrong:
        raise ValueError(
            f"answers for pair {wrong[0]}: found {answers.get(wrong[0])!r}; needed is left or right for each of the "
            f"{len(numbers)} pairs of the key and for no other"
        )
    found = {}
    for kind in ("painted", "floor"):
        of_kind = [entry for entry in key["pairs"] if entry["kind"] == kind]
        if of_kind:
            told = sum(answers[str(entry["pair"])] == entry["painted"] for entry in of_kind)
            test = binomtest(told, len(of_kind))
            interval = test.proportion_ci(confidence, method="exact")
            found[kind] = {
                "told_apart": told,
                "n": len(of_kind),
                "share": round(told / len(of_kind), 3),
                "interval": [round(float(interval.low), 3), round(float(interval.high), 3)],
                "p_value": round(float(test.pvalue), 4),
            }
    return found


def sheets_of_model(
    model: str | Path,
    smears: Sequence[Smear],
    folder: str | Path,
    seed: int = 0,
    *,
    sampled: int = 0,
    each: int = 40,
    **options: Any,
) -> dict[str, Any]:
    """Write the sheets of a model against real smears that it was not fitted on.

    Parameters
    ----------
    model : path or str
        Folder of a `Synthesizer`, or the name of a released one.
    smears : sequence of Smear
        Real ones, with masks.
    folder : path
    seed : int
    sampled : int
        0 paints the masks of the first half of each slide's smears in their own colours, and shows real tiles of
        the others: a field that is seen both real and painted tells which is which. Else that many smears
        are sampled whole (own masks, drawn styles) and, since these have no slide, paired by colour.
    each : int
        Tiles cut from every smear; those that overlap an earlier one are left out, since parts of one field on
        several sheets would tell that all of them are real.
    **options
        Of `make_sheets`.
    """
    from ..synthesis import Synthesizer
    from .painting import repaint_all, sample_all

    rng = np.random.default_rng(seed)
    synthesizer = Synthesizer.load(model)
    smears = list(smears)
    side = min(TILE_PX, *smears[0].instances.shape)
    if sampled:
        options.setdefault("pairing", "colour")
        tiles = cut_tiles(smears, rng, each, side)
        made = cut_tiles(sample_all(synthesizer, sampled, rng, smears[0].instances.shape), rng, each, side, ink=False)
    else:
        masks, shown = _dealt(smears)
        tiles = cut_tiles(shown, rng, each, side)
        made = cut_tiles(repaint_all(synthesizer, masks, rng), rng, each, side, like=masks)
    return make_sheets(_apart(tiles), _apart(made), rng, folder, **options)


def _dealt(smears: Sequence[Smear]) -> tuple[list[Smear], list[Smear]]:
    """Give the first half of each slide's smears, and the rest: neighbours in a series can show one field in part."""
    slides: dict[str, list[Smear]] = {}
    for smear in smears:
        slides.setdefault(smear.group, []).append(smear)
    halves = [(those, -(-len(those) // 2)) for those in slides.values()]
    return [s for those, half in halves for s in those[:half]], [s for those, half in halves for s in those[half:]]


def _apart(tiles: Sequence[Tile]) -> list[Tile]:
    """Leave out tiles that overlap an earlier one of the same smear."""
    kept: list[Tile] = []
    for tile in tiles:
        side = tile.image.shape[0]
        near = (t for t in kept if t.source == tile.source and abs(t.row - tile.row) < side)
        if not any(abs(t.column - tile.column) < side for t in near):
            kept.append(tile)
    return kept


def main(argv: Sequence[str] | None = None) -> int:
    """Write sheets, or score answers."""
    parser = argparse.ArgumentParser(prog="python -m bloodlib.evaluators.blind", description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", help="folder of a model, or the name of a released one")
    parser.add_argument("--data", default="phantom", help="data set name or folder (default: %(default)s)")
    parser.add_argument("--split", default="test")
    parser.add_argument("--out", type=Path, help="folder for sheets/ and key.json")
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--floor-pairs", type=int, default=20)
    parser.add_argument("--alone", action="store_true", help="one pair on each sheet, for an observer of its own")
    parser.add_argument("--sampled", type=int, default=0, help="sample this many whole smears (default: real masks)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--score", type=Path, metavar="ANSWERS", help="answers.json, filled in")
    parser.add_argument("--key", type=Path, help="key.json of the same sheets")
    given = parser.parse_args(argv)
    if given.score and given.key:
        for kind, row in score(read_json(given.score), read_json(given.key)).items():
            low, high = row["interval"]
            told = f"told apart {row['told_apart']} of {row['n']}"
            print(f"{kind}: {told} ({row['share']:.1%}, 95 % interval {low:.1%} to {high:.1%})")
        return 0
    if not (given.model and given.out) or given.score or given.key:
        parser.error("give MODEL and --out to write sheets, or --score and --key to score answers")

    from ..datasets import load

    smears = load(given.data, split=given.split)
    options = {"pairs": given.pairs, "floor_pairs": given.floor_pairs, "alone": given.alone}
    sheets_of_model(given.model, smears, given.out, given.seed, sampled=given.sampled, **options)
    print(f"{given.out / 'sheets'}: look, and fill in answers.json; do not open {given.out / 'key.json'} before")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
