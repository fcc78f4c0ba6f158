"""A warning of Sphinx stops the build, and then there is no site to publish."""

from __future__ import annotations

import pytest

from tools import build
from tools.layout import Build


@pytest.fixture
def staged(project):
    """Give a build whose staged tree is one page."""
    chosen = Build("smoke", "phantom", root=project)
    (chosen.site / "book").mkdir(parents=True)
    (chosen.site / "book" / "index.md").write_text("# A book\n\n$x^2$\n")
    (chosen.site / "_toc.yml").write_text("format: jb-book\nroot: book/index\n")
    (chosen.site / "_config.yml").write_text("title: A book\nonly_build_toc_files: true\n")
    return chosen


def test_reference_that_leads_nowhere_fails_and_leaves_no_old_site(staged):
    staged.html.mkdir()
    (staged.site / "book" / "index.md").write_text("# A book\n\n{ref}`nowhere`\n")
    assert build.build_html(staged) != 0
    assert not staged.html.exists()


def test_nothing_staged_is_said(project):
    with pytest.raises(ValueError, match=r"nothing staged there; run python -m tools\.stage first"):
        build.build_html(Build("smoke", "phantom", root=project))


def test_pages_lose_what_readers_stumble_over():
    thebe = (
        '<script>const THEBE_JS_URL = "https://x"; const y</script>\n<script async src="s/sphinx-thebe.js"></script>'
    )
    assert build.mended(f"<p>a</p>\n{thebe}<script>let z</script>") == "<p>a</p><script>let z</script>"
    assert build.mended('<div role="doc-biblioentry">') == '<div role="listitem">'
    assert build.mended('m = localStorage.getItem("mode") || "";') == 'm = localStorage.getItem("mode") || "auto";'


def test_pages_lose_what_is_not_valid():
    folded = (
        '<summary aria-label="Toggle hidden content">\n<p class="collapsed admonition-title">Show a</p>\n'
        '<p class="expanded admonition-title">Hide a</p>\n</summary>'
    )
    assert build.mended(folded) == (
        '<summary><span class="collapsed admonition-title">Show a</span>'
        '<span class="expanded admonition-title">Hide a</span></summary>'
    )
    assert build.mended('<section id="exercise-content">') == '<section class="exercise-content">'
    assert build.mended('<section id="content">') == '<section id="content">'
    led_on = build.mended('<meta http-equiv="Refresh" content="0; url=book/index.html" />\n')
    assert led_on.startswith('<!DOCTYPE html>\n<html lang="en">')
    assert led_on.count("book/index.html") == 2


def test_buttons_are_called_what_is_seen_on_them():
    field = '<button class="btn search-button-field x" title="Search" aria-label="Search" data-bs-placement="bottom">'
    assert build.mended(field) == '<button class="btn search-button-field x" data-bs-placement="bottom">'
    icon = '<i class="theme-switch fa-solid fa-moon  fa-lg" data-mode="dark"  title="Dark"></i>'
    assert build.mended(icon) == '<i class="theme-switch fa-solid fa-moon  fa-lg" data-mode="dark"></i>'
    other = '<button class="btn search-button" title="Search" aria-label="Search">'
    assert build.mended(other) == other


def test_search_quotes_nothing_from_the_file_system():
    script = '<script src="_static/searchtools.js?v=1"></script>'
    assert build.mended(script).startswith(f'{script}<script>if (location.protocol === "file:") DOCUMENTATION_OPTIONS')
