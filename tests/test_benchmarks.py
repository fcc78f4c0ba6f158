"""The painter's benchmarks run at a toy's size, so that they cannot break unnoticed, and their rulers measure right."""

from __future__ import annotations

import importlib
import inspect
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import bloodlib
from benchmarks import __main__ as all_benchmarks
from benchmarks import painter, painting, targets
from bloodlib._files import package_data
from tools import facts

SIDE = (64, 64)


@pytest.fixture(autouse=True)
def no_weights(monkeypatch):
    monkeypatch.setattr(painter, "PRESETS", {k: painter.replace(c, blocks=1) for k, c in painter.PRESETS.items()})
    monkeypatch.setattr("bloodlib.gan.training.load_perceptual", lambda kind: (None, "none"))


@pytest.mark.parametrize("kind", painter.KINDS)
def test_a_row_gives_times_and_memory(kind):
    if kind in ("stream", "smear, released") and painter.RELEASED not in bloodlib.released():
        pytest.skip(f"no released model {painter.RELEASED}")
    found = painter.measure(painter.Row(kind, SIDE), times=1)
    assert min(found["seconds"], found["cpu_seconds"]) > 0
    assert 0.05 < found["peak_gib"] < 64


def test_rows_have_targets_beside_them_and_memory_of_their_own(capsys):
    hog = bytearray(2**30)  # the peak of this process, and of no row
    hog[:: 2**12] = b"\1" * len(hog[:: 2**12])
    result = painter.bench([painter.Row("pool", SIDE, target_s=0.25, target_gib=4.0)], times=1)
    (row,) = result["rows"]
    assert (row["target_seconds"], row["target_gib"]) == (0.25, 4.0)
    assert row["peak_gib"] < 1
    assert {"device", "precision", "threads", "date"} <= set(result)
    assert "(0.25)" in capsys.readouterr().out
    json.dumps(result)


def test_a_row_that_fails_says_why():
    with pytest.raises(RuntimeError, match=r"pool at 9x9 failed: .*64×64 pixels"):
        painter.measure_apart(painter.Row("pool", (9, 9)))


def test_the_projection_multiplies_steps_by_epochs_and_smears(monkeypatch):
    found = {"seconds": 2.0, "cpu_seconds": 3.0, "perceptual": "squeezenet"}
    monkeypatch.setattr(painter, "measure_apart", lambda row, times: {"what": row.kind, **found})
    monkeypatch.setattr(painter, "machine", lambda: {"threads": 2})
    result = painter.project()
    assert [stage["steps"] for stage in result["stages"]] == [7200, 7200]
    assert (result["hours"], result["hours_by_clock"]) == (6.0, 8.0)
    assert result["projection"] is True
    assert result["training"].endswith("--set perceptual=squeezenet")


def test_every_stored_result_says_which_painter_it_is_about():
    for path in package_data("results", "painter").glob("*.json"):
        assert "generator_hash" in json.loads(path.read_text())["model"], f"{path.name}: `is_about` looks for it"


@pytest.mark.parametrize("name", ["bench", "paper-projection"])
def test_what_is_stored_is_of_the_present_rows(name):
    stored = json.loads(package_data("results", "painter", f"{name}.json").read_text())
    rows = painter.ROWS if name == "bench" else painter.PROJECTED
    assert [row["what"] for row in stored.get("rows", stored.get("stages"))] == [row.kind for row in rows]
    assert {"device", "precision", "threads", "date"} <= set(stored)


def test_names_given_to_all_benchmarks_are_not_taken_for_options_of_one(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["benchmarks", "masks"])
    seen = []
    fake = SimpleNamespace(main=lambda: seen.append(sys.argv[1:]))
    monkeypatch.setattr(all_benchmarks.importlib, "import_module", lambda name: fake)
    all_benchmarks.main(["masks"])
    assert seen == [[]]
    with pytest.raises(SystemExit, match="no target is measured by 'nope' but by masks, "):
        all_benchmarks.main(["nope"])


def test_a_grid_is_found_at_its_own_period_only():
    rows, columns = np.indices((48, 64))
    everywhere = np.ones((48, 64), bool)
    left = np.ones_like(everywhere)
    left[:, 50:] = False
    slope = 0.5
    for period, plane in {
        "2 px": slope * ((rows + columns) % 2 * 2 - 1),
        "4 px": slope * (columns // 2 % 2 * 2 - 1),
        "8 px": slope * (rows // 4 % 2 * 2 - 1),
    }.items():
        for where in (everywhere, left):
            found = painting.grids(100.0 + plane, where)
            assert found.pop(period) == pytest.approx(slope, rel=0.01)
            assert max(found.values()) < 0.02


def test_traces_of_a_drawn_smear():
    rng = np.random.default_rng(0)
    rows, columns = np.indices((160, 160))
    instances = (np.hypot(rows - 80, columns - 80) < 40).astype(np.int32)
    plain = np.where(instances[..., None] > 0, 120, 200) + np.zeros((1, 1, 3))
    found = painting.traces(plain.astype(np.uint8), instances)
    assert max(found["grain"], found["shade"]) < 1e-3
    assert found["edge"] > 0.2  # a step of the whole contrast, by Sobel
    grain = painting.traces((plain + rng.integers(-4, 5, plain.shape)).astype(np.uint8), instances)
    assert grain["grain"] == pytest.approx(np.sqrt(80 / 12), rel=0.05)
    board = painting.traces((plain + 2 * ((rows + columns) % 2)[..., None]).astype(np.uint8), instances)
    assert board["grid 2 px, background"] == pytest.approx(1.0, rel=0.02)
    assert board["grid 2 px, cells"] == pytest.approx(1.0, rel=0.02)
    shaded = painting.traces((plain + columns[..., None] / 4).astype(np.uint8), instances)
    assert shaded["shade"] > 8 > 1 > shaded["grain"]


def test_targets_are_met_or_missed_by_what_is_stored(tmp_path):
    (tmp_path / "painter").mkdir()
    rows = [
        {"what": "step", "size": "1920×1200", "seconds": 5.0, "peak_gib": 4.1},
        {"what": "stream", "size": "256×256", "seconds": 0.05},
        *({"what": f"laptop stage {k}", "size": "640×480", "seconds": 2.0, "steps": 1800} for k in (1, 2)),
    ]
    about = {"device": "cpu", "threads": 2, "load_before": 0.1, "date": "2026-01-01"}
    (tmp_path / "painter" / "bench.json").write_text(json.dumps({"rows": rows, **about}))
    masks = {"generator_seconds": 0.2, "ratio": 900, "by_count": [{"requested": 967, "seconds": 1.0}]}
    (tmp_path / "masks.json").write_text(json.dumps(masks))
    html = tmp_path / "build" / "smoke-phantom" / "html"
    html.mkdir(parents=True)
    (html / "index.html").write_bytes(b"x" * 1000)
    found = {line.what: line for line in targets.lines(tmp_path, tmp_path / "build")}
    reached = {what: line.reached for what, line in found.items()}
    assert reached == {
        "mask, 1920×1200, 669 cells": False,
        "the same against the literal form": True,
        "mask, 967 cells asked, which cannot fit": True,
        "pooling 669 instances, forward and backward": None,
        "training step, 512×512": None,
        "training step, 1920×1200": True,
        "memory of that step, 1920×1200": False,
        "float32 image from a mask, 1920×1200, the paper's network": None,
        "the same, the laptop profile's network": None,
        "labelled samples painted while training, 256×256": True,
        "training of the laptop profile, projected from a few steps": True,
        "AP of 40 images of 669 cells": None,
        "built site": True,
    }
    assert found["built site"].measured == pytest.approx(1e-3)
    page = targets.table(list(found.values()))
    assert "| training step, 1920×1200 | ≤ 5 s | 5 s | reached | cpu, 2 threads, load 0.1 | 2026-01-01 |" in page
    assert "| training step, 512×512 | ≤ 0.4 s | – | not stored | – | – |" in page


def test_the_table_of_targets_is_also_json(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(targets, "ROOT", tmp_path)
    targets.main(tmp_path / "benchmarks.json")
    written = json.loads((tmp_path / "benchmarks.json").read_text())
    assert [line["target"] for line in written] == [line.target for line in targets.lines()]
    assert f"of {len(written)} reached" in capsys.readouterr().out


def test_targets_come_after_what_they_sum_up(monkeypatch):
    ran = []
    fake = lambda name: SimpleNamespace(main=lambda: ran.append(name))  # noqa: E731
    monkeypatch.setattr(all_benchmarks.importlib, "import_module", fake)
    all_benchmarks.main([])
    assert ran[-1] == "benchmarks.targets"
    assert len(ran) == len(set(ran))
    with pytest.raises(SystemExit, match=r"no target is measured by 'cyclegan'.*python -m benchmarks\.NAME"):
        all_benchmarks.main(["cyclegan"])


@pytest.mark.parametrize("name", [*all_benchmarks.TIMED, all_benchmarks.LAST])
def test_what_is_run_for_the_targets_can_be_run_without_arguments(name):
    parameters = inspect.signature(importlib.import_module(f"benchmarks.{name}").main).parameters.values()
    assert all(one.default is not one.empty for one in parameters)


def test_ten_million_images_are_ten_million_times_one(tmp_path):
    assert facts.ten_million(tmp_path / "masks.json", tmp_path / "bench.json").startswith("*No benchmark")
    (tmp_path / "masks.json").write_text(json.dumps({"generator_seconds": 0.1}))
    rows = [{"what": "smear, released", "cpu_seconds": 0.9}]
    about = {"device": "cpu", "precision": "float32", "date": "2026-01-01"}
    (tmp_path / "bench.json").write_text(json.dumps({"rows": rows, **about}))
    page = facts.ten_million(tmp_path / "masks.json", tmp_path / "bench.json")
    assert "| labelled smear | 0.9 | 0.29 | 2.5 |" in page
    assert "are 115 TB before compression, in 20,000,000 files" in page
