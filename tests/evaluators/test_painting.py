"""Measures of painted smears: closed forms, a copy that is recognised, and a mask that is or is not obeyed."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from bloodlib.datasets import load
from bloodlib.evaluators import painting
from bloodlib.evaluators.kid import flat_coloured
from bloodlib.evaluators.tiles import cut_tiles
from bloodlib.smears import Smear

SHAPE = (192, 256)


@pytest.fixture(scope="module")
def parts() -> dict[str, list[Smear]]:
    return {split: list(load("phantom", split=split, shape=SHAPE)[:n]) for split, n in (("fit", 8), ("test", 6))}


def one_cell(cell=(100, 50, 80), ground=(200, 210, 220), grain=0.0) -> Smear:
    instances = np.zeros((60, 60), np.int32)
    instances[20:40, 20:40] = 1
    noise = grain * (np.indices((60, 60)).sum(axis=0) % 2 * 2 - 1)[..., None]
    image = np.where(instances[..., None] > 0, cell, ground) + noise
    return Smear(image.astype(np.uint8), instances)


def test_colours_of_flat_and_grainy_smears():
    found = painting.colours([one_cell(), one_cell(cell=(120, 50, 80), ground=(190, 210, 220))])
    assert found.cell == (110, 50, 80)
    assert found.cell_std == (10, 0, 0)
    assert found.background == (195, 210, 220)
    assert found.background_std == (5, 0, 0)
    assert found.cell_texture == found.background_texture == (0, 0, 0)
    grainy = painting.colours([one_cell(grain=4.0)])
    assert grainy.cell_texture == pytest.approx((4, 4, 4), abs=1e-6)
    assert grainy.background_texture == pytest.approx((4, 4, 4), abs=1e-6)
    assert grainy.to_dict()["cell"] == [100.0, 50.0, 80.0]


def test_halos_do_not_count_as_background():
    smear = one_cell()
    smear.image[17:20, 20:40] = 255
    assert painting.colours([smear]).background == (200, 210, 220)
    full = Smear(smear.image, np.ones((60, 60), np.int32))
    with pytest.raises(ValueError, match=r"no complete cell|no background"):
        painting.colours([full])


def test_copies_are_found_wherever_and_however_they_lie(parts):
    tiles = cut_tiles(parts["fit"][:2], np.random.default_rng(0), 3, 64)
    even = [replace(t, image=parts["fit"][int(k >= 3)].image[10:74, 20:84]) for k, t in enumerate(tiles)]
    assert painting.nearest_distances(even, parts["fit"])[:, 0] == pytest.approx(0, abs=1e-5)
    views = [*(lambda x, k=k: cv2.flip(x, k) for k in (0, 1, -1)), *(lambda x, k=k: np.rot90(x, k) for k in (1, 3))]
    for view in (*views, lambda x: x.swapaxes(0, 1)):
        turned = [replace(t, image=np.ascontiguousarray(view(t.image))) for t in even]
        assert painting.nearest_distances(turned, parts["fit"])[:, 0] == pytest.approx(0, abs=1e-5)
    lighter = [replace(t, image=(t.image * 0.5 + 60).astype(np.uint8)) for t in even]
    assert painting.nearest_distances(lighter, parts["fit"])[:, 0].max() < 0.02
    found = painting.nearest_distances(cut_tiles(parts["test"], np.random.default_rng(0), 1, 64), parts["fit"])
    assert found[:, 0].min() > 0.02
    assert (found[:, 0] <= found[:, 1]).all()


def test_a_memory_is_told_from_new_smears(parts):
    options = {"tiles": 12, "side_px": 64}
    learnt = [replace(s, image=cv2.GaussianBlur(s.image, (0, 0), 1.0)) for s in parts["fit"]]
    copied = painting.memorisation(learnt, parts["test"][:3], parts["fit"], np.random.default_rng(0), **options)
    new = painting.memorisation(parts["test"][3:], parts["test"][:3], parts["fit"], np.random.default_rng(0), **options)
    assert copied["closer_than_5_percent"] > 0.8
    assert copied["ratio"][1] < 0.5 < new["ratio"][1]
    assert copied["nearest_to_second"]["painted"] < 0.5 < new["nearest_to_second"]["painted"]
    assert new["closer_than_5_percent"] < 0.5
    assert copied["tiles"] == {"painted": 12, "held_out": 12}


def test_a_uniform_tile_is_unlike_everything(parts):
    tile = cut_tiles(parts["fit"][:1], np.random.default_rng(0), 1, 64)[0]
    blank = replace(tile, image=np.full((64, 64, 3), 128, np.uint8))
    assert painting.nearest_distances([blank], parts["fit"][:2]).min() > 0.5


def test_fidelity_knows_right_from_wrong_masks(parts):
    segmenter = painting.train_segmenter(parts["fit"], steps=40, crop_px=96, learning_rate=2e-3)
    assert segmenter.config.width == 0.125
    right = painting.mask_fidelity(segmenter, parts["test"])
    wrong = painting.mask_fidelity(segmenter, painting.wrong_masks(parts["test"]))
    assert right["dice"] > 0.75
    assert right["dice"] > wrong["dice"] + 0.25
    assert right["f1_50"] > wrong["f1_50"]
    assert (right["smears"], right["cells"]) == (6, sum(s.count for s in parts["test"]))
    flat = painting.mask_fidelity(segmenter, [flat_coloured(s) for s in parts["test"]])
    assert 0 <= flat["dice"] <= 1


class Painter:
    """Stand in for a Synthesizer: blurs what it is shown, and samples a given smear."""

    def __init__(self, smear: Smear) -> None:
        self.smear = smear

    def repaint(self, smear, rng):
        return cv2.GaussianBlur(smear.image, (0, 0), 2.0)

    def sample(self, rng, shape, name=""):
        assert shape == self.smear.instances.shape
        return replace(self.smear, name=name)


def test_painted_sets_keep_masks_names_and_slides(parts):
    painter, rng = Painter(parts["fit"][0]), np.random.default_rng(0)
    painted = painting.repaint_all(painter, parts["test"], rng)
    for made, real in zip(painted, parts["test"], strict=True):
        assert (made.name, made.group) == (real.name, real.group)
        np.testing.assert_array_equal(made.instances, real.instances)
        assert (made.image != real.image).any()
    sampled = painting.sample_all(painter, 2, rng, SHAPE)
    assert [s.name for s in sampled] == ["sampled 0", "sampled 1"]
    moved = painting.wrong_masks(parts["test"])
    np.testing.assert_array_equal(moved[-1].instances, parts["test"][0].instances)
    np.testing.assert_array_equal(moved[0].image, parts["test"][0].image)


def test_sizes_are_compared_within_a_smear_and_fragments_left_out():
    rows, columns = np.indices((90, 200))

    def smear(*radii):
        instances = np.zeros((90, 200), np.int32)
        for k, radius in enumerate(radii):
            instances[np.hypot(rows - 45, columns - 25 - 40 * k) <= radius] = k + 1
        return Smear(np.zeros((90, 200, 3), np.uint8), instances)

    even, mixed = painting.size_spread([smear(12, 12, 12)]), painting.size_spread([smear(10, 12, 14)])
    assert even == {"cells": 3, "spread": 0.0, "between": 0.0}
    assert mixed["spread"] == pytest.approx(np.std([10, 12, 14]) / 12, rel=0.03)
    assert painting.size_spread([smear(12, 12, 12, 4)]) == even  # a fragment is no cell
    both = painting.size_spread([smear(10, 10), smear(14, 14)])
    assert (both["spread"], both["cells"]) == (0.0, 4)
    assert both["between"] == pytest.approx(2 / 12, rel=0.03)
    assert painting.size_spread([smear()]) == {"cells": 0}
