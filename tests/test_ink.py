"""Scale bars and lettering: found, and painted over without harm to what lies under them."""

from __future__ import annotations

import numpy as np
import pytest
from barred import barred, grey

from bloodlib.datasets import load
from bloodlib.ink import find_ink, without_ink


@pytest.mark.parametrize("kind", ["black", "green"])
def test_bars_are_found_and_nothing_else(kind):
    ink = find_ink(barred(kind))
    assert ink[90:92, 100:140].all()
    assert not ink[:60].any()
    assert not ink[:, :90].any()
    assert not find_ink(grey()).any()


def test_round_dark_cells_are_no_bars():
    image = grey()
    rows, columns = np.indices(image.shape[:2])
    image[(rows - 60) ** 2 + (columns - 80) ** 2 < 20**2] = (90, 40, 80)
    assert not find_ink(image).any()


@pytest.mark.parametrize("kind", ["black", "green"])
def test_painted_over_bars_leave_what_was_there_and_all_else_alone(kind):
    image, plain = barred(kind), grey()
    image[82:88, 118] = image[90, 110]  # an upright of a letter
    clean = without_ink(image)
    assert clean.min() > 140  # of 150 to 170: no trace of ink
    far = np.ones(image.shape[:2], bool)
    far[76:96, 96:144] = False
    np.testing.assert_array_equal(clean[far], image[far])
    np.testing.assert_array_equal(image[90:92, 100:140, 0], 20 if kind == "black" else 60)  # not in place
    assert without_ink(plain) is plain


@pytest.mark.real
def test_every_scale_bar_of_chula_is_found(real_data):
    from bloodlib.io import read_image

    for name in load("chula_rbc12").names:
        ink = find_ink(read_image(real_data / "chula_rbc12" / "Dataset" / f"{name}.jpg"))
        assert ink[425:450, 490:610].any(), f"the bar of {name} is not found"
        assert ink.mean() < 0.03, f"{name}: too much is taken for ink"
