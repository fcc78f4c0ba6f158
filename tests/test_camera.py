"""The camera: what is put into a picture is measured again, and what is measured is put in."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from bloodlib.camera import SPECTRUM, TILE_PX, Camera
from bloodlib.compression import compressed, jpeg_traces

SHAPE = (240, 320)
CELL_PX = 34


def mask(shape=SHAPE) -> np.ndarray:
    """Give a mask of round cells in rows, with an empty lane for grain."""
    instances, number = np.zeros(shape, np.int32), 0
    rows, columns = np.indices(shape)
    for y in range(30, shape[0] - 20, 60):
        for x in range(30, shape[1] * 2 // 3, 60):
            number += 1
            instances[(rows - y) ** 2 + (columns - x) ** 2 <= (CELL_PX / 2) ** 2] = number
    return instances


def paint(instances: np.ndarray) -> np.ndarray:
    """Paint a smear as flat as a painter's, with soft outlines."""
    sheet = np.where(instances[..., None] > 0, (150, 80, 110), (200, 190, 180)).astype(np.float32)
    return np.rint(cv2.GaussianBlur(sheet, (0, 0), 1.2)).astype(np.uint8)


def camera(light=0, offset=0, response=1, grain=0, shape=SHAPE) -> Camera:
    """Give a camera of one smear that does only what is given."""
    given = (light, (3, 6)), (offset, (2, 3)), (response, SPECTRUM), (grain, SPECTRUM)
    return Camera(*(np.broadcast_to(np.asarray(x, np.float32), size)[None] for x, size in given), shape)


def measured(real: np.ndarray, painted: np.ndarray | None = None) -> Camera:
    instances = mask(real.shape[:2])
    return Camera.fit([(real, paint(instances) if painted is None else painted, instances)])


def test_a_camera_that_does_nothing_changes_nothing():
    painted = paint(mask())
    np.testing.assert_array_equal(camera().take(painted, np.random.default_rng(0)), painted)


def test_light_is_measured_as_it_fell():
    slopes = np.zeros((3, 6))
    slopes[:, 0], slopes[0, 1], slopes[2, 2], slopes[1, 5] = (0.05, -0.02, 0.0), 0.06, -0.05, -0.04
    real = camera(light=slopes).take(paint(mask()), np.random.default_rng(0))
    found = measured(real)
    np.testing.assert_allclose(found.light[0], slopes, atol=0.004)
    np.testing.assert_allclose(found.offset, 0, atol=0.05)


def test_light_is_that_of_the_background_whatever_lies_in_it():
    painted = paint(mask())
    real = painted.copy()
    real[100:120, 250:290] = 60  # something dark that the mask does not know
    np.testing.assert_allclose(measured(real).light, 0, atol=0.004)


@pytest.mark.parametrize("offset", [[(0.6, -0.2, 0.0), (-0.4, 0.3, 0.0)], [(0.0, 0.0, -0.6), (0.2, 0.0, 0.4)]])
def test_fringes_are_measured_as_they_were_set(offset):
    real = camera(offset=offset).take(paint(mask()), np.random.default_rng(0))
    np.testing.assert_allclose(measured(real).offset[0], offset, atol=0.06)


def test_a_red_that_lies_to_the_right_reddens_no_right_side():
    # Cells are dark: where red's outline lies further right, the right rim of a cell is still dark in red.
    instances = mask()
    real = camera(offset=[(1.0, 0, 0), (0, 0, 0)]).take(paint(instances), np.random.default_rng(0)).astype(int)
    row, centre, half = 90, 90, CELL_PX // 2
    left, right = (real[row, centre + side * half] for side in (-1, 1))
    assert left[0] - left[1] > right[0] - right[1] + 10


def test_a_fringe_of_what_was_painted_is_no_fringe_of_the_camera():
    instances = mask()
    shifted = camera(offset=[(0.5, 0, 0), (0, 0.4, 0)]).take(paint(instances), np.random.default_rng(0))
    found = Camera.fit([(shifted, shifted, instances)])
    assert not found.offset.any()
    assert not found.light.round(6).any()
    assert not found.grain.any()


def test_grain_is_as_strong_and_as_coarse_as_it_was():
    frequencies = np.hypot(np.fft.fftfreq(TILE_PX)[:, None], np.fft.rfftfreq(TILE_PX)[None])
    grain = np.stack([40 * (frequencies < 0.2), 6 * (frequencies > 0.1), 9 * np.ones_like(frequencies)])
    grain[:, 0, 0] = 0
    instances = np.zeros((480, 640), np.int32)
    painted = paint(instances)
    real = camera(grain=grain, shape=(480, 640)).take(painted, np.random.default_rng(0))
    found = Camera.fit([(real, painted, instances)]).grain[0]
    for luma_or_chroma in range(3):
        strong = grain[luma_or_chroma] > 0
        inside = cv2.erode(strong.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=1) > 0
        inside[:3, :3] = inside[-3:, :3] = False
        ratio = found[luma_or_chroma][inside].mean() / grain[luma_or_chroma][inside].mean()
        assert ratio == pytest.approx(1, abs=0.15)
    quiet = frequencies > 0.3
    assert found[0][quiet].mean() < 2  # of 40 where there is grain; rounding to grey levels leaves a little


def test_grain_comes_out_of_storing_as_fine_as_the_smear_has_it():
    painted, lane = paint(mask((360, 480))), np.s_[:, 350:, 1]
    real = compressed(camera(grain=6, shape=(360, 480)).take(painted, np.random.default_rng(0)), 92, True)

    def finest(picture):
        return float((np.diff(picture[lane].astype(float), n=2, axis=0) ** 2).mean())

    def off(**options):
        found = Camera.fit([(real, painted, mask((360, 480)))], **options)
        taken = (found.take(painted, np.random.default_rng(seed)) for seed in range(4))
        taken = [picture if options["compression"] else compressed(picture, 92, True) for picture in taken]
        return abs(np.mean([finest(picture) for picture in taken]) / finest(real) - 1)

    assert off(compression=True) < 0.06 < 0.15 < off(compression=False)


def test_what_is_said_of_a_camera_is_what_it_does():
    slopes = np.zeros((3, 6))
    slopes[1, 1] = 0.1
    lens = camera(light=slopes, grain=np.array([9, 0, 0])[:, None, None])
    flat = np.full((240, 320, 3), 120, np.uint8)
    taken = lens.take(flat, np.random.default_rng(0)).astype(float)
    assert taken[..., 0].std() == pytest.approx(lens.grain_std[0, 0], rel=0.05)  # luma is in every colour alike
    assert lens.grain_std[0].tolist() == pytest.approx([3, 0, 0])
    across = taken[..., 1].mean(axis=0)
    assert across[-8:].mean() / across[:8].mean() - 1 == pytest.approx(lens.unevenness[0], abs=0.02)


def test_fine_colour_that_real_smears_lack_is_smoothed_away_and_brightness_is_not():
    instances = mask((480, 640))
    real, noise = paint(instances), np.random.default_rng(0).normal(0, 6, (480, 640))
    colourful = np.clip(real + np.stack([noise, -0.3 * noise, -noise], axis=-1), 0, 255).astype(np.uint8)
    lens = measured(real, colourful)
    taken = lens.take(colourful, np.random.default_rng(0)).astype(float)
    lane = np.s_[:, 470:]  # background
    before, after = (np.std(x[..., 0][lane] - x[..., 1][lane].astype(float)) for x in (colourful.astype(float), taken))
    assert after < 0.3 * before
    bright = np.clip(real + noise[..., None], 0, 255).astype(np.uint8)  # as strong in both: nothing to smooth
    kept = measured(bright, bright).take(bright, np.random.default_rng(0))
    np.testing.assert_array_equal(kept, bright)


def test_dust_is_no_grain():
    instances, rng = np.zeros((480, 640), np.int32), np.random.default_rng(1)
    real = paint(instances)
    for y, x in rng.integers(20, 460, (20, 2)):
        cv2.circle(real, (int(x), int(y)), 3, (90, 80, 120), -1)
    assert Camera.fit([(real, paint(instances), instances)]).grain.sum() < 1


def test_grain_of_a_smear_without_room_is_that_of_the_others():
    crowded = np.arange(240 * 320).reshape(240, 320) // 320 // 8 + 1  # no background at all
    rng = np.random.default_rng(0)
    noisy = np.clip(paint(mask()) + rng.normal(0, 4, (*SHAPE, 3)), 0, 255).astype(np.uint8)
    views = [(noisy, paint(mask()), mask()), (paint(crowded), paint(crowded), crowded)]
    found = Camera.fit(views)
    np.testing.assert_array_equal(found.grain[1], found.grain[0])
    assert found.grain[0].sum() > 100
    assert not found.light[1].any()
    alone = Camera.fit(views[1:])
    assert not alone.grain.any()
    assert (alone.response == 1).all()
    lent = Camera.fit(views[1:], otherwise=found)
    np.testing.assert_allclose(lent.grain[0], found.grain.mean(axis=0), rtol=1e-5)


def test_grain_is_lent_by_smears_of_the_same_background():
    rng, crowded = np.random.default_rng(0), np.arange(240 * 320).reshape(240, 320) // 320 // 8 + 1

    def view(grain, shade, instances):
        flat = paint(mask()).astype(float) - shade
        return (
            np.clip(flat + rng.normal(0, grain, flat.shape), 0, 255).astype(np.uint8),
            flat.astype(np.uint8),
            instances,
        )

    strong, weak = [view(8, 0, mask()) for _ in range(3)], [view(2, 60, mask()) for _ in range(2)]
    found = Camera.fit([*strong, *weak, view(5, 62, crowded)])
    np.testing.assert_allclose(found.grain[5], found.grain[3:5].mean(axis=0), rtol=1e-5)


def test_a_small_window_is_taken_from_the_middle_and_a_large_one_lit_all_over():
    slope = np.zeros((3, 6))
    slope[:, 1] = 0.2
    lens = camera(light=slope)
    flat = np.full((*SHAPE, 3), 120, np.uint8)
    whole = lens.take(flat, np.random.default_rng(0))
    part = lens.take(flat[:100, :120], np.random.default_rng(0))
    np.testing.assert_array_equal(part, whole[70:170, 100:220])
    large = lens.take(np.full((480, 640, 3), 120, np.uint8), np.random.default_rng(0))
    assert abs(int(large[0, -1, 0]) - int(whole[0, -1, 0])) <= 1


def test_pictures_depend_on_the_generator_and_the_smear_alone(tmp_path):
    from safetensors.numpy import load_file, save_file

    both = [camera(grain=k) for k in (4, 25)]
    names = ("light", "offset", "response", "grain")
    lens = Camera(*(np.concatenate([getattr(one, name) for one in both]) for name in names), SHAPE)
    painted = paint(mask())
    first, again, other = (lens.take(painted, np.random.default_rng(k), 1) for k in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    rough, fine = (np.std(lens.take(painted, np.random.default_rng(0), k).astype(float) - painted) for k in (1, 0))
    assert rough > 2 * fine
    drawn = [lens.take(painted, np.random.default_rng(k)) for k in range(8)]
    spread = [np.std(image.astype(float) - painted) for image in drawn]
    assert max(spread) > 2 * min(spread)  # either smear is drawn
    save_file(lens.to_arrays(), tmp_path / "camera.safetensors")
    read = Camera.from_arrays(load_file(tmp_path / "camera.safetensors"))
    np.testing.assert_array_equal(read.take(painted, np.random.default_rng(0), 1), first)
    assert len(read) == 2


def test_no_smear_is_refused():
    with pytest.raises(ValueError, match="no smear given"):
        Camera.fit([])


def test_pictures_get_the_traces_of_jpeg_that_the_smear_has():
    painted = paint(mask())
    real = compressed(camera(grain=9).take(painted, np.random.default_rng(0)), 85, True)
    found = measured(real)
    assert found.stored.tolist() == [[85, 1]]
    assert jpeg_traces(found.take(painted, np.random.default_rng(1))) == (85, True)
    np.testing.assert_array_equal(Camera.from_arrays(found.to_arrays()).stored, found.stored)
    without = Camera.fit([(real, painted, mask())], compression=False)
    assert jpeg_traces(without.take(painted, np.random.default_rng(1))) == (0, False)
    older = Camera.from_arrays({name: x for name, x in found.to_arrays().items() if name != "stored"})
    assert jpeg_traces(older.take(painted, np.random.default_rng(1))) == (0, False)
