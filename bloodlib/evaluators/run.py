"""Recompute one run: ``python -m bloodlib.evaluators.run --task fcn8s --arm RD --seed 0 …``."""

from __future__ import annotations

import argparse
import hashlib
import shlex
from contextlib import suppress
from pathlib import Path
from typing import Any

from .._files import alone_in, read_json
from ..datasets.registry import SETS
from ..release import CONFIG
from .arms import ARMS, CONTROLS, plan
from .config import PROFILES, STARTS, TASKS, EvaluatorConfig, preset
from .synthetic import fingerprint, named_painter, painter_for, painter_seed, synthetic_smears

OF_REAL = ("repainted", "copy-paste")  # sources that are made of the very smears that RD is fitted on


def stored_path(
    data: str,
    profile: str,
    task: str,
    arm: str,
    seed: int,
    folder: str | Path = "data/results",
    steps: int | None = None,
) -> Path:
    """Say where the record of a run is kept; one with other steps than its preset is in no table.

    Examples
    --------
    >>> stored_path("chula_rbc12", "laptop", "fcn8s", "RD+aug", 0).as_posix()
    'data/results/table2/laptop-chula_rbc12/fcn8s-RD+aug-0.json'
    >>> stored_path("chula_rbc12", "laptop", "fcn8s", "RD+aug", 0, steps=900).as_posix()
    'data/results/steps/laptop-chula_rbc12/fcn8s-RD+aug-0-900.json'
    """
    if steps not in (None, preset(profile, task).steps):
        return Path(folder) / "steps" / f"{profile}-{Path(data).name}" / f"{task}-{arm}-{seed}-{steps}.json"
    return Path(folder) / "table2" / f"{profile}-{Path(data).name}" / f"{task}-{arm}-{seed}.json"


def unfinished_path(out: str | Path, artifacts: str | Path) -> Path:
    """Say in which folder the run of a record keeps what it would go on from, until that is stored."""
    where = hashlib.sha256(str(Path(out).resolve()).encode()).hexdigest()[:8]
    return Path(artifacts) / "unfinished" / f"{Path(out).stem}-{where}"


def command(record: dict[str, Any]) -> str:
    """Write the command that recomputes a stored run; of a folder its record keeps the name and not where it lies."""
    data = record["dataset"]
    data = data if data in SETS else f"PATH/TO/{data}"
    where = f"{record['profile']}-{record['dataset']}"
    steps = record["config"]["steps"]
    of_run = (record[name] for name in ("dataset", "profile", "task", "arm", "seed"))
    out = stored_path(*of_run, steps=steps)
    parts = ["python", "-m", "bloodlib.evaluators.run", "--task", record["task"], "--arm", record["arm"]]
    parts += ["--seed", str(record["seed"]), "--data", data, "--profile", record["profile"]]
    parts += [] if steps == preset(record["profile"], record["task"]).steps else ["--steps", str(steps)]
    start = record["config"]["start"]
    parts += [] if start == preset(record["profile"], record["task"]).start else ["--start", start]
    parts += ["--painter", record["painter_name"]] if "painter_name" in record else []
    parts += ["--artifacts", f"build/{where}/artifacts", "--out", out.as_posix()]
    return shlex.join(parts)


def inputs(
    data: str,
    config: EvaluatorConfig,
    arm: str,
    artifacts: str | Path,
    painter_seed: int = 0,
    progress: bool = False,
    painter: str | None = None,
) -> dict[str, Any]:
    """Gather what `protocol.run` needs for one arm: the three parts, synthetic smears, their painter, the backbone.

    Raises
    ------
    ValueError
        If a `painter` is named that was fitted on other smears than the fit part, or for an arm that the released
        painter paints.
    """
    from ..datasets import load
    from .backbone import phantom_backbone
    from .protocol import evenly

    parts = {part: load(data, split=part) for part in ("fit", "validation", "test")}
    used = config.real_images or len(parts["fit"])
    composition = plan(arm, min(used, len(parts["fit"])), config.multiple)
    folder, by = None, {}
    if painter is not None and composition.source == "released":
        raise ValueError(f"painter {painter!r}: {arm} is painted by the released painter; leave --painter out")
    if composition.painted:
        if painter is None:
            folder = painter_for(composition.source, parts["fit"], config.profile, artifacts, painter_seed, progress)
        else:
            folder = named_painter(painter, parts["fit"])
        by = {"painter": fingerprint(folder), "painter_seed": read_json(folder / CONFIG)["seed"]}
    fit = evenly(parts["fit"], config.real_images) if composition.source in OF_REAL else parts["fit"]
    synthetic = synthetic_smears(fit, composition.synthetic, folder, artifacts, composition.source, progress)
    start = {"start_from": phantom_backbone(config, artifacts, progress)} if config.start == "phantom" else {}
    return {**parts, "synthetic": synthetic, **by, **start, "data": Path(data).name}


def main(argv: list[str] | None = None) -> int:
    """Do one run and store its record."""
    parser = argparse.ArgumentParser(prog="python -m bloodlib.evaluators.run", description=__doc__)
    parser.add_argument("--task", choices=TASKS, required=True)
    parser.add_argument("--arm", choices=ARMS + CONTROLS, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", default="phantom", help="data set name or folder (default: %(default)s)")
    parser.add_argument("--profile", choices=PROFILES, default="laptop")
    parser.add_argument("--artifacts", required=True, help="folder of trained models and synthetic smears")
    parser.add_argument("--out", required=True, help="JSON file to write")
    parser.add_argument(
        "--painter",
        metavar="NAME",
        help="finished painter of data/painters, or its folder (default: the profile's)",
    )
    parser.add_argument("--steps", type=int, help="optimiser steps (default: those of the profile)")
    parser.add_argument("--start", choices=STARTS, help="of a detector's backbone (default: the profile's)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--accelerator", default="auto", help="cpu, cuda, … (default: %(default)s)")
    parser.add_argument("--progress", action="store_true")
    given = parser.parse_args(argv)

    import torch

    torch.set_num_threads(given.threads)
    if given.steps is not None and given.steps < 1:
        parser.error(f"--steps is {given.steps}, allowed is 1 or more")
    chosen = {name: getattr(given, name) for name in ("steps", "start") if getattr(given, name) is not None}
    config = preset(given.profile, given.task, **chosen)
    kept = unfinished_path(given.out, given.artifacts)
    try:
        record = _alone(given, config, kept)
    except BlockingIOError as error:
        parser.exit(1, f"{error}\n")
    main_score = record["selected"]["main"]
    print(
        f"{given.task} {given.arm} seed {given.seed}: test {main_score} "
        f"{record['selected']['on_validation']['test'][main_score]:.3f} in {record['seconds']['total']:.0f} s"
    )
    return 0


def _alone(given: argparse.Namespace, config: EvaluatorConfig, kept: Path) -> dict[str, Any]:
    """Do the run and store its record; nobody else may do the same one meanwhile."""
    from . import protocol
    from .resume import Unfinished

    with alone_in(kept):
        turn = painter_seed(given.seed)
        needed = inputs(given.data, config, given.arm, given.artifacts, turn, given.progress, given.painter)
        unfinished = Unfinished(kept)
        record = protocol.run(
            given.task,
            given.arm,
            given.seed,
            config=config,
            accelerator=given.accelerator,
            progress=given.progress,
            unfinished=unfinished,
            **needed,
        )
        if given.painter and record["painter"]:
            record["painter_name"] = given.painter
        protocol.save_run(given.out, record)
        unfinished.forget()
    with suppress(OSError):  # of a run that went on; a new one's is gone already
        kept.rmdir()
    return record


if __name__ == "__main__":
    raise SystemExit(main())
