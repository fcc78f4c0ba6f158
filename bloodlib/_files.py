"""Where things are, and how files are written: whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, TypeVar

from safetensors import SafetensorError

T = TypeVar("T")

LOCK, MANIFEST = ".lock", "manifest.json"
_PARTIAL = ".partial-"
_OF_A_KILLED = re.compile(rf"{re.escape(_PARTIAL)}[a-z0-9_]{{8}}(\.\w+)?")  # as `replacing` names them
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
OF_THE_SYSTEM = (".DS_Store", "Thumbs.db", "desktop.ini")  # what Finder and Explorer leave where they look
_BELOW = ("images", "instances", "masks", "annotations", "previews")  # folders that the library makes in one


def package_data(*parts: str) -> Path:
    """Find a file of the project's `data/` folder, in a checkout or in an installed wheel."""
    here = Path(__file__).resolve().parent
    installed = here / "data"
    return (installed if installed.is_dir() else here.parent / "data").joinpath(*parts)


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside `path` that takes its place when the block ends well.

    The suffix is kept, since image writers choose the format by it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=_PARTIAL, suffix=path.suffix, dir=path.parent)
    os.close(handle)
    beside = Path(name)
    try:
        yield beside
        umask = os.umask(0)
        os.umask(umask)
        beside.chmod(0o666 & ~umask)
        os.replace(beside, path)
    except SafetensorError as error:  # its way of saying that the disk is full
        raise OSError(f"{path}: could not be written ({error}); is there room on the disk?") from error
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def alone_in(folder: str | os.PathLike[str], check: Callable[[], T] = lambda: None) -> Iterator[T]:
    """Keep other processes of this library out of a folder while it is written, and tidy up after killed ones.

    Parameters
    ----------
    folder : path
    check : callable
        Refuses, by raising, a folder that may not be written to; nothing in it has been touched by then. What it
        returns is what the context gives.

    Raises
    ------
    BlockingIOError
        If another process is writing there.

    Notes
    -----
    The operating system gives the lock back when a process ends in whatever way, so that nothing has to
    be removed by hand after a crash. Partial files of a process that was killed are taken away.
    """
    folder = Path(folder)
    made_here = [one for one in (folder, *folder.parents) if not one.exists()]  # innermost first
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with _lock_file(folder):
            found = check()
            _clear_partial(folder)
            try:
                yield found
            finally:
                _clear_partial(folder)  # of workers that were killed
    finally:
        for one in made_here:
            with suppress(OSError):  # not empty, or gone: others may end here at the same moment
                one.rmdir()


def _clear_partial(folder: Path) -> None:
    for here in (folder, *(folder / name for name in _BELOW)):
        for stale in here.glob(f"{_PARTIAL}*"):
            if _is_partial(stale):
                stale.unlink(missing_ok=True)


def _is_partial(path: Path) -> bool:
    return bool(_OF_A_KILLED.fullmatch(path.name)) and path.is_file()


def is_vacant(folder: Path, besides: Sequence[str] = ()) -> bool:
    """Say whether a folder is not there, or empty but for `besides` and what nobody put there.

    That is what a killed process of this library left, and what systems leave in folders that are looked at.
    """
    return not folder.exists() or all(
        path.name in (LOCK, *OF_THE_SYSTEM, *besides)
        or _is_partial(path)
        or path.name.startswith((".nfs", "._"))  # NFS' name of a removed open file; macOS' second half of a file
        for path in folder.iterdir()
    )


def begun(folder: Path, head: dict[str, Any], listed: str, unknown: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Give what the manifest of a set that was begun lists, nothing where none was; refuse any other folder.

    Parameters
    ----------
    folder : Path
    head : dict
        What decides the set, as its manifest has it.
    listed : str
        Under which key the manifest lists what is written: "smears" or "masks".
    unknown : sequence of str
        What else decides the set, and is not looked at.

    Raises
    ------
    ValueError
        If the folder holds another set, or anything else.
    """
    manifest = folder / MANIFEST
    if not manifest.is_file():
        if not is_vacant(folder):
            raise ValueError(f"{folder}: is not empty and holds no {MANIFEST}; write to another folder")
        return []
    content = read_json(manifest)
    if not isinstance(content, dict) or not isinstance(content.get(listed), list):
        raise ValueError(f"{manifest}: is not that of a set of {listed}; write to another folder")
    done = content.pop(listed)
    if {key: value for key, value in content.items() if key not in unknown} != head:
        raise ValueError(f"{manifest}: says {content}, asked for is {head}; write to another folder")
    return done


@contextmanager
def _lock_file(folder: Path) -> Iterator[None]:
    path = folder / LOCK
    with path.open("a") as file:
        if not _locked(file) or not path.exists() or not os.path.samestat(os.fstat(file.fileno()), path.stat()):
            raise BlockingIOError(
                f"{folder}: another process is writing there; wait until it has ended, or write to another folder"
            )
        try:
            yield
        finally:
            with suppress(PermissionError):  # Windows keeps files that are open
                path.unlink(missing_ok=True)


def _locked(file: IO[str]) -> bool:
    """Lock an open file for this process if no other has, without waiting."""
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        raise OSError(
            f"{Path(file.name).parent}: its file system locks no files ({error.strerror}), and without a lock two "
            "processes could write there at once; write to another one, or mount it with locks (Lustre: -o flock)"
        ) from error
    return True


def in_turn(call: Callable[[], T], seconds: float = 5.0) -> T:
    """Do what writes to a folder, and where another process is writing there wait until it has ended."""
    said = False
    while True:
        try:
            return call()
        except BlockingIOError as error:
            if not said:
                logging.getLogger(__name__).warning("waiting: %s", error)
            said = True
            time.sleep(seconds)


def sha256(path: str | os.PathLike[str]) -> str:
    """Give the SHA-256 of a file's bytes, in hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: str | os.PathLike[str], value: Any, *, indent: int | None = 1) -> None:
    """Write JSON whole or not at all, keys in the order given, with a final newline."""
    with replacing(path) as beside:
        beside.write_text(json.dumps(value, indent=indent, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read JSON; a file that is none raises ValueError with its name."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8-sig"))  # Windows' editors begin with a mark of order
    except (ValueError, RecursionError) as error:  # also numbers of too many digits, and other encodings
        raise ValueError(f"{path}: not valid JSON ({error}); was the file cut short?") from error
