"""What tests of faults measure: memory while a block runs, and counts that a night keeps for the book."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bloodlib._files import write_json
from bloodlib._versions import versions

GIBIBYTE = 2**30


@contextmanager
def memory_growth() -> Iterator[list[int]]:
    """Give a list that holds, after the block, by how many bytes the process was larger at most than before."""
    peak, grown = Path("/proc/self/clear_refs"), []
    if not os.access(peak, os.W_OK):
        pytest.skip("needs a system that tells the largest memory of a process, and forgets it when asked")
    peak.write_text("5")
    before = _status("VmRSS")
    yield grown
    grown.append(max(_status("VmHWM") - before, 0))


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def keep_counts(name: str, counts: Mapping[str, Any]) -> None:
    """Write counts where BLOODLIB_FAULTS says, as data/results/faults has them; nothing where it says nothing."""
    if folder := os.environ.get("BLOODLIB_FAULTS"):
        found = {"date": datetime.now(UTC).date().isoformat(), "versions": versions("bloodlib", "torch", "numpy")}
        write_json(Path(folder) / f"{name}.json", {**found, **counts})
