"""How good painted smears are: colours, memorised training images, and whether the mask is obeyed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from ..sampler.shapes import ShapeConfig, contact_share
from ..smears import Smear
from ..statistics import Table1, measure_cells
from . import metrics
from .arms import Samples, plan
from .config import EvaluatorConfig, preset
from .tiles import Tile, cut_tiles

if TYPE_CHECKING:
    from ..synthesis import Synthesizer
    from .training import Evaluator

NEAREST_PX = 64  # ours: a cell and what is around it
SHRINK = 2  # ours: tiles are compared at half size
VIEWS = 8  # flips and quarter turns, as the painter's training images are shown


def repaint_all(synthesizer: Synthesizer, smears: Sequence[Smear], rng: np.random.Generator) -> list[Smear]:
    """Paint the mask of every real smear in that smear's own colours: what differs is the painter alone."""
    return [replace(s, image=synthesizer.repaint(s, rng), points=None) for s in smears]


def sample_all(synthesizer: Synthesizer, count: int, rng: np.random.Generator, shape: tuple[int, int]) -> list[Smear]:
    """Sample whole smears: own masks, drawn styles."""
    return [synthesizer.sample(rng, shape, name=f"sampled {k}") for k in range(count)]


@dataclass(frozen=True)
class Colours:
    """Hold what is measured on colours of a set, each in red, green and blue (0 to 255).

    ``cell`` and ``cell_std`` are the paper's Table 1 (over cells, of their mean colour); ``background``
    and ``background_std`` the same over smears; ``cell_texture`` and ``background_texture`` the mean standard
    deviation of pixels within a cell, and within the background of a smear.
    """

    cell: tuple[float, float, float]
    cell_std: tuple[float, float, float]
    background: tuple[float, float, float]
    background_std: tuple[float, float, float]
    cell_texture: tuple[float, float, float]
    background_texture: tuple[float, float, float]

    def to_dict(self) -> dict[str, list[float]]:
        """Give the fields as JSON can hold them, to a hundredth of a grey level."""
        return {key: [round(x, 2) for x in value] for key, value in asdict(self).items()}


def colours(smears: Sequence[Smear]) -> Colours:
    """Measure the colours of smears that hold cells.

    Notes
    -----
    Pixels within 3 px of a cell are left out of the background, so that halos and blurred rims do not count.
    Book: chapter 07.
    """
    measured, grounds, spreads, inside = [], [], [], []
    for smear in smears:
        measured.append(measure_cells(smear.instances, smear.image))
        ids, area = smear.instances.ravel(), np.maximum(np.bincount(smear.instances.ravel()), 1)
        squares = [np.bincount(ids, weights=smear.image[..., c].ravel().astype(float) ** 2) / area for c in range(3)]
        variance = np.stack(squares, axis=1)[1:] - measured[-1].colour ** 2  # (n, 3)
        inside.append(np.sqrt(np.maximum(variance, 0)))
        far = cv2.dilate((smear.instances > 0).astype(np.uint8), np.ones((7, 7), np.uint8)) == 0
        if far.any():
            ground = smear.image[far].astype(float)  # (k, 3)
            grounds.append(ground.mean(axis=0))
            spreads.append(ground.std(axis=0))
    if not grounds:
        raise ValueError(f"{len(measured)} smears show no background farther than 3 px from a cell")
    table = Table1.of(measured)
    return Colours(
        cell=table.colour_mean,
        cell_std=table.colour_std,
        background=tuple(np.mean(grounds, axis=0).tolist()),
        background_std=tuple(np.std(grounds, axis=0).tolist()),
        cell_texture=tuple(np.concatenate(inside).mean(axis=0).tolist()),
        background_texture=tuple(np.mean(spreads, axis=0).tolist()),
    )


def size_spread(smears: Sequence[Smear]) -> dict[str, float]:
    """Measure how much the sizes of cells differ within a smear.

    Returns
    -------
    dict
        ``cells``; ``spread``: standard deviation of their equivalent diameters, as a share of the mean, averaged
        over smears; ``between``: standard deviation of the smears' mean diameters, as a share of the mean of all.

    Notes
    -----
    Whole cells that touch no other and are a quarter to two and a half times as large as the smear's median: no
    fragments, platelets or pairs.
    """
    count, spreads, means = 0, [], []
    for smear in smears:
        lone = measure_cells(smear.instances).complete & (contact_share(smear.instances) == 0)
        area = np.bincount(smear.instances.ravel(), minlength=len(lone) + 1)[1:][lone]
        middle = np.median(area) if len(area) else 0.0
        area = area[(area >= ShapeConfig.min_area * middle) & (area <= ShapeConfig.max_area * middle)]
        if len(area) > 1:
            diameter = 2 * np.sqrt(area / np.pi)
            count += len(area)
            spreads.append(diameter.std() / diameter.mean())
            means.append(diameter.mean())
    if not means:
        return {"cells": 0}
    between = float(np.std(means) / np.mean(means))
    return {"cells": count, "spread": round(float(np.mean(spreads)), 4), "between": round(between, 4)}


def nearest_distances(tiles: Sequence[Tile], training: Sequence[Smear]) -> np.ndarray:
    """Look for every tile in every training image, at every place, flipped and turned in all eight ways.

    Parameters
    ----------
    tiles : sequence of Tile
    training : sequence of Smear
        The painter's training smears.

    Returns
    -------
    float (n, 2)
        1 − correlation with the most similar place of the nearest training image, and of the second nearest image:
        0 is a copy (brightness and contrast aside), 1 is unlike.

    Notes
    -----
    Normalised cross-correlation of grey values at half size, by OpenCV's template matching. Book: chapter 07.
    """
    from ..gan.data import turned

    grey = [_small(smear.image) for smear in training]
    found = np.empty((len(tiles), len(grey)))
    for i, tile in enumerate(tiles):
        small = _small(tile.image)
        views = [np.ascontiguousarray(turned(small, view)) for view in range(VIEWS)]
        for j, image in enumerate(grey):
            best = max(cv2.matchTemplate(image, f, cv2.TM_CCOEFF_NORMED).max() for f in views)
            found[i, j] = 1 - min(float(best), 1.0)
        if small.std() < 1e-3:  # OpenCV calls a uniform tile a perfect match with everything
            found[i] = 1.0
    return np.sort(found, axis=1)[:, :2]


def _small(image: np.ndarray) -> np.ndarray:
    size = (image.shape[1] // SHRINK, image.shape[0] // SHRINK)
    return cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA).astype(np.float32)


def memorisation(
    painted: Sequence[Smear],
    held_out: Sequence[Smear],
    training: Sequence[Smear],
    rng: np.random.Generator,
    *,
    tiles: int = 60,
    side_px: int = NEAREST_PX,
) -> dict[str, Any]:
    """Compare how near painted tiles and held-out real tiles come to the training images.

    Parameters
    ----------
    painted, held_out, training : sequence of Smear
        The training images are those of the painter, the held-out ones real and of other slides.
    rng : numpy.random.Generator
    tiles : int
        Tiles of each kind, about evenly from all smears.
    side_px : int

    Returns
    -------
    dict
        ``painted`` and ``held_out`` (5, 50 and 95 % of the distance to the nearest training image), ``ratio`` (the
        same of painted distances over the median of held-out ones: copies are near 0), ``nearest_to_second`` (the
        medians of the distance to the nearest over that to the second nearest image, painted and held out: copies of
        *one* image are near 0), ``closer_than_5_percent`` (the share of painted tiles nearer than all but 5 % of
        held-out ones: 0.05 is expected without memory), ``tiles``, ``side_px``, ``views`` (that were looked for).

    Notes
    -----
    Smooth tiles correlate better with anything than sharp ones, so a soft painter looks nearer than it is; the
    second column is free of that. Book: chapter 07.
    """
    both = {}
    for kind, smears in (("held_out", list(held_out)), ("painted", list(painted))):
        cut = cut_tiles(smears, rng, -(-tiles // len(smears)), side_px, ink=kind == "held_out")
        both[kind] = nearest_distances([cut[k] for k in rng.permutation(len(cut))[:tiles]], training)
    quantiles = lambda x: [round(float(q), 4) for q in np.quantile(x, (0.05, 0.5, 0.95))]  # noqa: E731
    near, far = both["painted"][:, 0], both["held_out"][:, 0]
    return {
        "painted": quantiles(near),
        "held_out": quantiles(far),
        "ratio": quantiles(near / max(float(np.median(far)), 1e-6)),
        "nearest_to_second": {
            kind: round(float(np.median(d[:, 0] / np.maximum(d[:, 1], 1e-6))), 4) for kind, d in both.items()
        },
        "closer_than_5_percent": round(float(np.mean(near < np.quantile(far, 0.05))), 4),
        "tiles": {kind: len(distances) for kind, distances in both.items()},
        "side_px": side_px,
        "views": VIEWS,
    }


def segmenter_config(**overrides: Any) -> EvaluatorConfig:
    """Give the small contour FCN that judges mask fidelity: width ⅛, 400 steps, no augmentation."""
    chosen = {"width": 0.125, "steps": 400, "checkpoints": 1, "crop_px": 192, "batch": 2, "precision": "float32"}
    return preset("laptop", "contour_fcn", **{**chosen, **overrides})


def train_segmenter(real: Sequence[Smear], seed: int = 0, progress: bool = False, **overrides: Any) -> Evaluator:
    """Train a small segmenter on real smears alone; overrides are fields of its `EvaluatorConfig`."""
    from .training import train

    samples = Samples(plan("RD", len(real)), real, (), seed)
    return train(samples, segmenter_config(**overrides), seed, accelerator="cpu", progress=progress)


def mask_fidelity(segmenter: Evaluator, smears: Sequence[Smear]) -> dict[str, Any]:
    """Measure how well a segmenter finds the cells of smears where their masks say.

    Returns
    -------
    dict
        ``dice`` (foreground) and ``f1_50`` (instances matched at IoU 0.5), means over smears, with ``dice_std`` and
        ``f1_50_std`` over smears; ``smears``, ``cells``.

    Notes
    -----
    It says something only beside the score on real smears with the same masks, and beside one with the wrong
    masks. A painted score *above* the real one is no merit: painted cells are then easier than real ones.
    Book: chapter 07.
    """
    rows = []
    for smear in smears:
        found = segmenter.predict(smear.image).instances
        rows.append((metrics.dice(found, smear.instances), metrics.match_instances(found, smear.instances).f1))
    mean, std = np.mean(rows, axis=0), np.std(rows, axis=0)
    return {
        "dice": round(float(mean[0]), 4),
        "f1_50": round(float(mean[1]), 4),
        "dice_std": round(float(std[0]), 4),
        "f1_50_std": round(float(std[1]), 4),
        "smears": len(rows),
        "cells": int(sum(s.count for s in smears)),
    }


def wrong_masks(smears: Sequence[Smear]) -> list[Smear]:
    """Pair every image with the mask of the next smear: what is found where no cell was promised."""
    others = [*smears[1:], smears[0]]
    return [
        replace(s, instances=other.instances, classes=other.classes, points=None)
        for s, other in zip(smears, others, strict=True)
    ]
