"""Make a built site light: small pictures that open at full size, sources without pictures. A step of tools.build."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import nbformat
from bs4 import BeautifulSoup, Tag
from PIL import Image

from .refresh import text_only

COLUMN_PX = 700  # of text; what is no wider can be seen as it is
WIDTH_PX = 2 * COLUMN_PX  # screens have up to two pixels per CSS pixel
LEAST_BYTES = 60_000  # files that are smaller stay as they are
LOSSLESS_BYTES = 200_000  # PNGs of flat colours and drawings need no more, and lose nothing
QUALITY = 90
KINDS = (".png", ".jpg", ".jpeg")
CLASS = "bl-full"
_TAG = r"""\b(?:[^>"']|"[^"]*"|'[^']*')*>"""
_IMAGE = re.compile(rf"(?P<link><a{_TAG}\s*)?(?P<image><img{_TAG})")


def slim(site: Path) -> None:
    """Take out of a built site what readers do not need to load; its pages are rewritten."""
    put_thumbnails(site)
    for path in (site / "_sources").rglob("*.ipynb"):  # for download: like the notebooks in git, without pictures
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs = text_only(cell.outputs)
        nbformat.write(notebook, path)
    for path in (site / "_static").rglob("*.map"):  # for those who develop the theme
        path.unlink()


def put_thumbnails(site: Path) -> None:
    """Make every large picture a link to itself, and show a thumbnail where the picture's file is large as well."""
    shown: dict[Path, tuple[Path, tuple[int, int]] | None] = {}
    for page in sorted(site.rglob("*.html")):

        def smaller(found: re.Match[str], page: Path = page) -> str:
            image = BeautifulSoup(found["image"], "html.parser").img
            url = urlsplit(image.get("src", ""))
            large = Path(os.path.normpath(page.parent / unquote(url.path)))
            done = "--ratio" in image.get("style", "")
            if done or url.scheme or url.netloc or large.suffix.lower() not in KINDS or not large.is_file():
                return found[0]
            if large not in shown:
                shown[large] = thumbnail(large)
            if shown[large] is None:
                return found[0]
            path, size = shown[large]
            return _linked(found["link"], image, quote(Path(os.path.relpath(path, page.parent)).as_posix()), size)

        before = page.read_text()
        after = _IMAGE.sub(smaller, before)
        if after != before:
            page.write_text(after)


def thumbnail(large: Path) -> tuple[Path, tuple[int, int]] | None:
    """Write a picture as WebP beside itself, no wider than `WIDTH_PX`: lossless if it is a small PNG.

    Parameters
    ----------
    large : Path
        PNG or JPEG.

    Returns
    -------
    tuple of Path and (int, int)
        What to show, the picture itself if its file is small; width and height of the large picture. None if the
        picture is no wider than the column either.
    """
    with Image.open(large) as opened:
        size = opened.size
        if large.stat().st_size < LEAST_BYTES:
            return (large, size) if size[0] > COLUMN_PX else None
        picture = opened.convert("RGBA" if opened.has_transparency_data else "RGB")
    target = large.with_suffix(".thumb.webp")
    drawn = large.suffix.lower() == ".png" and large.stat().st_size <= LOSSLESS_BYTES
    if picture.width > WIDTH_PX:
        picture = picture.resize((WIDTH_PX, max(1, round(picture.height * WIDTH_PX / picture.width))), Image.LANCZOS)
    picture.save(target, "WEBP", lossless=drawn, quality=QUALITY)
    if target.stat().st_size < large.stat().st_size:
        return target, size
    target.unlink()
    return large, size


def _linked(start: str | None, image: Tag, thumb: str, size: tuple[int, int]) -> str:
    """Write a thumbnail within its link; `start` is the tag of a link that the page has already."""
    ratio = f"--ratio: {size[0] / size[1]:.3f}"  # a phone shows wide figures wider than itself, and scrolls them
    large, image["src"] = image["src"], thumb
    image["style"] = f"{image['style'].rstrip('; ')}; {ratio}" if image.get("style") else ratio
    # The browser keeps the place free until the picture is there.
    image.attrs.setdefault("width", str(size[0]))
    image.attrs.setdefault("height", str(size[1]))
    soup = BeautifulSoup(start or "<a>", "html.parser")
    if start is None:
        soup.a["href"] = large
    if soup.a.get("href") == large:  # not a picture that leads elsewhere
        soup.a["class"] = [*soup.a.get("class", []), CLASS]
        soup.a["title"] = "Open at full size"
    return str(soup.a).removesuffix("</a>") + str(image) + ("" if start else "</a>")
