"""Pictures mark what they say; tables count what they show."""

from __future__ import annotations

import numpy as np

from bloodlib.evaluators import pictures, report
from bloodlib.evaluators.contrasts import Contrast
from bloodlib.evaluators.tasks import Prediction


def test_boxes_are_marked_by_what_they_are():
    truth = np.zeros((60, 90), np.int32)
    truth[10:30, 10:30], truth[10:30, 50:70] = 1, 2
    prediction = Prediction(np.array([[10, 10, 30, 30], [60, 40, 80, 58.0]]), np.array([0.9, 0.9]))
    drawn = pictures.mark_boxes(np.full((60, 90, 3), 220, np.uint8), prediction, truth)
    assert tuple(drawn[10, 20]) == pictures.FOUND
    assert tuple(drawn[10, 60]) == pictures.MISSED
    assert tuple(drawn[40, 70]) == pictures.FALSE
    unsure = Prediction(prediction.boxes, np.array([0.4, 0.4]))
    assert tuple(pictures.mark_boxes(np.full((60, 90, 3), 220, np.uint8), unsure, truth)[10, 20]) == pictures.MISSED


def test_pixels_are_marked_by_what_they_are():
    predicted, truth = np.array([[1, 1, 0]]), np.array([[1, 0, 3]])
    drawn = pictures.mark_pixels(np.zeros((1, 3, 3), np.uint8), predicted, truth)
    assert drawn[0].tolist() == [[102, 102, 102], list(pictures.FALSE), list(pictures.MISSED)]


def stored(dataset, arm, seed, score):
    chosen = {"step": 1, "test": {"dice": score}}
    return {
        "task": "fcn8s", "arm": arm, "seed": seed, "dataset": dataset, "profile": "laptop",
        "selected": {"on_validation": chosen, "on_test": chosen, "optimism": 0.0}, "seconds": {"total": 60},
        "per_image": {"on_validation": [{"name": "1", "group": "a", "dice": score}]},
    }  # fmt: skip


PAPER = {task: dict.fromkeys(("RD", "SD", "RD+aug", "RD+SD", "RD+SD+aug"), 0.5) for task in report.TASKS}


def test_a_table_counts_its_runs_and_leaves_out_what_is_not_stored():
    table = report.table([stored("toy", "RD", 0, 0.8), stored("toy", "RD", 1, 0.9)], PAPER)
    ours = table.splitlines()[2]
    assert "**0.850** (0.800–0.900; n = 2)" in ours
    assert ours.count("–") == 1 + 4
    assert table.count("0.500") == 15


def test_sets_are_kept_apart_and_real_ones_come_first():
    runs = [stored("phantom", "RD", 0, 0.99), stored("toy", "RD", 0, 0.7)]
    assert list(report.by_set(runs)) == [("toy", "laptop"), ("phantom", "laptop")]
    lines = report.live_beside_stored([stored("phantom", "RD", 0, 0.6)], runs).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["**live**, in this build", "stored", "stored"]
    assert "0.990" in lines[4]


def test_verdict_claims_nothing_from_one_seed_or_a_straddling_interval():
    nan = float("nan")
    assert "decides nothing" in report.verdict(Contrast(0.3, nan, nan, 1, 7, 34))
    assert "no difference" in report.verdict(Contrast(0.3, -0.01, 0.6, 8, 7, 34))
    assert report.verdict(Contrast(-0.3, -0.4, -0.2, 8, 7, 34)).startswith("worse on these test slides (")
    assert "only 2 seeds" in report.verdict(Contrast(0.3, 0.2, 0.4, 2, 7, 34))
