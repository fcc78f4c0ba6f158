"""The conda files are those that the pins give, and Binder's is small enough: no CUDA, no tools of the tests."""

from __future__ import annotations

import pytest
import yaml

from tools import conda


@pytest.mark.parametrize("name", list(conda.WRITTEN))
def test_file_is_what_the_pins_give(name):
    assert (conda.ROOT / name).read_text() == conda.WRITTEN[name]()


def test_binder_takes_both_parts_of_torch_from_one_build_without_cuda():
    listed = yaml.safe_load(conda.binder_yml())["dependencies"][-1]["pip"]
    pins = dict(line.split("==") for line in listed if "==" in line)
    assert all(pins[name].endswith("+cpu") for name in ("torch", "torchvision"))
    assert sum(version.endswith("+cpu") for version in pins.values()) == 2
    assert not any("nvidia" in name or "pytest" in name or "snakemake" in name for name in pins)
    assert "--editable .." in listed
