"""The thesis' networks for single cells: pix2pix's U-Net and PatchGAN (Isola et al. 2017), and their losses."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .layers import ResizeConvolution

LOSSES = ("gan", "l1", "discriminator")
KERAS_SLOPE = 0.3  # of Keras' LeakyReLU, which the thesis leaves at its default; pix2pix itself has 0.2
DROPPED_BLOCKS, DROPOUT = 3, 0.5  # the thesis'
WIDEST = 8  # in first filters: 64-128-256-512-512-…
LAMBDA_L1 = 100.0  # the thesis'
GENERATOR_BALANCE = math.log(2)  # of the generator's GAN term where the discriminator cannot tell
DISCRIMINATOR_BALANCE = 2 * math.log(2)  # of the discriminator's loss, which is the sum of two such terms


class Down(nn.Sequential):
    """Halve the sides: convolution 4×4 of stride 2, normalisation of every image by itself, LeakyReLU."""

    def __init__(self, inputs: int, outputs: int, *, norm: bool = True) -> None:
        layers: list[nn.Module] = [nn.Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=not norm)]
        if norm:
            layers.append(nn.InstanceNorm2d(outputs, affine=True, eps=1e-3))
        super().__init__(*layers, nn.LeakyReLU(KERAS_SLOPE))


class Up(nn.Module):
    """Double the sides, as `doubling` does; normalisation, maybe dropout, ReLU."""

    def __init__(self, inputs: int, outputs: int, *, dropout: bool, upsample: str = "transposed") -> None:
        super().__init__()
        self.convolution = doubling(inputs, outputs, upsample, bias=False)
        self.norm = nn.InstanceNorm2d(outputs, affine=True, eps=1e-3)
        self.dropout = dropout

    def forward(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        x = self.norm(self.convolution(x))
        if self.dropout:
            kept = torch.rand(x.shape, generator=generator).to(x.device) >= DROPOUT
            x = x * kept / (1 - DROPOUT)
        return F.relu(x)


def doubling(inputs: int, outputs: int, upsample: str, *, bias: bool) -> nn.Module:
    """Give what doubles the sides: a transposed convolution 4×4 of stride 2, or pixels repeated and convolved 3×3."""
    if upsample == "resize":
        return ResizeConvolution(inputs, outputs, "zeros")
    return nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=bias)


class UNet(nn.Module):
    """Paint a cell from the outline in the colour of its type.

    Parameters
    ----------
    side_px : int
        Of the square images, a power of 2 from 8 on: the sides are halved down to 1×1.
    filters : int
        Of the first convolution; the thesis' 64.
    upsample : {"transposed", "resize"}
        The thesis' transposed convolutions, or ours without a lattice, of the same cost.

    Raises
    ------
    ValueError
        If the side is no such number.

    Notes
    -----
    The thesis, at 256: encoder 64-128-256-512-512-512-512-512, decoder 512-512-512-512-256-128-64, each joined by a
    skip, then a transposed convolution to three channels and tanh. Dropout of ½ in the first three blocks of the
    decoder stays on when painting: it is the only source of chance. Departures: the innermost 1×1 map is not
    normalised (over one pixel every channel would become 0, and nothing would pass the bottleneck); and
    normalisation is over each image by itself, which for the thesis' batches of one is its batch normalisation in
    training mode. Book: chapter 14.
    """

    def __init__(self, side_px: int = 256, filters: int = 64, upsample: str = "transposed") -> None:
        super().__init__()
        halvings = side_px.bit_length() - 1
        if side_px < 8 or side_px != 2**halvings:
            raise ValueError(f"side_px is {side_px!r}; it must be a power of 2 and at least 8, such as 64, 128 or 256")
        widths = [filters * min(2**i, WIDEST) for i in range(halvings)]
        self.down = nn.ModuleList()
        before = 3
        for i, width in enumerate(widths):
            self.down.append(Down(before, width, norm=0 < i < halvings - 1))
            before = width
        self.up = nn.ModuleList()
        for i, width in enumerate(reversed(widths[:-1])):
            self.up.append(Up(before, width, dropout=i < DROPPED_BLOCKS, upsample=upsample))
            before = 2 * width  # joined with the skip
        self.last = doubling(before, 3, upsample, bias=True)
        initialise(self)

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Take labels (N, 3, S, S) in [-1, 1] and where chance comes from (on the processor); give images alike."""
        seen = []
        for down in self.down:
            x = down(x)
            seen.append(x)
        for up, beside in zip(self.up, reversed(seen[:-1]), strict=True):
            x = torch.cat([up(x, generator), beside], dim=1)
        return torch.tanh(self.last(x))


class PatchGAN(nn.Sequential):
    """Judge patches of 70×70 of a label and its image: logits, 30×30 of them at 256×256.

    Notes
    -----
    Three halvings, then two convolutions 4×4 of stride 1 after a padding by one pixel, as the thesis prints it.
    """

    def __init__(self, filters: int = 64) -> None:
        super().__init__(
            Down(6, filters, norm=False),
            Down(filters, 2 * filters),
            Down(2 * filters, 4 * filters),
            nn.Conv2d(4 * filters, 8 * filters, 4, padding=1, bias=False),
            nn.InstanceNorm2d(8 * filters, affine=True, eps=1e-3),
            nn.LeakyReLU(KERAS_SLOPE),
            nn.Conv2d(8 * filters, 1, 4, padding=1),
        )
        initialise(self)

    def forward(self, label: Tensor, image: Tensor) -> Tensor:
        """Take a label and an image (N, 3, S, S); give logits (N, 1, S/8 - 2, S/8 - 2)."""
        return super().forward(torch.cat([label, image], dim=1))


def initialise(network: nn.Module) -> None:
    """Draw all convolutions from N(0, 0.02²), biases 0, as the thesis does."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, 0.0, 0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def cross_entropy(logits: Tensor, real: bool) -> Tensor:
    """Give the mean binary cross-entropy of logits against `real` (1) or painted (0); log 2 for logits of 0."""
    logits = logits.float()
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))


def generator_loss(judged: Tensor, painted: Tensor, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Give the generator's loss, its GAN term and its L1 term.

    Notes
    -----
    Loss = GAN + 100 · L1. The GAN term is log 2 = 0.693 where the discriminator cannot tell; below it the painter
    fools the discriminator.
    """
    gan, l1 = cross_entropy(judged, True), F.l1_loss(painted.float(), image)
    return gan + LAMBDA_L1 * l1, gan, l1


def discriminator_loss(real: Tensor, painted: Tensor) -> Tensor:
    """Add the cross-entropies of real and painted images, without a factor ½, as the thesis does.

    Notes
    -----
    A discriminator that cannot tell scores log 2 on either, so *this sum* balances at 2 · log 2 = 1.386. The thesis
    reads its 1.15 against 0.69 and concludes that the discriminator is no better than chance; against its own
    balance it is better.
    """
    return cross_entropy(real, True) + cross_entropy(painted, False)


class CellObjective(nn.Module):
    """Compute all losses of one step, so that generator and discriminator learn from one backward pass.

    Notes
    -----
    As in `bloodlib.gan.objective.Objective`: the discriminator sees the painting cut off from the generator, and the
    slope of the generator's loss there is handed on to it.
    """

    def __init__(self, generator: UNet, discriminator: PatchGAN) -> None:
        super().__init__()
        self.generator, self.discriminator = generator, discriminator

    def forward(self, label: Tensor, image: Tensor, chance: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Take labels and images (N, 3, S, S) in [-1, 1]; give what has all gradients, and those of `LOSSES`."""
        painted = self.generator(label, chance).to(image.dtype)
        judged = painted.detach().requires_grad_()
        real, fake = self.discriminator(label, image), self.discriminator(label, judged)
        of_generator, gan, l1 = generator_loss(fake, judged, image)
        (slope,) = torch.autograd.grad(of_generator, judged, retain_graph=True)
        of_discriminator = discriminator_loss(real, fake)
        joined = (painted * slope).sum() + of_discriminator
        return joined, {"gan": gan.detach(), "l1": l1.detach(), "discriminator": of_discriminator.detach()}
