"""Store how long the chapters of a finished build took: python -m tools.times build/smoke-phantom --remark "…"."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bloodlib._files import read_json, write_json

from .layout import ROOT

STORED = Path("data") / "results" / "run_times.json"


def measured(build: Path, remark: str) -> dict[str, Any]:
    """Gather the seconds of a build's chapters from their run cards.

    Raises
    ------
    ValueError
        If the build has none, or its chapters ran on several machines.
    """
    cards = [read_json(path) for path in sorted((build / "cards").glob("*.json"))]
    devices = {card["device"] for card in cards}
    if len(devices) != 1:
        raise ValueError(f"{build}: run cards of {len(devices)} machines; needed are those of one, so build it at once")
    return {
        "device": devices.pop(),
        "remark": remark,
        "seconds": {card["notebook"]: round(card["seconds"], 1) for card in cards},
    }


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Store one build's times beside those of others."""
    parser = argparse.ArgumentParser(prog="python -m tools.times", description=__doc__)
    parser.add_argument("build", type=Path, help="folder of a build; chapters without a run card are not measured")
    parser.add_argument("--remark", required=True, help="what else the machine did meanwhile, and what was found made")
    given = parser.parse_args(arguments)
    path = root / STORED
    stored = read_json(path) if path.exists() else {"builds": {}}
    stored["builds"][given.build.name] = measured(given.build, given.remark)
    write_json(path, stored)
    return 0


if __name__ == "__main__":
    sys.exit(main())
