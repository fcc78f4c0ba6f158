"""A run that was stopped goes on: what it needs for that, kept in one file of tensors until its record is stored."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..gan.checkpoint import (
    CHECKPOINT,
    moments_of,
    read_checkpoint,
    restore_moments,
    restore_networks,
    write_checkpoint,
)

SHORTEST = 60.0  # ours, seconds between two checkpoints, so that short runs write next to none
SHARE = 20  # ours: and at least so many times what writing the last one took
_BEST, _DRAWS = "best.", "draws."


@dataclass
class Checks:
    """What a run knows from its checks on validation and test: everything but `best` can be written as JSON."""

    history: list[dict] = field(default_factory=list)
    rows: list[list[dict]] = field(default_factory=list)
    crowds: list[dict | None] = field(default_factory=list)
    predicting: list[float] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)


class Unfinished:
    """Keep the state of a run in a folder of its own, and give it back to the same run.

    Parameters
    ----------
    folder : path, optional
        Holds ``checkpoint.safetensors``; nothing is kept if not given.
    shortest : float, optional
        Seconds between two checkpoints, at least; `SHORTEST` if not given.
    identity : str
        Of the run: what was kept under another is passed over, and written over.
    maker : dict, optional
        By what this process computes (commit, device, …), for the record of a run that others go on with.

    Notes
    -----
    The steps that lie between the last checkpoint and the end of a process are taken again, with the same draws. The
    run ends as if it had never been stopped where the sums are added in the same order: on the same kind of
    processor, with as many threads, by the same code. Book: page of the cluster.
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        shortest: float | None = None,
        identity: str = "",
        maker: dict[str, Any] | None = None,
    ) -> None:
        self.path = None if folder is None else Path(folder) / CHECKPOINT
        self.shortest = SHORTEST if shortest is None else shortest
        self.identity, self.maker = identity, maker or {}
        self.checks = Checks()
        self.resumed: list[dict[str, Any]] = []
        self._before = (0.0, 0.0)
        self._began = (time.perf_counter(), time.process_time())
        self._written, self._took = time.perf_counter(), 0.0

    @property
    def spent(self) -> tuple[float, float]:
        """Seconds by the clock and of the processor, with what stopped processes took up to their last checkpoint."""
        now = (time.perf_counter(), time.process_time())
        total, cpu = (x - began + before for x, began, before in zip(now, self._began, self._before, strict=True))
        return total, cpu

    def restore(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        rng: np.random.Generator,
        losses: list[float],
    ) -> tuple[int, float]:
        """Bring a training to where the last checkpoint left it, if that was of the same run.

        Returns
        -------
        int
            Steps done.
        float
            Seconds they took, without checks.

        Raises
        ------
        ValueError
            If the file is damaged, or of other code.
        """
        self._written = time.perf_counter()  # what reading the smears took is not worth a checkpoint
        if self.path is None:
            return 0, 0.0
        if not self.identity:
            raise ValueError("identity is empty; a run that is kept needs one, or another could go on from it")
        if not self.path.is_file():
            return 0, 0.0
        tensors, state = read_checkpoint(self.path)
        if state.get("identity") != self.identity:  # of other data, or of another painter: it is written over
            return 0, 0.0
        try:
            restore_networks({"model": model}, tensors)
            restore_moments([optimizer], moments_of(tensors))
            best = {k.removeprefix(_BEST): x for k, x in tensors.items() if k.startswith(_BEST)}
            self.checks = Checks(**state["checks"], best=best)
            rng.bit_generator.state = state["draws"]
            torch.set_rng_state(tensors[f"{_DRAWS}cpu"])
            if f"{_DRAWS}cuda" in tensors and torch.cuda.is_available():
                torch.cuda.set_rng_state(tensors[f"{_DRAWS}cuda"])
            losses[:] = state["losses"]
            self._before = tuple(state["spent"])
            self.resumed = [*state["resumed"], {"step": state["step"], **state["maker"]}]
            return state["step"], state["seconds"]
        except (RuntimeError, KeyError, TypeError) as error:
            why = str(error).partition("\n")[0]
            raise ValueError(f"{self.path}: was written by other code ({why}); delete it to begin again") from error

    def keep(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        draws: dict[str, Any],
        losses: list[float],
        seconds: float,
    ) -> None:
        """Write a checkpoint, if the last one is old enough.

        Parameters
        ----------
        model, optimizer
            After a step.
        draws : dict
            State of the generator that drew the batch of that step, as it was then.
        losses : list of float
            Of all steps so far.
        seconds : float
            Those steps took.
        """
        began = time.perf_counter()
        if self.path is None or began - self._written < max(self.shortest, SHARE * self._took):
            return
        tensors = {f"{_DRAWS}cpu": torch.get_rng_state(), **{_BEST + k: x for k, x in self.checks.best.items()}}
        if next(model.parameters()).is_cuda:
            tensors[f"{_DRAWS}cuda"] = torch.cuda.get_rng_state()
        state = {
            "identity": self.identity,
            "step": len(losses),
            "losses": losses,
            "seconds": seconds,
            "spent": self.spent,
            "draws": draws,
            "checks": {key: value for key, value in vars(self.checks).items() if key != "best"},
            "resumed": self.resumed,
            "maker": self.maker,
        }
        try:
            write_checkpoint(self.path, {"model": model}, [optimizer], state, tensors)
        except OSError as error:  # a record is kilobytes, and may well find room
            warnings.warn(f"{self.path}: no checkpoint was written ({error}); the run goes on", stacklevel=2)
        self._written = time.perf_counter()
        self._took = self._written - began

    def forget(self) -> None:
        """Remove the checkpoint of a run whose record is stored."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
