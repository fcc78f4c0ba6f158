"""BCCD: masks that have not seen a box, boxes that say what is wrong with them, and no split."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import bloodlib
from bloodlib.datasets import bccd
from bloodlib.evaluators.metrics import instance_boxes, match_boxes
from bloodlib.io import DataWarning


@pytest.mark.parametrize("split", ["train", "fit", "validation", "test"])
def test_there_is_no_split_and_it_is_said_why(split):
    with pytest.raises(ValueError, match=rf"split is '{split}', but bccd has no slide numbers .* --split all"):
        bloodlib.load("bccd", split=split)


@pytest.mark.real("bccd")
def test_smears_have_derived_masks_that_meet_the_boxes(real_data):
    smears = bloodlib.load("bccd")
    assert (len(smears), smears.title) == (364, "BCCD")
    found = published = 0
    for smear in smears[:40:13]:
        assert smear.image.shape == (480, 640, 3)
        assert set(smear.classes.tolist()) <= {0}
        voc = bccd.boxes(smear.name)
        red = voc.boxes[np.array(voc.labels) == "RBC"] - [1, 1, 0, 0]
        found += match_boxes(instance_boxes(smear.instances), red.astype(np.float32)).tp
        published += len(red)
    assert found > published / 2, "derived without boxes, and yet most boxes are met"


@pytest.mark.real("bccd")
def test_a_box_without_an_area_is_named(real_data):
    with pytest.warns(DataWarning, match=r"BloodImage_00\d+\.xml: box .* allowed is xmin < xmax"):
        read = [bccd.boxes(name) for name in bloodlib.load("bccd").names]
    assert sum(len(voc.boxes) for voc in read) == 4888 - 2


@pytest.mark.real("bccd")
def test_the_boxes_of_a_smear_need_its_file_alone(real_data, tmp_path, monkeypatch):
    annotation = Path("bccd", "BCCD", "Annotations", "BloodImage_00001.xml")
    (tmp_path / annotation).parent.mkdir(parents=True)
    shutil.copy(real_data / annotation, tmp_path / annotation)
    expected = bccd.boxes("BloodImage_00001")
    monkeypatch.setenv("BLOODLIB_DATA", str(tmp_path))
    np.testing.assert_array_equal(bccd.boxes("BloodImage_00001").boxes, expected.boxes)
    with pytest.raises(ValueError, match=r"BloodImage_99999\.xml' is none of the 733 files of bccd"):
        bccd.boxes("BloodImage_99999")
