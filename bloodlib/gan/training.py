"""Train the painter: two stages, resumable at any instant to the same weights."""

from __future__ import annotations

import copy
import json
import logging
import math
import os
import time
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.func import functional_call
from tqdm import tqdm

from .._files import replacing
from ..smears import Smear
from .config import GanConfig, Stage
from .data import Batch, Crops, Labelled, label, resized, to_image, to_network, views
from .losses import adversarial, colour_difference, feature_matching
from .networks import Encoder, GlobalGenerator, MultiscaleDiscriminator, label_planes, pad_sides, pool_instances
from .perceptual import PerceptualLoss, load_perceptual
from .precision import autocast_dtype

CHECKPOINT = "checkpoint.safetensors"
PREVIEWS = "previews"
LOSSES = ("gan", "feature_matching", "perceptual", "colour", "d_real", "d_fake")
_PREVIEW_SIDE = 240
_FORGOTTEN = 0.05  # share of the first weights in their running mean below which it is worth painting with
_PREVIEW_COUNT = 3


class NonFiniteLossError(RuntimeError):
    """Say at which step and on which smears a loss stopped being a number."""


class Objective(nn.Module):
    """Compute all losses of one step, so that G, E and D learn from one backward pass.

    Notes
    -----
    The painted image is judged twice: by D as it is, for G, with D's weights held constant; and
    detached, for D. The real image is judged once and serves both. So the gradient of the sum of
    both losses is for each network the gradient of its own loss.
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
        self, image: Tensor, instances: Tensor, kinds: Tensor, features: Tensor | None, noise: Tensor
    ) -> dict[str, Tensor]:
        kind = self.config.gan_loss
        planes = label_planes(instances, kinds, self.config.labels).contiguous(memory_format=torch.channels_last)
        if features is None:
            features, _ = pool_instances(self.encoder(image), instances)
        painted = self.generator(planes, features, noise).float()
        real_maps = self.discriminator(planes, image)
        frozen = {name: weight.detach() for name, weight in self.discriminator.named_parameters()}
        fake_maps = functional_call(self.discriminator, frozen, (planes, painted))
        losses = {
            "gan": adversarial(fake_maps, True, kind),
            "feature_matching": self.config.lambda_feature_matching * feature_matching(fake_maps, real_maps),
            "perceptual": torch.zeros((), device=image.device),
            "colour": torch.zeros((), device=image.device),
            "d_real": 0.5 * adversarial(real_maps, True, kind),
            "d_fake": 0.5 * adversarial(self.discriminator(planes, painted.detach()), False, kind),
        }
        if self.perceptual is not None:
            losses["perceptual"] = self.config.lambda_perceptual * self.perceptual(painted, image)
        if self.config.lambda_colour:
            losses["colour"] = self.config.lambda_colour * colour_difference(painted, image)
        return losses


@torch.no_grad()
def encode_smear(encoder: Encoder, smear: Labelled) -> Tensor:
    """Give the style features of every instance, float32 (M + 1, C); row 0 is the background."""
    device = next(encoder.parameters()).device
    x = pad_sides(to_network(smear.image))[None].to(device, memory_format=torch.channels_last)
    height, width = smear.instances.shape
    features = encoder(x)[:, :, :height, :width]
    ids = torch.from_numpy(smear.instances.astype(np.int64))[None].to(device)
    return pool_instances(features, ids)[1][0].cpu()


@torch.no_grad()
def paint_instances(
    generator: GlobalGenerator,
    instances: np.ndarray,
    means: Tensor,
    kinds: np.ndarray | None = None,
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    """Paint an instance mask with one style per instance.

    Parameters
    ----------
    generator : GlobalGenerator
    instances : int (H, W)
        Any size.
    means : float (M + 1, C)
        Style features, row 0 for the background.
    kinds : int (M + 1,), optional
        Semantic class of each id; every instance is a cell if not given.
    rng : numpy.random.Generator, optional
        Draws the noise of a generator that has noise; it is left out if not given.

    Returns
    -------
    uint8 (H, W, 3)
    """
    device = next(generator.parameters()).device
    ids = pad_sides(torch.from_numpy(instances.astype(np.int64)))[None].to(device)
    features = means.to(device)[ids].permute(0, 3, 1, 2)  # (1, C, H, W)
    kind_map = None if kinds is None else torch.from_numpy(np.asarray(kinds, dtype=np.int64)).to(device)[ids]
    planes = label_planes(ids, kind_map, generator.labels).contiguous(memory_format=torch.channels_last)
    noise = None
    if generator.noise and rng is not None:
        noise = torch.from_numpy(rng.standard_normal((1, 1, *ids.shape[1:]), dtype=np.float32)).to(device)
    return to_image(generator(planes, features, noise)[0])[: instances.shape[0], : instances.shape[1]]


def learning_rate_factor(step: int, steps: int, constant: float) -> float:
    """Give 1 for the constant part of a stage, then a straight line towards 0.

    Examples
    --------
    >>> [learning_rate_factor(step, 4, 0.5) for step in range(4)]
    [1.0, 1.0, 1.0, 0.5]
    """
    decay = steps - math.floor(constant * steps)
    return min(1.0, (steps - step) / decay) if decay else 1.0


class Trainer:
    """Train G, E and D on smears, in two stages, in a folder that allows to go on after any stop.

    Parameters
    ----------
    config : GanConfig
    smears : sequence of Smear
        Held in memory.
    folder : Path, optional
        Where checkpoint and previews go; None keeps nothing.
    seed : int
    progress : bool
    identity : str
        Hash of configuration, seed and data; a checkpoint of another one is refused.

    Notes
    -----
    Nothing random lives between steps: batch `t` of stage `s` is drawn from a generator seeded by
    (seed, s, t). A checkpoint therefore holds networks, optimiser moments, step and loss history
    in one file, written beside its place and renamed: killed at any instant, training goes on from
    the last one to the same weights as if it had never stopped.
    """

    def __init__(
        self,
        config: GanConfig,
        smears: Sequence[Smear],
        folder: Path | None = None,
        *,
        seed: int = 0,
        progress: bool = False,
        identity: str = "",
    ) -> None:
        self.config, self.folder, self.seed, self.progress = config, folder, seed, progress
        self.smears = [label(smear, config) for smear in smears]
        self.identity = identity
        self.fabric = make_fabric(config)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.generator, self.encoder = make_painter(config)
            self.discriminator = make_discriminator(config)
        self.average = copy.deepcopy(self.generator).requires_grad_(False) if config.average else None
        self.perceptual, self.perceptual_used = load_perceptual(config.perceptual)
        for network in (*self._networks().values(), self.perceptual):
            if network is not None:
                network.to(self.fabric.device, memory_format=torch.channels_last)
        self.stage, self.step = 0, 0
        self.history: dict[str, list[float]] = {name: [] for name in ("stage", "step", *LOSSES, "seconds")}
        self._pending: dict[str, Tensor] = {}
        self._resume()

    @property
    def painter(self) -> GlobalGenerator:
        """The generator to paint with: the running mean of G's weights once it has forgotten how G began."""
        remembered = self.config.average ** len(self.history["step"])
        return self.generator if self.average is None or remembered > _FORGOTTEN else self.average

    def _networks(self) -> dict[str, nn.Module]:
        networks = {"generator": self.generator, "encoder": self.encoder, "discriminator": self.discriminator}
        return networks if self.average is None else {**networks, "average": self.average}

    def run(self, stop_after: int | None = None) -> bool:
        """Train until done, or until `stop_after` more steps are done; returns whether it is done."""
        left = math.inf if stop_after is None else stop_after
        totals = [stage.step_count(len(self.smears)) for stage in self.config.stages]
        done = sum(totals[: self.stage]) + self.step
        with tqdm(total=sum(totals), initial=done, disable=not self.progress, unit="step") as bar:
            while self.stage < 2:
                left -= self._run_stage(self.config.stages[self.stage], totals[self.stage], left, bar)
                if self.step < totals[self.stage]:
                    return False
                self.stage, self.step, self._pending = self.stage + 1, 0, {}
                self._save()
        return True

    def _run_stage(self, stage: Stage, total: int, budget: float, bar: tqdm) -> int:
        """Train up to `budget` steps of one stage; returns how many were done."""
        second = self.stage == 1
        styles = self._styles(stage) if second else None
        crops = Crops(self.smears, stage, flips=self.config.flips, rotations=self.config.rotations, styles=styles)
        objective = Objective(
            self.config, self.generator, self.discriminator, None if second else self.encoder, self.perceptual
        )
        painting = [*self.generator.parameters(), *([] if second else self.encoder.parameters())]
        optimisers = [self._adam(painting), self._adam(self.discriminator.parameters())]
        self._restore_moments(optimisers)
        model, *wrapped = self.fabric.setup(objective, *optimisers)
        done = 0
        while self.step < total and done < budget:
            begun = time.perf_counter()
            factor = learning_rate_factor(self.step, total, stage.constant)
            for optimiser in optimisers:
                for group in optimiser.param_groups:
                    group["lr"] = self.config.learning_rate * factor
            rng = np.random.default_rng([self.seed, self.stage, self.step, self.fabric.global_rank])
            losses = self._update(model, wrapped, crops.draw(rng))
            self._record(losses, time.perf_counter() - begun)
            self.step, done = self.step + 1, done + 1
            bar.update()
            bar.set_postfix({k: f"{v:.2f}" for k, v in losses.items()}, refresh=False)
            overall = len(self.history["step"])
            if overall % self.config.preview_every == 0 or overall == 1:
                self._preview(overall)
            if overall % self.config.checkpoint_every == 0:
                self._save(optimisers)
        if done and self.step < total:
            self._save(optimisers)
        return done

    def _styles(self, stage: Stage) -> list[dict[int, Tensor]]:
        """Precompute the features of every view: what E says of a cell may depend on how it is turned."""
        drawn = views(stage, self.config.flips, self.config.rotations)
        smears = (resized(smear, stage.shape) for smear in self.smears)
        return [{view: encode_smear(self.encoder, smear.view(view)) for view in drawn} for smear in smears]

    def _adam(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Adam:
        return torch.optim.Adam(parameters, lr=self.config.learning_rate, betas=self.config.betas, fused=True)

    def _update(self, model: nn.Module, optimisers: list[Any], batch: Batch) -> dict[str, float]:
        """Take one step of all optimisers; refuses to step on a loss that is not a number."""
        device = self.fabric.device
        image = batch.image.to(device, memory_format=torch.channels_last)
        features = batch.features if batch.features is None else batch.features.to(device)
        labels = (x.to(device) for x in (batch.instances, batch.kinds))
        losses = model(image, *labels, features, batch.noise.to(device))
        values = {name: float(loss.detach()) for name, loss in losses.items()}
        bad = [name for name, value in values.items() if not math.isfinite(value)]
        if bad:
            raise NonFiniteLossError(
                f"loss {bad[0]!r} is {values[bad[0]]} at step {self.step} of stage {self.stage + 1} on smears "
                f"{', '.join(batch.names)}; the last checkpoint is kept: look at these images, or lower learning_rate"
            )
        for optimiser in optimisers:
            optimiser.zero_grad()
        self.fabric.backward(sum(losses.values()))
        for optimiser in optimisers:
            optimiser.step()
        if self.average is not None:
            torch._foreach_lerp_(
                list(self.average.parameters()), list(self.generator.parameters()), 1 - self.config.average
            )
        return values

    def _record(self, losses: dict[str, float], seconds: float) -> None:
        for name, value in {"stage": self.stage + 1, "step": self.step, **losses, "seconds": seconds}.items():
            self.history[name].append(round(value, 6))

    def _preview(self, overall: int) -> None:
        """Paint the same corners of three training masks, side by side, with their own styles."""
        if self.folder is None or not self.fabric.is_global_zero:
            return
        tiles, real = [], []
        for i in np.linspace(0, len(self.smears) - 1, _PREVIEW_COUNT).astype(int):
            whole = resized(self.smears[i], self.config.stages[self.stage].shape)
            corner = slice(_PREVIEW_SIDE), slice(_PREVIEW_SIDE)
            part = Labelled(whole.name, whole.image[corner], whole.instances[corner], whole.kinds)
            means = torch.zeros(len(whole.kinds), self.config.feature_channels)
            seen = encode_smear(self.encoder, part)
            means[: len(seen)] = seen
            rng = np.random.default_rng(self.seed)
            tiles.append(paint_instances(self.painter, part.instances, means, part.kinds, rng))
            real.append(part.image)
        write_png(self.folder / PREVIEWS / f"step-{overall:06d}.png", np.hstack(tiles))
        if overall == 1:
            write_png(self.folder / PREVIEWS / "real.png", np.hstack(real))

    def _save(self, optimisers: Sequence[torch.optim.Adam] = ()) -> None:
        if self.folder is None or not self.fabric.is_global_zero:
            return
        tensors = {f"{name}.{key}": x for name, net in self._networks().items() for key, x in net.state_dict().items()}
        for i, optimiser in enumerate(optimisers):
            for j, moments in optimiser.state_dict()["state"].items():
                tensors |= {f"optimiser.{i}.{j}.{key}": x for key, x in moments.items()}
        tensors = {key: x.detach().cpu().contiguous() for key, x in tensors.items()}
        state = {
            "identity": self.identity,
            "perceptual": self.perceptual_used,
            "stage": self.stage,
            "step": self.step,
            "history": self.history,
        }
        with replacing(self.folder / CHECKPOINT) as beside:
            save_file(tensors, beside, metadata={"state": json.dumps(state)})

    def _resume(self) -> None:
        path = None if self.folder is None else self.folder / CHECKPOINT
        if path is None or not path.is_file():
            return
        with safe_open(path, "pt") as file:
            state = json.loads(file.metadata()["state"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        if state["identity"] != self.identity or state["perceptual"] != self.perceptual_used:
            raise ValueError(
                f"{path}: was begun with other smears, settings, seed or perceptual network "
                f"({state['perceptual']}, now {self.perceptual_used}); use another folder or delete this one"
            )
        for name, network in self._networks().items():
            part = {k.removeprefix(f"{name}."): x for k, x in tensors.items() if k.startswith(f"{name}.")}
            network.load_state_dict(part)
        self._pending = {k: x for k, x in tensors.items() if k.startswith("optimiser.")}
        self.stage, self.step, self.history = state["stage"], state["step"], state["history"]

    def _restore_moments(self, optimisers: Sequence[torch.optim.Adam]) -> None:
        """Give the optimisers back what the checkpoint held of them, laid out in memory as their weights are.

        The fused kernel walks weights and moments side by side and does not look at their strides.
        """
        for i, optimiser in enumerate(optimisers):
            weights = optimiser.param_groups[0]["params"]
            moments: dict[int, dict[str, Tensor]] = {}
            for key, x in self._pending.items():
                _, which, index, name = key.split(".")
                if int(which) == i:
                    weight = weights[int(index)]
                    laid = torch.empty_like(weight).copy_(x) if x.shape == weight.shape else x
                    moments.setdefault(int(index), {})[name] = laid.detach()
            if moments:
                optimiser.load_state_dict({**optimiser.state_dict(), "state": moments})
        self._pending = {}


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
        labels=config.labels,
    )
    encoder = Encoder(config.filters, config.feature_channels, config.upsample, config.encoder_norm, config.padding)
    return generator, encoder


def make_discriminator(config: GanConfig) -> MultiscaleDiscriminator:
    """Build D as configured, weights drawn from torch's current random state."""
    filters = config.discriminator_filters or config.filters
    return MultiscaleDiscriminator(filters, config.discriminators, config.discriminator_norm, config.labels)


def make_fabric(config: GanConfig):
    """Choose device and precision; several devices only where `fabric run` started this process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the import says is about other libraries
        from lightning_fabric import Fabric
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    probe = "cuda" if torch.cuda.is_available() else "cpu"
    mixed = config.precision == "auto" and autocast_dtype(probe) is torch.bfloat16
    devices = "auto" if os.environ.get("LT_CLI_USED") else 1
    fabric = Fabric(devices=devices, precision="bf16-mixed" if mixed else "32-true")
    fabric.launch()
    return fabric


def write_png(path: Path, image: np.ndarray) -> None:
    """Write RGB uint8 as PNG, whole or not at all."""
    with replacing(path) as beside:
        cv2.imwrite(str(beside), image[:, :, ::-1])
