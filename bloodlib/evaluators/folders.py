"""Score a folder of instance masks against another."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..io import read_instances
from ..io.images import name_of
from .metrics import average_precision, count_error, dice_of, match_instances, overlap

ENDINGS = (".png", ".tif", ".tiff", ".bmp")


def evaluate_folders(predictions: str | os.PathLike[str], targets: str | os.PathLike[str]) -> dict[str, float]:
    """Compare instance masks of the same names in two folders.

    Parameters
    ----------
    predictions, targets : path
        Folders of label images, or folders that hold them in ``instances/``.

    Returns
    -------
    dict
        ``images``; ``Dice`` (cells against background, mean over images) and ``Dice pooled``; ``F1`` at
        IoU 0.5 over all instances; ``AP50`` and ``AP`` of the masks; ``count error`` (mean absolute).

    Raises
    ------
    ValueError
        If the names of the two folders do not pair up or two masks of one have the same, a pair differs in size, or a
        target holds no cell; a prediction may hold none.

    Notes
    -----
    Instance masks carry no confidence, so every instance has the score 1 and AP is that of one
    operating point: it lies below the AP of the detector that made the masks.
    """
    predicted, expected = _masks_of(predictions), _masks_of(targets)
    unpaired = sorted(predicted.keys() ^ expected.keys())
    if unpaired:
        raise ValueError(
            f"{predictions} and {targets}: {len(unpaired)} masks are in one of them only, such as {unpaired[0]!r}; "
            "the same names are needed in both"
        )
    overlaps, matchings, counts = [], [], []

    waiting: list[np.ndarray] = []  # the target of the prediction that was asked for last

    def each_prediction() -> Iterator[tuple[np.ndarray, np.ndarray]]:  # one at a time: hundreds do not fit into memory
        for name in sorted(expected):
            found, truth = read_instances(predicted[name], empty=True), read_instances(expected[name])
            if found.shape != truth.shape:
                raise ValueError(
                    f"{predicted[name]}: is {found.shape[1]}×{found.shape[0]} but its target is "
                    f"{truth.shape[1]}×{truth.shape[0]}; were they resized apart?"
                )
            overlaps.append(overlap(found, truth))
            matchings.append(match_instances(found, truth))
            counts.append((int(found.max()), int(truth.max())))
            waiting.append(truth)
            yield found, np.ones(counts[-1][0])

    def each_target() -> Iterator[np.ndarray]:
        while waiting:
            yield waiting.pop()

    precision = average_precision(each_prediction(), each_target())
    tp, fp, fn = (sum(getattr(m, field) for m in matchings) for field in ("tp", "fp", "fn"))
    return {
        "images": len(counts),
        "Dice": float(np.mean([dice_of(one) for one in overlaps])),
        "Dice pooled": dice_of(np.sum(overlaps, axis=0)),
        "F1": 2 * tp / max(2 * tp + fp + fn, 1),
        "AP50": precision["AP50"],
        "AP": precision["AP"],
        "count error": count_error(*zip(*counts, strict=True))["mae"],
    }


def _masks_of(folder: str | os.PathLike[str]) -> dict[str, Path]:
    """Find label images by name; a folder of smears holds them in instances/."""
    folder = Path(folder)
    inner = folder / "instances"
    paths: dict[str, Path] = {}
    for path in sorted((inner if inner.is_dir() else folder).glob("*")):
        if path.suffix.lower() in ENDINGS and not path.name.startswith("."):
            if (name := name_of(path)) in paths:
                raise ValueError(f"{path}: has the same name as {paths[name].name}; remove one of them")
            paths[name] = path
    if not paths:
        raise FileNotFoundError(f"{folder}: no label images ({', '.join(ENDINGS)}) here or in instances/")
    return paths
