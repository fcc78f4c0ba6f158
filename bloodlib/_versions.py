"""Which versions made a result."""

from __future__ import annotations

import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def versions(*packages: str) -> dict[str, str]:
    """Give the versions of packages; bloodlib's own also in a checkout that is not installed.

    Raises
    ------
    importlib.metadata.PackageNotFoundError
        If one of them is not there.
    """
    return {name: _own() if name == "bloodlib" else version(name) for name in packages}


def _own() -> str:
    try:
        return version("bloodlib")
    except PackageNotFoundError:
        checkout = Path(__file__).resolve().parents[1] / "pyproject.toml"
        if not checkout.is_file():
            raise
        return tomllib.loads(checkout.read_text())["project"]["version"]
