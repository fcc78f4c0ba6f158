"""Each check of the built site passes on a sound page and fails on a broken one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import check

PAGE = """<html><head><link rel="stylesheet" href="../_static/site.css"></head><body><article>
<h1 id="top">Cells</h1><a href="#top">up</a> <a href="../index.html">home</a> <a href="https://example.org">out</a>
<details class="run-card"><pre>papermill …</pre></details>
<div class="cell_output"><img src="../a.png" alt="Forty cells, outlined in violet."></div>
<p>Text.</p></article><script src="../_static/site.js"></script></body></html>"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Give a small built site with nothing wrong."""
    for name in ("_static/site.css", "_static/site.js", "a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "01.html").write_text(PAGE)
    (tmp_path / "index.html").write_text('<body><a href="notebooks/01.html#top">one</a></body>')
    return tmp_path


def test_sound_site_passes(site):
    assert check.check(site, root=Path("/nowhere/at/all")) == []
    assert check.main([str(site)]) == 0


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('src="../_static/site.js"', 'src="https://cdn.example/x.js"', "<script> loads https://cdn.example/x.js"),
        ('src="../_static/site.js"', 'src="//cdn.example/x.js"', "from another host"),
        ('href="../_static/site.css"', 'href="https://cdn.example/x.css"', "<link> loads"),
        ("<p>Text.</p>", '<iframe src="https://video.example/1"></iframe>', "<iframe> loads"),
        ("<p>Text.</p>", "<style>@import 'https://fonts.example/f.css'</style>", "a style loads"),
        ("<p>Text.</p>", '<p style="background:url(https://pics.example/p.png)">Text.</p>', "a style loads"),
        ("<p>Text.</p>", "<script>import('https://cdn.example/m.js')</script>", "a script loads"),
        ("Forty cells, outlined in violet.", "", "a.png has no alt text"),
        ("Forty cells, outlined in violet.", "../_images/abc123.png", "file name for alt text"),
        ("Forty cells, outlined in violet.", "cells.jpg", "file name for alt text"),
        ("Forty cells, outlined in violet.", "a figure", "says too little"),
        ("<p>Text.</p>", "<pre>Traceback (most recent call last): …</pre>", "a traceback"),
        ("<p>Text.</p>", '<p id="papermill-error-cell">papermill-error</p>', "papermill's error notice"),
        ("<p>Text.</p>", "<p>see {numref}`fig-1`</p>", "unresolved reference"),
        ("<p>Text.</p>", "<p>of {{ quoted.x }} cells</p>", "unresolved reference"),
        ("<p>Text.</p>", '<span class="problematic">|x|</span>', "unresolved markup"),
        ("<p>Text.</p>", "<pre>/nowhere/at/all/bloodlib/x.py:3: UserWarning</pre>", "of the machine it was built on"),
        ('class="run-card"', 'class="other"', "no run card"),
        ('href="#top"', 'href="#bottom"', "no such place"),
        ('href="../index.html"', 'href="../gone.html"', "leads nowhere"),
        ('src="../a.png"', 'src="../gone.png"', "leads nowhere"),
    ],
)
def test_each_check_can_fail(site, old, new, message):
    page = site / "notebooks" / "01.html"
    assert old in PAGE
    page.write_text(PAGE.replace(old, new))
    problems = check.check(site, root=Path("/nowhere/at/all"))
    assert any(message in problem and problem.startswith("notebooks/01.html: ") for problem in problems), problems


def test_style_sheet_from_another_host(site):
    (site / "_static" / "site.css").write_text("@font-face {src: url('https://fonts.example/f.woff2')}")
    assert "loads https://fonts.example/f.woff2 from another host" in check.check(site)[0]


def test_size_budget(site):
    (site / "a.png").write_bytes(b"0" * 20_000)
    assert "0.01 MB" in check.check(site, budget_mb=0.01)[0]


def test_page_budget_counts_pictures_once_and_no_shared_scripts(site, capsys):
    page = site / "notebooks" / "01.html"
    (site / "b.webp").write_bytes(b"0" * 1_200_000)
    (site / "_static" / "site.js").write_bytes(b"0" * 3_000_000)
    picture = '<img src="../b.webp" alt="Forty cells, painted."> '
    page.write_text(PAGE.replace("<p>Text.</p>", 2 * picture))
    assert check.page_bytes(page) == 1_200_000 + page.stat().st_size
    assert check.main([str(site)]) == 0
    assert "at most 1.20 MB to load one (notebooks/01.html)" in capsys.readouterr().out
    (site / "a.png").write_bytes(b"0" * 900_000)
    assert check.check(site) == ["notebooks/01.html: 2.10 MB with its pictures, allowed are 2 MB"]
    (site / "a.png").write_bytes(b"")
    (site / "c.webp").write_bytes(b"0" * 900_000)
    page.write_text(PAGE.replace("<p>Text.</p>", picture.replace("<img", '<img srcset="../c.webp 2x"')))
    check._soup.cache_clear()
    assert "2.10 MB" in check.check(site)[0]


def test_site_that_was_not_built(tmp_path, capsys):
    assert check.main([str(tmp_path)]) == 1
    assert "was the book built" in capsys.readouterr().err


@pytest.mark.parametrize(("shown", "problems"), [("../../home/ann/smears", 0), ("/home/ann/smears", 1)])
def test_a_folder_that_only_ends_like_the_home_is_no_path_of_the_machine(site, monkeypatch, shown, problems):
    (site / "notebooks" / "01.html").write_text(PAGE.replace("<p>Text.</p>", f"<p>{shown}</p>"))
    monkeypatch.setattr(Path, "home", lambda: Path("/home/ann"))
    assert len(check.check(site, root=Path("/nowhere/at/all"))) == problems
