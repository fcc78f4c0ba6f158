"""Print the built book as one PDF with Chromium: python -m tools.pdf build/smoke-phantom/html book.pdf.

All pages are put one after another into a page of their own, in the order of the contents, and links between pages
become links within the file.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup, Tag

from .browser import Browser
from .layout import require_book

NAME = "_print.html"
PATIENCE_S = 600  # a whole book is much to lay out
STYLE = """
body { background: #fff; color: #111; margin: 0; }
article { break-before: page; }
article:first-of-type { break-before: auto; }
figure, img, svg, tr, .math, .exercise, .solution, .kept { break-inside: avoid; }
h1, h2, h3, h4, .admonition-title, figcaption, caption { break-after: avoid; }
figcaption { break-before: avoid; }
img { max-height: 21cm; object-fit: contain; object-position: left; }
p, li { orphans: 3; widows: 3; }
pre { orphans: 3; white-space: pre-wrap; widows: 3; }
.headerlink, .copybtn, .toggle-button, .bl-controls, .bl-buttons, input { display: none !important; }
/* What scrolls, or is laid out in boxes, cannot be divided between pages. */
.cell_input, .highlight, [class*="highlight-"] { break-inside: auto !important; display: block !important; }
pre, .highlight, .pst-scrollable-table-container, .bd-article .cell_output .output { overflow: visible !important; }
"""
_DRAWN = "new Promise((done) => setTimeout(done, 1500))"
_MATHS = "!window.MathJax || !MathJax.startup || MathJax.startup.promise.then(() => true)"


def pages(site: Path) -> list[Path]:
    """List the pages in the order of the contents, the landing page first.

    Raises
    ------
    FileNotFoundError
        If there is no built book.
    """
    require_book(site)
    first = site / "book" / "index.html"
    links = BeautifulSoup(first.read_text(), "html.parser").select("nav.bd-links a[href], .bd-sidebar-primary a[href]")
    found = [first]
    for link in links:
        url = urlsplit(link["href"])
        path = Path(os.path.normpath(first.parent / unquote(url.path)))
        if not url.scheme and url.path.endswith(".html") and path.is_file() and path not in found:
            found.append(path)
    return found


def combined(site: Path) -> str:
    """Write all pages as one, for printing."""
    every = pages(site)
    whole = BeautifulSoup(every[0].read_text(), "html.parser")
    for element in whole.select("link[href], script[src]"):
        key = "href" if element.name == "link" else "src"
        element[key] = _moved(element[key], every[0].parent, site)
    title = whole.title.get_text() if whole.title else "The book"
    head = "".join(str(e) for e in whole.head.select('link[rel="stylesheet"], script'))
    articles = [_article(path, site, every) for path in every]
    return (
        f'<!doctype html><html lang="en" data-theme="light" data-mode="light"><head><meta charset="utf-8">'
        f"<title>{title}</title>{head}<style>{STYLE}</style></head>"
        f'<body><main class="bd-content">{"".join(articles)}</main></body></html>'
    )


def _article(path: Path, site: Path, every: list[Path]) -> str:
    article = BeautifulSoup(path.read_text(), "html.parser").select_one("article")
    for element in article.select("script"):
        if not element.get("type", "").startswith("math/"):
            element.decompose()
    for element in article.select("details.how-made"):  # under every figure, and much the same: for the screen
        element.decompose()
    for element in article.find_all(id=True):
        element["id"] = _anchor(path, site, element["id"])
    article["id"] = _anchor(path, site, "")
    article["class"] = ["bd-article"]
    for element in article.select("details"):
        element["open"] = ""
    for element in article.select(".dropdown, .toggle"):
        element["class"] = [name for name in element["class"] if name not in ("toggle", "toggle-hidden", "dropdown")]
    for heading in article.select("h1, h2, h3, h4"):
        _keep_with_next(heading)
    for element in article.select("img[src]"):
        element["src"] = _moved(element["src"], path.parent, site)
    for element in article.select("a[href]"):
        _point(element, path, site, every)
    return str(article)


def _keep_with_next(heading: Tag) -> None:
    """Keep a heading on the page of the paragraph below it: avoiding a break after it does not reach over sections."""
    following = heading.find_next_sibling()
    if following is not None and following.name in ("p", "h2", "h3", "h4"):
        kept = heading.wrap(Tag(name="div", attrs={"class": "kept"}))
        kept.append(following.extract())


def _point(link: Tag, path: Path, site: Path, every: list[Path]) -> None:
    url = urlsplit(link["href"])
    if url.scheme or url.netloc:
        return
    target = path if not url.path else Path(os.path.normpath(path.parent / unquote(url.path)))
    if target in every:
        link["href"] = "#" + _anchor(target, site, unquote(url.fragment))
    else:  # a file of the site, such as a figure at full size: a PDF goes about without it
        link.unwrap()


def _anchor(path: Path, site: Path, name: str) -> str:
    return f"{path.relative_to(site).with_suffix('').as_posix().replace('/', '-')}--{name}"


def _moved(address: str, folder: Path, site: Path) -> str:
    url = urlsplit(address)
    if url.scheme or url.netloc or not url.path:
        return address
    return Path(os.path.relpath(os.path.normpath(folder / unquote(url.path)), site)).as_posix()


def print_book(site: Path, target: Path) -> Path:
    """Print a built book.

    Raises
    ------
    FileNotFoundError
        If there is no built book, or no browser.
    """
    whole = site / NAME
    whole.write_text(combined(site))
    try:
        with Browser(PATIENCE_S) as browser:
            browser.open(whole)
            browser.evaluate(_MATHS)
            browser.evaluate(_DRAWN)
            return browser.pdf(target)
    finally:
        whole.unlink()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.pdf", description=__doc__.splitlines()[0])
    parser.add_argument("site", type=Path, help="folder of the built HTML")
    parser.add_argument("target", type=Path, help="the PDF")
    options = parser.parse_args(arguments)
    try:
        path = print_book(options.site, options.target)
    except (OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
