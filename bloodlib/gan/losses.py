"""What G, E and D are trained to make small."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def adversarial(judged: list[list[Tensor]], real: bool, kind: str = "lsgan") -> Tensor:
    """Sum over the scales how far D's verdict is from `real` (1) or painted (0).

    Notes
    -----
    ``"lsgan"``: mean (D − t)², pix2pixHD's. ``"log"``: binary cross-entropy from logits, as
    Bailo et al. 2019, Eq. 5, writes it (the reference's log mode has no sigmoid and is not used).
    A discriminator that cannot tell scores ¼ (lsgan) or log 2 (log) per scale.
    """
    losses = []
    for maps in judged:
        verdict = maps[-1].float()
        target = torch.full_like(verdict, float(real))
        if kind == "lsgan":
            losses.append(F.mse_loss(verdict, target))
        else:
            losses.append(F.binary_cross_entropy_with_logits(verdict, target))
    return torch.stack(losses).sum()


def feature_matching(painted: list[list[Tensor]], real: list[list[Tensor]]) -> Tensor:
    """Compare D's inner maps of the painted and the real image.

    Notes
    -----
    Σ over the S scales of 1/S · Σ over the inner layers (all but the verdict) of mean |difference|,
    the reference's weights. The real maps are constants.
    """
    terms = [
        F.l1_loss(a.float(), b.detach().float())
        for ours, theirs in zip(painted, real, strict=True)
        for a, b in zip(ours[:-1], theirs[:-1], strict=True)
    ]
    return torch.stack(terms).sum() / len(real)


def colour_difference(painted: Tensor, real: Tensor, side_px: int = 8) -> Tensor:
    """Compare the mean colours of patches, mean |difference| over squares of `side_px`.

    Notes
    -----
    Ours: features of a network trained on photographs hardly tell one stain from another, and a
    pixel-wise difference would blur. The mean over a fifth of a cell says how dark and which
    colour, and leaves the drawing to the other losses.
    """
    return F.l1_loss(F.avg_pool2d(painted, side_px), F.avg_pool2d(real.float(), side_px))
