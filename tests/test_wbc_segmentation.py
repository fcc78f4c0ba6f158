"""White cells with trimaps: levels, labels and parts everywhere, the pictures where they are."""

from __future__ import annotations

import warnings

import cv2
import numpy as np
import pytest

from bloodlib.datasets import load_cells, wbc_segmentation
from bloodlib.datasets.wbc_segmentation import TYPE_NAMES, WhiteCell, read_labels, split_names
from bloodlib.io import LabelWarning
from bloodlib.io.trimaps import read_trimap, resize_trimap, snap, to_levels, write_trimap


def test_levels_go_to_the_nearest_of_three():
    every = np.arange(256, dtype=np.uint8)[None]
    nearest = np.abs(every[..., None].astype(int) - np.array([0, 128, 255])).argmin(axis=2)
    assert (snap(every) == nearest)[~np.isin(every, [64])].all()  # half way, either is right
    assert (snap(to_levels(snap(every))) == snap(every)).all()


def test_a_colour_goes_to_the_grey_nearest_in_rgb():
    colours = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    greys = np.array([0, 128, 255])[:, None] * np.ones(3)
    away = np.linalg.norm(colours[:, :, None].astype(float) - greys, axis=3)  # (40, 40, 3 greys)
    assert np.allclose(np.take_along_axis(away, snap(colours)[..., None].astype(int), 2)[..., 0], away.min(axis=2))


def test_a_trimap_comes_back_as_it_was_written(tmp_path):
    trimap = np.random.default_rng(0).integers(0, 3, (30, 40)).astype(np.uint8)
    write_trimap(tmp_path / "a.png", trimap)
    assert set(np.unique(cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_UNCHANGED))) == {0, 128, 255}
    assert (read_trimap(tmp_path / "a.png") == trimap).all()
    assert set(np.unique(resize_trimap(trimap, (61, 77)))) <= {0, 1, 2}


def test_what_a_paint_program_saves_is_read(tmp_path):
    drawn = np.zeros((20, 20, 4), np.uint8)
    drawn[..., 3] = 255
    drawn[5:15, 5:15, :3] = (120, 130, 125)
    drawn[8:12, 8:12, :3] = 250
    drawn[0:3, 0:3] = (255, 255, 255, 0)  # white, but transparent
    cv2.imwrite(str(tmp_path / "rgba.png"), drawn)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read = read_trimap(tmp_path / "rgba.png")
    assert np.bincount(read.ravel()).tolist() == [300, 84, 16]


def test_pictures_that_are_no_trimap_are_refused_or_warned_of(tmp_path):
    cv2.imwrite(str(tmp_path / "black.png"), np.zeros((9, 9), np.uint8))
    with pytest.raises(ValueError, match=r"black\.png: the trimap holds no cell"):
        read_trimap(tmp_path / "black.png")
    cv2.imwrite(str(tmp_path / "deep.png"), np.full((9, 9), 40000, np.uint16))
    with pytest.raises(ValueError, match="more than 8 bits"):
        read_trimap(tmp_path / "deep.png")
    cv2.imwrite(str(tmp_path / "photo.png"), np.tile(np.arange(256, dtype=np.uint8), (9, 1)))
    with pytest.warns(LabelWarning, match=r"photo\.png: .* of the pixels are neither black"):
        read_trimap(tmp_path / "photo.png")
    with pytest.raises(ValueError, match="values up to 3"):
        to_levels(np.full((2, 2), 3))


def test_a_cell_as_a_smear_has_a_class_per_part():
    image, trimap = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8)
    trimap[1], trimap[2] = 1, 2
    smear = WhiteCell(image, trimap, 0, "x").to_smear()
    assert (smear.instances == trimap).all()
    assert smear.classes.tolist() == [0, 1]
    trimap[1] = 0  # a cell that is all nucleus
    smear = WhiteCell(image, trimap, 0, "x").to_smear()
    assert smear.instances.max() == 1
    assert smear.classes.tolist() == [1]


def test_parts_divide_every_type_without_overlap():
    kinds = {f"{source}-{k:03d}": k % 3 for source in ("tecom", "cellavision") for k in range(1, 61)} | {"tecom-099": 4}
    parts = {split: split_names(kinds, split) for split in ("fit", "test", "all")}
    assert sorted(parts["fit"] + parts["test"]) == parts["all"] == sorted(kinds)
    assert [kinds[name] for name in parts["test"]].count(0) == 8  # of 20 of each source, 4
    assert "tecom-099" in parts["fit"]
    assert split_names(dict(reversed(kinds.items())), "test") == parts["test"]
    with pytest.raises(ValueError, match="split is 'train'; allowed are fit, test, all"):
        split_names(kinds, "train")


def test_a_label_that_is_none_is_named_with_its_line(tmp_path):
    (tmp_path / "labels.csv").write_text("image ID,class label\n1,2\n2,6\n")
    with pytest.raises(ValueError, match=r"labels\.csv, line 3"):
        read_labels(tmp_path / "labels.csv")


@pytest.mark.real("wbc_segmentation")
def test_the_cells_come_with_trimaps_and_types(real_data):
    cells = load_cells("wbc_segmentation")
    assert len(cells) == 400
    tecom = wbc_segmentation.load(source="tecom")
    assert np.bincount(tecom.kinds).tolist() == [176, 53, 48, 22, 1]
    fit, test = (wbc_segmentation.load(split, "tecom") for split in ("fit", "test"))
    assert (len(fit), len(test)) == (240, 60)
    assert not set(fit.names) & set(test.names)
    assert {TYPE_NAMES[kind] for kind in test.kinds} == set(TYPE_NAMES) - {"basophil"}
    shapes = {cell.image.shape for cell in tecom}
    assert min(min(shape[:2]) for shape in shapes) == 88
    assert max(max(shape[:2]) for shape in shapes) == 120
    assert all((cell.trimap == 2).any() for cell in test)
    with pytest.raises(ValueError, match="source is 'motic'; allowed are tecom, cellavision"):
        wbc_segmentation.load(source="motic")


@pytest.mark.real("wbc_segmentation")
def test_stray_greys_are_taken_to_the_nearest(real_data):
    cells = wbc_segmentation.load(source="cellavision")
    stray = cells.names.index("cellavision-047")
    drawn = cv2.imread(str(cells.folder / "Dataset 2" / "047.png"), cv2.IMREAD_UNCHANGED)
    assert not set(np.unique(drawn)) <= {0, 128, 255}
    found = cells[stray].trimap
    assert set(np.unique(found)) == {0, 1, 2}
    assert (found[drawn == 7] == 0).all()
