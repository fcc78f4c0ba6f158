"""Train one evaluator on the samples of one arm: the same steps, draws and schedule for every arm."""

from __future__ import annotations

import logging
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

from ..gan.precision import autocast_dtype
from ..smears import Smear
from . import tasks
from .arms import Samples
from .config import EvaluatorConfig
from .resume import Unfinished

T = TypeVar("T")


@dataclass
class Evaluator:
    """A trained network with the record of its training."""

    config: EvaluatorConfig
    model: nn.Module
    fabric: Fabric
    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0  # without validation

    def predict(self, image: np.ndarray) -> tasks.Prediction:
        """Predict on one whole image uint8 (H, W, 3)."""
        self.model.eval()
        return tasks.predict(self.model, image, self.config, self.fabric.device)

    def evaluate(self, smears: Sequence[Smear]) -> tuple[dict[str, float], list[dict]]:
        """Score the whole of a set; see `tasks.score_set`."""
        return tasks.score_set([self.predict(smear.image) for smear in smears], smears, self.config)

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return sum(p.numel() for p in self.model.parameters())

    @property
    def peak_mib(self) -> float | None:
        """Greatest memory so far, in MiB: of the GPU, or else of the whole process; None where no system tells it."""
        if self.fabric.device.type == "cuda":
            return torch.cuda.max_memory_allocated() / 2**20
        try:
            import resource  # not on Windows
        except ImportError:
            return None
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)

    @property
    def device(self) -> str:
        """Say in words what it ran on."""
        kind = self.fabric.device.type
        names = {"cpu": f"cpu, {torch.get_num_threads()} threads"}
        where = torch.cuda.get_device_name() if kind == "cuda" else names.get(kind, kind)
        return f"{where}, {'bfloat16' if 'bf16' in str(self.fabric._precision.precision) else 'float32'}"


def set_up(config: EvaluatorConfig, accelerator: str = "auto") -> Fabric:
    """Choose device and number format."""
    logging.getLogger("lightning_fabric.utilities.rank_zero").setLevel(logging.WARNING)
    fabric = Fabric(accelerator=accelerator, devices=1)
    if config.precision == "auto" and autocast_dtype(fabric.device) is torch.bfloat16:
        fabric = Fabric(accelerator=accelerator, devices=1, precision="bf16-mixed")
    return fabric


def rate(step: int, steps: int) -> float:
    """Give the learning rate's factor: linear warm-up over a tenth of the steps, then cosine to 0.

    Examples
    --------
    >>> [round(rate(step, 100), 2) for step in (0, 9, 55, 99)]
    [0.1, 1.0, 0.48, 0.0]
    """
    warm = max(steps // 10, 1)
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step + 1 - warm) / (steps - warm)))


def _with_state(batches: Iterator[T], rng: np.random.Generator) -> Iterator[tuple[T, dict[str, Any]]]:
    """Give with each batch the state that its drawing left `rng` in: by the time it is used, others may be drawn."""
    for batch in batches:
        yield batch, rng.bit_generator.state


def _ahead(batches: Iterator[T]) -> Iterator[T]:
    """Draw each batch while the one before is used: a processor that only waits for a GPU has the time."""
    with ThreadPoolExecutor(1) as drawing:
        drawn = drawing.submit(next, batches)
        while True:
            batch = drawn.result()
            drawn = drawing.submit(next, batches)
            yield batch


def train(
    samples: Samples,
    config: EvaluatorConfig,
    seed: int,
    *,
    start_from: str | Path | None = None,
    at_checkpoint: Callable[[Evaluator, int], None] | None = None,
    accelerator: str = "auto",
    progress: bool = False,
    unfinished: Unfinished | None = None,
) -> Evaluator:
    """Train the network of a configuration.

    Parameters
    ----------
    samples : Samples
        What crops are drawn from.
    config : EvaluatorConfig
    seed : int
        Decides weights, draws and dropout; torch's global state is left as it was.
    start_from : path, optional
        Weights of a detector's backbone, where ``config.start`` is "phantom".
    at_checkpoint : callable, optional
        Called with the evaluator and the number of steps done, `config.checkpoints` times.
    accelerator : str
        Lightning Fabric's: auto, cpu, cuda, …
    progress : bool
        Show a bar.
    unfinished : Unfinished, optional
        Where a training that was stopped goes on from, and what one that is stopped leaves.

    Returns
    -------
    Evaluator
        As after the last step.
    """
    from tqdm import tqdm

    fabric = set_up(config, accelerator)
    marks = {round(config.steps * (k + 1) / config.checkpoints) for k in range(config.checkpoints)}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = tasks.build(config, start_from)
        model = model.to(memory_format=torch.channels_last)
        weights = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(weights, lr=config.learning_rate, weight_decay=config.weight_decay)
        model, optimizer = fabric.setup(model, optimizer)
        evaluator = Evaluator(config, model, fabric)
        rng, kept = np.random.default_rng([seed, 1]), unfinished or Unfinished()
        done, evaluator.seconds = kept.restore(model, optimizer, rng, evaluator.losses)
        batches = _with_state(samples.batches(config.batch, config.crop_px, rng), rng)
        batches = batches if fabric.device.type == "cpu" else _ahead(batches)
        steps = range(done, config.steps)
        for step in tqdm(steps, disable=not progress, desc=config.task, initial=done, total=config.steps):
            began = time.perf_counter()
            model.train()
            for group in optimizer.param_groups:
                group["lr"] = config.learning_rate * rate(step, config.steps)
            batch, drawn = next(batches)
            loss = tasks.loss(model, batch, config, fabric.device)
            optimizer.zero_grad()
            fabric.backward(loss)
            fabric.clip_gradients(model, optimizer, max_norm=10.0, error_if_nonfinite=False)
            optimizer.step()
            evaluator.losses.append(float(loss.detach()))
            evaluator.seconds += time.perf_counter() - began
            if step + 1 in marks and at_checkpoint is not None:
                at_checkpoint(evaluator, step + 1)
            kept.keep(model, optimizer, drawn, evaluator.losses, evaluator.seconds)
    return evaluator
