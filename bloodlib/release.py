"""Finished models: found by name, checked by hash, made small enough to be released."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from ._files import package_data, read_json, replacing, sha256, write_json

FORMAT = 1
CONFIG = "config.json"  # written last: a folder that has one is complete
LIMIT_MIB = 25  # of a released model, all its files together
HALVED = ("generator", "encoder", "styles")  # layout and objects stay as they are, so that equal seeds draw equal masks
HALF = "-float16"  # at the end of a released model's identity
HISTORY_BYTES = 200_000
SNAPSHOTS, SNAPSHOT_BYTES = 8, 500_000
QUALITIES = (95, 90, 85, 75, 60, 40)  # of JPEG, the best that fits


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever goes wrong while tensors are read and put in their places into one clear ValueError."""
    try:
        yield
    except (SafetensorError, RuntimeError, KeyError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"{path}: holds no tensors of such a model ({reason}); it is damaged or was made by another program"
        ) from error


def released() -> list[str]:
    """Name the models that travel with the library: what `Synthesizer.load` knows beside folders."""
    found = package_data("models").glob(f"*/{CONFIG}")
    return sorted(path.parent.name for path in found if "layout" in read_json(path))  # others are no painters


def released_as(identity: str) -> Path | None:
    """Find the released model that was made of given smears, settings and seed; None where there is none.

    Notes
    -----
    A checkout also holds, in ``data/painters``, the painters of other seeds that stored results name.
    """
    others = sorted(path.parent for path in package_data("painters").glob(f"*/{CONFIG}"))
    for folder in [*(package_data("models", name) for name in released()), *others]:
        if read_json(folder / CONFIG)["identity"] == f"{identity}{HALF}":
            return folder
    return None


def continued_for(data: str, profile: str) -> Path | None:
    """Find the stored painter that went on from another one's weights and serves every seed of a set and profile.

    None where there is none. Settings and seed alone, by which `released_as` finds others, do not name such a training.
    """
    for path in sorted(package_data("painters").glob(f"*/{CONFIG}")):
        content = read_json(path)
        if content.get("start") and (content.get("profile"), content["data"]["fingerprint"]) == (profile, data):
            return path.parent
    return None


def released_of(data: str, **about: Any) -> Path | None:
    """Find the released model that was fitted on the smears of a fingerprint; None where there is none.

    Parameters
    ----------
    data : str
        As `bloodlib.gan.data.fingerprint` gives it.
    **about
        What else its config.json must say, such as its profile and seed.
    """
    for name in released():
        content = read_json(package_data("models", name) / CONFIG)
        if content["data"]["fingerprint"] == data and all(content.get(key) == value for key, value in about.items()):
            return package_data("models", name)
    return None


def locate(model: str | os.PathLike[str]) -> Path:
    """Find the folder of a finished model; a folder that holds one comes before a released name.

    Raises
    ------
    FileNotFoundError
        If there is none; the message lists the released names.
    """
    path = Path(model)
    if (path / CONFIG).is_file():
        return path
    if list(path.glob("checkpoint.*")):
        raise FileNotFoundError(
            f"{model}: holds no finished model (no {CONFIG}); its training was interrupted, call Synthesizer.fit again"
        )
    names = released()
    if str(model) in names:
        return package_data("models", str(model))
    raise FileNotFoundError(
        f"{model}: holds no finished model (no {CONFIG}) and is the name of none; "
        f"released: {', '.join(names) or 'none'}; a folder is made by Synthesizer.fit"
    )


def read_model(folder: Path) -> dict[str, Any]:
    """Read a model's config.json, checking the format and the hash of every file that it lists.

    Raises
    ------
    ValueError
        If a file is not what was written.
    """
    content = read_json(folder / CONFIG)
    if content.get("format") != FORMAT:
        raise ValueError(f"{folder / CONFIG}: format is {content.get('format')!r}, this version reads {FORMAT}")
    for name, expected in content["files"].items():
        found = sha256(folder / name) if (folder / name).is_file() else "no file"
        if found != expected:
            raise ValueError(
                f"{folder / name}: does not match its hash (expected {expected[:12]}…, found {found[:12]}); "
                "the model is damaged, copy or train it again"
            )
    return content


def release(
    folder: str | os.PathLike[str],
    name: str,
    out: str | os.PathLike[str] | None = None,
    *,
    device: str,
    licence: str = "BSD-3-Clause",
    data_licence: str = "",
    replace: bool = False,
) -> Path:
    """Write a finished model in half precision, to be found by its name.

    Parameters
    ----------
    folder : path
        Of a finished `Synthesizer`.
    name : str
        What it is to be called: the data set and the profile, such as ``chula_rbc12-laptop``.
    out : path, optional
        Where released models are; the library's own ``data/models`` if not given.
    device : str
        What it was trained on, in words; the model does not know.
    licence, data_licence : str
        Of the weights, and of what they were fitted on.
    replace : bool
        Whether a released model of this name may be taken away.

    Returns
    -------
    Path
        The folder: generator, encoder and styles as float16; layout and objects (binary outlines and
        statistics) as they were; the history averaged over consecutive steps; some painted snapshots of
        the training as JPEG. Nothing of a real picture.

    Raises
    ------
    ValueError
        If the model is damaged or released already, a number does not fit float16, the name is taken, or
        the whole is larger than 25 MiB.

    Notes
    -----
    Its identity differs from that of the model it came from, so neither continues the other's sets.
    Book: the model card.
    """
    folder, out = Path(folder), package_data("models") if out is None else Path(out)
    content = read_model(folder)
    if "released" in content:
        raise ValueError(f"{folder}: is a release already ({content['released']['name']}); give the folder it is of")
    if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]*", name):
        raise ValueError(f"name is {name!r}; it can hold lower-case letters, digits, '-', '_' and '.'")
    target = out / name
    if target.exists() and not replace:
        raise ValueError(f"{target}: exists; choose another name, or give replace=True")
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=out) as beside:
        part = Path(beside) / name
        part.mkdir()
        weights = {part_name: _copy(folder, part, part_name) for part_name in _parts(content)}
        history = read_json(folder / "history.json")
        every = thin_history(history, part / "history.json")
        take_snapshots(folder / "previews", part / "previews")
        about = {
            "name": name,
            "precision": "float16",
            "licence": licence,
            "data_licence": data_licence,
            "device": device,
            "steps": [history["stage"].count(stage) for stage in sorted(set(history["stage"]))],
            "seconds": round(sum(history["seconds"])),
            "history_every": every,
            "weights": {key: weights[key] for key in ("generator", "encoder")},
            "generator_hash": {"full": generator_hash(folder), "released": generator_hash(part)},
        }
        files = sorted(path for path in part.rglob("*") if path.is_file())
        hashes = {path.relative_to(part).as_posix(): sha256(path) for path in files}
        content |= {"identity": f"{content['identity']}{HALF}", "released": about, "files": hashes}
        write_json(part / CONFIG, content)
        mib = size_bytes(part) / 2**20
        if mib > LIMIT_MIB:
            raise ValueError(f"{folder}: {mib:.1f} MiB in half precision; a released model has at most {LIMIT_MIB} MiB")
        if target.exists():
            shutil.rmtree(target)
        part.rename(target)
    return target


def generator_hash(folder: Path) -> str:
    """Give twelve hexadecimal digits of a generator's weights in single precision: what results name it by."""
    digest = hashlib.sha256()
    for name, values in sorted(load_file(folder / "generator.safetensors").items()):
        digest.update(name.encode() + values.astype(np.float32).tobytes())
    return digest.hexdigest()[:12]


def is_about(model: dict[str, Any], content: dict[str, Any]) -> bool:
    """Say whether what a stored result calls its model is a released one, or the full one that it was made of.

    Parameters
    ----------
    model : dict
        ``generator_hash`` and ``identity``: two painters can share a generator and differ in what is done to its paint.
    content : dict
        What the released model's config.json holds, or `Synthesizer.about`.
    """
    hashes = content.get("released", {}).get("generator_hash", {}).values()
    same = str(model.get("identity")).removesuffix(HALF) == str(content["identity"]).removesuffix(HALF)
    return same and model.get("generator_hash") in hashes


def size_bytes(path: Path) -> int:
    """Give the size of a file, or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def _parts(content: dict[str, Any]) -> list[str]:
    return [name.removesuffix(".safetensors") for name in content["files"] if name.endswith(".safetensors")]


def _copy(folder: Path, out: Path, part: str) -> int:
    """Copy one file of arrays, halved where it may be; gives how many numbers it holds."""
    file = f"{part}.safetensors"
    arrays = load_file(folder / file)
    if part in HALVED:
        with replacing(out / file) as beside:  # which also gives it the usual permissions
            save_file({key: _halved(x, f"{file}: {key}") for key, x in arrays.items()}, beside)
    else:
        shutil.copyfile(folder / file, out / file)
    return sum(x.size for x in arrays.values())


def _halved(x: np.ndarray, name: str) -> np.ndarray:
    """Give floats as float16, and counts ≥ 0 as the smallest type that holds them."""
    if x.dtype.kind != "f":
        return np.ascontiguousarray(x.astype(np.min_scalar_type(int(x.max(initial=0)))))
    with np.errstate(over="ignore"):
        half = np.ascontiguousarray(x.astype(np.float16))
    if not np.isfinite(half).all():
        raise ValueError(f"{name}: holds {np.abs(x).max():g}, which float16 cannot; train with a lower learning_rate")
    return half


def thin_history(history: dict[str, list[float]], path: Path, most_bytes: int = HISTORY_BYTES) -> int:
    """Write a training's curves in at most so many bytes, averaging over consecutive steps of a stage.

    Returns
    -------
    int
        Over how many steps; every entry is their mean, and ``step`` the last of them.
    """
    stage = np.asarray(history["stage"])
    changes = np.flatnonzero(np.diff(stage)) + 1
    every = 1
    while True:
        thin: dict[str, list[float]] = {name: [] for name in history}
        for part in np.split(np.arange(len(stage)), changes):
            for start in range(0, len(part), every):
                block = part[start : start + every]
                for name, values in history.items():
                    here = [values[k] for k in block]
                    thin[name].append(here[-1] if name in ("stage", "step") else round(float(np.mean(here)), 5))
        size = len(json.dumps(thin)) + 1
        if size <= most_bytes or every >= len(stage):
            write_json(path, thin, indent=None)
            return every
        every = max(every + 1, int(np.ceil(every * size / most_bytes)))


def take_snapshots(folder: Path, out: Path, most_bytes: int = SNAPSHOT_BYTES) -> list[Path]:
    """Keep a few of the pictures painted during training, as JPEG, dense at the start; never a real one."""
    found = sorted(folder.glob("step-*.png"))
    if not found:
        return []
    chosen = np.unique(np.geomspace(1, len(found), SNAPSHOTS).round().astype(int)) - 1
    pictures = [cv2.imdecode(np.fromfile(found[k], np.uint8), cv2.IMREAD_COLOR) for k in chosen]  # of any path
    full = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]  # colour as fine as light
    for quality in QUALITIES:
        coded = [cv2.imencode(".jpg", x, [cv2.IMWRITE_JPEG_QUALITY, quality, *full])[1].tobytes() for x in pictures]
        if sum(map(len, coded)) <= most_bytes:
            break
    else:
        raise ValueError(f"{folder}: {len(coded)} snapshots do not fit {most_bytes} bytes; make the previews smaller")
    out.mkdir()
    paths = [out / f"{found[k].stem}.jpg" for k in chosen]
    for path, code in zip(paths, coded, strict=True):
        path.write_bytes(code)
    return paths
