"""Write many labelled smears, on as many workers as wanted, so that a set that was begun can be gone on with."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from tqdm import tqdm

from ._files import MANIFEST, alone_in, begun, write_json
from .gan.precision import memory_kept
from .sampler.masks import CrowdedWarning
from .sampler.requested import whole, whole_seed, whole_shape
from .sampler.writing import amodal_annotations, amodal_coco, warn_of_crowded
from .smears import RED_CELLS

if TYPE_CHECKING:
    from .synthesis import Synthesizer

_COCO = "coco.json"
_CHUNKS, _LARGEST = 8, 16  # chunks for each worker, so that all end together; smears in one, so that little is lost


def write_smears(
    synthesizer: Synthesizer,
    folder: str | os.PathLike[str],
    count: int,
    seed: int,
    shape: tuple[int, int],
    style: int | None,
    shares: np.ndarray | None,
    workers: int | None,
    progress: bool,
) -> None:
    """Write labelled synthetic smears; see `Synthesizer.write`."""
    folder, count, head = Path(folder), _whole_count(count), _head(synthesizer, seed, shape, style, shares)
    effective_n_jobs(workers)  # refuses 0
    done = begun(folder, head, "smears")
    if len(done) < count or not _is_finished(folder, done):
        done = _write_rest(synthesizer, folder, count, head, shares, workers, progress)
    warn_of_crowded(done, "smears")


def _is_finished(folder: Path, done: list[dict[str, Any]]) -> bool:
    """Say whether all that the manifest lists is there and in the COCO file, which is written last."""
    manifest, coco = folder / MANIFEST, folder / _COCO
    written_last = coco.is_file() and coco.stat().st_mtime_ns >= manifest.stat().st_mtime_ns
    return written_last and all(_is_written(folder, entry["name"]) for entry in done)


def _is_written(folder: Path, name: str) -> bool:
    return all((folder / kind / f"{name}.png").is_file() for kind in ("images", "instances"))


def _write_rest(
    synthesizer: Synthesizer,
    folder: Path,
    count: int,
    head: dict[str, Any],
    shares: np.ndarray | None,
    workers: int | None,
    progress: bool,
) -> list[dict[str, Any]]:
    """Write what is missing of a set, alone in its folder; gives what its manifest lists then."""
    seed, shape, style = head["seed"], tuple(head["shape"]), head["style"]
    with alone_in(folder, partial(begun, folder, head, "smears")) as done:
        count = max(count, len(done))
        done = [entry for entry in done if _is_written(folder, entry["name"])]  # what was deleted is written again
        write_json(folder / MANIFEST, {**head, "smears": done})
        there = {entry["name"] for entry in done}
        left = [number for number in range(count) if _name(number) not in there]
        alone = effective_n_jobs(workers) == 1
        size = 1 if alone else max(1, min(_LARGEST, len(left) // (_CHUNKS * effective_n_jobs(workers))))
        chunks = [left[first : first + size] for first in range(0, len(left), size)]
        run = Parallel(n_jobs=workers, return_as="generator")
        given = (synthesizer, folder, seed, shape, style, shares)
        shown = tqdm(total=count, initial=len(done), desc="smears", disable=not progress)
        with memory_kept(), shown as bar:
            for written in run(delayed(_write_some)(chunk, *given) for chunk in chunks):
                done = sorted(done + written, key=lambda entry: entry["seed"])
                write_json(folder / MANIFEST, {**head, "smears": done})
                bar.update(len(written))
        try:
            _write_coco(synthesizer, folder, done, shape, style, shares)
        except ValueError:
            (folder / _COCO).unlink(missing_ok=True)  # better none than one that contradicts the masks
            raise
    return done


def begun_smears(
    synthesizer: Synthesizer,
    folder: str | os.PathLike[str],
    seed: int,
    shape: tuple[int, int],
    style: int | None,
    shares: np.ndarray | None,
) -> list[dict[str, Any]]:
    """Give what is listed of a set that was begun in a folder, as `write_smears` goes on with it.

    Raises
    ------
    ValueError
        If seed, shape or style are not what is allowed, or the folder holds anything else.
    """
    return begun(Path(folder), _head(synthesizer, seed, shape, style, shares), "smears")


def _head(
    synthesizer: Synthesizer, seed: int, shape: tuple[int, int], style: int | None, shares: np.ndarray | None
) -> dict[str, Any]:
    """Give what decides a set, as its manifest has it."""
    from .io.images import MOST_PIXELS

    style = synthesizer.styles.check(style)
    settings = {"seed": whole_seed(seed), "shape": list(whole_shape(shape)), "style": style}
    height, width = settings["shape"]
    if height * width > MOST_PIXELS:
        raise ValueError(
            f"shape is {height}×{width} px; allowed are {MOST_PIXELS:,} px in all, as in a smear that is read"
        )
    unseen = [] if shares is None else np.flatnonzero((shares > 0) & ~synthesizer.styles.class_shares.any(axis=0))
    if len(unseen):
        raise ValueError(f"classes asks for class {unseen[0]}, of which this painter has seen no cell")
    mix = {} if shares is None else {"classes": shares.tolist()}
    return {"model": synthesizer.about["identity"], **settings, **mix}


def _whole_count(count: Any) -> int:
    number = whole(count)
    if number is None or number < 1:
        raise ValueError(f"count={count!r}: a whole number of 1 or more is needed")
    return number


def _name(number: int) -> str:
    return f"{number:05d}"


def _write_some(
    numbers: Sequence[int],
    synthesizer: Synthesizer,
    folder: Path,
    seed: int,
    shape: tuple[int, int],
    style: int | None,
    shares: np.ndarray | None,
) -> list[dict[str, Any]]:
    from .io import write_smear

    written = []
    with memory_kept(), warnings.catch_warnings():
        warnings.simplefilter("ignore", CrowdedWarning)  # said once, for the whole set
        for k in numbers:
            smear, facts = synthesizer.make(np.random.default_rng([seed, k]), shape, style, None, _name(k), shares)
            write_smear(folder, smear)
            written.append({"name": smear.name, "seed": [seed, k], **facts})
    return written


def _write_coco(
    synthesizer: Synthesizer,
    folder: Path,
    done: list[dict[str, Any]],
    shape: tuple[int, int],
    style: int | None,
    shares: np.ndarray | None,
) -> None:
    from .io import read_folder, write_coco

    classes = {entry["name"]: entry.get("classes") for entry in done}
    for path in (*(folder / "images").glob("[!.]*.png"), *(folder / "instances").glob("[!.]*.png")):
        if path.stem in classes:
            continue
        if not path.stem.isdecimal() or path.stem != _name(int(path.stem)):
            raise ValueError(f"{path}: is no smear of this set; move it, and go on with the same command")
        path.unlink()  # of a longer set whose writing was stopped before they were listed
    smears = read_folder(folder)
    several = synthesizer.config.cell_classes > 1
    names = synthesizer.about["data"].get("class_names", RED_CELLS)
    if synthesizer.layout.config.overlap:
        write_json(folder / _COCO, _amodal(synthesizer, folder, done, shape, style, shares, names), indent=None)
    elif several:
        classed = (replace(smear, classes=np.array(classes[smear.name], dtype=np.int64)) for smear in smears)
        write_coco(folder / _COCO, classed, names)
    else:
        write_coco(folder / _COCO, smears, names)


def _amodal(
    synthesizer: Synthesizer,
    folder: Path,
    done: list[dict[str, Any]],
    shape: tuple[int, int],
    style: int | None,
    shares: np.ndarray | None,
    class_names: Sequence[str],
) -> dict[str, Any]:
    """Describe cells that may overlap with what is hidden of them; masks are drawn again for it.

    Raises
    ------
    ValueError
        If one comes out otherwise than it is stored: by another layout or another version of a library.
    """
    from .io import read_instances

    written = []
    for entry in done:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CrowdedWarning)
            mask = synthesizer.draw_cells(np.random.default_rng(entry["seed"]), shape, shares=shares, style=style)
        path = folder / "instances" / f"{entry['name']}.png"
        if not np.array_equal(mask.instances, read_instances(path)):
            raise ValueError(
                f"{path}: this synthesizer draws another mask from its seed, by another layout or another version of a "
                "library, so that nothing can be said of hidden parts; write to another folder"
            )
        cells = amodal_annotations(mask)
        for cell, kind in zip(cells, entry.get("classes", ()), strict=False):
            cell["category_id"] = kind + 1
        written.append({"name": entry["name"], "cells": cells})
    return amodal_coco(written, shape, class_names)
