import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from bloodlib.sampler.contours import SOFT_PX, STEP_NOISE, outline, smoothed, without_steps
from bloodlib.sampler.outlines import SoftShape, fill_and_solidity, largest_piece
from bloodlib.sampler.shapes import ShapeConfig, ShapeDatabase


class Ellipse:
    """An ellipse with axes about `radius`, drawn to pixels, and the distance of points from its edge."""

    def __init__(self, rng, radius):
        self.axes = radius * rng.uniform(0.8, 1.2, 2)
        self.turn = np.exp(1j * rng.uniform(0, np.pi))
        side = int(2.6 * radius) + 3
        self.middle = complex(*(side / 2 + rng.uniform(-0.5, 0.5, 2)))
        rows, columns = np.mgrid[:side, :side]
        inside = np.argwhere(self.distance(columns + 1j * rows) <= 0)
        (top, left), (bottom, right) = inside.min(0), inside.max(0) + 1
        self.shape = self.distance(columns + 1j * rows)[top:bottom, left:right] <= 0
        self.middle -= left + 1j * top

    def distance(self, points):
        """Signed, in px, to first order near the edge."""
        own = (points - self.middle) / self.turn
        scaled = np.stack([own.real, own.imag]) / self.axes.reshape(2, *[1] * np.ndim(points))
        slope = 2 * np.hypot(*(scaled / self.axes.reshape(2, *[1] * np.ndim(points))))
        return ((scaled**2).sum(axis=0) - 1) / np.maximum(slope, 1e-9)


@pytest.mark.parametrize("radius", [10, 17, 30])
def test_the_power_of_pixel_steps_is_as_stated(radius):
    rng, found = np.random.default_rng(0), []
    for _ in range(300):
        ellipse = Ellipse(rng, radius)
        points, length = outline(ellipse.shape)
        power = np.abs(np.fft.rfft(ellipse.distance(points)) / len(points)) ** 2 * length
        order = np.arange(2, 9)
        found.append(power[order] / np.exp(-((2 * np.pi * SOFT_PX * order / length) ** 2)))
    assert np.mean(found) == pytest.approx(STEP_NOISE, rel=0.06)


@pytest.mark.parametrize("radius", [6, 10, 17, 30])
def test_an_outline_comes_nearer_to_the_figure_that_was_drawn(radius):
    rng, before, after = np.random.default_rng(1), [], []
    for _ in range(40):
        ellipse = Ellipse(rng, radius)
        points, length = outline(ellipse.shape)
        before.append(np.std(ellipse.distance(points)))
        after.append(np.std(ellipse.distance(without_steps(points, length))))
    assert np.mean(after) < 0.7 * np.mean(before)


def test_the_tip_of_a_teardrop_stays_where_it_is():
    rows, columns = np.mgrid[:41, :71]
    cell = np.hypot(rows - 20, columns - 20) <= 16
    tail = (np.abs(rows - 20) <= 7 * (68 - columns) / 40) & (columns >= 28)
    shape = (cell | tail)[4:37, 4:69]
    points, length = outline(shape)
    assert without_steps(points, length).real.max() == pytest.approx(points.real.max(), abs=0.5)


@given(st.integers(0, 2**32 - 1))
def test_any_shape_keeps_its_area_and_its_place(seed):
    field = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(40, 40)), 3) > 0
    shape, _ = fill_and_solidity(largest_piece(field))
    cover = smoothed(shape, pad=2) / 255
    assert cover.shape == (shape.shape[0] + 4, shape.shape[1] + 4)
    kept = cover[2:-2, 2:-2]
    if not np.array_equal(kept > 0, shape):
        assert cover.sum() == pytest.approx(shape.sum(), rel=0.02, abs=2)
    assert np.abs(np.argwhere(kept > 0.5).mean(0) - np.argwhere(shape).mean(0)).max() < 1
    inner, outer = ndimage.binary_erosion(shape, np.ones((7, 7))), ndimage.binary_dilation(shape, np.ones((7, 7)))
    assert (kept[inner] > 0.5).all()
    assert not (kept[~outer] > 0.5).any()


@pytest.mark.parametrize("shape", [np.ones((1, 1), bool), np.ones((1, 12), bool), np.eye(9, dtype=bool)])
def test_what_is_too_thin_to_follow_stays_as_it_is(shape):
    assert np.array_equal(smoothed(shape), shape * np.uint8(255))


def test_a_shape_with_a_hole_stays_as_it_is():
    ring = np.hypot(*np.mgrid[-11:12, -11:12]) <= 11
    ring[8:15, 8:15] = False
    assert np.array_equal(smoothed(ring), ring * np.uint8(255))


def test_a_drawn_shape_has_the_steps_of_one_place_only():
    rng = np.random.default_rng(2)
    ellipses = [Ellipse(rng, 17) for _ in range(30)]
    rough = {}
    for smooth in (False, True):
        database = ShapeDatabase([e.shape for e in ellipses], ShapeConfig(scale=(1.0, 1.0), smooth=smooth))
        found = []
        for shape in (database.sample(rng) for _ in range(200)):
            points, length = outline(shape)
            power = np.abs(np.fft.fft(points) / len(points)) ** 2 * length
            found.append(np.r_[power[6:16], power[-16:-5]].sum())
        rough[smooth] = np.mean(found)
    drawn_once = []
    for ellipse in ellipses:
        points, length = outline(ellipse.shape)
        power = np.abs(np.fft.fft(points) / len(points)) ** 2 * length
        drawn_once.append(np.r_[power[6:16], power[-16:-5]].sum())
    assert rough[True] < 1.3 * np.mean(drawn_once)
    assert rough[False] > 1.6 * np.mean(drawn_once)


def test_a_smooth_shape_is_softened_like_any_other():
    disc = np.hypot(*np.mgrid[-17:18, -17:18]) <= 17.3
    plain, smooth = SoftShape.of(disc), SoftShape.of(disc, smooth=True)
    assert (plain.pad, plain.radius_px, plain.sturdy) == (smooth.pad, smooth.radius_px, smooth.sturdy)
    assert plain.image.shape == smooth.image.shape
    assert np.abs(plain.image.astype(int) - smooth.image).mean() < 3
