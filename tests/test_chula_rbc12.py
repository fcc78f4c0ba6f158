"""Chula RBC-12: its fixed split everywhere, its masks where the images are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bloodlib._files import package_data, read_json
from bloodlib.datasets import load
from bloodlib.datasets.chula_rbc12 import CLASS_NAMES, read_points
from bloodlib.datasets.registry import read_registry
from bloodlib.datasets.splits import choose_parts, chula_group, chula_split, stain_family

PARTS = ("fit", "validation", "test")


@pytest.fixture
def split() -> dict:
    return read_json(package_data("splits", "chula_rbc12.json"))


def test_the_data_card_says_what_the_codes_mean():
    card = " ".join((Path(__file__).parents[1] / "book" / "data_chula.md").read_text().split())
    assert all(f"{code} *{name}*" in card for code, name in enumerate(CLASS_NAMES))


def test_split_holds_every_smear_once(split):
    _, hashes = read_registry(package_data("registries", "chula_rbc12.txt"))
    registered = {path.removeprefix("Dataset/").removesuffix(".jpg") for path in hashes if path.startswith("Dataset/")}
    assert len(registered) == 84
    names = [name for part in PARTS for name in split[part]]
    assert len(names) == len(set(names)) == 84
    assert set(names) == registered
    assert sorted(name for members in split["groups"].values() for name in members) == sorted(names)


def test_no_group_is_in_two_parts(split):
    for group, members in split["groups"].items():
        assert split["sizes"][group] == len(members)
        assert all(chula_group(name) == group for name in members)
        assert sum(bool(set(members) & set(split[part])) for part in PARTS) == 1, group


def test_shares_and_stain_families(split):
    assert len(split["test"]) == pytest.approx(0.4 * 84, abs=1)
    assert 10 <= len(split["validation"]) <= 12
    family_of = {group: family for family, groups in split["stain_families"].items() for group in groups}
    assert set(family_of) == set(split["groups"])
    for part in ("fit", "test"):
        assert {family_of[group] for group in split["parts"][part]} == set(split["stain_families"]), part


def test_the_rule_gives_the_stored_split_again(split):
    absorbances = {name: split["absorbance"][group] for group, names in split["groups"].items() for name in names}
    assert chula_split(absorbances) == split


def test_choose_parts_says_when_it_cannot():
    with pytest.raises(ValueError, match="several groups per family"):
        choose_parts({"a": 10, "b": 10}, {"a": "rose", "b": "grey"})


def test_unknown_file_number_and_family_borders():
    with pytest.raises(ValueError, match="no appearance group"):
        chula_group("500")
    assert stain_family([0.05, 0.16, 0.12]) == "grey"
    assert stain_family([0.13, 0.38, 0.23]) == "rose"


def test_points_that_are_none(tmp_path):
    path = tmp_path / "1.txt"
    path.write_text("10 20 12\n\n30 40 0\n")
    assert read_points(path).tolist() == [[10, 20, 12], [30, 40, 0]]
    for line in ("10 20", "10 20 13", "10 -3 1", "a b c"):
        path.write_text(f"10 20 1\n{line}\n")
        with pytest.raises(ValueError, match=r"1\.txt, line 2"):
            read_points(path)
    path.write_text("")
    assert read_points(path).shape == (0, 3)


@pytest.mark.real
def test_smears_come_with_masks_classes_and_points(real_data):
    assert len(CLASS_NAMES) == 13
    smears = load("chula_rbc12", split="train")
    assert len(smears) == len(load("chula_rbc12", "fit")) + len(load("chula_rbc12", "validation"))
    assert len(smears) + len(load("chula_rbc12", "test")) == len(load("chula_rbc12")) == 84
    smear = smears[smears.names.index("297")]
    assert smear.image.shape == (480, 640, 3)
    assert smear.group == "297-327"
    assert smear.points.shape == (95, 3)
    hit = smear.instances[smear.points[:, 1], smear.points[:, 0]]
    assert (hit > 0).mean() > 0.97
    named = hit > 0
    assert (smear.classes[hit[named] - 1] == smear.points[named, 2]).mean() > 0.95
    assert 95 <= smear.count <= 125


@pytest.mark.real
def test_reading_twice_gives_equal_arrays_of_ones_own(real_data):
    smears = load("chula_rbc12", split="fit")
    first = smears[0]
    first.instances[:] = 0
    first.classes[:] = 3
    second = smears[0]
    assert second.count == second.instances.max() > 50
    assert not (second.classes == 3).all() or (second.points[:, 2] == 3).all()


@pytest.mark.real
@pytest.mark.parametrize(("name", "row", "column"), [("141", 101, 612), ("306", 54, 64), ("328", 82, 605)])
def test_white_cells_are_no_instances(real_data, name, row, column):
    smears = load("chula_rbc12")
    assert smears[smears.names.index(name)].instances[row, column] == 0


@pytest.mark.real
@pytest.mark.parametrize("name", ["103", "253", "271", "387"])
def test_scale_bar_is_no_instance(real_data, name):
    smears = load("chula_rbc12")
    smear = smears[smears.names.index(name)]
    area = np.bincount(smear.instances.ravel())[1:]
    corner = np.unique(smear.instances[415:445, 490:600])
    corner = corner[corner > 0]
    assert (area[corner - 1] > 0.25 * np.median(area)).all(), "a piece of the scale bar is counted as a cell"
