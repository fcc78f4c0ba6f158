import hashlib
import json
import re
import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bloodlib.io.labels import colours_to_instances
from bloodlib.sampler.canvas import COLOURS, Canvas
from bloodlib.sampler.layout import Layout
from bloodlib.sampler.masks import CrowdedWarning, MaskConfig, MaskGenerator
from bloodlib.sampler.placement import PlacementConfig
from bloodlib.sampler.room import Room
from bloodlib.sampler.shapes import ShapeConfig, ShapeDatabase
from bloodlib.sampler.stamp import Stamp
from bloodlib.smears import Smear
from bloodlib.statistics import touching_pairs

AS_IS = ShapeConfig(rotate=False, flip=False, scale=(1.0, 1.0))


def disc(radius):
    axis = np.arange(-int(radius), int(radius) + 1)
    return np.hypot(axis[:, None], axis[None, :]) <= radius


def ellipse(a, b):
    rows, cols = np.mgrid[-int(b) : int(b) + 1, -int(a) : int(a) + 1]
    return (rows / b) ** 2 + (cols / a) ** 2 <= 1


TWO_SHAPES = (disc(6), ellipse(8, 5))


def generator(shapes=TWO_SHAPES, shape=(90, 120), count=(20, 4), augmented=True, **law):
    config = ShapeConfig() if augmented else AS_IS
    placement = PlacementConfig(**{"cell_size_px": 13.0, **law})
    return MaskGenerator(ShapeDatabase(shapes, config), MaskConfig(*count, shape, placement, config))


def quietly(masks, *arguments, **named):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CrowdedWarning)
        return masks.sample(*arguments, **named)


def partition(labels):
    """The same cells get the same array, whatever their numbers."""
    _, first = np.unique(labels, return_index=True)
    order = np.argsort(np.argsort(first))
    return order[np.unique(labels, return_inverse=True)[1]].reshape(labels.shape)


@settings(max_examples=300)
@given(
    seed=st.integers(0, 2**32),
    kind=st.sampled_from(["adhesion", "uniform"]),
    variant=st.sampled_from(["final", "first"]),
    core=st.sampled_from(["inverted", "zero"]),
    height=st.integers(8, 100),
    width=st.integers(8, 100),
    share=st.floats(0, 1),
    colours=st.sampled_from([1, 2, 4, 10]),
    snap=st.sampled_from([0.0, 0.5]),
)
def test_invariants_of_every_mask(seed, kind, variant, core, height, width, share, colours, snap):
    masks = generator(kind=kind, variant=variant, core=core)
    masks.config = replace(masks.config, colours=colours, snap=snap)
    count = int(share * 0.8 * height * width / 130)
    mask = quietly(masks, np.random.default_rng(seed), (height, width), count)
    assert mask.instances.dtype == np.int32
    assert mask.instances.shape == (height, width)
    assert mask.requested == count >= mask.placed == len(mask.centres) == len(mask.shape_ids) == len(mask.trials)
    assert mask.trials.min(initial=1) >= 1
    assert np.array_equal(np.unique(mask.instances[mask.instances > 0]), np.arange(1, mask.placed + 1))
    assert (mask.centres >= 0).all()
    assert (mask.centres < (height, width)).all()
    # The colours alone give back exactly the instances, so no two touching cells share one.
    assert np.array_equal(partition(colours_to_instances(mask.colours)), partition(mask.instances))
    one_pixel = {k: mask.colours[mask.instances == k][0].tobytes() for k in range(1, mask.placed + 1)}
    assert all(one_pixel[a] != one_pixel[b] for a, b in touching_pairs(mask.instances).tolist())


def test_cells_never_overlap_even_outside_the_image():
    # Whole shapes inside the image keep their area; were they drawn over, areas would shrink.
    masks = generator(shapes=[disc(6)], augmented=False)
    mask = quietly(masks, np.random.default_rng(0), count=45)
    areas = np.bincount(mask.instances.ravel())[1:]
    inside = ((mask.centres >= 6) & (mask.centres < np.array([84, 114]))).all(axis=1)
    assert inside.sum() > 10
    assert (areas[inside] == disc(6).sum()).all()
    distance = np.linalg.norm(mask.centres[:, None] - mask.centres[None], axis=2) + 99 * np.eye(mask.placed)
    assert distance.min() > 11  # two such discs closer than this share a pixel, inside the image or not


def test_a_full_canvas_stops_and_says_so():
    masks = generator(shapes=[disc(6)])
    with pytest.warns(CrowdedWarning, match=r"of 500 cells placed: 120×90 px") as caught:
        mask = masks.sample(np.random.default_rng(0), count=500)
    assert len(caught) == 1
    assert 40 < mask.placed < 500
    assert mask.requested == 500
    assert (mask.instances > 0).mean() > 0.5  # it stopped because it is full, not because it gave up


def test_967_cells_at_full_size_end_with_what_was_placed():
    # Random placement of equal discs jams near 54.7 % of the area: about 850 of 45 px here.
    masks = generator([disc(22)], (1200, 1920), augmented=False, cell_size_px=46.0)
    with pytest.warns(CrowdedWarning, match=r"of 967 cells placed: 1920×1200 px") as caught:
        mask = masks.sample(np.random.default_rng(0), count=967)
    assert len(caught) == 1
    assert 800 < mask.placed < 967
    assert np.array_equal(partition(colours_to_instances(mask.colours)), partition(mask.instances))


def test_the_last_hole_is_found():
    # One place is left for the square: rejection from P would need thousands of draws.
    square = np.ones((9, 9), bool)
    masks = generator([square], (60, 60), augmented=False, kind="uniform")
    layout = Layout(replace(masks.config, tries=1), (60, 60), masks.shapes.reach_px, 1, np.random.default_rng(0))
    everything = np.ones(layout.canvas._state.shape, bool)
    hole = layout.canvas.margin + np.array([26, 29])
    everything[hole[0] : hole[0] + 9, hole[1] : hole[1] + 9] = False
    layout.canvas._state[everything] = 1 << 15
    found = layout._search(Stamp(square), 1)
    assert found.point.tolist() == [30, 33]


def test_with_one_colour_no_two_cells_touch():
    masks = generator()
    masks.config = replace(masks.config, colours=1)
    mask = quietly(masks, np.random.default_rng(0), count=60)
    assert mask.placed > 15
    assert len(touching_pairs(mask.instances)) == 0
    assert len(np.unique(mask.colours.reshape(-1, 3), axis=0)) == 2


def test_a_database_of_one_shape_gives_that_shape():
    bar = np.ones((5, 17), bool)
    masks = generator([bar], augmented=False)
    mask = quietly(masks, np.random.default_rng(0), count=30)
    assert mask.placed == 30
    assert (mask.shape_ids == 0).all()
    assert all(np.array_equal(shape, bar) for _, _, shape in mask.amodal)


def test_few_colours_are_enough_where_many_cells_touch():
    masks = generator(shapes=[np.ones((10, 10), bool)], shape=(100, 100), augmented=False)
    masks.config = replace(masks.config, colours=3)
    mask = quietly(masks, np.random.default_rng(0), count=80)
    assert len(touching_pairs(mask.instances)) > 3
    assert np.array_equal(partition(colours_to_instances(mask.colours)), partition(mask.instances))


def test_so_many_cells_slide_as_the_probability_of_snapping_says():
    masks, share = generator(shapes=[disc(6)], shape=(200, 200), augmented=False, kind="uniform"), {}
    for snap in (0.0, 0.5, 1.0):
        masks.config = replace(masks.config, snap=snap, snap_reach_px=40.0)
        made = [masks.sample(np.random.default_rng([3, k]), count=60) for k in range(6)]
        share[snap] = np.mean([len(np.unique(touching_pairs(mask.instances))) / 60 for mask in made])
    # Shares of 360 cells are known to 0.03.
    assert share[0.0] + 0.15 < share[0.5] < share[1.0] - 0.1


def test_a_shape_that_fits_nowhere_does_not_end_a_mask_but_several_in_a_row_do():
    small, huge = disc(3), disc(70)  # the huge one covers the canvas from wherever it lies
    masks = generator(shapes=[small, huge], shape=(48, 48), augmented=False, kind="uniform")

    def filled(order, requested):
        layout = Layout(masks.config, (48, 48), masks.shapes.reach_px, requested, np.random.default_rng(0))
        layout.fill(lambda rng: next(order))
        return layout.canvas.count

    cell, misfit = (small, 0), (huge, 1)
    assert filled(iter([cell] + [misfit, cell] * 20), 10) == 10
    assert filled(iter([cell] + [misfit] * 4 + [cell] * 20), 10) == 10
    assert filled(iter([cell] + [misfit] * 5 + [cell] * 20), 10) == 1


def test_the_list_of_colours_is_distinct_and_never_background():
    assert len(np.unique(COLOURS, axis=0)) == len(COLOURS)
    assert COLOURS.max(axis=1).min() > 0


def test_count_zero_and_canvas_smaller_than_a_cell():
    masks = generator()
    empty = masks.sample(np.random.default_rng(0), count=0)
    assert empty.placed == 0
    assert not empty.instances.any()
    assert not empty.colours.any()
    # A cell larger than the canvas is cut by its border on every side.
    tiny = quietly(masks, np.random.default_rng(0), (3, 4), 2)
    assert tiny.placed == 1
    assert tiny.instances.all()
    assert tiny.colours.any(axis=2).all()
    (row, col, shape), *_ = tiny.amodal
    assert row < 0
    assert col < 0
    assert shape.sum() > 60
    one = masks.sample(np.random.default_rng(0), (1, 1), 1)
    assert one.instances.tolist() == [[1]]


@pytest.mark.parametrize("shape", [(0, 5), (5, -1), (5, 5, 3), (5.5, 6), 5, "ab", (float("nan"), 5)])
def test_impossible_canvases_are_refused(shape, tmp_path):
    match = re.escape(f"shape={shape!r}: needed is (height, width), whole numbers of pixels, at least 1 each")
    with pytest.raises(ValueError, match=match):
        generator().sample(np.random.default_rng(0), shape, 1)
    with pytest.raises(ValueError, match=match):
        generator().write(tmp_path / "new", 1, 0, shape)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("count", [-1, 2.7, float("nan"), float("inf"), "3", [3]])
def test_impossible_numbers_of_cells_are_refused(count, tmp_path):
    with pytest.raises(ValueError, match=re.escape(f"count={count!r}: a whole number of 0 or more is needed")):
        generator().sample(np.random.default_rng(0), (50, 50), count)
    with pytest.raises(ValueError, match=re.escape(f"count={count!r}: a whole number of 0 or more is needed")):
        generator().write(tmp_path / "new", count, 0)
    assert not (tmp_path / "new").exists()


def test_whole_numbers_may_come_from_numpy_or_as_floats():
    masks = generator()
    made = [masks.sample(np.random.default_rng(0), s, n) for s, n in (((50, 60), 5), (np.array([50, 60]), 5.0))]
    assert np.array_equal(made[0].instances, made[1].instances)


def test_same_seed_same_bytes():
    def digest(seed):
        mask = generator().sample(np.random.default_rng(seed))
        return hashlib.sha256(mask.instances.tobytes() + mask.colours.tobytes()).hexdigest()

    assert digest(3) == digest(3) != digest(4)


def test_numbers_of_cells_are_normal_and_scale_with_area():
    masks = generator(count=(50, 10))
    rng = np.random.default_rng(0)
    drawn = np.array([masks.draw_count(rng) for _ in range(4000)])
    assert drawn.mean() == pytest.approx(50, abs=5 * 10 / 4000**0.5)  # 5 standard errors
    assert drawn.std() == pytest.approx(10, abs=5 * 10 / 8000**0.5)
    wider = np.array([masks.draw_count(rng, (180, 240)) for _ in range(4000)])  # four times the area
    assert wider.mean() == pytest.approx(200, abs=3.2)
    assert wider.std() == pytest.approx(40, abs=5 * 40 / 8000**0.5)
    assert min(generator(count=(0, 5)).draw_count(rng) for _ in range(50)) == 0


def fitted(**options):
    rng = np.random.default_rng(0)
    smears = []
    for _ in range(3):
        mask = generator().sample(rng, count=22)
        smears.append(Smear(mask.colours, mask.instances))
    return smears, MaskGenerator.fit(smears, **options)


def test_fit_measures_what_the_masks_hold():
    smears, masks = fitted()
    assert masks.config.count_mean == 22
    assert masks.config.count_std == 0
    assert masks.config.shape == (90, 120)
    assert 10 < masks.config.placement.cell_size_px < 16
    assert 30 < len(masks.shapes) <= 66
    assert masks.sample(np.random.default_rng(0)).requested == 22
    assert MaskGenerator.fit(smears, cell_size_px=46.0).config.placement.sigma == pytest.approx(39.07, abs=0.01)
    assert MaskGenerator.fit(smears, augment=False).shapes.config == AS_IS


def test_fit_refuses_unknown_options_before_reading():
    def unread():
        raise RuntimeError("read")
        yield

    with pytest.raises(ValueError, match="placement='grid' is not known; allowed are 'adhesion', 'uniform'"):
        MaskGenerator.fit(unread(), "grid")
    with pytest.raises(ValueError, match="no smears"):
        MaskGenerator.fit([])
    with pytest.raises(ValueError, match="placement 'adhesion' has no 'parents'; allowed are none"):
        MaskGenerator.fit(unread(), law={"parents": 3})
    with pytest.raises(ValueError, match="colours=0"):
        MaskGenerator.fit(unread(), colours=0)


def test_a_stored_generator_draws_the_same_masks():
    _, masks = fitted(variant="first", core="zero")
    again = MaskGenerator.from_arrays(masks.to_arrays(), json.loads(json.dumps(masks.to_dict())))
    assert again.config == masks.config
    a, b = (g.sample(np.random.default_rng(1)) for g in (masks, again))
    assert np.array_equal(a.instances, b.instances)
    assert np.array_equal(a.colours, b.colours)


RING = disc(6) & ~np.pad(disc(3), 3)
HORSESHOE = np.ones((11, 11), bool)
HORSESHOE[4:, 3:8] = False
ODD_SHAPES = [RING, HORSESHOE, np.eye(9, dtype=bool), np.ones((1, 1), bool), np.ones((1, 14), bool), disc(2)]


def places_that_hold(canvas, stamp):
    everywhere = np.argwhere(np.ones(canvas.shape, bool))
    return everywhere[[canvas.taken(stamp, point) is not None for point in everywhere]]


@pytest.mark.parametrize("rim_px", [0.0, 2.5])
def test_no_place_that_holds_a_shape_is_ruled_out(rim_px):
    rng, canvas = np.random.default_rng(0), Canvas((36, 44), 30, 10)
    stamps = [Stamp(shape, rim_px) for shape in ODD_SHAPES]
    room = Room(canvas)
    for k in range(12):
        for stamp in (stamps[k % 6], stamps[(k + 1) % 6]):
            holds = places_that_hold(canvas, stamp)
            assert canvas.screen([stamp], holds[None]).all()
            assert {tuple(place) for place in holds} <= {tuple(place) for place in room.places(stamp).tolist()}
        if len(holds):
            point = rng.choice(holds)
            canvas.lay(stamp, point, canvas.free_colours(canvas.taken(stamp, point))[0])
            room.cut(stamp, point)
    everywhere, holds = np.argwhere(np.ones(canvas.shape, bool)), places_that_hold(canvas, stamps[0])
    assert canvas.screen([stamps[0]], everywhere[None]).sum() < len(holds) + 200  # most of the others are
    assert len(room.places(stamps[-1])) < 0.7 * len(everywhere)


@pytest.mark.parametrize("colour", range(1, 11))
def test_one_common_pixel_is_an_overlap_in_every_colour(colour):
    canvas, stamp = Canvas((40, 40), 20, 10), Stamp(np.ones((9, 9), bool))
    canvas.lay(stamp, np.array([20, 20]), colour)
    assert canvas.taken(stamp, np.array([28, 28])) is None  # the corners share one pixel
    assert canvas.taken(stamp, np.array([29, 28])) is not None  # the edges touch
    assert colour not in canvas.free_colours(canvas.taken(stamp, np.array([29, 29])))  # the corners touch
    assert colour in canvas.free_colours(canvas.taken(stamp, np.array([30, 28])))


def test_a_cell_that_the_border_would_cut_in_two_lies_elsewhere():
    horseshoe = np.ones((21, 21), bool)
    horseshoe[6:, 5:16] = False  # two legs pointing down
    masks = generator([horseshoe], (24, 60), augmented=False, kind="uniform")
    canvas, stamp = Canvas((24, 60), masks.shapes.reach_px, 10), Stamp(horseshoe)
    assert canvas.taken(stamp, np.array([10, 30])) is not None
    assert canvas.taken(stamp, np.add(stamp.anchor, (-10, 20))) is None  # only the legs would show
    for seed in range(20):
        mask = quietly(masks, np.random.default_rng(seed), count=4)
        assert np.array_equal(partition(colours_to_instances(mask.colours)), partition(mask.instances))


def classed_masks():
    """Shapes of three classes: discs, bars, and a third that no whole cell had."""
    shapes = [disc(6), disc(7), np.ones((4, 16), bool)]
    config = MaskConfig(20, 0, (160, 200), PlacementConfig("uniform", cell_size_px=14), AS_IS)
    return MaskGenerator(ShapeDatabase(shapes, AS_IS, classes=[0, 0, 1]), config)


def test_shapes_are_those_of_the_class_that_was_drawn():
    """With 40 cells of either class as likely, fewer than 8 of one of them come up in 1 of 10,000 masks."""
    masks = classed_masks()
    mask = masks.sample(np.random.default_rng(0), count=40, shares=np.array([0.5, 0.5]))
    assert mask.placed == 40
    assert min(np.bincount(mask.classes, minlength=2)) >= 8
    assert set(mask.shape_ids[mask.classes == 0]) == {0, 1}
    assert set(mask.shape_ids[mask.classes == 1]) == {2}
    areas = np.bincount(mask.instances.ravel())[1:]
    inside = [min(r, c) >= 0 and r + s.shape[0] <= 160 and c + s.shape[1] <= 200 for r, c, s in mask.amodal]
    assert set(areas[(mask.classes == 1) & inside]) == {64}
    only = masks.sample(np.random.default_rng(1), count=9, shares=np.array([0.0, 1.0]))
    assert set(only.classes) == {1}
    assert masks.sample(np.random.default_rng(1), count=9).classes is None


def test_a_class_without_shapes_takes_any():
    masks = classed_masks()
    mask = masks.sample(np.random.default_rng(0), count=40, shares=np.array([0.0, 0.0, 1.0]))
    assert set(mask.classes) == {2}
    assert set(mask.shape_ids) == {0, 1, 2}


def test_classes_of_shapes_are_kept_when_stored_and_selected():
    masks = classed_masks()
    again = MaskGenerator.from_arrays(masks.to_arrays(), masks.to_dict())
    assert again.shapes.classes.tolist() == [0, 0, 1]
    assert masks.shapes.scaled(2.0).classes.tolist() == [0, 0, 1]
    speck = np.ones((1, 2), bool)
    assert ShapeDatabase.select([disc(6), speck, disc(7)], classes=[3, 4, 5]).classes.tolist() == [3, 5]
    assert "shape_classes" not in MaskGenerator(ShapeDatabase([disc(6)]), masks.config).to_arrays()
    with pytest.raises(ValueError, match=r"classes has shape \(1,\) for 2 shapes"):
        ShapeDatabase([disc(6), disc(7)], classes=[0])


def test_fitted_shapes_keep_the_classes_of_their_cells():
    instances = np.zeros((60, 90), np.int32)
    instances[20:30, 10:20], instances[20:24, 40:60], instances[50:60, 80:90] = 1, 2, 3  # the third at the border
    smear = Smear(np.zeros((60, 90, 3), np.uint8), instances, classes=np.array([4, 7, 9]))
    fitted = MaskGenerator.fit([smear], keep_classes=True)
    assert sorted(zip(fitted.shapes.classes.tolist(), fitted.shapes.areas().tolist(), strict=True)) == [
        (4, 100),
        (7, 80),
    ]
    assert MaskGenerator.fit([smear]).shapes.classes is None


def test_an_option_that_there_is_not_is_named():
    with pytest.raises(ValueError, match="there is no option 'nonsense'"):
        MaskGenerator.fit([], nonsense=1)


def test_wide_steps_on_a_narrow_canvas_are_no_places():
    """Steps around cells that are still to be laid were looked up as if they were places."""
    disc = np.hypot(*np.mgrid[-20:21, -20:21]) <= 20.5
    placement = PlacementConfig(cell_size_px=41.0, sigma_px=130.0)
    masks = MaskGenerator(ShapeDatabase([disc], ShapeConfig()), MaskConfig(40, 0, (246, 346), placement))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CrowdedWarning)
        assert all(masks.sample(np.random.default_rng(k)).placed > 10 for k in range(60))
