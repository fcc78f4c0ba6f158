"""Every choice that makes a painter, with where it comes from, and the three presets."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, TypeVar

T = TypeVar("T")

MOST_TERMS = 6  # that bloodlib.gan.pooling knows

UPSAMPLING = ("transposed", "resize")
GAN_LOSSES = ("lsgan", "log")
PERCEPTUAL = ("vgg19", "squeezenet", "auto", "none")
PRECISIONS = ("auto", "float32", "bfloat16")
STYLE_DRAWS = ("joint", "independent", "per_cell")
ENCODER_NORMS = ("instance", "none")
NORMS = ("instance", "pixel")
DISCRIMINATOR_NORMS = ("instance", "spectral")
PADDINGS = ("zeros", "reflect")
PRESENTATION = ("checkpoint_every", "preview_every", "tensorboard_every")  # settings that change no weight


@dataclass(frozen=True)
class Stage:
    """Say what one of the two training stages shows the networks, and for how long."""

    shape: tuple[int, int] | None = None  # height, width that smears are resized to; None: their own. Paper: 640×1024
    crop: int | None = None  # side of random crops in px, a multiple of 16; None (paper's): the whole smear
    batch: int = 1  # samples per step; 1 is the reference implementation's
    epochs: int | None = None  # as many steps as passes over the smears would be, drawn with replacement; paper: 120
    steps: int | None = None  # ours: optimiser steps, instead of epochs
    constant: float = 0.5  # part of the stage at full learning rate, then linear to 0; the reference's half

    def step_count(self, smears: int) -> int:
        """Give the number of optimiser steps over a set of `smears` images."""
        return self.steps if self.steps is not None else max(1, self.epochs * smears // self.batch)


@dataclass(frozen=True)
class GanConfig:
    """Hold everything that decides what painter comes out of a set of smears.

    Notes
    -----
    The paper (`bailo2019`) states the sizes, the two stages, the filters, the flips and the ten
    clusters; what it does not state is taken from the reference implementation of pix2pixHD. So is the GAN loss:
    the paper writes the logarithm of the first GANs in its equations, names pix2pixHD as what was trained, and that
    trains by least squares.
    Book: chapter "How the painter is trained".
    """

    stages: tuple[Stage, Stage]  # G+E+D, then G+D on precomputed features: the paper's two stages
    filters: int = 16  # of the first convolution of G, E and D; the paper's
    blocks: int = 9  # residual blocks of G; the reference's
    feature_channels: int = 3  # style features per instance; the reference's
    style_terms: int = 1  # per feature and instance: its mean, the reference's; ours, up to 6: see bloodlib.gan.pooling
    halvings: int = 4  # of the sides in G; the reference's. Ours, 3: finer, with a third of the weights
    softness_px: float = 0.0  # ours: sigma that blurs what G sees, so that it does not paint the steps of masks
    skips: bool = False  # ours: every halving is added to the doubling of its size, so outlines stay crisp
    norm: str = "instance"  # of G, the reference's; "pixel" (ours) leaves no blots and no trace of the image's size
    noise: bool = False  # ours: noise enters at every doubling, for grain that no label says
    cell_classes: int = 1  # semantic classes of cells: the paper's 1; k takes the smears' classes 0..k-1
    objects: bool = False  # ours: platelets, dust and white cells are a semantic class, see bloodlib.incidental
    camera: bool = False  # ours: pictures get the light, fringes and grain of real ones, see bloodlib.camera
    discriminators: int = 2  # scales; the paper's D = (D1, D2)
    discriminator_filters: int | None = None  # None: as `filters`, the paper's
    discriminator_norm: str = "instance"  # the reference's; "spectral" is ours
    upsample: str = "transposed"  # the paper's; "resize" (ours) paints without a checkerboard
    encoder_stage: int = 2  # whose size of smears E sees once it is frozen; 1 is the reference's, where stages have one
    encoder_norm: str = "instance"  # the reference's; "none" (ours) lets E see absolute colour
    feature_skip: bool = False  # ours: style features also enter G's last convolution, behind every normalisation
    padding: str = "zeros"  # the reference's; "reflect" (ours) leaves no blot in the corner
    gan_loss: str = "lsgan"  # the reference's; "log" is what the paper writes
    lambda_feature_matching: float = 10.0  # the reference's
    lambda_perceptual: float = 10.0  # the reference's
    lambda_colour: float = 0.0  # ours: weight of bloodlib.gan.losses.colour_difference
    perceptual: str = "vgg19"  # the paper's; see bloodlib.gan.perceptual for "auto"
    average: float = 0.0  # ours: decay of the running mean of G's weights that paints in the end; 0 takes the last
    learning_rate: float = 2e-4  # the reference's
    betas: tuple[float, float] = (0.5, 0.999)  # the reference's
    flips: bool = True  # horizontal and vertical; the paper's
    rotations: bool = False  # ours: square crops are also transposed, which with both flips gives all 8 views
    precision: str = "auto"  # ours: bfloat16 autocast where the processor has it; "bfloat16": also where it is slow
    clusters: int = 10  # style clusters per semantic class; the paper's
    style_draw: str = "joint"  # ours: see bloodlib.gan.styles; "independent" is the paper's
    checkpoint_every: int = 200  # ours, steps
    preview_every: int = 200  # ours, steps; 0 paints none
    tensorboard_every: int = 10  # ours: steps between two points of TensorBoard's curves; 0 leaves TensorBoard out
    compile: bool = False  # ours: torch.compile; minutes before the first step

    def __post_init__(self) -> None:
        for name, legal in (
            ("upsample", UPSAMPLING),
            ("encoder_norm", ENCODER_NORMS),
            ("norm", NORMS),
            ("discriminator_norm", DISCRIMINATOR_NORMS),
            ("padding", PADDINGS),
            ("gan_loss", GAN_LOSSES),
            ("perceptual", PERCEPTUAL),
            ("precision", PRECISIONS),
            ("style_draw", STYLE_DRAWS),
        ):
            if getattr(self, name) not in legal:
                raise ValueError(f"{name} is {getattr(self, name)!r}; it can be {', '.join(legal)}")
        if not 1 <= self.style_terms <= MOST_TERMS:
            raise ValueError(f"style_terms is {self.style_terms}; it can be 1 to {MOST_TERMS}")
        if not 0 <= self.softness_px < math.inf:
            raise ValueError(f"softness_px is {self.softness_px}; it can be 0 (as drawn) or a blur in pixels above it")
        for name, least, most in (
            ("filters", 1, math.inf),
            ("blocks", 0, math.inf),
            ("feature_channels", 1, math.inf),
            ("discriminators", 1, math.inf),
            ("cell_classes", 1, math.inf),
            ("clusters", 1, math.inf),
            ("checkpoint_every", 1, math.inf),
            ("preview_every", 0, math.inf),
            ("tensorboard_every", 0, math.inf),
            ("halvings", 1, 4),
            ("encoder_stage", 1, 2),
        ):
            if not least <= getattr(self, name) <= most:
                allowed = f"{least} or more" if most == math.inf else f"{least} to {most}"
                raise ValueError(f"{name} is {getattr(self, name)}; it can be {allowed}")
        if len(self.stages) != 2:
            raise ValueError(f"stages has {len(self.stages)} entries; needed are two, one with and one without E")
        for stage in self.stages:
            if (stage.epochs is None) == (stage.steps is None):
                raise ValueError(f"a stage has epochs {stage.epochs} and steps {stage.steps}; give exactly one of them")
            if (stage.epochs or stage.steps or 0) < 1:
                raise ValueError(f"a stage has epochs {stage.epochs} and steps {stage.steps}; needed is 1 or more")
            if stage.batch < 1 or not 0 <= stage.constant <= 1:
                raise ValueError(
                    f"a stage has batch {stage.batch} and constant {stage.constant}; needed are 1 or more, and a share "
                    "of its steps from 0 to 1"
                )
            if stage.crop is not None and (stage.crop < 32 or stage.crop % 16):
                raise ValueError(f"crop is {stage.crop}; it must be a multiple of 16 and at least 32 px")

    @property
    def labels(self) -> int:
        """Number of semantic classes, background included."""
        return 1 + self.cell_classes + self.objects

    @property
    def encoder_scale(self) -> tuple[float, float] | None:
        """By how much smears of the second stage are shrunk before E sees them, height and width; None: not at all."""
        first, second = (stage.shape for stage in self.stages)
        if self.encoder_stage == 2 or first is None or second is None:
            return None
        return first[0] / second[0], first[1] / second[1]

    @property
    def blank_crops(self) -> bool:
        """Whether a crop of nothing but background can be learnt from.

        Notes
        -----
        Instance norm divides by the spread of a plane. Where there is neither a cell nor noise nor a border
        of zeros every plane is constant, so each of G's norms multiplies gradients by 1/√ε = 316, and a
        dozen of them overflow.
        """
        return self.norm != "instance" or self.padding != "reflect" or self.noise

    def to_dict(self) -> dict[str, Any]:
        """Give the fields as JSON-able values."""
        return json.loads(json.dumps(asdict(self)))

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> GanConfig:
        """Rebuild a configuration from `to_dict`."""
        stages = tuple(Stage(**{**s, "shape": s["shape"] and tuple(s["shape"])}) for s in values["stages"])
        return cls(**{**values, "stages": stages, "betas": tuple(values["betas"])})

    def digest(self, **more: Any) -> str:
        """Give a short hash of all that decides the result: these fields and what else is named.

        Fields at their default are left out, so that a setting added later does not disown the
        models made before it.
        """
        plain = departures(self, leave_out=(*PRESENTATION, "stages"))
        content = {**plain, "stages": [departures(stage) for stage in self.stages], **more}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def departures(settings: Any, leave_out: tuple[str, ...] = ()) -> dict[str, Any]:
    """Give the fields of a dataclass that are not at their default."""
    kept = (f for f in fields(settings) if f.name not in leave_out and getattr(settings, f.name) != f.default)
    return {f.name: getattr(settings, f.name) for f in kept}


PRESETS: dict[str, GanConfig] = {
    # Seconds on two cores: shows that everything works, not what it can do.
    "smoke": GanConfig(
        stages=(Stage(crop=128, steps=64, constant=1.0), Stage(crop=128, steps=32)),
        filters=8,
        blocks=3,
        upsample="resize",
        encoder_norm="none",
        padding="reflect",
        feature_skip=True,
        perceptual="none",
        learning_rate=5e-4,
        rotations=True,
        precision="float32",
        checkpoint_every=48,
        preview_every=24,
    ),
    # Real smears of 640×480 on two cores in one to two hours. Ours where the paper's recipe left traces (chapter 05).
    "laptop": GanConfig(
        stages=(Stage(crop=256, batch=6, steps=1200, constant=1.0), Stage(crop=256, batch=6, steps=1800)),
        feature_channels=8,
        style_terms=6,
        upsample="resize",
        halvings=3,
        softness_px=1.5,
        skips=True,
        norm="pixel",
        noise=True,
        objects=True,
        camera=True,
        encoder_norm="none",
        discriminator_filters=32,
        discriminator_norm="spectral",
        lambda_colour=10.0,
        perceptual="auto",
        average=0.998,
        learning_rate=4e-4,
        rotations=True,
        preview_every=100,
    ),
    # The paper's own sizes and schedule, for a GPU.
    "paper": GanConfig(
        stages=(Stage(shape=(640, 1024), epochs=120), Stage(shape=(1200, 1920), epochs=120)),
        encoder_stage=1,
        style_draw="independent",
    ),
}


def chosen(presets: Mapping[str, T], profile: str, overrides: Mapping[str, Any], what: str) -> T:
    """Give a preset with some of its fields replaced; `what` is the thing that has the settings, in words.

    Raises
    ------
    ValueError
        If the profile or a field does not exist.
    """
    if profile not in presets:
        raise ValueError(f"profile is {profile!r}; it can be {', '.join(presets)}")
    known = [field.name for field in fields(presets[profile])]
    unknown = sorted(set(overrides) - set(known))
    if unknown:
        raise ValueError(f"unknown setting {unknown[0]!r}; {what} has {', '.join(known)}")
    return replace(presets[profile], **overrides)


def preset(profile: str, **overrides: Any) -> GanConfig:
    """Give a painter's preset with some of its fields replaced; errors as in `chosen`."""
    return chosen(PRESETS, profile, overrides, "a painter")
