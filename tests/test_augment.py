"""Masks and boxes must stay with their cells under every augmentation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bloodlib import augment
from bloodlib.evaluators.metrics import instance_boxes


@pytest.fixture(name="smear")
def _smear():
    """Three differently bright rectangles on white, each with its own id; red, green and blue alike."""
    instances = np.zeros((48, 64), np.int32)
    for k, (row, column) in enumerate([(2, 4), (20, 30), (33, 51)], start=1):
        instances[row : row + 12, column : column + 8 + k] = k
    image = np.full((48, 64, 3), 200, np.uint8)
    image[instances > 0] = 60
    return image, instances


@pytest.mark.parametrize("name", augment.AUGMENTATIONS)
@pytest.mark.parametrize("seed", range(4))
def test_mask_and_boxes_stay_aligned(smear, name, seed):
    image, instances = smear
    boxes = instance_boxes(instances)
    moved, mask, where = augment.apply([name], image, instances, boxes, rng=np.random.default_rng(seed))
    assert moved.dtype == np.uint8
    assert mask.dtype == np.int32
    np.testing.assert_array_equal(where, instance_boxes(mask))
    # The mask still sits on the cells: what it covers and what it leaves differ as clearly as before,
    # well inside the outlines (blur and emboss reach 3 px).
    from scipy.ndimage import binary_dilation, binary_erosion

    inside, outside = binary_erosion(mask > 0, iterations=3), ~binary_dilation(mask > 0, iterations=3)
    grey = moved.mean(axis=2)
    contrast = abs(grey[inside].mean() - grey[outside].mean())
    assert contrast > 3 * max(grey[inside].std(), grey[outside].std(), 2)


def test_flips_move_and_the_rest_does_not(smear):
    image, instances = smear
    for name in augment.AUGMENTATIONS:
        mask = augment.apply([name], image, instances, rng=np.random.default_rng(0))[1]
        expected = {"horizontal flip": instances[:, ::-1], "vertical flip": instances[::-1]}.get(name, instances)
        np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize("name", augment.AUGMENTATIONS)
def test_every_augmentation_changes_the_image(smear, name):
    image, instances = smear
    colourful = image // np.array([1, 2, 3], np.uint8)
    moved = augment.apply([name], colourful, instances, rng=np.random.default_rng(1))[0]
    assert (moved != colourful).mean() > 0.003


def test_inversion_of_one_channel_or_all(smear):
    image, instances = smear
    kinds = set()
    for seed in range(20):
        moved = augment.apply(["channel inversion"], image, instances, rng=np.random.default_rng(seed))[0]
        changed = [c for c in range(3) if (moved[..., c] != image[..., c]).any()]
        np.testing.assert_array_equal(moved[..., changed], 255 - image[..., changed])
        kinds.add(tuple(changed))
    assert kinds == {(0,), (1,), (2,), (0, 1, 2)}


def test_same_rng_same_bytes_and_global_state_untouched(smear):
    before = torch.random.get_rng_state()
    first, second = (
        augment.apply(["Gaussian noise", "emboss"], *smear, rng=np.random.default_rng(5))[0] for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)
    assert torch.equal(before, torch.random.get_rng_state())


def test_no_gpu_is_seeded(smear, monkeypatch):
    seeded = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    torch.manual_seed(0)
    assert seeded == [0], "which this would see"
    augment.apply(["Gaussian noise"], *smear, rng=np.random.default_rng(5))
    assert seeded == [0]


def test_draw_reaches_every_augmentation():
    rng = np.random.default_rng(0)
    drawn = [augment.draw(rng) for _ in range(300)]
    assert {name for names in drawn for name in names} == set(augment.AUGMENTATIONS)
    assert max(len(set(names) - set(augment.FLIPS)) for names in drawn) == 2


def test_unknown_name_is_refused(smear):
    with pytest.raises(ValueError, match=r"unknown augmentation 'rotate'.*grayscale"):
        augment.apply(["rotate"], *smear, rng=np.random.default_rng(0))


def test_boxes_in_any_order_in_memory_are_taken(smear):
    image, instances = smear
    boxes = instance_boxes(instances)[::-1]
    _, _, where = augment.apply([], image, instances, boxes, rng=np.random.default_rng(0))
    assert np.array_equal(where, boxes)
