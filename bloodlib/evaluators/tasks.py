"""The three tasks of Table 2: what each network is given, what it predicts, how that is scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor, nn

from ..smears import Smear
from . import contours, detector, metrics
from .backbone import load_backbone
from .config import EvaluatorConfig
from .fcn import ContourFcn, Fcn8s, soft_dice_loss

MAIN_SCORE = {"fcn8s": "dice", "faster_rcnn": "AP50", "contour_fcn": "AP50"}
BASELINE = "derivation without points"  # the rule that stands beside the networks
TITLES = {"fcn8s": "FCN-8s", "faster_rcnn": "Faster R-CNN", "contour_fcn": "objectness + contour FCN"}
BORDER_PX = 2  # experts set no point in cells cut by the image's border


@dataclass(frozen=True, eq=False)
class Prediction:
    """Hold what a network says about one image: boxes and scores, and instances where it makes them."""

    boxes: np.ndarray  # float32 (n, 4), x0, y0, x1, y1
    scores: np.ndarray  # float (n,)
    instances: np.ndarray | None = None  # int32 (H, W); for FCN-8s the components of its foreground


def build(config: EvaluatorConfig, start_from: str | Path | None = None) -> nn.Module:
    """Make the network of a configuration, from torch's current random state or, for a detector, a backbone's file."""
    if config.task == "faster_rcnn":
        model = detector.faster_rcnn(config)
        if config.start == "phantom":
            if start_from is None:
                raise ValueError("start is 'phantom', so start_from must name the file of `backbone.phantom_backbone`")
            load_backbone(model, start_from)
        return model
    network = Fcn8s if config.task == "fcn8s" else ContourFcn
    return network(config.width, config.norm, config.dropout, config.score_maps)


def _to_tensor(image: np.ndarray, device: torch.device) -> Tensor:
    """Bring uint8 (H, W, 3) to float (3, H, W) in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))).to(device).float() / 255


def loss(
    model: nn.Module,
    batch: Sequence[tuple[np.ndarray, np.ndarray]],
    config: EvaluatorConfig,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Compute the training loss of a batch of (image, instances)."""
    images = [_to_tensor(image, device) for image, _ in batch]
    if config.task == "faster_rcnn":
        targets = [{k: v.to(device) for k, v in detector.box_target(mask).items()} for _, mask in batch]
        return sum(model(images, targets).values())
    half = config.contour_half_px
    if config.task == "fcn8s":
        targets = [(mask > 0)[None] for _, mask in batch]
    else:
        targets = [contours.contour_targets(mask, half) for _, mask in batch]
    target = torch.from_numpy(np.stack(targets)).to(device).float()  # N × (K, H, W) -> (N, K, H, W)
    x = torch.stack(images).contiguous(memory_format=torch.channels_last) * 2 - 1  # N × (3, H, W) -> (N, 3, H, W)
    return soft_dice_loss(model(x), target)


@torch.no_grad()
def predict(
    model: nn.Module, image: np.ndarray, config: EvaluatorConfig, device: torch.device | str = "cpu"
) -> Prediction:
    """Predict on one whole image uint8 (H, W, 3)."""
    x = _to_tensor(image, device)
    if config.task == "faster_rcnn":
        found = model([x])[0]
        return Prediction(found["boxes"].float().cpu().numpy(), found["scores"].float().cpu().numpy())
    logits = model(x[None].contiguous(memory_format=torch.channels_last) * 2 - 1)[0]  # (1, K, H, W) -> (K, H, W)
    probability = logits.sigmoid().cpu().numpy()
    if config.task == "fcn8s":
        instances, count = ndimage.label(probability[0] >= 0.5, output=np.int32)
        scores = np.asarray(ndimage.mean(probability[0], instances, np.arange(1, count + 1))) if count else np.zeros(0)
    else:
        instances, scores = contours.blobs(*probability, config.contour_half_px, config.least_area_px)
    return Prediction(metrics.instance_boxes(instances), scores, instances)


def score_image(prediction: Prediction, smear: Smear, config: EvaluatorConfig) -> dict:
    """Score one prediction against its smear: the numbers that a stored run keeps per image.

    Returns
    -------
    dict
        ``name, group, cells, found`` (predictions counted) and by task ``dice``; ``AP50, AP, f1``
        (boxes, IoU 0.5; f1 from `score_threshold` on); ``mask_f1`` where there are instances;
        where experts set points ``point_f1``, ``points`` (their number) and ``found_off_border`` (predictions
        counted, without those at the border that no point is in: experts leave cut cells out).
    """
    truth = metrics.instance_boxes(smear.instances)
    row: dict = {"name": smear.name, "group": smear.group, "cells": smear.count}
    kept = prediction.boxes
    if config.task == "faster_rcnn":
        kept = prediction.boxes[prediction.scores >= config.score_threshold]
    row["found"] = len(kept)
    if config.task == "fcn8s":
        row["dice"] = metrics.dice(prediction.instances, smear.instances)
    else:
        precision = metrics.average_precision([(prediction.boxes, prediction.scores)], [truth])
        row |= {key: precision[key] for key in ("AP50", "AP")}
        row["f1"] = metrics.match_boxes(kept, truth).f1
    if config.task == "contour_fcn":
        row["mask_f1"] = metrics.match_instances(prediction.instances, smear.instances).f1
    if smear.points is not None:
        found = kept if prediction.instances is None else prediction.instances
        pointed = metrics.point_f1(found, smear.points, BORDER_PX, smear.instances.shape)
        row |= {"point_f1": pointed["f1"], "points": len(smear.points)}
        row["found_off_border"] = pointed["tp"] + pointed["fp"]
    return {key: round(value, 5) if isinstance(value, float) else value for key, value in row.items()}


def score_set(
    predictions: Sequence[Prediction], smears: Sequence[Smear], config: EvaluatorConfig
) -> tuple[dict[str, float], list[dict]]:
    """Score the predictions of a set: the table's numbers, and those of each image.

    Returns
    -------
    scores : dict
        Dice is the mean over images, with ``pooled_dice`` beside it; AP50 and AP are over all boxes
        of the set at once; ``count_mae`` (against the masks) and ``point_count_mae`` (against the points,
        where experts set them) in cells per image; the rest are means over images.
    per_image : list of dict
    """
    rows = [score_image(p, s, config) for p, s in zip(predictions, smears, strict=True)]
    scores: dict[str, float] = {}
    if config.task == "fcn8s":
        scores["dice"] = float(np.mean([row["dice"] for row in rows]))
        scores["pooled_dice"] = metrics.pooled_dice([p.instances for p in predictions], [s.instances for s in smears])
    else:
        boxes = [metrics.instance_boxes(s.instances) for s in smears]
        scores |= metrics.average_precision([(p.boxes, p.scores) for p in predictions], boxes)
    if config.task == "contour_fcn":
        masks = metrics.average_precision([(p.instances, p.scores) for p in predictions], [s.instances for s in smears])
        scores |= {"mask_AP50": masks["AP50"], "mask_AP": masks["AP"]}
    for key in ("f1", "mask_f1", "point_f1"):
        if all(key in row for row in rows):
            scores[key] = float(np.mean([row[key] for row in rows]))
    for name, found, expected in (("count_mae", "found", "cells"), ("point_count_mae", "found_off_border", "points")):
        if all(expected in row for row in rows):
            scores[name] = metrics.count_error([row[found] for row in rows], [row[expected] for row in rows])["mae"]
    return {key: round(value, 5) for key, value in scores.items()}, rows
