"""A folder of smears: images/ beside instances/, masks/ or coco.json."""

from __future__ import annotations

import os
import warnings
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from tqdm import tqdm

from .._files import OF_THE_SYSTEM
from ..smears import Smear, SmearFolder
from .coco import CocoFile, checked_smears, names_or_default, read_coco, write_coco
from .hints import foreign_annotations, how_to_convert
from .images import SUFFIXES, DataWarning, LabelWarning, image_size, name_of, read_image, write_image
from .labels import mask_size, read_colours, read_instances, write_instances
from .splits import checked_splits, refuse_parts, write_splits

_NOT_ON_WINDOWS = set('\\:*?"|')
_LAYOUT = "a folder of smears holds images/ and one of instances/ (ids), masks/ (colours) or coco.json"


@dataclass(frozen=True)
class Finding:
    """Report one problem of a data folder: an error means that a smear cannot be read, or is misread."""

    level: str  # "error" or "warning"
    text: str

    @property
    def is_error(self) -> bool:
        """Whether the data should not be used before this is put right."""
        return self.level == "error"

    def __str__(self) -> str:
        return f"{self.level}: {self.text}"


@dataclass
class _Survey:
    """Hold what a look at names and headers tells about a folder."""

    folder: Path
    kind: str = ""
    images: dict[str, Path] = field(default_factory=dict)
    masks: dict[str, Path] = field(default_factory=dict)
    parts: dict[str, list[str]] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)

    def error(self, text: str, name: str = "") -> None:
        self.findings.append(Finding("error", text))
        self.broken.add(name)

    @cached_property
    def coco(self) -> CocoFile | None:
        path = self.folder / "coco.json"
        return read_coco(path) if path.is_file() else None

    def read(self, name: str) -> Smear:
        image = read_image(self.images[name])
        if self.kind == "coco.json":
            instances, classes = self.coco.instances(name)
        else:
            read = read_instances if self.kind == "instances" else read_colours
            instances, classes = read(self.masks[name]), None
            if self.coco and self.kind == "instances":
                classes = self._classes(name, int(instances.max()))
        if instances.shape != image.shape[:2]:
            raise ValueError(_different(self.images[name], image.shape[:2], self._mask_name(name), instances.shape))
        return Smear(image, instances, classes=classes, name=name, group=self.groups.get(name, ""))

    def _classes(self, name: str, count: int) -> np.ndarray | None:
        classes = self.coco.numbered_classes(name, count)
        if classes is None and name in self.coco.sizes and len(self.coco.class_names) > 1:
            warnings.warn(
                f"{self.coco.path}: the annotations of {self.coco.files[name]!r} do not say which cell each "
                f'is (the key "instance", each of 1 to {count} once), so every cell counts as '
                f"{self.coco.class_names[0]!r}; add the key, or move instances/ away: the file has the cells too",
                LabelWarning,
                stacklevel=3,
            )
        return classes

    def _mask_name(self, name: str) -> str | Path:
        return self.masks.get(name, self.folder / "coco.json")


def _different(image: Path, shape: Sequence[int], mask: str | Path, mask_shape: Sequence[int]) -> str:
    return (
        f"{image}: the image is {shape[1]}×{shape[0]} but its mask ({mask}) is {mask_shape[1]}×{mask_shape[0]}; "
        "both must have one size, so was one of them resized, rotated or cropped?"
    )


def _survey(folder: str | os.PathLike[str]) -> _Survey:
    """Look at names, headers and splits.json, collecting every problem on the way."""
    survey = _Survey(Path(folder))
    if not survey.folder.is_dir():
        raise FileNotFoundError(f"{folder}: there is no such folder; {_LAYOUT}")
    if not (survey.folder / "images").is_dir():
        found = ", ".join(sorted(entry.name for entry in survey.folder.iterdir())[:5]) or "nothing at all"
        raise FileNotFoundError(f"{folder}: has no images/ (it holds {found}); {_LAYOUT}")
    kinds = [kind for kind in ("instances", "masks", "coco.json") if (survey.folder / kind).exists()]
    if not kinds:
        raise FileNotFoundError(f"{folder}: has images/ but no masks; {_LAYOUT}{foreign_annotations(survey.folder)}")
    survey.kind = kinds[0]
    survey.images = _pictures(survey, "images")
    if not survey.images and not survey.broken:
        raise ValueError(f"{survey.folder / 'images'}: holds no image; allowed are {', '.join(SUFFIXES)} files")
    if survey.kind == "coco.json":
        _pair(survey, dict.fromkeys(survey.coco.sizes, survey.folder / "coco.json"))
    else:
        survey.masks = _pictures(survey, survey.kind)
        _pair(survey, survey.masks)
        _miss_classes(survey)
    for name in sorted(survey.images):
        _compare(survey, name)
    survey.groups = dict(survey.coco.groups) if survey.coco else {}
    _read_splits(survey)
    return survey


def _pictures(survey: _Survey, below: str) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted((survey.folder / below).iterdir()):
        if path.name.startswith(".") or path.name in OF_THE_SYSTEM:
            continue
        if path.suffix.lower() not in SUFFIXES:
            text = f"{path}: is passed over, {how_to_convert(path)}"
            survey.findings.append(Finding("warning", text))
        elif set(path.name) & set("<>"):
            survey.error(f"{path}: has < or > in its name, which neither web pages nor Windows take; rename it")
        elif (name := name_of(path)) in found:
            survey.error(f"{path}: has the same name as {found[name].name}; every smear needs one file, remove one")
        else:
            found[name] = path
            if set(name) & _NOT_ON_WINDOWS and below == "images":
                text = f"{path}: has one of {' '.join(sorted(_NOT_ON_WINDOWS))} in its name, which Windows does not "
                survey.findings.append(Finding("warning", f"{text}take and `data convert` refuses; rename it"))
    return found


def _pair(survey: _Survey, masks: dict[str, Path]) -> None:
    for here, there, what, other in (
        (survey.images, masks, "image", f"mask in {survey.kind}"),
        (masks, survey.images, "mask", "image in images"),
    ):
        alone = sorted(set(here) - set(there))
        if alone:
            first = ", ".join(alone[:5]) + (", …" if len(alone) > 5 else "")
            files = f"{survey.folder}: {len(alone)} {what}{'s have' if len(alone) > 1 else ' has'} no {other} ({first})"
            survey.error(f"{files}; they pair up by name without ending, so add, rename or remove")
            survey.broken.update(alone)


def _miss_classes(survey: _Survey) -> None:
    if not survey.coco or len(survey.coco.class_names) < 2:
        return
    if survey.kind == "masks":
        text = (
            f"{survey.coco.path}: its classes are not looked at, since masks/ has none, so that all cells are of one; "
        )
        survey.findings.append(
            Finding("warning", f"{text}if they matter, move masks/ away: the file has the cells too")
        )
        return
    unclassed = sorted(set(survey.images) - set(survey.coco.sizes))
    if unclassed:
        first = ", ".join(unclassed[:5]) + (", …" if len(unclassed) > 5 else "")
        text = f"{survey.coco.path}: does not name {len(unclassed)} of the images ({first}), so every cell of theirs "
        survey.findings.append(Finding("warning", f"{text}counts as {survey.coco.class_names[0]!r}; add their cells"))


def _compare(survey: _Survey, name: str) -> None:
    shapes = []
    for path, read_size in ((survey.images[name], image_size), (survey.masks.get(name), mask_size)):
        if path is None:
            continue
        try:
            shapes.append(read_size(path))
        except (ValueError, OSError) as error:
            survey.error(str(error), name)
    if survey.kind == "coco.json" and name in survey.coco.sizes:
        shapes.append(survey.coco.sizes[name])
    if len(shapes) == 2 and shapes[0] != shapes[1]:
        survey.error(_different(survey.images[name], shapes[0], survey._mask_name(name), shapes[1]), name)


def _read_splits(survey: _Survey) -> None:
    path = survey.folder / "splits.json"
    if not path.is_file():
        return
    try:
        survey.parts, survey.groups, problems = checked_splits(path, survey.images, survey.groups)
    except ValueError as error:
        problems = [str(error)]
    for problem in problems:
        survey.error(problem)


def read_folder(path: str | os.PathLike[str], split: str = "all") -> SmearFolder:
    """Open a folder of smears, checked by names and headers now and by content when read.

    Parameters
    ----------
    path : path
        images/ with instances/ (label images), masks/ (colour masks) or coco.json; the first of
        these that is there counts, and coco.json beside instances/ gives the classes. Files pair
        up by name without ending. splits.json, if any: ``{"fit": [names], "validation": …,
        "test": …, "groups": {name: slide}}``.
    split : {"all", "train", "fit", "validation", "test"}
        Other than "all" only with splits.json; train is fit and validation.

    Returns
    -------
    SmearFolder

    Raises
    ------
    FileNotFoundError, ValueError
        At the first problem; `check_folder` lists all of them.
    """
    survey = _survey(path)
    errors = [finding.text for finding in survey.findings if finding.is_error]
    if errors:
        more = f" (and {len(errors) - 1} more: `bloodlib data check {path}` lists them)" if len(errors) > 1 else ""
        raise ValueError(errors[0] + more)
    if split == "all":
        names = sorted(survey.images)
    elif not survey.parts:
        raise ValueError(
            f"{path}: split {split!r} is asked for, but the folder has no splits.json; "
            'it has only split "all", so add the file {"fit": […], "validation": […], "test": […]} or ask for that'
        )
    else:
        parts = {**survey.parts, "train": survey.parts["fit"] + survey.parts["validation"]}
        if not parts.get(split):
            legal = ", ".join(["all", *(part for part, names in parts.items() if names)])
            raise ValueError(f"{path}: splits.json has no smears for {split!r}; it has {legal}")
        names = sorted(parts[split])
    classes = {"class_names": survey.coco.class_names} if survey.coco and survey.kind != "masks" else {}
    shared = [coco] if (coco := survey.folder / "coco.json").is_file() else []
    masks = {name: [mask] for name, mask in survey.masks.items()}
    return SmearFolder(
        names,
        survey.read,
        groups=[survey.groups.get(name, "") for name in names],
        title=survey.folder.resolve().name,
        files={name: [survey.images[name], *masks.get(name, []), *shared] for name in names},
        **classes,
    )


def check_folder(path: str | os.PathLike[str], progress: bool = False) -> list[Finding]:
    """Read all of a folder and list every problem, where `read_folder` stops at the first.

    Parameters
    ----------
    path : path
        As for `read_folder`.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    list of Finding
        Empty if all is well; each text names its file.
    """
    try:
        survey = _survey(path)
    except (ValueError, OSError) as error:
        return [Finding("error", str(error))]
    for name in tqdm(sorted(set(survey.images) - survey.broken), unit="smear", disable=not progress, leave=False):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                survey.read(name)
            except (ValueError, OSError) as error:
                survey.error(str(error), name)
        for entry in caught:
            level = "error" if issubclass(entry.category, LabelWarning) else "warning"
            survey.findings.append(Finding(level, str(entry.message)))
    return survey.findings


def write_smear(folder: str | os.PathLike[str], smear: Smear) -> None:
    """Write a smear as instances/NAME.png (16-bit ids) and images/NAME.png, each whole or not at all.

    The image comes last: where it is, the smear is complete.
    """
    _refuse_name(folder, smear.name)
    write_instances(Path(folder) / "instances" / f"{smear.name}.png", smear.instances)
    write_image(Path(folder) / "images" / f"{smear.name}.png", smear.image)


def _refuse_name(folder: str | os.PathLike[str], name: str) -> None:
    strange = set(name) & {"/", "<", ">", *_NOT_ON_WINDOWS} or Path(f"{name}.png").stem != name
    if not name or name.startswith(".") or strange:
        raise ValueError(f"{folder}: {name!r} cannot be the name of a smear; use letters, digits, '-' and '_'")


def write_folder(
    folder: str | os.PathLike[str],
    smears: Iterable[Smear],
    class_names: Sequence[str] | None = None,
    splits: Mapping[str, Sequence[str]] | None = None,
) -> list[str]:
    """Write smears as a folder that `read_folder` opens again, classes and groups included; those without a cell not.

    Parameters
    ----------
    folder : path
        Gets images/, instances/, splits.json if parts are given, and coco.json (written last).
    smears : iterable of Smear
    class_names : sequence of str, optional
        What ``Smear.classes`` mean; if not given, those of a `SmearFolder`, else one, "red blood cell".
    splits : mapping of str to names, optional
        The parts "fit", "validation" and "test", as `read_splits` gives those of another folder; names that
        are not written are passed over.

    Returns
    -------
    list of str
        The names that were written.

    Raises
    ------
    ValueError
        If a class has no name, or two smears have one: of a list before anything is written, else
        before that smear is.

    Warns
    -----
    DataWarning
        For each smear without a cell, which is left out.
    """
    names_of_classes = names_or_default(smears, class_names)
    parts = splits or {}
    refuse_parts(folder, parts)
    path, names = Path(folder) / "coco.json", []
    if isinstance(smears, list | tuple):
        deque(checked_smears(path, smears, names_of_classes), maxlen=0)

    def written() -> Iterable[Smear]:
        for smear in checked_smears(path, smears, names_of_classes):
            if not smear.count:
                warnings.warn(f"{folder}: {smear.name!r} has no cell and is left out", DataWarning, stacklevel=2)
                continue
            write_smear(folder, smear)
            names.append(smear.name)
            yield smear
        write_splits(Path(folder) / "splits.json", parts, names)

    write_coco(path, written(), names_of_classes)
    return names
