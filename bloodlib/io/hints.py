"""What to do with annotation and picture formats that are not read here."""

from __future__ import annotations

from pathlib import Path

from .._files import read_json
from .images import SUFFIXES

_SLIDES = "export the fields of view as PNG or TIFF with 8 bits per channel (QuPath, Fiji or `vips` do it)"
_OUTLINES = "it holds outlines, so export them as COCO with segmentation"

# Ending of a file -> what it usually is, and the way into a format that is read.
_HINTS = {
    ".npy": ("a NumPy array", "bloodlib.io.write_instances('name.png', numpy.load(file)) writes a label image of it"),
    ".npz": ("NumPy arrays", "take out the label array; bloodlib.io.write_instances('name.png', labels) writes it"),
    ".mat": ("a MATLAB file", "scipy.io.loadmat reads it; bloodlib.io.write_instances('name.png', labels) writes it"),
    ".geojson": ("QuPath's outlines", "in QuPath, a script with LabeledImageServer exports label images"),
    ".roi": ("an ImageJ outline", "in Fiji, the plugin LOCI › ROI Map (or Labels of MorphoLibJ) makes label images"),
    ".zip": ("an archive, such as ImageJ's RoiSet", "unpack it; in Fiji, ROI Map makes label images of outlines"),
    ".xml": ("boxes, as Pascal VOC has them", "a box does not outline a cell: see bloodlib.derive.derive_instances"),
    ".txt": ("boxes, as YOLO has them", "a box does not outline a cell; outlines can be exported as COCO instead"),
    ".csv": ("a table of boxes or points", "it outlines no cell: see bloodlib.derive.derive_instances for points"),
    ".json": ("LabelMe, VIA or CVAT", f"{_OUTLINES} and call the file coco.json, beside images/"),
    ".svs": ("a whole slide", _SLIDES),
    ".ndpi": ("a whole slide", _SLIDES),
    ".czi": ("a microscope's own file", _SLIDES),
    ".nd2": ("a microscope's own file", _SLIDES),
    ".lif": ("a microscope's own file", _SLIDES),
    ".gif": ("a GIF", "save it as PNG: Image.open(old).convert('RGB').save(new) of Pillow"),
    ".webp": ("a WebP picture", "save it as PNG: Image.open(old).convert('RGB').save(new) of Pillow"),
    ".heic": ("a telephone's HEIC picture", "save it as PNG or JPEG on the telephone, or with ImageMagick"),
    ".dcm": ("DICOM", "pydicom reads its pixel_array; save that as RGB PNG"),
}


def how_to_convert(path: Path) -> str:
    """Say what a file that is not read seems to be, and how it becomes one that is.

    Examples
    --------
    >>> how_to_convert(Path("a.gif"))
    "a GIF, which is not read; save it as PNG: Image.open(old).convert('RGB').save(new) of Pillow"
    """
    what, way = _HINTS.get(path.suffix.lower(), ("", ""))
    if not what:
        return f"its ending is none of {', '.join(SUFFIXES)}; convert it if it is needed"
    return f"{what}, which is not read; {way}"


def _is_coco(path: Path) -> bool:
    try:
        content = read_json(path)
    except (ValueError, OSError):
        return False
    return isinstance(content, dict) and {"images", "annotations", "categories"} <= set(content)


def foreign_annotations(folder: Path) -> str:
    """Look for annotations of other kinds in a folder without masks, and say how to convert them; else ""."""
    for path in sorted(folder.glob("*")) + sorted(folder.glob("*/*")):
        if path.suffix.lower() == ".json" and _is_coco(path):
            return f"; {path.relative_to(folder)} is a COCO file: copy it to coco.json, beside images/"
        if path.suffix.lower() in _HINTS and path.is_file() and path.name != "splits.json":
            return f"; {path.relative_to(folder)} seems to be {how_to_convert(path)}"
    return ""
