"""Run every benchmark of this folder, one after another: python -m benchmarks [NAME …].

At the end stands every target with what was measured, also as JSON in build/benchmarks.json;
``python -m benchmarks targets`` prints that alone, from what is stored.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys

import benchmarks

LAST = "targets"


def main(names: list[str]) -> None:
    """Run the named benchmarks, or all of them."""
    known = [module.name for module in pkgutil.iter_modules(benchmarks.__path__) if module.name != "__main__"]
    unknown = sorted(set(names) - set(known))
    if unknown:
        sys.exit(f"no benchmark {unknown[0]!r}; there are {', '.join(known)}")
    del sys.argv[1:]  # the benchmarks' own options, which are not given here
    for name in names or [*(name for name in known if name != LAST), LAST]:
        print(f"\n## {name}", flush=True)
        importlib.import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main(sys.argv[1:])
