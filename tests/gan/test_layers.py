"""The layers that are computed another way than written give what torch's own layers give."""

import math

import pytest
import torch
from scipy import ndimage
from torch import nn
from torch.nn import functional as F

from bloodlib.gan.layers import (
    DoublingConvolution,
    HalvingConvolution,
    InstanceNorm,
    LastConvolution,
    Level,
    PixelNorm,
    Reflection,
    ResizeConvolution,
    softened,
)


def resized(layer, x):
    mode = "constant" if layer.padding_mode == "zeros" else "reflect"
    x = F.pad(F.interpolate(x, scale_factor=2, mode="nearest"), (1, 1, 1, 1), mode=mode)
    return F.conv2d(x, layer.weight, layer.bias)


def halved(layer, x):
    mode = "constant" if layer.padding_mode == "zeros" else "reflect"
    return F.conv2d(F.pad(x, (1, 1, 1, 1), mode=mode), layer.weight, layer.bias, stride=2)


CASES = {
    "transposed": (DoublingConvolution(5, 3), nn.ConvTranspose2d.forward),
    "resize, zeros": (ResizeConvolution(5, 3, "zeros"), resized),
    "resize, reflect": (ResizeConvolution(5, 3, "reflect"), resized),
    "halving, zeros": (HalvingConvolution(5, 3, "zeros"), halved),
    "halving, reflect": (HalvingConvolution(5, 3, "reflect"), halved),
    "last": (LastConvolution(5, 3), lambda layer, x: F.conv2d(x, layer.weight, layer.bias)),
    "instance": (InstanceNorm(5), lambda _, x: F.instance_norm(x)),
    "pixel": (PixelNorm(), lambda _, x: x / (x.square().mean(dim=1, keepdim=True) + 1e-6).sqrt()),
}


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_are_those_of_the_definition(name, layout):
    layer, definition = CASES[name]
    layer = layer.double()
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(2, 5, 14, 18, generator=draw, dtype=torch.float64).to(memory_format=layout).requires_grad_()
    values = layer(x), definition(layer, x)
    weight = torch.randn(values[1].shape, generator=draw, dtype=torch.float64)
    slopes = [torch.autograd.grad((y * weight).sum(), [x, *layer.parameters()]) for y in values]
    torch.testing.assert_close(*values)
    for ours, theirs in zip(*slopes, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("layer", [CASES["resize, reflect"][0], Reflection(3), PixelNorm()])
def test_compiling_changes_no_value_or_gradient(monkeypatch, layer):
    layer = layer.double()
    x = torch.randn(2, 5, 6, 8, dtype=torch.float64).to(memory_format=torch.channels_last).requires_grad_()
    plain = layer(x)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    compiled = layer(x)
    torch.testing.assert_close(compiled, plain)
    slopes = [torch.autograd.grad(y.square().sum(), x)[0] for y in (compiled, plain)]
    torch.testing.assert_close(*slopes)


def test_every_pixel_has_a_root_mean_square_of_one():
    x = torch.randn(2, 8, 5, 7) * torch.logspace(-1, 3, 7)
    torch.testing.assert_close(PixelNorm()(x).square().mean(dim=1), torch.ones(2, 5, 7), rtol=1e-3, atol=0)
    assert PixelNorm()(torch.zeros(1, 8, 2, 2)).abs().max() == 0


def test_normalising_leaves_the_memory_layout_alone():
    x = torch.randn(2, 8, 6, 6).to(memory_format=torch.channels_last)
    for layer in (InstanceNorm(8), PixelNorm()):
        assert layer(x).is_contiguous(memory_format=torch.channels_last)
        assert layer(x.contiguous()).is_contiguous()


@pytest.mark.parametrize(("upsample", "even"), [("transposed", False), ("resize", True)])
def test_transposed_convolution_prints_a_checkerboard_on_even_ground_and_resizing_does_not(upsample, even):
    torch.manual_seed(0)
    level = Level(4, 4, upsample=upsample, padding="zeros", norm="none", noise=False)
    inside = level.convolution(torch.ones(1, 4, 8, 8))[0, :, 4:12, 4:12]
    phases = torch.stack([inside[:, a::2, b::2] for a in (0, 1) for b in (0, 1)])  # (4, C, 4, 4)
    assert phases.std(dim=(2, 3)).max() < 1e-6  # nothing but the phase can matter here
    assert (phases.std(dim=0).max() < 1e-6) == even


def test_noise_enters_in_proportion_to_its_learned_strength():
    torch.manual_seed(0)
    level = Level(4, 4, upsample="resize", padding="zeros", norm="pixel", noise=True)
    x, noise = torch.rand(1, 4, 8, 8), torch.randn(1, 1, 32, 32)
    assert torch.equal(level(x, noise), level(x, None))  # it begins at 0
    level.strength.data[:] = torch.tensor([0.0, 0.5, 0.0, 2.0]).view(4, 1, 1)
    before = level.norm(level.convolution(x))
    expected = torch.relu(before + level.strength * noise[..., ::2, ::2])
    torch.testing.assert_close(level(x, noise), expected)
    assert torch.equal(level(x, noise)[:, 0], level(x, None)[:, 0])


@pytest.mark.parametrize("sigma_px", [0.6, 1.5, 2.0])
def test_softening_is_a_gaussian_and_leaves_even_ground_alone(sigma_px):
    x = torch.randn(2, 3, 20, 27, dtype=torch.float64)
    reach = math.ceil(2 * sigma_px)
    expected = ndimage.gaussian_filter(
        x.numpy(), (0, 0, sigma_px, sigma_px), mode="mirror", radius=(0, 0, reach, reach)
    )
    torch.testing.assert_close(softened(x, sigma_px), torch.from_numpy(expected), rtol=1e-5, atol=1e-6)
    even = torch.full((1, 2, 16, 16), 0.7, dtype=torch.bfloat16).contiguous(memory_format=torch.channels_last)
    soft = softened(even, sigma_px)
    assert soft.dtype == torch.bfloat16
    torch.testing.assert_close(soft, even, rtol=0.01, atol=0)
