"""Binder's environment stays below 2 GB as far as it was measured, and what was not is said."""

from __future__ import annotations

import re
import subprocess
import zipfile

import pytest
import yaml

from bloodlib._files import read_json
from tools import binder
from tools.layout import ROOT


def test_stored_size_is_below_the_limit_and_of_the_environment_that_is_pinned():
    found = read_json(ROOT / binder.STORED)
    assert set(found["bytes"]) == {"packages", "torch", "torchvision", "python", "checkout"}
    assert all(size > 1e6 for size in found["bytes"].values())
    assert sum(found["bytes"].values()) < binder.LIMIT_GB * 1e9
    assert "+cpu" in found["torch_wheel"]
    listed = yaml.safe_load((ROOT / "binder" / "environment.yml").read_text())["dependencies"][-1]["pip"]
    pinned = next(one.split("==")[1] for one in listed if one.startswith("torch=="))
    assert pinned.endswith("+cpu")
    said = binder.sentence(ROOT / binder.STORED)
    assert f"{sum(found['bytes'].values()) / 1e9:.2f} GB" in said
    other = f"torch-{pinned}-" not in found["torch_wheel"]
    assert other == any("another release" in part for part in found["not_measured"])
    assert all(part in said for part in found["not_measured"])
    assert "{{ binder_size }}" in (ROOT / "book" / "reproducibility.md").read_text()


def test_cuda_is_not_counted_and_torch_is_counted_apart(tmp_path):
    packages = tmp_path / "env" / "lib" / "python3.11" / "site-packages"
    for name, size in {"numpy": 100, "torchmetrics": 20, "torch": 5000, "nvidia": 9000, "triton": 700}.items():
        (packages / name).mkdir(parents=True)
        (packages / name / "a.so").write_bytes(b"0" * size)
    with zipfile.ZipFile(tmp_path / "torch-1.0+cpu-x.whl", "w") as wheel:
        wheel.writestr("torch/a.so", b"0" * 300)
        wheel.writestr("torch/a.py", b"0" * 40)
    (tmp_path / "vision" / "torchvision").mkdir(parents=True)
    (tmp_path / "vision" / "torchvision" / "a.so").write_bytes(b"0" * 8)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    who = ["-c", "user.name=a", "-c", "user.email=a@b.example"]
    subprocess.run(["git", *who, "commit", "-q", "--allow-empty", "-m", "a"], cwd=tmp_path, check=True)
    found = binder.measure(tmp_path / "env", tmp_path / "torch-1.0+cpu-x.whl", tmp_path / "vision", tmp_path)
    assert found["bytes"]["packages"] == 120
    assert found["bytes"]["torch"] == 380  # modules and their compiled copies
    assert found["bytes"]["torchvision"] == 8
    assert found["bytes"]["checkout"] > 0
    assert 1e6 < found["bytes"]["python"] < 1e9
    with pytest.raises(ValueError, match=re.escape("needed is a virtual environment")):
        binder.measure(tmp_path, tmp_path / "torch-1.0+cpu-x.whl", tmp_path, tmp_path)


def test_what_was_not_measured_is_said(tmp_path):
    assert binder.sentence(tmp_path / "binder.json") == "What that takes on disk was not measured."
