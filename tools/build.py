"""Build the staged tree into HTML, always from nothing: python -m tools.build --profile smoke --data phantom."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from .layout import PROFILES, Build
from .slim import slim

# Jupyter Book prepares every page for running code on another host, which these pages never do, and twice, which is an
# error in the reader's console.
_THEBE = re.compile(
    r"\s*<script>const THEBE_JS_URL.*?</script>|\s*<script[^>]*sphinx-thebe\.js[^>]*></script>", re.DOTALL
)
# Docutils' roles of bibliographies are no longer allowed inside a list.
_ENTRY = re.compile(r'role="doc-biblioentry"')
# Paragraphs must not stand in a summary, and a screen reader must hear what the eye sees there.
_SUMMARY = re.compile(
    r'<summary aria-label="Toggle hidden content">\s*'
    r'<p class="(collapsed[^"]*)">(.*?)</p>\s*<p class="(expanded[^"]*)">(.*?)</p>\s*</summary>',
    re.DOTALL,
)
# Every exercise and every solution has the same name within its page.
_NAMED_ALIKE = re.compile(r'<section id="((?:exercise|solution|proof)-content)">')
# Browsers let no page of the file system read another one, so that the search cannot quote what it finds there.
_SEARCH = re.compile(r'<script src="_static/searchtools\.js[^"]*"></script>')
_QUOTE_NOTHING = (
    '<script>if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;</script>'
)
# A name other than the words that are seen: whoever speaks to the browser says what is seen.
_SEARCH_FIELD = re.compile(r'(<button class="btn search-button-field[^>]*?) title="Search" aria-label="Search"')
_THEME_ICON = re.compile(r'(<i class="theme-switch [^>]*data-mode="\w+") +title="[^"]*"')
# The book's name leads home, outside of all landmarks.
_HOME = re.compile(r'<div class="sidebar-primary-item">(?=\s*<a class="navbar-brand logo")')
_REDIRECT = re.compile(r'<meta http-equiv="Refresh" content="0; url=([^"]+)" />\s*')
_LED_ON = (
    '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>To the book</title>'
    r'<meta http-equiv="refresh" content="0; url=\1"></head><body><p><a href="\1">To the book</a></p></body></html>'
)


def mended(html: str) -> str:
    """Take out of a page what Jupyter Book writes and browsers, screen readers or validators stumble over."""
    if _REDIRECT.fullmatch(html):
        return _REDIRECT.sub(_LED_ON, html)
    html = html.replace('localStorage.getItem("mode") || ""', 'localStorage.getItem("mode") || "auto"')  # a first visit
    html = html.replace("<h1></h1>", "")
    html = _SEARCH.sub(rf"\g<0>{_QUOTE_NOTHING}", html)
    html = _SUMMARY.sub(r'<summary><span class="\1">\2</span><span class="\3">\4</span></summary>', html)
    html = _NAMED_ALIKE.sub(r'<section class="\1">', html)
    html = _HOME.sub('<div class="sidebar-primary-item" role="navigation" aria-label="Home">', html)
    html = _THEME_ICON.sub(r"\1", _SEARCH_FIELD.sub(r"\1", html))
    return _ENTRY.sub('role="listitem"', _THEBE.sub("", html))


def build_html(build: Build) -> int:
    """Run Jupyter Book on a staged tree; warnings are errors, except for a single chapter.

    A single chapter refers to chapters that are not there, so its warnings are only shown.

    Returns
    -------
    int
        Exit status of Jupyter Book; `build.html` exists only if it is 0.

    Raises
    ------
    ValueError
        If nothing is staged.
    """
    if not (build.site / "_toc.yml").exists():
        raise ValueError(f"{os.path.relpath(build.site)}: nothing staged there; run python -m tools.stage first")
    # An incremental build hides warnings of pages that it does not read again.
    shutil.rmtree(build.html, ignore_errors=True)
    work = build.pages / "_build"
    shutil.rmtree(work, ignore_errors=True)
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", "--all", "-n", "--keep-going", "-q"]
    command += [] if build.only else ["-W"]
    command += ["--path-output", str(build.pages), str(build.site)]
    # Warnings go to stderr; the rest only says where the pages were before they are moved.
    quiet = os.environ | {"JUPYTER_PLATFORM_DIRS": "1"}
    done = subprocess.run(command, env=quiet, stdout=subprocess.DEVNULL)
    if done.returncode == 0:
        for page in (work / "html").rglob("*.html"):
            page.write_text(mended(page.read_text()))
        slim(work / "html")
        os.replace(work / "html", build.html)
        shutil.rmtree(work)
    return done.returncode


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.build", description=__doc__)
    parser.add_argument("--profile", default="smoke", choices=PROFILES)
    parser.add_argument("--data", default="phantom")
    parser.add_argument("--only", default="", metavar="NB")
    options = parser.parse_args(arguments)
    build = Build(options.profile, options.data, options.only)
    try:
        status = build_html(build)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if status == 0:
        page = f"notebooks/{build.notebooks[0].stem}.html" if build.only else "index.html"
        print(f"built {os.path.relpath(build.html / page)}")
    return status


if __name__ == "__main__":
    sys.exit(main())
