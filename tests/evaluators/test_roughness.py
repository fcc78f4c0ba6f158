import cv2
import numpy as np
import pytest

from bloodlib.evaluators.roughness import displacement, roughness
from bloodlib.sampler.contours import SOFT_PX, STEP_NOISE
from bloodlib.smears import Smear


def drawn(stepped, seed=0, count=12):
    """A smear of ellipses that lie alone; in the picture they have the steps of the mask, or are drawn finely."""
    rng, fine, side = np.random.default_rng(seed), 8, 60
    instances, dark = np.zeros((side, side * count), np.int32), np.zeros((side, side * count), np.float32)
    for k in range(count):
        rows, columns = (np.mgrid[: side * fine, : side * fine] + 0.5) / fine
        turn = np.exp(1j * rng.uniform(0, np.pi))
        own = (columns - 30 + 1j * (rows - 30) + complex(*rng.uniform(-0.5, 0.5, 2))) / turn
        inside = np.hypot(own.real / rng.uniform(15, 18), own.imag / rng.uniform(13, 15)) <= 1
        window = np.s_[:, side * k : side * (k + 1)]
        instances[window] = np.where(inside[fine // 2 :: fine, fine // 2 :: fine], k + 1, 0)
        dark[window] = cv2.resize(inside.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA)
    dark = (instances > 0).astype(np.float32) if stepped else dark
    image = np.repeat((220 - 80 * dark)[..., None], 3, axis=2).round().astype(np.uint8)
    return Smear(image, instances, name="ellipses")


def test_a_mask_has_the_roughness_of_pixel_steps_and_a_fine_picture_has_not():
    fine, stepped = roughness([drawn(False)]), roughness([drawn(True)])
    assert fine["cells"] == stepped["cells"] == 12
    per_px = [np.linspace(1 / high, 1 / low, 200) for low, high in fine["wavelengths_px"]]
    noise = [np.trapezoid(2 * STEP_NOISE * np.exp(-((2 * np.pi * SOFT_PX * f) ** 2)), f) ** 0.5 for f in per_px]
    assert fine["mask_px"] == pytest.approx(noise, rel=0.25)
    assert stepped["picture_px"] == pytest.approx(stepped["mask_px"], abs=0.005)
    assert max(fine["picture_px"]) < 0.02


def test_a_wave_along_an_outline_is_measured_in_its_own_range():
    turn = np.exp(2j * np.pi * np.arange(256) / 256)
    length = 2 * np.pi * 20
    wave = 20 * turn * (1 + 0.3 / 20 * np.cos(2 * np.pi * 17 * np.arange(256) / 256))  # 7.4 px long, 0.3 px high
    fine, coarse = displacement(wave, length)
    assert fine == pytest.approx(0.3 / 2**0.5, rel=0.01)
    assert coarse == pytest.approx(0, abs=1e-9)


def test_cells_that_touch_or_are_cut_or_faint_are_left_out():
    smear = drawn(False)
    touching, faint = smear.instances.copy(), smear.image.copy()
    touching[:, :120] = np.where(touching[:, :120] == 0, 13, touching[:, :120])
    assert roughness([Smear(smear.image, touching, name="touching")])["cells"] == 10
    faint[:, :60] = 220 - (220 - faint[:, :60]) // 10
    assert roughness([Smear(faint, smear.instances, name="faint")])["cells"] == 11
    assert roughness([Smear(smear.image[25:], smear.instances[25:], name="cut")])["cells"] == 0
    nothing = roughness([])
    assert (nothing["cells"], nothing["picture_px"], nothing["mask_px"]) == (0, [], [])
