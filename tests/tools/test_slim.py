"""Large figures become small ones that lead to the large ones; what is small or leads elsewhere stays."""

from __future__ import annotations

from pathlib import Path

import nbformat
import numpy as np
import pytest
from bs4 import BeautifulSoup
from PIL import Image

from tools import slim
from tools.check import page_bytes

PAGE = """<html><body><article><svg viewBox="0 0 1 1"></svg>
<img src="../_images/noise.png" alt='Cells, a &gt; b, "quoted"' style="width: 80%">
<a class="reference internal" href="../_images/drawing.png"><img alt="A drawing" src="../_images/drawing.png"></a>
<a href="https://example.org"><img alt="A badge" src="../_images/noise.png"></a>
<img alt="An icon" src="../_images/icon.png"><img alt="Not here" src="https://example.org/a.png">
</article></body></html>"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Give a site of one page with a photograph-like picture, a large drawing and an icon."""
    images = tmp_path / "_images"
    images.mkdir()
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (3, 16, 3), np.uint8)).resize((1500, 300), Image.BICUBIC)
    noise = np.asarray(coarse, int) + rng.integers(-4, 5, (300, 1500, 1))
    Image.fromarray(noise.clip(0, 255).astype(np.uint8)).save(images / "noise.png", compress_level=1)
    blocks = np.kron(rng.integers(0, 256, (50, 350, 3)), np.ones((4, 4, 1))).astype(np.uint8)
    Image.fromarray(blocks).save(images / "drawing.png")
    Image.new("RGB", (20, 20), "red").save(images / "icon.png")
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "01.html").write_text(PAGE)
    return tmp_path


def test_large_figures_become_links_to_themselves(site):
    page = site / "notebooks" / "01.html"
    heavy = page_bytes(page)
    originals = {path.name: path.read_bytes() for path in (site / "_images").iterdir()}
    slim.put_thumbnails(site)
    soup = BeautifulSoup(page.read_text(), "html.parser")
    first, drawing, badge, icon, elsewhere = soup.find_all("img")
    assert first["alt"] == 'Cells, a > b, "quoted"'
    assert first["style"] == "width: 80%; --ratio: 5.000"
    assert first["src"] == "../_images/noise.thumb.webp"
    assert (first["width"], first["height"]) == ("1500", "300")
    assert first.parent["href"] == "../_images/noise.png"
    assert first.parent["title"] == "Open at full size"
    assert drawing.parent["class"] == ["reference", "internal", slim.CLASS]
    assert drawing.parent["href"] == "../_images/drawing.png"
    assert badge.parent["href"] == "https://example.org"
    assert slim.CLASS not in badge.parent.get("class", [])
    assert [icon["src"], icon.parent.name] == ["../_images/icon.png", "article"]
    assert elsewhere["src"] == "https://example.org/a.png"
    assert page.read_text().count("</a>") == 3
    assert 'viewBox="0 0 1 1"' in page.read_text()
    assert all((site / "_images" / name).read_bytes() == content for name, content in originals.items())
    page_bytes.__globals__["_soup"].cache_clear()
    assert page_bytes(page) < heavy / 2


def pixels(path: Path, size: tuple[int, int]) -> np.ndarray:
    """The pixels of a picture of that size, which a larger one is brought to."""
    with Image.open(path) as opened:
        return np.asarray(opened.resize(size, Image.LANCZOS) if opened.size != size else opened, float)


def test_drawings_lose_nothing_and_photographs_little(site):
    images = site / "_images"
    path, size = slim.thumbnail(images / "drawing.png")
    assert size == (1400, 200)
    np.testing.assert_array_equal(pixels(path, size), pixels(images / "drawing.png", size))
    path, size = slim.thumbnail(images / "noise.png")
    assert size == (1500, 300)
    small = (slim.WIDTH_PX, 280)
    with Image.open(path) as opened:
        assert opened.size == small
    assert np.abs(pixels(path, small) - pixels(images / "noise.png", small)).mean() < 3
    assert slim.thumbnail(images / "icon.png") is None
    plain = images / "plain.png"
    Image.new("RGB", (900, 300), "red").save(plain)
    assert slim.thumbnail(plain) == (plain, (900, 300))
    assert not (images / "plain.thumb.webp").exists()


def test_once_more_gives_the_same_page(site):
    page = site / "notebooks" / "01.html"
    slim.put_thumbnails(site)
    once = page.read_text()
    slim.put_thumbnails(site)
    assert page.read_text() == once


def test_sources_for_download_keep_text_and_lose_pictures(site):
    outputs = [
        nbformat.v4.new_output("display_data", {"image/png": "AAAA", "text/plain": "<Figure>"}),
        nbformat.v4.new_output("stream", text="12 cells\n"),
    ]
    cells = [nbformat.v4.new_markdown_cell("# Cells"), nbformat.v4.new_code_cell("f()", outputs=outputs)]
    path = site / "_sources" / "notebooks" / "01.ipynb"
    path.parent.mkdir(parents=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    (site / "_static").mkdir()
    (site / "_static" / "theme.css.map").write_text("{}")
    slim.slim(site)
    title, code = nbformat.read(path, as_version=4).cells
    assert title.source == "# Cells"
    assert code.outputs[0].data == {"text/plain": "<Figure>"}
    assert code.outputs[1].text == "12 cells\n"
    assert not list((site / "_static").iterdir())
