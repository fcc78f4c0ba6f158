"""A training on two processes, to be called as a program: the first process calls it again for the second.

python two_devices.py FOLDER [KILLED_AT]
"""

import os
import signal
import sys
from pathlib import Path

from toy import toy_smears

from bloodlib.gan.config import Stage
from bloodlib.gan.training import Trainer
from bloodlib.synthesis import Synthesizer

SETTINGS = {  # what the laptop preset is made of: with instance norm, rounding grows within a few steps
    "stages": (Stage(crop=32, batch=4, steps=5, constant=1.0), Stage(crop=32, batch=2, steps=4)),
    "filters": 2,
    "blocks": 1,
    "feature_channels": 2,
    "halvings": 3,
    "skips": True,
    "norm": "pixel",
    "noise": True,
    "objects": True,
    "discriminator_norm": "spectral",
    "lambda_colour": 10.0,
    "average": 0.9,
    "checkpoint_every": 2,
    "tensorboard_every": 0,
    "clusters": 2,
}


def fit(folder, devices=1):
    """Train on toy smears; the smoke preset's float32 and perceptual loss, which is none."""
    return Synthesizer.fit(toy_smears(), folder=folder, progress=False, devices=devices, **SETTINGS)


if __name__ == "__main__":
    folder, killed_at = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None
    rank = os.environ.get("LOCAL_RANK", "0")
    update = Trainer._update

    def watched(self, *given):
        (folder.parent / f"pid-{rank}").write_text(str(os.getpid()))
        if self.done == killed_at and rank == "0":
            os.kill(os.getpid(), signal.SIGKILL)
        return update(self, *given)

    Trainer._update = watched
    fit(folder, devices=2)
