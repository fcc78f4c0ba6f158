"""What a trained CycleGAN is for: paint trimaps, segment pictures, write labelled pairs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from .._files import read_json, replacing, sha256, write_json
from ..io.images import write_image
from ..io.trimaps import resize_trimap, write_trimap
from .cyclegan import CycleConfig, ResnetGenerator, planes_trimap, trimap_planes
from .data import to_image, to_network
from .precision import autocast_dtype

WEIGHTS, CARD = "weights.safetensors", "card.json"


def to_square(array: np.ndarray, side_px: int) -> np.ndarray:
    """Resize a picture uint8 (H, W, 3) or a trimap uint8 (H, W) to a square; a trimap's classes never mix."""
    if array.ndim == 2:
        return resize_trimap(array, (side_px, side_px))
    return resize_image(array, (side_px, side_px))


def resize_image(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Give a picture at another (height, width): by area when it shrinks, by cubic splines when it grows."""
    shrinks = shape[0] < image.shape[0]
    return cv2.resize(image, (shape[1], shape[0]), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


class CellPainter:
    """Translate single cells both ways, at any size: to the networks' square and back to the native one.

    Parameters
    ----------
    config : CycleConfig
    to_image, to_trimap : ResnetGenerator
    """

    def __init__(self, config: CycleConfig, to_image: ResnetGenerator, to_trimap: ResnetGenerator) -> None:
        self.config, self.to_image, self.to_trimap = config, to_image, to_trimap

    def paint(self, trimap: np.ndarray) -> np.ndarray:
        """Paint a trimap uint8 (H, W) of 0, 1, 2; give uint8 (H, W, 3), rescaled to the native size as in `rao2019`."""
        x = trimap_planes(to_square(trimap, self.config.side_px), self.config.planes)
        return resize_image(to_image(self._run(self.to_image, x)), trimap.shape)

    def find(self, image: np.ndarray) -> np.ndarray:
        """Find the trimap uint8 (H, W) of a picture uint8 (H, W, 3)."""
        return self.decode(self.planes(image), image.shape[:2])

    def planes(self, image: np.ndarray) -> Tensor:
        """Give what the network answers to a picture: float (3, S, S), before it is brought to three classes."""
        return self._run(self.to_trimap, to_network(to_square(image, self.config.side_px)))

    def from_planes(self, planes: Tensor) -> np.ndarray:
        """Paint planes float (3, S, S) as they are; give uint8 (S, S, 3)."""
        return to_image(self._run(self.to_image, planes))

    def decode(self, planes: Tensor, shape: tuple[int, int]) -> np.ndarray:
        """Bring planes to a trimap of (height, width): interpolated first, then decided."""
        grown = torch.nn.functional.interpolate(planes[None], shape, mode="bilinear", align_corners=False)[0]
        return planes_trimap(grown, self.config.planes)

    @torch.no_grad()
    def _run(self, generator: ResnetGenerator, x: Tensor) -> Tensor:
        """Take and give float32 (3, S, S)."""
        device = next(generator.parameters()).device
        kind = autocast_dtype(device)
        mixed = self.config.precision != "float32" and kind is not torch.float32
        with torch.autocast(device.type, kind, enabled=mixed):
            return generator(x[None].to(device, memory_format=torch.channels_last))[0].float().cpu()

    def write_pairs(self, folder: Path, trimaps: Mapping[str, np.ndarray]) -> list[str]:
        """Paint trimaps and write each picture with its trimap, under one name: images/ and trimaps/.

        Parameters
        ----------
        folder : Path
        trimaps : mapping of str to uint8 (H, W)
            Name -> trimap.

        Returns
        -------
        list of str
            The names written.
        """
        for name, trimap in trimaps.items():
            write_image(folder / "images" / f"{name}.png", self.paint(trimap))
            write_trimap(folder / "trimaps" / f"{name}.png", trimap)
        return list(trimaps)

    def save(self, folder: Path, **card: Any) -> None:
        """Write both generators in half precision, and a card with configuration, hash and `card`."""
        halves = (("to_image", self.to_image), ("to_trimap", self.to_trimap))
        state = {
            f"{name}.{key}": x.detach().half().cpu().contiguous()
            for name, network in halves
            for key, x in network.state_dict().items()
        }
        with replacing(folder / WEIGHTS) as beside:
            save_file(state, beside)
        files = {WEIGHTS: sha256(folder / WEIGHTS)}
        write_json(folder / CARD, {**card, "config": self.config.to_dict(), "files": files})

    @classmethod
    def load(cls, folder: Path) -> CellPainter:
        """Read what `save` wrote, checking its hash.

        Raises
        ------
        FileNotFoundError, ValueError
            If there is none, or the weights are not those of the card.
        """
        if not (folder / CARD).is_file():
            raise FileNotFoundError(f"{folder / CARD}: is missing; a folder that CellPainter.save wrote is needed")
        card = read_json(folder / CARD)
        found = sha256(folder / WEIGHTS) if (folder / WEIGHTS).is_file() else "no file"
        if found != card["files"][WEIGHTS]:
            raise ValueError(
                f"{folder / WEIGHTS}: does not match its hash (expected {card['files'][WEIGHTS][:12]}…, found "
                f"{found[:12]}); the file is damaged, copy it again"
            )
        config, tensors = CycleConfig.from_dict(card["config"]), load_file(folder / WEIGHTS)
        generators = []
        for name in ("to_image", "to_trimap"):
            network = ResnetGenerator(config)
            prefix = f"{name}."
            network.load_state_dict(
                {key.removeprefix(prefix): x.float() for key, x in tensors.items() if key.startswith(prefix)}
            )
            generators.append(network.to(memory_format=torch.channels_last).eval())
        return cls(config, *generators)
