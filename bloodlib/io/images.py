"""Read and write pictures, refusing what would silently become something else."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PureWindowsPath

import cv2
import numpy as np
from PIL import ExifTags, Image

from .._files import replacing

MOST_PIXELS = 25_000_000  # of one image, so that reading takes less than 1 GiB: a mask takes up to 40 bytes a pixel
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
_BITS_PER_SAMPLE = 258
_GREY = {"1": "black and white", "L": "grayscale", "LA": "grayscale with alpha"}
_TO_RGB = "Image.open(old).convert('RGB').save(new) of Pillow does it"


class DataWarning(UserWarning):
    """Something in a data file that was worked around, and that its owner should look at."""


class LabelWarning(DataWarning):
    """A mask that can be read, but then most likely says something else than was meant."""


def stem(file_name: str) -> str:
    """Give the name of a smear from that of its file: no folder, written in whatever system, and no ending.

    Examples
    --------
    >>> stem("images\\\\a.tile.png"), stem("images/a.tile.png")
    ('a.tile', 'a.tile')
    """
    return unicodedata.normalize("NFC", PureWindowsPath(file_name).stem)  # macOS hands names on decomposed


def name_of(path: Path) -> str:
    """Give the name of a smear from the path of its file, in which this system's characters mean themselves.

    Examples
    --------
    >>> name_of(Path("images", "a:1.png"))
    'a:1'
    """
    return unicodedata.normalize("NFC", path.stem)


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Image.Image]:
    """Open an image with Pillow; whatever it cannot read becomes one clear ValueError."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file; is the path, or its ending, misspelt?")
    if not path.stat().st_size:
        raise ValueError(f"{path}: the file is empty (0 bytes); copy or export it again")
    try:
        with Image.open(path) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise ValueError(
                    f"{path}: is {picture.width}×{picture.height} px; allowed are {MOST_PIXELS:,} px in all, so cut a "
                    "whole slide into fields of view"
                )
            if getattr(picture, "n_frames", 1) > 1:
                raise ValueError(f"{path}: holds {picture.n_frames} pages, needed is one picture; save each by itself")
            yield picture
    except (FileNotFoundError, PermissionError, MemoryError):
        raise
    except Exception as error:  # Pillow's plugins raise OSError, SyntaxError, EOFError, struct.error and more
        if isinstance(error, ValueError) and str(error).startswith(str(path)):
            raise
        raise ValueError(
            f"{path}: cannot be read as an image ({error}); allowed are whole {', '.join(SUFFIXES)} files, "
            "so was it cut short, or is it no image?"
        ) from error


def image_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Give (rows, columns) from the header alone; raise as `read_image` does for what it would refuse."""
    with opened(path) as picture:
        _refuse(path, picture)
        return picture.height, picture.width


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """Read an 8-bit colour image.

    Parameters
    ----------
    path : path
        PNG, JPEG, TIFF or BMP, RGB with 8 bits per channel; a palette is resolved to RGB.

    Returns
    -------
    uint8 (H, W, 3)
        RGB.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file; if it is cut short or no image; if it is grayscale, has an alpha
        channel, 16 bits per channel or another colour model; if its EXIF data say that it is to be
        turned. None of these is converted silently: what alpha hides, what 16 bits mean and whether the
        cells were outlined on the turned picture only their owner knows, and stain is colour.
    """
    with opened(path) as picture:
        _refuse(path, picture)
        return np.array(picture.convert("RGB"))


def _refuse(path: str | os.PathLike[str], picture: Image.Image) -> None:
    refuse_turned(path, picture)
    mode = picture.mode
    if mode == "P":
        if "transparency" not in picture.info:
            return
        mode = "palette with transparency"
    elif mode == "RGB" and bits(picture) == 8:
        return
    if mode in _GREY or mode.startswith(("I", "F")):
        found = _GREY.get(mode, f"grayscale of {bits(picture)} bits")
        fix = f"take the colour original; if there is none, convert it yourself ({_TO_RGB})"
    elif mode == "RGB":
        found, fix = f"RGB with {bits(picture)} bits per channel", "scale it to 0..255 and save it with 8"
    elif mode in ("RGBA", "palette with transparency"):
        found = "RGBA (RGB with an alpha channel)" if mode == "RGBA" else mode
        fix = f"save it without transparency ({_TO_RGB})"
    else:
        found, fix = f"of colour mode {mode}", f"save it as RGB ({_TO_RGB})"
    raise ValueError(f"{path}: the image is {found}, needed is RGB with 8 bits per channel; {fix}")


def refuse_turned(path: str | os.PathLike[str], picture: Image.Image) -> None:
    """Refuse, by ValueError, a picture whose EXIF data or TIFF tags say that it is to be turned or mirrored."""
    orientation = _orientation(picture)
    if orientation != 1:
        raise ValueError(
            f"{path}: its EXIF Orientation is {orientation}, so that viewers turn it or mirror it while its pixels lie "
            "otherwise; needed is 1, so save it as it is seen (PIL.ImageOps.exif_transpose(Image.open(old)).save(new)) "
            "and look whether the cells were outlined on it as seen"
        )


def _orientation(picture: Image.Image) -> int:
    """Give how viewers turn a picture, 1..8; 1, as it is, where nothing legal is said."""
    try:
        exif = Image.Image.getexif(picture)  # the base class's, since PNG's own decodes the whole picture
    except Exception:  # of damaged EXIF data: SyntaxError, struct.error and more; viewers do not turn it then, either
        return 1
    said = exif.get(ExifTags.Base.Orientation)
    return said if said in range(2, 9) else 1


def bits(picture: Image.Image) -> int:
    """Give the bits per channel in the file, which Pillow hides of 16-bit RGB and of planar TIFF."""
    if picture.mode.startswith(("I;16",)):
        return 16
    if picture.mode in ("I", "F"):
        return 32
    raw = str(picture.tile[0][3]) if picture.tile else ""
    tags = getattr(picture, "tag_v2", {}).get(_BITS_PER_SAMPLE, 8)  # of TIFF: a number, or one for each channel
    return max(16 if ";16" in raw else 8, *(tags if isinstance(tags, tuple) else (tags,)))


def write_image(path: str | os.PathLike[str], image: np.ndarray) -> None:
    """Write an RGB image as PNG, whole or not at all.

    Parameters
    ----------
    path : path
        Ends in .png: a lossy file would not give back what was written.
    image : uint8 (H, W, 3)
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"{path}: the image is {image.dtype} {image.shape}, needed is uint8 (H, W, 3) RGB")
    write_png(path, image[..., ::-1])


def write_png(path: str | os.PathLike[str], array: np.ndarray) -> None:
    """Write a uint8 or uint16 array (H, W) or (H, W, 3 in BGR order) as PNG, whole or not at all."""
    if Path(path).suffix.lower() != ".png":
        raise ValueError(f"{path}: written is PNG, so the name must end in .png")
    if not array.size:
        raise ValueError(f"{path}: the array of shape {array.shape} has no pixel to write")
    done, encoded = cv2.imencode(".png", array)
    if not done:
        raise ValueError(f"{path}: an array of {array.dtype} {array.shape} cannot be written as PNG")
    with replacing(path) as beside:
        beside.write_bytes(encoded.tobytes())
