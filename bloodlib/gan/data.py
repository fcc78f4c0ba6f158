"""Smears as the networks see them: in memory, cut to crops, flipped, stacked."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from ..smears import Smear
from .config import Stage
from .networks import pad_sides


@dataclass(frozen=True)
class Batch:
    """Hold what one optimiser step sees."""

    image: Tensor  # float32 (N, 3, H, W) in [-1, 1]
    instances: Tensor  # int64 (N, H, W); ids are those of the whole smear
    features: Tensor | None  # float32 (N, C, H, W), precomputed styles; None in the first stage
    names: tuple[str, ...]


def to_network(image: np.ndarray) -> Tensor:
    """Turn uint8 (H, W, 3) into float32 (3, H, W) in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).float() / 127.5 - 1  # (3, H, W)


def to_image(x: Tensor) -> np.ndarray:
    """Turn float (3, H, W) in [-1, 1] into uint8 (H, W, 3)."""
    x = ((x.detach().float().clamp(-1, 1) + 1) * 127.5).round()
    return x.permute(1, 2, 0).to("cpu", torch.uint8).contiguous().numpy()  # (H, W, 3)


def resized(smear: Smear, shape: tuple[int, int] | None) -> tuple[np.ndarray, np.ndarray]:
    """Give image and instances at `shape` (height, width); ids never mix."""
    if shape is None or tuple(shape) == smear.instances.shape:
        return smear.image, smear.instances
    size = (shape[1], shape[0])
    shrink = shape[0] < smear.instances.shape[0]
    image = cv2.resize(smear.image, size, interpolation=cv2.INTER_AREA if shrink else cv2.INTER_CUBIC)
    return image, cv2.resize(smear.instances, size, interpolation=cv2.INTER_NEAREST_EXACT)


def fingerprint(smears: Sequence[Smear]) -> str:
    """Give a short hash that tells one set of smears from another.

    Notes
    -----
    Covers the number and names of all smears, and image and instances of three of them (first,
    middle, last): reading a set can mean deriving every mask, and a model is to be found at once.
    """
    names = getattr(smears, "names", None) or [smear.name for smear in smears]
    digest = hashlib.sha256(repr(list(names)).encode())
    for i in sorted({0, len(smears) // 2, len(smears) - 1}) if len(smears) else ():
        smear = smears[i]
        digest.update(repr(smear.instances.shape).encode())
        digest.update(np.ascontiguousarray(smear.image))
        digest.update(np.ascontiguousarray(smear.instances))
    return digest.hexdigest()[:16]


class Crops:
    """Draw batches of random crops from smears held in memory.

    Parameters
    ----------
    smears : iterable of Smear
    stage : Stage
    flips, rotations : bool
        As in `GanConfig`.
    styles : list of float32 (M + 1, C), optional
        Features per instance of each smear, for the second stage.

    Notes
    -----
    A batch is decided by the generator alone, so that a resumed training draws what an unbroken
    one would have drawn.
    """

    def __init__(
        self,
        smears: Iterable[Smear],
        stage: Stage,
        *,
        flips: bool = True,
        rotations: bool = False,
        styles: list[Tensor] | None = None,
    ) -> None:
        self.items = [(smear.name, *resized(smear, stage.shape)) for smear in smears]
        if not self.items:
            raise ValueError("no smears to train on; give at least one")
        self.stage, self.flips, self.rotations, self.styles = stage, flips, rotations, styles
        smallest = min(min(instances.shape) for _, _, instances in self.items)
        if stage.crop and smallest < stage.crop:
            raise ValueError(f"crop is {stage.crop} px but a smear has a side of {smallest} px; use a smaller crop")
        if stage.crop is None and stage.batch > 1 and len({i.shape for _, _, i in self.items}) > 1:
            raise ValueError(f"batch is {stage.batch} but the smears differ in size; set a crop or batch=1")

    def __len__(self) -> int:
        return len(self.items)

    def draw(self, rng: np.random.Generator) -> Batch:
        """Draw one batch."""
        samples = [self._sample(rng) for _ in range(self.stage.batch)]
        names, images, instances, features = zip(*samples, strict=True)
        stacked = torch.stack(features) if self.styles else None
        return Batch(torch.stack(images), torch.stack(instances), stacked, names)

    def _sample(self, rng: np.random.Generator) -> tuple[str, Tensor, Tensor, Tensor | None]:
        which = int(rng.integers(len(self.items)))
        name, image, instances = self.items[which]
        crop = self.stage.crop
        if crop:
            top, left = (int(rng.integers(side - crop + 1)) for side in instances.shape)
            window = slice(top, top + crop), slice(left, left + crop)
            image, instances = image[window], instances[window]
        if self.flips:
            for axis in (0, 1):
                if rng.random() < 0.5:
                    image, instances = np.flip(image, axis), np.flip(instances, axis)
        if self.rotations and instances.shape[0] == instances.shape[1]:
            turns = int(rng.integers(4))
            image, instances = np.rot90(image, turns), np.rot90(instances, turns)
        x = pad_sides(to_network(image))
        ids = pad_sides(torch.from_numpy(instances.astype(np.int64)))
        features = self.styles[which][ids].permute(2, 0, 1) if self.styles else None  # (C, H, W)
        return name, x, ids, features
