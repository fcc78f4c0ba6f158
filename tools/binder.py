"""Measure what Binder's environment takes on disk: python -m tools.binder FOLDER --torch WHEEL --torchvision FOLDER.

FOLDER is a virtual environment with the packages of ``binder/environment.yml``, compiled. PyTorch's own index has the
builds for processors alone; where it cannot be reached, another release's wheel stands for the one that is pinned, and
the result says so. Python counts as it is installed where this runs, without its own tests.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import zipfile
from datetime import date
from pathlib import Path
from typing import Any

from bloodlib._files import read_json, write_json

from .layout import ROOT

STORED = Path("data") / "results" / "binder.json"
LIMIT_GB = 2
# What a machine without CUDA does not get, and what is counted apart.
APART = ("torch", "torchgen", "torchvision", "functorch", "nvidia", "triton", "cuda")
SHARED = (Path("/usr"), Path("/usr/local"))  # prefixes that hold more than Python
COMPILED = 2  # a module and its compiled copy take about twice the module
NOT_MEASURED = (
    "Python 3.11 as conda-forge packs it (the Python that was measured is another build)",
    "conda itself, which Binder's image holds",
    "the pinned torch's own wheel for processors, for which another release's stands",
)


def measure(environment: Path, torch: Path, torchvision: Path, root: Path = ROOT) -> dict[str, Any]:
    """Add up bytes of packages, of torch's and torchvision's builds for processors, of Python and of the checkout.

    Raises
    ------
    ValueError
        If the folder is no environment with packages in it.
    """
    packages = next(iter(sorted(environment.glob("lib/python3.*/site-packages"))), None)
    if packages is None:
        raise ValueError(f"{environment}: no lib/python3.*/site-packages there; needed is a virtual environment")
    mine = [
        one for one in packages.iterdir() if not one.name.lower().startswith(APART) or one.name.startswith("torchm")
    ]
    with zipfile.ZipFile(torch) as wheel:
        files = [(one.filename, one.file_size) for one in wheel.infolist()]
    modules = sum(size for name, size in files if name.endswith(".py"))
    tracked = subprocess.run(["git", "archive", "HEAD"], cwd=root, capture_output=True, check=True).stdout
    parts = {
        "packages": sum(map(_bytes, mine)),
        "torch": sum(size for _, size in files) + (COMPILED - 1) * modules,
        "torchvision": sum(_bytes(one) for one in sorted(torchvision.glob("torchvision*"))),
        "python": _python_bytes(Path(sys.base_prefix)),
        "checkout": len(tracked),
    }
    return {
        "command": "python -m tools.binder ENVIRONMENT --torch WHEEL --torchvision SITE-PACKAGES",
        "date": date.today().isoformat(),
        "bytes": parts,
        "torch_wheel": torch.name,
        "not_measured": list(NOT_MEASURED),
    }


def _python_bytes(prefix: Path) -> int:
    """Measure Python without its tests and packages; where a system keeps it among all else, its library alone."""
    library = prefix / "lib" / f"python3.{sys.version_info.minor}"
    whole = library if prefix in SHARED else prefix
    return _bytes(whole) - sum(_bytes(library / name) for name in ("site-packages", "test"))


def _bytes(path: Path) -> int:
    files = [path] if path.is_file() else path.rglob("*")
    return sum(one.stat().st_size for one in files if one.is_file() and not one.is_symlink())


def sentence(path: Path) -> str:
    """Say what was measured, and what was not."""
    if not path.exists():
        return "What that takes on disk was not measured."
    found = read_json(path)
    parts = {name: size / 1e9 for name, size in found["bytes"].items()}
    each = ", ".join(f"{name} {size:.2f}" for name, size in parts.items())
    return (
        f"What was measured of it on {found['date']} takes {sum(parts.values()):.2f} GB ({each}; torch as in "
        f"`{found['torch_wheel']}`). Not measured: {'; '.join(found['not_measured'])}."
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.binder", description=__doc__.splitlines()[0])
    parser.add_argument("environment", type=Path, help="virtual environment with the packages")
    parser.add_argument("--torch", type=Path, required=True, help="wheel of torch for processors alone")
    parser.add_argument("--torchvision", type=Path, required=True, help="folder that torchvision is installed in")
    options = parser.parse_args(arguments)
    try:
        found = measure(options.environment, options.torch, options.torchvision)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    write_json(ROOT / STORED, found)
    print(sentence(ROOT / STORED))
    return 0


if __name__ == "__main__":
    sys.exit(main())
