"""Trimaps scored in closed form, and a cycle that is known to hide something, or not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bloodlib.evaluators.trimap_net import by_thresholds, geometric, noisy, segment, train_trimap_net
from bloodlib.evaluators.white_cells import (
    darkness_order,
    exchanged_classes,
    hidden_in_picture,
    hidden_in_trimap,
    summary,
    trimap_dice,
)
from bloodlib.gan.cyclegan import cycle_preset, planes_trimap, trimap_planes
from bloodlib.gan.cyclegan_painting import CellPainter
from bloodlib.gan.data import to_network

COLOURS = np.array([[225, 215, 190], [170, 150, 200], [90, 50, 130]], dtype=np.uint8)


def cell(size=12.0, side=40):
    rows, columns = np.indices((side, side))
    away = np.hypot(rows - side / 2, columns - side / 2)
    trimap = ((away < size).astype(np.uint8) + (away < size / 2)).astype(np.uint8)
    return COLOURS[trimap], trimap


def test_dice_of_parts_in_closed_form():
    target = np.zeros((10, 10), np.uint8)
    target[:, 2:8], target[:, 4:6] = 1, 2
    predicted = np.zeros((10, 10), np.uint8)
    predicted[:, 2:8], predicted[:, 4:5] = 1, 2
    found = trimap_dice(predicted, target)
    assert found == {"cytoplasm": pytest.approx(80 / 90), "nucleus": pytest.approx(20 / 30), "whole cell": 1.0}
    assert trimap_dice(np.zeros((3, 3)), np.zeros((3, 3)))["nucleus"] == 1


def test_exchanged_classes_are_found():
    target = cell()[1]
    swapped = np.array([2, 1, 0], np.uint8)[target]
    assert exchanged_classes([target], [target]) == {"as found": 1.0, "best": 1.0, "order": [0, 1, 2]}
    found = exchanged_classes([swapped], [target])
    assert found["best"] == 1
    assert found["as found"] < 0.5
    assert found["order"] == [2, 1, 0]


def test_an_inverted_painting_is_not_darker_inside():
    image, trimap = cell()
    assert darkness_order([(image, trimap), (255 - image, trimap)]) == 0.5
    assert darkness_order([(image, trimap), (image, np.minimum(trimap, 1))]) == 1.0, "a cell without nucleus counts not"


def test_the_interval_is_that_of_the_mean():
    values = np.random.default_rng(0).normal(0.8, 0.05, 400)
    found = summary([{"x": v} for v in values], np.random.default_rng(1))["x"]
    assert found["mean"] == pytest.approx(values.mean(), abs=1e-4)
    assert (found["high"] - found["low"]) / 2 == pytest.approx(1.96 * values.std() / 20, rel=0.1)


class Known(CellPainter):
    """Paint each class in its colour and find it again; with `amount`, hide the picture in small deviations."""

    def __init__(self, amount=0.0):
        self.config, self.amount = cycle_preset("smoke", side_px=40), amount

    def find(self, image):
        return self.decode(self.planes(image), image.shape[:2])

    def planes(self, image):
        x = to_network(image)
        nearest = np.abs(image[:, :, None].astype(int) - COLOURS).sum(axis=3).argmin(axis=2).astype(np.uint8)
        return trimap_planes(nearest, "onehot") + self.amount * x

    def paint(self, trimap):
        return COLOURS[trimap]

    def from_planes(self, planes):
        kept = trimap_planes(planes_trimap(planes, "onehot"), "onehot")
        if self.amount and not torch.equal(kept, planes):
            return ((((planes - kept) / self.amount).clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
        return COLOURS[planes_trimap(planes, "onehot")]


def test_what_is_hidden_in_a_trimap_is_lost_with_its_levels():
    rng = np.random.default_rng(0)
    images = [np.clip(cell(s)[0] + rng.integers(-30, 31, (40, 40, 3)), 0, 255).astype(np.uint8) for s in (10, 12, 14)]
    honest, hiding = (hidden_in_trimap(Known(a), images, np.random.default_rng(1)) for a in (0.0, 0.05))
    assert honest["as it is"] == honest["three classes only"] == pytest.approx(15, abs=1), "mean of |-30..30|"
    assert hiding["as it is"] < 1
    assert hiding["three classes only"] == honest["three classes only"]
    assert hiding["noise"] > 10 * hiding["as it is"]
    assert honest["another picture"] > honest["as it is"]


def test_what_survives_in_a_picture_is_compared_with_real_ones():
    pairs = [cell(s) for s in (10, 14)]
    found = hidden_in_picture(Known(), [t for _, t in pairs], pairs, np.random.default_rng(0))
    assert found["as it is"] == {"painted": 1.0, "real": 1.0}
    assert found["noise"]["painted"] == pytest.approx(found["noise"]["real"], abs=0.02)


def test_geometry_moves_picture_and_trimap_together_and_noise_only_the_picture():
    image, trimap = cell()
    moved, where = geometric(image, trimap, np.random.default_rng(0))
    assert not np.array_equal(where, trimap)
    assert set(np.unique(where)) <= {0, 1, 2}
    agreement = (np.abs(moved.astype(int) - COLOURS[where]).sum(axis=2) < 60).mean()
    assert agreement > 0.95
    sprinkled, same = noisy(image, trimap, np.random.default_rng(0))
    assert same is trimap
    assert 1 < np.abs(sprinkled.astype(int) - image).mean() < 12


def test_a_small_segmenter_learns_and_a_seed_decides_it():
    pairs = [cell(s) for s in (9, 11, 15, 13)]
    trained = [train_trimap_net(pairs[:3], side_px=40, steps=60, seed=seed) for seed in (0, 0, 1)]
    weights = [torch.cat([p.detach().flatten() for p in net.parameters()]) for net in trained]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    image, trimap = pairs[3]
    assert trimap_dice(segment(trained[0], image, 40), trimap)["whole cell"] > 0.9
    with pytest.raises(ValueError, match=r"'blur'.* allowed are geometric, noise"):
        train_trimap_net(pairs, augmentations=["blur"])
    with pytest.raises(ValueError, match="no pair"):
        train_trimap_net([])


def test_half_of_a_batch_is_synthetic():
    black, white = (np.zeros((40, 40, 3), np.uint8), np.zeros((40, 40), np.uint8)), cell()
    net = train_trimap_net([black], [white], side_px=40, steps=30)
    assert trimap_dice(segment(net, white[0], 40), white[1])["whole cell"] > 0.8, "learnt from the synthetic half"
    assert not segment(net, black[0], 40).any()


def test_two_thresholds_find_three_even_colours():
    image, trimap = cell()
    assert (by_thresholds(image) == trimap).all()
