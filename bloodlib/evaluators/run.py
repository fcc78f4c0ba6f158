"""Recompute one run: ``python -m bloodlib.evaluators.run --task fcn8s --arm RD --seed 0 …``."""

from __future__ import annotations

import argparse
import hashlib
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..smears import Smear
from .arms import ARMS, plan
from .config import PROFILES, TASKS, EvaluatorConfig, preset

SYNTHETIC_SEED = 0  # the synthetic set is the same for all tasks and seeds


def stored_path(data: str, profile: str, task: str, arm: str, seed: int, folder: str | Path = "data/results") -> Path:
    """Say where the record of a run is kept.

    Examples
    --------
    >>> stored_path("chula_rbc12", "laptop", "fcn8s", "RD+aug", 0).as_posix()
    'data/results/table2/laptop-chula_rbc12/fcn8s-RD+aug-0.json'
    """
    return Path(folder) / "table2" / f"{profile}-{Path(data).name}" / f"{task}-{arm}-{seed}.json"


def command(record: dict[str, Any]) -> str:
    """Write the command that recomputes a stored run."""
    where = f"{record['profile']}-{record['dataset']}"
    out = stored_path(record["dataset"], record["profile"], record["task"], record["arm"], record["seed"])
    parts = ["python", "-m", "bloodlib.evaluators.run", "--task", record["task"], "--arm", record["arm"]]
    parts += ["--seed", str(record["seed"]), "--data", record["dataset"], "--profile", record["profile"]]
    parts += ["--artifacts", f"build/{where}/artifacts", "--out", out.as_posix()]
    return shlex.join(parts)


def fingerprint(folder: str | Path) -> str:
    """Give twelve hexadecimal digits of a painter's weights."""
    digest = hashlib.sha256()
    for path in sorted(Path(folder).rglob("*.safetensors")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def synthetic_smears(
    fit: Sequence[Smear],
    count: int,
    profile: str,
    artifacts: str | Path,
    painter_seed: int = 0,
    progress: bool = False,
) -> tuple[Sequence[Smear], str | None]:
    """Paint (or find) the first `count` smears of the synthetic set of a data set and profile.

    Parameters
    ----------
    fit : sequence of Smear
        The painter is fitted on these alone, unless `artifacts` holds it already.
    count : int
        More are added to the folder when a later call asks for more.
    profile : str
    artifacts : path
        ``painter/`` and ``synthetic-…/`` live in it.
    painter_seed : int
    progress : bool

    Returns
    -------
    smears, fingerprint of the painter
    """
    if count == 0:
        return (), None
    from ..datasets import load
    from ..synthesis import Synthesizer

    painter = Path(artifacts) / "painter"
    synthesizer = Synthesizer.fit(fit, profile=profile, folder=painter, seed=painter_seed, progress=progress)
    mark = fingerprint(painter)
    folder = Path(artifacts) / f"synthetic-{mark}"
    synthesizer.write(folder, count=count, seed=SYNTHETIC_SEED)
    return load(folder)[:count], mark


def inputs(
    data: str,
    config: EvaluatorConfig,
    arm: str,
    artifacts: str | Path,
    painter_seed: int = 0,
    progress: bool = False,
) -> dict[str, Any]:
    """Gather what `protocol.run` needs for one arm: the three parts, synthetic smears, painter."""
    from ..datasets import load

    parts = {part: load(data, split=part) for part in ("fit", "validation", "test")}
    used = config.real_images or len(parts["fit"])
    count = plan(arm, min(used, len(parts["fit"])), config.multiple).synthetic
    synthetic, painter = synthetic_smears(parts["fit"], count, config.profile, artifacts, painter_seed, progress)
    return {**parts, "synthetic": synthetic, "painter": painter, "data": Path(data).name}


def main(argv: list[str] | None = None) -> int:
    """Do one run and store its record."""
    parser = argparse.ArgumentParser(prog="python -m bloodlib.evaluators.run", description=__doc__)
    parser.add_argument("--task", choices=TASKS, required=True)
    parser.add_argument("--arm", choices=ARMS, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", default="phantom", help="data set name or folder (default: %(default)s)")
    parser.add_argument("--profile", choices=PROFILES, default="laptop")
    parser.add_argument("--artifacts", required=True, help="folder of trained models and synthetic smears")
    parser.add_argument("--out", required=True, help="JSON file to write")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--accelerator", default="auto", help="cpu, cuda, … (default: %(default)s)")
    parser.add_argument("--progress", action="store_true")
    given = parser.parse_args(argv)

    import torch

    from . import protocol

    torch.set_num_threads(given.threads)
    config = preset(given.profile, given.task)
    needed = inputs(given.data, config, given.arm, given.artifacts, progress=given.progress)
    record = protocol.run(
        given.task,
        given.arm,
        given.seed,
        config=config,
        accelerator=given.accelerator,
        progress=given.progress,
        **needed,
    )
    protocol.save_run(given.out, record)
    main_score = record["selected"]["main"]
    print(
        f"{given.task} {given.arm} seed {given.seed}: test {main_score} "
        f"{record['selected']['on_validation']['test'][main_score]:.3f} in {record['seconds']['total']:.0f} s"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
