import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from bloodlib.sampler.outlines import SoftShape, deepest_dent, fill_and_solidity, largest_piece, warp
from bloodlib.sampler.shapes import ShapeConfig, ShapeDatabase


def disc(radius, side=None):
    side = side or 2 * int(radius) + 3
    axis = np.arange(side) - (side - 1) / 2
    return np.hypot(axis[:, None], axis[None, :]) <= radius


def test_solidity_of_known_figures():
    assert fill_and_solidity(np.ones((20, 30), bool))[1] == pytest.approx(1, abs=1e-9)
    assert fill_and_solidity(disc(20))[1] == pytest.approx(1, abs=1e-9)
    corner = np.ones((40, 40), bool)
    corner[20:, 20:] = False  # 1200 of the 1390 pixels of the hull: half of the diagonal is in it
    assert fill_and_solidity(corner)[1] == pytest.approx(1200 / 1390, abs=1e-9)


def equal_discs(diameter, apart):
    rows, cols = np.mgrid[: diameter + 3, : diameter + int(apart) + 3]
    middle = diameter / 2 + 1
    return (np.hypot(rows - middle, cols - middle) <= diameter / 2) | (
        np.hypot(rows - middle, cols - middle - apart) <= diameter / 2
    )


def test_convex_figures_have_no_dent():
    for figure in [disc(radius) for radius in (1, 2, 3, 5.5, 9.3, 20, 61)] + [np.ones((20, 30), bool)]:
        assert deepest_dent(figure) < 0.01
    assert deepest_dent(np.ones((1, 1), bool)) == deepest_dent(np.ones((1, 9), bool)) == 0


@pytest.mark.parametrize("share", [0.5, 0.6, 0.8, 0.95])
def test_two_equal_discs_have_the_waist_of_the_formula(share):
    diameter = 400
    pair = equal_discs(diameter, share * diameter)
    overlap = 2 / np.pi * (np.arccos(share) - share * np.sqrt(1 - share**2))
    waist = (1 - np.sqrt(1 - share**2)) / 2 / np.sqrt(2 - overlap)
    assert deepest_dent(pair) == pytest.approx(waist, abs=0.005)


def test_a_knob_is_a_dent_and_a_teardrop_is_none():
    rows, cols = np.mgrid[:60, :90]
    cell = np.hypot(rows - 30, cols - 30) <= 20
    knob = np.hypot(rows - 30, cols - 55) <= 6
    angle = np.arccos(20 / 40)  # the tangents from a point 40 px from the middle
    tail = (np.abs(rows - 30) <= (70 - cols) / np.tan(angle)) & (cols >= 30 + 20 * np.cos(angle)) & (cols <= 70)
    assert deepest_dent(cell | knob) > 0.1
    assert deepest_dent(cell | tail) < 0.01
    assert fill_and_solidity(cell | knob)[1] > 0.9  # which is why solidity alone lets it pass


@given(st.integers(0, 2**32 - 1))
def test_any_blob_has_a_dent_between_none_and_its_size(seed):
    field = np.random.default_rng(seed).random((12, 12)) < 0.6
    if field.any():
        dent = deepest_dent(fill_and_solidity(largest_piece(field))[0])
        assert 0 <= dent < 12


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


def test_a_turned_disc_has_no_dents():
    # The digital picture of a convex figure has solidity 1; moved without softening this mean is 0.994.
    angles, scales = np.linspace(0.02, 1.55, 20), (0.9, 1.0, 1.1)
    solidity = [fill_and_solidity(warp(disc(20), angle, scale))[1] for angle in angles for scale in scales]
    assert np.mean(solidity) > 0.998
