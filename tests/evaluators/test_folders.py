"""Scores of two folders of instance masks against cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from bloodlib.evaluators.folders import evaluate_folders
from bloodlib.io import read_instances, write_instances


def squares(*corners: tuple[int, int], size: int = 10) -> np.ndarray:
    instances = np.zeros((40, 60), np.int32)
    for k, (row, column) in enumerate(corners, start=1):
        instances[row : row + size, column : column + size] = k
    return instances


def test_equal_folders_score_one(tmp_path):
    for folder in ("found", "truth"):
        write_instances(tmp_path / folder / "a.png", squares((0, 0), (20, 20)))
    scores = evaluate_folders(tmp_path / "found", tmp_path / "truth")
    assert scores == {
        "images": 1,
        "Dice": 1.0,
        "Dice pooled": 1.0,
        "F1": 1.0,
        "AP50": pytest.approx(1.0),
        "AP": pytest.approx(1.0),
        "count error": 0.0,
    }


def test_one_of_two_squares_missed(tmp_path):
    write_instances(tmp_path / "found" / "instances" / "a.png", squares((0, 0)))
    write_instances(tmp_path / "truth" / "instances" / "a.png", squares((0, 0), (20, 20)))
    scores = evaluate_folders(tmp_path / "found", tmp_path / "truth")
    assert scores["Dice"] == pytest.approx(2 * 100 / 300)  # 2·|p·t| / (|p| + |t|) with 100 and 200 pixels
    assert scores["F1"] == pytest.approx(2 / 3)  # one hit, one miss
    assert scores["AP50"] == pytest.approx(51 / 101)  # precision 1 up to recall ½: 51 of the 101 points
    assert scores["count error"] == 1.0


def test_a_picture_in_which_nothing_was_found_counts_as_missed(tmp_path):
    for name in ("a", "b"):
        write_instances(tmp_path / "truth" / f"{name}.png", squares((0, 0), (20, 20)))
        write_instances(tmp_path / "found" / f"{name}.png", squares(*[(0, 0), (20, 20)] * (name == "a")))
    scores = evaluate_folders(tmp_path / "found", tmp_path / "truth")
    assert scores["Dice"] == pytest.approx(1 / 2)  # 1 and 0
    assert scores["F1"] == pytest.approx(2 / 3)  # two hits, two misses
    assert scores["AP50"] == pytest.approx(51 / 101)
    assert scores["count error"] == 1.0
    with pytest.raises(ValueError, match=r"b\.png: the mask holds no cell"):
        evaluate_folders(tmp_path / "truth", tmp_path / "found")  # but a target must have cells


def test_names_that_do_not_pair_up_are_refused(tmp_path):
    write_instances(tmp_path / "found" / "a.png", squares((0, 0)))
    write_instances(tmp_path / "truth" / "b.png", squares((0, 0)))
    with pytest.raises(ValueError, match=r"'a'.*the same names are needed"):
        evaluate_folders(tmp_path / "found", tmp_path / "truth")


def test_masks_of_different_size_are_refused(tmp_path):
    write_instances(tmp_path / "found" / "a.png", squares((0, 0))[:20])
    write_instances(tmp_path / "truth" / "a.png", squares((0, 0)))
    with pytest.raises(ValueError, match="60×20 but its target is 60×40"):
        evaluate_folders(tmp_path / "found", tmp_path / "truth")


def test_a_folder_without_label_images_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no label images"):
        evaluate_folders(tmp_path, tmp_path)


def test_specks_cost_precision_and_refuse_nothing(tmp_path):
    cells = [(0, 0), (20, 20)]
    found = squares(*cells)
    found[::4, 41::4] = np.arange(1, 51).reshape(10, 5) + 2  # fifty specks of a pixel
    write_instances(tmp_path / "found" / "a.png", found)
    write_instances(tmp_path / "truth" / "a.png", squares(*cells))
    assert evaluate_folders(tmp_path / "found", tmp_path / "truth")["F1"] == pytest.approx(2 * 2 / (2 + 52))
    with pytest.raises(ValueError, match="are specks of at most 4 px"):
        evaluate_folders(tmp_path / "truth", tmp_path / "found")


def test_of_hundreds_of_masks_one_pair_at_a_time_is_held(tmp_path, monkeypatch):
    import weakref

    from bloodlib.evaluators import folders

    for k in range(12):
        for folder in ("found", "truth"):
            write_instances(tmp_path / folder / f"{k}.png", squares((0, 0), (20, 20)))
    held, most = [], []

    def watched(path, empty=False):
        mask = np.array(read_instances(path, empty))
        held.append(weakref.ref(mask))
        most.append(sum(one() is not None for one in held))
        return mask

    monkeypatch.setattr(folders, "read_instances", watched)
    assert evaluate_folders(tmp_path / "found", tmp_path / "truth")["images"] == 12
    assert max(most) <= 6, "of 24: the pairs before may still be there when the next is read"


def test_two_masks_of_one_name_are_refused_and_hidden_files_passed_over(tmp_path):
    for folder in ("found", "truth"):
        write_instances(tmp_path / folder / "a.png", squares((0, 0)))
    (tmp_path / "truth" / "._a.png").write_bytes(b"what macOS leaves")
    assert evaluate_folders(tmp_path / "found", tmp_path / "truth")["F1"] == 1
    Image.fromarray(squares((5, 5)).astype(np.uint8)).save(tmp_path / "truth" / "a.tif")
    with pytest.raises(ValueError, match=r"a\.tif: has the same name as a\.png"):
        evaluate_folders(tmp_path / "found", tmp_path / "truth")
