"""The blind test: sheets that tell nothing, a key that tells all, and exact intervals."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy.stats import beta

from bloodlib._files import read_json
from bloodlib.evaluators import blind
from bloodlib.evaluators.tiles import Tile
from bloodlib.smears import Smear


def tiles(count: int, level: int, groups: int = 3, side: int = 20, kind: str = "r") -> list[Tile]:
    """Make tiles of one grey level; two to a smear."""
    return [
        Tile(np.full((side, side, 3), level + k % 7, np.uint8), f"{kind}{k // 2}", f"g{k // 2 % groups}", k, 0)
        for k in range(count)
    ]


def make(folder, seed=0, **options):
    chosen = {"pairs": 8, "floor_pairs": 4, **options}
    return blind.make_sheets(tiles(40, 40), tiles(24, 200, kind="p"), np.random.default_rng(seed), folder, **chosen)


def tile_in_sheet(folder, number: int, side: str, side_px: int = 20, zoom: int = 2) -> np.ndarray:
    """Cut a tile out of its sheet by the layout alone."""
    per_sheet = blind.COLUMNS * blind.ROWS
    sheet = np.array(Image.open(folder / "sheets" / f"sheet_{(number - 1) // per_sheet + 1:02d}.png"))
    k, size = (number - 1) % per_sheet, side_px * zoom
    x = (k % blind.COLUMNS) * (2 * size + 4 * blind.GAP_PX) + blind.GAP_PX + (side == "right") * (size + blind.GAP_PX)
    y = (k // blind.COLUMNS) * (size + blind.HEAD_PX + blind.GAP_PX) + blind.HEAD_PX
    return sheet[y : y + size, x : x + size]


def is_painted(entry, side: str) -> bool:
    return entry["painted"] == side if entry["kind"] == "painted" else entry["of"] == "two painted"


def test_the_key_says_which_tile_of_the_sheet_is_painted(tmp_path):
    key = make(tmp_path)
    assert key == read_json(tmp_path / "key.json")
    assert [entry["pair"] for entry in key["pairs"]] == list(range(1, 13))
    assert sorted(entry["kind"] for entry in key["pairs"]) == ["floor"] * 4 + ["painted"] * 8
    # A look that is never on both sides would be the painted one.
    assert sorted(e["of"] for e in key["pairs"] if "of" in e) == ["two painted"] * 2 + ["two real"] * 2
    for entry in key["pairs"]:
        for side in blind.SIDES:
            bright = tile_in_sheet(tmp_path, entry["pair"], side).mean() > 120
            assert bright == is_painted(entry, side)
            assert entry[side].startswith("p" if bright else "r")


def test_pairs_can_be_alone_on_their_sheets(tmp_path):
    together, alone = (make(tmp_path / name, alone=name == "alone") for name in ("together", "alone"))
    assert together | {"alone": True} == alone, "the same pairs"
    sheets = sorted(path.name for path in (tmp_path / "alone" / "sheets").glob("*.png"))
    assert sheets == [f"sheet_{entry['pair']:02d}.png" for entry in alone["pairs"]]
    for entry, name in zip(alone["pairs"], sheets, strict=True):
        sheet = np.array(Image.open(tmp_path / "alone" / "sheets" / name))[blind.HEAD_PX :]
        for side, part in zip(blind.SIDES, np.array_split(sheet, 2, axis=1), strict=True):
            found = tile_in_sheet(tmp_path / "together", entry["pair"], side)
            x = blind.GAP_PX if side == "left" else sheet.shape[1] - 2 * blind.GAP_PX - found.shape[1] - part.shape[1]
            np.testing.assert_array_equal(part[: found.shape[0], x : x + found.shape[1]], found)


def test_sheets_hold_no_hint_beside_the_key(tmp_path):
    key = make(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["key.json", "sheets"]
    answers = read_json(tmp_path / "sheets" / "answers.json")
    assert set(answers.values()) == {"left or right?"}
    assert len(answers) == len(key["pairs"])
    for path in (tmp_path / "sheets").glob("*.png"):
        with Image.open(path) as sheet:
            assert not sheet.info


def test_no_tile_is_shown_twice_and_stains_agree(tmp_path):
    key = make(tmp_path)
    shown = [entry[side] for entry in key["pairs"] for side in blind.SIDES]
    assert len(set(shown)) == len(shown)
    number = lambda text: int(text.split(" at ")[0][1:])  # noqa: E731
    for entry in key["pairs"]:
        left, right = number(entry["left"]), number(entry["right"])
        assert left % 3 == right % 3  # the same slide
        if entry["kind"] == "floor":
            assert left != right  # but another smear
    for entry in make(tmp_path / "other", pairing="other group")["pairs"]:
        assert number(entry["left"]) % 3 != number(entry["right"]) % 3


@pytest.mark.parametrize("sampled", [0, 6])
def test_no_field_is_shown_twice_nor_both_real_and_painted(tmp_path, monkeypatch, sampled):
    grey = [np.full((120, 160, 3), 100 + 5 * k, np.uint8) for k in range(18)]
    smears = [Smear(x, np.ones((120, 160), np.int32), None, f"r{k}", f"g{k // 6}") for k, x in enumerate(grey)]
    monkeypatch.setattr(blind, "TILE_PX", 40)
    monkeypatch.setattr("bloodlib.synthesis.Synthesizer.load", lambda model: model)
    monkeypatch.setattr("bloodlib.evaluators.painting.repaint_all", lambda _, masks, rng: list(masks))
    new = [replace(smear, name=f"p{k}", group="") for k, smear in enumerate(smears[:sampled])]
    monkeypatch.setattr("bloodlib.evaluators.painting.sample_all", lambda *_: new)
    key = blind.sheets_of_model("any", smears, tmp_path, sampled=sampled, pairs=10, floor_pairs=4)
    sources: dict[bool, list[tuple[str, int, int]]] = {True: [], False: []}
    for entry in key["pairs"]:
        for side in blind.SIDES:
            name, row, column = entry[side].replace(" at", ",").split(", ")
            sources[is_painted(entry, side)].append((name, int(row), int(column)))
    assert not {name for name, *_ in sources[True]} & {name for name, *_ in sources[False]}
    if not sampled:  # nor do neighbours in a series alternate: of six smears of a slide the first three are painted
        assert {int(name[1:]) % 6 < 3 for name, *_ in sources[True]} == {True}
        assert {int(name[1:]) % 6 < 3 for name, *_ in sources[False]} == {False}
    shown = sources[True] + sources[False]
    for k, (name, row, column) in enumerate(shown):
        assert not any(n == name and max(abs(r - row), abs(c - column)) < 40 for n, r, c in shown[:k])


def test_pairing_by_colour_takes_the_nearest(tmp_path):
    real = [Tile(np.full((8, 8, 3), level, np.uint8), f"r{level}") for level in (0, 90, 180)]
    painted = [Tile(np.full((8, 8, 3), level, np.uint8), f"p{level}") for level in (175, 5)]
    key = blind.make_sheets(real, painted, np.random.default_rng(0), tmp_path, pairs=2, floor_pairs=0, pairing="colour")
    found = {frozenset(entry[side].split(" at ")[0] for side in blind.SIDES) for entry in key["pairs"]}
    assert found == {frozenset({"r180", "p175"}), frozenset({"r0", "p5"})}


def test_sides_and_order_are_even_and_follow_the_seed(tmp_path):
    many = [entry["painted"] for seed in range(20) for entry in make(tmp_path / str(seed), seed)["pairs"]]
    left = many.count("left")
    assert 120 - 4 * 60**0.5 < left < 120 + 4 * 60**0.5  # 240 fair coins, p < 1e-4
    assert make(tmp_path / "a", 5) == make(tmp_path / "b", 5)
    firsts = {read_json(tmp_path / str(seed) / "key.json")["pairs"][0]["kind"] for seed in range(20)}
    assert firsts == {"painted", "floor"}


def test_what_cannot_be_paired_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"do not make 40 \+ 4 pairs"):
        make(tmp_path, pairs=40)
    with pytest.raises(ValueError, match="one of group, other group, colour, any"):
        make(tmp_path, pairing="stain")
    with pytest.raises(ValueError, match="tiles of one size"):
        blind.make_sheets(tiles(4, 0), tiles(4, 0, side=30), np.random.default_rng(0), tmp_path)
    one_smear = [replace(tile, source="r0", group="g0") for tile in tiles(8, 40)]
    with pytest.raises(ValueError, match="none is left for pair 1"):  # a smear is no partner for itself
        blind.make_sheets(one_smear, [], np.random.default_rng(0), tmp_path, pairs=0, floor_pairs=1)
    assert not (tmp_path / "key.json").exists()


def test_a_slide_of_one_smear_is_passed_over(tmp_path):
    alone = [Tile(np.full((20, 20, 3), 250, np.uint8), "p99", "nowhere else", 0, 0)] * 3
    key = blind.make_sheets(
        tiles(40, 40), alone + tiles(16, 200, kind="p"), np.random.default_rng(0), tmp_path, pairs=8, floor_pairs=2
    )
    assert not any("p99" in entry[side] for entry in key["pairs"] for side in blind.SIDES)


def test_score_counts_and_gives_clopper_pearson():
    key = {"pairs": [{"pair": k, "kind": "floor" if k > 40 else "painted", "painted": "left"} for k in range(1, 61)]}
    answers = {str(k): "left" if k <= 28 or k > 50 else "right" for k in range(1, 61)}
    found = blind.score(answers, key)
    assert (found["painted"]["told_apart"], found["painted"]["n"], found["painted"]["share"]) == (28, 40, 0.7)
    low, high = beta.ppf(0.025, 28, 13), beta.ppf(0.975, 29, 12)  # the definition of the exact interval
    assert found["painted"]["interval"] == pytest.approx([low, high], abs=6e-4)
    assert (found["floor"]["told_apart"], found["floor"]["n"], found["floor"]["p_value"]) == (10, 20, 1.0)


@pytest.mark.parametrize("change", [{"3": None}, {"3": "up"}, {"99": "left"}])
def test_every_pair_needs_one_answer(change):
    key = {"pairs": [{"pair": k, "kind": "painted", "painted": "left"} for k in range(1, 5)]}
    answers = {str(k): "left" for k in range(1, 5)} | change
    answers = {k: v for k, v in answers.items() if v}
    with pytest.raises(ValueError, match=f"answers for pair {next(iter(change))}"):
        blind.score(answers, key)


def test_command_scores_filled_in_answers(tmp_path, capsys):
    key = make(tmp_path)
    answers = {str(entry["pair"]): entry["painted"] for entry in key["pairs"]}
    (tmp_path / "mine.json").write_text(json.dumps(answers))
    assert blind.main(["--score", str(tmp_path / "mine.json"), "--key", str(tmp_path / "key.json")]) == 0
    assert "painted: told apart 8 of 8 (100.0%, 95 % interval 63.1% to 100.0%)" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        blind.main(["--score", "answers.json"])
