"""The set-up files agree with each other, and what the wheel must hold is in it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

import bloodlib
from bloodlib import release
from bloodlib.gan.config import Stage
from tools import conda

ROOT = Path(__file__).resolve().parent.parent
WHEEL_MIB = 30  # the released painter is most of it


def test_environment_yml_carries_the_pins_of_the_lock_file():
    pins = conda.locked_pins((ROOT / "requirements.lock").read_text())
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"][-1]["pip"]
    listed = [Requirement(line) for line in listed if not line.startswith("--")]

    assert {r.name for r in listed} == set(conda.direct_names((ROOT / "pyproject.toml").read_text()))
    assert {r.name: str(r.specifier) for r in listed} == {r.name: f"=={pins[r.name]}" for r in listed}


def test_lock_file_satisfies_pyproject_and_names_no_index():
    lock = (ROOT / "requirements.lock").read_text()
    assert not re.search(r"https?://|--(extra-)?index-url|--find-links|^-e", lock, flags=re.M)

    pins = conda.locked_pins(lock)
    for requirement in map(Requirement, conda.direct_requirements((ROOT / "pyproject.toml").read_text())):
        assert requirement.specifier.contains(pins[conda.canonicalize_name(requirement.name)]), requirement


def test_lock_file_installs_on_macos_without_cuda_wheels():
    mac = {"sys_platform": "darwin", "platform_machine": "arm64", "platform_system": "Darwin"}
    lines = [Requirement(line) for line in (ROOT / "requirements.lock").read_text().splitlines() if line]
    wanted = {r.name for r in lines if r.marker is None or r.marker.evaluate(mac)}
    assert {"torch", "torchvision", "numpy"} <= wanted
    assert not [name for name in wanted if name.startswith(("nvidia-", "cuda-", "triton"))]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A tiny model, released as the real one is."""
    smears = bloodlib.load("phantom", split="fit", shape=(96, 128))[:3]
    folder = tmp_path_factory.mktemp("model")
    stages = (Stage(crop=32, steps=1), Stage(crop=32, steps=1))
    bloodlib.Synthesizer.fit(smears, folder=folder / "full", progress=False, stages=stages, filters=2, blocks=1)
    return release.release(folder / "full", "stand-in", folder, device="a test machine")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory, model) -> zipfile.ZipFile:
    # Built from a copy: in the checkout, setuptools would leave build/ behind and pick up stale files from it.
    out = tmp_path_factory.mktemp("wheel")
    source = out / "source"
    for name in ("bloodlib", "data"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(model, source / "data" / "models" / model.name)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    done = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (path,) = out.glob("*.whl")
    return zipfile.ZipFile(path)


def test_wheel_holds_what_the_library_needs_at_run_time(wheel):
    held = set(wheel.namelist())
    modules = {p.relative_to(ROOT).as_posix() for p in (ROOT / "bloodlib").rglob("*.py")}
    needed = {f"bloodlib/{p.relative_to(ROOT).as_posix()}" for p in (ROOT / "data" / "registries").glob("*.txt")}
    needed |= {f"bloodlib/{p.relative_to(ROOT).as_posix()}" for p in (ROOT / "data" / "splits").glob("*.json")}
    needed |= {f"bloodlib/{p.relative_to(ROOT).as_posix()}" for p in (ROOT / "data" / "results").rglob("*.json")}
    assert needed
    assert not (modules | needed) - held


def test_wheel_holds_the_models_whole_and_stays_small(wheel, model):
    models = {p.relative_to(ROOT / "data"): p for p in (ROOT / "data" / "models").rglob("*") if p.is_file()}
    models |= {"models" / p.relative_to(model.parent): p for p in model.rglob("*") if p.is_file()}
    assert Path("models/stand-in/previews/step-000001.jpg") in models
    for name, path in models.items():
        assert wheel.read(f"bloodlib/data/{name.as_posix()}") == path.read_bytes()
    assert sum(entry.compress_size for entry in wheel.infolist()) <= WHEEL_MIB * 2**20


def test_one_painter_is_released_within_its_limit():
    assert bloodlib.released() == ["chula_rbc12-laptop"]
    folder = ROOT / "data" / "models" / "chula_rbc12-laptop"
    assert 2**20 < release.size_bytes(folder) <= release.LIMIT_MIB * 2**20


def test_wheel_works_without_the_checkout(wheel, tmp_path):
    wheel.extractall(tmp_path / "site")
    script = """
import sys
sys.path.insert(0, "site")
import bloodlib, numpy as np
assert bloodlib.__file__.startswith(sys.argv[1]), bloodlib.__file__
from bloodlib.cli import main
assert main(["data", "list"]) == 0
masks = bloodlib.MaskGenerator.fit(bloodlib.load("phantom", split="fit")[:2])
print("placed", masks.sample(np.random.default_rng(0), shape=(200, 200), count=5).placed)
assert main(["generate", "stand-in", "-n", "1", "-o", "painted"]) == 0
assert bloodlib.load("painted")[0].count
"""
    done = subprocess.run(
        [sys.executable, "-I", "-c", script, str(tmp_path)], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "chula_rbc12" in done.stdout
    assert "placed 5" in done.stdout
