"""Smears so small that a painter trains on them in seconds, and such a training for a process that can be killed."""

import os
import signal
import threading
from functools import partial
from pathlib import Path

import numpy as np
import torch

from bloodlib.gan import checkpoint
from bloodlib.gan.config import Stage, preset
from bloodlib.gan.training import Trainer
from bloodlib.smears import Smear

TINY = preset(
    "smoke",
    stages=(Stage(crop=32, batch=2, steps=5, constant=1.0), Stage(crop=48, batch=1, steps=4)),
    filters=2,
    blocks=1,
    average=0.9,
    checkpoint_every=2,
    preview_every=4,
    tensorboard_every=2,
)
LONGER = preset(
    "smoke",
    stages=(Stage(crop=32, steps=15, constant=1.0), Stage(crop=32, steps=12)),
    filters=2,
    blocks=1,
    average=0.9,
    discriminator_norm="spectral",
    checkpoint_every=3,
    preview_every=50,
    tensorboard_every=0,
)


def toy_smears(classes=(0, 0, 0, 0)):
    """Three smears 64×80 of four round cells each."""
    made = []
    for k in range(3):
        rng = np.random.default_rng(k)
        instances = np.zeros((64, 80), np.int32)
        rows, columns = np.indices(instances.shape)
        for i in range(4):
            instances[(rows - 16 - 32 * (i // 2)) ** 2 + (columns - 20 - 38 * (i % 2)) ** 2 < 100] = i + 1
        noise = rng.integers(0, 20, (64, 80, 3))
        image = np.where(instances[..., None] > 0, [150, 90, 110], [220, 215, 225]) + noise
        made.append(Smear(image.astype(np.uint8), instances, np.array(classes), name=f"toy-{k}"))
    return made


def train(folder, killed_at=None, delay_s=0.0, in_write=None):
    """Train on one thread, until this process kills itself outright.

    That is so long after the start of step `killed_at`, wherever the training is by then, or in the
    middle of writing the `in_write`-th checkpoint, or not at all.
    """
    torch.set_num_threads(1)
    kill = partial(os.kill, os.getpid(), signal.SIGKILL)

    class Killed(Trainer):
        def _update(self, *args):
            if len(self.history["step"]) == killed_at:
                threading.Timer(delay_s, kill).start()
            return super()._update(*args)

    if in_write is not None:
        checkpoint.save_file = writes_half(checkpoint.save_file, in_write, kill)
    Killed(LONGER, toy_smears(), folder).run()


def writes_half(save, which, then):
    """Give `save`, but of the file that is the `which`-th it leaves half."""
    count = 0

    def saving(tensors, path, **more):
        nonlocal count
        count += 1
        save(tensors, path, **more)
        if count == which:
            content = Path(path).read_bytes()
            Path(path).write_bytes(content[: len(content) // 2])
            then()

    return saving
