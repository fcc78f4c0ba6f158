"""Train the painter: two stages, resumable at any instant to the same weights."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from ..smears import Smear
from .checkpoint import (
    CHECKPOINT,
    clear_partial,
    moments_of,
    read_checkpoint,
    restore_moments,
    restore_networks,
    write_checkpoint,
)
from .config import GanConfig, Stage
from .data import Batch, Crops, Labelled, label, resized, views
from .journal import Journal
from .networks import GlobalGenerator, make_discriminator, make_painter
from .objective import LOSSES, Objective
from .painting import encode_smear, paint_instances
from .perceptual import load_perceptual
from .precision import make_fabric, memory_kept

_PREVIEW_SIDE = 240
_PREVIEW_COUNT = 3
_FORGOTTEN = 0.05  # share of the first weights in their running mean below which it is worth painting with


class NonFiniteLossError(RuntimeError):
    """Say at which step and on which smears a loss or a gradient stopped being a number."""


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
        Where checkpoint, previews and TensorBoard's files go; None keeps nothing.
    seed : int
    progress : bool
    identity : str
        Hash of configuration, seed and data; a checkpoint of another one is refused.

    Notes
    -----
    Nothing random lives between steps: batch `t` of stage `s` is drawn from a generator seeded by
    (seed, s, t). A checkpoint therefore holds networks, optimiser moments, step and loss history
    in one file, written beside its place and renamed: killed at any instant, training goes on from
    the last one to the same weights as if it had never stopped (on the same machine, with the same
    number of threads). How to read the curves: `bloodlib.gan.objective.Objective`.
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
        self.fabric = make_fabric(config.precision)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.generator, self.encoder = make_painter(config)
            self.discriminator = make_discriminator(config)
        self.average = copy.deepcopy(self.generator).requires_grad_(False) if config.average else None
        self.perceptual, self.perceptual_used = load_perceptual(config.perceptual)
        for network in (*self._networks().values(), self.perceptual):
            if network is not None:
                network.to(self.fabric.device, memory_format=torch.channels_last)
        if config.compile:
            for network in (self.generator, self.encoder, self.discriminator):
                network.compile()
        self.stage, self.step = 0, 0
        self.history: dict[str, list[float]] = {name: [] for name in ("stage", "step", *LOSSES, "seconds")}
        self._pending: dict[str, Tensor] = {}
        self._resume()
        watched = folder if self.fabric.is_global_zero else None
        self.journal = Journal(watched, config.tensorboard_every, len(self.history["step"]))

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
        try:
            with memory_kept(), tqdm(total=sum(totals), initial=done, disable=not self.progress, unit="step") as bar:
                while self.stage < 2:
                    bar.set_description(f"stage {self.stage + 1} of 2")
                    left -= self._run_stage(self.config.stages[self.stage], totals[self.stage], left, bar)
                    if self.step < totals[self.stage]:
                        return False
                    self.stage, self.step, self._pending = self.stage + 1, 0, {}
                    self._save()
        finally:
            self.journal.close()
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
        restore_moments(optimisers, self._pending)
        self._pending = {}
        model, *wrapped = self.fabric.setup(objective, *optimisers)
        done = 0
        batches = self._batches(crops, total)
        while self.step < total and done < budget:
            begun = time.perf_counter()
            factor = learning_rate_factor(self.step, total, stage.constant)
            for optimiser in optimisers:
                for group in optimiser.param_groups:
                    group["lr"] = self.config.learning_rate * factor
            losses = self._update(model, wrapped, next(batches))
            self._record(losses, time.perf_counter() - begun)
            self.step, done = self.step + 1, done + 1
            bar.update()
            bar.set_postfix({k: f"{v:.2f}" for k, v in losses.items()}, refresh=False)
            overall = len(self.history["step"])
            self.journal.scalars(overall, {**losses, "learning_rate": self.config.learning_rate * factor})
            if overall % self.config.preview_every == 0 or overall == 1:
                self._preview(overall)
            if overall % self.config.checkpoint_every == 0:
                self._save(optimisers)
        if done and self.step < total:
            self._save(optimisers)
        return done

    def _batches(self, crops: Crops, total: int) -> Iterator[Batch]:
        """Draw the batches of this stage from the present step on; beside a GPU, each while the one before is used."""

        def draw(step: int) -> Batch:
            return crops.draw(np.random.default_rng([self.seed, self.stage, step, self.fabric.global_rank]))

        if self.fabric.device.type == "cpu":
            yield from map(draw, range(self.step, total))
            return
        with ThreadPoolExecutor(1) as drawing:
            ahead = drawing.submit(draw, self.step)
            for step in range(self.step + 1, total + 1):
                batch = ahead.result()
                ahead = drawing.submit(draw, min(step, total - 1))
                yield batch

    def _styles(self, stage: Stage) -> list[dict[int, Tensor]]:
        """Precompute the features of every view: what E says of a cell may depend on how it is turned."""
        drawn = views(stage, self.config.flips, self.config.rotations)
        smears = (resized(smear, stage.shape) for smear in self.smears)
        return [{view: encode_smear(self.encoder, smear.view(view)) for view in drawn} for smear in smears]

    def _adam(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Adam:
        return torch.optim.Adam(parameters, lr=self.config.learning_rate, betas=self.config.betas, fused=True)

    def _update(self, model: nn.Module, optimisers: list[Any], batch: Batch) -> dict[str, float]:
        """Take one step of all optimisers; refuses to step on a loss or gradient that is not a number."""
        device = self.fabric.device
        image = batch.image.to(device, memory_format=torch.channels_last)
        features = batch.features if batch.features is None else batch.features.to(device)
        labels = (x.to(device) for x in (batch.instances, batch.kinds))
        for optimiser in optimisers:
            optimiser.zero_grad()
        joined, losses = model(image, *labels, features, batch.noise.to(device))
        values = {name: float(loss) for name, loss in losses.items()}
        self._check({f"loss {name!r}": value for name, value in values.items()}, batch)
        self.fabric.backward(joined)
        self._check({f"the gradient of the {name}": x for name, x in self._gradient_norms().items()}, batch)
        for optimiser in optimisers:
            optimiser.step()
        if self.average is not None:
            torch._foreach_lerp_(
                list(self.average.parameters()), list(self.generator.parameters()), 1 - self.config.average
            )
        return values

    def _gradient_norms(self) -> dict[str, float]:
        """Give the length of each trained network's gradient, which is finite only if all of it is."""
        norms = {}
        for name in ("generator", "encoder", "discriminator"):
            gradients = [p.grad for p in getattr(self, name).parameters() if p.grad is not None]
            if gradients:
                norms[name] = float(torch.stack(torch._foreach_norm(gradients)).norm())
        return norms

    def _check(self, values: dict[str, float], batch: Batch) -> None:
        bad = [name for name, value in values.items() if not math.isfinite(value)]
        if not bad:
            return
        kept = self.folder is not None and (self.folder / CHECKPOINT).is_file()
        raise NonFiniteLossError(
            f"{bad[0]} is {values[bad[0]]} at step {self.step} of stage {self.stage + 1} on smears "
            f"{', '.join(batch.names)}; "
            + (f"the last good checkpoint is {self.folder / CHECKPOINT}" if kept else "no checkpoint was written yet")
            + ": look at these images, or lower learning_rate"
        )

    def _record(self, losses: dict[str, float], seconds: float) -> None:
        for name, value in {"stage": self.stage + 1, "step": self.step, **losses, "seconds": seconds}.items():
            self.history[name].append(round(value, 6))

    def _preview(self, overall: int) -> None:
        """Paint the same corners of three training masks, side by side, with their own styles."""
        if self.journal.folder is None:
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
        self.journal.picture(overall, f"step-{overall:06d}", np.hstack(tiles))
        if overall == 1:
            self.journal.picture(overall, "real", np.hstack(real))

    def _save(self, optimisers: Sequence[torch.optim.Adam] = ()) -> None:
        if self.folder is None or not self.fabric.is_global_zero:
            return
        state = {
            "identity": self.identity,
            "perceptual": self.perceptual_used,
            "stage": self.stage,
            "step": self.step,
            "history": self.history,
        }
        write_checkpoint(self.folder / CHECKPOINT, self._networks(), optimisers, state)

    def _resume(self) -> None:
        if self.folder is None:
            return
        clear_partial(self.folder)
        path = self.folder / CHECKPOINT
        if not path.is_file():
            return
        tensors, state = read_checkpoint(path)
        if state["identity"] != self.identity or state["perceptual"] != self.perceptual_used:
            raise ValueError(
                f"{path}: was begun with other smears, settings, seed or perceptual network "
                f"({state['perceptual']}, now {self.perceptual_used}); use another folder or delete this one"
            )
        restore_networks(self._networks(), tensors)
        self._pending = moments_of(tensors)
        self.stage, self.step, self.history = state["stage"], state["step"], state["history"]
