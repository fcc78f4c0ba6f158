"""The book as one page for printing: pages in the order of the contents, links and pictures still lead somewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from tools import pdf

HEAD = '<html><head><title>Book</title><link rel="stylesheet" href="../_static/a.css"></head><body>'
SIDEBAR = '<nav class="bd-links"><a href="../notebooks/01.html">1</a><a href="https://x.org">out</a></nav>'


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Give a site of two pages that link to each other."""
    for folder in ("book", "notebooks"):
        (tmp_path / folder).mkdir()
    (tmp_path / "index.html").write_text("")
    first = (
        '<article class="x"><h1 id="top">A</h1><a href="../notebooks/01.html#end">on</a><script>1</script></article>'
    )
    second = (
        '<article><p id="end">B</p><a href="../book/index.html#top">back</a><a href="../b.png"><img src="../a.png"></a>'
        '<details>c</details><details class="sd-card how-made" id="x">much the same</details>'
        '<div class="solution dropdown toggle-hidden">d</div>'
        "<section><h2>E</h2><section><h3>F</h3><p>f</p><p>g</p></section></section><h2>H</h2><pre>h</pre></article>"
    )
    (tmp_path / "book" / "index.html").write_text(f"{HEAD}{SIDEBAR}{first}</body></html>")
    (tmp_path / "notebooks" / "01.html").write_text(f"{HEAD}{second}</body></html>")
    return tmp_path


def test_links_lead_within_the_file_and_nothing_is_folded(site):
    whole = BeautifulSoup(pdf.combined(site), "html.parser")
    assert [article["id"] for article in whole.select("article")] == ["book-index--", "notebooks-01--"]
    for link in whole.select("article a"):
        assert whole.find(id=link["href"].lstrip("#")) is not None
    assert whole.select_one("article:nth-of-type(2) a")["href"] == "#book-index--top"
    assert whole.img["src"] == "a.png"
    assert whole.img.parent.name == "article"  # a figure at full size is not in the file
    assert whole.select_one("link")["href"] == "_static/a.css"
    assert whole.select_one("details").has_attr("open")
    assert whole.select_one(".solution")["class"] == ["solution"]
    assert whole.select("article script") == []
    assert "much the same" not in whole.get_text()


def test_a_heading_stays_with_the_paragraph_below_it(site):
    whole = BeautifulSoup(pdf.combined(site), "html.parser")
    assert [kept.get_text() for kept in whole.select(".kept")] == ["Ff"]
    assert [h.get_text() for h in whole.select("h2")] == ["E", "H"]
    assert "gH" in whole.select("article")[1].get_text(), "everything is still there, in its order"


def test_no_book_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="was the book built"):
        pdf.pages(tmp_path)
    assert pdf.main([str(tmp_path), str(tmp_path / "a.pdf")]) == 2
