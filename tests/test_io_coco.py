"""COCO files against pycocotools, VOC files against hand-written XML and real ones."""

from __future__ import annotations

import contextlib
import io
import json
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools.coco import COCO

from bloodlib.io import DataWarning, read_coco, read_voc, write_coco
from bloodlib.smears import Smear, relabel


def smear(instances, classes=None, name="a", group=""):
    instances = relabel(np.asarray(instances))[0]
    return Smear(np.zeros((*instances.shape, 3), np.uint8), instances, classes=classes, name=name, group=group)


def without_holes(instances):
    """Tell whether every cell is the same once its holes are filled."""
    from scipy.ndimage import binary_fill_holes

    return all((binary_fill_holes(instances == k) == (instances == k)).all() for k in range(1, instances.max() + 1))


masks = hnp.arrays(
    np.int32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.sampled_from([0, 0, 1, 2, 3])
).filter(np.any)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # inside pycocotools
@pytest.mark.parametrize("segmentation", ["rle", "polygon"])
@given(instances=masks)
def test_cells_come_back_to_the_pixel_and_pycocotools_sees_the_same(tmp_path_factory, segmentation, instances):
    one = smear(instances)
    if segmentation == "polygon" and not without_holes(one.instances):
        return  # polygons fill holes: see the test below
    path = tmp_path_factory.mktemp("coco") / "coco.json"
    write_coco(path, [one], segmentation=segmentation)
    np.testing.assert_array_equal(read_coco(path).instances("a")[0], one.instances)
    with contextlib.redirect_stdout(io.StringIO()):
        outside = COCO(path)
    for annotation in outside.loadAnns(outside.getAnnIds()):
        cell = one.instances == annotation["instance"]
        np.testing.assert_array_equal(outside.annToMask(annotation).astype(bool), cell)
        rows, columns = np.nonzero(cell)
        box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
        assert annotation["bbox"] == box
        assert annotation["area"] == cell.sum()


def test_polygons_of_large_cells_are_exact_and_fill_holes(tmp_path):
    rows, columns = np.indices((120, 160))
    instances = np.zeros((120, 160), np.int32)
    for k in range(6):
        instances[(rows - 30 - 50 * (k // 3)) ** 2 / 300 + (columns - 25 - 45 * (k % 3)) ** 2 / 450 < 1] = k + 1
    write_coco(tmp_path / "c.json", [smear(instances)], segmentation="polygon")
    np.testing.assert_array_equal(read_coco(tmp_path / "c.json").instances("a")[0], instances)
    ring = instances.copy()
    ring[30, 25] = 0
    write_coco(tmp_path / "c.json", [smear(ring)], segmentation="polygon")
    np.testing.assert_array_equal(read_coco(tmp_path / "c.json").instances("a")[0], instances)


def test_classes_groups_and_numbers_come_back(tmp_path):
    first = smear([[1, 1, 0], [0, 2, 2]], classes=np.array([1, 0]), name="one", group="slide 1")
    second = smear([[0, 1]], classes=np.array([2]), name="two")
    write_coco(tmp_path / "c.json", [first, second], class_names=("red", "white", "platelet"))
    coco = read_coco(tmp_path / "c.json")
    assert coco.class_names == ("red", "white", "platelet")
    assert coco.groups == {"one": "slide 1", "two": ""}
    assert coco.sizes == {"one": (2, 3), "two": (1, 2)}
    assert coco.instances("one")[1].tolist() == [1, 0]
    assert coco.numbered_classes("one", 2).tolist() == [1, 0]
    assert coco.numbered_classes("one", 3) is None


def test_a_bad_write_leaves_nothing(tmp_path):
    one = smear([[1, 0, 2]], classes=np.array([0, 4]))
    with pytest.raises(ValueError, match="classes 0 to 4, but 1 class names are given"):
        write_coco(tmp_path / "c.json", [one])
    with pytest.raises(ValueError, match="comes twice"):
        write_coco(tmp_path / "c.json", [smear([[1]]), smear([[1]])])
    with pytest.raises(ValueError, match="allowed are 'rle' and 'polygon'"):
        write_coco(tmp_path / "c.json", [smear([[1]])], segmentation="box")
    assert not list(tmp_path.iterdir())


def coco_file(path, *segmentations, **more):
    """Write a 4×6 image with one annotation per segmentation."""
    entries = [
        {"id": k, "image_id": 1, "category_id": 7, "segmentation": s} | more for k, s in enumerate(segmentations, 1)
    ]
    image = {"id": 1, "file_name": "sub/a.jpg", "width": 6, "height": 4}
    content = {"images": [image], "annotations": entries, "categories": [{"id": 7, "name": "cell"}]}
    path.write_text(json.dumps(content))
    return content


def test_polygons_and_plain_run_lengths_of_others_are_read(tmp_path):
    square = [[0, 0, 2, 0, 2, 2, 0, 2]]
    runs = {"size": [4, 6], "counts": [12, 4, 8]}  # column 3, down the columns
    coco_file(tmp_path / "c.json", square, runs)
    expected = np.zeros((4, 6), int)
    expected[:2, :2], expected[:, 3] = 1, 2
    np.testing.assert_array_equal(read_coco(tmp_path / "c.json").instances("a")[0], expected)


def test_later_cells_lie_on_top_and_hidden_ones_are_reported(tmp_path):
    small, large = [[1, 1, 2, 1, 2, 2, 1, 2]], [[0, 0, 3, 0, 3, 3, 0, 3]]
    coco_file(tmp_path / "c.json", large, small)
    assert np.bincount(read_coco(tmp_path / "c.json").instances("a")[0].ravel()).tolist() == [15, 8, 1]
    coco_file(tmp_path / "c.json", small, large)
    with pytest.warns(DataWarning, match=r"c\.json: in image 'sub/a\.jpg' the cells number 1 are wholly hidden"):
        instances, classes = read_coco(tmp_path / "c.json").instances("a")
    assert (instances.max(), len(classes)) == (1, 1)


def test_crowd_regions_are_left_out_aloud(tmp_path):
    coco_file(tmp_path / "c.json", [[0, 0, 2, 0, 2, 2]], iscrowd=1)
    with (
        pytest.warns(DataWarning, match=r"annotation 1 of image 'sub/a\.jpg' is a crowd"),
        pytest.raises(ValueError, match="has no cell"),
    ):
        read_coco(tmp_path / "c.json").instances("a")


@pytest.mark.parametrize(
    ("segmentation", "found"),
    [
        (None, "a box alone does not outline a cell"),
        ([[1, 1, 2, 2]], "at least three x, y pairs"),
        ([], "at least three x, y pairs"),
        ([["x", 1, 2, 2, 3, 3]], "could not convert"),
        ({"size": [5, 6], "counts": [30]}, "its size is"),
        ({"size": [4, 6]}, "counts"),
        ({"size": [4, 6], "counts": [2, 3]}, "decoded 5 pixels but expected 24"),
        ({"size": [4, 6], "counts": [-5, 29]}, ""),
        ({"size": [4, 6], "counts": "zzz"}, "characters that are none"),
        ({"size": [4, 6], "counts": "P"}, "cut short"),
        ({"size": [4, 6], "counts": "0N"}, "0 or more"),
        ([[0, 0, 1e12, 0, 2, 2]], "far outside of the image"),
        ([[0, 0, float("nan"), 0, 2, 2]], "nowhere"),
        ({"size": [4, 6], "counts": [20, 30]}, "exceed the mask"),
    ],
)
def test_unusable_segmentations_are_named(tmp_path, segmentation, found):
    coco_file(tmp_path / "c.json", segmentation)
    coco = read_coco(tmp_path / "c.json")
    with pytest.raises(ValueError, match=rf"annotation 1 of image 'sub/a\.jpg' has an unusable .*{found}"):
        coco.instances("a")


def test_broken_coco_files_are_named(tmp_path):
    path = tmp_path / "c.json"
    content = coco_file(path, [[0, 0, 2, 0, 2, 2]])
    path.write_text(path.read_text()[:-9])
    with pytest.raises(ValueError, match=r"c\.json: not valid JSON"):
        read_coco(path)
    image = content["images"][0]
    for change, found in [
        ({"categories": None}, "has no list categories"),
        ({"images": []}, "annotation 1 has image_id 1, which is not in the file"),
        ({"categories": [{"id": 1, "name": "x"}]}, "annotation 1 has category_id 7"),
        ({"images": [{"id": 1}]}, r"images\[0\] has no file_name, width, height"),
        ({"images": [image, {**image, "id": 2}]}, "two images are called 'a'"),
        ({"images": [image, {**image, "file_name": "b.png"}]}, r"images\[0\] and images\[1\] both have the id 1; were"),
        ({"categories": content["categories"] * 2}, r"categories\[0\] and categories\[1\] both have the id"),
    ]:
        path.write_text(json.dumps(content | change))
        with pytest.raises(ValueError, match=rf"c\.json: .*{found}"):
            read_coco(path)


# --- VOC

XML = """<annotation><filename>cells_01.jpg</filename><size><width>640</width><height>480</height></size>
<object><name>RBC</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>42</ymax></bndbox></object>
<object><name>WBC</name><bndbox><xmin>{left}</xmin><ymin>20</ymin><xmax>50</xmax><ymax>60</ymax></bndbox></object>
</annotation>"""


def test_boxes_are_read(tmp_path):
    (tmp_path / "a.xml").write_text(XML.format(left=10))
    voc = read_voc(tmp_path / "a.xml")
    assert (voc.name, voc.shape, voc.labels) == ("cells_01", (480, 640), ("RBC", "WBC"))
    assert voc.boxes.tolist() == [[1, 2, 30, 42], [10, 20, 50, 60]]


@pytest.mark.parametrize("left", [50, 51])
def test_degenerate_box_is_named_and_the_rest_is_read(tmp_path, left):
    (tmp_path / "a.xml").write_text(XML.format(left=left))
    with pytest.warns(DataWarning, match=rf"a\.xml: box 2 \(WBC\) runs from x {left} to 50 .* xmin < xmax"):
        voc = read_voc(tmp_path / "a.xml")
    assert voc.labels == ("RBC",)
    assert voc.boxes.shape == (1, 4)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("<annotation><size>", "not a readable XML file"),
        ("<html/>", "its first tag is <html>"),
        ("<annotation/>", "<size/height> of <annotation> is None, needed is a number"),
        (XML.format(left="left"), "<bndbox/xmin> of <object> is 'left'"),
        ('<!DOCTYPE x [<!ENTITY e "eeee">]><annotation>&e;</annotation>', "not a readable XML file"),
    ],
)
def test_broken_voc_files_are_named(tmp_path, text, found):
    (tmp_path / "a.xml").write_text(text)
    with pytest.raises(ValueError, match=rf"a\.xml: .*{found}"):
        read_voc(tmp_path / "a.xml")


@pytest.mark.real("bccd")
def test_the_two_degenerate_boxes_of_bccd_are_reported_and_all_files_read(real_data):
    files = sorted((real_data / "bccd" / "BCCD" / "Annotations").glob("*.xml"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read = [read_voc(path) for path in files]
    assert len(read) == 364
    assert len(caught) == 2
    assert all(len(voc.boxes) == len(voc.labels) and voc.shape == (480, 640) for voc in read)
    assert {label for voc in read for label in voc.labels} == {"RBC", "WBC", "Platelets"}
