import cv2
import numpy as np
import pytest

from bloodlib.sampler.shapes import ShapeConfig, ShapeDatabase, contact_share, cut_shapes
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
    assert database.dropped == {"too small": 1, "too large": 1, "dented": 1, "not convex enough": 0}
    assert len(database) == 8
    rows, cols = np.mgrid[-12:13, -12:13]
    crumpled = np.hypot(rows, cols) <= 10 + 2 * np.cos(8 * np.arctan2(rows, cols))
    solid = ShapeDatabase.select([cell, crumpled], ShapeConfig(max_dent=1.0))
    assert solid.dropped["not convex enough"] == 1


def test_contact_is_the_share_of_the_outline_at_one_neighbour():
    mask = np.zeros((60, 80), int)
    mask[10:30, 10:30] = 1
    mask[10:30, 30:50] = 2  # shares a whole side with 1
    mask[30:50, 30:40] = 3  # half a side with 2
    mask[10:30, 60:80] = 4  # against the border of the image
    # An m by n rectangle has 2 (m + n) axial and 4 (m + n - 1) diagonal pairs of an inner and an outer pixel.
    whole, side = 80 + 156 / np.sqrt(2), 20 + 38 / np.sqrt(2)
    share = contact_share(mask)
    np.testing.assert_allclose(share[:2], side / whole)
    assert share[2] == pytest.approx((10 + 19 / np.sqrt(2)) / (60 + 116 / np.sqrt(2)))
    assert share[3] == 0
    np.testing.assert_allclose(contact_share(mask.T), share)
    assert contact_share(np.zeros((4, 4), int)).shape == (0,)


@pytest.mark.parametrize("angle", np.linspace(0, np.pi, 7))
def test_contact_of_a_cut_disc_is_chord_over_outline_however_it_lies(angle):
    rows, cols = np.mgrid[-60:61, -60:61]
    across = rows * np.sin(angle) + cols * np.cos(angle)
    halves = np.where(np.hypot(rows, cols) > 50, 0, np.where(across > 20.2, 1, 2))
    chord, arc = 2 * np.sqrt(50**2 - 20.2**2), 2 * 50 * np.arccos(20.2 / 50)
    cap, rest = contact_share(halves)
    assert cap == pytest.approx(chord / (chord + arc), rel=0.06)
    assert rest == pytest.approx(chord / (chord + 2 * np.pi * 50 - arc), rel=0.06)


def test_cells_that_a_neighbour_cuts_are_left_out_and_cells_that_only_touch_stay():
    rows, cols = np.mgrid[:60, :140]
    mask = np.zeros((60, 140), int)
    for k, centre in enumerate((25, 66, 104), start=1):  # 1 and 2 touch, 2 and 3 overlap and are cut between them
        mask[np.hypot(rows - 30, cols - centre) <= 20.3] = k
    mask[(mask > 1) & (cols >= 85)] = 3
    mask[(mask > 1) & (cols < 85)] = 2
    smear = smear_of(mask)
    assert [shape.sum() for shape in cut_shapes(smear)] == [(mask == k).sum() for k in (1, 2, 3)]
    mask[(mask == 3) & (cols < 98)] = 2
    smear = smear_of(mask)
    assert [shape.sum() for shape in cut_shapes(smear)] == [(mask == 1).sum()]
    assert len(cut_shapes(smear, config=ShapeConfig(max_contact=0.5))) == 3
    database = ShapeDatabase.fit([smear])
    assert database.dropped["cut by a neighbour"] == 2
    assert database.dropped["cut by the border"] == 0
    assert sum(database.dropped.values()) + len(database) == 3


def test_holes_are_filled_and_crumbs_removed():
    ring = disc(10) & ~disc(4, 23)
    crumbs = np.pad(ring, ((0, 0), (0, 6)))
    crumbs[11, 28] = True
    (shape,) = ShapeDatabase.select([crumbs]).shapes
    assert np.array_equal(shape, disc(10)[1:-1, 1:-1])


def test_augmented_areas_follow_the_scale_range():
    database = ShapeDatabase([disc(20)])
    rng = np.random.default_rng(0)
    areas = np.array([database.sample(rng).sum() for _ in range(500)]) / (np.pi * 400)
    assert areas.min() > 0.9**2 * 0.98
    assert areas.max() < 1.1**2 * 1.02
    assert areas.mean() == pytest.approx((1.1**3 - 0.9**3) / 0.6, rel=0.02)  # mean of s² for s uniform


def handedness(shape):
    """The seventh invariant of Hu (1962) changes its sign in a mirror, and in no turn."""
    return int(np.sign(cv2.HuMoments(cv2.moments(shape.astype(np.uint8), binaryImage=True))[6, 0]))


def test_drawn_shapes_are_turned_and_mirrored_each_only_where_asked():
    hook = np.zeros((40, 24), bool)
    hook[:, :9] = hook[31:, :] = True  # an L, which no turn makes its mirror image
    assert handedness(hook) == handedness(np.rot90(hook)) == -handedness(hook[:, ::-1]) != 0

    def forms(rotate, flip):
        database, rng = (
            ShapeDatabase([hook], ShapeConfig(rotate=rotate, flip=flip, scale=(1.0, 1.0))),
            np.random.default_rng(0),
        )
        drawn = [database.sample(rng) for _ in range(120)]
        axes = set()
        for shape in drawn:
            m = cv2.moments(shape.astype(np.uint8), binaryImage=True)
            turned = np.rad2deg(np.arctan2(2 * m["mu11"], m["mu20"] - m["mu02"]) / 2) % 180
            axes.add(int(turned // 30))
        return {handedness(shape) for shape in drawn}, axes, {shape.tobytes() for shape in drawn}

    # All 120 alike in one of two hands has a probability of 1e-36, a sixth of all directions missing 2e-9.
    assert forms(True, True)[:2] == ({-1, 1}, set(range(6)))
    hands, axes, _ = forms(True, False)
    assert (hands, axes) == ({handedness(hook)}, set(range(6)))
    hands, _, shapes = forms(False, True)
    assert (hands, shapes) == ({-1, 1}, {hook[::a, ::b].tobytes() for a in (1, -1) for b in (1, -1)})
    assert forms(False, False)[2] == {hook.tobytes()}


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


@pytest.mark.parametrize(
    ("shape", "what"),
    [
        (np.zeros((4, 5), bool), "holds no pixel"),
        (np.zeros((0, 0), bool), "holds no pixel"),
        (np.array([[1, 0, 1]]), "lies in 2 pieces"),
        (np.ones((2, 2, 3), bool), r"has shape \(2, 2, 3\)"),
    ],
)
def test_what_is_no_shape_of_one_cell_is_refused(shape, what):
    with pytest.raises(ValueError, match=rf"shapes\[1\] {what}: needed is .*ShapeDatabase\.select"):
        ShapeDatabase([disc(5), shape])
    assert len(ShapeDatabase([np.eye(4, dtype=bool)])) == 1  # pieces are joined over corners


def test_nothing_to_draw_from_is_an_error():
    with pytest.raises(ValueError, match="no cell shape"):
        ShapeDatabase.fit([smear_of(np.zeros((5, 5)))])
    with pytest.raises(ValueError, match=r"scale=\(1.2, 1.1\)"):
        ShapeConfig(scale=(1.2, 1.1))
