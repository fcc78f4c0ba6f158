"""Rows of Markdown tables, and names of the places on a page that they link to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any


def row(*entries: str) -> str:
    """Write one line of a table."""
    return "| " + " | ".join(entries) + " |"


def head(*entries: str) -> list[str]:
    """Write the first two lines of a table."""
    return [row(*entries), "|---" * len(entries) + "|"]


def anchor(record: Mapping[str, Any]) -> str:
    """Name the place where the runs of a record's data set, profile, task and arm are listed.

    Examples
    --------
    >>> anchor({"dataset": "chula_rbc12", "profile": "laptop", "task": "fcn8s", "arm": "RD+SD+aug"})
    'run-laptop-chula-rbc12-fcn8s-rd-sd-aug'
    """
    parts = (record["profile"], record["dataset"], record["task"], record["arm"])
    return "run-" + re.sub("[^a-z0-9]+", "-", "-".join(parts).lower()).strip("-")
