"""CycleGAN's choices, networks and losses: white cells to trimaps and back, without pairs."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..io.trimaps import NUCLEUS, check_trimap, snap, to_levels
from .config import NORMS, PADDINGS, PRECISIONS, PRESENTATION, UPSAMPLING, departures
from .layers import Hourglass, LastConvolution, initialise, reflected
from .losses import adversarial
from .networks import Discriminator
from .precision import working_type

PLANES = ("grey", "onehot")
CHANNELS = 3  # of a picture, and of a trimap as the networks see it, so that identity is defined both ways
PAINTERS = ("gan_image", "gan_trimap", "cycle_image", "cycle_trimap", "identity")  # what the generators make small
JUDGES = ("d_image", "d_trimap")  # what the discriminators make small
LOSSES = PAINTERS + JUDGES


@dataclass(frozen=True)
class CycleConfig:
    """Hold everything that decides what pair of generators comes out of pictures and trimaps.

    Notes
    -----
    `rao2019` states the side, nine residual blocks, PatchGAN, 100 epochs and the learning rate; what it
    does not state is taken from the reference implementation of CycleGAN. Book: chapter 12.
    """

    side_px: int = 256  # pictures and trimaps are resized to this square; the paper's
    planes: str = "grey"  # a trimap is its grey on three channels, the paper's; "onehot" (ours): a channel per class
    filters: int = 64  # of the generators' first convolution; the reference's
    blocks: int = 9  # residual blocks; the paper's
    discriminator_filters: int = 64  # the reference's
    upsample: str = "transposed"  # the reference's; "resize" (ours) paints without a checkerboard
    padding: str = "zeros"  # of the halvings; the reference's
    norm: str = "instance"  # the reference's
    lambda_cycle: float = 10.0  # both ways; the reference's, the paper calls it λ
    lambda_identity: float = 0.0  # as a part of lambda_cycle; 0 is what the paper writes, the reference's is 0.5
    buffer: int = 50  # earlier paintings that D is shown; the reference's
    batch: int = 1  # the reference's
    epochs: int | None = 100  # passes over the pictures; the paper's
    steps: int | None = None  # ours: optimiser steps, instead of epochs
    constant: float = 0.5  # part at full learning rate, then linear to 0; the reference's half
    learning_rate: float = 2e-4  # the paper's
    betas: tuple[float, float] = (0.5, 0.999)  # the reference's
    flips: bool = True  # horizontal and vertical; the reference flips horizontally
    rotations: bool = False  # ours: also transposed, which with both flips gives all 8 views
    precision: str = "auto"  # ours: bfloat16 autocast where the processor has it
    checkpoint_every: int = 200  # ours, steps
    preview_every: int = 200  # ours, steps; 0 paints none
    tensorboard_every: int = 10  # ours: steps between two points of TensorBoard's curves; 0 leaves TensorBoard out

    def __post_init__(self) -> None:
        for name, legal in (
            ("planes", PLANES),
            ("upsample", UPSAMPLING),
            ("padding", PADDINGS),
            ("norm", NORMS),
            ("precision", PRECISIONS),
        ):
            if getattr(self, name) not in legal:
                raise ValueError(f"{name} is {getattr(self, name)!r}; it can be {', '.join(legal)}")
        if not 0 <= self.constant <= 1:
            raise ValueError(f"constant is {self.constant}; a share of the steps from 0 to 1 is needed")
        if (self.epochs is None) == (self.steps is None):
            raise ValueError(f"epochs is {self.epochs} and steps {self.steps}; give exactly one of them")
        if self.side_px < 32 or self.side_px % 4:
            raise ValueError(f"side_px is {self.side_px}; it must be a multiple of 4 and at least 32 px")
        for name, least in (
            ("buffer", 0),
            ("batch", 1),
            ("epochs", 1),
            ("steps", 1),
            ("checkpoint_every", 1),
            ("preview_every", 0),
            ("tensorboard_every", 0),
        ):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name} is {value}; it can be {least} or more")

    def step_count(self, pictures: int) -> int:
        """Give the number of optimiser steps over a set of `pictures` images."""
        return self.steps if self.steps is not None else max(1, self.epochs * pictures // self.batch)

    def to_dict(self) -> dict[str, Any]:
        """Give the fields as JSON-able values."""
        return json.loads(json.dumps(asdict(self)))

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> CycleConfig:
        """Rebuild a configuration from `to_dict`."""
        return cls(**{**values, "betas": tuple(values["betas"])})

    def digest(self, **more: Any) -> str:
        """Give a short hash of all that decides the result: the fields that depart from their defaults, and `more`."""
        content = {**departures(self, leave_out=PRESENTATION), **more}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


CYCLE_PRESETS: dict[str, CycleConfig] = {
    # Seconds on one core: shows that everything works, not what it can do.
    "smoke": CycleConfig(
        side_px=48,
        planes="onehot",
        filters=8,
        blocks=2,
        discriminator_filters=8,
        upsample="resize",
        padding="reflect",
        lambda_identity=0.5,
        epochs=None,
        steps=120,
        learning_rate=1e-3,
        rotations=True,
        precision="float32",
        checkpoint_every=60,
        preview_every=60,
    ),
    # The real pictures on one shared core: half the native side, half the filters, a thirtieth of the paper's epochs.
    "laptop": CycleConfig(
        side_px=64,
        planes="onehot",
        filters=32,
        blocks=4,
        discriminator_filters=32,
        upsample="resize",
        padding="reflect",
        lambda_identity=0.5,
        batch=2,
        epochs=None,
        steps=400,
        learning_rate=4e-4,
        rotations=True,
        checkpoint_every=50,
        preview_every=200,
    ),
    # The paper's own size and schedule, for a GPU.
    "paper": CycleConfig(),
}


def cycle_preset(profile: str, **overrides: Any) -> CycleConfig:
    """Give a preset with some of its fields replaced.

    Raises
    ------
    ValueError
        If the profile or a field does not exist.
    """
    if profile not in CYCLE_PRESETS:
        raise ValueError(f"profile is {profile!r}; it can be {', '.join(CYCLE_PRESETS)}")
    unknown = sorted(set(overrides) - set(CycleConfig.__dataclass_fields__))
    if unknown:
        raise ValueError(f"unknown setting {unknown[0]!r}; there are {', '.join(CycleConfig.__dataclass_fields__)}")
    return replace(CYCLE_PRESETS[profile], **overrides)


def trimap_planes(trimap: np.ndarray, planes: str = "grey") -> Tensor:
    """Turn a trimap of 0, 1, 2 into what the networks see of it.

    Parameters
    ----------
    trimap : uint8 (H, W)
    planes : {"grey", "onehot"}

    Returns
    -------
    float32 (3, H, W) in [-1, 1]
        "grey": the levels 0, 128, 255 on each of three channels, as the reference opens a PNG. "onehot":
        1 in the channel of the class and −1 in the others, so that no class lies between two others.

    Raises
    ------
    ValueError
        If the trimap holds anything but 0, 1 and 2, such as the grey levels of a file.
    """
    check_trimap(trimap)
    if planes == "grey":
        levels = torch.from_numpy(to_levels(trimap)).float() / 127.5 - 1
        return levels.expand(CHANNELS, -1, -1).clone()  # (H, W) -> (3, H, W)
    return torch.stack([torch.from_numpy(trimap == k) for k in range(NUCLEUS + 1)]).float() * 2 - 1  # (3, H, W)


def planes_trimap(x: Tensor, planes: str = "grey") -> np.ndarray:
    """Turn float (3, H, W) in [-1, 1] back into a trimap uint8 (H, W): the nearest grey, or the largest channel."""
    values = x.detach().float().cpu()
    if planes == "grey":
        return snap(((values.mean(dim=0) + 1) * 127.5).numpy())
    return values.argmax(dim=0).numpy().astype(np.uint8)


class ResnetGenerator(nn.Module):
    """Translate between pictures and trimaps: CycleGAN's generator with residual blocks at a quarter of the side."""

    def __init__(self, config: CycleConfig) -> None:
        super().__init__()
        self.trunk = Hourglass(
            CHANNELS,
            config.filters,
            config.blocks,
            norm=config.norm,
            halvings=2,
            upsample=config.upsample,
            padding=config.padding,
        )
        self.head = LastConvolution(config.filters, CHANNELS)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Take and give (N, 3, H, W) in [-1, 1]; sides are multiples of 4."""
        return torch.tanh(self.head(reflected(self.trunk(x.to(working_type(x))), 3)))


class PaintingBuffer(nn.Module):
    """Keep earlier paintings, so that D does not forget what fooled it (Shrivastava et al. 2017).

    Its pictures are buffers of the module, hence part of every checkpoint.
    """

    def __init__(self, size: int, side_px: int) -> None:
        super().__init__()
        self.register_buffer("paintings", torch.zeros(size, CHANNELS, side_px, side_px))
        self.register_buffer("held", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def exchange(self, fresh: Tensor, draws: Tensor) -> Tensor:
        """Give what D is to judge, and remember.

        Parameters
        ----------
        fresh : float (N, 3, H, W)
        draws : float (N, 2) in [0, 1)
            Random numbers: whether, and which.

        Returns
        -------
        float32 (N, 3, H, W)
            While the buffer fills, the fresh ones; then each is, with probability ½, an older one whose place
            the fresh one takes.
        """
        size = len(self.paintings)
        shown = fresh.detach().float().clone()
        for k in range(len(shown) if size else 0):
            if int(self.held) < size:
                self.paintings[int(self.held)] = shown[k]
                self.held += 1
            elif draws[k, 0] < 0.5:
                which = min(int(draws[k, 1] * size), size - 1)  # in half precision a draw can round up to 1
                older = self.paintings[which].clone()
                self.paintings[which] = shown[k]
                shown[k] = older
        return shown


class CycleObjective(nn.Module):
    """Compute all losses of one step, so that all four networks learn from one backward pass.

    Notes
    -----
    L = LSGAN(to_image, D_image) + LSGAN(to_trimap, D_trimap) + λ·L_cyc, as `rao2019` writes it, with an identity
    loss as an option it does not have; L_cyc is the mean absolute difference, both ways. Each D has the
    reference's ½, so a D that cannot tell scores ¼, and the generator's term then is ¼ as well. The generators'
    adversarial slope is taken with D's weights held constant, as in `bloodlib.gan.objective.Objective`.
    """

    def __init__(self, config: CycleConfig) -> None:
        super().__init__()
        self.config = config
        self.to_image, self.to_trimap = ResnetGenerator(config), ResnetGenerator(config)
        self.d_image = Discriminator(CHANNELS, config.discriminator_filters, padding=1)
        self.d_trimap = Discriminator(CHANNELS, config.discriminator_filters, padding=1)
        self.images = PaintingBuffer(config.buffer, config.side_px)
        self.trimaps = PaintingBuffer(config.buffer, config.side_px)

    def forward(self, image: Tensor, trimap: Tensor, draws: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the losses of one batch.

        Parameters
        ----------
        image, trimap : float (N, 3, S, S) in [-1, 1]
            Drawn independently: not of the same cells.
        draws : float (2, N, 2) in [0, 1)
            For the two buffers.

        Returns
        -------
        joined : Tensor
            Has every network's gradient; its value means nothing.
        losses : dict of str to Tensor
            Those of `LOSSES`, detached.
        """
        config = self.config
        painted, found = self.to_image(trimap), self.to_trimap(image)
        losses = {
            "cycle_image": config.lambda_cycle * _distance(self.to_image(found), image),
            "cycle_trimap": config.lambda_cycle * _distance(self.to_trimap(painted), trimap),
        }
        if config.lambda_identity:
            weight = config.lambda_cycle * config.lambda_identity
            same = _distance(self.to_image(image), image) + _distance(self.to_trimap(trimap), trimap)
            losses["identity"] = weight * same
        joined = torch.stack(list(losses.values())).sum()
        losses.setdefault("identity", torch.zeros((), device=image.device))
        sides = (
            ("image", self.d_image, painted, image, self.images, draws[0]),
            ("trimap", self.d_trimap, found, trimap, self.trimaps, draws[1]),
        )
        for name, judge, fresh, real, buffer, drawn in sides:
            judged = fresh.detach().float().requires_grad_()
            losses[f"gan_{name}"] = adversarial([judge(judged)], True)
            (slope,) = torch.autograd.grad(losses[f"gan_{name}"], judged)
            shown = buffer.exchange(fresh, drawn)
            losses[f"d_{name}"] = 0.5 * (adversarial([judge(real)], True) + adversarial([judge(shown)], False))
            joined = joined + (fresh.float() * slope).sum() + losses[f"d_{name}"]
        return joined, {name: losses[name].detach() for name in LOSSES}


def _distance(a: Tensor, b: Tensor) -> Tensor:
    return F.l1_loss(a.float(), b.float())
