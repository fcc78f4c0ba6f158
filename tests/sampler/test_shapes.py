import numpy as np
import pytest
from scipy import ndimage

from bloodlib.sampler.shapes import ShapeConfig, ShapeDatabase, SoftShape, cut_shapes, fill_and_solidity, warp
from bloodlib.smears import Smear


def disc(radius, side=None):
    side = side or 2 * int(radius) + 3
    axis = np.arange(side) - (side - 1) / 2
    return np.hypot(axis[:, None], axis[None, :]) <= radius


def smear_of(instances):
    return Smear(np.zeros((*instances.shape, 3), np.uint8), instances.astype(np.int32))


def test_only_cells_that_the_border_does_not_cut_are_taken():
    mask = np.zeros((40, 60))
    mask[0:5, 10:20] = 1
    mask[10:20, 50:60] = 2
    mask[12:22, 30:41] = 3
    shapes = cut_shapes(smear_of(mask))
    assert [shape.shape for shape in shapes] == [(10, 11)]
    assert shapes[0].all()


def test_rules_drop_fragments_clumps_and_dents_and_say_how_many():
    cell = disc(10)
    merged = np.zeros((23, 43), dtype=bool)
    merged[:, :23] |= disc(10)
    merged[:, 20:] |= disc(10)
    database = ShapeDatabase.select([cell] * 8 + [disc(3), disc(22), merged])
    assert database.dropped == {"too small": 1, "too large": 1, "not convex enough": 1}
    assert len(database) == 8


def test_holes_are_filled_and_crumbs_removed():
    ring = disc(10) & ~disc(4, 23)
    crumbs = np.pad(ring, ((0, 0), (0, 6)))
    crumbs[11, 28] = True
    (shape,) = ShapeDatabase.select([crumbs]).shapes
    assert np.array_equal(shape, disc(10)[1:-1, 1:-1])


def test_solidity_of_known_figures():
    assert fill_and_solidity(np.ones((20, 30), bool))[1] == pytest.approx(1, abs=1e-9)
    assert fill_and_solidity(disc(20))[1] == pytest.approx(1, abs=1e-9)
    corner = np.ones((40, 40), bool)
    corner[20:, 20:] = False  # 1200 of the 1390 pixels of the hull: half of the diagonal is in it
    assert fill_and_solidity(corner)[1] == pytest.approx(1200 / 1390, abs=1e-9)


@pytest.mark.parametrize("shape", [np.ones((20, 31), bool), np.ones((21, 30), bool), disc(9.3)[1:-1, 1:-1]])
def test_quarter_turns_and_flips_move_pixels_exactly(shape):
    shape = shape.copy()
    if shape.all():
        shape[-6:, -9:] = False  # tells the corners apart
    straight = ShapeDatabase([shape], ShapeConfig(rotate=False, flip=True, scale=(1.0, 1.0)))
    drawn = {straight.sample(np.random.default_rng(k)).tobytes() for k in range(20)}
    assert drawn == {turned.tobytes() for turned in (shape, shape[::-1], shape[:, ::-1], shape[::-1, ::-1])}
    turned = warp(shape, angle=np.pi / 2)
    assert turned.shape == shape.shape[::-1]
    assert turned.sum() == pytest.approx(shape.sum(), abs=2)  # only corners soften
    assert np.count_nonzero(turned ^ np.rot90(shape, -1)) <= 4


@pytest.mark.parametrize("angle", [0.1, 0.5, np.pi / 4, 2.0])
@pytest.mark.parametrize("scale", [0.9, 1.0, 1.1, 2.0])
def test_a_disc_stays_a_disc_of_the_right_area(angle, scale):
    turned = warp(disc(20), angle, scale)
    assert turned.sum() == pytest.approx(np.pi * (20 * scale) ** 2, rel=0.02)
    assert max(turned.shape) - min(turned.shape) <= 1


@pytest.mark.parametrize("angle", np.linspace(0.05, 1.5, 7))
def test_straight_edges_stay_straight_without_stairs(angle):
    turned = np.pad(warp(np.ones((30, 44), bool), angle), 2)
    rows, cols = np.nonzero(turned ^ ndimage.binary_erosion(turned))
    centre = np.argwhere(turned).mean(axis=0)
    along = (cols - centre[1]) * np.cos(angle) + (rows - centre[0]) * np.sin(angle)
    across = -(cols - centre[1]) * np.sin(angle) + (rows - centre[0]) * np.cos(angle)
    long_side = np.abs(along) < 18  # away from the corners
    long_side &= np.abs(across) > 8
    # A digital straight line's pixel centres lie within one pixel of each other, across the line.
    distance = np.abs(across[long_side])
    assert distance.max() - distance.min() < 1.2
    assert turned.sum() == pytest.approx(30 * 44, rel=0.01)


def test_turning_there_and_back_changes_little():
    rng = np.random.default_rng(0)
    blob = ndimage.gaussian_filter(rng.normal(size=(60, 60)), 9) * disc(29, 60) > 0
    labels, _ = ndimage.label(blob)
    blob = labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])
    rows, cols = np.nonzero(blob)
    blob = blob[rows.min() : rows.max() + 1, cols.min() : cols.max() + 1]
    back = warp(warp(blob, 0.7), -0.7)
    assert back.sum() == pytest.approx(blob.sum(), rel=0.03)
    assert np.abs(np.subtract(back.shape, blob.shape)).max() <= 2


def test_a_shape_too_small_to_soften_is_kept():
    dot = np.ones((1, 1), bool)
    assert warp(dot, 0.3).any()


@pytest.mark.parametrize("bridge", [1, 2, 3, 5])
def test_a_drawn_shape_is_one_piece_even_if_a_thin_bridge_breaks(bridge):
    dumbbell = np.zeros((23, 60), bool)
    dumbbell[:, :23] |= disc(10)
    dumbbell[:, 37:] |= disc(10)
    dumbbell[11 - bridge // 2 : 11 - bridge // 2 + bridge, 11:49] = True
    database = ShapeDatabase([dumbbell])
    rng = np.random.default_rng(0)
    drawn = [database.sample(rng) for _ in range(60)]
    assert {ndimage.label(shape, np.ones((3, 3)))[1] for shape in drawn} == {1}
    assert all(shape[0].any() and shape[-1].any() and shape[:, 0].any() and shape[:, -1].any() for shape in drawn)
    assert SoftShape.of(dumbbell).sturdy == (bridge >= 3)


def test_augmented_areas_follow_the_scale_range():
    database = ShapeDatabase([disc(20)])
    rng = np.random.default_rng(0)
    areas = np.array([database.sample(rng).sum() for _ in range(500)]) / (np.pi * 400)
    assert areas.min() > 0.9**2 * 0.98
    assert areas.max() < 1.1**2 * 1.02
    assert areas.mean() == pytest.approx((1.1**3 - 0.9**3) / 0.6, rel=0.02)  # mean of s² for s uniform


def test_scaled_multiplies_the_area():
    assert ShapeDatabase([disc(20)]).scaled(1.5).areas()[0] == pytest.approx(np.pi * 900, rel=0.02)


def test_arrays_give_the_same_shapes_back():
    database = ShapeDatabase([disc(5), np.ones((3, 7), bool), disc(8.4)])
    again = ShapeDatabase.from_arrays(database.to_arrays())
    assert len(again) == 3
    for a, b in zip(database.shapes, again.shapes, strict=True):
        np.testing.assert_array_equal(a, b)


def test_same_seed_same_shape():
    database = ShapeDatabase([disc(5), np.ones((3, 7), bool), disc(8.4)])
    a, b = (database.draw(np.random.default_rng(7)) for _ in range(2))
    assert a[1] == b[1]
    np.testing.assert_array_equal(a[0], b[0])


def test_reach_holds_every_drawn_shape():
    database = ShapeDatabase([np.ones((4, 40), bool)])
    rng = np.random.default_rng(0)
    assert max(max(database.sample(rng).shape) for _ in range(200)) <= database.reach_px


def test_nothing_to_draw_from_is_an_error():
    with pytest.raises(ValueError, match="no cell shape"):
        ShapeDatabase.fit([smear_of(np.zeros((5, 5)))])
    with pytest.raises(ValueError, match=r"scale=\(1.2, 1.1\)"):
        ShapeConfig(scale=(1.2, 1.1))


def test_a_turned_disc_has_no_dents():
    # The digital picture of a convex figure has solidity 1; moved without softening this mean is 0.994.
    angles, scales = np.linspace(0.02, 1.55, 20), (0.9, 1.0, 1.1)
    solidity = [fill_and_solidity(warp(disc(20), angle, scale))[1] for angle in angles for scale in scales]
    assert np.mean(solidity) > 0.998
