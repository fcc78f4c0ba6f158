"""Check that every page is valid HTML, with the Nu checker: python -m tools.validity SITE --vnu vnu.jar.

The checker is fetched for the audit alone (``npm pack vnu-jar``; ``make audit`` does it), needs Java 17 or newer and no
network, and is no part of the book. All of its errors count, none is left out. Its warnings and remarks do not: they
are about the theme's style, such as slashes in ``<br />`` and sections without a heading.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

LEAST_JAVA = 17


def errors(site: Path, vnu: Path) -> list[tuple[str, dict[str, Any]]]:
    """List what makes pages of a site invalid: the page's name, and the checker's message.

    Parameters
    ----------
    site : Path
        Folder of the HTML.
    vnu : Path
        ``vnu.jar`` of the Nu checker.

    Raises
    ------
    FileNotFoundError
        If there is no page, no checker or no Java.
    RuntimeError
        If the checker does not run.
    """
    pages = sorted(p.resolve() for p in site.rglob("*.html") if "_static" not in p.relative_to(site).parts)
    if not pages:
        raise FileNotFoundError(f"{site}: no page there; was the book built?")
    if not vnu.is_file():
        raise FileNotFoundError(f"{vnu}: no such file; npm pack vnu-jar brings it")
    java = shutil.which("java")
    if java is None:
        raise FileNotFoundError(f"no Java found, which the checker runs on: install Java {LEAST_JAVA} or newer")
    command = [java, "-jar", str(vnu), "--format", "json", "--stdout", "--exit-zero-always", "--html"]
    done = subprocess.run([*command, *map(str, pages)], capture_output=True, text=True)
    try:
        said = json.loads(done.stdout)["messages"]
    except (ValueError, KeyError) as error:
        why = (done.stderr or done.stdout).strip()[-400:] or f"exit status {done.returncode}"
        raise RuntimeError(f"{vnu} did not run on Java {LEAST_JAVA} or newer: {why}") from error
    top = site.resolve()
    return [
        (Path(unquote(urlsplit(one["url"]).path)).relative_to(top).as_posix(), one)
        for one in said
        if one["type"] != "info"
    ]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.validity", description=__doc__.splitlines()[0])
    parser.add_argument("site", type=Path, help="folder of the built HTML")
    parser.add_argument("--vnu", type=Path, required=True, help="vnu.jar of the Nu checker")
    options = parser.parse_args(arguments)
    try:
        found = errors(options.site, options.vnu)
    except (OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for name, one in found:
        print(f"{name}:{one.get('lastLine', '?')}: {one['message']}")
    print(f"{len(found)} error(s) in HTML" if found else "all pages are valid HTML")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
