import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from bloodlib.sampler.canvas import Canvas
from bloodlib.sampler.nearest import Nearest
from bloodlib.sampler.stamp import Stamp

DISC = np.hypot(*np.mgrid[-6:7, -6:7]) <= 6.2
RING = DISC & (np.hypot(*np.mgrid[-6:7, -6:7]) >= 4)
SHAPES = [DISC, np.ones((5, 17), bool), RING, np.ones((1, 1), bool)]


def crowded(shape, core_px, cells, seed=0):
    """Lay cells wherever they fit, also cut by the border, and tell the map."""
    rng, canvas, nearest = np.random.default_rng(seed), Canvas(shape, 30, 10), Nearest(shape, 10.0, core_px)
    centres = []
    while len(centres) < cells:
        stamp, point = Stamp(SHAPES[len(centres) % 2]), rng.integers(0, shape)
        taken = canvas.taken(stamp, point)
        if taken is not None:
            canvas.lay(stamp, point, canvas.free_colours(taken)[0])
            nearest.cut(stamp, point)
            centres.append(point)
    return canvas, nearest, np.array(centres).reshape(-1, 2)


@pytest.mark.parametrize("cells", [0, 1, 12, 25])
@pytest.mark.parametrize("core_px", [0.5, 9.0])
def test_places_are_those_with_room_for_the_inner_disc_in_order_of_distance(cells, core_px):
    shape = (61, 83)  # no multiple of the squares' side
    canvas, nearest, centres = crowded(shape, core_px, cells)
    pixels = np.argwhere(np.ones(shape, bool))
    margin = canvas.margin
    room = distance_transform_edt(~canvas.covered()) if cells else np.full((999, 999), 99.0)
    room = room[margin : margin + shape[0], margin : margin + shape[1]].ravel()
    apart = np.array([np.hypot(*(pixels - centre).T) >= core_px for centre in centres]).all(axis=0) | (not cells)
    for piece, radius in zip(SHAPES, (40**0.5, 3.0, 0.0, 1.0), strict=True):
        for target in np.array([[30, 40], [0, 0], [60, 82], [17, 70]]):
            found = np.concatenate([np.zeros((0, 2), int), *nearest.places(Stamp(piece), target)])
            wanted = pixels[apart & (room >= radius - 1e-3)]
            away = ((wanted - target) ** 2).sum(axis=1)
            np.testing.assert_array_equal(found, wanted[np.argsort(away, kind="stable")])


def test_no_place_that_holds_a_shape_is_left_out():
    canvas, nearest, _ = crowded((40, 60), 0.5, 10)
    for piece in SHAPES:
        stamp = Stamp(piece)
        found = {tuple(place) for places in nearest.places(stamp, np.array([20, 30])) for place in places.tolist()}
        holds = [tuple(p) for p in np.ndindex(40, 60) if canvas.taken(stamp, np.array(p)) is not None]
        assert holds
        assert set(holds) <= found


def test_few_places_are_listed_before_the_first_when_most_of_the_image_is_open():
    nearest = Nearest((1200, 1920), 35.0, 34.5)
    first = next(nearest.places(Stamp(DISC), np.array([600, 900])))
    assert first[0].tolist() == [600, 900]
    assert len(first) < 5000
