"""FCN-8s, contours and losses: shapes, closed forms, and that a few steps learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import vgg16

from bloodlib.evaluators import contours, fcn


def test_width_one_is_vgg16():
    with torch.device("meta"):
        trunk = fcn.Vgg16Trunk(width=1.0, norm="none")
        published = sum(p.numel() for p in vgg16().parameters())
    kernels = [tuple(m.weight.shape) for m in trunk.modules() if isinstance(m, nn.Conv2d)]
    assert [k[0] for k in kernels] == [64, 64, 128, 128, *[256] * 3, *[512] * 6, 4096, 4096]
    assert kernels[-2][1:] == (512, 7, 7)
    # The same weights as VGG-16 without its last layer (4096 × 1000 and biases).
    assert sum(p.numel() for p in trunk.parameters()) == published - 4097 * 1000


@pytest.mark.parametrize("shape", [(64, 64), (75, 90)])
def test_logits_have_the_size_of_the_image(shape):
    net = fcn.ContourFcn(width=1 / 32).eval()
    assert net(torch.zeros(2, 3, *shape)).shape == (2, 2, *shape)


def test_transposed_convolution_starts_bilinear():
    layer = fcn.bilinear_(nn.ConvTranspose2d(2, 2, 4, stride=2, padding=1, bias=False))
    coarse = torch.rand(1, 2, 6, 7)
    expected = nn.functional.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(layer(coarse)[..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1])


def test_several_score_maps_are_averaged():
    layer = fcn.bilinear_(nn.ConvTranspose2d(4, 1, 16, stride=8, padding=4, bias=False))
    out = layer(torch.ones(1, 4, 5, 5))[0, 0, 8:-8, 8:-8]
    torch.testing.assert_close(out, torch.full_like(out, 1.0))


def test_soft_dice_loss_follows_equation_8():
    target = torch.zeros(1, 1, 100, 100)
    target[..., :50] = 1
    half = torch.zeros(1, 1, 100, 100)  # logits 0: p = ½ everywhere
    # 2·½·5000 / (¼·10000 + 5000) = 2/3
    assert float(fcn.soft_dice_loss(half, target)) == pytest.approx(1 / 3, abs=1e-4)
    sure = (target * 2 - 1) * 50
    assert float(fcn.soft_dice_loss(sure, target)) == pytest.approx(0, abs=1e-6)
    assert float(fcn.soft_dice_loss(-50 * torch.ones_like(target), 0 * target)) == pytest.approx(0, abs=1e-6)
    both = fcn.soft_dice_loss(half.expand(1, 2, 100, 100), target.expand(1, 2, 100, 100))
    assert float(both) == pytest.approx(2 / 3, abs=1e-4)


def test_fcn_learns_what_is_dark():
    torch.manual_seed(0)
    target = (torch.rand(2, 1, 4, 4) < 0.5).float().repeat_interleave(16, 2).repeat_interleave(16, 3)
    image = (1 - 2 * target).expand(-1, 3, -1, -1)
    net = fcn.Fcn8s(width=1 / 32, dropout=0)
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    losses = []
    for _ in range(15):
        loss = fcn.soft_dice_loss(net(image), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]


def discs(*centres, radius=12, shape=(60, 80)):
    rows, columns = np.indices(shape)
    instances = np.zeros(shape, np.int32)
    for k, (row, column) in enumerate(centres, start=1):
        instances[(rows - row) ** 2 + (columns - column) ** 2 <= radius**2] = k
    return instances


def test_perfect_heads_give_touching_discs_back():
    from bloodlib.evaluators.metrics import match_instances

    truth = discs((30, 20), (30, 43), (25, 70))
    objectness, contour = contours.contour_targets(truth, 2).astype(float)
    found, scores = contours.blobs(objectness, contour, 2)
    result = match_instances(found, truth, 0.8)
    assert (result.tp, result.fp, result.fn) == (3, 0, 0)
    np.testing.assert_array_equal(scores, 1)


def test_without_contours_touching_discs_merge():
    truth = discs((30, 20), (30, 43))
    found, _ = contours.blobs((truth > 0).astype(float), np.zeros(truth.shape), 2)
    assert found.max() == 1


def test_small_pieces_are_dropped_and_ids_stay_without_gaps():
    objectness = (discs((30, 20), (30, 60), radius=8) > 0).astype(float)
    objectness[2, 2] = 0.9
    found, scores = contours.blobs(objectness, np.zeros_like(objectness), 0, least_area_px=20)
    assert np.unique(found).tolist() == [0, 1, 2]
    assert len(scores) == 2


def test_nothing_found_is_no_error():
    found, scores = contours.blobs(np.zeros((5, 5)), np.zeros((5, 5)), 2)
    assert found.max() == 0
    assert len(scores) == 0
