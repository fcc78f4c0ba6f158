"""FCN-8s with one head per question: is this pixel a cell, is it a contour?"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

POOLINGS = 5
STRIDE = 2**POOLINGS


def normalisation(kind: str, channels: int) -> nn.Module:
    """Make a normalising layer: batch, group (16 channels each), or none at all."""
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    if kind == "group":
        return nn.GroupNorm(max(channels // 16, 1), channels)
    return nn.Identity()


def _convolve(before: int, after: int, norm: str, kernel: int = 3) -> list[nn.Module]:
    layer = nn.Conv2d(before, after, kernel, padding=kernel // 2, bias=norm == "none")
    return [layer, normalisation(norm, after), nn.ReLU(inplace=True)]


class Vgg16Trunk(nn.Module):
    """Compute the feature maps that FCN-8s reads: pool3, pool4 and fc7 as a convolution.

    Parameters
    ----------
    width : float
        Scales every number of channels; 1 is VGG-16.
    norm : {"none", "batch", "group"}
        After every convolution; VGG-16 has none, which trains from its own weights only.
    dropout : float
        In fc6 and fc7.

    Notes
    -----
    Simonyan & Zisserman 2015 (configuration D); fc6 and fc7 as in Long, Shelhamer & Darrell 2015,
    but padded, where theirs pads the image by 100 pixels and crops.
    """

    def __init__(self, width: float = 1.0, norm: str = "none", dropout: float = 0.5) -> None:
        super().__init__()
        stages, before = [], 3
        for channels, layers in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
            after = max(round(channels * width), 8)
            stage: list[nn.Module] = []
            for _ in range(layers):
                stage += _convolve(before, after, norm)
                before = after
            stages.append(nn.Sequential(*stage, nn.MaxPool2d(2)))
        self.stages = nn.ModuleList(stages)
        full = max(round(4096 * width), 8)
        self.fc = nn.Sequential(
            *_convolve(before, full, norm, kernel=7), nn.Dropout2d(dropout), *_convolve(full, full, norm, kernel=1)
        )
        self.drop = nn.Dropout2d(dropout)
        self.channels = (max(round(256 * width), 8), max(round(512 * width), 8), full)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Take (N, 3, H, W) with H and W multiples of 32; give maps at strides 8, 16 and 32."""
        maps = []
        for stage in self.stages:
            image = stage(image)
            maps.append(image)
        return maps[2], maps[3], self.drop(self.fc(maps[4]))


def bilinear_(layer: nn.ConvTranspose2d) -> nn.ConvTranspose2d:
    """Fill a transposed convolution so that it starts as bilinear upsampling of each map by itself."""
    size, factor = layer.kernel_size[0], layer.stride[0]
    line = 1 - (torch.arange(size) - (size - 1) / 2).abs() / factor
    before, after = layer.weight.shape[:2]
    with torch.no_grad():
        layer.weight.zero_()
        for k in range(before):  # maps are averaged where there are fewer outputs than inputs
            layer.weight[k, k % after] = line[:, None] * line[None] * after / before
    return layer


class SkipHead(nn.Module):
    """Turn the trunk's three maps into one full-size map of logits, as FCN-8s does.

    Scores of stride 32 are upsampled by 2, added to those of pool4, by 2 again, added to those of
    pool3, and upsampled by 8; every upsampling is a transposed convolution that starts bilinear.
    """

    def __init__(self, channels: Sequence[int], maps: int = 1) -> None:
        super().__init__()
        self.scores = nn.ModuleList(nn.Conv2d(c, maps, 1) for c in channels)
        self.twice = nn.ModuleList(
            bilinear_(nn.ConvTranspose2d(maps, maps, 4, stride=2, padding=1, bias=False)) for _ in range(2)
        )
        self.eightfold = bilinear_(nn.ConvTranspose2d(maps, 1, 16, stride=8, padding=4, bias=False))

    def forward(self, pool3: Tensor, pool4: Tensor, fc7: Tensor) -> Tensor:
        """Give logits (N, 1, H, W)."""
        total = self.twice[0](self.scores[2](fc7)) + self.scores[1](pool4)
        total = self.twice[1](total) + self.scores[0](pool3)
        return self.eightfold(total)


class SkipNet(nn.Module):
    """Predict one map of logits per head from a shared VGG-16 trunk.

    `Fcn8s` has one head; `ContourFcn` two. Images of any size are padded to multiples of 32 at their
    far edges by repetition, and the prediction is cut back.
    """

    heads: tuple[str, ...] = ()

    def __init__(self, width: float = 1.0, norm: str = "batch", dropout: float = 0.5, score_maps: int = 1) -> None:
        super().__init__()
        self.trunk = Vgg16Trunk(width, norm, dropout)
        self.outputs = nn.ModuleList(SkipHead(self.trunk.channels, score_maps) for _ in self.heads)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def forward(self, image: Tensor) -> Tensor:
        """Take images (N, 3, H, W) in [-1, 1]; give logits (N, heads, H, W)."""
        height, width = image.shape[-2:]
        padded = F.pad(image, (0, -width % STRIDE, 0, -height % STRIDE), mode="replicate")
        maps = self.trunk(padded)
        logits = torch.cat([head(*maps) for head in self.outputs], dim=1)  # heads × (N, 1, H, W) -> (N, heads, H, W)
        return logits[..., :height, :width].float()


class Fcn8s(SkipNet):
    """Segment cells from background: FCN-8s (Long, Shelhamer & Darrell 2015). Book: chapter 08."""

    heads = ("cell",)


class ContourFcn(SkipNet):
    """Predict objectness and contours, after DCAN (Chen et al. 2016). Book: chapter 10."""

    heads = ("objectness", "contour")


def soft_dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Compute 1 − DSC for every map, and sum over the maps.

    Parameters
    ----------
    logits : float (N, K, H, W)
    target : float (N, K, H, W)
        0 or 1.

    Returns
    -------
    float ()
        Between 0 and K.

    Notes
    -----
    Bailo et al. 2019, Eq. 8: DSC = 2·p·t / (|p|² + |t|²), with p the sigmoid of the logits, over the
    pixels of the whole batch. One pixel is added above and below, so that a batch without any cell,
    rightly seen as empty, costs nothing and not 0/0.
    """
    p = logits.sigmoid()
    sums = (0, 2, 3)
    score = (2 * (p * target).sum(sums) + 1) / (p.square().sum(sums) + target.square().sum(sums) + 1)
    return (1 - score).sum()
