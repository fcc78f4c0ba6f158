"""Closed-form cases, agreement with pycocotools, and the rules for nothing at all."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest

from bloodlib.evaluators import metrics


def grid_boxes(count: int, pitch: float = 46.0, per_row: int = 40) -> np.ndarray:
    k = np.arange(count)
    x, y = (k % per_row) * pitch, (k // per_row) * pitch
    return np.stack([x, y, x + pitch - 2, y + pitch - 2], axis=1)


def squares(*corners: tuple[int, int], side: int = 10, shape=(60, 60)) -> np.ndarray:
    instances = np.zeros(shape, np.int32)
    for k, (row, column) in enumerate(corners, start=1):
        instances[row : row + side, column : column + side] = k
    return instances


def test_dice_of_half_overlapping_squares():
    assert metrics.dice(squares((0, 0)), squares((0, 5))) == pytest.approx(0.5)


def test_dice_of_nothing():
    nothing, something = np.zeros((4, 4), bool), np.ones((4, 4), bool)
    assert metrics.dice(nothing, nothing) == 1
    assert metrics.dice(nothing, something) == 0
    assert metrics.pooled_dice([], []) == 1


def test_pooled_dice_weighs_by_pixels():
    big, small, empty = np.ones((10, 10), bool), np.ones((2, 2), bool), np.zeros((2, 2), bool)
    assert metrics.pooled_dice([big, empty], [big, small]) == pytest.approx(200 / 204)


def test_dice_refuses_other_sizes():
    with pytest.raises(ValueError, match="resized"):
        metrics.dice(np.ones((3, 4)), np.ones((4, 3)))


def test_match_counts_found_missed_and_false():
    result = metrics.match_instances(squares((0, 1), (30, 30)), squares((0, 0), (45, 0)))
    assert (result.tp, result.fp, result.fn) == (1, 1, 1)
    assert result.f1 == 0.5
    assert result.mean_matched_iou == pytest.approx(90 / 110)
    assert result.pairs == ((0, 0),)


def test_match_prefers_more_pairs_to_better_ones():
    # Greedy by IoU would take (0, 0) at 0.9 and lose the second pair.
    assert metrics.match(np.array([[0.9, 0.6], [0.6, 0.0]])).tp == 2


def test_match_threshold_is_inclusive():
    assert metrics.match(np.array([[0.5]]), 0.5).tp == 1
    assert metrics.match(np.array([[0.5]]), 0.51).tp == 0


@pytest.mark.parametrize(("n", "m", "f1"), [(0, 0, 1.0), (2, 0, 0.0), (0, 3, 0.0)])
def test_match_of_nothing(n, m, f1):
    result = metrics.match(np.zeros((n, m)))
    assert (result.tp, result.fp, result.fn, result.f1) == (0, n, m, f1)


def test_instance_iou_agrees_with_the_literal_definition():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 5, (30, 31), dtype=np.int32), rng.integers(0, 4, (30, 31), dtype=np.int32)
    literal = [[((a == i) & (b == j)).sum() / ((a == i) | (b == j)).sum() for j in range(1, 4)] for i in range(1, 5)]
    np.testing.assert_allclose(metrics.instance_iou(a, b), literal)


def test_669_perfect_boxes_score_one():
    boxes = grid_boxes(669)
    scores = np.linspace(0.2, 1, 669)
    assert metrics.average_precision([(boxes, scores)], [boxes]) == {"AP50": 1.0, "AP75": 1.0, "AP": 1.0}


def test_150_perfect_masks_score_one():
    instances = squares(*[(r, c) for r in range(0, 120, 12) for c in range(0, 180, 12)], shape=(120, 180))
    result = metrics.average_precision([(instances, np.ones(150))], [instances])
    assert result["AP"] == pytest.approx(1)


def pycocotools_precision(predictions, targets, cap):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def entries(boxes, image, start, scores=None):
        for k, (x0, y0, x1, y1) in enumerate(boxes.tolist()):
            box = {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0), "image_id": image + 1}
            box |= {"category_id": 1, "id": start + k + 1, "iscrowd": 0}
            yield box | ({"score": float(scores[k])} if scores is not None else {})

    truth, found = [], []
    for image, ((boxes, scores), target) in enumerate(zip(predictions, targets, strict=True)):
        truth += entries(target, image, len(truth))
        found += entries(boxes, image, len(found), scores)
    with contextlib.redirect_stdout(io.StringIO()):
        expected = COCO()
        expected.dataset = {"images": [{"id": k + 1} for k in range(len(targets))], "annotations": truth}
        expected.dataset["categories"] = [{"id": 1, "name": "cell"}]
        expected.createIndex()
        evaluation = COCOeval(expected, expected.loadRes(found), "bbox")
        evaluation.params.maxDets = [1, 10, cap]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval["precision"][:, :, 0, 0, -1]


def test_average_precision_agrees_with_pycocotools_beyond_100_boxes():
    rng = np.random.default_rng(3)
    predictions, targets = [], []
    for count in (130, 7, 0):
        target = grid_boxes(count, per_row=12)
        kept = target[rng.random(count) < 0.8] + rng.normal(0, 3, (1, 4))
        false = grid_boxes(15) + rng.normal(0, 30, (15, 4)) * [1, 1, 0, 0] - [40, 40, 0, 0]
        boxes = np.concatenate([kept + rng.normal(0, 2.5, kept.shape), false])
        predictions.append((boxes, rng.random(len(boxes))))
        targets.append(target)
    precision = pycocotools_precision(predictions, targets, 1000)
    result = metrics.average_precision(predictions, targets)
    assert result["AP50"] == pytest.approx(precision[0].mean(), abs=1e-9)
    assert result["AP75"] == pytest.approx(precision[5].mean(), abs=1e-9)
    assert result["AP"] == pytest.approx(precision.mean(), abs=1e-9)
    assert 0.1 < result["AP"] < result["AP50"] < 0.99


def test_masks_and_boxes_of_squares_score_the_same():
    target, found = squares((0, 0), (20, 20), (40, 5)), squares((1, 0), (20, 23), (30, 40))
    scores = np.array([0.9, 0.8, 0.95])
    as_masks = metrics.average_precision([(found, scores)], [target])
    as_boxes = metrics.average_precision([(metrics.instance_boxes(found), scores)], [metrics.instance_boxes(target)])
    assert as_masks == pytest.approx(as_boxes)
    assert 0 < as_masks["AP50"] < 1


def test_average_precision_of_nothing():
    none, some = np.zeros((0, 4)), grid_boxes(3)
    assert metrics.average_precision([(none, np.zeros(0))], [some])["AP"] == 0
    assert np.isnan(metrics.average_precision([(some, np.ones(3))], [none])["AP"])


def test_average_precision_refuses_mixed_kinds():
    with pytest.raises(ValueError, match="mixed"):
        metrics.average_precision([(grid_boxes(2), np.ones(2))], [squares((0, 0))])


def test_two_points_in_one_instance_find_one():
    result = metrics.point_f1(squares((0, 0), (30, 30)), np.array([[2, 3, 0], [4, 5, 0], [50, 50, 1]]))
    assert (result["tp"], result["fp"], result["fn"]) == (1, 1, 2)


@pytest.mark.parametrize("points", [np.zeros((0, 3)), np.zeros((0, 2)), []])
def test_where_no_point_is_every_prediction_is_false(points):
    nothing, one = np.zeros((5, 5), int), np.eye(5, dtype=int)
    for found in (nothing, np.zeros((0, 4))):
        assert metrics.point_f1(found, points)["f1"] == 1.0
    for found in (one, np.array([[0.0, 0, 5, 5]])):
        assert {key: metrics.point_f1(found, points)[key] for key in ("tp", "fp", "fn", "f1")} == {
            "tp": 0, "fp": 1, "fn": 0, "f1": 0.0
        }  # fmt: skip


def test_points_are_column_then_row():
    assert metrics.point_f1(squares((40, 5)), np.array([[7, 42]]))["tp"] == 1
    assert metrics.point_f1(squares((40, 5)), np.array([[42, 7]]))["tp"] == 0


def test_overlapping_boxes_share_points_one_to_one():
    boxes = np.array([[0.0, 0, 20, 20], [10, 0, 30, 20]])
    # The first point lies in both boxes, the second only in the first: both can be found.
    assert metrics.point_f1(boxes, np.array([[15, 5], [5, 5]]))["f1"] == 1


def test_cut_cells_without_a_point_are_not_false():
    found = squares((0, 20), (30, 30))
    points = np.array([[35, 35]])
    assert metrics.point_f1(found, points)["fp"] == 1
    assert metrics.point_f1(found, points, border_px=1)["fp"] == 0


def test_count_error_refuses_nothing():
    with pytest.raises(ValueError, match="0 predicted"):
        metrics.count_error([], [])
