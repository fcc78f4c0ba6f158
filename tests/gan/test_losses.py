import math

import pytest
import torch

from bloodlib.gan.losses import adversarial, colour_difference, feature_matching


def judged(*values):
    return [[torch.zeros(1, 2, 3, 3), torch.full((1, 1, 4, 4), value)] for value in values]


@pytest.mark.parametrize(
    ("kind", "verdict", "real", "expected"),
    [
        ("lsgan", 0.5, True, 0.25),  # cannot tell: a quarter per scale, either way
        ("lsgan", 0.5, False, 0.25),
        ("lsgan", 1.0, True, 0.0),
        ("lsgan", 3.0, False, 9.0),
        ("log", 0.0, True, math.log(2)),  # a logit of 0 is a probability of one half
        ("log", 0.0, False, math.log(2)),
        ("log", 2.0, True, math.log1p(math.exp(-2.0))),
    ],
)
def test_adversarial_loss_of_constant_verdicts(kind, verdict, real, expected):
    assert adversarial(judged(verdict, verdict), real, kind).item() == pytest.approx(2 * expected, abs=1e-6)


def test_feature_matching_is_the_references_weighting():
    real = [[torch.zeros(1, 2, 4, 4)] * 4 + [torch.zeros(1, 1, 2, 2)] for _ in range(2)]
    fake = [[torch.full((1, 2, 4, 4), value)] * 4 + [torch.full((1, 1, 2, 2), 99.0)] for value in (1.0, 3.0)]
    # ½ · 4 layers · 1 + ½ · 4 layers · 3; the verdict itself does not count
    assert feature_matching(fake, real).item() == pytest.approx(8.0)


def test_feature_matching_does_not_move_the_real_maps():
    real = [[torch.zeros(1, 1, 2, 2, requires_grad=True), torch.zeros(1)]]
    fake = [[torch.ones(1, 1, 2, 2, requires_grad=True), torch.zeros(1)]]
    feature_matching(fake, real).backward()
    assert real[0][0].grad is None
    assert fake[0][0].grad is not None


def test_colour_difference_is_that_of_the_means_of_patches_and_blind_to_what_is_inside():
    real, painted = torch.zeros(1, 3, 16, 32), torch.zeros(1, 3, 16, 32)
    painted[:, 0, :, :8], painted[:, 0, :, 8:16] = 0.5, -0.5  # red, in two of four columns of patches
    painted[:, 2, :8, 8:16] = -0.25  # blue, in one of eight patches
    expected = (0.5 / 2 + 0.25 / 8) / 3
    assert colour_difference(painted, real).item() == pytest.approx(expected)
    stripes = torch.arange(32) // 4 % 2
    painted = painted + (stripes * 2 - 1)  # ±1, of mean 0 in every patch
    assert colour_difference(painted, real).item() == pytest.approx(expected, abs=1e-6)
    assert colour_difference(painted, real, side_px=1).item() > 0.9
