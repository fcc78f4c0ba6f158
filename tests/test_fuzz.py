"""Readers given anything at all: a value, or a ValueError or OSError with a message, and soon.

``BLOODLIB_NIGHTLY=1 python -m pytest tests/test_fuzz.py`` tries ten thousand inputs and more, and with
``BLOODLIB_FAULTS=data/results/faults`` keeps what came out for the page on faults.
"""

from __future__ import annotations

import faulthandler
import json
import os
import warnings
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from measured import GIBIBYTE, keep_counts, memory_growth

from bloodlib.datasets.chula_rbc12 import read_points
from bloodlib.datasets.registry import read_registry
from bloodlib.gan.checkpoint import read_checkpoint
from bloodlib.io import check_folder, read_coco, read_colours, read_folder, read_image, read_instances, read_voc
from bloodlib.io.folder import write_smear
from bloodlib.smears import Smear

NIGHTLY = bool(os.environ.get("BLOODLIB_NIGHTLY"))
TRIES = 2000 if NIGHTLY else 100  # of each of the six tests
KINDS = ("coco", "voc", "picture", "bytes", "folder", "text")
HANGS_S = 60  # one input; then the whole run ends with the place where it stood
fuzzed = settings(
    max_examples=TRIES,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


def refused_or_read(read, *given):
    """Read, and give "read" or "refused"; any other exception is the reader's own fault."""
    faulthandler.dump_traceback_later(HANGS_S, exit=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read(*given)
    except (ValueError, OSError) as error:
        if not str(error).strip():
            raise TypeError("a refusal must say why") from error
        return "refused"
    finally:
        faulthandler.cancel_dump_traceback_later()
    return "read"


def read_all(path):
    coco = read_coco(path)
    for name in coco.sizes:
        refused_or_read(coco.instances, name)  # one image that is refused does not hide the next


@pytest.fixture(scope="module")
def seen():
    """Count what came out: a fuzz that reads nothing, or refuses nothing, tests nothing."""
    return Counter()


@pytest.fixture(scope="module")
def most():
    """The most memory that one of the tests took, in bytes."""
    return {"bytes": 0}


@pytest.fixture(autouse=True)
def little_memory(most):
    """All inputs of a test together may not take more than 1 GiB."""
    with memory_growth() as grown:
        yield
    most["bytes"] = max(most["bytes"], grown[0])
    assert grown[0] < GIBIBYTE


numbers = st.one_of(
    st.integers(-3, 40),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([2**31, 2**32, 1e300, float("nan"), float("inf"), 0.5]),
)
anything = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=8,
)
ids = st.integers(1, 3) | anything
corners = st.integers(-5, 45) | st.floats(-50, 80) | numbers
runs = st.lists(st.integers(0, 300) | numbers, max_size=6) | st.text(max_size=30) | st.text("0123PQno", max_size=30)
segmentations = st.one_of(
    st.lists(st.lists(st.integers(0, 30) | st.floats(0, 30), min_size=6, max_size=10), min_size=1, max_size=2),
    st.lists(st.lists(corners, max_size=14), max_size=3),
    st.fixed_dictionaries({"size": st.just([20, 30]) | anything, "counts": runs}),
    anything,
)
whole = st.fixed_dictionaries(
    {
        "images": st.lists(
            st.fixed_dictionaries(
                {
                    "id": st.integers(1, 3) | ids,
                    "file_name": st.sampled_from(["a.png", "b.png", "../c.png", ""]) | anything,
                    "width": st.just(30) | numbers,
                    "height": st.just(20) | numbers,
                }
            ),
            max_size=3,
        )
        | anything,
        "annotations": st.lists(
            st.fixed_dictionaries(
                {
                    "id": ids,
                    "image_id": st.just(1) | ids,
                    "category_id": st.just(1) | ids,
                    "segmentation": segmentations,
                },
                optional={"iscrowd": anything, "bbox": anything, "instance": anything},
            ),
            max_size=4,
        )
        | anything,
        "categories": st.just([{"id": 1, "name": "cell"}])
        | st.lists(st.fixed_dictionaries({"id": ids, "name": anything}), max_size=3)
        | anything,
    }
)
hopeful = st.lists(segmentations, min_size=1, max_size=4)


@fuzzed
@given(content=whole | anything, cells=hopeful, good_head=st.booleans())
def test_coco_files(tmp_path, seen, content, cells, good_head):
    seen["coco", "input"] += 1
    if good_head:  # half of the inputs get as far as the segmentations
        image = {"id": 1, "file_name": "a.png", "width": 30, "height": 20}
        entries = [{"id": k, "image_id": 1, "category_id": 1, "segmentation": s} for k, s in enumerate(cells)]
        content = {"images": [image], "annotations": entries, "categories": [{"id": 1, "name": "cell"}]}
    (tmp_path / "c.json").write_text(json.dumps(content))
    seen["coco", refused_or_read(read_all, tmp_path / "c.json")] += 1


fields = st.sampled_from(["size", "width", "height", "object", "name", "bndbox", "xmin", "ymin", "xmax", "ymax"])
texts = numbers.map(str) | st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="<>&"), max_size=6)
trees = st.recursive(texts, lambda inner: st.lists(st.tuples(fields, inner), max_size=5), max_leaves=20)


def as_xml(tree):
    return tree if isinstance(tree, str) else "".join(f"<{tag}>{as_xml(inner)}</{tag}>" for tag, inner in tree)


@fuzzed
@given(tree=trees, box=st.tuples(*[texts] * 4), encoding=st.sampled_from(["utf-8", "utf-16", "none", "latin-1", "x"]))
def test_voc_files(tmp_path, seen, tree, box, encoding):
    seen["voc", "input"] += 1
    sides = "".join(f"<{k}>{v}</{k}>" for k, v in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
    head = "<size><width>30</width><height>20</height></size>"
    text = f"<annotation>{head}{as_xml(tree)}<object><bndbox>{sides}</bndbox></object></annotation>"
    (tmp_path / "a.xml").write_text(f'<?xml version="1.0" encoding="{encoding}"?>{text}', encoding="utf-8")
    seen["voc", refused_or_read(read_voc, tmp_path / "a.xml")] += 1


def pictures():
    """Give small good files of every kind that is read, to be damaged."""
    ids = np.zeros((20, 30), np.uint16)
    ids[3:9, 4:12], ids[12:18, 14:28] = 1, 700
    colours = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    kinds = [(".png", ids), (".tif", ids), (".png", colours), (".jpg", colours), (".tif", colours), (".bmp", colours)]
    return [(suffix, cv2.imencode(suffix, array)[1].tobytes()) for suffix, array in kinds]


PICTURES = pictures()
damages = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=8)), max_size=4)


@fuzzed
@given(which=st.integers(0, len(PICTURES) - 1), damage=damages, kept=st.just(1.0) | st.floats(0, 1))
def test_damaged_pictures(tmp_path, seen, which, damage, kept):
    seen["picture", "input"] += 1
    suffix, content = PICTURES[which]
    content = bytearray(content[: int(kept * len(content))])
    for place, put in damage:
        at = int(place * len(content))
        content[at : at + len(put)] = put
    (tmp_path / f"a{suffix}").write_bytes(content)
    for read in (read_image, read_instances, read_colours):
        seen["picture", refused_or_read(read, tmp_path / f"a{suffix}")] += 1


@fuzzed
@given(
    content=st.binary(max_size=300), ending=st.sampled_from([".png", ".jpg", ".tif", ".bmp", ".xml", ".json", ".txt"])
)
def test_any_bytes(tmp_path, seen, content, ending):
    seen["bytes", "input"] += 1
    path = tmp_path / f"a{ending}"
    path.write_bytes(content)
    for read in (
        read_image,
        read_instances,
        read_colours,
        read_coco,
        read_voc,
        read_points,
        read_registry,
        read_checkpoint,
    ):
        seen["bytes", refused_or_read(read, path)] += 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("set")
    instances = np.zeros((20, 30), np.int32)
    instances[3:9, 4:12] = 1
    for name in ("a", "b"):
        write_smear(folder, Smear(np.zeros((20, 30, 3), np.uint8), instances, name=name))
    return folder


names = st.lists(st.sampled_from(["a", "b", "c"]), max_size=3) | anything
good_splits = st.fixed_dictionaries({"fit": st.just(["a"])}, optional={"test": st.just(["b"])})


@fuzzed
@given(
    content=good_splits
    | st.dictionaries(st.sampled_from(["fit", "validation", "test", "groups", "x"]), names, max_size=4)
    | anything,
    coco=st.none() | whole,
)
def test_folders_with_odd_companions(folder, seen, content, coco):
    seen["folder", "input"] += 1
    (folder / "splits.json").write_text(json.dumps(content))
    (folder / "coco.json").unlink(missing_ok=True)
    if coco is not None:
        (folder / "coco.json").write_text(json.dumps(coco))
    seen["folder", refused_or_read(lambda: list(read_folder(folder, "fit")))] += 1
    assert all(finding.text for finding in check_folder(folder)), "checking never raises"


@fuzzed
@given(text=st.text(max_size=200) | st.text("0123456789 \n#abc:/.", max_size=80))
def test_text_files(tmp_path, seen, text):
    seen["text", "input"] += 1
    (tmp_path / "a.txt").write_text(text, encoding="utf-8", errors="surrogatepass")
    for read in (read_points, read_registry):
        seen["text", refused_or_read(read, tmp_path / "a.txt")] += 1


def test_the_fuzz_saw_both_ways_out(seen, most):
    if not seen:
        pytest.skip("what it counts are the tests above, none of which ran")
    inputs = {kind: seen[kind, "input"] for kind in KINDS}
    ways = {kind: {way: seen[kind, way] for way in ("read", "refused")} for kind in KINDS}
    counts = {"inputs": inputs, "readings": ways, "hangs": 0, "hangs_after_s": HANGS_S}  # one would have ended the run
    keep_counts("fuzz", {**counts, "most_mib": round(most["bytes"] / 2**20)})
    assert sum(inputs.values()) >= 6 * TRIES * 0.8
    for kind in ("coco", "voc", "picture", "folder"):
        assert seen[kind, "read"] > 0, f"no {kind} input was read: the fuzz never got past the head"
        assert seen[kind, "refused"] > 0
