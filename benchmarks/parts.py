"""Benchmarks of several parts: all of them in order, or one by name."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping


def run_parts(command: str, description: str, parts: Mapping[str, Callable[[], None]]) -> None:
    """Read ``--only`` from the command line, and run that part or all."""
    parser = argparse.ArgumentParser(prog=command, description=description.splitlines()[0])
    parser.add_argument("--only", choices=parts)
    only = parser.parse_args().only
    for name, part in parts.items():
        if only in (None, name):
            part()
