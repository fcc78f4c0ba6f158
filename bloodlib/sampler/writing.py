"""Write many masks, on as many workers as wanted."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from tqdm import tqdm

from .._files import MANIFEST, alone_in, begun, write_json
from .mask import CrowdedWarning, Mask
from .requested import whole_count, whole_seed, whole_shape

if TYPE_CHECKING:
    from .masks import MaskGenerator

_CHUNKS, _LARGEST = 8, 16  # chunks for each worker, so that all end together; masks in one, so that progress shows


def write_masks(
    masks: MaskGenerator,
    folder: str | os.PathLike[str],
    count: int,
    seed: int,
    shape: tuple[int, int] | None = None,
    workers: int | None = None,
    progress: bool = False,
) -> None:
    """Write masks; see `MaskGenerator.write`."""
    folder, count, seed = Path(folder), whole_count(count), whole_seed(seed)
    shape = whole_shape(masks.config.shape if shape is None else shape)
    head = {"seed": seed, "shape": list(shape), "generator": masks.digest()}
    check = partial(begun_masks, folder, count, **head)
    size = max(1, min(_LARGEST, count // (_CHUNKS * effective_n_jobs(workers))))
    chunks = [range(first, min(first + size, count)) for first in range(0, count, size)]
    run = Parallel(n_jobs=workers, return_as="generator")
    written: list[dict[str, Any]] = []
    shown = {"total": count, "desc": "masks", "unit": "mask", "disable": not progress}
    with alone_in(folder, check) as before, tqdm(**shown) as bar:
        write_json(folder / MANIFEST, {**head, "masks": before})  # so that a call that is stopped can be made again
        for done in run(delayed(_write_some)(masks, folder, chunk, seed, shape) for chunk in chunks):
            written.extend(done)
            bar.update(len(done))
        if masks.config.overlap:
            write_json(folder / "coco.json", amodal_coco(written, shape), indent=None)
        facts = [{name: one[name] for name in ("name", "requested", "placed")} for one in written]
        write_json(folder / MANIFEST, {**head, "masks": facts})
    warn_of_crowded(facts, "masks")


def warn_of_crowded(listed: Sequence[dict[str, Any]], what: str) -> None:
    """Warn, once for a set, of those that hold fewer cells than were drawn for them, as its manifest lists them."""
    crowded = [one["name"] for one in listed if one["placed"] < one["requested"]]
    if crowded:
        warnings.warn(
            f"{len(crowded)} of {len(listed)} {what} are full and hold fewer cells than were drawn for them, such as "
            f"{crowded[0]}; manifest.json gives requested and placed for each",
            CrowdedWarning,
            stacklevel=4,
        )


def begun_masks(
    folder: Path, count: int, seed: int, shape: Sequence[int] | None = None, generator: str | None = None
) -> list[dict[str, Any]]:
    """Give what is listed of masks that were begun in a folder, for the same call to make all of them again.

    Parameters
    ----------
    folder : Path
    count, seed : int
    shape : (height, width), optional
        In pixels; any if not given.
    generator : str, optional
        As `MaskGenerator.digest` has it; any if not given.

    Raises
    ------
    ValueError
        If the folder holds anything but masks of this seed, shape and generator, or more of them than are to be made.
    """
    known = {"seed": seed, "shape": None if shape is None else list(shape), "generator": generator}
    unknown = [name for name, value in known.items() if value is None]
    before = begun(folder, {k: v for k, v in known.items() if v is not None}, "masks", unknown=unknown)
    made = {f"{number:05d}.png" for number in range(count)}
    others = sorted(path.name for path in (folder / "instances").glob("[!.]*") if path.name not in made)
    if others:
        raise ValueError(
            f"{folder}: holds instances/{others[0]}, which {count} masks do not replace; ask for as many as before, "
            "or write to another folder"
        )
    return before


def _write_some(
    masks: MaskGenerator, folder: Path, numbers: range, seed: int, shape: tuple[int, int]
) -> list[dict[str, Any]]:
    from ..io import write_image, write_instances

    done = []
    for number in numbers:
        mask = masks.draw(np.random.default_rng([seed, number]), shape)
        name = f"{number:05d}"
        write_instances(folder / "instances" / f"{name}.png", mask.instances)
        write_image(folder / "masks" / f"{name}.png", mask.colours)
        cells = amodal_annotations(mask) if masks.config.overlap else None
        done.append({"name": name, "requested": mask.requested, "placed": mask.placed, "cells": cells})
    return done


def amodal_annotations(mask: Mask) -> list[dict[str, Any]]:
    """Describe every cell of a mask, whole and as far as it is seen, in the words of COCO.

    Parameters
    ----------
    mask : Mask

    Returns
    -------
    list of dict
        Of each cell, from the lowest to the topmost: ``segmentation``, ``bbox``, ``area`` (all of it that
        lies in the image, also what others hide), ``visible_mask`` (what is seen), both as run
        lengths, ``occlude_rate`` (hidden share) and ``instance`` (its id in the mask).

    Notes
    -----
    ``visible_mask`` and ``occlude_rate`` are the names of COCOA (Zhu et al. 2017, Semantic amodal
    segmentation). A program that knows none of them reads whole cells; one that paints them in
    their order gets the instance mask.
    """
    from ..io.coco import run_lengths

    height, width = mask.instances.shape
    image = np.zeros(mask.instances.shape, dtype=bool)
    cells = []
    for k, (row, col, shape) in enumerate(mask.amodal, start=1):
        top, left = max(row, 0), max(col, 0)
        inside = shape[top - row : height - row, left - col : width - col]
        rows, cols = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
        top, left = top + int(rows[0]), left + int(cols[0])
        cell = inside[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
        box = (slice(top, top + cell.shape[0]), slice(left, left + cell.shape[1]))
        image[box] = cell
        area, seen = int(np.count_nonzero(cell)), int(np.count_nonzero(mask.instances[box] == k))
        cells.append(
            {
                "instance": k,
                "bbox": [left, top, cell.shape[1], cell.shape[0]],
                "area": area,
                "iscrowd": 0,
                "segmentation": run_lengths(image, True, box),
                "visible_mask": run_lengths(mask.instances, k, box),
                "occlude_rate": round(1 - seen / area, 4),
            }
        )
        image[box] = False
    return cells


def amodal_coco(
    written: list[dict[str, Any]], shape: tuple[int, int], class_names: Sequence[str] = ("red blood cell",)
) -> dict[str, Any]:
    """Gather annotations of many masks as one COCO file.

    Parameters
    ----------
    written : list of dict
        Of each mask ``name`` and ``cells``, as `amodal_annotations` gives them, which may have a ``category_id``.
    shape : (height, width)
        In pixels, of all masks.
    class_names : sequence of str
        Category ``k + 1`` is the name of class ``k``.
    """
    images, annotations = [], []
    for number, one in enumerate(written, start=1):
        images.append({"id": number, "file_name": f"{one['name']}.png", "width": shape[1], "height": shape[0]})
        for cell in one["cells"]:
            annotations.append({"id": len(annotations) + 1, "image_id": number, "category_id": 1, **cell})
    categories = [{"id": k, "name": str(name)} for k, name in enumerate(class_names, start=1)]
    return {"images": images, "annotations": annotations, "categories": categories}
