"""Compare two builds of the same executed notebooks: python -m tools.compare html other/html.

Every file must be in both and hold the same bytes. Ignored are dates alone: in text files, ``2026-11-26`` with or
without a time of day behind it, and ``Nov 26, 2026``.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

TEXT = (".html", ".js", ".css", ".txt", ".md", ".ipynb", ".json", ".svg", ".xml")
_MONTH = rb"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*"
_DATE = re.compile(
    rb"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?\b|\b"
    + _MONTH
    + rb" \d{1,2}, \d{4}\b"
)
_AROUND = 60


def differences(one: Path, other: Path) -> Iterator[str]:
    """Yield a line for every file that is in one tree only, or differs in more than dates.

    Parameters
    ----------
    one, other : Path
        Folders of two built sites.

    Raises
    ------
    FileNotFoundError
        If there is nothing in one of them.
    """
    trees = [{p.relative_to(top).as_posix(): p for p in top.rglob("*") if p.is_file()} for top in (one, other)]
    for top, files in zip((one, other), trees, strict=True):
        if not files:
            raise FileNotFoundError(f"{top}: no files there; was the book built?")
    for name in sorted(trees[0].keys() | trees[1].keys()):
        paths = [files.get(name) for files in trees]
        if None in paths:
            yield f"{name}: only in {other if paths[0] is None else one}"
            continue
        a, b = (_undated(path) for path in paths)
        if a != b:
            at = next((k for k, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
            around = slice(max(0, at - _AROUND), at + _AROUND)
            shown = f": {a[around]!r} or {b[around]!r}" if Path(name).suffix in TEXT else ""
            yield f"{name}: differs from byte {at}{shown}"


def _undated(path: Path) -> bytes:
    content = path.read_bytes()
    return _DATE.sub(b"DATE", content) if path.suffix in TEXT else content


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.compare", description=__doc__.splitlines()[0])
    parser.add_argument("one", type=Path, help="folder of a built site")
    parser.add_argument("other", type=Path, help="folder of the other")
    options = parser.parse_args(arguments)
    try:
        found = list(differences(options.one, options.other))
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for line in found:
        print(line)
    count = sum(1 for path in options.one.rglob("*") if path.is_file())
    print(f"{len(found)} file(s) differ" if found else f"{count} files are the same but for dates")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
