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

from tools import conda

ROOT = Path(__file__).resolve().parent.parent


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
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    # Built from a copy: in the checkout, setuptools would leave build/ behind and pick up stale files from it.
    out = tmp_path_factory.mktemp("wheel")
    source = out / "source"
    for name in ("bloodlib", "data"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
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
    assert needed
    assert not (modules | needed) - held


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
"""
    done = subprocess.run(
        [sys.executable, "-I", "-c", script, str(tmp_path)], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "chula_rbc12" in done.stdout
    assert "placed 5" in done.stdout
