"""Check a built site: python -m tools.check build/smoke-phantom/html."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup

from .layout import ROOT

BUDGET_MB = 60
PAGE_BUDGET_MB = 2  # HTML and pictures; scripts and styles are shared by all pages
_LOADED = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "audio": "src",
    "embed": "src",
    "object": "data",
}
_LINK_RELS = {"stylesheet", "preload", "prefetch", "modulepreload", "icon", "preconnect", "dns-prefetch", "manifest"}
_IN_CSS = re.compile(r"(?:url\(\s*['\"]?|@import\s+['\"])((?:https?:)?//[^'\")\s]+)")
_FILE_NAME = re.compile(r"\.(png|jpe?g|svg|gif|webp)$|^[\w./-]*/[\w./-]+$", re.IGNORECASE)
_BROKEN = {
    "Traceback (most recent call last)": "a traceback",
    "papermill-error": "papermill's error notice",
    "---------------------------------------------------------------------------\n": "a notebook error",
}
_UNRESOLVED = re.compile(r"\{(?:ref|numref|eq|cite(?::\w+)?|term|doc|prf:ref)\}|\{\{|\[\?\?\]")


def check(
    site: Path, root: Path = ROOT, budget_mb: float = BUDGET_MB, page_budget_mb: float = PAGE_BUDGET_MB
) -> list[str]:
    """List everything wrong with a built site.

    Parameters
    ----------
    site : Path
        Folder of the HTML.
    root : Path
        The checkout: its own path must not appear on a page.
    budget_mb, page_budget_mb : float
        What the site, and a page with the pictures that it loads, may have.

    Returns
    -------
    list of str
        One line each, empty if nothing is wrong.
    """
    pages = sorted(p for p in site.rglob("*.html") if "_static" not in p.relative_to(site).parts)
    if not (site / "index.html").exists() or not pages:
        return [f"{site}: no index.html; was the book built?"]
    problems = []
    for page in pages:
        soup = _soup(page)
        name = page.relative_to(site).as_posix()
        found = [*_external(soup), *_pictures(soup), *_broken(soup, root), *_links(soup, page, site)]
        if name.startswith("notebooks/") and soup.select_one(".run-card code, .run-card pre") is None:
            found.append("no run card")
        if (loaded := page_bytes(page) / 1e6) > page_budget_mb:
            found.append(f"{loaded:.2f} MB with its pictures, allowed are {page_budget_mb:g} MB")
        problems += [f"{name}: {text}" for text in found]
    for sheet in sorted(site.rglob("*.css")):
        hosts = _IN_CSS.findall(sheet.read_text(errors="replace"))
        problems += [f"{sheet.relative_to(site).as_posix()}: loads {url} from another host" for url in hosts]
    size = sum(path.stat().st_size for path in site.rglob("*") if path.is_file()) / 1e6
    if size > budget_mb:
        problems.append(f"the site is {size:.1f} MB, allowed are {budget_mb:g} MB")
    return problems


def page_bytes(page: Path) -> int:
    """Count the bytes of a page and of the pictures that it loads, each once; scripts and styles are shared."""
    soup = _soup(page)
    addresses = {
        e[name] for tag, name in _LOADED.items() if tag != "script" for e in soup.find_all(tag, **{name: True})
    }
    for element in soup.find_all(srcset=True):  # a screen takes one of them, perhaps the largest
        addresses |= {one.split()[0] for one in element["srcset"].split(",") if one.strip()}
    urls = [urlsplit(one) for one in addresses]
    local = [url for url in urls if url.path and not (url.scheme or url.netloc)]
    files = {page} | {Path(os.path.normpath(page.parent / unquote(url.path))) for url in local}
    return sum(path.stat().st_size for path in files if path.is_file())


@cache
def _soup(page: Path) -> BeautifulSoup:
    return BeautifulSoup(page.read_text(), "html.parser")


def _is_external(url: str) -> bool:
    return url.startswith("//") or urlsplit(url).scheme in ("http", "https")


def _external(soup: BeautifulSoup) -> Iterator[str]:
    for tag, attribute in _LOADED.items():
        for element in soup.find_all(tag):
            if _is_external(element.get(attribute) or ""):
                yield f"<{tag}> loads {element[attribute]} from another host"
    for link in soup.find_all("link"):
        if _LINK_RELS & set(link.get("rel") or []) and _is_external(link.get("href") or ""):
            yield f"<link> loads {link['href']} from another host"
    styles = [style.get_text() for style in soup.find_all("style")] + [e["style"] for e in soup.find_all(style=True)]
    for url in _IN_CSS.findall("\n".join(styles)):
        yield f"a style loads {url} from another host"
    for script in soup.find_all("script", src=False):
        for url in re.findall(
            r"""(?:import\s*\(|\bfrom|\.src\s*=|require\s*\()\s*['"]((?:https?:)?//[^'"]+)""", script.get_text()
        ):
            yield f"a script loads {url} from another host"


def _pictures(soup: BeautifulSoup) -> Iterator[str]:
    for image in soup.find_all("img"):
        alt = (image.get("alt") or "").strip()
        source = Path(urlsplit(image.get("src") or "").path).name or "an inline picture"
        if not alt:
            yield f"{source} has no alt text"
        elif _FILE_NAME.search(alt) or alt == source:
            yield f"{source} has a file name for alt text: {alt!r}"
        elif image.find_parent(class_="cell_output") is not None and len(alt.split()) < 4:
            yield f"{source} has an alt text that says too little: {alt!r}"


def _broken(soup: BeautifulSoup, root: Path) -> Iterator[str]:
    article = soup.find("article") or soup.body or soup
    text = article.get_text()
    for needle, name in _BROKEN.items():
        if needle in text or article.find(id=needle) is not None:
            yield f"shows {name}"
    for element in article.select(".system-message, span.problematic"):
        yield f"unresolved markup: {element.get_text(' ', strip=True)[:80]}"
    prose = "".join(
        str(s) for s in article.find_all(string=True) if not s.find_parent(["code", "pre", "script", "style"])
    )
    for match in _UNRESOLVED.finditer(prose):
        yield f"unresolved reference: {prose[match.start() : match.start() + 60]!r}"
    for path in {str(root), str(Path.home())} - {"/"}:
        if re.search(rf"(?<![\w./]){re.escape(path)}", str(article)):  # not as the end of a relative one
            yield f"shows the path {path} of the machine it was built on"


def _links(soup: BeautifulSoup, page: Path, site: Path) -> Iterator[str]:
    for element, attribute in [(e, "href") for e in soup.find_all(["a", "link"], href=True)] + [
        (e, "src") for e in soup.find_all(["img", "script"], src=True)
    ]:
        url = urlsplit(element[attribute])
        if url.scheme or url.netloc or (attribute == "href" and element[attribute] in ("", "#")):
            continue
        target = page if not url.path else Path(os.path.normpath(page.parent / unquote(url.path)))
        if target.is_dir():
            target /= "index.html"
        if not target.is_file() or not target.is_relative_to(site):
            yield f"link to {element[attribute]} leads nowhere"
        elif url.fragment and target.suffix == ".html" and not _has(target, unquote(url.fragment)):
            yield f"link to {element[attribute]}: no such place on that page"


@cache
def _anchors(page: Path) -> frozenset[str]:
    soup = _soup(page)
    return frozenset(e["id"] for e in soup.find_all(id=True)) | {
        e["name"] for e in soup.find_all("a", attrs={"name": True})
    }


def _has(page: Path, anchor: str) -> bool:
    return anchor in _anchors(page)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.check", description=__doc__)
    parser.add_argument("site", type=Path, help="folder of the built HTML")
    site = parser.parse_args(arguments).site
    problems = check(site)
    for problem in problems:
        print(f"problem: {problem}", file=sys.stderr)
    if problems:
        print(f"{len(problems)} problem(s) in {site}", file=sys.stderr)
        return 1
    size = sum(path.stat().st_size for path in site.rglob("*") if path.is_file()) / 1e6
    heaviest = max(site.rglob("*.html"), key=page_bytes)
    print(
        f"checked {len(list(site.rglob('*.html')))} pages, {size:.1f} MB, at most {page_bytes(heaviest) / 1e6:.2f} MB "
        f"to load one ({heaviest.relative_to(site).as_posix()}): nothing wrong"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
