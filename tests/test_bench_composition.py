"""The benchmark of many types: masks held against trimaps, its sheet, and what it stored."""

import numpy as np
import pytest

from benchmarks import composition
from bloodlib._files import package_data, read_json
from bloodlib.datasets.single_cells import WHITE_NAMES
from bloodlib.datasets.wbc_segmentation import TYPE_NAMES, WhiteCell


def stored(name):
    return read_json(package_data("results", "composition", f"{name}.json"))


def white_cell(radius_px, shift_px=0, stained=True):
    """A violet disc with a dark nucleus on a pale ground, and its trimap, shifted."""
    rows, columns = np.indices((300, 300))
    image = np.full((300, 300, 3), (240, 225, 205), np.uint8)
    for of_px, colour in ((radius_px, (170, 120, 190)), (radius_px // 2, (90, 50, 130))) if stained else ():
        image[np.hypot(rows - 150, columns - 150) < of_px] = colour
    away = np.hypot(rows - 150, columns - 150 - shift_px)
    trimap = (away < radius_px).astype(np.uint8) + (away < radius_px // 2)
    return WhiteCell(image, trimap, 0, "drawn")


def test_masks_are_held_against_trimaps():
    found = composition.against_trimaps([white_cell(70), white_cell(70, shift_px=35), white_cell(70, stained=False)])
    low, high = found["dice"][TYPE_NAMES[0]]
    assert high > 0.9  # smoothing moves the border out by two pixels or so
    # Two discs of radius r, r / 2 apart: their lens is 2 arccos(1/4) r² - (r / 4) √(4 r² - r² / 4).
    assert low == pytest.approx((2 * np.arccos(0.25) - np.sqrt(15) / 8) / np.pi, abs=0.05)
    assert found["area"][TYPE_NAMES[0]] == pytest.approx([1.08, 1.08], abs=0.1)
    assert found["cells"] == {TYPE_NAMES[0]: 3}
    assert found["left_out"] == {TYPE_NAMES[0]: 1}


def test_the_sheet_has_rows_of_five():
    side = composition.THUMBNAIL_PX
    pictures = [np.full((2 * side, 2 * side, 3), 10 * k, np.uint8) for k in range(10)]
    sheet = composition.thumbnails(pictures)
    assert sheet.shape == (2 * (side + 4), 5 * (side + 4), 3)
    assert [sheet[y, x, 0] for y in (0, side + 4) for x in (0, 4 * (side + 4))] == [0, 40, 50, 90]
    assert (sheet[side : side + 4] == 255).all()


def test_what_is_left_out_and_what_is_used_are_all_pictures():
    masks = stored("masks")
    used = sum(masks["fit"][name] + masks["held_out"][name] for name in WHITE_NAMES)
    assert used + sum(masks["left_out"].values()) == masks["pictures"]
    found = masks["against_trimaps"]
    for kind, values in found["dice"].items():
        assert len(values) + found["left_out"][kind] == found["cells"][kind]
        assert values == sorted(values)


def test_what_is_composed_is_stored_with_real_smears_beside_it():
    composed = stored("composed")
    measured = set(composed["mended"])
    assert set(composed["published"]) == set(composed["full_size"]) == measured
    assert {"coverage", "border_step", "cell_grey", "ground_grey"} <= measured & set(composed["real"])
    assert composed["published"]["cells"]["mean"] == composed["graph"]["count"]
    assert composed["full_size"]["cells"]["mean"] == composed["graph_at_full_size"]["count"]
