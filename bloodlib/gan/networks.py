"""The three networks of pix2pixHD: global generator, instance-wise encoder, discriminators."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LABELS = 2  # one-hot semantic classes: background, red blood cell
STRIDE = 16  # G and E halve the sides four times


def label_planes(instances: Tensor) -> Tensor:
    """Turn instance masks into what G and D see of them: one-hot classes and outlines.

    Parameters
    ----------
    instances : int (N, H, W)

    Returns
    -------
    float32 (N, 3, H, W)
        Background, red blood cell, and a 2 px wide edge wherever two ids meet, so that cells
        which touch stay apart.
    """
    cells = instances > 0
    across = instances[:, :, 1:] != instances[:, :, :-1]
    down = instances[:, 1:, :] != instances[:, :-1, :]
    edge = torch.zeros_like(cells)
    edge[:, :, 1:] |= across
    edge[:, :, :-1] |= across
    edge[:, 1:, :] |= down
    edge[:, :-1, :] |= down
    return torch.stack([~cells, cells, edge], dim=1).float()  # (N, 3, H, W)


def pool_instances(features: Tensor, instances: Tensor) -> tuple[Tensor, Tensor]:
    """Replace every pixel's features by their mean over its instance (background is one too).

    Parameters
    ----------
    features : float (N, C, H, W)
    instances : int64 (N, H, W)

    Returns
    -------
    pooled : float32 (N, C, H, W)
    means : float32 (N, M + 1, C)
        Row `k` of sample `i` is the mean over instance `k`; zero where it does not occur.

    Notes
    -----
    One scatter over the whole batch; the reference implementation loops over instances.
    """
    n, c, h, w = features.shape
    rows = int(instances.max()) + 1
    index = (instances + rows * torch.arange(n, device=instances.device).view(n, 1, 1)).flatten()  # (N·H·W,)
    flat = features.float().permute(1, 0, 2, 3).reshape(c, -1)  # (C, N·H·W)
    sums = torch.zeros(c, n * rows, device=flat.device).index_add(1, index, flat)
    sizes = torch.bincount(index, minlength=n * rows).clamp(min=1)
    means = sums / sizes  # (C, N·rows)
    pooled = means[:, index].view(c, n, h, w).permute(1, 0, 2, 3)
    return pooled, means.view(c, n, rows).permute(1, 2, 0)


def feature_planes(means: Tensor, instances: Tensor) -> Tensor:
    """Lay one style per instance out over its pixels.

    Parameters
    ----------
    means : float (M + 1, C)
        Row 0 is the background.
    instances : int64 (H, W)

    Returns
    -------
    float (C, H, W)
    """
    return means[instances].permute(2, 0, 1)


def _norm(channels: int, use: bool = True) -> nn.Module:
    return nn.InstanceNorm2d(channels) if use else nn.Identity()


def _up(inputs: int, outputs: int, kind: str, padding: str) -> list[nn.Module]:
    """Double the sides: the paper's transposed convolution, or nearest neighbour and a convolution."""
    if kind == "transposed":
        return [nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1)]
    return [nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv2d(inputs, outputs, 3, padding=1, padding_mode=padding)]


class ResidualBlock(nn.Module):
    """Add what two convolutions make of the input to the input; no activation after the sum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            _norm(channels),
            nn.ReLU(inplace=True),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            _norm(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def _hourglass(inputs: int, filters: int, blocks: int, upsample: str, padding: str, normalise: bool) -> nn.Sequential:
    """Build 7×7 convolution, four halvings, residual blocks, four doublings (all but the last layer)."""
    layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(inputs, filters, 7)]
    layers += [_norm(filters, normalise), nn.ReLU(inplace=True)]
    for i in range(4):
        wide = filters * 2**i
        layers += [nn.Conv2d(wide, 2 * wide, 3, stride=2, padding=1, padding_mode=padding)]
        layers += [_norm(2 * wide, normalise), nn.ReLU(inplace=True)]
    layers += [ResidualBlock(filters * 16) for _ in range(blocks)]
    for i in reversed(range(4)):
        wide = filters * 2**i
        layers += [*_up(2 * wide, wide, upsample, padding), _norm(wide, normalise), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class GlobalGenerator(nn.Module):
    """Paint an image from label planes and style features (pix2pixHD's global generator).

    Parameters
    ----------
    filters, blocks, feature_channels, upsample, feature_skip, padding
        As in `bloodlib.gan.config.GanConfig`.

    Notes
    -----
    Instance normalisation removes every channel's mean and scale, and with them most of what an
    even style plane says. With `feature_skip` the planes also enter the last convolution, which
    no normalisation follows. Zero padding marks the top and left border (a stride of 2 sees it
    there only), and a generator hides a bright blot in that corner to steer the normalisation;
    reflection gives it no corner to find. Sides must be multiples of 16 (`pad_sides`).
    """

    def __init__(
        self,
        filters: int,
        blocks: int,
        feature_channels: int = 3,
        upsample: str = "transposed",
        feature_skip: bool = False,
        padding: str = "zeros",
    ) -> None:
        super().__init__()
        inputs = LABELS + 1 + feature_channels
        self.trunk = _hourglass(inputs, filters, blocks, upsample, padding, normalise=True)
        self.feature_skip = feature_skip
        self.head = nn.Conv2d(filters + (inputs if feature_skip else 0), 3, 7)
        initialise(self)

    def forward(self, planes: Tensor, features: Tensor) -> Tensor:
        x = torch.cat([planes, features], dim=1)  # (N, 3 + C, H, W)
        y = self.trunk(x)
        if self.feature_skip:
            y = torch.cat([y, x.to(y.dtype)], dim=1)
        return torch.tanh(self.head(F.pad(y, (3, 3, 3, 3), mode="reflect")))


class Encoder(nn.Module):
    """Give style features per pixel, to be averaged over each instance (pix2pixHD's encoder).

    Notes
    -----
    With ``norm="instance"`` (the reference) a tint that is the same everywhere in the image is
    subtracted by the first layer and cannot be told; ``norm="none"`` keeps it.
    """

    def __init__(
        self,
        filters: int,
        feature_channels: int = 3,
        upsample: str = "transposed",
        norm: str = "instance",
        padding: str = "zeros",
    ) -> None:
        super().__init__()
        self.trunk = _hourglass(3, filters, 0, upsample, padding, normalise=norm == "instance")
        self.head = nn.Conv2d(filters, feature_channels, 7)
        initialise(self, scaled=norm == "none")

    def forward(self, image: Tensor) -> Tensor:
        return torch.tanh(self.head(F.pad(self.trunk(image), (3, 3, 3, 3), mode="reflect")))


class Discriminator(nn.Module):
    """Judge 70 px patches; keeps every layer's output for feature matching (five maps)."""

    def __init__(self, inputs: int, filters: int) -> None:
        super().__init__()
        widths = [inputs, filters, 2 * filters, 4 * filters, 8 * filters, 1]
        self.layers = nn.ModuleList()
        for i in range(5):
            layer = [nn.Conv2d(widths[i], widths[i + 1], 4, stride=2 if i < 3 else 1, padding=2)]
            layer += [_norm(widths[i + 1])] if 0 < i < 4 else []
            layer += [nn.LeakyReLU(0.2)] if i < 4 else []
            self.layers.append(nn.Sequential(*layer))
        initialise(self)

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for layer in self.layers:
            x = layer(x)
            maps.append(x)
        return maps


class MultiscaleDiscriminator(nn.Module):
    """Judge the image at several scales, each half the one before."""

    def __init__(self, filters: int, scales: int = 2) -> None:
        super().__init__()
        self.scales = nn.ModuleList(Discriminator(LABELS + 1 + 3, filters) for _ in range(scales))

    def forward(self, planes: Tensor, image: Tensor) -> list[list[Tensor]]:
        x = torch.cat([planes, image.to(planes.dtype)], dim=1)  # (N, 6, H, W)
        results = []
        for i, scale in enumerate(self.scales):
            x = F.avg_pool2d(x, 3, 2, 1, count_include_pad=False) if i else x
            results.append(scale(x))
        return results


def initialise(module: nn.Module, *, scaled: bool = False) -> None:
    """Draw all convolutions from N(0, 0.02²); `scaled`: so that activations keep their size without norms."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            if scaled:
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            else:
                nn.init.normal_(layer.weight, 0.0, 0.02)
            nn.init.zeros_(layer.bias)


def pad_sides(x: Tensor, multiple: int = STRIDE) -> Tensor:
    """Repeat the last row and column until both sides are multiples of `multiple` (N, …, H, W)."""
    high, wide = -x.shape[-2] % multiple, -x.shape[-1] % multiple
    if not high and not wide:
        return x
    rows = torch.arange(x.shape[-2] + high, device=x.device).clamp(max=x.shape[-2] - 1)
    columns = torch.arange(x.shape[-1] + wide, device=x.device).clamp(max=x.shape[-1] - 1)
    return x[..., rows, :][..., columns]
