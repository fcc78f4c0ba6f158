"""Large figures become small ones that lead to the large ones; what is small or leads elsewhere stays."""

from __future__ import annotations

import base64
import io
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
    assert first["style"] == "width: 80%; --ratio: 5.000; --wide: 1500"
    assert first["src"] == "../_images/noise.thumb.webp"
    assert (first["width"], first["height"]) == ("1500", "300")
    assert first.parent["href"] == "../_images/noise.webp"
    assert first.parent["title"] == "Open at full size"
    assert drawing.parent["class"] == ["reference", "internal", slim.CLASS]
    assert drawing.parent["href"] == "../_images/drawing.png"
    assert badge.parent["href"] == "https://example.org"
    assert slim.CLASS not in badge.parent.get("class", [])
    assert [icon["src"], icon.parent.name] == ["../_images/icon.png", "article"]
    assert elsewhere["src"] == "https://example.org/a.png"
    assert page.read_text().count("</a>") == 3
    assert 'viewBox="0 0 1 1"' in page.read_text()
    with Image.open(io.BytesIO(originals.pop("noise.png"))) as before:
        np.testing.assert_array_equal(pixels(site / "_images" / "noise.webp", before.size), np.asarray(before))
    assert not (site / "_images" / "noise.png").exists()
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


def png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def drawing(size: tuple[int, int]) -> Image.Image:
    """Give a plot of three lines on white."""
    plot = np.full((size[1], size[0], 3), 255, np.uint8)
    for k, colour in enumerate([(122, 46, 92), (53, 97, 142), (213, 94, 0)]):
        plot[20 + 30 * k : 23 + 30 * k] = colour
    return Image.fromarray(plot)


def test_sources_for_download_keep_text_and_pictures(site):
    with Image.open(site / "_images" / "noise.png") as opened:
        photograph = opened.copy()
    outputs = [
        nbformat.v4.new_output("display_data", {"image/png": base64.b64encode(png(one)).decode(), "text/plain": "<F>"})
        for one in (photograph, drawing((900, 400)))
    ]
    outputs.append(nbformat.v4.new_output("stream", text="12 cells\n"))
    cells = [nbformat.v4.new_markdown_cell("# Cells"), nbformat.v4.new_code_cell("f()", outputs=outputs)]
    path = site / "_sources" / "notebooks" / "01.ipynb"
    path.parent.mkdir(parents=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    (site / "_static").mkdir()
    (site / "_static" / "theme.css.map").write_text("{}")
    heavy = path.stat().st_size
    slim.slim(site)
    title, code = nbformat.read(path, as_version=4).cells
    assert title.source == "# Cells"
    first, second, text = code.outputs
    assert set(first.data) == {"image/jpeg", "text/plain"}
    assert set(second.data) == {"image/png", "text/plain"}
    shown = Image.open(io.BytesIO(base64.b64decode(first.data["image/jpeg"])))
    assert shown.size == (slim.WIDTH_PX, 280)
    small = np.asarray(photograph.resize(shown.size, Image.LANCZOS), float)
    assert np.abs(np.asarray(shown, float) - small).mean() < 5
    drawn = Image.open(io.BytesIO(base64.b64decode(second.data["image/png"]))).convert("RGB")
    np.testing.assert_array_equal(np.asarray(drawn), np.asarray(drawing((900, 400))))
    assert text.text == "12 cells\n"
    assert path.stat().st_size < heavy / 2
    assert not list((site / "_static").iterdir())


def test_wide_drawings_become_narrower_and_stay_sharp():
    kind, small = slim.small_picture(png(drawing((2800, 400))))
    assert kind == "image/png"
    with Image.open(io.BytesIO(small)) as opened:
        assert opened.size == (slim.WIDTH_PX, 200)
        shown = np.asarray(opened.convert("RGB"), float)
    wanted = np.asarray(drawing((2800, 400)).resize((slim.WIDTH_PX, 200), Image.LANCZOS), float)
    assert np.sqrt(((shown - wanted) ** 2).mean()) <= slim.NEAR_RMSE


def test_no_picture_grows_and_what_is_clear_becomes_white():
    tiny = png(Image.new("RGB", (3, 3), "red"))
    assert len(slim.small_picture(tiny)[1]) <= len(tiny)
    _, clear = slim.small_picture(png(Image.new("RGBA", (slim.WIDTH_PX + 200, 40), (0, 0, 0, 0))))
    with Image.open(io.BytesIO(clear)) as opened:
        assert opened.convert("RGB").getextrema() == ((255, 255),) * 3
