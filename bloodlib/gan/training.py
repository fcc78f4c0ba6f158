"""Train the painter: two stages, resumable at any instant to the same weights."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from ..smears import Smear
from .config import GanConfig, Stage
from .data import Batch, Crops, Labelled, fingerprint, label, resized, views
from .interrupts import interrupts_held
from .loop import CHECKPOINT, Loop, NonFiniteLossError, learning_rate_factor
from .networks import GlobalGenerator, make_discriminator, make_painter
from .objective import LOSSES, Objective
from .painting import encode_smear, paint_instances
from .perceptual import load_perceptual
from .precision import memory_kept
from .warm import Painter, begin_with

__all__ = ["CHECKPOINT", "NonFiniteLossError", "Trainer", "learning_rate_factor"]

_PREVIEW_SIDE = 240
_PREVIEW_COUNT = 3
_FORGOTTEN = 0.05  # share of the first weights in their running mean below which it is worth painting with


class Trainer(Loop):
    """Train G, E and D on smears, in two stages, in a folder that allows to go on after any stop.

    Parameters
    ----------
    config : GanConfig
    smears : sequence of Smear
        Held in memory.
    folder : Path, optional
        Where checkpoint, previews and TensorBoard's files go; None keeps nothing.
    seed : int
    progress : bool
    identity : str, optional
        What names this training, since a checkpoint of another one is refused; a hash of configuration, seed and data
        if not given.
    devices : int
        As in `bloodlib.gan.precision.make_fabric`; every batch is shared out evenly among them.
    start : bloodlib.gan.warm.Painter, optional
        G and E begin with its weights instead of random ones; D is always new.

    Raises
    ------
    ValueError
        If a batch cannot be shared out evenly, or the networks of `start` are of another form.

    Notes
    -----
    Nothing random lives between steps: batch `t` of stage `s` is drawn from a generator seeded by
    (seed, s, t). A checkpoint therefore holds networks, optimiser moments, step and loss history
    in one file, written beside its place and renamed: killed at any instant, training goes on from
    the last one to the same weights as if it had never stopped (on a processor, on the same machine and
    with the same number of threads; a GPU adds up in another order every time). Ctrl-C
    ends the step that is being taken, and keeps it. Several devices draw the same batches and take disjoint
    parts of them, so that the losses are those of one device but for rounding; the first one writes.
    How to read the curves: `bloodlib.gan.objective.Objective`.
    """

    def __init__(
        self,
        config: GanConfig,
        smears: Sequence[Smear],
        folder: Path | None = None,
        *,
        seed: int = 0,
        progress: bool = False,
        identity: str | None = None,
        devices: int = 1,
        start: Painter | None = None,
    ) -> None:
        check_shares(config, devices)
        identity = identity or config.digest(seed=seed, data=fingerprint(smears, classes=config.cell_classes > 1))
        super().__init__(folder, seed, config.precision, identity, ("stage", "step", *LOSSES, "seconds"), devices)
        check_shares(config, self.fabric.world_size)
        self.config, self.progress = config, progress
        self.smears = [label(smear, config) for smear in smears]
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed GPUs as well
            self.generator, self.encoder = make_painter(config)
            self.discriminator = make_discriminator(config)
        if start is not None:
            begin_with(self.generator, self.encoder, config, start)
        self._random_start = start is None
        self.average = copy.deepcopy(self.generator).requires_grad_(False) if config.average else None
        self.perceptual, self.perceptual_used = load_perceptual(config.perceptual)
        for network in (*self.networks().values(), self.perceptual):
            if network is not None:
                network.to(self.fabric.device, memory_format=torch.channels_last)
        if config.compile:
            for network in (self.generator, self.encoder, self.discriminator):
                network.compile()
        self.stage, self.step = 0, 0
        self._open(config.tensorboard_every)

    @property
    def painter(self) -> GlobalGenerator:
        """The generator to paint with: the running mean of G's weights once it has forgotten G's random ones."""
        remembered = self.config.average**self.done if self._random_start else 0.0
        return self.generator if self.average is None or remembered > _FORGOTTEN else self.average

    def trained(self) -> dict[str, nn.Module]:
        """Give G, E and D."""
        return {"generator": self.generator, "encoder": self.encoder, "discriminator": self.discriminator}

    def networks(self) -> dict[str, nn.Module]:
        """Give G, E, D and the running mean of G where there is one."""
        return self.trained() if self.average is None else {**self.trained(), "average": self.average}

    def state(self) -> dict[str, Any]:
        """Give stage and step, and the perceptual network that was found."""
        return {"perceptual": self.perceptual_used, "stage": self.stage, "step": self.step}

    def restore(self, state: Mapping[str, Any], path: Path) -> None:
        """Go on at the stage and step of a checkpoint of the same training."""
        if state["perceptual"] != self.perceptual_used:
            raise ValueError(
                f"{path}: was begun with the perceptual network {state['perceptual']}, now it is "
                f"{self.perceptual_used}; use another folder or delete this one"
            )
        if state["identity"] != self.identity:
            raise ValueError(
                f"{path}: was begun with other smears, settings or seed; use another folder or delete this one"
            )
        self.stage, self.step = state["stage"], state["step"]

    def place(self) -> str:
        """Say step and stage."""
        return f"step {self.step} of stage {self.stage + 1} on smears"

    def run(self, stop_after: int | None = None) -> bool:
        """Train until done, or until `stop_after` more steps are done; returns whether it is done."""
        left = math.inf if stop_after is None else stop_after
        totals = [stage.step_count(len(self.smears)) for stage in self.config.stages]
        done, silent = sum(totals[: self.stage]) + self.step, not (self.progress and self.fabric.is_global_zero)
        try:
            with (
                memory_kept(cycles=True),
                interrupts_held() as interrupted,
                tqdm(total=sum(totals), initial=done, disable=silent, unit="step") as bar,
            ):
                while self.stage < 2:
                    bar.set_description(f"stage {self.stage + 1} of 2")
                    left -= self._run_stage(self.config.stages[self.stage], totals[self.stage], left, bar, interrupted)
                    if self.step < totals[self.stage]:
                        return False
                    self.stage, self.step, self._pending = self.stage + 1, 0, {}
                    self._save()
        finally:
            self.journal.close()
        return True

    def _run_stage(self, stage: Stage, total: int, budget: float, bar: tqdm, interrupted: Callable[[], bool]) -> int:
        """Train up to `budget` steps of one stage; returns how many were done."""
        second = self.stage == 1
        styles = self._styles(stage) if second else None
        crops = Crops(
            self.smears,
            stage,
            flips=self.config.flips,
            rotations=self.config.rotations,
            noise=self.config.noise,
            styles=styles,
            terms=self.config.style_terms,
            blank=self.config.blank_crops,
            device=self.fabric.device,
        )
        objective = Objective(
            self.config, self.generator, self.discriminator, None if second else self.encoder, self.perceptual
        )
        painting = [*self.generator.parameters(), *([] if second else self.encoder.parameters())]
        trained = (painting, self.discriminator.parameters())
        optimisers = [self._adam(weights, self.config.learning_rate, self.config.betas) for weights in trained]
        self._resume_moments(optimisers)
        model, *wrapped = self.fabric.setup(objective, *optimisers)
        done = 0
        while self.step < total and done < budget and not interrupted():
            begun = time.perf_counter()
            rate = self.config.learning_rate * learning_rate_factor(self.step, total, stage.constant)
            losses = self._update(model, wrapped, self._batch(crops), rate)
            place = {"stage": self.stage + 1, "step": self.step}
            self._record({**place, **losses, "seconds": time.perf_counter() - begun})
            self.step, done = self.step + 1, done + 1
            bar.update()
            bar.set_postfix({k: f"{v:.2f}" for k, v in losses.items()}, refresh=False)
            overall = self.done
            self.journal.scalars(overall, {**losses, "learning_rate": rate})
            if self.config.preview_every and (overall % self.config.preview_every == 0 or overall == 1):
                self._preview(overall)
            if overall % self.config.checkpoint_every == 0:
                self._save(optimisers)
        if done and (self.step < total or interrupted()):
            self._save(optimisers)
        if interrupted():
            raise KeyboardInterrupt
        return done

    def _batch(self, crops: Crops) -> Batch:
        """Draw the batch of the present step: all of it, since every device draws the same, then this one's part."""
        whole = crops.draw(np.random.default_rng([self.seed, self.stage, self.step, 0]))
        return whole.part(self.fabric.global_rank, self.fabric.world_size)

    def _styles(self, stage: Stage) -> list[dict[int, Tensor]]:
        """Precompute the features of every view: what E says of a cell may depend on how it is turned."""
        drawn = views(stage, self.config.flips, self.config.rotations)
        smears = (resized(smear, stage.shape) for smear in self.smears)
        return [{view: self._encoded(smear.view(view)) for view in drawn} for smear in smears]

    def _encoded(self, smear: Labelled) -> Tensor:
        scale = self.config.encoder_scale if self.stage == 1 else None
        return encode_smear(self.encoder, smear, self.config.style_terms, scale)

    def _update(self, model: nn.Module, optimisers: list[Any], batch: Batch, rate: float) -> dict[str, float]:
        """Take one step of all optimisers, and let the running mean of G follow."""
        image = batch.image.contiguous(memory_format=torch.channels_last)
        inputs = (image, batch.instances, batch.kinds, batch.features, batch.noise)
        values = self._descend(model, optimisers, inputs, rate, batch.names)
        if self.average is not None:
            with torch.no_grad():  # or the mean would hold on to every step that it was taken over
                torch._foreach_lerp_(
                    list(self.average.parameters()), list(self.generator.parameters()), 1 - self.config.average
                )
        return values

    def _preview(self, overall: int) -> None:
        """Paint the same corners of three training masks, side by side, with their own styles."""
        if self.journal.folder is None:
            return
        tiles, real = [], []
        for i in np.linspace(0, len(self.smears) - 1, _PREVIEW_COUNT).astype(int):
            whole = resized(self.smears[i], self.config.stages[self.stage].shape)
            corner = slice(_PREVIEW_SIDE), slice(_PREVIEW_SIDE)
            part = Labelled(whole.name, whole.image[corner], whole.instances[corner], whole.kinds)
            seen = self._encoded(part)
            styles = torch.zeros(len(whole.kinds), seen.shape[1])
            styles[: len(seen)] = seen
            rng = np.random.default_rng(self.seed)
            tiles.append(paint_instances(self.painter, part.instances, styles, part.kinds, rng))
            real.append(part.image)
        height = min(len(tile) for tile in tiles)  # smears may be of several
        self.journal.picture(overall, f"step-{overall:06d}", np.hstack([tile[:height] for tile in tiles]))
        if overall == 1:
            self.journal.picture(overall, "real", np.hstack([tile[:height] for tile in real]))


def check_shares(config: GanConfig, devices: int) -> None:
    """Refuse, by ValueError, batches that do not go evenly among some devices."""
    for stage in config.stages:
        if stage.batch % devices:
            raise ValueError(
                f"batch is {stage.batch}, which {devices} devices cannot share evenly; give a multiple of {devices} "
                "(`--batch` of `bloodlib fit`), or fewer devices"
            )
