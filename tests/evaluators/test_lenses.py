import numpy as np
import pytest

from bloodlib.evaluators.lenses import lens_darkness
from bloodlib.smears import Smear


def overlapping(passes, apart=24):
    """Two discs of radius 18 that light passes one after the other, to the power `passes` where both are."""
    rows, columns = np.mgrid[:80, :110]
    one, other = (np.hypot(rows - 40, columns - at) <= 18 for at in (40, 40 + apart))
    instances = np.where(one, 1, np.where(other, 2, 0)).astype(np.int32)
    instances[:, 40 + apart // 2 :][other[:, 40 + apart // 2 :]] = 2  # cut midway, as a watershed does
    absorbance = np.where(one & other, 0.5 * passes, 0.5 * (one | other))
    image = np.repeat((220 * np.exp(-absorbance)).round().astype(np.uint8)[..., None], 3, axis=2)
    return Smear(image, instances, name="two")


@pytest.mark.parametrize("passes", [1.0, 1.5, 2.0])
def test_a_lens_is_as_dark_as_it_was_made(passes):
    found = lens_darkness([overlapping(passes)])
    assert found["cells"] == 2
    assert found["ratio"][2] == pytest.approx(passes, rel=0.06)


def test_cells_that_only_touch_are_not_looked_at():
    assert lens_darkness([overlapping(1.0, apart=36)])["cells"] == 0
    assert lens_darkness([]) == {"cells": 0, "ratio": []}
