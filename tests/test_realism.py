import numpy as np
import pytest

from bloodlib.layout_statistics import nearest_neighbour_distances, pair_correlation
from bloodlib.realism import (
    CELLS,
    COVERAGE,
    EDGES,
    PARTS,
    REACHES,
    TESTED,
    Group,
    between_images,
    by_group,
    compare,
    distance,
    layout_curve,
    p_values,
)
from bloodlib.sampler.config import MaskConfig
from bloodlib.sampler.constants import PUBLISHED, LayoutConstants
from bloodlib.sampler.masks import MaskGenerator
from bloodlib.sampler.placement import PlacementConfig
from bloodlib.sampler.shapes import ShapeConfig, ShapeDatabase
from bloodlib.smears import Smear, relabel
from bloodlib.statistics import measure_cells

SHAPE = (100, 130)


def test_curve_of_a_mask_known_by_hand():
    mask = np.zeros((60, 80), dtype=np.int32)
    mask[10:20, 10:20], mask[10:20, 21:31], mask[40:50, 60:70] = 1, 2, 3  # one background column between 1 and 2
    curve = layout_curve(mask, cell_px=10.0, gap_px=2.0)
    centres = measure_cells(mask).centre
    np.testing.assert_array_equal(curve[PARTS["g(r)"]], pair_correlation(centres, (60, 80), EDGES * 10))
    near = [(nearest_neighbour_distances(centres) <= reach * 10).mean() for reach in REACHES]
    np.testing.assert_allclose(curve[PARTS["G(r)"]], near)
    assert near[3:6] == [0, pytest.approx(0), pytest.approx(2 / 3)]  # 11 px apart: beyond 1.0, within 1.1 cell sizes
    assert curve[PARTS["touching share"]].item() == pytest.approx(2 / 3)
    assert np.exp(curve[PARTS["cluster size"]].item()) == pytest.approx((2 + 2 + 1) / 3)
    assert curve[COVERAGE] == pytest.approx(300 / 4800)
    assert curve[CELLS] == 3
    assert layout_curve(mask, cell_px=10.0, gap_px=0.0)[PARTS["touching share"]].item() == 0


def test_masks_with_one_cell_or_none_lack_what_they_lack():
    empty = np.zeros((60, 80), dtype=np.int32)
    assert np.isnan(layout_curve(empty, 10.0)[TESTED]).all()
    assert layout_curve(empty, 10.0)[COVERAGE:].tolist() == [0, 0]
    one = empty.copy()
    one[5:9, 5:9] = 1
    curve = layout_curve(one, 10.0)
    assert np.isnan(curve[PARTS["g(r)"]]).all()
    assert curve[PARTS["touching share"]].item() == curve[PARTS["cluster size"]].item() == 0


def test_counterparts_show_as_many_cells_as_the_group(laid):
    group = Group(laid(PUBLISHED["uniform"], 6))
    made = group.simulate(PUBLISHED["uniform"], 6)
    assert made.curves.shape == (6, 38)
    assert made.picture.shape == SHAPE
    assert made.short == 0
    # 36 masks of some 40 cells, each seen or not: their mean is known to about 1 %.
    assert made.mean[CELLS] == pytest.approx(group.observed[CELLS], rel=0.05)
    assert made.mean[COVERAGE] == pytest.approx(group.observed[COVERAGE], rel=0.1)
    again = group.simulate(PUBLISHED["uniform"], 2)
    np.testing.assert_array_equal(again.curves, made.curves[:2])
    assert not np.array_equal(group.simulate(PUBLISHED["uniform"], 2, seed=1).curves, again.curves)


def test_cells_out_of_sight_are_made_up_for():
    # Bars that lie flat show hardly beyond the upper and lower border, where the canvas is larger by half their mean
    # side: of 124 rows 102 show one of the 3 rows of a bar whose middle lies there.
    still, bar = ShapeConfig(False, False, (1.0, 1.0)), np.ones((3, 43), bool)
    masks = MaskGenerator(ShapeDatabase([bar], still), MaskConfig(40, 0, (140, 190), PlacementConfig("uniform"), still))
    whole = [masks.sample(np.random.default_rng(k)).instances for k in range(10)]
    image = np.zeros((*SHAPE, 3), np.uint8)
    group = Group(Smear(image, relabel(mask[20:-20, 30:-30])[0]) for mask in whole)
    assert group.cell_px == 23
    made = group.simulate(PUBLISHED["uniform"], 4)
    # 40 masks of some 24 cells and the factor from 8 trial masks: known to 3 %. Not made up for it would be 0.82.
    assert made.mean[CELLS] == pytest.approx(group.observed[CELLS], rel=0.08)


def test_a_layout_is_told_from_another_and_not_from_itself(laid):
    # Under its own law a p-value is 0.05 with probability 0.05, so three of three are with about 1e-4.
    law, other = PUBLISHED["uniform"], LayoutConstants(kind="uniform", snap=1.0, snap_reach=2.0)
    own, rejected = [], []
    for seed in range(3):
        group = Group(laid(law, 2, seed))
        own.append(p_values(group.observed, group.simulate(law, 19, seed).curves)["all together"])
        found = p_values(group.observed, group.simulate(other, 19, seed).curves)
        rejected.append(found["touching share"])
        assert set(found) == {*PARTS, "all together"}
    assert max(own) > 0.05
    assert max(rejected) == 0.05


def test_each_counterpart_has_one_of_several_constants(laid):
    group = Group(laid(PUBLISHED["uniform"], 2))
    snapped = LayoutConstants(kind="uniform", snap=1.0, snap_reach=2.0)
    touching = group.simulate([PUBLISHED["uniform"], snapped], 24).curves[:, PARTS["touching share"]].ravel()
    # Snapped counterparts are above 0.8, the others below 0.7; 24 fair coins all fall alike with 1e-7.
    assert 0 < (touching > 0.75).sum() < 24


def test_a_comparison_holds_what_its_parts_say(laid):
    group = Group(laid(PUBLISHED["uniform"], 2))
    spread = np.ones(38)
    (found,) = compare(group, {"uniform": PUBLISHED["uniform"]}, 3, spread).values()
    assert found.p == p_values(group.observed, found.made.curves)
    assert found.distance == distance(group.observed, found.made.mean, spread)


def test_spread_between_images_is_pooled_within_groups(laid):
    groups = by_group([*laid(PUBLISHED["uniform"], 4), *laid(LayoutConstants(snap=1.0), 3, 1, group="b")])
    assert list(groups) == ["a", "b"]
    variances = [groups["a"].curves.var(axis=0, ddof=1), groups["b"].curves.var(axis=0, ddof=1)]
    wanted = np.sqrt((3 * variances[0] + 2 * variances[1]) / 5)
    np.testing.assert_allclose(between_images(groups.values()), np.maximum(wanted, 0.01))
    with pytest.raises(ValueError, match="no group has two smears"):
        between_images([Group(laid(PUBLISHED["uniform"], 1))])


def test_distance_weighs_every_part_the_same():
    spread, zero = np.full(38, 2.0), np.zeros(38)
    moved = zero.copy()
    moved[PARTS["G(r)"]] = 4.0
    assert distance(moved, zero, spread) == {
        "g(r)": 0,
        "G(r)": 4,
        "touching share": 0,
        "cluster size": 0,
        "all": 1,
    }
    moved[0] = np.nan
    assert distance(moved, zero, spread)["g(r)"] == 0
    moved[PARTS["g(r)"]] = np.nan
    assert distance(moved, zero, spread)["all"] == pytest.approx(4 / 3)


def test_at_most_so_many_smears_of_a_group_are_taken(laid):
    groups = by_group([*laid(PUBLISHED["uniform"], 5), *laid(PUBLISHED["uniform"], 1, group="b")], most=2)
    assert [len(group.curves) for group in groups.values()] == [2, 1]
