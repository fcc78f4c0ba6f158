"""Overlapping cells and snapping: bounds, what is seen, colours."""

import itertools
import warnings
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bloodlib.io.labels import colours_to_instances
from bloodlib.sampler.canvas import Canvas
from bloodlib.sampler.layout import Found, Layout
from bloodlib.sampler.masks import CrowdedWarning, MaskConfig, MaskGenerator
from bloodlib.sampler.overlap import OverlapCanvas
from bloodlib.sampler.placement import PlacementConfig
from bloodlib.sampler.shapes import ShapeConfig, ShapeDatabase
from bloodlib.sampler.stamp import Stamp
from bloodlib.statistics import touching_pairs

DISC = np.hypot(*np.mgrid[-6:7, -6:7]) <= 6.2
BEAN = (np.hypot(*np.mgrid[-5:6, -8:9] / np.array([1, 1.6])[:, None, None]) <= 5.2) & (np.mgrid[-5:6, -8:9][0] < 4)


def generator(**options):
    config = MaskConfig(30, 0, (70, 90), PlacementConfig(cell_size_px=13.0, n_init=3), **options)
    return MaskGenerator(ShapeDatabase([DISC, BEAN], ShapeConfig()), config)


def sample(masks, seed, count=30):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CrowdedWarning)
        return masks.sample(np.random.default_rng(seed), count=count)


def whole(mask, k):
    """Cell k, whole, on a canvas 30 px larger on every side."""
    row, col, shape = mask.amodal[k]
    out = np.zeros(np.add(mask.instances.shape, 60), bool)
    out[row + 30 : row + 30 + shape.shape[0], col + 30 : col + 30 + shape.shape[1]] = shape
    return out


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32), share=st.sampled_from([0.0, 0.05, 0.2, 0.5]), colours=st.sampled_from([4, 10]))
def test_overlaps_are_bounded_and_every_cell_shows_as_one_piece(seed, share, colours):
    mask = sample(generator(overlap=share, colours=colours), seed)
    cells = [whole(mask, k) for k in range(mask.placed)]
    areas = [cell.sum() for cell in cells]
    for a, b in itertools.combinations(range(mask.placed), 2):
        assert (cells[a] & cells[b]).sum() <= share * min(areas[a], areas[b])
    # Painting the whole cells in their order from below gives what is seen.
    painted = np.zeros(cells[0].shape, np.int32)
    below = np.zeros(cells[0].shape, bool)
    for k in np.argsort(mask.order):
        assert (cells[k] & below).sum() <= share * areas[k]
        painted[cells[k]] = k + 1
        below |= cells[k]
    assert np.array_equal(painted[30:-30, 30:-30], mask.instances)
    for k in range(1, mask.placed + 1):
        assert cv2.connectedComponents((mask.instances == k).astype(np.uint8), connectivity=8)[0] == 2
    # Cells that touch or overlap anywhere differ in colour, so the colours alone give back what is seen.
    for a, b in itertools.combinations(range(mask.placed), 2):
        near = cv2.dilate(cells[a].astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
        assert not (near & cells[b]).any() or mask.colour_of[a] != mask.colour_of[b]
    assert colours_to_instances(mask.colours).max() == mask.placed


@pytest.mark.parametrize(("share", "low", "high"), [(0.0, 0, 0), (0.1, 0.02, 0.3), (1.0, 0.4, 1)])
def test_only_some_cells_lie_on_others_if_asked(share, low, high):
    lying = []
    for seed in range(12):
        mask = sample(generator(overlap=0.3, overlap_share=share), seed, 25)
        cells = [whole(mask, k) for k in range(mask.placed)]
        lying += [any((cells[k] & below).any() for below in cells[:k]) for k in range(mask.placed)]
    assert low <= np.mean(lying) <= high


def test_a_share_of_overlapping_cells_beyond_all_is_refused():
    with pytest.raises(ValueError, match=r"overlap_share=1\.5"):
        generator(overlap=0.3, overlap_share=1.5)


def test_cells_do_overlap_and_up_to_the_bound():
    shares = []
    for seed in range(10):
        mask = sample(generator(overlap=0.2), seed, 40)
        cells = [whole(mask, k) for k in range(mask.placed)]
        for a, b in itertools.combinations(cells, 2):
            shares.append((a & b).sum() / min(a.sum(), b.sum()))
    shares = np.array(shares)
    assert (shares > 0).sum() > 50
    assert 0.18 < shares.max() <= 0.2


def test_a_canvas_that_allows_no_overlap_is_the_plain_one():
    rng, stamps = np.random.default_rng(0), [Stamp(DISC), Stamp(BEAN)]
    plain, other = Canvas((40, 50), 20, 10), OverlapCanvas((40, 50), 20, 10, 0.0)
    for _ in range(400):
        stamp, point = stamps[rng.integers(2)], rng.integers(0, (40, 50))
        taken = plain.taken(stamp, point)
        assert other.taken(stamp, point) == taken
        if taken is not None and rng.random() < 0.3:
            for canvas in (plain, other):
                canvas.lay(stamp, point, canvas.free_colours(taken)[0])
    assert plain.count > 5
    assert np.array_equal(plain.instances, other.instances)


def test_a_cell_is_not_cut_in_two_nor_hidden():
    canvas = OverlapCanvas((60, 60), 40, 10, 0.9)
    canvas.lay(Stamp(np.ones((4, 30), bool)), np.array([30, 30]), 1)
    across = Stamp(np.ones((30, 4), bool))
    assert canvas.taken(across, np.array([30, 30])) is None  # two ends would be left
    assert canvas.taken(across, np.array([30, 15])) is not None  # one end is left
    assert canvas.taken(Stamp(np.ones((6, 34), bool)), np.array([30, 30])) is None  # nothing would be left


@pytest.mark.parametrize("share", [0.05, 0.3])
def test_when_rejection_starves_the_same_rules_hold(share):
    masks = generator(overlap=share, tries=1)
    mask = sample(masks, 3, 400)
    assert 30 < mask.placed < 400
    cells = [whole(mask, k) for k in range(mask.placed)]
    worst = max((a & b).sum() / min(a.sum(), b.sum()) for a, b in itertools.combinations(cells, 2))
    assert 0 < worst <= share
    # It is full: no shape fits anywhere, checked place by place.
    layout = Layout(masks.config, (70, 90), masks.shapes.reach_px, 500, np.random.default_rng(0))
    for k, (row, col, shape) in enumerate(mask.amodal):
        stamp = Stamp(shape)
        layout.canvas.lay(stamp, np.add(stamp.anchor, (row, col)), int(mask.colour_of[k]))
    stamp = Stamp(DISC)
    open_ = [p for p in np.ndindex(70, 90) if layout.canvas.taken(stamp, np.array(p)) is not None]
    found = layout._search(stamp, 1)
    assert (found is None) == (not open_)


def test_places_for_overlapping_cells_are_all_there_are():
    rng, canvas = np.random.default_rng(1), OverlapCanvas((70, 90), 30, 10, 0.15)
    layout = Layout(generator(overlap=0.15).config, (70, 90), 30, 99, rng)
    layout.canvas = canvas
    for k in range(14):
        found = layout._search(Stamp(BEAN), 1)
        layout._lay(Stamp(BEAN), found)
        assert len(canvas.cells) == k + 1
    layout._tries = 1
    assert layout._search(Stamp(DISC), 1) is not None  # measures the room
    for k in range(3):
        layout._lay(Stamp(BEAN), layout._search(Stamp(BEAN), 1))  # and keeps it up to date
        stamp = Stamp([DISC, BEAN, BEAN.T][k])
        places = {tuple(p) for p in layout._room.places(stamp).tolist()}
        padded = canvas.covered()
        for p in np.ndindex(70, 90):
            row, col = np.subtract(p, stamp.anchor) + canvas.margin
            window = padded[row : row + stamp.shape.shape[0], col : col + stamp.shape.shape[1]]
            assert (p in places) == (window[stamp.shape].sum() <= 0.15 * stamp.shape.sum())


def test_amodal_cells_go_beyond_the_border():
    mask = sample(generator(), 0, 40)
    beyond = [row < 0 or col < 0 for row, col, _ in mask.amodal]
    assert any(beyond)
    assert all(mask.amodal[k][2].any(axis=0).all() for k in range(mask.placed))  # cropped to the cell
    assert len(mask.amodal) == mask.placed


def slid(reach, start=(30, 55), overlap=0.0):
    masks = generator(snap=1.0, snap_reach_px=reach, overlap=overlap)
    layout = Layout(masks.config, (60, 90), 30, 5, np.random.default_rng(0))
    for point in ((30, 30), (10, 70)):
        layout._lay(Stamp(DISC), Found(np.array(point), 0, 1))
    layout._lay(Stamp(DISC), Found(np.array(start), layout.canvas.taken(Stamp(DISC), np.array(start)), 1))
    return layout


def test_a_snapped_cell_slides_straight_until_it_touches():
    layout = slid(20)
    assert layout.centres[2].tolist() == [30, 43]  # two discs of radius 6 side by side
    assert touching_pairs(layout.canvas.instances).tolist() == [[1, 3]]
    assert slid(20, overlap=0.3).centres[2].tolist() == [30, 43]  # it does not slide onto the other


def test_a_cell_out_of_reach_stays():
    assert slid(11).centres[2].tolist() == [30, 55]
    assert slid(12).centres[2].tolist() == [30, 43]


def test_snapping_makes_cells_touch_and_keeps_the_rules():
    def touching(snap):
        pairs = 0
        for seed in range(12):
            mask = sample(generator(snap=snap), seed, 18)
            assert colours_to_instances(mask.colours).max() == mask.placed
            pairs += len(touching_pairs(mask.instances))
        return pairs

    assert touching(1.0) > 3 * touching(0.0)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"overlap": 1.0}, "overlap=1.0"), ({"snap": -0.1}, "snap=-0.1"), ({"snap_reach_px": -1}, "snap_reach_px=-1")],
)
def test_impossible_options_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        replace(generator().config, **options)
