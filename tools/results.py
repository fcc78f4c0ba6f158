"""Make the runs of Table 2 that are not stored yet: python -m tools.results --profile laptop --data chula_rbc12."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bloodlib._files import alone_in
from bloodlib.datasets.registry import SETS

from .layout import ROOT


def command(profile: str, data: str, more: Sequence[str] = (), slurm: bool = False) -> list[str]:
    """Give Snakemake's command line; `more` are pairs for its ``--config``, such as ``seeds=0,1``.

    Notes
    -----
    Snakemake's own lock stays when it is killed, and so does its mark on a file that was being made; the next
    call then refuses to start. A record is written whole or not at all, so neither is needed here.
    """
    own = ["--nolock", "--ignore-incomplete", "--rerun-triggers", "mtime", "--keep-going"]
    here = ["--workflow-profile", str(ROOT / "profiles" / "slurm")] if slurm else ["--cores", "2", "--jobs", "1"]
    grid = ["--snakefile", str(ROOT / "table2.smk"), *here]
    return [
        str(Path(sys.executable).with_name("snakemake")),
        *grid,
        *own,
        "--config",
        f"profile={profile}",
        f"data={_as_text(data)}",
        *more,
    ]


def _as_text(data: str) -> str:
    """Write the name of a folder so that Snakemake, which reads values as YAML, cannot take it for a number."""
    return data if data in SETS or os.path.isabs(data) else os.path.join(".", data)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run Snakemake alone in this build; the lock is the operating system's, which a kill gives back."""
    parser = argparse.ArgumentParser(prog="python -m tools.results", description=__doc__)
    parser.add_argument("--profile", default="laptop")
    parser.add_argument("--data", default="phantom")
    parser.add_argument("--slurm", action="store_true", help="give the jobs to Slurm, by profiles/slurm")
    parser.add_argument("more", nargs="*", metavar="KEY=VALUE", help="for Snakemake's --config: seeds, tasks, arms, …")
    chosen = parser.parse_args(arguments)
    try:
        with alone_in(ROOT / "build" / f"{chosen.profile}-{Path(chosen.data).name}" / "grid"):
            return _ended(command(chosen.profile, chosen.data, chosen.more, chosen.slurm))
    except BlockingIOError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _ended(called: Sequence[str]) -> int:
    """Run a program to its end, and end it where this one is told to: alone it would go on, without the lock."""
    with subprocess.Popen(called, cwd=ROOT) as running:
        before = signal.signal(signal.SIGTERM, lambda *_: running.terminate())
        try:
            return running.wait()
        finally:
            signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    sys.exit(main())
