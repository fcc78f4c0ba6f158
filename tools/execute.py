"""Run every notebook once under a profile: python -m tools.execute --profile smoke --data phantom."""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from bloodlib._files import read_json, write_json

from . import parameters
from .layout import PROFILES, Build, fingerprint

THREADS = "2"


def command_for(notebook: Path, given: dict[str, Any]) -> str:
    """Write the papermill command that repeats a run, from the top of a checkout."""
    words = ["papermill", f"notebooks/{notebook.name}", "out.ipynb", "--cwd", "notebooks"]
    for name, value in given.items():
        if isinstance(value, str):
            words += ["-r", name, value]
        elif isinstance(value, (list, dict)):
            words += ["-y", yaml.safe_dump({name: value}, default_flow_style=True, width=10_000).strip()]
        else:
            words += ["-p", name, str(value)]
    return shlex.join(words)


def commit(root: Path) -> str:
    """Name the commit that is checked out, and whether files differ from it."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git(
            "status", "--porcelain", "--untracked-files=no", "--", "bloodlib", "notebooks", "data", "profiles"
        )
        return git("rev-parse", "--short=10", "HEAD") + (" with local changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "not a git checkout"


def device() -> str:
    """Name what the notebooks compute on."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return f"CPU {model}, {THREADS} threads"


def run(notebook: Path, given: dict[str, Any], build: Build, mark: str, where: str) -> dict[str, Any]:
    """Execute one notebook and return its run card; the executed copy appears only if all cells ran."""
    from papermill import execute_notebook

    started = time.perf_counter()
    partial = build.executed / "failed" / notebook.name
    partial.parent.mkdir(parents=True, exist_ok=True)
    (build.folder / "artifacts").mkdir(exist_ok=True)
    execute_notebook(
        str(notebook),
        str(partial),
        parameters=given,
        cwd=str(notebook.parent),
        kernel_name="python3",
        progress_bar=False,
        start_timeout=180,
        extra_arguments=["--log-level=CRITICAL"],  # kernels warn about an unencrypted local port and their own end
    )
    seconds = time.perf_counter() - started
    os.replace(partial, build.executed / notebook.name)
    return {
        "notebook": notebook.stem,
        "profile": build.profile,
        "data": given.get("data", build.data),
        "parameters": given,
        "seed": given.get("seed"),
        "device": where,
        "seconds": round(seconds, 1),
        "commit": commit(build.root),
        "command": command_for(notebook, given),
        "fingerprint": mark,
    }


def is_current(notebook: Path, build: Build, mark: str) -> bool:
    """Say whether an executed copy made from exactly these inputs exists."""
    card = build.cards / f"{notebook.stem}.json"
    return (build.executed / notebook.name).exists() and card.exists() and read_json(card)["fingerprint"] == mark


def execute(build: Build, extra: dict[str, Any] | None = None, say=print) -> list[str]:
    """Run the notebooks of a build that are not up to date, one after another.

    Parameters
    ----------
    build : Build
    extra : dict, optional
        Parameters that overrule the profile's.
    say : callable
        Takes one progress line.

    Returns
    -------
    names of the notebooks that failed

    Raises
    ------
    ValueError
        If a parameter is unknown or of the wrong type; nothing has run then.
    """
    from papermill.exceptions import PapermillExecutionError

    if not build.notebooks:
        raise ValueError(f"{build.root / 'notebooks'}: no notebook named NN_title.ipynb")
    jobs = [(notebook, parameters.for_notebook(notebook, build, extra)) for notebook in build.notebooks]
    where, failed = "", []
    for notebook, given in jobs:
        mark = fingerprint(notebook, given, build)  # only now: it may read what one before it has just stored
        label = f"{notebook.stem:<32} {build.name}"
        if is_current(notebook, build, mark):
            say(f"{label}  up to date")
            continue
        (build.executed / notebook.name).unlink(missing_ok=True)
        where = where or device()
        try:
            card = run(notebook, given, build, mark, where)
        except PapermillExecutionError as error:
            failed.append(notebook.stem)
            say(f"{label}  FAILED: {error.ename}: {error.evalue} (see {build.executed.name}/failed/{notebook.name})")
            continue
        write_json(build.cards / f"{notebook.stem}.json", card)
        say(f"{label}  {card['seconds']:6.1f} s")
    return failed


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.execute", description=__doc__)
    parser.add_argument("--profile", default="smoke", choices=PROFILES)
    parser.add_argument("--data", default="phantom", help="name of a data set, or a folder of smears")
    parser.add_argument("--only", default="", metavar="NB", help="one chapter: its number or name")
    parser.add_argument(
        "-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), help="overrule a parameter"
    )
    options = parser.parse_args(arguments)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = THREADS
    os.environ["JUPYTER_PLATFORM_DIRS"] = "1"
    os.environ.pop("MPLBACKEND", None)  # the kernel chooses: figures must reach the page
    build = Build(options.profile, options.data, options.only)
    try:
        failed = execute(build, {name: yaml.safe_load(value) for name, value in options.p}, say=_say)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if failed:
        print(
            f"error: {len(failed)} notebook(s) failed: {', '.join(failed)}; none of them will be staged",
            file=sys.stderr,
        )
    return bool(failed)


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
