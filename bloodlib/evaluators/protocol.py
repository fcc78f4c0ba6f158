"""One run of Table 2: an arm, a task and a seed, from smears to a small JSON record."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from .._files import sha256
from .._versions import versions
from ..gan.precision import processor_name
from ..smears import Smear
from .arms import ARMS, Samples, plan
from .config import TASKS, EvaluatorConfig, preset
from .crowding import by_crowding
from .records import digest, evenly, load_runs, save_run, stale
from .resume import Unfinished
from .tasks import MAIN_SCORE, score_set
from .training import Evaluator, train

__all__ = ["ARMS", "TASKS", "EvaluatorConfig", "load_runs", "preset", "run", "run_and_keep", "save_run", "stale"]

DIGESTED = 40  # synthetic smears that a record knows again, of the up to 600 that were used


def run(*args: Any, **kwargs: Any) -> dict[str, Any]:
    """Do one run and give its record; arguments are those of `run_and_keep`."""
    return run_and_keep(*args, **kwargs)[0]


def run_and_keep(
    task: str,
    arm: str,
    seed: int,
    fit: Sequence[Smear],
    validation: Sequence[Smear],
    test: Sequence[Smear],
    synthetic: Sequence[Smear] = (),
    config: EvaluatorConfig | None = None,
    *,
    data: str = "",
    painter: str | None = None,
    painter_seed: int | None = None,
    start_from: str | Path | None = None,
    accelerator: str = "auto",
    progress: bool = False,
    unfinished: Unfinished | None = None,
) -> tuple[dict[str, Any], Evaluator]:
    """Train on one arm, choose the checkpoint on validation, score the test set.

    Parameters
    ----------
    task : {"fcn8s", "faster_rcnn", "contour_fcn"}
    arm : str
        One of `arms.ARMS` or `arms.CONTROLS`.
    seed : int
        The same seed gives every arm the same initial weights and order of draws.
    fit, validation, test : sequence of Smear
        Real smears; their parts share no slide.
    synthetic : sequence of Smear
        Painted by a painter fitted on `fit` alone; as many as ``arms.plan`` asks for.
    config : EvaluatorConfig, optional
        The laptop preset of the task where left out.
    data, painter, painter_seed
        Written into the record: the set's name, the painter's fingerprint and seed.
    start_from : path, optional
        Weights of a detector's backbone, where ``config.start`` is "phantom".
    accelerator : str
        Lightning Fabric's name for the device.
    progress : bool
    unfinished : Unfinished, optional
        Keeps what a run that is stopped goes on from.

    Returns
    -------
    record : dict
        ``task, arm, seed, dataset, profile, config, config_hash, samples, painter, painter_seed, backbone,
        split, synthetic, losses, history, selected, per_image, crowding, cost, seconds, device,
        processor, versions, commit``.
        ``selected["on_validation"]`` is what counts; ``selected["on_test"]`` is the paper's way (the best
        on the test set), and ``selected["optimism"]`` what it gains in the main score by looking.
        ``crowding`` is AP of test boxes by crowding (detection only), ``cost`` the number of weights,
        seconds per test image and peak memory; ``synthetic`` the digest of the first `DIGESTED` synthetic smears.
        A run that was stopped and went on has ``resumed``: up to which step other processes took it, each with its
        ``commit`` and ``processor``; those of the record are of the last one.
    evaluator : Evaluator
        With the weights that validation chose.

    Notes
    -----
    Every arm gets the same number of optimiser steps. Book: chapter 11.
    """
    config = config or preset("laptop", task)
    if config.task != task:
        raise ValueError(f"task is {task!r} but config is for {config.task!r}; use preset(profile, {task!r})")
    unfinished, commit = unfinished or Unfinished(), _commit()
    fit = evenly(fit, config.real_images)
    validation, test = evenly(validation, config.scored_images), evenly(test, config.scored_images)
    composition = plan(arm, len(fit), config.multiple)
    samples = Samples(composition, fit, synthetic, seed)
    record = {
        "task": task,
        "arm": arm,
        "seed": seed,
        "dataset": data,
        "profile": config.profile,
        "config": config.to_dict(),
        "config_hash": config.hash,
        "samples": {key: value for key, value in asdict(composition).items() if key != "arm"},
        "painter": painter if composition.painted else None,
        "painter_seed": painter_seed if composition.painted else None,
        "backbone": sha256(start_from)[:12] if start_from is not None else None,
        "split": {
            part: {
                "images": len(smears),
                "groups": sorted({s.group for s in smears}),
                "sha256": digest(smears),
                "made_by": getattr(smears, "rendered", None),
            }
            for part, smears in (("fit", fit), ("validation", validation), ("test", test))
        },
        "synthetic": digest(samples.synthetic(DIGESTED)) if composition.synthetic else None,
    }
    used = versions("bloodlib", "torch", "torchvision", "numpy")
    unfinished.identity = identity_of(record | used)
    unfinished.maker = {"commit": commit, "processor": processor_name()}

    def check(evaluator: Evaluator, step: int) -> None:
        checks = unfinished.checks
        on_validation, _ = evaluator.evaluate(validation)
        started = time.perf_counter()
        predictions = [evaluator.predict(smear.image) for smear in test]
        checks.predicting.append((time.perf_counter() - started) / len(test))
        on_test, per_image = score_set(predictions, test, config)
        main = MAIN_SCORE[task]
        if not checks.history or on_validation[main] > max(entry["validation"][main] for entry in checks.history):
            checks.best.update(copy.deepcopy(evaluator.model.state_dict()))
        checks.history.append({"step": step, "validation": on_validation, "test": on_test})
        checks.rows.append(per_image)
        found = [(p.boxes, p.scores) for p in predictions]
        checks.crowds.append(None if task == "fcn8s" else by_crowding(found, [smear.instances for smear in test]))

    evaluator = train(
        samples,
        config,
        seed,
        start_from=start_from,
        at_checkpoint=check,
        accelerator=accelerator,
        progress=progress,
        unfinished=unfinished,
    )
    checks = unfinished.checks
    evaluator.model.load_state_dict(checks.best)
    selected = _select(checks.history, MAIN_SCORE[task])
    chosen = {way: next(k for k, h in enumerate(checks.history) if h["step"] == selected[way]["step"]) for way in WAYS}
    every = max(len(evaluator.losses) // 20, 1)
    total, cpu = unfinished.spent
    record |= {
        "losses": [round(float(np.mean(evaluator.losses[k : k + every])), 4) for k in range(0, config.steps, every)],
        "history": checks.history,
        "selected": selected,
        "per_image": {way: checks.rows[k] for way, k in chosen.items()},
        "crowding": checks.crowds[chosen["on_validation"]],
        "cost": {
            "parameters": evaluator.parameters,
            "seconds_per_image": round(min(checks.predicting), 3),
            "peak_mib": None if evaluator.peak_mib is None else round(evaluator.peak_mib),
        },
        "seconds": {
            "training": round(evaluator.seconds, 1),
            "total": round(total, 1),
            "cpu": round(cpu, 1),  # what counts on a machine shared with other work
        },
        "device": evaluator.device,
        "processor": processor_name(),
        "versions": used,
        "commit": commit,  # of the code that was loaded, not of what a long run may find at its end
        **({"resumed": unfinished.resumed} if unfinished.resumed else {}),
    }
    return no_nan(record), evaluator


def identity_of(record: dict[str, Any]) -> str:
    """Give twelve hexadecimal digits of what decides a run: its configuration, arm, seed, pictures and libraries."""
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:12]


WAYS = ("on_validation", "on_test")


def _select(history: list[dict], main: str) -> dict[str, Any]:
    """Choose the best checkpoint (the earliest of equals) by each part, and compare on test."""
    ways = {way: max(history, key=lambda entry: entry[way.removeprefix("on_")][main]) for way in WAYS}
    optimism = ways["on_test"]["test"][main] - ways["on_validation"]["test"][main]
    return {**ways, "main": main, "optimism": round(optimism, 5)}


def _commit() -> str | None:
    """Name the commit of the checkout that this file lies in; None where it is installed."""
    here = Path(__file__).resolve().parents[2]
    if not (here / ".git").exists():
        return None
    try:
        asked = subprocess.run(["git", "-C", here, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    except OSError:  # no git on this node
        return None
    return asked.stdout.strip() or None


def no_nan(value: Any) -> Any:
    """Replace NaN by None, which JSON can hold."""
    if isinstance(value, dict):
        return {key: no_nan(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [no_nan(entry) for entry in value]
    return None if isinstance(value, float) and math.isnan(value) else value
