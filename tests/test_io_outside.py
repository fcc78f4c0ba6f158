"""What is written is read by programs of others: pycocotools, torchvision, OpenCV."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO
from torchvision.datasets import CocoDetection, VOCDetection

from bloodlib.io import read_instances, read_voc, write_folder, write_voc
from bloodlib.smears import Smear

# pycocotools 2.0 under NumPy 2
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
NAMES = ("red blood cell", "white & <odd>")


@pytest.fixture
def smears():
    """Two smears of three cells, one of them cut by the border, one of another class."""
    made = []
    for k in range(2):
        rows, columns = np.indices((50, 60))
        instances = np.zeros((50, 60), np.int32)
        for i, (row, column) in enumerate([(0, 10), (25, 20 + k), (35, 45)], start=1):
            instances[np.hypot(rows - row, columns - column) < 8] = i
        image = np.random.default_rng(k).integers(0, 256, (50, 60, 3), dtype=np.uint8)
        made.append(Smear(image, instances, np.array([0, 1, 0]), name=f"smear-{k}"))
    return made


@pytest.fixture
def folder(smears, tmp_path):
    write_folder(tmp_path, smears, NAMES)
    return tmp_path


def test_torchvision_reads_images_and_cells(folder, smears):
    with contextlib.redirect_stdout(io.StringIO()):
        outside = CocoDetection(folder / "images", folder / "coco.json")
    assert len(outside) == 2
    for (image, cells), smear in zip(outside, smears, strict=True):
        np.testing.assert_array_equal(np.asarray(image), smear.image)
        assert len(cells) == smear.count
        for cell in cells:
            np.testing.assert_array_equal(outside.coco.annToMask(cell) > 0, smear.instances == cell["instance"])


def test_pycocotools_and_opencv_see_the_same_cells(folder, smears):
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(folder / "coco.json")
    assert [coco.cats[k]["name"] for k in sorted(coco.cats)] == list(NAMES)
    for entry in coco.imgs.values():
        ids = cv2.imread(str(folder / "instances" / entry["file_name"]), cv2.IMREAD_UNCHANGED)
        assert ids.dtype == np.uint16
        picture = cv2.imread(str(folder / "images" / entry["file_name"]))[..., ::-1]
        smear = next(s for s in smears if f"{s.name}.png" == entry["file_name"])
        np.testing.assert_array_equal(ids, smear.instances)
        np.testing.assert_array_equal(picture, smear.image)
        np.testing.assert_array_equal(read_instances(folder / "instances" / entry["file_name"]), ids)
        drawn = sum(coco.annToMask(a).astype(int) * a["instance"] for a in coco.imgToAnns[entry["id"]])
        np.testing.assert_array_equal(drawn, smear.instances)


def test_torchvision_reads_voc_boxes_and_so_do_we(tmp_path, smears):
    smear = smears[0]
    write_voc(tmp_path / "a.xml", smear, NAMES)
    outside = VOCDetection.parse_voc_xml(ElementTree.parse(tmp_path / "a.xml").getroot())["annotation"]
    assert outside["filename"] == "smear-0.png"
    assert outside["size"] == {"width": "60", "height": "50", "depth": "3"}
    ours = read_voc(tmp_path / "a.xml")
    assert (ours.name, ours.shape, ours.labels) == ("smear-0", (50, 60), (NAMES[0], NAMES[1], NAMES[0]))
    for k, (cell, box) in enumerate(zip(outside["object"], ours.boxes, strict=True), start=1):
        rows, columns = np.nonzero(smear.instances == k)
        expected = [columns.min() + 1, rows.min() + 1, columns.max() + 1, rows.max() + 1]  # VOC counts from 1
        assert [int(cell["bndbox"][key]) for key in ("xmin", "ymin", "xmax", "ymax")] == expected
        assert box.tolist() == expected
    assert [cell["truncated"] for cell in outside["object"]] == ["1", "0", "0"]


def test_a_class_without_a_name_is_not_written_as_voc(tmp_path, smears):
    with pytest.raises(ValueError, match="classes 0 to 1, but 1 class names"):
        write_voc(tmp_path / "a.xml", smears[0])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("below", "says"),
    [
        ("annotations/a.xml", "seems to be boxes, as Pascal VOC has them.*derive_instances"),
        ("labels/a.txt", "YOLO"),
        ("labelme.json", "LabelMe.* export them as COCO .* coco.json"),
        ("RoiSet.zip", "ImageJ"),
        ("masks.npy", "write_instances"),
        ("project.geojson", "QuPath"),
    ],
)
def test_annotations_of_other_kinds_are_refused_with_a_way_out(folder, below, says):
    from bloodlib.io import check_folder, read_folder

    for path in [*(folder / "instances").iterdir(), folder / "coco.json"]:
        path.unlink()
    (folder / "instances").rmdir()
    (folder / below).parent.mkdir(exist_ok=True)
    Path(folder / below).write_text("x")
    with pytest.raises(FileNotFoundError, match=says):
        read_folder(folder)
    (finding,) = check_folder(folder)
    assert finding.is_error


def test_pictures_of_other_kinds_are_passed_over_with_a_way_out(folder):
    from bloodlib.io import check_folder

    (folder / "images" / "slide.svs").write_text("x")
    (finding,) = check_folder(folder)
    assert not finding.is_error
    assert "slide.svs: is passed over, a whole slide, which is not read; export the fields of view" in finding.text
