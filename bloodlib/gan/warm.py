"""Begin a training with the networks of a finished painter instead of random ones."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from .config import GanConfig
from .networks import Encoder, GlobalGenerator

FORMS = (  # settings that decide what weights the networks have, but for the number of semantic classes
    "filters",
    "blocks",
    "feature_channels",
    "halvings",
    "skips",
    "norm",
    "noise",
    "upsample",
    "encoder_norm",
    "feature_skip",
    "padding",
)


class Painter(Protocol):
    """What a training can begin with, such as a `bloodlib.Synthesizer`."""

    generator: GlobalGenerator
    encoder: Encoder
    config: GanConfig


def check_form(config: GanConfig, start: GanConfig) -> None:
    """Refuse a painter whose networks have other weights than the configuration asks for.

    Raises
    ------
    ValueError
        Naming the first setting that differs.
    """
    for name in FORMS:
        here, there = getattr(config, name), getattr(start, name)
        if here != there:
            raise ValueError(
                f"start_from: that painter was made with {name}={there!r}, asked for is {here!r}; choose the profile "
                f"that it was made with, or set {name} alike"
            )


def same_planes(config: GanConfig, start: GanConfig) -> list[int | None]:
    """Say which input of the first generator each input of the second goes on from; None where it knew none.

    Notes
    -----
    Inputs are the label planes (background, classes of cells, objects), the edge, the style features. A class of
    cells that the first painter did not tell apart begins as its first one.
    """
    cells = [k if k <= start.cell_classes else 1 for k in range(1, config.cell_classes + 1)]
    objects = [start.cell_classes + 1 if start.objects else None] if config.objects else []
    return [0, *cells, *objects, *(start.labels + k for k in range(1 + config.feature_channels))]


@torch.no_grad()
def begin_with(generator: GlobalGenerator, encoder: Encoder, config: GanConfig, start: Painter) -> None:
    """Give generator and encoder the weights of another painter; what it has no weights for stays as it was drawn.

    Raises
    ------
    ValueError
        As `check_form`.
    """
    check_form(config, start.config)
    encoder.load_state_dict(start.encoder.state_dict())
    planes, others = same_planes(config, start.config), start.generator.state_dict()
    for name, weight in generator.state_dict().items():
        other = others[name]
        if name == "trunk.down.0.1.weight":
            _copy_inputs(weight, other, planes, 0)
        elif name == "head.weight" and config.feature_skip:
            weight[:, : config.filters] = other[:, : config.filters]
            _copy_inputs(weight, other, planes, config.filters)
        else:
            weight.copy_(other)


def _copy_inputs(weight: Tensor, other: Tensor, planes: list[int | None], first: int) -> None:
    """Copy the weights (out, in, k, k) of those inputs that both know."""
    for here, there in enumerate(planes):
        if there is not None:
            weight[:, first + here] = other[:, first + there]
