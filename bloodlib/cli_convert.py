"""`bloodlib data convert`: any set that is read as one folder, begun anew where a call was stopped."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from bloodlib._files import alone_in, is_vacant, read_json, write_json
from bloodlib.cli_commands import is_folder, load_set

_MARK = ".converting.json"  # in a folder that is not finished: of which set, and the names of its smears


def data_convert(chosen: argparse.Namespace) -> None:
    """Write a set as images, 16-bit label images and COCO, with its splits, and VOC boxes if asked for."""
    from tqdm import tqdm

    from bloodlib.datasets import named_splits
    from bloodlib.io import read_splits, write_folder, write_voc

    smears, folder = load_set(chosen, "all"), chosen.output
    splits = read_splits(chosen.set) if is_folder(chosen.set) else named_splits(chosen.set)
    parts = ["images", "instances", "coco.json", *["splits.json"] * bool(splits), *["annotations (VOC)"] * chosen.voc]
    files = ", ".join(parts)
    if chosen.dry_run:
        _begun(folder, smears.title)
        print(f"would write {len(smears)} smears to {folder}/: {files}")
        return
    with alone_in(folder, partial(_begun, folder, smears.title)) as before:
        _clear(folder, before)
        write_json(folder / _MARK, {"set": smears.title, "smears": list(smears.names)})
        written = write_folder(folder, tqdm(smears, unit="smear", leave=False), smears.class_names, splits)
        if chosen.voc:
            those = smears.select([k for k, name in enumerate(smears.names) if name in set(written)])
            for smear in tqdm(those, desc="boxes", unit="smear", leave=False):
                write_voc(folder / "annotations" / f"{smear.name}.xml", smear, smears.class_names)
        (folder / _MARK).unlink()
    print(f"{len(written)} smears in {folder}: {files}")


def _begun(folder: Path, title: str) -> list[str]:
    """Name the smears of a conversion of this set that was stopped; refuse a folder that holds anything else."""
    mark = folder / _MARK
    if not mark.is_file():
        if not is_vacant(folder):
            raise ValueError(f"{folder}: is not empty; convert to another folder")
        return []
    content = read_json(mark)
    if not isinstance(content, dict) or content.get("set") != title or not isinstance(content.get("smears"), list):
        raise ValueError(f"{mark}: is not of a conversion of {title}; convert to another folder")
    return content["smears"]


def _clear(folder: Path, names: list[str]) -> None:
    """Remove what a conversion that was stopped has written: since then a smear may have been taken out of the set."""
    for kind in ("images", "instances", "annotations"):
        for path in (folder / kind).glob("*"):
            if path.stem in names:
                path.unlink()
    for name in ("splits.json", "coco.json"):
        (folder / name).unlink(missing_ok=True)
