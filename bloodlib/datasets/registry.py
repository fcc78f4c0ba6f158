"""Which sets exist, and their download into a cache that is checked byte for byte."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from tqdm import tqdm

from .._files import package_data

with warnings.catch_warnings():
    # In a notebook without ipywidgets, pooch's import of tqdm.auto warns about a bar that is not used here.
    warnings.filterwarnings("ignore", message="IProgress not found")
    import pooch


@dataclass(frozen=True)
class DataSet:
    """Describe one set that the project knows."""

    name: str  # what `load` and `bloodlib data` call it
    title: str  # what figures call it
    holds: str  # images and annotation
    licence: str  # of the images
    megabytes: float  # size of the download; 0 where nothing is downloaded
    module: str = ""  # the file of this package that loads it; empty where it has no instance masks
    cells: str = ""  # the file that gives its pictures of single cells, for `load_cells`


SETS = {
    entry.name: entry
    for entry in (
        DataSet(
            name="phantom",
            title="phantom (rendered, not blood)",
            holds="100 rendered smears with exact instance masks",
            licence="BSD-3-Clause (this project)",
            megabytes=0.0,
            module="phantom",
        ),
        DataSet(
            name="chula_rbc12",
            title="Chula RBC-12",
            holds="84 smears of 640×480 with expert points in 13 classes",
            licence="MIT",
            megabytes=7.4,
            module="chula_rbc12",
        ),
        DataSet(
            name="wbc_segmentation",
            title="WBC segmentation",
            holds="400 single white cells with trimaps (background, cytoplasm, nucleus)",
            licence="GPL-3.0",
            megabytes=40.0,
            cells="wbc_segmentation",
        ),
        DataSet(
            name="bccd",
            title="BCCD",
            holds="364 smears of 640×480 with boxes of red cells, white cells and platelets",
            licence="MIT",
            megabytes=8.8,
            module="bccd",
        ),
        DataSet(
            name="pbc_subset",
            title="PBC subset",
            holds="650 single-cell images, 50 of each of 13 file prefixes",
            licence="unverified (original: Acevedo et al. 2020, believed CC BY 4.0)",
            megabytes=10.8,
            cells="pbc_subset",
        ),
    )
}


@dataclass(frozen=True)
class Status:
    """Count what the cache holds of a set, by name and not by content."""

    name: str
    folder: Path
    present: int
    missing: int

    @property
    def complete(self) -> bool:
        """Whether no file is missing."""
        return self.missing == 0


def available() -> list[DataSet]:
    """List every set that the project knows, with licence and size."""
    return list(SETS.values())


def data_home() -> Path:
    """Give the folder that caches downloads: `BLOODLIB_DATA`, or the user's cache folder."""
    chosen = os.environ.get("BLOODLIB_DATA")
    return Path(chosen).expanduser() if chosen else Path(pooch.os_cache("bloodlib"))


def read_registry(path: str | os.PathLike[str]) -> tuple[str, dict[str, str]]:
    """Read base URL and SHA-256 of every file from a registry.

    Returns
    -------
    str
        The base URL, with a final slash.
    dict
        Path below the base URL, percent-encoded as in the URL -> ``sha256:…``.
    """
    base_url, hashes = "", {}
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), start=1):
        if line.startswith("# base_url:"):
            base_url = line.split(":", 1)[1].strip().rstrip("/") + "/"
        elif line.strip() and not line.startswith("#"):
            fields = line.split()
            if len(fields) != 2 or not fields[1].startswith("sha256:"):
                raise ValueError(f"{path}, line {number}: found {line!r}, needed is `path sha256:hash`")
            hashes[fields[0]] = fields[1].lower()
    if not base_url or not hashes:
        raise ValueError(f"{path}: needs a `# base_url:` line and at least one `path sha256:hash` line")
    return base_url, hashes


def _registry(name: str) -> tuple[str, dict[str, str]]:
    entry = SETS.get(name)
    if entry is None or not entry.megabytes:
        legal = ", ".join(key for key, value in SETS.items() if value.megabytes)
        why = "is rendered on demand, so nothing is downloaded" if entry else "is not a data set"
        raise ValueError(f"{name!r} {why}; sets to download are {legal}")
    return read_registry(package_data("registries", f"{name}.txt"))


def status(name: str) -> Status:
    """Count the files of a set that the cache holds, without opening them."""
    folder = data_home() / name
    _, hashes = _registry(name)
    present = sum((folder / unquote(path)).is_file() for path in hashes)
    return Status(name, folder, present, len(hashes) - present)


def fetch(name: str, progress: bool = True, base_url: str | None = None, only: str | None = None) -> Path:
    """Make sure that every file of a set, or a single one, is in the cache and is the right one.

    Parameters
    ----------
    name : str
        A set of `available()` that has files to download.
    progress : bool
        Show a bar over the files.
    base_url : str, optional
        A mirror with the same paths (``https://…`` or ``file:///…``) in place of the registry's.
    only : str, optional
        A file of the set by its path in the registry: the others are neither looked at nor downloaded.

    Returns
    -------
    Path
        The folder of the set. A complete cache, read-only or not, needs no network.

    Raises
    ------
    ValueError
        If a file's SHA-256 is not the registry's: names the file, the expected and the found hash; or if `only` is
        no file of the set.
        A downloaded one is thrown away; one that was already there is left for its owner to remove.
    OSError
        If a file is missing and cannot be downloaded or stored.
    """
    registered, hashes = _registry(name)
    if only is not None:
        if only not in hashes:
            raise ValueError(f"{only!r} is none of the {len(hashes)} files of {name}")
        hashes = {only: hashes[only]}
    return fetch_files(data_home() / name, base_url or registered, hashes, progress=progress, title=name)


def fetch_files(folder: Path, base_url: str, hashes: dict[str, str], *, progress: bool, title: str) -> Path:
    """Do what `fetch` does for any folder, base URL and hashes as of `read_registry`."""
    base_url = base_url.rstrip("/") + "/"
    paths = {encoded: _decoded(encoded) for encoded in hashes}
    store = pooch.create(
        path=folder,
        base_url=base_url,
        registry={local: hashes[encoded] for encoded, local in paths.items()},
        urls={local: base_url + encoded for encoded, local in paths.items()},
    )
    pooch.get_logger().setLevel("WARNING")  # its line per file would tear the progress bar
    for local in tqdm(paths.values(), desc=title, unit="file", disable=not progress):
        if (folder / local).is_file():
            _check(folder / local, store.registry[local])
        else:
            _download(store, local)
    return folder


def _decoded(encoded: str) -> str:
    local = PurePosixPath(unquote(encoded))
    if local.is_absolute() or ".." in local.parts:
        raise ValueError(f"registry names {encoded!r}, which lies outside the set's own folder")
    return str(local)


def _check(path: Path, expected: str) -> None:
    found = pooch.file_hash(str(path), alg="sha256")
    if found != expected.removeprefix("sha256:"):
        raise ValueError(
            f"{path}: expected {expected} but the cached file is sha256:{found}; "
            "delete it and fetch again, or point BLOODLIB_DATA at a good copy"
        )


def _download(store: pooch.Pooch, local: str) -> None:
    url, target = store.get_url(local), Path(store.path) / local
    new_folders = [folder for folder in target.parents if not folder.exists()]
    try:
        store.fetch(local, downloader=_downloader(url))
    except ValueError as error:
        raise ValueError(f"{target}: {error} (from {url}); try again later, nothing was kept") from error
    except OSError as error:  # requests' errors are OSErrors, too; their own text fills a screen
        answer = getattr(error, "response", None)
        reason = error.strerror or type(error).__name__ if answer is None else f"HTTP status {answer.status_code}"
        raise OSError(
            f"{target}: missing, and it could not be downloaded from {url} ({reason}); "
            "check the network, or point BLOODLIB_DATA at a folder that is already filled"
        ) from error
    finally:
        if not target.exists():
            for folder in new_folders:  # innermost first
                if folder.is_dir() and not any(folder.iterdir()):
                    folder.rmdir()


def _downloader(url: str) -> Callable[[str, str, pooch.Pooch], None] | None:
    if urlsplit(url).scheme != "file":
        return None  # pooch chooses

    def copy(url: str, output: str, _: pooch.Pooch) -> None:
        shutil.copyfile(url2pathname(urlsplit(url).path), output)

    return copy
