"""Train the painter of single cells, resumable to the same weights, and keep it."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import tqdm

from .._files import package_data, read_json, replacing, sha256, write_json
from ..datasets.single_cells import TYPE_NAMES, SingleCell
from .cell_layouts import RELEASED
from .checkpoint import (
    CHECKPOINT,
    clear_partial,
    moments_of,
    read_checkpoint,
    restore_moments,
    restore_networks,
    write_checkpoint,
)
from .config import chosen
from .pix2pix import PatchGAN, UNet, discriminator_loss, generator_loss
from .precision import make_fabric, memory_kept

LOSSES = ("gan", "l1", "discriminator")
WEIGHTS, CARD = "weights.safetensors", "card.json"


@dataclass(frozen=True)
class Pix2pixConfig:
    """Hold everything that decides what painter of single cells comes out."""

    side_px: int = 256  # the thesis'
    filters: int = 64  # of the generator's first convolution; the thesis'
    discriminator_filters: int = 64  # the thesis'
    jitter: float = 286 / 256  # the thesis': enlarged by this, then cropped at random
    resize: str = "nearest"  # of the pictures, the thesis'; "area" (ours) keeps texture that would alias in small sides
    batch: int = 1  # the thesis'
    epochs: int = 200  # ours: the thesis does not say; its curves no longer change after 100
    learning_rate: float = 2e-4  # the thesis'
    betas: tuple[float, float] = (0.5, 0.999)  # the thesis'
    precision: str = "auto"  # ours: see bloodlib.gan.precision
    checkpoint_every: int = 500  # ours, steps

    def __post_init__(self) -> None:
        if self.resize not in ("nearest", "area"):
            raise ValueError(f"resize is {self.resize!r}; it can be nearest, area")
        if self.side_px < 32:
            raise ValueError(f"side_px is {self.side_px!r}; at least 32 is needed, or the discriminator has one patch")
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
    # Minutes on one core; five MiB in half precision.
    "laptop": Pix2pixConfig(64, 16, 16, resize="area", batch=4, epochs=16, learning_rate=5e-4, checkpoint_every=100),
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
    are always resized by nearest neighbours: between two colours lies that of a third type.
    """
    large = round(config.jitter * config.side_px)
    row, column = rng.integers(0, large - config.side_px + 1, size=2)
    mirrored = rng.random() < 0.5
    window = slice(row, row + config.side_px), slice(column, column + config.side_px)
    image, label = (x[window] for x in _resized(cell, large, config.resize))
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


class CellTrainer:
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
    As in `bloodlib.gan.training.Trainer` nothing random lives between steps: batch and dropout of step t are
    drawn from generators seeded by (seed, t). Both networks step on gradients taken at the same weights, as
    the thesis has it.
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
        self.config, self.cells, self.folder, self.seed, self.progress = config, cells, folder, seed, progress
        self.identity = config.digest(seed=seed, cells=[(c.name, c.kind, int(c.mask.sum())) for c in cells])
        self.fabric = make_fabric(config.precision)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.generator = UNet(config.side_px, config.filters).to(self.fabric.device)
            self.discriminator = PatchGAN(config.discriminator_filters).to(self.fabric.device)
        self._optimisers = [
            torch.optim.Adam(network.parameters(), lr=config.learning_rate, betas=config.betas, fused=True)
            for network in self._networks().values()
        ]
        self.steps = max(1, config.epochs * len(cells) // config.batch)
        self.history: dict[str, list[float]] = {name: [] for name in (*LOSSES, "seconds")}
        self._resume()

    @property
    def step(self) -> int:
        """Steps done."""
        return len(self.history["gan"])

    def run(self, stop_after: int | None = None) -> bool:
        """Train until done, or until `stop_after` more steps are done; returns whether it is done."""
        last = self.steps if stop_after is None else min(self.steps, self.step + stop_after)
        with memory_kept(), tqdm(total=self.steps, initial=self.step, disable=not self.progress, unit="step") as bar:
            while self.step < last:
                begun = time.perf_counter()
                losses = self._update(*self._batch(self.step))
                for name, value in (losses | {"seconds": time.perf_counter() - begun}).items():
                    self.history[name].append(round(value, 6))
                bar.update()
                if self.step % self.config.checkpoint_every == 0 or self.step == last:
                    self._save()
        return self.step == self.steps

    def painter(self) -> CellPainter:
        """Give what has been learnt so far, to paint with."""
        return CellPainter(self.generator, self.config)

    def _networks(self) -> dict[str, torch.nn.Module]:
        return {"generator": self.generator, "discriminator": self.discriminator}

    def _batch(self, step: int) -> tuple[Tensor, Tensor, torch.Generator]:
        rng = np.random.default_rng([self.seed, step])
        drawn = [jitter(self.cells[k], self.config, rng) for k in rng.integers(len(self.cells), size=self.config.batch)]
        image, label = (to_tensor(np.stack(x)).to(self.fabric.device) for x in zip(*drawn, strict=True))
        return image, label, torch.Generator().manual_seed(int(rng.integers(2**62)))

    def _update(self, image: Tensor, label: Tensor, chance: torch.Generator) -> dict[str, float]:
        for optimiser in self._optimisers:
            optimiser.zero_grad()
        with self.fabric.autocast():
            painted = self.generator(label, chance)
            judged = self.discriminator(label, image), self.discriminator(label, painted.detach())
            of_discriminator = discriminator_loss(*judged)
            of_discriminator.backward()
            self.discriminator.requires_grad_(False)
            of_generator, gan, l1 = generator_loss(self.discriminator(label, painted), painted, image)
            of_generator.backward()
            self.discriminator.requires_grad_(True)
        values = {"gan": gan, "l1": l1, "discriminator": of_discriminator}
        losses = {name: float(value.detach()) for name, value in values.items()}
        if not all(math.isfinite(value) for value in losses.values()):
            raise ValueError(f"a loss is no number at step {self.step} ({losses}); lower learning_rate")
        for optimiser in self._optimisers:
            optimiser.step()
        return losses

    def _save(self) -> None:
        if self.folder is not None:
            state = {"identity": self.identity, "history": self.history}
            write_checkpoint(Path(self.folder) / CHECKPOINT, self._networks(), self._optimisers, state)

    def _resume(self) -> None:
        if self.folder is None:
            return
        clear_partial(Path(self.folder))
        path = Path(self.folder) / CHECKPOINT
        if not path.is_file():
            return
        tensors, state = read_checkpoint(path)
        if state["identity"] != self.identity:
            raise ValueError(
                f"{path}: was begun with other cells, settings or seed; use another folder or delete this one"
            )
        restore_networks(self._networks(), tensors)
        restore_moments(self._optimisers, moments_of(tensors))
        self.history = state["history"]


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
        named = package_data("models", str(name_or_folder))
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
        generator = UNet(config.side_px, config.filters)
        generator.load_state_dict({k: x.float() for k, x in load_file(folder / WEIGHTS).items()})
        return cls(generator.eval(), config, card)
