"""Train a CycleGAN on pictures and trimaps that need not belong together; resumable to the same weights."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..io.trimaps import check_trimap, to_levels
from .cyclegan import LOSSES, CycleConfig, CycleObjective, trimap_planes
from .cyclegan_painting import CellPainter, to_square
from .data import to_network, turned
from .loop import OneStage, learning_rate_factor

_PREVIEWED = 3


@dataclass(frozen=True)
class UnpairedBatch:
    """Hold what one optimiser step sees."""

    image: Tensor  # float32 (N, 3, S, S) in [-1, 1]
    trimap: Tensor  # float32 (N, 3, S, S) in [-1, 1]; of other cells
    draws: Tensor  # float32 (2, N, 2), for the buffers of pictures and of trimaps
    names: tuple[str, ...]  # of the pictures


class Unpaired:
    """Draw pictures and trimaps independently of one another, each turned at random.

    Parameters
    ----------
    images : sequence of uint8 (H, W, 3)
    trimaps : sequence of uint8 (H, W)
        0, 1, 2; any number of them.
    config : CycleConfig

    Raises
    ------
    ValueError
        If there are none, or they are of another kind.
    """

    def __init__(self, images: Sequence[np.ndarray], trimaps: Sequence[np.ndarray], config: CycleConfig) -> None:
        if not len(images) or not len(trimaps):
            raise ValueError(f"{len(images)} images and {len(trimaps)} trimaps; at least one of each is needed")
        for k, image in enumerate(images):
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
                raise ValueError(f"image {k} is {image.dtype} {image.shape}, needed is uint8 (H, W, 3) RGB")
        for trimap in trimaps:
            check_trimap(trimap)
        self.config = config
        self.images = [to_square(image, config.side_px) for image in images]
        self.trimaps = [to_square(trimap, config.side_px) for trimap in trimaps]
        flipped = (0, 1, 2, 3) if config.flips else (0,)
        self.views = flipped + tuple(4 + view for view in flipped) if config.rotations else flipped

    def draw(self, rng: np.random.Generator) -> UnpairedBatch:
        """Draw one batch, decided by the generator alone."""
        n = self.config.batch
        which = [int(rng.integers(len(self.images))) for _ in range(n)]
        masks = [int(rng.integers(len(self.trimaps))) for _ in range(n)]
        views = rng.choice(self.views, (2, n))
        image = [to_network(turned(self.images[k], v)) for k, v in zip(which, views[0], strict=True)]
        trimap = [
            trimap_planes(np.ascontiguousarray(turned(self.trimaps[k], v)), self.config.planes)
            for k, v in zip(masks, views[1], strict=True)
        ]
        draws = torch.from_numpy(rng.random((2, n, 2), dtype=np.float32))
        return UnpairedBatch(torch.stack(image), torch.stack(trimap), draws, tuple(map(str, which)))


def _fingerprint(images: Sequence[np.ndarray], trimaps: Sequence[np.ndarray]) -> str:
    """Give a short hash of what is trained on."""
    digest = hashlib.sha256()
    for array in (*images, *trimaps):
        digest.update(repr((array.shape, array.dtype.str)).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


class CycleTrainer(OneStage):
    """Train both generators and both discriminators, in a folder that allows to go on after any stop.

    Parameters
    ----------
    config : CycleConfig
    images, trimaps
        As in `Unpaired`.
    folder : Path, optional
        Where checkpoint, previews and TensorBoard's files go; None keeps nothing.
    seed : int
    progress : bool
    identity : str, optional
        What names this training, since a checkpoint of another one is refused; a hash of configuration, seed and data
        if not given.

    Notes
    -----
    As in `bloodlib.gan.training.Trainer`, nothing random lives between steps; the buffers of earlier
    paintings are part of the checkpoint.
    """

    def __init__(
        self,
        config: CycleConfig,
        images: Sequence[np.ndarray],
        trimaps: Sequence[np.ndarray],
        folder: Path | None = None,
        *,
        seed: int = 0,
        progress: bool = False,
        identity: str | None = None,
    ) -> None:
        self.config, self.progress = config, progress
        self.data = Unpaired(images, trimaps, config)
        identity = identity or config.digest(seed=seed, data=_fingerprint(images, trimaps))
        super().__init__(folder, seed, config.precision, identity, ("step", *LOSSES, "seconds"))
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed GPUs as well
            self.objective = CycleObjective(config)
        self.objective.to(self.fabric.device, memory_format=torch.channels_last)
        self.total = config.step_count(len(images))
        self._open(config.tensorboard_every)

    @property
    def painter(self) -> CellPainter:
        """The two generators as they are now."""
        return CellPainter(self.config, self.objective.to_image, self.objective.to_trimap)

    def groups(self) -> list[list[nn.Parameter]]:
        """Give the generators' parameters, and the discriminators'."""
        pairs = ("to_image", "to_trimap"), ("d_image", "d_trimap")
        return [[p for name in pair for p in getattr(self.objective, name).parameters()] for pair in pairs]

    def inputs(self) -> tuple[Sequence[Any], Sequence[str]]:
        """Draw pictures and trimaps that do not belong together."""
        batch = self.data.draw(np.random.default_rng([self.seed, self.step, self.fabric.global_rank]))
        device = self.fabric.device
        inputs = [x.to(device, memory_format=torch.channels_last) for x in (batch.image, batch.trimap)]
        return (*inputs, batch.draws), batch.names

    def rate(self) -> float:
        """Give the learning rate, constant at first and then falling to 0."""
        return self.config.learning_rate * learning_rate_factor(self.step, self.total, self.config.constant)

    def taken(self, losses: Mapping[str, float], rate: float) -> None:
        """Draw the curves, and now and then a picture."""
        self.journal.scalars(self.step, {**losses, "learning_rate": rate})
        if self.config.preview_every and (self.step % self.config.preview_every == 0 or self.step == 1):
            self._preview()

    def _preview(self) -> None:
        """Paint a few training trimaps: above the trimaps, below what is painted on them."""
        if self.journal.folder is None:
            return
        chosen = [self.data.trimaps[k] for k in np.linspace(0, len(self.data.trimaps) - 1, _PREVIEWED).astype(int)]
        above = np.hstack([to_levels(trimap) for trimap in chosen])[..., None].repeat(3, axis=2)  # (H, W) -> (H, W, 3)
        below = np.hstack([self.painter.paint(trimap) for trimap in chosen])
        self.journal.picture(self.step, f"step-{self.step:06d}", np.vstack([above, below]))
