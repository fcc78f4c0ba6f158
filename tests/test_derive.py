"""The mask derivation on drawn smears whose answer is known, and on the phantom."""

from __future__ import annotations

import numpy as np
import pytest

from bloodlib.datasets import load
from bloodlib.derive import DeriveConfig, derive_instances, typical_absorbance
from bloodlib.evaluators.metrics import match_instances

BACKGROUND, CELL, NUCLEUS = (200, 205, 202), (160, 120, 140), (60, 20, 110)
SHAPE = (240, 320)


def disc(row: float, column: float, radius: float) -> np.ndarray:
    rows, columns = np.indices(SHAPE)
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


def smear(*regions: tuple[np.ndarray, tuple[int, int, int]], shade: float = 0.0) -> np.ndarray:
    """Draw coloured regions on background, under light that falls off by `shade` from left to right."""
    image = np.empty((*SHAPE, 3))
    image[:] = BACKGROUND
    for region, colour in regions:
        image[region] = colour
    image *= np.linspace(1, 1 - shade, SHAPE[1])[None, :, None]
    noise = np.random.default_rng(0).normal(0, 2, image.shape)
    return np.clip(image + noise, 0, 255).round().astype(np.uint8)


# Six single cells, so that cell size and colour are measured; the cases stand beside them.
SINGLES = [disc(40, column, 20) for column in (40, 100, 160, 220, 280)] + [disc(200, 40, 20)]
FIELD = [(cell, CELL) for cell in SINGLES]


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return (a & b).sum() / (a | b).sum()


def test_single_cells_are_found_whole_in_uneven_light():
    instances, classes = derive_instances(smear(*FIELD, shade=0.3))
    assert instances.dtype == np.int32
    assert classes.tolist() == [10] * 6
    for cell in SINGLES:
        assert iou(instances == instances[cell][len(instances[cell]) // 2], cell) > 0.93


def test_points_cut_two_touching_cells_and_give_them_their_class():
    left, right = disc(140, 120, 20), disc(140, 156, 20)  # 4 px of overlap
    points = np.array([[116, 143, 4], [161, 138, 7]])
    instances, classes = derive_instances(smear(*FIELD, (left | right, CELL)), points)
    first, second = instances[140, 110], instances[140, 166]
    assert first != second
    assert (classes[first - 1], classes[second - 1]) == (4, 7)
    assert iou(instances == first, left) > 0.9
    assert iou(instances == second, right) > 0.9


def test_points_cut_what_has_no_waist():
    rows, columns = np.indices(SHAPE)
    stadium = (abs(rows - 140) <= 20) & (abs(columns - 150) <= 30)
    instances, _ = derive_instances(smear(*FIELD, (stadium, CELL)), np.array([[135, 140, 0], [165, 140, 1]]))
    assert instances[140, 130] != instances[140, 170]
    assert (instances == instances[140, 130]).sum() == pytest.approx(stadium.sum() / 2, rel=0.1)


def test_a_cell_without_a_point_beside_one_with_a_point_is_its_own():
    left, right = disc(140, 120, 20), disc(140, 158, 20)
    instances, classes = derive_instances(smear(*FIELD, (left | right, CELL)), np.array([[122, 138, 3]]))
    named, other = instances[140, 110], instances[140, 166]
    assert named != other
    assert (classes[named - 1], classes[other - 1]) == (3, 10)


def test_pallor_is_filled_and_a_gap_between_cells_is_not():
    ring, pallor = disc(140, 100, 22), disc(140, 100, 10)
    centres = [(120 + 27.4 * np.sin(a), 220 + 27.4 * np.cos(a)) for a in np.radians([90, 210, 330])]
    trio = [disc(row, column, 24) for row, column in centres]
    gap = disc(120, 220, 2)
    regions = [*FIELD, (ring, CELL), (pallor, BACKGROUND), *((cell, CELL) for cell in trio)]
    assert not np.logical_or.reduce(trio)[gap].any(), "the drawing has no gap"
    instances, _ = derive_instances(smear(*regions))
    assert iou(instances == instances[140, 85], ring) > 0.93
    assert (instances[gap] == 0).all()


@pytest.mark.parametrize(
    ("what", "region", "colour"),
    [
        ("white cell", disc(140, 160, 26), NUCLEUS),
        ("white cell of the red cells' hue", disc(140, 160, 26), (114, 54, 81)),
        ("platelet", disc(140, 160, 6), (120, 70, 150)),
        ("grey dirt", disc(140, 160, 18), (120, 123, 121)),
        (
            "black scale bar",
            (lambda r, c: (abs(r - 140) < 2) & (c > 100) & (c < 200))(*np.indices(SHAPE)),
            (20, 20, 20),
        ),
        ("green scale bar", (lambda r, c: (abs(r - 140) < 2) & (c > 100) & (c < 200))(*np.indices(SHAPE)), (0, 255, 0)),
    ],
)
def test_what_is_no_red_cell_is_dropped(what, region, colour):
    instances, _ = derive_instances(smear(*FIELD, (region, colour)))
    assert instances.max() == 6, what
    assert (instances[region] == 0).all(), what


def test_a_cell_under_a_scale_bar_stays_one_cell():
    rows, columns = np.indices(SHAPE)
    bar = (abs(rows - 140) < 2) & (columns > 100) & (columns < 200)
    cell = disc(140, 150, 20)
    for colour in ((0, 255, 0), (20, 20, 20)):
        instances, _ = derive_instances(smear(*FIELD, (cell, CELL), (bar, colour)))
        assert iou(instances == instances[130, 150], cell) > 0.85


def test_a_letter_at_the_edge_of_a_cell_does_not_grow_it():
    rows, columns = np.indices(SHAPE)
    letter, cell = (abs(rows - 140) <= 7) & (columns > 165) & (columns <= 185), disc(140, 150, 20)
    instances, _ = derive_instances(smear(*FIELD, (cell, CELL), (letter, (0, 255, 0))))
    assert iou(instances == instances[140, 150], cell) > 0.9


def test_an_empty_slide_has_no_cells():
    instances, classes = derive_instances(smear())
    assert instances.max() == 0
    assert classes.shape == (0,)


def test_same_input_same_masks_and_input_left_alone():
    image, points = smear(*FIELD), np.array([[40, 40, 1]])
    before = image.copy(), points.copy()
    first, second = derive_instances(image, points), derive_instances(image, points)
    assert (first[0] == second[0]).all()
    assert (first[1] == second[1]).all()
    assert (image == before[0]).all()
    assert (points == before[1]).all()


def test_every_id_is_used_and_every_class_has_one():
    instances, classes = derive_instances(smear(*FIELD), np.array([[40, 40, 2], [100, 41, 3], [300, 150, 5]]))
    assert np.unique(instances).tolist() == list(range(len(classes) + 1))
    assert 5 not in classes, "a point on empty slide made a cell"


def test_absorbance_follows_beer_lambert():
    measured = typical_absorbance(smear(*FIELD, shade=0.3))
    assert measured == pytest.approx(np.log(np.array(BACKGROUND) / CELL), abs=0.02)


@pytest.mark.parametrize(
    ("image", "points", "message"),
    [
        (np.zeros((9, 9), np.uint8), None, "needed is uint8"),
        (smear(), np.zeros((2, 2)), "needed is"),
        (smear(), np.array([[10, 300, 0]]), "outside of the 320×240 image"),
    ],
)
def test_bad_input_is_named(image, points, message):
    with pytest.raises(ValueError, match=message):
        derive_instances(image, points)


def test_phantom_masks_are_recovered_with_and_without_points():
    chosen = load("phantom", split="test", shape=(480, 640))[5:40:20]
    for given in (True, False):
        tp = cells = 0
        for truth in chosen:
            centres = [np.argwhere(truth.instances == k).mean(axis=0)[::-1] for k in range(1, truth.count + 1)]
            points = np.column_stack([np.array(centres).round().astype(int), np.zeros(truth.count, int)])
            found, _ = derive_instances(truth.image, points if given else None, DeriveConfig())
            tp += match_instances(found, truth.instances).tp
            cells += found.max() + truth.count
        assert 2 * tp / cells > 0.93, f"points given: {given}"


@pytest.mark.parametrize("shape", [(4, 4), (8, 8), (1, 100), (12, 16)])
def test_an_image_too_small_for_a_background_is_refused(shape):
    with pytest.raises(ValueError, match=rf"image is {shape[1]}×{shape[0]} px, needed are 13 or more each way"):
        derive_instances(np.full((*shape, 3), 200, np.uint8))
    derive_instances(np.full((13, 13, 3), 200, np.uint8))
