"""The eleven augmentations of Bailo et al. 2019, on image, instance mask and boxes alike.

Eight are torchvision's; emboss, per-channel inversion and additive brightness are added here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F


class Emboss(v2.Transform):
    """Light the image from one side: convolve with a diagonal derivative, mixed in by a random strength."""

    def __init__(self, alpha: tuple[float, float] = (0.2, 0.8), strength: tuple[float, float] = (0.5, 1.0)) -> None:
        super().__init__()
        self.alpha, self.strength = alpha, strength

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw how much of the embossed image is mixed in, and how strong the relief is."""
        return {
            "alpha": float(torch.empty(1).uniform_(*self.alpha)),
            "strength": float(torch.empty(1).uniform_(*self.strength)),
        }

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Emboss images; masks and boxes pass unchanged."""
        if not isinstance(inpt, tv_tensors.Image):
            return inpt
        s = params["strength"]
        relief = torch.tensor([[-1 - s, -s, 0], [-s, 1, s], [0, s, 1 + s]])  # imgaug's kernel; sums to 1
        kernel = relief.expand(inpt.shape[-3], 1, 3, 3)
        padded = torch.nn.functional.pad(inpt.float()[None], (1, 1, 1, 1), mode="reflect")
        embossed = torch.nn.functional.conv2d(padded, kernel, groups=len(kernel))[0]  # (1, C, H, W) -> (C, H, W)
        return _like(inpt, inpt + params["alpha"] * (embossed - inpt))


class InvertChannels(v2.Transform):
    """Replace the values v of one random colour channel, or of all, by 255 − v."""

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw the channel; 3 stands for all."""
        return {"channel": int(torch.randint(4, (1,)))}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Invert images; masks and boxes pass unchanged."""
        if not isinstance(inpt, tv_tensors.Image):
            return inpt
        chosen = slice(None) if params["channel"] == 3 else slice(params["channel"], params["channel"] + 1)
        out = inpt.float()
        out[chosen] = 255 - out[chosen]
        return _like(inpt, out)


class AddBrightness(v2.Transform):
    """Add one random number of grey levels to every value."""

    def __init__(self, levels: tuple[float, float] = (-40, 40)) -> None:
        super().__init__()
        self.levels = levels

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw the number of grey levels."""
        return {"add": float(torch.empty(1).uniform_(*self.levels))}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Brighten or darken images; masks and boxes pass unchanged."""
        return _like(inpt, inpt + params["add"]) if isinstance(inpt, tv_tensors.Image) else inpt


class AddNoise(v2.Transform):
    """Add Gaussian noise of a random strength, independent per pixel and channel, by torchvision's kernel."""

    def __init__(self, sigma: tuple[float, float] = (2, 12)) -> None:
        super().__init__()
        self.sigma = sigma

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw the standard deviation in grey levels."""
        return {"sigma": float(torch.empty(1).uniform_(*self.sigma))}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Add noise to images; masks and boxes pass unchanged."""
        if not isinstance(inpt, tv_tensors.Image):
            return inpt
        return _like(inpt, 255 * F.gaussian_noise(inpt / 255, sigma=params["sigma"] / 255, clip=True))


def _like(image: tv_tensors.Image, values: torch.Tensor) -> tv_tensors.Image:
    return tv_tensors.wrap(values.round().clamp(0, 255).to(image.dtype), like=image)


# Strengths are ours: the paper names the operations only.
AUGMENTATIONS: dict[str, v2.Transform] = {
    "horizontal flip": v2.RandomHorizontalFlip(1),
    "vertical flip": v2.RandomVerticalFlip(1),
    "Gaussian blur": v2.GaussianBlur(7, sigma=(0.5, 2.0)),
    "sharpen": v2.RandomAdjustSharpness(3, p=1),
    "emboss": Emboss(),
    "Gaussian noise": AddNoise(),
    "channel inversion": InvertChannels(),
    "brightness (add)": AddBrightness(),
    "brightness (multiply)": v2.ColorJitter(brightness=(0.7, 1.3)),
    "contrast normalisation": v2.ColorJitter(contrast=(0.5, 1.5)),
    "grayscale": v2.Grayscale(3),
}
FLIPS = ("horizontal flip", "vertical flip")


def draw(rng: np.random.Generator, most: int = 2) -> list[str]:
    """Choose which augmentations one sample gets.

    Parameters
    ----------
    rng : numpy.random.Generator
    most : int
        Greatest number of operations besides the flips.

    Returns
    -------
    list of str
        Each flip with probability ½, then 0 to `most` of the other nine, in random order. The paper
        does not say how its operations are combined; this is ours.
    """
    others = [name for name in AUGMENTATIONS if name not in FLIPS]
    flips = [name for name in FLIPS if rng.random() < 0.5]
    return flips + rng.permutation(others)[: rng.integers(most + 1)].tolist()


def apply(
    names: Sequence[str],
    image: np.ndarray,
    instances: np.ndarray,
    boxes: np.ndarray | None = None,
    *,
    rng: np.random.Generator,
) -> tuple[np.ndarray, ...]:
    """Apply augmentations to an image and move its mask and boxes with it.

    Parameters
    ----------
    names : sequence of str
        Keys of `AUGMENTATIONS`, applied in order.
    image : uint8 (H, W, 3)
    instances : int32 (H, W)
    boxes : float32 (n, 4), optional
        x0, y0, x1, y1, far edges exclusive.
    rng : numpy.random.Generator
        Decides the strengths; torch's global state is left as it was.

    Returns
    -------
    image, instances, and boxes where they were given

    Raises
    ------
    ValueError
        If a name is unknown.

    Notes
    -----
    Book: chapter 08 shows each once. torchvision's contrast blends with the image's mean grey,
    imgaug's "contrast normalization" with 128: the same idea around another pivot.
    """
    unknown = [name for name in names if name not in AUGMENTATIONS]
    if unknown:
        raise ValueError(f"unknown augmentation {unknown[0]!r}, allowed are {', '.join(AUGMENTATIONS)}")
    sample = {
        "image": tv_tensors.Image(torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))),  # -> (3, H, W)
        "instances": tv_tensors.Mask(torch.from_numpy(np.ascontiguousarray(instances))),
    }
    if boxes is not None:
        size = instances.shape
        sample["boxes"] = tv_tensors.BoundingBoxes(
            torch.from_numpy(np.ascontiguousarray(boxes)), format="XYXY", canvas_size=size
        )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(rng.integers(2**62)))  # torch.manual_seed would seed GPUs as well
        for name in names:
            sample = AUGMENTATIONS[name](sample)
    moved = (sample["image"].permute(1, 2, 0).numpy(), sample["instances"].numpy())  # (3, H, W) -> (H, W, 3)
    return moved if boxes is None else (*moved, sample["boxes"].numpy())
