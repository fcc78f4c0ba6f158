"""Measure every target again: python -m benchmarks [NAME …].

At the end stands every target with what was measured, also as JSON in build/benchmarks.json;
``python -m benchmarks targets`` prints that alone, from what is stored. The other modules of this folder measure and
train for hours what chapters quote; each is called by itself and says how: ``python -m benchmarks.NAME``.
"""

from __future__ import annotations

import importlib
import sys

TIMED, LAST = ("masks", "painter", "evaluators"), "targets"


def main(names: list[str]) -> None:
    """Run the named benchmarks, or all that a target is measured by."""
    known = (*TIMED, LAST)
    unknown = sorted(set(names) - set(known))
    if unknown:
        sys.exit(
            f"no target is measured by {unknown[0]!r} but by {', '.join(TIMED)}; others: python -m benchmarks.NAME"
        )
    del sys.argv[1:]  # the benchmarks' own options, which are not given here
    for name in names or known:
        print(f"\n## {name}", flush=True)
        importlib.import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main(sys.argv[1:])
