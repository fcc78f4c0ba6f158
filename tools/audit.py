"""Look for barriers on every page, with axe-core in headless Chromium: python -m tools.audit SITE --axe axe.min.js.

axe-core is fetched for the audit alone (``npm pack axe-core``; ``make audit`` does it) and is no part of the book.
Every page is looked at four times, light and dark, on a desk and on a phone, and no part of it is left out. Violations
that axe calls serious or critical fail the audit; the others are listed. A page that is wider than its window, says an
error on the console or asks another machine for anything fails it as well.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .browser import Browser

FAIL = ("serious", "critical")
VIEWS = {
    "desk, light": {"width": 1280, "dark": False},
    "desk, dark": {"width": 1280, "dark": True},
    "phone, light": {"width": 390, "dark": False, "touch": True},
    "phone, dark": {"width": 390, "dark": True, "touch": True},
}
OWN = ("file:", "data:", "blob:", "about:")  # requests that stay on the reader's machine
_SETTLED = "new Promise((done) => setTimeout(done, 400))"


def audit(site: Path, axe: Path, pages: str = "**/*.html") -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield what is wrong with each page of a site: its name, the view, and axe's violation.

    Parameters
    ----------
    site : Path
        Folder of the HTML.
    axe : Path
        ``axe.min.js`` of axe-core.
    pages : str
        Pattern of the pages to look at.

    Raises
    ------
    FileNotFoundError
        If there is no such page, no axe-core or no browser.
    """
    found = sorted(p for p in site.glob(pages) if "_static" not in p.relative_to(site).parts and not leads_on(p))
    if not found:
        raise FileNotFoundError(f"{site}: no page matches {pages!r}; was the book built?")
    script = axe.read_text()
    with Browser() as browser:
        for path in found:
            name = path.relative_to(site).as_posix()
            for view, about in VIEWS.items():
                browser.emulate(height=900, **about)
                browser.open(path)
                if about["dark"]:
                    browser.evaluate("document.documentElement.dataset.theme = 'dark'")
                browser.evaluate(_SETTLED)
                browser.evaluate(script + "; null")
                said = browser.evaluate("axe.run({resultTypes: ['violations']}).then((r) => r.violations)")
                yield from ((name, view, one) for one in said)
                wide = browser.evaluate("document.documentElement.scrollWidth")
                if wide > about["width"]:
                    yield name, view, _serious("wider than the window", [f"{wide} px"])
                if browser.problems:
                    yield name, view, _serious("error on the console", browser.problems)
                if away := [url for url in browser.requests if not url.startswith(OWN)]:
                    yield name, view, _serious("request to another machine", away)


def _serious(what: str, found: list[str]) -> dict[str, Any]:
    """Write what axe does not look for as axe writes it."""
    return {"id": what, "impact": "serious", "help": "", "nodes": [{"target": [one]} for one in found]}


def leads_on(page: Path) -> bool:
    """Say whether a page only sends its reader to another one."""
    return 'http-equiv="refresh"' in page.read_text()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.audit", description=__doc__.splitlines()[0])
    parser.add_argument("site", type=Path, help="folder of the built HTML")
    parser.add_argument("--axe", type=Path, required=True, help="axe.min.js of axe-core")
    parser.add_argument("--pages", default="**/*.html", help="pattern of the pages (default: %(default)s)")
    options = parser.parse_args(arguments)
    failed = 0
    try:
        for name, view, one in audit(options.site, options.axe, options.pages):
            failed += one["impact"] in FAIL
            where = "; ".join(" ".join(map(str, node["target"])) for node in one["nodes"][:3])
            print(f"{one['impact']}: {name} ({view}): {one['id']}, {one['help']} [{len(one['nodes'])}×: {where}]")
    except (OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{failed} serious violation(s)" if failed else "no serious violation")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
