"""Average precision by crowding, on masks whose answer is plain."""

import numpy as np
import pytest

from bloodlib.evaluators.crowding import KINDS, by_crowding, crowding
from bloodlib.evaluators.metrics import instance_boxes


@pytest.fixture
def mask():
    """One lone cell, a touching pair, a row of four."""
    instances = np.zeros((80, 120), np.int32)
    for k, (row, column) in enumerate([(5, 5), (5, 60), (5, 72), (50, 5), (50, 17), (50, 29), (50, 41)], start=1):
        instances[row : row + 10, column : column + 10] = k
    return instances


def test_kinds(mask):
    assert crowding(mask).tolist() == [0, 1, 1, 2, 2, 2, 2]
    assert crowding(mask, gap_px=0).tolist() == [0] * 7
    assert crowding(np.zeros((5, 5), np.int32)).tolist() == []


def test_perfect_boxes_score_one_in_every_kind(mask):
    boxes = instance_boxes(mask)
    scored = by_crowding([(boxes, np.ones(7))], [mask])
    assert {kind: entry["cells"] for kind, entry in scored.items()} == dict(zip(KINDS, (1, 2, 4), strict=True))
    assert all(entry["AP50"] == entry["AP"] == pytest.approx(1) for entry in scored.values())


def test_a_missed_cell_costs_its_own_kind_only(mask):
    boxes = np.delete(instance_boxes(mask), 4, axis=0)
    scored = by_crowding([(boxes, np.ones(6))], [mask])
    assert scored["isolated"]["AP50"] == scored["touching"]["AP50"] == pytest.approx(1)
    assert scored["clustered"]["AP50"] == pytest.approx(0.75, abs=0.01)  # recall 3/4, 101 points


def test_a_false_box_counts_where_it_was_made(mask):
    false = np.array([[62, 25, 72, 35]], np.float32)  # overlaps nothing, nearest to the pair
    boxes = np.vstack([false, instance_boxes(mask)])
    scored = by_crowding([(boxes, np.array([1.0] + [0.5] * 7))], [mask])
    assert scored["isolated"]["AP50"] == scored["clustered"]["AP50"] == pytest.approx(1)
    assert scored["touching"]["AP50"] == pytest.approx(2 / 3, abs=0.01)  # precision 2/3 at full recall


def test_images_without_cells_or_detections(mask):
    empty = np.zeros_like(mask)
    nothing = (np.zeros((0, 4), np.float32), np.zeros(0))
    scored = by_crowding([nothing, (instance_boxes(mask), np.ones(7))], [mask, empty])
    assert scored["isolated"]["AP50"] == 0
    assert scored["isolated"]["cells"] == 1
