"""Incidental objects: found where they are drawn, kept, and strewn without touching cells."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy.spatial import cKDTree

from bloodlib.datasets import load, phantom
from bloodlib.incidental import ObjectDatabase, ScatterConfig, find_objects
from bloodlib.io.images import DataWarning
from bloodlib.smears import Smear

BACKGROUND, CELL, PLATELET, INK = (200, 205, 202), (160, 120, 140), (150, 110, 170), (40, 230, 40)
SHAPE = (240, 320)


def disc(row: float, column: float, radius: float) -> np.ndarray:
    rows, columns = np.indices(SHAPE)
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


CELLS = [disc(40, column, 20) for column in (40, 100, 160, 220, 280)] + [disc(200, 40, 20)]
INSTANCES = sum((k + 1) * cell.astype(np.int32) for k, cell in enumerate(CELLS)).astype(np.int32)


def smear(*regions: tuple[np.ndarray, tuple[int, int, int]], seed: int = 0, cells: bool = True) -> np.ndarray:
    """Draw cells and coloured regions with soft edges, under light that falls off from left to right."""
    image = np.empty((*SHAPE, 3), np.float32)
    image[:] = BACKGROUND
    for region, colour in [*((cell, CELL) for cell in CELLS if cells), *regions]:
        image[region] = colour
    image = cv2.GaussianBlur(image, (0, 0), 1.0) * np.linspace(1, 0.7, SHAPE[1])[None, :, None]
    noise = np.random.default_rng(seed).normal(0, 2, image.shape)
    return np.clip(image + noise, 0, 255).round().astype(np.uint8)


def test_discs_are_found_where_they_are_drawn():
    discs = [disc(120, 60, 7), disc(130, 160, 5), disc(200, 250, 9), disc(110, 290, 4)]
    objects = find_objects(smear(*((each, PLATELET) for each in discs)), INSTANCES)
    assert objects.dtype == np.int32
    assert objects.max() == len(discs)
    for each in discs:
        rows, columns = np.nonzero(each)
        label = objects[round(rows.mean()), round(columns.mean())]
        found = objects == label
        assert label > 0
        assert (found & each).sum() / (found | each).sum() > 0.65
        assert np.abs(np.argwhere(found).mean(axis=0) - (rows.mean(), columns.mean())).max() < 1


@pytest.mark.parametrize("cells", [True, False])
def test_an_empty_noisy_background_holds_nothing(cells):
    """None in 0.7 megapixels of background: at 95 %, fewer than 4.5 false alarms per megapixel."""
    instances = INSTANCES if cells else np.zeros(SHAPE, np.int32)
    assert sum(find_objects(smear(seed=seed, cells=cells), instances).max() for seed in range(10)) == 0


def test_rims_ink_and_forgotten_red_cells_are_no_objects():
    forgotten, sliver = disc(140, 200, 19), disc(120, -10, 20)
    lettering = disc(200, 150, 5) & ~disc(200, 150, 2)
    image = smear((forgotten, CELL), (sliver, CELL), (lettering, INK))
    assert find_objects(image, INSTANCES).max() == 0


def test_a_white_cell_is_one_object():
    white = disc(140, 200, 28)
    objects = find_objects(smear((white, (165, 140, 180)), (disc(143, 204, 16), (70, 25, 120))), INSTANCES)
    assert objects.max() == 1
    assert ((objects > 0) & white).sum() / ((objects > 0) | white).sum() > 0.9


def test_uneven_background_is_no_object_but_a_pale_platelet_is():
    faint = np.array(BACKGROUND) * 0.91
    assert find_objects(smear((disc(140, 200, 30), tuple(faint))), INSTANCES).max() == 0
    assert find_objects(smear((disc(140, 200, 14), tuple(faint))), INSTANCES).max() == 1


def test_a_platelet_coloured_like_a_red_cell_may_touch_the_border():
    at_border = disc(120, 7, 8)
    objects = find_objects(smear((at_border, CELL)), INSTANCES)
    assert objects.max() == 1
    assert ((objects > 0) & at_border).sum() > 0.8 * at_border.sum()


def test_a_mask_without_background_holds_nothing():
    assert not find_objects(smear(), np.ones(SHAPE, np.int32)).any()


def test_platelets_of_the_phantom_are_found(monkeypatch):
    places = []
    draw = phantom.debris.add_platelet

    def noted(absorbance, phase, centre, radius_px, rng):
        places.append(centre)
        draw(absorbance, phase, centre, radius_px, rng)

    monkeypatch.setattr(phantom.debris, "add_platelet", noted)
    hit = total = 0
    for number in range(0, 12):
        places.clear()
        shown = phantom.render(number, 0, (300, 480))
        objects = find_objects(shown.image, shown.instances)
        assert not (objects > 0)[shown.instances > 0].any()
        tree = cKDTree(np.argwhere(objects > 0)) if objects.any() else None
        total += len(places)
        hit += sum(tree is not None and tree.query(place)[0] <= 3 for place in places)
    assert total > 20
    assert hit / total >= 0.8


@pytest.fixture(scope="module")
def database() -> ObjectDatabase:
    return ObjectDatabase.fit(load("phantom", "fit")[:6])


def test_objects_touch_neither_cells_nor_each_other(database):
    instances = load("phantom", "test")[0].instances
    crowd = ObjectDatabase(database.shapes, database.owners, 30 * database.densities)
    most = 0
    for seed in range(5):
        objects = crowd.sample(np.random.default_rng(seed), instances)
        assert objects.dtype == np.int32
        assert set(np.unique(objects)) == set(range(objects.max() + 1))
        near_cells = cv2.dilate((instances > 0).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        assert not near_cells[objects > 0].any()
        low = np.where(objects > 0, objects, objects.max() + 1)
        window = np.ones((3, 3), np.uint8)
        highest = cv2.dilate(objects.astype(np.float32), window)
        lowest = cv2.erode(low.astype(np.float32), window)
        inside = objects > 0
        assert (highest[inside] == objects[inside]).all()
        assert (lowest[inside] == objects[inside]).all()
        most = max(most, objects.max())
    assert most > 50


def test_what_is_larger_than_a_cell_is_left_out_and_nothing_else_changes():
    platelet, white = (np.hypot(*np.mgrid[-r : r + 1, -r : r + 1]) <= r for r in (5, 24))
    everything = ScatterConfig(largest=np.inf)
    cell_px = np.median(np.bincount(INSTANCES.ravel())[1:])
    assert platelet.sum() < cell_px < white.sum()
    mixed = ObjectDatabase([platelet] * 9 + [white], np.zeros(10), np.array([60.0]))
    without = 0
    for seed in range(20):
        kept, whole = (mixed.sample(np.random.default_rng(seed), INSTANCES, x) for x in (None, everything))
        assert np.bincount(kept.ravel())[1:].max(initial=0) <= cell_px
        if np.bincount(whole.ravel())[1:].max(initial=0) < 1.5 * platelet.sum():
            without += np.array_equal(kept, whole)
    assert 0 < without < 20
    small = ScatterConfig(largest=0.9 * platelet.sum() / cell_px)
    assert not any(mixed.sample(np.random.default_rng(seed), INSTANCES, small).any() for seed in range(5))


def test_the_density_is_that_of_the_smears(database):
    """On an empty mask of one megapixel: the mean of 60 samples within four standard errors."""
    drawn = [database.sample(np.random.default_rng(seed), np.zeros((500, 2000), np.int32)).max() for seed in range(60)]
    spread = np.sqrt(database.densities.var() + database.densities.mean())
    assert abs(np.mean(drawn) - database.densities.mean()) < 4 * spread / np.sqrt(len(drawn))


def test_the_same_seed_gives_the_same_objects_also_after_storing(database):
    instances = INSTANCES
    stored = ObjectDatabase.from_arrays(database.to_arrays())
    assert len(stored) == len(database)
    assert all(np.array_equal(a, b) for a, b in zip(stored.shapes, database.shapes, strict=True))
    for seed in range(5):
        first = database.sample(np.random.default_rng(seed), instances)
        assert np.array_equal(first, database.sample(np.random.default_rng(seed), instances))
        assert np.array_equal(first, stored.sample(np.random.default_rng(seed), instances))


def test_smears_without_objects_give_none():
    empty = ObjectDatabase.fit([Smear(smear(), INSTANCES)])
    assert len(empty) == 0
    assert not ObjectDatabase.from_arrays(empty.to_arrays()).sample(np.random.default_rng(0), INSTANCES).any()


def test_no_smears_are_refused():
    with pytest.raises(ValueError, match="no smear"):
        ObjectDatabase.fit([])


def test_where_no_object_is_of_a_shape_to_strew_none_is_strewn():
    """A clean smear with a scale bar, which is nothing that could lie elsewhere."""
    bar = np.zeros(SHAPE, dtype=bool)
    bar[150:160, 60:300] = True
    clean = Smear(smear((bar, (60, 40, 90))), INSTANCES)
    assert find_objects(clean.image, clean.instances).max() > 0
    with pytest.warns(DataWarning, match="nothing is strewn"):
        database = ObjectDatabase.fit([clean])
    assert len(database) == 0
    assert not database.sample(np.random.default_rng(0), INSTANCES).any()


def test_in_a_picture_of_a_few_pixels_nothing_is_found():
    assert not find_objects(np.full((12, 40, 3), 200, np.uint8), np.zeros((12, 40), np.int32)).any()
