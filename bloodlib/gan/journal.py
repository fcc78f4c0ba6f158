"""How training is watched: curves and pictures for TensorBoard, and the pictures as PNG."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..io.images import write_image

PREVIEWS = "previews"
TENSORBOARD = "tensorboard"


class Journal:
    """Write curves and pictures into a model's folder; ``tensorboard --logdir FOLDER`` shows them.

    Parameters
    ----------
    folder : Path or None
        None keeps nothing.
    every : int
        Steps between two points of a curve; 0 leaves TensorBoard out.
    done : int
        Steps that a resumed training has behind it: what TensorBoard holds of later ones is dropped.
    """

    def __init__(self, folder: Path | None, every: int, done: int = 0) -> None:
        self.folder, self.every, self.done = folder, every, done
        self._writer = None

    @property
    def writer(self):
        """The open event file, or None where there is to be none."""
        if self._writer is None and self.folder is not None and self.every:
            from torch.utils.tensorboard import SummaryWriter

            later = self.done + 1 if self.done else None
            self._writer = SummaryWriter(str(self.folder / TENSORBOARD), purge_step=later)
        return self._writer

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Add a point to every curve, at every `every`-th step."""
        if self.every and step % self.every == 0 and self.writer is not None:
            for name, value in values.items():
                self.writer.add_scalar(name, value, step)

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Keep a picture uint8 (H, W, 3) as PNG and for TensorBoard."""
        if self.folder is None:
            return
        write_image(self.folder / PREVIEWS / f"{name}.png", image)
        if self.writer is not None:
            self.writer.add_image(name.rsplit("-", 1)[0], image, step, dataformats="HWC")

    def close(self) -> None:
        """Write out what is still in memory."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
