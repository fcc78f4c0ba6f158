"""All losses of one optimiser step, and what to call backward on so that each network learns its own."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .config import GanConfig
from .losses import adversarial, colour_difference, feature_matching
from .networks import Encoder, GlobalGenerator, MultiscaleDiscriminator, label_planes
from .perceptual import PerceptualLoss
from .pooling import pool_instances
from .precision import working_type

PAINTERS = ("gan", "feature_matching", "perceptual", "colour")  # what G and E make small
JUDGES = ("d_real", "d_fake")  # what D makes small
LOSSES = PAINTERS + JUDGES


class Objective(nn.Module):
    """Compute all losses of one step, so that G, E and D learn from one backward pass.

    Notes
    -----
    The real and the painted image pass D once each; pix2pixHD's code has the painted one pass it
    twice. D sees the painted image x cut off from G. From those maps follow D's losses, and also
    the slope s of the painter's losses with respect to x, D's weights held constant. The sum of
    D's losses and of s·x, with x attached to G again, then has for each network the gradient of
    that network's own loss.

    How to read the curves. Where D cannot tell, its verdict is ½ (lsgan) or a logit of 0 (log).
    ``gan`` is then ¼ per scale for lsgan and log 2 = 0.69 per scale for log: 0.5 and 1.39 with the
    paper's two scales. ``d_real`` and ``d_fake`` carry the reference's ½ each, so their sum is at balance
    the same: ¼ or log 2 per scale. Codes that add the two terms without the ½, as the usual
    pix2pix does, have their discriminator's balance at 2·log 2 = 1.386 and the generator's still
    at 0.69. A discriminator loss below its balance means that D tells the painted from the real.
    """

    def __init__(
        self,
        config: GanConfig,
        generator: GlobalGenerator,
        discriminator: MultiscaleDiscriminator,
        encoder: Encoder | None,
        perceptual: PerceptualLoss | None,
    ) -> None:
        super().__init__()
        self.config = config
        self.generator, self.discriminator, self.encoder = generator, discriminator, encoder
        self.perceptual = perceptual

    def forward(
        self, image: Tensor, instances: Tensor, kinds: Tensor, features: Tensor | None, noise: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the losses of one batch.

        Parameters
        ----------
        image, instances, kinds, features, noise
            As in `bloodlib.gan.data.Batch`.

        Returns
        -------
        joined : Tensor
            Has every network's gradient; its value means nothing.
        losses : dict of str to Tensor
            Those of `LOSSES`, detached.
        """
        planes = label_planes(instances, kinds, self.config.labels)
        planes = planes.to(working_type(image), memory_format=torch.channels_last)
        if features is None:
            features, _ = pool_instances(self.encoder(image), instances, self.config.style_terms)
        painted = self.generator(planes, features, noise).to(image.dtype)
        judged = painted.detach().requires_grad_()
        real_maps, fake_maps = self.discriminator(planes, image), self.discriminator(planes, judged)
        painters, slope = self._of_painter(real_maps, fake_maps, judged, image)
        kind = self.config.gan_loss
        judges = {
            "d_real": 0.5 * adversarial(real_maps, True, kind),
            "d_fake": 0.5 * adversarial(fake_maps, False, kind),
        }
        joined = (painted * slope).sum() + sum(judges.values())
        return joined, {name: loss.detach() for name, loss in {**painters, **judges}.items()}

    def _of_painter(
        self, real_maps: list[list[Tensor]], fake_maps: list[list[Tensor]], judged: Tensor, image: Tensor
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Give the painter's losses and the slope of their sum with respect to the painted image."""
        losses = {
            "gan": adversarial(fake_maps, True, self.config.gan_loss),
            "feature_matching": self.config.lambda_feature_matching * feature_matching(fake_maps, real_maps),
            "perceptual": torch.zeros((), device=image.device),
            "colour": torch.zeros((), device=image.device),
        }
        (slope,) = torch.autograd.grad(losses["gan"] + losses["feature_matching"], judged, retain_graph=True)
        if self.perceptual is not None:
            losses["perceptual"] = self.config.lambda_perceptual * self.perceptual(judged, image)
            slope = slope + torch.autograd.grad(losses["perceptual"], judged)[0]
        if self.config.lambda_colour:
            losses["colour"] = self.config.lambda_colour * colour_difference(judged, image)
            slope = slope + torch.autograd.grad(losses["colour"], judged)[0]
        return losses, slope
