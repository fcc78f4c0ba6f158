"""What every training here shares: one step of all optimisers, its record, its checkpoint, and its stop on nonsense."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from .checkpoint import (
    CHECKPOINT,
    clear_partial,
    moments_of,
    read_checkpoint,
    restore_moments,
    restore_networks,
    write_checkpoint,
)
from .journal import Journal
from .precision import make_fabric, memory_kept


class NonFiniteLossError(RuntimeError):
    """Say at which step and on which pictures a loss or a gradient stopped being a number."""


def learning_rate_factor(step: int, steps: int, constant: float) -> float:
    """Give 1 for the constant part of a training, then a straight line towards 0.

    Examples
    --------
    >>> [learning_rate_factor(step, 4, 0.5) for step in range(4)]
    [1.0, 1.0, 1.0, 0.5]
    """
    decay = steps - math.floor(constant * steps)
    return min(1.0, (steps - step) / decay) if decay else 1.0


class Loop:
    """Take steps, keep their losses, write checkpoints, and go on from the last one.

    Parameters
    ----------
    folder : Path or None
        Where checkpoint, pictures and TensorBoard's files go; None keeps nothing.
    seed : int
    precision : str
        As in `bloodlib.gan.precision.make_fabric`.
    identity : str
        Hash of configuration, seed and data; a checkpoint of another one is refused.
    recorded : sequence of str
        Names of what `history` holds of each step.
    devices : int
        As in `make_fabric`.

    Notes
    -----
    A subclass says which networks and counters belong to its training (`networks`, `state`, `place`),
    and draws each batch from a generator that is seeded by the step, so that nothing random lives
    between steps but what a network's buffers hold.
    """

    def __init__(
        self,
        folder: Path | None,
        seed: int,
        precision: str,
        identity: str,
        recorded: Sequence[str],
        devices: int = 1,
    ) -> None:
        self.folder, self.seed, self.identity = folder, seed, identity
        self.fabric = make_fabric(precision, devices)
        self.history: dict[str, list[float]] = {name: [] for name in recorded}
        self._pending: dict[str, Tensor] = {}

    def networks(self) -> dict[str, nn.Module]:
        """Give what a checkpoint holds the weights and buffers of."""
        raise NotImplementedError

    def trained(self) -> dict[str, nn.Module]:
        """Give the networks whose gradients are looked at before a step."""
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """Give the counters and names that a checkpoint holds besides history and identity."""
        raise NotImplementedError

    def restore(self, state: Mapping[str, Any], path: Path) -> None:
        """Take over what `state` gave when the checkpoint at `path` was written; refuse what does not fit."""
        raise NotImplementedError

    def place(self) -> str:
        """Say where in the training it stands, for an error message."""
        raise NotImplementedError

    def _open(self, tensorboard_every: int) -> None:
        """Go on from the folder's checkpoint, if there is one, and open the journal."""
        if self.folder is not None:
            if self.fabric.is_global_zero:
                clear_partial(self.folder)
            path = self.folder / CHECKPOINT
            if path.is_file():
                tensors, state = read_checkpoint(path)
                self.restore(state, path)
                restore_networks(self.networks(), tensors)
                self._pending = moments_of(tensors)
                self.history = state["history"]
        watched = self.folder if self.fabric.is_global_zero else None
        self.journal = Journal(watched, tensorboard_every, self.done)

    @property
    def done(self) -> int:
        """Steps that lie behind."""
        return len(next(iter(self.history.values())))

    def _adam(self, parameters: Iterable[nn.Parameter], rate: float, betas: tuple[float, float]) -> torch.optim.Adam:
        return torch.optim.Adam(parameters, lr=rate, betas=betas, fused=True)

    def _resume_moments(self, optimisers: Sequence[torch.optim.Optimizer]) -> None:
        restore_moments(optimisers, self._pending)
        self._pending = {}

    def _descend(
        self, model: nn.Module, optimisers: Sequence[Any], inputs: Sequence[Any], rate: float, names: Sequence[str]
    ) -> dict[str, float]:
        """Take one step of all optimisers; refuses to step on a loss or gradient that is not a number."""
        for optimiser in optimisers:
            for group in optimiser.param_groups:
                group["lr"] = rate
            optimiser.zero_grad()
        joined, losses = model(*inputs)
        groups = (group for optimiser in optimisers for group in optimiser.param_groups)
        weights = [weight for group in groups for weight in group["params"]]
        self.fabric.backward(joined, inputs=weights)  # none for pictures that only a slope was asked at
        norms = self._gradient_norms()
        told = [x.float() for x in (*losses.values(), *norms.values())]
        read = torch.stack(told).tolist()  # all at once: a GPU waits for it
        values = dict(zip(losses, read, strict=False))
        if self.fabric.world_size > 1:  # those of the whole batch, so that all processes stop at the same step
            values = {name: float(mean) for name, mean in self.fabric.all_reduce(values).items()}
        self._check({f"loss {name!r}": value for name, value in values.items()}, names)
        lengths = zip(norms, read[len(losses) :], strict=True)
        self._check({f"the gradient of the {name}": length for name, length in lengths}, names)
        for optimiser in optimisers:
            optimiser.step()
        return values

    def _gradient_norms(self) -> dict[str, Tensor]:
        """Give the length of each trained network's gradient, which is finite only if all of it is."""
        norms = {}
        for name, network in self.trained().items():
            gradients = [p.grad for p in network.parameters() if p.grad is not None]
            if gradients:
                norms[name] = torch.stack(torch._foreach_norm(gradients)).norm()
        return norms

    def _check(self, values: Mapping[str, float], names: Sequence[str]) -> None:
        bad = [name for name, value in values.items() if not math.isfinite(value)]
        if not bad:
            return
        kept = self.folder is not None and (self.folder / CHECKPOINT).is_file()
        raise NonFiniteLossError(
            f"{bad[0]} is {values[bad[0]]} at {self.place()} {', '.join(names)}; "
            + (f"the last good checkpoint is {self.folder / CHECKPOINT}" if kept else "no checkpoint was written yet")
            + ": look at these images, or lower learning_rate"
        )

    def _record(self, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.history[name].append(round(value, 6))

    def _save(self, optimisers: Sequence[torch.optim.Optimizer] = ()) -> None:
        if self.folder is None or not self.fabric.is_global_zero:
            return
        state = {"identity": self.identity, **self.state(), "history": self.history}
        write_checkpoint(self.folder / CHECKPOINT, self.networks(), optimisers, state)


class OneStage(Loop):
    """Train the networks of one objective from the first step to the last, at one schedule.

    Notes
    -----
    A subclass sets `config` (with ``learning_rate``, ``betas``, ``checkpoint_every``), `objective` (whose children
    are the networks), `progress` and `total` before it opens the folder, and says which parameters each optimiser
    has (`groups`) and what a step is shown (`inputs`).
    """

    config: Any
    objective: nn.Module
    progress: bool
    total: int
    step: int = 0

    def groups(self) -> list[list[nn.Parameter]]:
        """Give the parameters of each optimiser."""
        raise NotImplementedError

    def inputs(self) -> tuple[Sequence[Any], Sequence[str]]:
        """Draw what the objective sees at the present step, and the names of the pictures that it comes from."""
        raise NotImplementedError

    def rate(self) -> float:
        """Give the learning rate of the present step."""
        return self.config.learning_rate

    def taken(self, losses: Mapping[str, float], rate: float) -> None:
        """Do what a training does after a step, such as drawing curves."""

    def networks(self) -> dict[str, nn.Module]:
        """Give all that is trained, and what else has buffers."""
        return dict(self.objective.named_children())

    def trained(self) -> dict[str, nn.Module]:
        """Give the networks that have parameters."""
        return {name: net for name, net in self.networks().items() if any(True for _ in net.parameters())}

    def state(self) -> dict[str, Any]:
        """Give the step."""
        return {"step": self.step}

    def restore(self, state: Mapping[str, Any], path: Path) -> None:
        """Go on at the step of a checkpoint of the same training."""
        if state["identity"] != self.identity:
            raise ValueError(
                f"{path}: was begun with other cells, settings or seed; use another folder or delete this one"
            )
        self.step = state["step"]

    def place(self) -> str:
        """Say the step."""
        return f"step {self.step} on pictures"

    def run(self, stop_after: int | None = None) -> bool:
        """Train until done, or until `stop_after` more steps are done; returns whether it is done."""
        last = self.total if stop_after is None else min(self.total, self.step + stop_after)
        config = self.config
        optimisers = [self._adam(weights, config.learning_rate, config.betas) for weights in self.groups()]
        self._resume_moments(optimisers)
        model, *wrapped = self.fabric.setup(self.objective, *optimisers)
        bar = tqdm(total=self.total, initial=self.step, disable=not self.progress, unit="step")
        try:
            with memory_kept(cycles=True), bar:
                while self.step < last:
                    self._advance(model, wrapped)
                    bar.update()
                    if self.step % config.checkpoint_every == 0 or self.step == last:
                        self._save(optimisers)
        finally:
            self.journal.close()
        return self.step >= self.total

    def _advance(self, model: nn.Module, optimisers: Sequence[Any]) -> None:
        begun, rate = time.perf_counter(), self.rate()
        inputs, names = self.inputs()
        losses = self._descend(model, optimisers, inputs, rate, names)
        values = {"step": self.step, **losses, "seconds": time.perf_counter() - begun}
        self._record({name: values[name] for name in self.history})
        self.step += 1
        self.taken(losses, rate)
