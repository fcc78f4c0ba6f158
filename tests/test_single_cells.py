"""Single cells: their colours, their field, and the derivation of white cells on a drawn picture."""

import numpy as np
import pytest

from bloodlib.datasets import single_cells as sc
from bloodlib.datasets.pbc_subset import PREFIXES
from bloodlib.smears import Smear

ROWS, COLUMNS = np.indices((360, 360))


def drawn(nucleus=(180, 180)):
    """A nucleus in pale cytoplasm between red cells that touch it, on a light ground."""
    rng = np.random.default_rng(0)
    image = np.full((360, 360, 3), [250, 228, 200], float)
    for row in range(40, 360, 95):
        for column in range(40, 360, 95):
            if np.hypot(row - 180, column - 180) > 70:
                image[np.hypot(ROWS - row, COLUMNS - column) < 36] = [205, 165, 135]
    truth = np.hypot(ROWS - nucleus[0], COLUMNS - nucleus[1]) < 60
    image[truth] = [215, 165, 190]
    image[np.hypot(ROWS - nucleus[0], COLUMNS - nucleus[1]) < 30] = [90, 50, 130]
    return np.clip(image + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8), truth


def test_every_type_has_a_colour_that_no_other_is_near():
    assert len(sc.TYPE_NAMES) == len(sc.TYPE_COLOURS) == len(PREFIXES) + 2 + len(sc.TECOM_NAMES)
    grounds = [[0, 0, 0], [255, 255, 255]]
    colours = np.concatenate([sc.TYPE_COLOURS, grounds]).astype(int)
    apart = np.abs(colours[:, None] - colours[None]).max(axis=-1)
    assert apart[~np.eye(len(colours), dtype=bool)].min() >= 127


def test_a_white_cell_is_told_from_the_red_ones_that_touch_it():
    image, truth = drawn()
    found = sc.derive_white_cell(image)
    dice = 2 * (found & truth).sum() / (found.sum() + truth.sum())
    assert dice > 0.93  # smoothing widens it by a pixel or two


def test_no_cell_in_the_middle_or_one_that_is_cut_is_none():
    assert sc.derive_white_cell(drawn(nucleus=(40, 60))[0]) is None
    ground = np.full((360, 360, 3), 230, np.uint8)
    assert sc.derive_white_cell(ground) is None
    with pytest.raises(ValueError, match="image is float64"):
        sc.derive_white_cell(ground.astype(float))


def test_the_ground_leaves_every_cell_out():
    image, truth = drawn()
    ground = sc.derive_ground(image)
    assert 0.2 < ground.mean() < 0.6
    assert not (ground & truth).any()


def test_a_cell_lies_alone_in_the_middle_of_its_field():
    image, truth = drawn((150, 200))
    cell = sc.in_field(image, truth, 3, "a")
    middle = np.argwhere(cell.mask).mean(axis=0)
    assert np.abs(middle - (sc.FIELD_PX - 1) / 2).max() <= 0.5
    assert cell.mask.sum() == truth.sum()
    assert not cell.image[~cell.mask].any()
    assert set(map(tuple, cell.label.reshape(-1, 3).tolist())) == {(0, 0, 0), tuple(sc.TYPE_COLOURS[3].tolist())}
    assert sc.in_field(image, truth, 3, "a", scale=0.5).mask.sum() == pytest.approx(truth.sum() / 4, rel=0.05)
    with pytest.raises(ValueError, match="a: the mask is empty"):
        sc.in_field(image, truth & False, 3, "a")


def test_red_cells_are_lone_typical_and_at_one_scale():
    instances = np.zeros((200, 300), np.int32)
    rows, columns = np.indices(instances.shape)
    places = ((50, 50, 20), (50, 150, 22), (150, 60, 10), (150, 180, 20), (150, 220, 20))  # the last two touch
    for k, (row, column, radius) in enumerate(places, start=1):
        instances[np.hypot(rows - row, columns - column) <= radius] = k
    smear = Smear(np.full((200, 300, 3), 150, np.uint8), instances, name="s")
    (cell,) = sc.cut_red_cells([smear])
    assert cell.name == "s-1"
    assert 2 * np.sqrt(cell.mask.sum() / np.pi) == pytest.approx(sc.RED_CELL_PX, rel=0.03)


def test_unknown_folds_are_named():
    with pytest.raises(ValueError, match="fold is 5; allowed are 0 to 4"):
        sc.load(5)
