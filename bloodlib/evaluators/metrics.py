"""How good a prediction is: Dice, matched instances, COCO average precision, expert points, counts.

Every function says what an empty prediction or an empty target scores. Nothing here needs torch.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import count, pairwise, zip_longest
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment


def overlap(predicted: np.ndarray, target: np.ndarray) -> tuple[int, int, int]:
    """Count pixels: in both, in the prediction, in the target; any value above 0 is foreground."""
    predicted, target = np.asarray(predicted) > 0, np.asarray(target) > 0
    if predicted.shape != target.shape:
        raise ValueError(f"the predicted mask is {predicted.shape} but the target {target.shape}; were they resized?")
    return int((predicted & target).sum()), int(predicted.sum()), int(target.sum())


def dice_of(counts: Sequence[int]) -> float:
    """Give the Dice score that belongs to the counts of `overlap`, of one image or of many added up."""
    both, predicted, target = map(int, counts)
    return 1.0 if predicted + target == 0 else 2 * both / (predicted + target)


def dice(predicted: np.ndarray, target: np.ndarray) -> float:
    """Measure how well the foregrounds of two masks agree.

    Parameters
    ----------
    predicted, target : bool or integer (H, W)
        Every value above 0 is foreground; the background has no score of its own.

    Returns
    -------
    float in [0, 1]

    Notes
    -----
    2·|P ∩ T| / (|P| + |T|), without ε: both empty → 1, only one empty → 0. Bailo et al. 2019 write
    2·p·t / (|p|² + |t|²), which is the same for binary masks. Book: chapter 08.

    Examples
    --------
    >>> dice(np.array([[1, 1, 0]]), np.array([[0, 1, 0]])) == 2 / 3
    True
    """
    return dice_of(overlap(predicted, target))


def pooled_dice(predicted: Iterable[np.ndarray], target: Iterable[np.ndarray]) -> float:
    """Measure Dice over all pixels of a set at once, so that crowded images weigh more.

    The rule for empty masks is that of `dice`, applied to the set as a whole.
    """
    return dice_of(np.array([overlap(a, b) for a, b in zip(predicted, target, strict=True)]).reshape(-1, 3).sum(axis=0))


class Matching(NamedTuple):
    """Say which predicted instances found which target instances.

    ``pairs`` holds (predicted, target) positions counted from 0; add 1 for the ids of a label image.
    """

    iou: float
    tp: int
    fp: int
    fn: int
    precision: float
    recall: float
    f1: float
    mean_matched_iou: float
    pairs: tuple[tuple[int, int], ...]


def _scores(tp: int, predicted: int, expected: int) -> tuple[float, float, float]:
    """Precision, recall, F1; all 1 where nothing was expected and nothing predicted."""
    if predicted + expected == 0:
        return 1.0, 1.0, 1.0
    return tp / max(predicted, 1), tp / max(expected, 1), 2 * tp / (predicted + expected)


def instance_iou(predicted: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Compute the IoU of every predicted with every target instance of two label images.

    Parameters
    ----------
    predicted, target : integer (H, W)
        0 is background, instances are numbered 1..n and 1..m.

    Returns
    -------
    float64 (n, m)
    """
    if predicted.shape != target.shape:
        raise ValueError(f"the predicted mask is {predicted.shape} but the target {target.shape}; were they resized?")
    n, m = int(predicted.max(initial=0)), int(target.max(initial=0))
    cells = predicted.astype(np.int64).ravel() * (m + 1) + target.ravel()
    table = np.bincount(cells, minlength=(n + 1) * (m + 1)).reshape(n + 1, m + 1)  # (n+1)·(m+1) -> (n+1, m+1)
    union = table.sum(axis=1)[1:, None] + table.sum(axis=0)[None, 1:] - table[1:, 1:]
    return table[1:, 1:] / np.maximum(union, 1)


def box_iou(predicted: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Compute the IoU of every predicted (n, 4) with every target (m, 4) box x0, y0, x1, y1: float64 (n, m)."""
    predicted, target = np.asarray(predicted, float).reshape(-1, 4), np.asarray(target, float).reshape(-1, 4)
    low = np.maximum(predicted[:, None, :2], target[None, :, :2])
    high = np.minimum(predicted[:, None, 2:], target[None, :, 2:])
    both = np.clip(high - low, 0, None).prod(axis=2)  # (n, m, 2) -> (n, m)
    area = lambda boxes: (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)  # noqa: E731
    return both / np.maximum(area(predicted)[:, None] + area(target)[None] - both, 1e-12)


def match(overlap: np.ndarray, iou: float = 0.5) -> Matching:
    """Pair predictions with targets one to one so that as many as possible overlap enough.

    Parameters
    ----------
    overlap : float (n, m)
        IoU of every prediction with every target.
    iou : float in (0, 1]
        A pair counts from this overlap on.

    Returns
    -------
    Matching

    Notes
    -----
    The assignment is that of StarDist's ``matching``: first the number of pairs at or above the
    threshold, then their IoU. Nothing expected and nothing predicted → precision, recall, F1 = 1;
    otherwise a ratio without a denominator is 0. TP / (TP + FP + FN), which StarDist and Cellpose
    call average precision, is another quantity than `average_precision` and is not reported.
    """
    if not 0 < iou <= 1:
        raise ValueError(f"iou is {iou}, allowed is 0 < iou ≤ 1")
    n, m = overlap.shape
    rows, columns = linear_sum_assignment(
        (overlap >= iou) + overlap / (2 * max(min(n, m), 1)), maximize=True
    )  # fewer than half a pair is gained by overlap alone
    good = overlap[rows, columns] >= iou
    pairs = tuple(zip(rows[good].tolist(), columns[good].tolist(), strict=True))
    tp = len(pairs)
    mean = float(overlap[rows[good], columns[good]].mean()) if tp else 0.0
    return Matching(iou, tp, n - tp, m - tp, *_scores(tp, n, m), mean, pairs)


def match_instances(predicted: np.ndarray, target: np.ndarray, iou: float = 0.5) -> Matching:
    """Match the instances of two label images one to one.

    Parameters
    ----------
    predicted, target : integer (H, W)
        0 is background, instances are numbered 1..n without gaps (`bloodlib.smears.relabel`).
    iou : float
        Least intersection over union of a match.

    Returns
    -------
    Matching
        ``tp, fp, fn, precision, recall, f1, mean_matched_iou, pairs``; see `match` for the rules.
        Book: chapter 10.

    Examples
    --------
    >>> truth = np.array([[1, 1, 0, 2]])
    >>> match_instances(np.array([[1, 1, 0, 0]]), truth)[1:7]
    (1, 0, 1, 1.0, 0.5, 0.6666666666666666)
    """
    return match(instance_iou(predicted, target), iou)


def match_boxes(predicted: np.ndarray, target: np.ndarray, iou: float = 0.5) -> Matching:
    """Match boxes (n, 4) with boxes (m, 4) one to one; the rules are those of `match`."""
    return match(box_iou(predicted, target), iou)


def instance_boxes(instances: np.ndarray) -> np.ndarray:
    """Enclose every instance 1..n of a label image: float32 (n, 4), x0, y0, x1, y1, far edges exclusive."""
    from scipy.ndimage import find_objects

    boxes = np.zeros((int(instances.max(initial=0)), 4), dtype=np.float32)
    for k, found in enumerate(find_objects(instances)):
        if found is not None:
            rows, columns = found
            boxes[k] = columns.start, rows.start, columns.stop, rows.stop
    return boxes


def _run_lengths(instances: np.ndarray) -> list[dict]:
    """Encode every instance 1..n as uncompressed COCO RLE, from the runs of the whole image at once."""
    flat = instances.ravel(order="F")
    starts = np.flatnonzero(np.diff(flat, prepend=flat[:1] - 1))
    stops = np.append(starts[1:], flat.size)
    labels = flat[starts]
    order = np.argsort(labels, kind="stable")
    bounds = np.searchsorted(labels[order], np.arange(1, int(instances.max(initial=0)) + 2))
    encoded = []
    for low, high in pairwise(bounds.tolist()):
        runs = order[low:high]
        edges = np.column_stack([starts[runs], stops[runs]]).ravel()  # (k, 2) -> (2k,), alternating off and on
        counts = np.diff(edges, prepend=0, append=flat.size)
        encoded.append({"size": list(instances.shape), "counts": counts.tolist()})
    return encoded


def _annotations(
    image: int, shape: np.ndarray, scores: np.ndarray | None, masks: bool, number: Iterator[int]
) -> list[dict]:
    """Turn the boxes or the label image of one image into COCO annotations, numbered on."""
    if masks:
        from faster_coco_eval.core import mask as coder
    boxes = instance_boxes(shape) if masks else np.asarray(shape, float).reshape(-1, 4)
    coded = coder.frPyObjects(_run_lengths(shape), *shape.shape) if masks and len(boxes) else []
    if scores is not None and len(scores) != len(boxes):
        raise ValueError(f"image {image - 1}: {len(scores)} scores for {len(boxes)} predictions")
    found: list[dict] = []
    for k, (x0, y0, x1, y1) in enumerate(boxes.tolist()):
        entry = {"image_id": image, "category_id": 1, "id": next(number), "iscrowd": 0}
        entry |= {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0)}
        if masks:
            entry |= {"segmentation": coded[k], "area": int(coder.area(coded[k]))}
        if scores is not None:
            entry["score"] = float(scores[k])
        found.append(entry)
    return found


def average_precision(
    predictions: Iterable[tuple[np.ndarray, np.ndarray]], targets: Iterable[np.ndarray]
) -> dict[str, float]:
    """Compute COCO average precision without COCO's cap of 100 detections per image.

    Parameters
    ----------
    predictions : iterable of (shapes, scores), one per image
        Boxes float (n, 4) x0, y0, x1, y1, or an instance mask int (H, W); scores float (n,).
    targets : iterable of shapes, one per image
        Of the same kind: all boxes or all instance masks (told apart by their type: floats are boxes).

    Returns
    -------
    dict
        ``AP50`` (IoU 0.5), ``AP75`` and ``AP`` (mean over IoU 0.50, 0.55, …, 0.95), each in [0, 1].
        No target in any image: NaN, since recall is undefined. Targets but no prediction: 0.

    Raises
    ------
    ValueError
        If the numbers of images, or of shapes and scores in one, differ, or boxes and masks are mixed.

    Notes
    -----
    101-point interpolated precision over all images, computed by faster-coco-eval, a maintained C++
    equal of pycocotools. COCO keeps the best 100 detections of an image, so 669 perfect boxes score
    0.1485 by default; here the cap is the greatest number of detections in any image. Of iterators one image
    after the other is asked for, and only its run lengths are kept. Book: chapter 09.
    """
    from faster_coco_eval import COCO, COCOeval_faster

    truth: list[dict] = []
    found: list[dict] = []
    images: list[dict] = []
    kinds, most = set(), 0
    numbers = count(1), count(1)
    nothing = object()
    for image, (predicted, target) in enumerate(zip_longest(predictions, targets, fillvalue=nothing), start=1):
        if predicted is nothing or target is nothing:
            raise ValueError("there are more predictions than targets, or fewer; one per image is needed")
        shape, scores = predicted
        kinds |= {np.asarray(one).dtype.kind != "f" for one in (shape, target)}
        if len(kinds) > 1:
            raise ValueError("boxes (float) and instance masks (integer) are mixed; give one kind for all images")
        masks = True in kinds
        truth += _annotations(image, target, None, masks, numbers[0])
        found += _annotations(image, shape, scores, masks, numbers[1])
        height, width = target.shape if masks else (1, 1)  # only masks are decoded by size
        images.append({"id": image, "height": height, "width": width})
        most = max(most, len(scores))
    if not truth:
        return {"AP50": float("nan"), "AP75": float("nan"), "AP": float("nan")}
    if not found:
        return {"AP50": 0.0, "AP75": 0.0, "AP": 0.0}
    with contextlib.redirect_stdout(io.StringIO()):
        expected = COCO({"images": images, "categories": [{"id": 1, "name": "cell"}], "annotations": truth})
        evaluation = COCOeval_faster(expected, expected.loadRes(found), "segm" if True in kinds else "bbox")
        evaluation.params.maxDets = [most]
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = np.asarray(evaluation.eval["precision"])[:, :, 0, 0, 0]  # (T, R, K=1, A=1, M=1) -> (T, R)
    by_iou = precision.mean(axis=1)
    return {"AP50": float(by_iou[0]), "AP75": float(by_iou[5]), "AP": float(by_iou.mean())}


def point_f1(found: np.ndarray, points: np.ndarray, border_px: int = 0, shape: tuple[int, int] | None = None) -> dict:
    """Compare predicted cells with the points that experts set, one to one.

    Parameters
    ----------
    found : int (H, W) or float (n, 4)
        Instance mask, or boxes x0, y0, x1, y1.
    points : (k, 2 or more)
        Column x, row y.
    border_px : int
        A prediction without a point that comes this close to the border is not counted as false:
        experts leave cut cells out. 0 counts every prediction.
    shape : (H, W)
        Needed for boxes with ``border_px`` only.

    Returns
    -------
    dict
        ``tp, fp, fn, precision, recall, f1``. A point is found by a prediction that covers it, and a
        prediction finds one point. Nothing expected and nothing predicted → 1.

    Examples
    --------
    >>> point_f1(np.array([[1, 1, 0, 2]]), np.array([[0, 0], [1, 0], [2, 0]]))["fn"]
    2
    """
    found = np.asarray(found)
    points = np.asarray(points, float).reshape(len(points), -1)[:, :2] if len(points) else np.zeros((0, 2))
    if found.dtype.kind != "f":
        shape = found.shape
        boxes = instance_boxes(found)
        column, row = np.clip(points.astype(int), 0, [shape[1] - 1, shape[0] - 1]).T  # (k, 2) -> 2 × (k,)
        covers = found[row, column][None] == np.arange(1, len(boxes) + 1)[:, None]  # (n, k)
    else:
        boxes = found.reshape(-1, 4)
        inside = (points[None] >= boxes[:, None, :2]) & (points[None] < boxes[:, None, 2:])  # (n, k, 2)
        covers = inside.all(axis=2)
    if border_px and shape is None:
        raise ValueError("border_px is set for boxes: give shape=(H, W) of the image")
    rows, columns = linear_sum_assignment(covers, maximize=True)
    hit = rows[covers[rows, columns]]
    counted = np.ones(len(boxes), bool)
    if border_px:
        height, width = shape
        counted = (boxes[:, :2] >= border_px).all(axis=1) & (boxes[:, 2] <= width - border_px)
        counted &= boxes[:, 3] <= height - border_px
        counted[hit] = True
    tp, predicted = len(hit), int(counted.sum())
    precision, recall, f1 = _scores(tp, predicted, len(points))
    return {
        "tp": tp,
        "fp": predicted - tp,
        "fn": len(points) - tp,
        "precision": precision,
        "recall": recall,
        "f1": f1,
    }


def count_error(predicted: Sequence[int], expected: Sequence[int]) -> dict[str, float]:
    """Compare numbers of cells per image.

    Returns
    -------
    dict
        ``bias`` (mean of predicted − expected), ``mae`` (mean absolute error), both in cells per image, and
        ``relative`` (sum of absolute errors over the sum expected; 0 where nothing was expected nor predicted).

    Raises
    ------
    ValueError
        If there is no image, or the numbers of images differ.

    Examples
    --------
    >>> count_error([9, 12], [10, 10])
    {'bias': 0.5, 'mae': 1.5, 'relative': 0.15}
    """
    if len(predicted) != len(expected) or not len(expected):
        raise ValueError(f"{len(predicted)} predicted counts for {len(expected)} expected; one of each per image")
    difference = np.asarray(predicted, float) - np.asarray(expected, float)
    total = float(np.abs(difference).sum())
    relative = 0.0 if total == 0 else total / max(float(np.sum(expected)), 1.0)
    return {"bias": float(difference.mean()), "mae": float(np.abs(difference).mean()), "relative": relative}
