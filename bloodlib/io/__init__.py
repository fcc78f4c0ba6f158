"""Read and write smears with their masks: label images, colour masks, COCO, VOC boxes, folders."""

from __future__ import annotations

from .coco import CocoFile, read_coco, write_coco
from .folder import Finding, check_folder, read_folder, write_folder, write_smear
from .images import DataWarning, LabelWarning, read_image, write_image
from .labels import colours_to_instances, read_colours, read_instances, write_instances
from .splits import read_splits
from .voc import VocBoxes, read_voc, write_voc

__all__ = [
    "CocoFile",
    "DataWarning",
    "Finding",
    "LabelWarning",
    "VocBoxes",
    "check_folder",
    "colours_to_instances",
    "read_coco",
    "read_colours",
    "read_folder",
    "read_image",
    "read_instances",
    "read_splits",
    "read_voc",
    "write_coco",
    "write_folder",
    "write_image",
    "write_instances",
    "write_smear",
    "write_voc",
]
