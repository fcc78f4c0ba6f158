"""What the painter's networks are put together from; several layers are written for speed on a processor."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F


class InstanceNorm(nn.InstanceNorm2d):
    """Normalise every channel of every image, in the memory layout that comes in.

    torch's own copies channels-last images to channels-first and back, which takes longer than the
    normalisation. Over one image it is batch normalisation, which does not.
    """

    def forward(self, x: Tensor) -> Tensor:
        done = [F.batch_norm(one, None, None, training=True, eps=self.eps) for one in x.split(1)]
        return done[0] if len(done) == 1 else torch.cat(done)


class PixelNorm(nn.Module):
    """Scale the channels of every pixel to a root mean square of 1 (Karras et al. 2018)."""

    def forward(self, x: Tensor) -> Tensor:
        return _ToUnitMeanSquare.apply(x)


class _ToUnitMeanSquare(Function):
    """y = r·x with r = (mean x² + 10⁻⁶)^−½ per pixel; its derivative g ↦ r·(g − r²·x·mean(g·x)).

    A factor per pixel is laid out over the channels before it is multiplied: broadcasting along the
    innermost axis takes several times as long.
    """

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        length = torch.linalg.vector_norm(x, dim=1, keepdim=True)  # (N, 1, H, W); rounded after summing
        scale = torch.rsqrt(length.to(_summing_type(x)).square() / x.shape[1] + 1e-6).to(x.dtype)
        ctx.save_for_backward(x, scale)
        return x * _over_channels(scale, x)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        x, scale = ctx.saved_tensors
        shared = (gradient * x).mean(dim=1, keepdim=True) * scale.square()
        return torch.addcmul(gradient, x, _over_channels(shared, x), value=-1).mul_(_over_channels(scale, x))


def _summing_type(x: Tensor) -> torch.dtype:
    """Give the format that sums over many numbers of `x` are taken in: float32 at least."""
    return torch.promote_types(x.dtype, torch.float32)


def _compiling() -> bool:
    """Tell whether torch.compile reads the layers; torch.export, for which torch says so too, gets them plain."""
    return torch.compiler.is_compiling() and not torch.compiler.is_exporting()


def _over_channels(factor: Tensor, x: Tensor) -> Tensor:
    if _compiling():  # needs no copy, which would lose channels-last as in `_continued`
        return factor
    channels_last = x.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return factor.expand_as(x).contiguous(memory_format=layout)


def reflected(x: Tensor, width: int) -> Tensor:
    """Continue an image past its borders by reflection, in its own number format (autocast would make it float32)."""
    if _compiling():
        return _continued(x, range(width, 0, -1), range(-2, -2 - width, -1))
    with torch.autocast(x.device.type, enabled=False):
        return F.pad(x, (width, width, width, width), mode="reflect")


def _continued(x: Tensor, before: Sequence[int], after: Sequence[int]) -> Tensor:
    """Put copies of an image's own rows before and after it, then of its columns: what F.pad does, to be compiled.

    The gradient of a compiled F.pad loses the layout channels-last. In bfloat16 on AVX-512 it is then brought
    back by transposing 32×32 blocks, which g++ 12.2 compiles wrongly: the gradients are NaN (torch 2.14).
    """
    for axis in (2, 3):
        x = torch.cat([*(x.narrow(axis, i, 1) for i in before), x, *(x.narrow(axis, i, 1) for i in after)], dim=axis)
    return x


def softened(x: Tensor, sigma_px: float) -> Tensor:
    """Blur every channel of an image by a Gaussian, cut off at 2 σ; beyond the borders it is reflected."""
    reach = math.ceil(2 * sigma_px)
    bell = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=x.device) / sigma_px) ** 2)
    kernel = (bell[:, None] * bell / bell.sum() ** 2).to(x.dtype)  # (k, k)
    with torch.autocast(x.device.type, enabled=False):
        return F.conv2d(reflected(x, reach), kernel.expand(x.shape[1], 1, -1, -1), groups=x.shape[1])


class Reflection(nn.Module):
    """Continue an image `width` pixels past its borders."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, x: Tensor) -> Tensor:
        return reflected(x, self.width)


class HalvingConvolution(nn.Conv2d):
    """Convolve 3×3 with a stride of 2."""

    def __init__(self, inputs: int, outputs: int, padding: str) -> None:
        super().__init__(inputs, outputs, 3, stride=2, padding=1, padding_mode=padding)

    def forward(self, x: Tensor) -> Tensor:
        if self.padding_mode == "zeros":
            return super().forward(x)
        return F.conv2d(reflected(x, 1), self.weight, self.bias, self.stride)


def norm_layer(channels: int, kind: str = "instance") -> nn.Module:
    """Give the normalisation called `kind`: "instance", "pixel" or "none"."""
    return {"instance": InstanceNorm, "pixel": lambda _: PixelNorm(), "none": lambda _: nn.Identity()}[kind](channels)


class _WithBias(Function):
    """Hand on what already holds the bias, and give the bias its gradient: the sum over all pixels.

    oneDNN takes longer for the gradient of a transposed convolution's bias than for its weights'.
    """

    @staticmethod
    def forward(ctx, x: Tensor, bias: Tensor) -> Tensor:
        ctx.dtype = bias.dtype
        ctx.mark_dirty(x)
        return x

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor]:
        return gradient, gradient.sum(dim=(0, 2, 3), dtype=_summing_type(gradient)).to(ctx.dtype)


class DoublingConvolution(nn.ConvTranspose2d):
    """Double the sides by the paper's transposed convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, stride=2, padding=1, output_padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = F.conv_transpose2d(x, self.weight, self.bias.detach(), self.stride, self.padding, self.output_padding)
        return _WithBias.apply(y, self.bias)


class ResizeConvolution(nn.Conv2d):
    """Repeat every pixel twice in both directions, then convolve 3×3 (Odena et al. 2016).

    Notes
    -----
    Computed without making the repeated image: of the three taps w₀ w₁ w₂ an even pixel meets
    the pixel before with w₀ and its own with w₁ + w₂, an odd pixel its own with w₀ + w₁ and the next
    with w₂. That is a transposed convolution of stride 2 with the taps w₂, w₁ + w₂, w₀ + w₁, w₀: the
    same sums from 4 products instead of 9. Reflection of the repeated image is repetition of the border.
    """

    def __init__(self, inputs: int, outputs: int, padding: str) -> None:
        super().__init__(inputs, outputs, 3, padding=1, padding_mode=padding)

    def forward(self, x: Tensor) -> Tensor:
        taps = _doubled(_doubled(self.weight, 2), 3).transpose(0, 1)  # (in, out, 4, 4)
        bias = self.bias.detach()
        if self.padding_mode == "zeros":
            return _WithBias.apply(F.conv_transpose2d(x, taps, bias, stride=2, padding=1), self.bias)
        x = _border_repeated(x)
        y = F.conv_transpose2d(x, taps, bias, stride=2, padding=1)  # padding=3 would crop, but has a slow gradient
        return _WithBias.apply(F.pad(y, (-2, -2, -2, -2)), self.bias)


def _border_repeated(x: Tensor) -> Tensor:
    """Continue an image one pixel past its borders by repetition, in its own number format."""
    if _compiling():  # a compiled F.pad stops at its gradient's memory layout (torch 2.14, processor)
        return _continued(x, [0], [-1])
    with torch.autocast(x.device.type, enabled=False):
        return F.pad(x, (1, 1, 1, 1), mode="replicate")


def _doubled(weight: Tensor, axis: int) -> Tensor:
    first, middle, last = weight.unbind(axis)
    return torch.stack([last, middle + last, first + middle, first], dim=axis)


class LastConvolution(nn.Conv2d):
    """Convolve 7×7 to a few channels, over an image that is padded by 3 and has even sides.

    Notes
    -----
    Kernels work on 16 channels at a time, so that one output costs as much as 16. The same sums for
    2×2 neighbouring pixels are one convolution of stride 2 with the taps in the four corners of 8×8.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 7)

    def forward(self, x: Tensor) -> Tensor:
        corners = [F.pad(self.weight, (right, 1 - right, low, 1 - low)) for low in (0, 1) for right in (0, 1)]
        taps = torch.stack(corners, dim=1).flatten(0, 1)  # (out, 4, in, 8, 8) to (out · 4, in, 8, 8)
        y = F.conv2d(x, taps.contiguous(memory_format=torch.channels_last), self.bias.repeat_interleave(4), stride=2)
        return F.pixel_shuffle(y, 2)


class ResidualBlock(nn.Module):
    """Add what two convolutions make of the input to the input; no activation after the sum."""

    def __init__(self, channels: int, norm: str = "instance") -> None:
        super().__init__()
        self.body = nn.Sequential(
            Reflection(1),
            nn.Conv2d(channels, channels, 3),
            norm_layer(channels, norm),
            nn.ReLU(inplace=True),
            Reflection(1),
            nn.Conv2d(channels, channels, 3),
            norm_layer(channels, norm),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Level(nn.Module):
    """Take one doubling of the sides: convolution, normalisation, noise of a learned strength, ReLU."""

    def __init__(self, inputs: int, outputs: int, *, upsample: str, padding: str, norm: str, noise: bool) -> None:
        super().__init__()
        if upsample == "transposed":
            self.convolution = nn.Sequential(DoublingConvolution(inputs, outputs))
        else:  # second in the chain, as the names of the weights in stored models have it
            self.convolution = nn.Sequential(nn.Identity(), ResizeConvolution(inputs, outputs, padding))
        self.norm = norm_layer(outputs, norm)
        self.strength = nn.Parameter(torch.zeros(outputs, 1, 1)) if noise else None

    def forward(self, x: Tensor, noise: Tensor | None) -> Tensor:
        x = self.norm(self.convolution(x))
        if self.strength is not None and noise is not None:
            stride = noise.shape[-1] // x.shape[-1]
            grain = _over_channels(noise[..., ::stride, ::stride].to(x.dtype), x)
            x = torch.addcmul(x, grain, self.strength.to(x.dtype))
        return F.relu(x, inplace=True)


class Hourglass(nn.Module):
    """Chain a 7×7 convolution, halvings, residual blocks and doublings: G and E without their last layer.

    Parameters
    ----------
    inputs, filters, blocks : int
    norm : {"instance", "pixel", "none"}
    halvings : int
    upsample, padding : str
        As in `bloodlib.gan.config.GanConfig`.
    skips : bool
        Whether what the halving of the same size made is added to every doubling.
    noise : bool
        Whether every doubling adds noise of a learned strength.
    """

    def __init__(
        self,
        inputs: int,
        filters: int,
        blocks: int,
        *,
        norm: str = "instance",
        halvings: int = 4,
        upsample: str = "transposed",
        padding: str = "zeros",
        skips: bool = False,
        noise: bool = False,
    ) -> None:
        super().__init__()
        self.skips = skips
        first = [Reflection(3), nn.Conv2d(inputs, filters, 7), norm_layer(filters, norm)]
        self.down = nn.ModuleList([nn.Sequential(*first, nn.ReLU(inplace=True))])
        for i in range(halvings):
            wide = filters * 2**i
            halving = HalvingConvolution(wide, 2 * wide, padding)
            self.down.append(nn.Sequential(halving, norm_layer(2 * wide, norm), nn.ReLU(inplace=True)))
        self.middle = nn.Sequential(*(ResidualBlock(filters * 2**halvings, norm) for _ in range(blocks)))
        self.up = nn.ModuleList()
        for i in reversed(range(halvings)):
            wide = filters * 2**i
            self.up.append(Level(2 * wide, wide, upsample=upsample, padding=padding, norm=norm, noise=noise))

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        seen = []
        for layer in self.down:
            x = layer(x)
            seen.append(x)
        x = self.middle(x)
        for level, beside in zip(self.up, reversed(seen[:-1]), strict=True):
            x = level(x, noise)
            if self.skips:
                x = x + beside
        return x


def initialise(module: nn.Module, *, scaled: bool = False) -> None:
    """Draw all convolutions from N(0, 0.02²); `scaled`: so that activations keep their size without norms."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            if scaled:
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            else:
                nn.init.normal_(layer.weight, 0.0, 0.02)
            nn.init.zeros_(layer.bias)
