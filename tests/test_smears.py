"""The smear type: what fits together, what is refused, and that folders are lazy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bloodlib.smears import Smear, SmearFolder, relabel

IMAGE = np.zeros((2, 3, 3), np.uint8)
MASK = np.array([[0, 1, 1], [2, 0, 3]], np.int32)


def test_smear_counts_its_cells_and_gives_each_a_class():
    smear = Smear(IMAGE, MASK, name="a")
    assert smear.count == 3
    assert smear.classes.tolist() == [0, 0, 0]
    assert Smear(IMAGE, np.zeros((2, 3), np.int32)).count == 0


@pytest.mark.parametrize(
    ("image", "mask", "classes", "found"),
    [
        (IMAGE.astype(float), MASK, None, "image is float64"),
        (IMAGE[..., 0], MASK, None, r"needed is uint8 \(H, W, 3\)"),
        (IMAGE, MASK.astype(np.uint16), None, "instances are uint16"),
        (IMAGE, MASK[:, :2], None, "the image is 3×2 but its mask is 2×2"),
        (IMAGE, MASK * 2, None, "numbered 1..n without gaps"),
        (IMAGE, MASK - 1, None, "numbered 1..n without gaps"),
        (IMAGE, MASK, [0, 1], "2 classes given for 3 instances"),
    ],
)
def test_parts_that_do_not_fit_are_refused(image, mask, classes, found):
    with pytest.raises(ValueError, match=rf"smear 'a': .*{found}"):
        Smear(image, mask, classes=classes, name="a")


@given(hnp.arrays(np.int64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=8), elements=st.integers(0, 9)))
def test_relabelling_keeps_cells_and_order(ids):
    numbered, _ = relabel(ids)
    assert numbered.dtype == np.int32
    pairs = sorted(set(zip(ids.ravel().tolist(), numbered.ravel().tolist(), strict=True)))
    assert [new for old, new in pairs if old] == list(range(1, numbered.max() + 1))
    assert all(new == 0 for old, new in pairs if old == 0)
    np.testing.assert_array_equal(relabel(numbered)[0], numbered)


def test_folder_is_lazy_and_slices_are_folders():
    read = []

    def render(name):
        read.append(name)
        return Smear(IMAGE, MASK, name=name)

    folder = SmearFolder(["a", "b", "c"], render, groups=["s", "s", "t"], title="mine", class_names=("red",))
    tail = folder[1:]
    assert (len(folder), tail.names, tail.groups, tail.title, tail.class_names) == (
        3,
        ("b", "c"),
        ("s", "t"),
        "mine",
        ("red",),
    )
    assert read == []
    assert tail[-1].name == "c"
    assert read == ["c"]
    assert [smear.name for smear in folder] == ["a", "b", "c"]
    assert folder.select([2, 0]).names == ("c", "a")
    with pytest.raises(IndexError):
        folder[3]


def test_classes_may_be_a_list_and_must_be_whole():
    image, instances = np.zeros((4, 4, 3), np.uint8), np.diag([1, 0, 0, 2]).astype(np.int32)
    smear = Smear(image, instances, [0, 1])
    assert smear.classes[np.array([True, False])].tolist() == [0]
    with pytest.raises(ValueError, match="classes are float64; needed are whole numbers"):
        Smear(image, instances, [0.5, 1.0])
