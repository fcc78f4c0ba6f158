"""Smears as the networks see them: in memory, cut to crops, flipped, stacked."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor

from .._files import sha256
from ..incidental import find_objects
from ..ink import without_ink
from ..io.images import DataWarning, image_size
from ..smears import Smear
from .config import GanConfig, Stage
from .networks import STRIDE, pad_sides
from .pooling import lay_out, outlines

A = TypeVar("A", np.ndarray, Tensor)

_MOST_TRIES = 1000  # for a crop with a cell in it


@dataclass(frozen=True)
class Batch:
    """Hold what one optimiser step sees."""

    image: Tensor  # float32 (N, 3, H, W) in [-1, 1]
    instances: Tensor  # int64 (N, H, W); ids are those of the whole smear
    kinds: Tensor  # int64 (N, H, W); semantic class, 0 is background
    features: Tensor | None  # float32 (N, C, H, W), precomputed styles; None in the first stage
    noise: Tensor | None  # float32 (N, 1, H, W); None for a painter without
    names: tuple[str, ...]

    def part(self, which: int, of: int) -> Batch:
        """Give what one of several devices sees of the batch; the names stay those of the whole."""
        if of == 1:
            return self
        tensors = (self.image, self.instances, self.kinds, self.features, self.noise)
        return Batch(*(x if x is None else x[which::of] for x in tensors), self.names)


@dataclass(frozen=True, eq=False)
class Labelled:
    """Hold a smear with everything in it that the painter is told of.

    ``image`` uint8 (H, W, 3); ``instances`` int32 (H, W): cells 1..n as in the smear, then incidental
    objects n + 1..n + m; ``kinds`` int64 (n + m + 1,): semantic class of each id, 0 for the background.
    """

    name: str
    image: np.ndarray
    instances: np.ndarray
    kinds: np.ndarray

    @property
    def kind_map(self) -> np.ndarray:
        """Semantic class of every pixel, int64 (H, W)."""
        return self.kinds[self.instances]

    def view(self, which: int) -> Labelled:
        """Give one of the eight views of a square: bit 0 flips rows, bit 1 columns, bit 2 transposes after that."""
        image, instances = (turned(array, which) for array in (self.image, self.instances))
        return Labelled(self.name, image, instances, self.kinds)


def turned(array: A, which: int) -> A:
    """Give one of the eight views of an array or tensor (H, W, …), numbered as in `Labelled.view`."""
    flip = torch.flip if isinstance(array, Tensor) else np.flip
    axes = tuple(axis for axis in (0, 1) if which >> axis & 1)
    array = flip(array, axes) if axes else array
    return array.swapaxes(0, 1) if which >> 2 & 1 else array


def with_objects(
    instances: np.ndarray, classes: np.ndarray, objects: np.ndarray | None, cell_classes: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Number incidental objects after the cells, and say which semantic class each id has.

    Parameters
    ----------
    instances : int32 (H, W)
        Cells 1..n.
    classes : int (n,)
        Class of each cell; used where there are several `cell_classes`.
    objects : int32 (H, W), optional
        Incidental objects 1..m, where no cell is.
    cell_classes : int

    Returns
    -------
    instances : int32 (H, W)
        0, cells 1..n, objects n + 1..n + m.
    kinds : int64 (n + m + 1,)
        0, then 1..cell_classes for cells, cell_classes + 1 for objects.

    Raises
    ------
    ValueError
        If a cell's class is below 0 or beyond `cell_classes`.
    """
    classes = np.asarray(classes, dtype=np.int64) if cell_classes > 1 else np.zeros(len(classes), dtype=np.int64)
    wrong = classes[(classes < 0) | (classes >= cell_classes)]
    if len(wrong):
        raise ValueError(f"a cell has class {wrong.max()} but cell_classes is {cell_classes}; classes start at 0")
    kinds = [np.zeros(1, dtype=np.int64), classes + 1]
    if objects is not None:
        instances = np.where(objects > 0, objects + len(classes), instances).astype(np.int32)
        kinds.append(np.full(int(objects.max(initial=0)), cell_classes + 1))
    return instances, np.concatenate(kinds)


def label(smear: Smear, config: GanConfig) -> Labelled:
    """Give the smear with the labels that a painter of this configuration sees, and without ink."""
    objects = find_objects(smear.image, smear.instances) if config.objects else None
    try:
        instances, kinds = with_objects(smear.instances, smear.classes, objects, config.cell_classes)
    except ValueError as error:
        raise ValueError(f"smear {smear.name!r}: {error}") from None
    return Labelled(smear.name, without_ink(smear.image), instances, kinds)


def to_network(image: np.ndarray | Tensor) -> Tensor:
    """Turn uint8 (H, W, 3) into float32 (3, H, W) in [-1, 1]."""
    x = image if isinstance(image, Tensor) else torch.from_numpy(np.ascontiguousarray(image))
    return x.permute(2, 0, 1).float() / 127.5 - 1  # (3, H, W)


def to_image(x: Tensor) -> np.ndarray:
    """Turn float (3, H, W) in [-1, 1] into uint8 (H, W, 3)."""
    x = ((x.detach().float().clamp(-1, 1) + 1) * 127.5).round()
    return x.permute(1, 2, 0).to("cpu", torch.uint8).contiguous().numpy()  # (H, W, 3)


def resized(smear: Labelled, shape: tuple[int, int] | None) -> Labelled:
    """Give image and instances at `shape` (height, width); ids never mix."""
    if shape is None or tuple(shape) == smear.instances.shape:
        return smear
    size = (shape[1], shape[0])
    shrink = shape[0] < smear.instances.shape[0]
    image = cv2.resize(smear.image, size, interpolation=cv2.INTER_AREA if shrink else cv2.INTER_CUBIC)
    instances = cv2.resize(smear.instances, size, interpolation=cv2.INTER_NEAREST_EXACT)
    return Labelled(smear.name, image, instances, smear.kinds)


def at_own_size(config: GanConfig, shapes: Iterable[tuple[int, int]]) -> GanConfig:
    """Let a profile that names sizes learn from smears of other sizes at their own, for layout and paint alike.

    Parameters
    ----------
    config : GanConfig
    shapes : iterable of (height, width)
        Of the smears.

    Returns
    -------
    GanConfig
        As it was, where all smears have the size of the second stage, or that names none. Otherwise the second stage
        is at the smears' own size and the first in its proportion to it; both at their own where these differ.

    Warns
    -----
    bloodlib.io.images.DataWarning
        If sizes are changed.
    """
    first, second = config.stages
    found = sorted(set(shapes))
    if second.shape is None or found == [tuple(second.shape)]:
        return config
    own = found[0] if len(found) == 1 else None
    small = None
    if own is not None and first.shape is not None:
        shares = (a * side / b for a, b, side in zip(first.shape, second.shape, own, strict=True))
        small = tuple(max(2 * STRIDE, round(side / STRIDE) * STRIDE) for side in shares)
    said = f"{own[1]}×{own[0]} px" if own else "several sizes"
    warnings.warn(
        f"smears of {said} are learnt from as they are, instead of {second.shape[1]}×{second.shape[0]}, which is the "
        "size of this profile" + (f"; the first stage shows them at {small[1]}×{small[0]} px" if small else ""),
        DataWarning,
        stacklevel=3,
    )
    return replace(config, stages=(replace(first, shape=small), replace(second, shape=own)))


# Painters were released when the fit part of Chula RBC-12 was known by pixels.
_AS_RELEASED = {"c8490854632a272e": "6418c113e7dfb6c8"}


def fingerprint(smears: Sequence[Smear], classes: bool = False) -> str:
    """Give a short hash that tells one set of smears from another.

    Parameters
    ----------
    smears : sequence of Smear
    classes : bool
        Whether sets that differ in nothing but their cells' classes are told apart.

    Notes
    -----
    Covers the number and names of all smears. Of a folder of files, whose annotations may be corrected, it covers
    the bytes of them all and which slides they are of; of rendered smears and derived masks, what they are made by,
    since no two kinds of processor round alike; of other smears, image and instances of three (first, middle, last):
    a model is to be found at once.
    """
    names = getattr(smears, "names", None) or [smear.name for smear in smears]
    digest = hashlib.sha256(repr(list(names)).encode())
    rendered = getattr(smears, "rendered", None)
    if rendered is not None:
        digest.update(rendered.encode())
        return _AS_RELEASED.get(digest.hexdigest()[:16], digest.hexdigest()[:16])
    files = getattr(smears, "files", None)
    if files:
        every = dict.fromkeys(path for name in names for path in files[name])  # coco.json once
        digest.update("".join(map(sha256, every)).encode())
        if any(smears.groups):  # of splits.json, too
            digest.update(repr(list(smears.groups)).encode())
        return digest.hexdigest()[:16]
    for i in sorted({0, len(smears) // 2, len(smears) - 1}) if len(smears) else ():
        smear = smears[i]
        digest.update(repr(smear.instances.shape).encode())
        digest.update(np.ascontiguousarray(smear.image))
        digest.update(np.ascontiguousarray(smear.instances))
        if classes:
            digest.update(np.asarray(smear.classes, dtype=np.int64).tobytes())
    return digest.hexdigest()[:16]


def shapes_of(smears: Iterable[Smear]) -> Iterator[tuple[int, int]]:
    """Give the (height, width) of some smears, from the headers of files where there are files."""
    files = getattr(smears, "files", None)
    return (image_size(files[x][0]) for x in smears.names) if files else (x.instances.shape for x in smears)


def shortest_side_px(smears: Iterable[Smear]) -> int:
    """Give the shortest side of any of some smears, from the headers of files where there are files.

    Raises
    ------
    ValueError
        If there are no smears.
    """
    side = min(map(min, shapes_of(smears)), default=None)
    if side is None:
        raise ValueError("no smears to train on; give at least one")
    return side


def fitting_crops(config: GanConfig, side_px: int) -> GanConfig:
    """Give a configuration whose crops fit into all smears.

    Parameters
    ----------
    config : GanConfig
    side_px : int
        Shortest side of the smears.

    Raises
    ------
    ValueError
        If no crop is small enough.

    Warns
    -----
    UserWarning
        If crops become smaller.
    """
    stages = []
    for stage in config.stages:
        side = side_px if stage.shape is None else min(stage.shape)
        most = side - side % 16  # as `GanConfig` asks of a crop
        if stage.crop and most < stage.crop:
            if most < 32:
                raise ValueError(f"a smear has a side of {side} px; needed are 32 px at least, for a crop of it")
            warnings.warn(
                f"crops are {most} px wide instead of {stage.crop} px, since a smear has a side of {side} px",
                stacklevel=3,
            )
            stage = replace(stage, crop=most)
        stages.append(stage)
    return replace(config, stages=tuple(stages))


class Crops:
    """Draw batches of random crops from smears held in memory.

    Parameters
    ----------
    smears : iterable of Labelled
    stage : Stage
    flips, rotations, noise : bool
        As in `GanConfig`.
    styles : list of dict of int to float32 (M + 1, terms · C), optional
        For the second stage: styles of the instances of each view of each smear (see `views`).
    terms : int
        As in `bloodlib.gan.pooling.pool_instances`; those of a crop are laid out as over the whole smear.
    blank : bool
        Whether a crop may hold nothing but background; else such a one is drawn again, elsewhere.
    device : torch.device or str
        Where smears are held and batches are put together. Beside a GPU a processor draws too slowly.

    Notes
    -----
    A batch is decided by the generator alone, so that a resumed training draws what an unbroken
    one would have drawn.
    """

    def __init__(
        self,
        smears: Iterable[Labelled],
        stage: Stage,
        *,
        flips: bool = True,
        rotations: bool = False,
        noise: bool = True,
        styles: list[dict[int, Tensor]] | None = None,
        terms: int = 1,
        blank: bool = True,
        device: torch.device | str = "cpu",
    ) -> None:
        self.items = [resized(smear, stage.shape) for smear in smears]
        if not self.items:
            raise ValueError("no smears to train on; give at least one")
        self.stage, self.noise, self.terms, self.blank, self.device = stage, noise, terms, blank, torch.device(device)
        self.views = views(stage, flips, rotations)
        self.styles = None if styles is None else [{k: x.to(device) for k, x in each.items()} for each in styles]
        needed = self.views if styles and terms > 1 else ()
        self._held = [_tensors(item, self.device) for item in self.items]
        self._shapes = [
            {view: outlines(turned(held[1], view).long()[None])[0] for view in needed} for held in self._held
        ]
        smallest = min(min(item.instances.shape) for item in self.items)
        if stage.crop and smallest < stage.crop:
            raise ValueError(f"crop is {stage.crop} px but a smear has a side of {smallest} px; use a smaller crop")
        if stage.crop is None and stage.batch > 1 and len({item.instances.shape for item in self.items}) > 1:
            raise ValueError(f"batch is {stage.batch} but the smears differ in size; set a crop or batch=1")

    def __len__(self) -> int:
        return len(self.items)

    def draw(self, rng: np.random.Generator) -> Batch:
        """Draw one batch."""
        samples = [self._sample(rng) for _ in range(self.stage.batch)]
        names, images, instances, kinds, features = zip(*samples, strict=True)
        stacked = torch.stack(features) if self.styles else None
        noise = None
        if self.noise:
            drawn = rng.standard_normal((len(images), 1, *images[0].shape[1:]), dtype=np.float32)
            noise = torch.from_numpy(drawn).to(self.device)
        return Batch(torch.stack(images), torch.stack(instances), torch.stack(kinds), stacked, noise, names)

    def _sample(self, rng: np.random.Generator) -> tuple[str, Tensor, Tensor, Tensor, Tensor | None]:
        which, corner = self._cut(rng)
        for _ in range(0 if self.blank else _MOST_TRIES):
            if self.items[which].instances[self._window(corner)].any():
                break
            which, corner = self._cut(rng)
        view = int(rng.choice(self.views))
        image, instances, kinds = self._held[which]
        window = self._window(corner)
        x = pad_sides(to_network(turned(image[window], view)))
        ids = pad_sides(turned(instances[window], view).long())
        features = self._laid_out(which, view, corner, ids) if self.styles else None
        return self.items[which].name, x, ids, kinds[ids], features

    def _laid_out(self, which: int, view: int, corner: tuple[int, int], ids: Tensor) -> Tensor:
        """Lay styles out over a crop as over the whole smear that it was cut from, (C, H, W)."""
        if self.terms == 1:
            return lay_out(self.styles[which][view], ids)
        sides = [side - (self.stage.crop or side) for side in self.items[which].instances.shape]
        flipped = [sides[axis] - corner[axis] if view >> axis & 1 else corner[axis] for axis in (0, 1)]
        top, left = reversed(flipped) if view >> 2 & 1 else flipped
        return lay_out(self.styles[which][view], ids, self.terms, self._shapes[which][view], (top, left))

    def _cut(self, rng: np.random.Generator) -> tuple[int, tuple[int, int]]:
        """Draw a smear, and the row and column where a crop of it begins."""
        which, crop = int(rng.integers(len(self.items))), self.stage.crop
        if not crop:
            return which, (0, 0)
        top, left = (int(rng.integers(side - crop + 1)) for side in self.items[which].instances.shape)
        return which, (top, left)

    def _window(self, corner: tuple[int, int]) -> tuple[slice, slice]:
        crop = self.stage.crop
        return tuple(slice(first, first + crop) if crop else slice(None) for first in corner)


def _tensors(smear: Labelled, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Give image uint8 (H, W, 3), instances int32 (H, W) and the kinds of a smear where they are needed."""
    arrays = (np.ascontiguousarray(smear.image), np.ascontiguousarray(smear.instances), smear.kinds)
    return tuple(torch.from_numpy(array).to(device) for array in arrays)


def views(stage: Stage, flips: bool, rotations: bool) -> tuple[int, ...]:
    """List the views of `Labelled.view` that a stage draws from: transposed ones only of square crops."""
    flipped = (0, 1, 2, 3) if flips else (0,)
    return flipped + tuple(4 + view for view in flipped) if rotations and stage.crop else flipped
