"""Train the painter of single cells, resumable to the same weights, and keep it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from .._files import package_data, read_json, replacing, sha256, write_json
from ..datasets.single_cells import TYPE_NAMES, SingleCell
from .cell_layouts import RELEASED
from .config import UPSAMPLING, chosen
from .loop import OneStage, learning_rate_factor
from .pix2pix import LOSSES, CellObjective, PatchGAN, UNet

WEIGHTS, CARD = "weights.safetensors", "card.json"


@dataclass(frozen=True)
class Pix2pixConfig:
    """Hold everything that decides what painter of single cells comes out."""

    side_px: int = 256  # the thesis'
    filters: int = 64  # of the generator's first convolution; the thesis'
    discriminator_filters: int = 64  # the thesis'
    jitter: float = 286 / 256  # the thesis': enlarged by this, then cropped at random
    smallest: float | None = (
        None  # ours: factors are drawn between this and `jitter`; None: always `jitter`, the thesis'
    )
    resize: str = "nearest"  # of the pictures, the thesis'; "area" (ours) keeps texture that would alias in small sides
    upsample: str = "transposed"  # the thesis'; "resize" (ours) paints without a lattice
    batch: int = 1  # the thesis'
    epochs: int = 200  # ours: the thesis does not say; its curves no longer change after 100
    learning_rate: float = 2e-4  # the thesis'
    constant: float = 1.0  # share of the steps at that rate, which then falls to 0; the thesis' never falls
    betas: tuple[float, float] = (0.5, 0.999)  # the thesis'
    precision: str = "auto"  # ours: see bloodlib.gan.precision
    checkpoint_every: int = 500  # ours, steps

    def __post_init__(self) -> None:
        if self.resize not in ("nearest", "area"):
            raise ValueError(f"resize is {self.resize!r}; it can be nearest, area")
        if self.upsample not in UPSAMPLING:
            raise ValueError(f"upsample is {self.upsample!r}; it can be {', '.join(UPSAMPLING)}")
        if self.side_px < 32:
            raise ValueError(f"side_px is {self.side_px!r}; at least 32 is needed, or the discriminator has one patch")
        if self.smallest is not None and not 0 < self.smallest <= self.jitter:
            raise ValueError(f"smallest is {self.smallest!r}; needed is a factor above 0, at most jitter={self.jitter}")
        if not 0 <= self.constant <= 1:
            raise ValueError(f"constant is {self.constant!r}; a share of the steps from 0 to 1 is needed")
        for name in ("batch", "epochs", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)!r}; at least 1 is needed")

    def digest(self, **more: Any) -> str:
        """Give a short hash of all that decides the result, these fields and what else is named."""
        content = {**asdict(self), **more}
        content.pop("checkpoint_every")
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


PRESETS = {
    # Seconds: shows that it runs.
    "smoke": Pix2pixConfig(32, 8, 8, resize="area", batch=4, epochs=6, learning_rate=1e-3, precision="float32"),
    # Half an hour on one core; six MiB in half precision.
    "laptop": Pix2pixConfig(
        128,
        16,
        32,
        smallest=0.8,
        resize="area",
        upsample="resize",
        batch=4,
        epochs=30,
        learning_rate=5e-4,
        constant=0.8,
        checkpoint_every=100,
    ),
    # The thesis' own sizes, for a GPU.
    "paper": Pix2pixConfig(),
}


def preset(profile: str, **overrides: Any) -> Pix2pixConfig:
    """Give a preset with some of its fields replaced; errors as in `bloodlib.gan.config.chosen`."""
    return chosen(PRESETS, profile, overrides, "this painter")


def to_tensor(images: np.ndarray) -> Tensor:
    """Bring uint8 (N, H, W, 3) to float (N, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


def to_images(tensor: Tensor) -> np.ndarray:
    """Bring float (N, 3, H, W) in [-1, 1] back to uint8 (N, H, W, 3)."""
    return ((tensor.float().clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()


def jitter(cell: SingleCell, config: Pix2pixConfig, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Enlarge, crop at random and maybe mirror a cell and its label alike.

    Returns
    -------
    image, label : uint8 (side_px, side_px, 3)

    Notes
    -----
    The thesis: 286×286 by nearest neighbours, crop to 256×256, mirrored left to right in half of the cases. Labels
    are always resized by nearest neighbours: between two colours lies that of a third type. With
    `Pix2pixConfig.smallest` cells are also shown smaller, on black that is as wide as needed.
    """
    factor = config.jitter if config.smallest is None else rng.uniform(config.smallest, config.jitter)
    side_px, large = config.side_px, round(factor * config.side_px)
    row, column = rng.integers(min(0, large - side_px), max(0, large - side_px) + 1, size=2).tolist()
    mirrored = rng.random() < 0.5
    pad = max(0, side_px - large)
    window = slice(row + pad, row + pad + side_px), slice(column + pad, column + pad + side_px)
    margins = ((pad, pad), (pad, pad), (0, 0))
    image, label = (np.pad(x, margins)[window] for x in _resized(cell, large, config.resize))
    return (image[:, ::-1], label[:, ::-1]) if mirrored else (image, label)


def _resized(cell: SingleCell, side_px: int, resize: str) -> tuple[np.ndarray, np.ndarray]:
    way = cv2.INTER_NEAREST if resize == "nearest" else cv2.INTER_AREA
    image = cv2.resize(cell.image, (side_px, side_px), interpolation=way)
    return image, cv2.resize(cell.label, (side_px, side_px), interpolation=cv2.INTER_NEAREST)


def labels_of(cells: Sequence[SingleCell], config: Pix2pixConfig) -> np.ndarray:
    """Give the labels of cells as they are painted, not jittered: uint8 (n, side_px, side_px, 3)."""
    return np.stack([_resized(cell, config.side_px, config.resize)[1] for cell in cells])


def pictures_of(cells: Sequence[SingleCell], config: Pix2pixConfig) -> np.ndarray:
    """Give the pictures that belong to `labels_of`, uint8 (n, side_px, side_px, 3)."""
    return np.stack([_resized(cell, config.side_px, config.resize)[0] for cell in cells])


class CellTrainer(OneStage):
    """Train generator and discriminator on single cells, in a folder that allows to go on after any stop.

    Parameters
    ----------
    config : Pix2pixConfig
    cells : sequence of SingleCell
    folder : Path, optional
        Where the checkpoint goes; None keeps nothing.
    seed : int
    progress : bool

    Notes
    -----
    Batch and dropout of step t are drawn from generators seeded by (seed, t). Both networks step on
    gradients taken at the same weights, as the thesis has it.
    """

    def __init__(
        self,
        config: Pix2pixConfig,
        cells: Sequence[SingleCell],
        folder: Path | None = None,
        *,
        seed: int = 0,
        progress: bool = False,
    ) -> None:
        if not len(cells):
            raise ValueError("cells: there is none to train on")
        identity = config.digest(seed=seed, cells=[(c.name, c.kind, int(c.mask.sum())) for c in cells])
        super().__init__(folder, seed, config.precision, identity, (*LOSSES, "seconds"))
        self.config, self.cells, self.progress = config, cells, progress
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed GPUs as well
            self.objective = CellObjective(
                UNet(config.side_px, config.filters, config.upsample), PatchGAN(config.discriminator_filters)
            ).to(self.fabric.device)
        self.total = max(1, config.epochs * len(cells) // config.batch)
        self._open(tensorboard_every=0)

    def rate(self) -> float:
        """Give the learning rate of the present step."""
        return self.config.learning_rate * learning_rate_factor(self.step, self.total, self.config.constant)

    @property
    def painter(self) -> CellPainter:
        """What has been learnt so far, to paint with."""
        return CellPainter(self.objective.generator, self.config)

    def groups(self) -> list[list[nn.Parameter]]:
        """Give the generator's parameters, and the discriminator's."""
        return [list(network.parameters()) for network in self.networks().values()]

    def inputs(self) -> tuple[Sequence[Any], Sequence[str]]:
        """Draw cells, jittered, and where this step's dropout comes from."""
        rng = np.random.default_rng([self.seed, self.step])
        chosen = [self.cells[k] for k in rng.integers(len(self.cells), size=self.config.batch)]
        drawn = [jitter(cell, self.config, rng) for cell in chosen]
        image, label = (to_tensor(np.stack(x)).to(self.fabric.device) for x in zip(*drawn, strict=True))
        chance = torch.Generator().manual_seed(int(rng.integers(2**62)))
        return (label, image, chance), [cell.name for cell in chosen]


class CellPainter:
    """Paint labels, with what `CellTrainer` has learnt.

    Parameters
    ----------
    generator : UNet
    config : Pix2pixConfig
    card : dict
        What is known of it, where it was stored.
    """

    def __init__(self, generator: UNet, config: Pix2pixConfig, card: dict[str, Any] | None = None) -> None:
        self.generator, self.config, self.card = generator, config, card or {}

    @torch.no_grad()
    def paint(self, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Paint labels uint8 (n, side_px, side_px, 3), each with dropout of its own: uint8 alike.

        Notes
        -----
        Dropout stays on, as in the thesis. One label after the other: what a cell looks like does not depend
        on those beside it.
        """
        device = next(self.generator.parameters()).device
        painted = []
        for label in labels:
            chance = torch.Generator().manual_seed(int(rng.integers(2**62)))
            painted.append(to_images(self.generator(to_tensor(label[None]).to(device), chance))[0])
        return np.stack(painted) if painted else np.zeros_like(labels)

    def save(self, folder: Path, card: dict[str, Any]) -> None:
        """Write weights in half precision and the card, which holds their SHA-256, last."""
        folder = Path(folder)
        with replacing(folder / WEIGHTS) as beside:
            save_file({k: x.half().cpu().contiguous() for k, x in self.generator.state_dict().items()}, beside)
        content = {**card, "config": asdict(self.config), "types": list(TYPE_NAMES)}
        write_json(folder / CARD, {**content, "files": {WEIGHTS: sha256(folder / WEIGHTS)}})

    @classmethod
    def load(cls, name_or_folder: str | Path = RELEASED) -> CellPainter:
        """Read a stored painter, checking its hash.

        Raises
        ------
        FileNotFoundError, ValueError
            If there is none of that name, or the weights are not those of the card.
        """
        named = package_data("painters", str(name_or_folder))
        folder = named if named.is_dir() else Path(name_or_folder)
        if not (folder / CARD).is_file():
            raise FileNotFoundError(
                f"{folder / CARD}: is missing; train a painter with `python -m benchmarks.composition`"
            )
        card = read_json(folder / CARD)
        found = sha256(folder / WEIGHTS) if (folder / WEIGHTS).is_file() else "no file"
        if found != card["files"][WEIGHTS]:
            raise ValueError(f"{folder / WEIGHTS}: does not match its hash; the file is damaged, copy it again")
        config = Pix2pixConfig(**{**card["config"], "betas": tuple(card["config"]["betas"])})
        generator = UNet(config.side_px, config.filters, config.upsample)
        generator.load_state_dict({k: x.float() for k, x in load_file(folder / WEIGHTS).items()})
        return cls(generator.eval(), config, card)
