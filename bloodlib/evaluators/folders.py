"""Score a folder of instance masks against another."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ..io import read_instances
from .metrics import average_precision, count_error, dice, match_instances, pooled_dice

ENDINGS = (".png", ".tif", ".tiff")


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
        If the names of the two folders do not pair up, a pair differs in size, or a target holds no cell;
        a prediction may hold none.

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
    names = sorted(expected)
    pairs = [(read_instances(predicted[name], empty=True), read_instances(expected[name])) for name in names]
    for name, (found, truth) in zip(names, pairs, strict=True):
        if found.shape != truth.shape:
            raise ValueError(
                f"{predicted[name]}: is {found.shape[1]}×{found.shape[0]} but its target is "
                f"{truth.shape[1]}×{truth.shape[0]}; were they resized apart?"
            )
    matchings = [match_instances(found, truth) for found, truth in pairs]
    tp, fp, fn = (sum(getattr(m, field) for m in matchings) for field in ("tp", "fp", "fn"))
    counts = [(int(found.max()), int(truth.max())) for found, truth in pairs]
    precision = average_precision(
        [(found, np.ones(n)) for (found, _), (n, _) in zip(pairs, counts, strict=True)], [truth for _, truth in pairs]
    )
    foreground = [(found > 0, truth > 0) for found, truth in pairs]
    return {
        "images": len(pairs),
        "Dice": float(np.mean([dice(*pair) for pair in foreground])),
        "Dice pooled": pooled_dice(*zip(*foreground, strict=True)),
        "F1": 2 * tp / max(2 * tp + fp + fn, 1),
        "AP50": precision["AP50"],
        "AP": precision["AP"],
        "count error": count_error(*zip(*counts, strict=True))["mae"],
    }


def _masks_of(folder: str | os.PathLike[str]) -> dict[str, Path]:
    """Find label images by name; a folder of smears holds them in instances/."""
    folder = Path(folder)
    inner = folder / "instances"
    paths = {p.stem: p for p in (inner if inner.is_dir() else folder).glob("*") if p.suffix.lower() in ENDINGS}
    if not paths:
        raise FileNotFoundError(f"{folder}: no label images ({', '.join(ENDINGS)}) here or in instances/")
    return paths
