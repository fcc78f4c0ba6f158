"""Draw what an evaluator found, missed and made up into a copy of the image."""

from __future__ import annotations

import cv2
import numpy as np

from .metrics import instance_boxes, match_boxes
from .tasks import Prediction

# Okabe & Ito's colours, dark and bright enough on a pale smear.
FOUND, MISSED, FALSE, MERGED = (0, 158, 115), (213, 94, 0), (0, 90, 200), (170, 60, 150)


def mark_boxes(image: np.ndarray, prediction: Prediction, truth: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """Draw found cells as thin green boxes, missed ones orange and crossed, false ones thick and blue, merged purple.

    Parameters
    ----------
    image : uint8 (H, W, 3)
    prediction : Prediction
        Boxes from `threshold` on are drawn.
    truth : int32 (H, W)
        Instance mask; its boxes are matched at IoU 0.5.
    threshold : float

    Returns
    -------
    uint8 (H, W, 3)

    Notes
    -----
    A box that matches no cell but holds the centres of two or more is merged; any other that matches
    none is false.
    """
    boxes, targets = prediction.boxes[prediction.scores >= threshold], instance_boxes(truth)
    pairs = match_boxes(boxes, targets).pairs
    hit, met = {p for p, _ in pairs}, {t for _, t in pairs}
    out = image.copy()
    for k, box in enumerate(boxes):
        colour = FOUND if k in hit else MERGED if centres_inside(box, targets) >= 2 else FALSE
        _rectangle(out, box, colour, 1 if k in hit else 2)
    for k, box in enumerate(targets):
        if k not in met:
            _rectangle(out, box, MISSED, 1)
            x0, y0, x1, y1 = box.round().astype(int).tolist()
            cv2.line(out, (x0, y0), (x1 - 1, y1 - 1), MISSED, 1, cv2.LINE_AA)
            cv2.line(out, (x0, y1 - 1), (x1 - 1, y0), MISSED, 1, cv2.LINE_AA)
    return out


def centres_inside(box: np.ndarray, targets: np.ndarray) -> int:
    """Count the boxes (m, 4) whose centre lies in a box (4,) x0, y0, x1, y1."""
    centres = (targets[:, :2] + targets[:, 2:]) / 2
    return int(((centres >= box[:2]) & (centres < box[2:])).all(axis=1).sum())


def _rectangle(image: np.ndarray, box: np.ndarray, colour: tuple[int, int, int], thickness: int) -> None:
    x0, y0, x1, y1 = box.round().astype(int).tolist()
    cv2.rectangle(image, (x0, y0), (x1 - 1, y1 - 1), colour, thickness)


def mark_pixels(image: np.ndarray, predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Tint missed pixels orange and false pixels blue, and leave the rest of the image pale.

    Parameters
    ----------
    image : uint8 (H, W, 3)
    predicted, truth : bool or integer (H, W)
        Above 0 is foreground.

    Returns
    -------
    uint8 (H, W, 3)
    """
    predicted, truth = predicted > 0, truth > 0
    out = (0.6 * image + 0.4 * 255).astype(np.uint8)
    out[truth & ~predicted], out[predicted & ~truth] = MISSED, FALSE
    return out
