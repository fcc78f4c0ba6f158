"""How well trimaps of white cells are found, and what a translation there and back hides."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import permutations
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from ..gan.cyclegan import planes_trimap, trimap_planes
from ..gan.cyclegan_painting import CellPainter, to_square
from ..io.trimaps import BACKGROUND, CYTOPLASM, NUCLEUS
from .metrics import dice

PARTS = ("cytoplasm", "nucleus", "whole cell")
Pair = tuple[np.ndarray, np.ndarray]  # picture uint8 (H, W, 3), trimap uint8 (H, W)


def trimap_dice(predicted: np.ndarray, target: np.ndarray) -> dict[str, float]:
    """Measure Dice of cytoplasm, nucleus and both together; a part that neither mask has scores 1.

    Parameters
    ----------
    predicted, target : uint8 (H, W)
        0 background, 1 cytoplasm, 2 nucleus.

    Examples
    --------
    >>> trimap_dice(np.array([[0, 1, 2, 2]]), np.array([[0, 1, 1, 2]]))["whole cell"]
    1.0
    """
    masks = [(m == CYTOPLASM, m == NUCLEUS, m != BACKGROUND) for m in (np.asarray(predicted), np.asarray(target))]
    return {name: dice(a, b) for name, a, b in zip(PARTS, *masks, strict=True)}


def summary(scores: Sequence[Mapping[str, float]], rng: np.random.Generator, draws: int = 2000) -> dict[str, Any]:
    """Give mean and 95 % interval of each score over cells, the cells drawn again `draws` times.

    Parameters
    ----------
    scores : sequence of mapping
        One per cell, of equal keys.
    rng : numpy.random.Generator
    draws : int

    Returns
    -------
    dict
        Name -> ``mean``, ``low``, ``high``.
    """
    found = {}
    for name in scores[0]:
        values = np.array([score[name] for score in scores])
        means = values[rng.integers(len(values), size=(draws, len(values)))].mean(axis=1)
        low, high = np.quantile(means, [0.025, 0.975])
        found[name] = {
            "mean": round(float(values.mean()), 4),
            "low": round(float(low), 4),
            "high": round(float(high), 4),
        }
    return found


def exchanged_classes(predicted: Sequence[np.ndarray], target: Sequence[np.ndarray]) -> dict[str, Any]:
    """Ask whether classes were exchanged: unpaired training may call the nucleus background and never be wrong.

    Returns
    -------
    dict
        ``as found``: mean Dice over the three classes and all cells; ``best``: the same after the exchange of
        classes that makes it largest; ``order``: that exchange, (0, 1, 2) where none is better.
    """

    def mean(order: tuple[int, ...]) -> float:
        lookup = np.array(order)
        return float(
            np.mean([[dice(lookup[p] == k, t == k) for k in range(3)] for p, t in zip(predicted, target, strict=True)])
        )

    scores = {order: mean(order) for order in permutations(range(3))}
    best = max(scores, key=scores.__getitem__)
    return {"as found": round(scores[0, 1, 2], 4), "best": round(scores[best], 4), "order": list(best)}


def darkness_order(pairs: Sequence[Pair]) -> float:
    """Give the share of cells whose nucleus is darker than their cytoplasm, and that darker than the background.

    Of real cells nearly all; where a painter has inverted the colours, none. Cells that lack a part do not count.
    """
    ordered = []
    for image, trimap in pairs:
        grey = image.mean(axis=2)
        if all((trimap == k).any() for k in range(3)):
            light = [grey[trimap == k].mean() for k in (NUCLEUS, CYTOPLASM, BACKGROUND)]
            ordered.append(light[0] < light[1] < light[2])
    return round(float(np.mean(ordered)), 4)


def hidden_in_trimap(painter: CellPainter, images: Sequence[np.ndarray], rng: np.random.Generator) -> dict[str, float]:
    """Reconstruct pictures from trimaps that were tampered with: a cycle that hides its picture there then fails.

    Parameters
    ----------
    painter : CellPainter
    images : sequence of uint8 (H, W, 3)
    rng : numpy.random.Generator

    Returns
    -------
    dict of str to float
        Mean |difference| in grey levels between the picture and what is painted on its trimap: ``as it is``,
        ``three classes only`` (what a PNG of the trimap keeps), ``blurred`` (σ of 1 px), ``noise`` (σ of 5 % of
        the range); and to ``another picture``, painted on no trimap at all, for scale.

    Notes
    -----
    Chu, Zhmoginov & Sandler 2017: a cycle loss makes the generators write the picture into a few levels of the
    mask. What a reader uses are trimaps of three classes, so the second number is the one that counts.
    """
    side = painter.config.side_px
    seen = [to_square(image, side) for image in images]
    tampered: dict[str, Callable[[Tensor], Tensor]] = {
        "as it is": lambda x: x,
        "three classes only": lambda x: trimap_planes(planes_trimap(x, painter.config.planes), painter.config.planes),
        "blurred": _blurred,
        "noise": lambda x: x + 0.1 * torch.from_numpy(rng.standard_normal(x.shape, dtype=np.float32)),
    }
    planes = [painter.planes(image) for image in images]
    found = {
        name: float(np.mean([_apart(painter.from_planes(change(x)), y) for x, y in zip(planes, seen, strict=True)]))
        for name, change in tampered.items()
    }
    found["another picture"] = float(np.mean([_apart(a, b) for a, b in zip(seen, [*seen[1:], seen[0]], strict=True)]))
    return {name: round(value, 2) for name, value in found.items()}


def hidden_in_picture(
    painter: CellPainter, trimaps: Sequence[np.ndarray], pairs: Sequence[Pair], rng: np.random.Generator
) -> dict[str, dict[str, float]]:
    """Find trimaps again in their paintings, and in real pictures, both tampered with.

    Parameters
    ----------
    painter : CellPainter
    trimaps : sequence of uint8 (H, W)
        Painted, then looked for in the painting.
    pairs : sequence of (picture, trimap)
        Real ones, looked for as well: what they lose by the tampering is what is lost without anything hidden.

    Returns
    -------
    dict
        ``as it is``, ``blurred`` (σ of 1 px) and ``noise`` (σ of 6 grey levels) -> Dice of the whole cell in
        ``painted`` and ``real`` pictures.
    """
    changes: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "as it is": lambda image: image,
        "blurred": lambda image: cv2.GaussianBlur(image, (0, 0), 1.0),
        "noise": lambda image: np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8),
    }
    painted = [(painter.paint(trimap), trimap) for trimap in trimaps]

    def whole(cells: Sequence[Pair], change: Callable[[np.ndarray], np.ndarray]) -> float:
        scores = [trimap_dice(painter.find(change(image)), trimap)["whole cell"] for image, trimap in cells]
        return round(float(np.mean(scores)), 4)

    return {name: {"painted": whole(painted, f), "real": whole(pairs, f)} for name, f in changes.items()}


def _apart(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(float) - b).mean())


def _blurred(planes: Tensor) -> Tensor:
    array = planes.permute(1, 2, 0).numpy()  # (3, H, W) -> (H, W, 3)
    return torch.from_numpy(cv2.GaussianBlur(array, (0, 0), 1.0)).permute(2, 0, 1)
