"""Where everything of one build lies, and what its notebooks depend on."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
PROFILES = ("smoke", "laptop", "paper")
_READS_LIVE = 'load_runs(f"{artifacts}/live")'  # in a cell: shows runs that chapters before it have stored


@dataclass(frozen=True)
class Build:
    """Name the folders of one profile shown on one data set.

    Parameters
    ----------
    profile : str
        One of `PROFILES`.
    data : str
        Data set name, or a folder of smears.
    only : str
        Number or name of the one chapter wanted; empty for the whole book.
    root : Path
        The checkout.
    variant : str
        Added to the name of a second build of the same, which must not meet the first one's files.

    Raises
    ------
    ValueError
        If there is no such profile.
    """

    profile: str
    data: str
    only: str = ""
    root: Path = ROOT
    variant: str = ""

    def __post_init__(self) -> None:
        if self.profile not in PROFILES:
            raise ValueError(f"profile is {self.profile!r}, allowed are {', '.join(PROFILES)}")

    @property
    def name(self) -> str:
        return f"{self.profile}-{Path(self.data).name}{self.variant}"

    @property
    def folder(self) -> Path:
        return self.root / "build" / self.name

    @property
    def executed(self) -> Path:
        return self.folder / "executed"

    @property
    def cards(self) -> Path:
        return self.folder / "cards"

    @property
    def pages(self) -> Path:
        """Where the staged tree and the built site go; one chapter must not overwrite the book."""
        return self.folder / "chapter" if self.only else self.folder

    @property
    def site(self) -> Path:
        return self.pages / "site"

    @property
    def html(self) -> Path:
        return self.pages / "html"

    @property
    def data_parameter(self) -> str:
        """`data` as a notebook sees it, which runs inside notebooks/."""
        folder = (self.root / self.data) if not os.path.isabs(self.data) else Path(self.data)
        if folder.is_dir():
            return os.path.relpath(folder, self.root / "notebooks")
        return self.data

    @property
    def notebooks(self) -> list[Path]:
        return notebooks(self.root, self.only)


def notebooks(root: Path = ROOT, only: str = "") -> list[Path]:
    """List the notebooks in reading order, or the one asked for.

    Raises
    ------
    ValueError
        If `only` names none of them.
    """
    every = sorted((root / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    if not only:
        return every
    stem = Path(only).stem
    found = [path for path in every if path.stem == stem or path.stem.split("_")[0] == stem.zfill(2)]
    if not found:
        raise ValueError(f"no chapter {only!r}; there are {', '.join(path.stem for path in every) or 'none yet'}")
    return found


def require_book(site: Path) -> None:
    """Make sure that a folder holds a built book.

    Raises
    ------
    FileNotFoundError
        If it does not.
    """
    if not (site / "index.html").exists():
        raise FileNotFoundError(f"{site}: no index.html; was the book built?")


def fingerprint(notebook: Path, parameters: dict, build: Build) -> str:
    """Hash what an executed notebook depends on: its own source, its parameters, library, data.

    Outputs stored in the notebook do not count, so refreshing them reruns nothing.
    """
    cells = nbformat.read(notebook, as_version=4).cells
    source = [(cell.id, cell.cell_type, cell.source, cell.metadata) for cell in cells]
    digest = hashlib.sha256(json.dumps([source, parameters], sort_keys=True).encode())
    # New stored runs concern only the notebooks that read stored results.
    reads_results = any("results" in cell.source for cell in cells if cell.cell_type == "code")
    for path in _library_files(build.root, reads_results):
        digest.update(path.relative_to(build.root).as_posix().encode() + b"\0" + path.read_bytes())
    folder = build.root / "notebooks" / build.data_parameter
    for path in sorted(folder.rglob("*")) if folder.is_dir() else []:
        stat = path.stat()
        digest.update(f"{path.name} {stat.st_size} {stat.st_mtime_ns}".encode())
    if any(_READS_LIVE in cell.source for cell in cells if cell.cell_type == "code"):
        for path in sorted((build.folder / "artifacts" / "live").rglob("[!.]*.json")):
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def _library_files(root: Path, results: bool) -> Iterable[Path]:
    yield from sorted([*(root / "bloodlib").rglob("*.py"), *(root / "bloodlib").rglob("*.mplstyle")])
    for path in sorted(path for path in (root / "data").rglob("*") if path.is_file() and path.suffix != ".md"):
        if results or path.relative_to(root).parts[1] != "results":
            yield path
    if (root / "requirements.lock").exists():
        yield root / "requirements.lock"
