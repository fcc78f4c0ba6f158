"""Write environment.yml and binder/environment.yml: direct dependencies at the pins of requirements.lock.

Usage: python tools/conda.py [--check]
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PYTHON = "3.11"

HEADER = """\
# Conda route to the same environment: conda env create -f environment.yml && conda activate bloodlib
# Written by `make lock` from pyproject.toml and requirements.lock; tests/test_packaging.py holds them together.
"""
BINDER_HEADER = """\
# For Binder's small machines: the notebooks' own dependencies, torch and torchvision from one build without CUDA.
# Written by `make lock` from pyproject.toml and requirements.lock; tests/test_packaging.py holds them together.
"""
CPU_BUILDS = ("torch", "torchvision")


def locked_pins(lock: str, python: str = PYTHON) -> dict[str, str]:
    """Read name -> version of a lock file as they hold for one Python version on Linux."""
    environment = {"python_full_version": f"{python}.0", "sys_platform": "linux", "platform_machine": "x86_64"}
    pins = {}
    for line in lock.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate(environment):
            (specifier,) = requirement.specifier
            pins[canonicalize_name(requirement.name)] = specifier.version
    return pins


def direct_requirements(pyproject: str) -> list[str]:
    """List what pyproject.toml asks for, extras included."""
    project = tomllib.loads(pyproject)["project"]
    return [line for part in [project["dependencies"], *project["optional-dependencies"].values()] for line in part]


def direct_names(pyproject: str) -> list[str]:
    """List the packages that pyproject.toml asks for, without versions."""
    return sorted({canonicalize_name(Requirement(line).name) for line in direct_requirements(pyproject)})


def environment_yml() -> str:
    """Compose the text of environment.yml."""
    pins = locked_pins((ROOT / "requirements.lock").read_text())
    names = direct_names((ROOT / "pyproject.toml").read_text())
    lines = [f"      - {name}=={pins[name]}" for name in names]
    return (
        HEADER
        + f"name: bloodlib\nchannels:\n  - conda-forge\ndependencies:\n  - python={PYTHON}\n  - pip\n  - pip:\n"
        + "      - --constraint requirements.lock\n"
        + "\n".join(lines)
        + "\n      - --editable .\n"
    )


def binder_yml() -> str:
    """Compose binder/environment.yml: what the notebooks need and no more, torch without CUDA."""
    pins = locked_pins((ROOT / "requirements.lock").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = sorted({canonicalize_name(Requirement(line).name) for line in project["dependencies"]} | {"jupyterlab"})
    lines = [f"      - {name}=={pins[name]}{'+cpu' if name in CPU_BUILDS else ''}" for name in names]
    return (
        BINDER_HEADER
        + f"name: bloodlib\nchannels:\n  - conda-forge\ndependencies:\n  - python={PYTHON}\n  - pip\n  - pip:\n"
        + "      - --extra-index-url https://download.pytorch.org/whl/cpu\n      - --constraint ../requirements.lock\n"
        + "\n".join(lines)
        + "\n      - --editable ..\n"
    )


WRITTEN = {"environment.yml": environment_yml, "binder/environment.yml": binder_yml}

if __name__ == "__main__":
    stale = [name for name, text in WRITTEN.items() if (ROOT / name).read_text() != text()]
    if "--check" in sys.argv:
        sys.exit(stale and f"{', '.join(stale)}: stale, run `make lock`")
    for name in stale:
        (ROOT / name).write_text(WRITTEN[name]())
