"""Folders of smears: what comes in, what is refused, and that nothing is written by half."""

from __future__ import annotations

import json
import shutil
import unicodedata
import warnings

import cv2
import numpy as np
import pytest
from PIL import Image

import bloodlib
from bloodlib.io import (
    LabelWarning,
    check_folder,
    read_folder,
    read_splits,
    write_coco,
    write_folder,
    write_image,
    write_instances,
    write_smear,
)
from bloodlib.io.images import DataWarning
from bloodlib.smears import Smear

SHAPE = (40, 60)


def make(name, classes=None, group="", shape=SHAPE):
    rng = np.random.default_rng(len(name))
    instances = np.zeros(shape, np.int32)
    for k, (row, column) in enumerate([(10, 12), (10, 31), (28, 30)], start=1):
        instances[row - 8 : row + 9, column - 9 : column + 10] = k
    return Smear(rng.integers(0, 256, (*shape, 3), dtype=np.uint8), instances, classes, name=name, group=group)


@pytest.fixture
def folder(tmp_path):
    """Three good smears as label images."""
    for name in ("a", "b", "c"):
        write_smear(tmp_path / "set", make(name))
    return tmp_path / "set"


def as_colours(folder):
    """Turn the label images of a folder into colour masks."""
    for path in (folder / "instances").iterdir():
        ids = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        write_image(
            folder / "masks" / path.name, np.array([[0] * 3, [255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)[ids]
        )
        path.unlink()
    (folder / "instances").rmdir()


def as_coco(folder):
    write_coco(folder / "coco.json", list(read_folder(folder)))
    for path in (folder / "instances").iterdir():
        path.unlink()
    (folder / "instances").rmdir()


def errors(folder):
    return [finding.text for finding in check_folder(folder) if finding.level == "error"]


def refused(folder, pattern):
    """Both ways in must say it: opening (now or when read) and checking."""
    with pytest.raises((ValueError, FileNotFoundError), match=pattern):
        list(bloodlib.load(folder))
    found = errors(folder)
    assert len(found) == 1
    with pytest.raises((ValueError, FileNotFoundError), match=pattern):
        raise ValueError(found[0])


# --- good folders


@pytest.mark.parametrize("change", [lambda folder: None, as_colours, as_coco])
def test_each_kind_of_folder_gives_back_what_was_written(folder, change):
    change(folder)
    smears = bloodlib.load(folder)
    assert (smears.names, smears.title, len(smears[1:])) == (("a", "b", "c"), "set", 2)
    for smear in smears:
        written = make(smear.name)
        np.testing.assert_array_equal(smear.image, written.image)
        np.testing.assert_array_equal(smear.instances, written.instances)
        assert smear.classes.tolist() == [0, 0, 0]
    assert check_folder(folder) == []


def test_classes_groups_and_class_names_come_back(tmp_path):
    written = [make("a", np.array([0, 1, 0]), "s1"), make("b", np.array([1, 1, 0]), "s2")]
    write_folder(tmp_path, iter(written), class_names=("red", "white"))
    smears = read_folder(tmp_path)
    assert (smears.class_names, smears.groups) == (("red", "white"), ("s1", "s2"))
    assert [smear.classes.tolist() for smear in smears] == [[0, 1, 0], [1, 1, 0]]
    assert [smear.group for smear in smears] == ["s1", "s2"]
    assert check_folder(tmp_path) == []


@pytest.mark.parametrize("change", ["key", "count"])
def test_classes_that_cannot_be_told_are_an_error_and_not_all_the_first(tmp_path, change):
    write_folder(tmp_path, [make("a", np.array([0, 1, 0]))], ("red", "white"))
    content = json.loads((tmp_path / "coco.json").read_text())
    if change == "key":  # as the programs of others write it
        for annotation in content["annotations"]:
            del annotation["instance"]
    else:  # the mask has a cell more than the file
        del content["annotations"][2]
    (tmp_path / "coco.json").write_text(json.dumps(content))
    [finding] = check_folder(tmp_path)
    assert finding.is_error
    assert "coco.json: the annotations of 'a.png' do not say which cell each is (the key \"instance\"" in finding.text
    with pytest.warns(LabelWarning, match="every cell counts as 'red'"):
        assert read_folder(tmp_path)[0].classes.tolist() == [0, 0, 0]


def test_images_without_classes_beside_others_that_have_them_are_named(tmp_path):
    write_folder(tmp_path, [make("a", np.array([0, 1, 0]))], ("red", "white"))
    write_smear(tmp_path, make("b"))
    [finding] = check_folder(tmp_path)
    assert not finding.is_error  # a set that is being written is so, too
    assert "coco.json: does not name 1 of the images (b), so every cell of theirs counts as 'red'" in finding.text


def test_where_there_is_one_class_nothing_has_to_say_which_cell_is_which(tmp_path):
    write_folder(tmp_path, [make("a")])
    content = json.loads((tmp_path / "coco.json").read_text())
    for annotation in content["annotations"]:
        del annotation["instance"]
    (tmp_path / "coco.json").write_text(json.dumps(content))
    assert check_folder(tmp_path) == []


def test_nothing_is_decoded_before_it_is_asked_for(folder, monkeypatch):
    monkeypatch.setattr("bloodlib.io.folder.read_image", lambda path: 1 / 0)
    smears = read_folder(folder)
    assert len(smears) == 3
    with pytest.raises(ZeroDivisionError):
        smears[0]


def test_splits_are_read_from_the_folder(folder):
    parts = {"fit": ["c"], "validation": ["a"], "test": ["b"], "groups": {"a": "s1", "b": "s2", "c": "s3"}}
    (folder / "splits.json").write_text(json.dumps(parts))
    found = {split: bloodlib.load(folder, split).names for split in ("all", "train", "fit", "validation", "test")}
    expected = {"all": ("a", "b", "c"), "train": ("a", "c"), "fit": ("c",), "validation": ("a",), "test": ("b",)}
    assert found == expected
    assert bloodlib.load(folder, "train").groups == ("s1", "s3")


@pytest.mark.parametrize(
    ("content", "pattern"),
    [
        ({"fit": ["a", "d"]}, "fit names 'd', but images/ has no such file"),
        ({"fit": ["a"], "test": ["a"]}, "'a' is in fit and in test"),
        ({"fit": ["a"], "test": ["b"], "groups": {"a": "s", "b": "s"}}, "the group 's' is in fit and in test"),
        ({"fit": ["a"], "test": ["b"], "groups": {"a.png": "s", "b": "s"}}, "groups names 'a.png', but images/ has no"),
        ({"train": ["a"]}, "holds train: list; allowed are lists of names fit, validation, test"),
        ({"fit": "a"}, "holds fit: str"),
        (["a"], "holds list"),
    ],
)
def test_bad_splits_are_refused(folder, content, pattern):
    (folder / "splits.json").write_text(json.dumps(content))
    refused(folder, rf"splits\.json: {pattern}")


def test_a_split_that_is_not_there_is_refused(folder):
    with pytest.raises(ValueError, match=r'split \'test\' is asked for, but the folder has no splits\.json.* "all"'):
        bloodlib.load(folder, "test")
    (folder / "splits.json").write_text('{"fit": ["a"]}')
    with pytest.raises(ValueError, match="no smears for 'test'; it has all, fit, train"):
        bloodlib.load(folder, "test")


# --- bad input, one by one


def test_sizes_that_differ(folder):
    write_instances(folder / "instances" / "b.png", np.ones((40, 61), np.int32))
    refused(folder, r"b\.png: the image is 60×40 but its mask \(.*b\.png\) is 61×40; .*resized")
    with pytest.raises(ValueError, match="61×40"):
        read_folder(folder)  # known from the headers, before anything is read


def test_sizes_that_differ_in_coco(folder):
    as_coco(folder)
    write_image(folder / "images" / "b.png", np.zeros((41, 60, 3), np.uint8))
    refused(folder, r"b\.png: the image is 60×41 but its mask \(.*coco\.json\) is 60×40")


@pytest.mark.parametrize("change", [lambda folder: None, as_colours])
def test_mask_without_a_cell(folder, change):
    change(folder)
    mask = folder / ("masks" if (folder / "masks").exists() else "instances") / "b.png"
    Image.new("L", SHAPE[::-1]).save(mask)
    refused(folder, r"b\.png: the mask holds no cell")


def test_truncated_image(folder):
    path = folder / "images" / "b.png"
    path.write_bytes(path.read_bytes()[:-200])
    refused(folder, r"b\.png: cannot be read as an image .*cut short")


def test_file_that_is_no_image(folder):
    (folder / "images" / "b.png").write_text("not an image")
    refused(folder, r"images.b\.png: cannot be read as an image")


@pytest.mark.parametrize("change", [lambda folder: None, as_colours])
def test_mask_saved_as_jpeg(folder, change):
    change(folder)
    old = next(path for path in folder.rglob("b.png") if path.parent.name != "images")
    Image.open(old).convert("RGB").save(old.with_suffix(".jpg"))
    old.unlink()
    refused(folder, r"b\.jpg: the mask is a JPEG")


@pytest.mark.parametrize("mode", ["RGBA", "L"])
def test_image_that_is_not_rgb(folder, mode):
    Image.new(mode, SHAPE[::-1]).save(folder / "images" / "b.png")
    refused(folder, r"b\.png: the image is (RGBA|grayscale).*needed is RGB")


def test_names_that_do_not_pair_up(folder):
    (folder / "images" / "b.png").rename(folder / "images" / "b_1.png")
    with pytest.raises(ValueError, match=r"1 image has no mask in instances \(b_1\).*and 1 more.*data check"):
        read_folder(folder)
    assert [text.split(": ")[1].split(";")[0] for text in errors(folder)] == [
        "1 image has no mask in instances (b_1)",
        "1 mask has no image in images (b)",
    ]


def test_two_images_of_one_name(folder):
    Image.new("RGB", SHAPE[::-1]).save(folder / "images" / "b.jpg")
    refused(folder, r"b\.png: has the same name as b\.jpg")


def test_empty_and_missing_folders(tmp_path, folder):
    with pytest.raises(FileNotFoundError, match=r"there is no such folder"):
        read_folder(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", r"has no images/ \(it holds nothing at all\); a folder of smears holds images/ and")
    (tmp_path / "empty" / "images").mkdir()
    refused(tmp_path / "empty", r"has images/ but no masks; a folder of smears holds")
    (tmp_path / "empty" / "instances").mkdir()
    refused(tmp_path / "empty", r"images: holds no image; allowed are \.png")


def test_touching_cells_of_one_colour_are_reported_and_read(folder):
    as_colours(folder)
    mask = np.zeros((*SHAPE, 3), np.uint8)
    for column in (12, 30):
        cv2.circle(mask, (column, 20), 9, (255, 0, 0), -1)
    write_image(folder / "masks" / "b.png", mask)
    [finding] = check_folder(folder)
    assert finding.is_error
    assert "b.png: the region around column 21, row 20 (37×19 px) looks like touching cells" in finding.text
    with pytest.warns(LabelWarning, match="around column 21, row 20"):
        assert bloodlib.load(folder)[1].count == 1


def test_all_problems_are_listed_at_once(folder):
    write_smear(folder, make("d"))
    write_instances(folder / "instances" / "a.png", np.ones((9, 9), np.int32))
    Image.new("L", SHAPE[::-1]).save(folder / "images" / "b.png")
    write_instances(folder / "instances" / "c.png", np.zeros(SHAPE, np.int32))
    (folder / "instances" / "d.png").unlink()
    (folder / "images" / "notes.txt").touch()
    (folder / "images" / ".hidden").touch()
    found = check_folder(folder)
    for text in ("a.png: the image is 60×40", "b.png: the image is grayscale", "c.png: the mask holds no cell"):
        assert sum(text in finding.text for finding in found) == 1
    assert sum("1 image has no mask in instances (d)" in finding.text for finding in found) == 1
    assert next(str(f) for f in found if f.level == "warning").startswith(
        f"warning: {folder}/images/notes.txt: is passed"
    )
    assert len(found) == 5


def test_a_background_of_another_colour_is_reported(folder):
    as_colours(folder)
    cells = make("b").instances
    colours = np.array([[255] * 3, [200, 0, 0], [0, 200, 0], [0, 0, 200]], np.uint8)
    write_image(folder / "masks" / "b.png", colours[cells])
    [finding] = check_folder(folder)
    assert finding.is_error
    assert "b.png: one region covers 100% of the picture's border and is read as a cell" in finding.text
    assert "read_colours(file, background=(255, 255, 255))" in finding.text


def test_a_picture_that_viewers_turn_is_refused_from_its_header(folder, monkeypatch):
    exif = Image.Exif()
    exif[0x0112] = 3
    (folder / "images" / "b.png").unlink()
    Image.fromarray(make("b").image).save(folder / "images" / "b.jpg", exif=exif)
    refused(folder, r"b\.jpg: its EXIF Orientation is 3.*needed is 1.*exif_transpose")
    monkeypatch.setattr("bloodlib.io.folder.read_image", lambda path: 1 / 0)
    with pytest.raises(ValueError, match="Orientation is 3"):
        read_folder(folder)


# --- writing


def test_class_names_are_those_of_the_set_that_is_written(tmp_path):
    smears = [make("a", np.array([0, 1, 0]), "s1"), make("b", np.array([1, 1, 0]), "s2"), make("c")]
    write_folder(tmp_path / "first", smears, ("red", "white"))
    write_folder(tmp_path / "second", read_folder(tmp_path / "first")[:2])
    again = read_folder(tmp_path / "second")
    assert (again.class_names, again.names, again.groups) == (("red", "white"), ("a", "b"), ("s1", "s2"))
    assert [smear.classes.tolist() for smear in again] == [[0, 1, 0], [1, 1, 0]]
    write_coco(tmp_path / "again.json", again)
    assert json.loads((tmp_path / "again.json").read_text())["categories"][1]["name"] == "white"


@pytest.mark.parametrize("names", [("a", "b"), ("a", "a")])
def test_a_list_with_a_bad_smear_is_refused_before_anything_is_written(tmp_path, names):
    smears = [make(names[0]), make(names[1], np.array([0, 4, 0]))]
    with pytest.raises(ValueError, match=r"classes 0 to 4, but 1 class names are given|comes twice"):
        write_folder(tmp_path / "set", smears)
    assert not (tmp_path / "set").exists()


def test_of_a_stream_the_bad_smear_itself_is_not_written(tmp_path):
    smears = [make("a"), make("b", np.array([0, 4, 0]))]
    with pytest.raises(ValueError, match="name each class"):
        write_folder(tmp_path, iter(smears))
    assert sorted(path.stem for path in tmp_path.rglob("*.png")) == ["a", "a"]


def test_splits_go_along(folder, tmp_path):
    assert read_splits(folder) == {}
    parts = {"fit": ["c"], "validation": ["a"], "test": ["b"]}
    (folder / "splits.json").write_text(json.dumps(parts | {"groups": {"a": "s1", "b": "s2", "c": "s3"}}))
    assert read_splits(folder) == parts
    write_folder(tmp_path / "all", read_folder(folder), splits=read_splits(folder))
    assert read_splits(tmp_path / "all") == parts
    assert bloodlib.load(tmp_path / "all", "train").groups == ("s1", "s3")
    write_folder(tmp_path / "some", read_folder(folder)[:2], splits=parts)
    assert read_splits(tmp_path / "some") == {"validation": ["a"], "test": ["b"]}
    assert check_folder(tmp_path / "some") == []
    with pytest.raises(ValueError, match="splits has the parts train; allowed are fit, validation, test"):
        write_folder(tmp_path / "none", read_folder(folder), splits={"train": ["a"]})
    assert not (tmp_path / "none").exists()


def test_a_write_that_fails_leaves_what_was_there(folder, monkeypatch):
    before = {path: path.read_bytes() for path in folder.rglob("*.png")}

    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr("bloodlib._files.os.replace", full)
    with pytest.raises(OSError, match="no space left"):
        write_smear(folder, make("a", shape=(50, 70)))
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", ["", "a/b", "../a", ".a", "a\\b"])
def test_names_that_are_no_file_names_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match="cannot be the name of a smear"):
        write_smear(tmp_path / "set", make(name))
    assert not (tmp_path / "set").exists()


def test_names_with_dots_come_back(tmp_path):
    write_smear(tmp_path, make("slide.1"))
    assert read_folder(tmp_path).names == ("slide.1",)


def test_what_is_left_out_of_coco_is_a_warning(folder):
    as_coco(folder)
    content = json.loads((folder / "coco.json").read_text())
    two_pieces = {"size": list(SHAPE), "counts": [0, 40, 80, 40, 40 * 60 - 160]}
    content["annotations"][0] |= {"iscrowd": 1, "segmentation": two_pieces}
    (folder / "coco.json").write_text(json.dumps(content))
    [finding] = check_folder(folder)
    assert not finding.is_error
    assert "annotation 1 of image 'a.png' is a crowd region" in finding.text


def test_brush_masks_that_cvat_calls_crowds_are_an_error(folder):
    as_coco(folder)
    content = json.loads((folder / "coco.json").read_text())
    for annotation in content["annotations"][:2]:
        annotation["iscrowd"] = 1
    (folder / "coco.json").write_text(json.dumps(content))
    [finding] = check_folder(folder)
    assert finding.is_error
    assert "image 'a.png' 2 annotations (1, 2) are left out as crowd regions" in finding.text
    assert "CVAT writes this for every brush mask, so set iscrowd to 0" in finding.text


def test_an_image_all_of_whose_annotations_are_left_out_is_not_called_bare(folder):
    as_coco(folder)
    content = json.loads((folder / "coco.json").read_text())
    for annotation in content["annotations"]:
        annotation["iscrowd"] = int(annotation["image_id"] == 1)
    (folder / "coco.json").write_text(json.dumps(content))
    with (
        pytest.warns(LabelWarning, match="3 annotations"),
        pytest.raises(ValueError, match=r"'a\.png' has no cell left: 3 of its 3 .* set iscrowd to 0"),
    ):
        bloodlib.load(folder)[0]
    assert sum("has no cell left" in text for text in errors(folder)) == 1
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] != 1]
    (folder / "coco.json").write_text(json.dumps(content))
    refused(folder, r"'a\.png' has no cell; annotate its cells")


@pytest.mark.real
def test_reference_masks_of_chula_pass_the_check(real_data, tmp_path):
    masks = sorted((real_data / "chula_rbc12_reference" / "instances").glob("*.png"))[::20]
    if not masks:
        pytest.skip("the cache holds no chula_rbc12_reference")
    (tmp_path / "images").mkdir()
    (tmp_path / "instances").mkdir()
    for mask in masks:
        (tmp_path / "instances" / mask.name).symlink_to(mask)
        image = real_data / "chula_rbc12" / "Dataset" / f"{mask.stem}.jpg"
        (tmp_path / "images" / image.name).symlink_to(image)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        smears = bloodlib.load(tmp_path)
        assert all(smear.count > 20 and smear.image.shape == (480, 640, 3) for smear in smears)
    assert check_folder(tmp_path) == []


def test_names_pair_up_whoever_wrote_them(folder):
    """A COCO file of Windows, and names that macOS hands on decomposed."""
    as_coco(folder)
    content = json.loads((folder / "coco.json").read_text())
    for image in content["images"]:
        image["file_name"] = "images\\\\" + image["file_name"]
    accented = unicodedata.normalize("NFC", "Präparat")
    content["images"][0]["file_name"] = f"{accented}.png"
    (folder / "images" / "a.png").rename(folder / "images" / f"{unicodedata.normalize('NFD', accented)}.png")
    (folder / "coco.json").write_text(json.dumps(content))
    (folder / "splits.json").write_text(json.dumps({"fit": [unicodedata.normalize("NFD", accented)], "test": ["b"]}))
    assert errors(folder) == []
    assert [smear.name for smear in bloodlib.load(folder, split="fit")] == [accented]


def test_classes_beside_colour_masks_are_said_not_to_count(folder):
    write_coco(folder / "coco.json", [make("a", [0, 1, 1])], ("red", "white"))
    as_colours(folder)
    told = [finding.text for finding in check_folder(folder)]
    assert any("its classes are not looked at, since masks/ has none" in text for text in told)


def test_a_name_that_cannot_be_written_again_is_pointed_out(folder):
    for kind in ("images", "instances"):
        (folder / kind / "a.png").rename(folder / kind / "12:30.png")
    assert errors(folder) == []
    assert any("12:30.png: has one of" in finding.text for finding in check_folder(folder))


def test_a_smear_without_a_cell_is_left_out_of_what_is_written(tmp_path):
    bare = Smear(np.zeros((*SHAPE, 3), np.uint8), np.zeros(SHAPE, np.int32), name="bare")
    with pytest.warns(DataWarning, match="'bare' has no cell and is left out"):
        write_folder(tmp_path / "set", [make("a"), bare])
    assert [smear.name for smear in bloodlib.load(tmp_path / "set")] == ["a"]


def test_a_coco_file_of_another_name_is_known(folder):
    shutil.rmtree(folder / "instances")
    (folder / "annotations").mkdir()
    known = folder / "annotations" / "instances_default.json"
    known.write_text(json.dumps({"images": [], "annotations": [], "categories": []}))
    refused(folder, r"instances_default\.json is a COCO file: copy it to coco\.json, beside images/")
    known.write_text("[]")
    refused(folder, "LabelMe, VIA or CVAT")


def test_names_in_splits_without_quotes_or_with_an_ending_are_pointed_out(folder):
    (folder / "splits.json").write_text(json.dumps({"fit": [1, 2]}))
    refused(folder, r"splits\.json: names 1, which is no text; names of smears stand in quotes")
    (folder / "splits.json").write_text(json.dumps({"fit": ["a.png"]}))
    refused(folder, r"names 'a\.png', but images/ has no such file \(names are given without their ending\)")


@pytest.mark.parametrize("left", [".DS_Store", "._a.png", "Thumbs.db", "desktop.ini"])
def test_what_a_system_leaves_beside_pictures_is_not_spoken_of(folder, left):
    (folder / "images" / left).write_bytes(b"of the system")
    assert check_folder(folder) == []
    assert len(bloodlib.load(folder)) == 3
