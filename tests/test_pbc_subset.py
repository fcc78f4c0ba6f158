"""PBC subset: its types and its two parts everywhere, its pictures where they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bloodlib._files import package_data
from bloodlib.datasets import load, load_cells
from bloodlib.datasets.pbc_subset import PREFIXES, TYPE_NAMES, split_paths
from bloodlib.datasets.registry import read_registry


@pytest.fixture
def paths() -> list[str]:
    return list(read_registry(package_data("registries", "pbc_subset.txt"))[1])


def test_parts_divide_every_prefix_without_overlap(paths):
    parts = {split: split_paths(paths, split) for split in ("fit", "test", "all")}
    assert sorted(parts["fit"] + parts["test"]) == sorted(parts["all"]) == sorted(paths)
    for split, each in (("fit", 40), ("test", 10)):
        found = [Path(path).name.split("_")[0] for path in parts[split]]
        assert {prefix: found.count(prefix) for prefix in PREFIXES} == dict.fromkeys(PREFIXES, each)


def test_the_split_does_not_depend_on_the_order_of_the_registry(paths):
    assert split_paths(paths[::-1], "test") == split_paths(paths, "test")


def test_unknown_splits_prefixes_and_sets_are_named(paths):
    with pytest.raises(ValueError, match="split is 'validation'; allowed are fit, test, all"):
        split_paths(paths, "validation")
    with pytest.raises(ValueError, match="XY_1"):
        split_paths([*paths, "ig/XY_1.jpg"], "all")
    with pytest.raises(
        ValueError, match="'phantom' is no set of single-cell pictures; there is wbc_segmentation, pbc_subset"
    ):
        load_cells("phantom")
    with pytest.raises(ValueError, match=r"no instance mask.*load_cells\('pbc_subset'\)"):
        load("pbc_subset")


@pytest.mark.real("pbc_subset")
def test_pictures_come_with_their_types(real_data):
    cells = load_cells("pbc_subset")
    assert len(cells) == 650
    assert np.bincount(cells.kinds).tolist() == [50, 50, 50, 200, 50, 50, 150, 50]
    last = cells[:20][-1]
    assert last.image.dtype == np.uint8
    assert last.image.shape[2] == 3
    assert 355 <= min(last.image.shape[:2]) <= max(last.image.shape[:2]) <= 370
    assert last.prefix in PREFIXES
    assert (cells.folder / TYPE_NAMES[last.kind] / f"{last.name}.jpg").is_file()
