"""Make a built site light: small pictures that open at full size, downloads with small ones. A step of tools.build."""

from __future__ import annotations

import base64
import io
import os
import re
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import nbformat
import numpy as np
from bs4 import BeautifulSoup, Tag
from PIL import Image

COLUMN_PX = 700  # of text; what is no wider can be seen as it is
WIDTH_PX = 2 * COLUMN_PX  # screens have up to two pixels per CSS pixel
LEAST_BYTES = 60_000  # files that are smaller stay as they are
LOSSLESS_BYTES = 200_000  # PNGs of flat colours and drawings need no more, and lose nothing
QUALITY = 90
EFFORT = 50  # of lossless WebP: more takes longer and gains two in a hundred
DOWNLOAD_QUALITY = 85  # of JPEG, which every reader of notebooks shows; WebP is not among what Jupyter knows
COLOURS = 256  # of a palette
NEAR_RMSE = 1.5  # of 255: a palette that comes so near to a picture shows drawings more sharply than JPEG
KINDS = (".png", ".jpg", ".jpeg")
CLASS = "bl-full"
_TAG = r"""\b(?:[^>"']|"[^"]*"|'[^']*')*>"""
_IMAGE = re.compile(rf"(?P<link><a{_TAG}\s*)?(?P<image><img{_TAG})")


def slim(site: Path) -> None:
    """Take out of a built site what readers do not need to load; its pages are rewritten."""
    put_thumbnails(site)
    for path in (site / "_sources").rglob("*.ipynb"):  # for download
        lighten(path)
    for path in (site / "_static").rglob("*.map"):  # for those who develop the theme
        path.unlink()


def lighten(path: Path) -> None:
    """Put small pictures into an executed notebook in place of its own; all else stays."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if png := output.get("data", {}).pop("image/png", None):
                kind, picture = small_picture(base64.b64decode(png))
                output["data"][kind] = base64.b64encode(picture).decode()
    nbformat.write(notebook, path)


def small_picture(png: bytes) -> tuple[str, bytes]:
    """Write a picture in few bytes, no wider than `WIDTH_PX`.

    Parameters
    ----------
    png : bytes
        PNG file.

    Returns
    -------
    tuple of str and bytes
        Its type, ``image/png`` or ``image/jpeg``, and the file.

    Notes
    -----
    A palette is tried first, since JPEG blurs text and thin lines; photographs have too many colours for one.
    """
    with Image.open(io.BytesIO(png)) as opened:
        picture = _on_white(opened)
    narrow = picture.width <= WIDTH_PX
    if not narrow:
        picture = picture.resize((WIDTH_PX, max(1, round(picture.height * WIDTH_PX / picture.width))), Image.LANCZOS)
    few = picture.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    off = np.asarray(few.convert("RGB"), float) - np.asarray(picture, float)  # (H, W, 3)
    if np.sqrt((off**2).mean()) > NEAR_RMSE:
        return "image/jpeg", _written(picture, "JPEG", quality=DOWNLOAD_QUALITY, subsampling=0, optimize=True)
    drawn = _written(few, "PNG", optimize=True)
    return "image/png", min(drawn, png, key=len) if narrow else drawn


def _on_white(opened: Image.Image) -> Image.Image:
    if not opened.has_transparency_data:
        return opened.convert("RGB")
    ground = Image.new("RGBA", opened.size, "white")
    return Image.alpha_composite(ground, opened.convert("RGBA")).convert("RGB")


def _written(picture: Image.Image, kind: str, **given: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **given)
    return file.getvalue()


def put_thumbnails(site: Path) -> None:
    """Make every large picture a link to itself, and show a thumbnail where the picture's file is large as well."""
    shown: dict[Path, tuple[Path, Path, tuple[int, int]] | None] = {}
    for page in sorted(site.rglob("*.html")):

        def smaller(found: re.Match[str], page: Path = page) -> str:
            image = BeautifulSoup(found["image"], "html.parser").img
            url = urlsplit(image.get("src", ""))
            large = Path(os.path.normpath(page.parent / unquote(url.path)))
            done = "--ratio" in image.get("style", "")
            if done or url.scheme or url.netloc or large.suffix.lower() not in KINDS or not large.is_file():
                return found[0]
            if large not in shown:
                small = thumbnail(large)
                shown[large] = small and (small[0], lossless(large), small[1])
            if shown[large] is None:
                return found[0]
            thumb, full, size = shown[large]
            thumb, full = (quote(Path(os.path.relpath(one, page.parent)).as_posix()) for one in (thumb, full))
            return _linked(found["link"], image, thumb, full, size)

        before = page.read_text()
        after = _IMAGE.sub(smaller, before)
        if after != before:
            page.write_text(after)
    for large, files in shown.items():
        if files and large not in files:
            large.unlink()


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


def lossless(large: Path) -> Path:
    """Write a heavy PNG as WebP of the same pixels beside itself, if that is smaller, and say which file is to open."""
    if large.suffix.lower() != ".png" or large.stat().st_size <= LOSSLESS_BYTES:
        return large
    target = large.with_suffix(".webp")
    with Image.open(large) as opened:
        picture = opened.convert("RGBA" if opened.has_transparency_data else "RGB")
    picture.save(target, "WEBP", lossless=True, exact=True, quality=EFFORT, method=1)
    if target.stat().st_size < large.stat().st_size:
        return target
    target.unlink()
    return large


def _linked(start: str | None, image: Tag, thumb: str, full: str, size: tuple[int, int]) -> str:
    """Write a thumbnail within its link; `start` is the tag of a link that the page has already."""
    # A phone shows wide and large figures wider than itself, and scrolls them.
    ratio = f"--ratio: {size[0] / size[1]:.3f}; --wide: {size[0]}"
    large, image["src"] = image["src"], thumb
    image["style"] = f"{image['style'].rstrip('; ')}; {ratio}" if image.get("style") else ratio
    # The browser keeps the place free until the picture is there.
    image.attrs.setdefault("width", str(size[0]))
    image.attrs.setdefault("height", str(size[1]))
    soup = BeautifulSoup(start or "<a>", "html.parser")
    if start is None or soup.a.get("href") == large:  # not a picture that leads elsewhere
        soup.a["href"] = full
        soup.a["class"] = [*soup.a.get("class", []), CLASS]
        soup.a["title"] = "Open at full size"
    return str(soup.a).removesuffix("</a>") + str(image) + ("" if start else "</a>")
