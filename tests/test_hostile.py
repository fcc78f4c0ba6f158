"""Files made to harm: each is refused in one sentence, quickly, and nothing outside its folder is touched."""

from __future__ import annotations

import json
import math
import pickle
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import yaml
from measured import GIBIBYTE, memory_growth
from PIL import Image

import bloodlib
from bloodlib.datasets.registry import fetch_files
from bloodlib.gan.checkpoint import read_checkpoint
from bloodlib.io import (
    check_folder,
    read_coco,
    read_colours,
    read_folder,
    read_image,
    read_instances,
    read_voc,
    write_smear,
)
from bloodlib.io.images import MOST_PIXELS
from bloodlib.smears import Smear
from tools.layout import Build
from tools.parameters import for_notebook, validate


@pytest.fixture(autouse=True)
def little_memory():
    """No file here may make its reader take more than 1 GiB."""
    with memory_growth() as grown:
        yield
    assert grown[0] < GIBIBYTE


def coco(path, images=None, annotations=(), categories=({"id": 1, "name": "cell"},)):
    """Write a COCO file of one 20×30 image, or of those given."""
    images = images or [{"id": 1, "file_name": "a.png", "width": 30, "height": 20}]
    path.write_text(json.dumps({"images": images, "annotations": list(annotations), "categories": list(categories)}))
    return path


def cell(segmentation, **more):
    return {"id": 1, "image_id": 1, "category_id": 1, "segmentation": segmentation} | more


def png_of_header_only(width, height):
    """Give a PNG that says it is large and holds next to nothing."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    )


# --- names


@pytest.mark.parametrize("name", ["../../escaped.png", "/etc/passwd.png", "..\\escaped.png", "a/../../escaped.png"])
def test_a_file_name_in_coco_leads_nowhere(tmp_path, name):
    """Only its stem counts, and is looked up among the files of images/."""
    (tmp_path / "set" / "images").mkdir(parents=True)
    for place in (tmp_path / "escaped.png", tmp_path / "set" / "images" / "a.png"):
        Image.new("RGB", (30, 20)).save(place)
    images = [{"id": 1, "file_name": name, "width": 30, "height": 20}]
    coco(tmp_path / "set" / "coco.json", images, [cell([[1, 1, 9, 1, 9, 9]])])
    with pytest.raises(ValueError, match=r"1 image has no mask in coco\.json \(a\)"):
        read_folder(tmp_path / "set")


def test_names_that_leave_the_folder_are_not_written(tmp_path):
    smear = Smear(np.zeros((4, 4, 3), np.uint8), np.ones((4, 4), np.int32), name="../escaped")
    with pytest.raises(ValueError, match="cannot be the name of a smear"):
        write_smear(tmp_path / "set", smear)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", ["../escaped", "%2e%2e/escaped", "/escaped"])
def test_a_registry_cannot_name_a_file_elsewhere(tmp_path, path):
    with pytest.raises(ValueError, match="lies outside the set's own folder"):
        fetch_files(tmp_path / "set", "https://no.where/", {path: "sha256:0"}, progress=False, title="x")


def test_a_hint_does_not_open_an_archive(tmp_path):
    (tmp_path / "images").mkdir()
    Image.new("RGB", (30, 20)).save(tmp_path / "images" / "a.png")
    (tmp_path / "masks.zip").write_bytes(b"PK\x03\x04" + b"../../escaped" * 9)
    with pytest.raises(FileNotFoundError, match=r"masks\.zip seems to be an archive"):
        read_folder(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"images", "masks.zip"}


@pytest.mark.parametrize("name", ["<script>alert(1)<.png", "a<b>.png"])
def test_html_in_a_file_name_is_refused_before_a_page_can_show_it(tmp_path, name):
    write_smear(tmp_path, Smear(np.zeros((4, 4, 3), np.uint8), np.ones((4, 4), np.int32), name="a"))
    for below in ("images", "instances"):
        (tmp_path / below / "a.png").rename(tmp_path / below / name)
    with pytest.raises(ValueError, match="has < or > in its name"):
        read_folder(tmp_path)


# --- size


@pytest.mark.parametrize("read", [read_image, read_instances, read_colours])
def test_a_picture_with_a_pixel_too_many_is_refused_unread(tmp_path, read):
    (tmp_path / "a.png").write_bytes(png_of_header_only(MOST_PIXELS + 1, 1))
    with pytest.raises(ValueError, match=r"a\.png: is 25000001×1 px; allowed are 25,000,000 px in all, so cut a whole"):
        read(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("read", "stripes"),
    [
        (read_image, [[[200, 100, 150]]]),
        (read_instances, [[0], [1], [2]]),
        (read_colours, [[[1, 1, 1]], [[2, 2, 2]], [[0, 0, 0]]]),
    ],
)
def test_the_largest_picture_that_is_read_takes_less_than_a_gibibyte(tmp_path, read, stripes):
    """Tried on a quarter of it, with a quarter of the memory: few kB in the file, since the rows repeat."""
    side, stripes = math.isqrt(MOST_PIXELS) // 2, np.asarray(stripes, np.uint8)
    picture = np.tile(stripes, (side // len(stripes), side, *([1] * (stripes.ndim - 2))))
    Image.fromarray(picture).save(tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size < 200_000
    with memory_growth() as grown:
        assert read(tmp_path / "a.png").any()
    assert grown[0] < GIBIBYTE / 4


def test_a_text_chunk_that_swells_is_refused(tmp_path):
    content = b"a\0\0" + zlib.compress(b"\0" * 2**26)
    chunk = struct.pack(">I", len(content)) + b"zTXt" + content + struct.pack(">I", zlib.crc32(b"zTXt" + content))
    Image.new("RGB", (30, 20)).save(tmp_path / "a.png")
    good = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(good[:33] + chunk + good[33:])  # after the header
    with pytest.raises(ValueError, match=r"a\.png: cannot be read as an image"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("width", "height"), [(50_000, 50_000), (MOST_PIXELS, 2), (0, 5), (-3, 5), (float("nan"), 5), (float("inf"), 1)]
)
def test_sizes_in_coco_that_are_none_are_refused_before_memory_is_taken(tmp_path, width, height):
    path = coco(tmp_path / "c.json", [{"id": 1, "file_name": "a.png", "width": width, "height": height}])
    with pytest.raises(ValueError, match=r"image 'a\.png' is said to be"):
        read_coco(path)


# --- annotations


@pytest.mark.parametrize("wrong", [{"image_id": 10**30}, {"category_id": -1}, {"image_id": "1"}, {"category_id": 2}])
def test_ids_that_are_not_in_the_file_are_named(tmp_path, wrong):
    path = coco(tmp_path / "c.json", annotations=[cell([[1, 1, 9, 1, 9, 9]], **wrong)])
    with pytest.raises(ValueError, match="which is not in the file"):
        read_coco(path)


@pytest.mark.parametrize("wrong", [{"image_id": [1]}, {"category_id": {}}, {"category_id": None}])
def test_ids_that_are_no_ids_are_named(tmp_path, wrong):
    path = coco(tmp_path / "c.json", annotations=[cell([[1, 1, 9, 1, 9, 9]], **wrong)])
    with pytest.raises(ValueError, match=r"annotations\[0\] has the (image|category)_id .* needed is a number"):
        read_coco(path)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # inside pycocotools
def test_a_self_crossing_polygon_is_filled_by_one_rule(tmp_path):
    """An hourglass: the crossing is no hole, and what pycocotools fills is filled."""
    from pycocotools import mask as outside

    hourglass = [[2, 2, 20, 2, 2, 16, 20, 16]]
    path = coco(tmp_path / "c.json", annotations=[cell(hourglass)])
    instances, _ = read_coco(path).instances("a")
    np.testing.assert_array_equal(instances, outside.decode(outside.merge(outside.frPyObjects(hourglass, 20, 30))))
    assert instances[4, 11] == 1
    assert instances[9, 3] == 0


@pytest.mark.parametrize(
    "runs", [[10**30], [600, 600], [2**63], [-5, 605], [True, 2.5], ["6"], [[1]], "o" * 99, "\x7f", "\u20ac"]
)
def test_run_lengths_that_do_not_fill_the_image_are_refused(tmp_path, runs):
    path = coco(tmp_path / "c.json", annotations=[cell({"size": [20, 30], "counts": runs})])
    with pytest.raises(ValueError, match=r"annotation 1 of image 'a\.png' has an unusable segmentation"):
        read_coco(path).instances("a")


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999", ""])
@pytest.mark.parametrize("tag", ["xmin", "width"])
def test_boxes_that_are_no_numbers_are_refused(tmp_path, tag, value):
    text = (
        "<annotation><size><width>30</width><height>20</height></size><object><name>RBC</name><bndbox>"
        "<xmin>1</xmin><ymin>2</ymin><xmax>9</xmax><ymax>8</ymax></bndbox></object></annotation>"
    )
    old = {"xmin": "<xmin>1<", "width": "<width>30<"}[tag]
    (tmp_path / "a.xml").write_text(text.replace(old, f"<{tag}>{value}<"))
    with pytest.raises(ValueError, match=rf"a\.xml: <.*{tag}> of <\w+> is '.*', needed is a number"):
        read_voc(tmp_path / "a.xml")


def test_entities_that_swell_are_refused(tmp_path):
    lines = "".join(f'<!ENTITY e{k} "{f"&e{k - 1};" * 10}">' for k in range(1, 10))
    (tmp_path / "a.xml").write_text(f'<!DOCTYPE x [<!ENTITY e0 "lol">{lines}]><annotation>&e9;</annotation>')
    with pytest.raises(ValueError, match="not a readable XML file"):
        read_voc(tmp_path / "a.xml")


# --- parameters


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 50_000, "1" * 100_000])
@pytest.mark.parametrize("name", ["coco.json", "splits.json"])
def test_json_that_swells_is_refused(tmp_path, name, text):
    write_smear(tmp_path, Smear(np.zeros((4, 4, 3), np.uint8), np.ones((4, 4), np.int32), name="a"))
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=rf"{name}: not valid JSON"):
        read_folder(tmp_path)
    assert all(finding.is_error for finding in check_folder(tmp_path))


@pytest.mark.parametrize("names", [[["a"]], [1], [None], [{"a": 1}]])
def test_splits_that_name_no_names_are_refused(tmp_path, names):
    write_smear(tmp_path, Smear(np.zeros((4, 4, 3), np.uint8), np.ones((4, 4), np.int32), name="a"))
    (tmp_path / "splits.json").write_text(json.dumps({"fit": names}))
    with pytest.raises(ValueError, match=r"splits\.json: names .*, which is no text; names of smears stand in quotes"):
        read_folder(tmp_path)


BOMB = "\n".join(["- &a0 [x, x, x]", *(f"- &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]" for k in range(1, 12))])
NOTEBOOK = Path(__file__).resolve().parents[1] / "notebooks" / "01_dataset_statistics.ipynb"


@pytest.mark.parametrize("parameter", ["seed", "nope"])
def test_yaml_that_swells_in_a_parameter_is_refused_in_a_short_sentence(parameter):
    with pytest.raises(ValueError, match=f"parameter '{parameter}'") as refusal:
        validate(NOTEBOOK, {parameter: yaml.safe_load(BOMB)})
    assert len(str(refusal.value)) < 2000


def test_yaml_that_would_run_code_is_refused(tmp_path):
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "smoke.yml").write_text("common: !!python/object/apply:os.system ['true']")
    with pytest.raises(yaml.YAMLError, match="could not determine a constructor"):
        for_notebook(NOTEBOOK, Build(profile="smoke", data="phantom", root=tmp_path))


# --- models


class Planted:
    """Runs when it is unpickled."""

    def __reduce__(self):
        return exec, ("raise SystemExit('unpickled')",)


@pytest.mark.parametrize("protocol", [0, pickle.HIGHEST_PROTOCOL])
def test_a_pickle_is_no_checkpoint(tmp_path, protocol):
    (tmp_path / "checkpoint.safetensors").write_bytes(pickle.dumps(Planted(), protocol))
    with pytest.raises(ValueError, match="is no checkpoint"):
        read_checkpoint(tmp_path / "checkpoint.safetensors")


def test_a_pickle_in_a_model_is_refused_also_where_its_hash_is_right(tmp_path):
    from shutil import copytree

    from bloodlib._files import package_data, read_json, sha256, write_json

    if not bloodlib.released():
        pytest.skip("no released model")
    folder = copytree(package_data("models", bloodlib.released()[0]), tmp_path / "model")
    (folder / "generator.safetensors").write_bytes(pickle.dumps(Planted()))
    with pytest.raises(ValueError, match=r"generator\.safetensors: does not match its hash"):
        bloodlib.Synthesizer.load(folder)
    content = read_json(folder / "config.json")
    content["files"]["generator.safetensors"] = sha256(folder / "generator.safetensors")
    write_json(folder / "config.json", content)
    with pytest.raises(ValueError, match=r"generator\.safetensors: .*holds no tensors"):
        bloodlib.Synthesizer.load(folder)
