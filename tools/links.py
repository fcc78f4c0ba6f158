"""Follow links that lead out of a built site, and warn of dead ones: python -m tools.links build/smoke-phantom/html.

The exit status is 0 even where links are dead, since other people's sites are no fault of the book's; `--strict` makes
it 1. Sites that answer but refuse programs (403, 405, 429 and the like) count as alive.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urldefrag, urlsplit
from urllib.request import Request, urlopen

from bs4 import BeautifulSoup

from .layout import require_book

PATIENCE_S = 20
AT_ONCE = 8
AGENT = "Mozilla/5.0 (link check of a book)"
DEAD = (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)


def outward(site: Path) -> dict[str, list[str]]:
    """List the addresses of other sites that pages link to, each with the pages that do.

    Raises
    ------
    FileNotFoundError
        If there is no built book.
    """
    require_book(site)
    found: dict[str, list[str]] = {}
    for page in sorted(site.rglob("*.html")):
        if "_static" in page.relative_to(site).parts:
            continue
        for link in BeautifulSoup(page.read_text(), "html.parser").find_all("a", href=True):
            if urlsplit(link["href"]).scheme in ("http", "https"):
                pages = found.setdefault(urldefrag(link["href"]).url, [])
                if (name := page.relative_to(site).as_posix()) not in pages:
                    pages.append(name)
    return dict(sorted(found.items()))


def fault(address: str) -> str:
    """Ask for an address and say what is wrong with it; empty if nothing is."""
    try:
        with urlopen(Request(address, headers={"User-Agent": AGENT}), timeout=PATIENCE_S):
            return ""
    except HTTPError as error:
        return f"{error.code} {error.reason}" if error.code in DEAD or error.code >= 500 else ""
    except (OSError, ValueError) as error:  # no such host, no answer, no valid certificate, no address
        return str(getattr(error, "reason", error)) or type(error).__name__


def dead(addresses: Iterable[str], ask: Callable[[str], str] = fault) -> dict[str, str]:
    """Ask for each address, a second time where the first failed, and give what is wrong with the dead ones."""
    with ThreadPoolExecutor(AT_ONCE) as several:
        addresses = list(addresses)
        failed = [address for address, said in zip(addresses, several.map(ask, addresses), strict=True) if said]
        return {address: said for address, said in zip(failed, several.map(ask, failed), strict=True) if said}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.links", description=__doc__.splitlines()[0])
    parser.add_argument("site", type=Path, help="folder of the built HTML")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a link is dead")
    options = parser.parse_args(arguments)
    try:
        found = outward(options.site)
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    failed = dead(found)
    for address, said in failed.items():
        # The first words make it a warning on the page of a workflow's run; elsewhere they are only words.
        print(f"::warning::{address}: {said} (from {', '.join(found[address])})")
    print(f"{len(found)} links to other sites, {len(failed)} dead")
    return int(options.strict and bool(failed))


if __name__ == "__main__":
    sys.exit(main())
