"""The three networks of pix2pixHD: global generator, instance-wise encoder, discriminators."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import GanConfig
from .layers import Hourglass, LastConvolution, initialise, norm_layer, reflected, softened
from .precision import working_type

LABELS = 2  # one-hot semantic classes of the paper: background, red blood cell
STRIDE = 16  # G and E halve the sides at most four times


def label_planes(instances: Tensor, kinds: Tensor | None = None, labels: int = LABELS) -> Tensor:
    """Turn instance masks into what G and D see of them: one-hot classes and outlines.

    Parameters
    ----------
    instances : int (N, H, W)
    kinds : int (N, H, W), optional
        Semantic class of each pixel, 0 for background; 1 wherever there is an instance if not given.
    labels : int
        Number of semantic classes, background included.

    Returns
    -------
    float32 (N, labels + 1, H, W)
        One plane per class, and a 2 px wide edge wherever two ids meet, so that cells which touch
        stay apart.
    """
    kinds = (instances > 0).long() if kinds is None else kinds
    across = instances[:, :, 1:] != instances[:, :, :-1]
    down = instances[:, 1:, :] != instances[:, :-1, :]
    edge = torch.zeros_like(kinds, dtype=torch.bool)
    edge[:, :, 1:] |= across
    edge[:, :, :-1] |= across
    edge[:, 1:, :] |= down
    edge[:, :-1, :] |= down
    return torch.stack([*(kinds == k for k in range(labels)), edge], dim=1).float()  # (N, labels + 1, H, W)


class GlobalGenerator(nn.Module):
    """Paint an image from label planes and style features (pix2pixHD's global generator).

    Parameters
    ----------
    filters, blocks, feature_channels, upsample, feature_skip, padding, norm, halvings, skips, noise, softness_px
        As in `bloodlib.gan.config.GanConfig`.
    labels : int
        Semantic classes, background included.

    Notes
    -----
    Instance normalisation removes every channel's mean and scale, and with them most of what an
    even style plane says. With `feature_skip` the planes also enter the last convolution, which
    no normalisation follows. Zero padding marks the top and left border (a stride of 2 sees it
    there only), and a generator hides a bright blot in that corner to steer the normalisation;
    reflection gives it no corner to find. ``norm="pixel"`` has no statistics over the image to
    steer, so no blots anywhere, and paints a crop as it paints the whole. `noise`, float
    (N, 1, H, W), feeds what no label can say, such as the grain of the background: it enters at
    every doubling, subsampled. Sides must be multiples of 16 (`pad_sides`).
    """

    def __init__(
        self,
        filters: int,
        blocks: int,
        feature_channels: int = 3,
        upsample: str = "transposed",
        feature_skip: bool = False,
        padding: str = "zeros",
        *,
        norm: str = "instance",
        halvings: int = 4,
        skips: bool = False,
        noise: bool = False,
        softness_px: float = 0.0,
        labels: int = LABELS,
    ) -> None:
        super().__init__()
        inputs = labels + 1 + feature_channels
        self.labels, self.feature_channels, self.softness_px = labels, feature_channels, softness_px
        self.feature_skip, self.noise = feature_skip, noise
        self.trunk = Hourglass(
            inputs,
            filters,
            blocks,
            norm=norm,
            halvings=halvings,
            upsample=upsample,
            padding=padding,
            skips=skips,
            noise=noise,
        )
        self.head = LastConvolution(filters + (inputs if feature_skip else 0), 3)
        initialise(self)

    def forward(self, planes: Tensor, features: Tensor, noise: Tensor | None = None) -> Tensor:
        kind = working_type(planes)
        x = torch.cat([planes.to(kind), features.to(kind)], dim=1)  # (N, labels + 1 + C, H, W)
        if self.softness_px:
            x = softened(x, self.softness_px)
        y = self.trunk(x, noise)
        if self.feature_skip:
            y = torch.cat([y, x], dim=1)
        return torch.tanh(self.head(reflected(y, 3)))


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
        self.trunk = Hourglass(3, filters, 0, norm=norm, upsample=upsample, padding=padding)
        self.head = LastConvolution(filters, feature_channels)
        initialise(self, scaled=norm == "none")

    def forward(self, image: Tensor) -> Tensor:
        y = self.trunk(image.to(working_type(image)))
        return torch.tanh(self.head(reflected(y, 3)))


class Discriminator(nn.Module):
    """Judge 70 px patches; keeps every layer's output for feature matching (five maps).

    Parameters
    ----------
    inputs, filters : int
    norm : {"instance", "spectral"}
        The reference's, or (ours) weights divided by their largest singular value (Miyato et al.
        2018), which bounds D's slope and leaves it the contrast of the image to judge.
    padding : int
        Of every convolution: pix2pixHD's 2, or CycleGAN's 1.
    """

    def __init__(self, inputs: int, filters: int, norm: str = "instance", padding: int = 2) -> None:
        super().__init__()
        widths = [inputs, filters, 2 * filters, 4 * filters, 8 * filters, 1]
        self.layers = nn.ModuleList()
        for i in range(5):
            layer = [nn.Conv2d(widths[i], widths[i + 1], 4, stride=2 if i < 3 else 1, padding=padding)]
            layer += [norm_layer(widths[i + 1])] if 0 < i < 4 and norm == "instance" else []
            layer += [nn.LeakyReLU(0.2, inplace=True)] if i < 4 else []
            self.layers.append(nn.Sequential(*layer))
        initialise(self, scaled=norm == "spectral")
        if norm == "spectral":
            for layer in self.layers:
                nn.utils.parametrizations.spectral_norm(layer[0])

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for layer in self.layers:
            x = layer(x)
            maps.append(x)
        return maps


class MultiscaleDiscriminator(nn.Module):
    """Judge the image at several scales, each half the one before."""

    def __init__(self, filters: int, scales: int = 2, norm: str = "instance", labels: int = LABELS) -> None:
        super().__init__()
        self.scales = nn.ModuleList(Discriminator(labels + 1 + 3, filters, norm) for _ in range(scales))

    def forward(self, planes: Tensor, image: Tensor) -> list[list[Tensor]]:
        kind = working_type(planes)
        seen = [planes.to(kind), image.to(kind)]  # halved one by one: the planes need no gradient
        results = []
        for i, scale in enumerate(self.scales):
            seen = [F.avg_pool2d(x, 3, 2, 1, count_include_pad=False) for x in seen] if i else seen
            results.append(scale(torch.cat(seen, dim=1)))  # (N, labels + 4, H, W)
        return results


def make_painter(config: GanConfig) -> tuple[GlobalGenerator, Encoder]:
    """Build G and E as configured, weights drawn from torch's current random state."""
    generator = GlobalGenerator(
        config.filters,
        config.blocks,
        config.feature_channels,
        config.upsample,
        config.feature_skip,
        config.padding,
        norm=config.norm,
        halvings=config.halvings,
        skips=config.skips,
        noise=config.noise,
        softness_px=config.softness_px,
        labels=config.labels,
    )
    encoder = Encoder(config.filters, config.feature_channels, config.upsample, config.encoder_norm, config.padding)
    return generator, encoder


def make_discriminator(config: GanConfig) -> MultiscaleDiscriminator:
    """Build D as configured, weights drawn from torch's current random state."""
    filters = config.discriminator_filters or config.filters
    return MultiscaleDiscriminator(filters, config.discriminators, config.discriminator_norm, config.labels)


def pad_sides(x: Tensor, multiple: int = STRIDE) -> Tensor:
    """Repeat the last row and column until both sides are multiples of `multiple` (N, …, H, W)."""
    high, wide = -x.shape[-2] % multiple, -x.shape[-1] % multiple
    if not high and not wide:
        return x
    rows = torch.arange(x.shape[-2] + high, device=x.device).clamp(max=x.shape[-2] - 1)
    columns = torch.arange(x.shape[-1] + wide, device=x.device).clamp(max=x.shape[-1] - 1)
    return x[..., rows, :][..., columns]
