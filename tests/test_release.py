"""A released model is small, paints what the full one paints, is found by name, and holds no real picture."""

from __future__ import annotations

import json
import re
import shutil

import cv2
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import bloodlib
from benchmarks import painting
from bloodlib import cli, release
from bloodlib._files import package_data
from bloodlib.gan.config import Stage
from bloodlib.gan.training import make_painter
from bloodlib.synthesis import Synthesizer

pytestmark = pytest.mark.filterwarnings("ignore::bloodlib.sampler.masks.CrowdedWarning")

RELEASED = "chula_rbc12-laptop"  # the one painter that travels with the library
NAME = "phantom-tiny"
SETTINGS = {  # tiny, with everything that the laptop preset has
    "stages": (Stage(crop=64, steps=6, constant=1.0), Stage(crop=64, steps=4)),
    "filters": 4,
    "blocks": 1,
    "feature_channels": 8,
    "style_terms": 6,
    "halvings": 3,
    "skips": True,
    "norm": "pixel",
    "noise": True,
    "objects": True,
    "preview_every": 2,
    "progress": False,
}


@pytest.fixture(scope="module")
def smears():
    return bloodlib.load("phantom", split="fit", shape=(160, 240))[:5]


@pytest.fixture(scope="module")
def full(smears, tmp_path_factory):
    folder = tmp_path_factory.mktemp("full") / "painter"
    Synthesizer.fit(smears, folder=folder, **SETTINGS)
    return folder


@pytest.fixture(scope="module")
def small(full, tmp_path_factory):
    return release.release(full, NAME, tmp_path_factory.mktemp("data") / "models", device="a test machine")


@pytest.fixture
def by_name(small, monkeypatch):
    """Let the released model travel with the library."""
    monkeypatch.setattr(release, "package_data", lambda *parts: small.parent.parent.joinpath(*parts))
    return small


def test_the_folder_holds_what_is_needed_by_hash_and_nothing_else(full, small):
    held = {path.relative_to(small).as_posix() for path in small.rglob("*") if path.is_file()}
    arrays = {f"{part}.safetensors" for part in ("generator", "encoder", "styles", "layout", "objects")}
    snapshots = {name for name in held if re.fullmatch(r"previews/step-\d+\.jpg", name)}
    assert len(snapshots) > 2
    assert held == arrays | snapshots | {"config.json", "history.json"}
    content = json.loads((small / "config.json").read_text())
    assert set(content["files"]) == held - {"config.json"}
    assert (full / "previews" / "real.png").is_file(), "the full model keeps a real picture, the released one does not"
    assert [path.name for path in small.parent.iterdir()] == [NAME]
    assert len({path.stat().st_mode for path in small.rglob("*") if path.is_file()}) == 1, "all readable alike"


def test_weights_and_styles_are_stored_in_half_precision(small):
    for part in ("generator", "encoder", "styles"):
        with safe_open(small / f"{part}.safetensors", "np") as file:
            types = {file.get_slice(key).get_dtype() for key in file.keys()}  # noqa: SIM118
        assert "F16" in types
        assert types <= {"F16", "U8", "U16"}


def test_the_released_model_draws_the_same_masks_and_paints_them_alike(full, small):
    whole, half = Synthesizer.load(full), Synthesizer.load(small)
    assert {p.dtype for p in half.generator.parameters()} == {p.dtype for p in whole.generator.parameters()}
    assert half.styles.features.dtype == np.float32
    assert half.styles.kind.dtype == np.int64
    for seed in range(3):
        a, b = (synth.sample(np.random.default_rng(seed)) for synth in (whole, half))
        assert np.array_equal(a.instances, b.instances)
        assert np.abs(a.image.astype(float) - b.image).mean() < 1 < a.image.std()
    mask = a.instances
    a, b = (synth.paint(mask, np.random.default_rng(0), style=1).astype(float) for synth in (whole, half))
    assert np.abs(a - b).mean() < 1


def test_the_released_model_says_how_it_was_made(full, small):
    synth = Synthesizer.load(small)
    made = synth.about["released"]
    assert made["steps"] == [6, 4]
    assert made["device"] == "a test machine"
    assert made["weights"]["generator"] == sum(p.numel() for p in synth.generator.parameters())
    for folder, kind in ((full, "full"), (small, "released")):
        assert made["generator_hash"][kind] == painting.generator_hash(Synthesizer.load(folder))
    assert len(set(made["generator_hash"].values())) == 2
    seconds = json.loads((full / "history.json").read_text())["seconds"]
    assert made["seconds"] == round(sum(seconds))
    assert synth.about["identity"] == Synthesizer.load(full).about["identity"] + "-float16"


def test_a_released_model_is_found_by_its_name(by_name):
    (by_name.parent / "classifier").mkdir(exist_ok=True)
    (by_name.parent / "classifier" / "config.json").write_text('{"what": "no painter"}')
    assert bloodlib.released() == [NAME]
    assert Synthesizer.load(NAME).about["released"]["name"] == NAME


def test_a_released_model_is_found_by_the_smears_that_it_was_fitted_on(by_name):
    data = json.loads((by_name / "config.json").read_text())["data"]["fingerprint"]
    assert release.released_of(data) == release.released_of(data, profile="smoke", seed=0) == by_name
    assert release.released_of(data, profile="smoke", seed=1) is None
    assert release.released_of("0" * 16) is None


def test_an_unknown_name_is_told_the_known_ones(by_name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=rf"phantom-tony: .* released: {NAME}"):
        Synthesizer.load("phantom-tony")


def test_a_folder_of_ones_own_comes_before_a_released_name(by_name, smears, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / NAME).mkdir()
    assert Synthesizer.load(NAME).about["seed"] == 0, "an empty folder is no model"
    (tmp_path / NAME / "checkpoint.safetensors").write_bytes(b"begun")
    with pytest.raises(FileNotFoundError, match="training was interrupted"):
        Synthesizer.load(NAME)
    (tmp_path / NAME / "checkpoint.safetensors").unlink()
    shorter = SETTINGS | {"stages": (Stage(crop=64, steps=1), Stage(crop=64, steps=1))}
    own = Synthesizer.fit(smears, folder=NAME, seed=7, **shorter)
    assert "released" not in own.about
    assert Synthesizer.load(NAME).about["seed"] == 7


def test_fit_does_not_take_a_released_model_for_its_own(small, smears):
    with pytest.raises(ValueError, match="other smears, settings or seed"):
        Synthesizer.fit(smears, folder=small, **SETTINGS)


@pytest.mark.parametrize("name", ["generator.safetensors", "previews/step-000001.jpg"])
def test_a_damaged_release_is_refused(by_name, name):
    whole = (by_name / name).read_bytes()
    try:
        (by_name / name).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(ValueError, match=f"{name}: does not match its hash"):
            Synthesizer.load(NAME)
    finally:
        (by_name / name).write_bytes(whole)


def test_the_painter_of_the_library_is_there_paints_and_is_checked_by_its_hashes(tmp_path):
    assert bloodlib.released() == [RELEASED]
    synth = Synthesizer.load(RELEASED)
    assert synth.about["released"]["name"] == RELEASED
    smear = synth.sample(np.random.default_rng(0), shape=(64, 64))
    assert smear.image.shape == (64, 64, 3)
    assert smear.count > 0
    covered = smear.instances > 0
    assert np.abs(smear.image[covered].mean(axis=0) - smear.image[~covered].mean(axis=0)).max() > 10, "cells show"
    copy = shutil.copytree(package_data("models", RELEASED), tmp_path / RELEASED)
    assert np.array_equal(Synthesizer.load(copy).sample(np.random.default_rng(0), shape=(64, 64)).image, smear.image)
    for path in sorted(copy.glob("*.safetensors")):
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(ValueError, match=rf"{path.name}: does not match its hash"):
            Synthesizer.load(copy)
        path.write_bytes(whole)


def test_nothing_is_released_that_is_damaged_taken_or_named_badly(full, small, tmp_path):
    with pytest.raises(ValueError, match="exists"):
        release.release(full, NAME, small.parent, device="")
    with pytest.raises(ValueError, match="is a release already"):
        release.release(small, "again", tmp_path, device="")
    with pytest.raises(ValueError, match="lower-case"):
        release.release(full, "../up", tmp_path, device="")
    assert not list(tmp_path.iterdir())


def test_replacing_leaves_one_whole_model(full, tmp_path):
    release.release(full, NAME, tmp_path, device="first")
    (tmp_path / NAME / "stray.txt").write_text("old")
    again = release.release(full, NAME, tmp_path, device="second", replace=True)
    assert Synthesizer.load(again).about["released"]["device"] == "second"
    assert not (again / "stray.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_a_model_that_is_too_large_is_refused_and_leaves_nothing(full, tmp_path, monkeypatch):
    monkeypatch.setattr(release, "LIMIT_MIB", 0.1)
    with pytest.raises(ValueError, match=r"0\.\d MiB in half precision; a released model has at most 0\.1"):
        release.release(full, NAME, tmp_path, device="")
    assert not list(tmp_path.iterdir())


def test_a_weight_beyond_half_precision_is_named(full, tmp_path):
    for path in full.glob("*.*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    arrays = load_file(tmp_path / "generator.safetensors")
    arrays["head.bias"] = np.array([1e5, 0, 0], dtype=np.float32)
    save_file(arrays, tmp_path / "generator.safetensors")
    content = json.loads((tmp_path / "config.json").read_text())
    content["files"]["generator.safetensors"] = release.sha256(tmp_path / "generator.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"generator\.safetensors: head\.bias: holds 100000"):
        release.release(tmp_path, NAME, tmp_path / "models", device="")


def test_a_thinned_history_is_small_keeps_means_and_never_mixes_stages(tmp_path):
    rng = np.random.default_rng(0)
    stage = [1] * 701 + [2] * 332  # a prime number, so that no block ends with the stage
    history = {"stage": stage, "step": [*range(701), *range(332)], "gan": rng.random(1033).round(6).tolist()}
    assert release.thin_history(history, tmp_path / "whole.json") == 1
    every = release.thin_history(history, tmp_path / "thin.json", most_bytes=4000)
    assert every > 3
    assert (tmp_path / "thin.json").stat().st_size <= 4000
    thin = json.loads((tmp_path / "thin.json").read_text())
    first = thin["stage"].count(1)
    assert thin["step"][0] == every - 1
    assert thin["step"][first - 1] == 700
    assert thin["step"][-1] == 331
    assert thin["gan"][0] == pytest.approx(np.mean(history["gan"][:every]), abs=1e-5)
    assert thin["gan"][first] == pytest.approx(np.mean(history["gan"][701 : 701 + every]), abs=1e-5)


def test_snapshots_are_few_small_painted_and_from_first_to_last(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "previews").mkdir()
    for name in ["real", *(f"step-{k:06d}" for k in (1, *range(100, 3100, 100)))]:
        coarse = rng.integers(256, size=(24, 72, 3), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / "previews" / f"{name}.png"), cv2.resize(coarse, (720, 240)))
    kept = release.take_snapshots(tmp_path / "previews", tmp_path / "out", most_bytes=300_000)
    assert [path.name for path in sorted((tmp_path / "out").iterdir())] == [path.name for path in kept]
    assert kept[0].name == "step-000001.jpg"
    assert kept[-1].name == "step-003000.jpg"
    assert 4 < len(kept) <= release.SNAPSHOTS
    assert sum(path.stat().st_size for path in kept) <= 300_000
    with pytest.raises(ValueError, match="snapshots do not fit"):
        release.take_snapshots(tmp_path / "previews", tmp_path / "none", most_bytes=1000)


def test_generate_writes_a_set_by_name(by_name, tmp_path, capsys):
    assert cli.main(["generate", NAME, "-n", "2", "--size", "128x96", "-o", str(tmp_path / "out")]) == 0
    assert len(bloodlib.load(tmp_path / "out")) == 2
    head = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert head["model"].endswith("-float16")
    with pytest.raises(SystemExit):
        cli.main(["generate", "--help"])
    assert NAME in capsys.readouterr().out


def test_the_onnx_file_paints_what_torch_paints_at_any_size(by_name, tmp_path, capsys):
    for module in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(module, reason="the ONNX export needs bloodlib[export]")
    from bloodlib.gan import export

    path = tmp_path / "painter.onnx"
    assert cli.main(["export", NAME, "-o", str(path)]) == 0
    assert "differs from torch by at most" in capsys.readouterr().out
    assert [file.name for file in tmp_path.iterdir()] == ["painter.onnx"], "one file holds the weights too"
    synth = Synthesizer.load(NAME)
    for shape in ((64, 96), (208, 32)):
        assert export.largest_difference(synth.generator, path, shape) < export.TOLERANCE
    other = make_painter(synth.config)[0].eval()
    assert export.largest_difference(other, path) > export.TOLERANCE, "another painter's file is told apart"
