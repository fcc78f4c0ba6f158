"""Time the painter: training steps, painting and pooling, on this machine's processor.

``python -m benchmarks painter`` prints a table; it takes about two minutes on two cores. No perceptual loss, batch 1,
16 filters. Peak memory is that of the whole process so far, so it only grows from row to row.
"""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from bloodlib.datasets import load
from bloodlib.gan.config import PRESETS, GanConfig, Stage
from bloodlib.gan.networks import pool_instances
from bloodlib.gan.precision import autocast_dtype
from bloodlib.gan.training import Trainer, encode_smear, paint_instances
from bloodlib.smears import Smear

SHAPES = ((256, 256), (512, 512), (640, 1024), (1200, 1920))


def _median_seconds(run: Callable[[], object], times: int = 3) -> float:
    run()
    seconds = []
    for _ in range(times):
        begun = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds)


def _step_seconds(config: GanConfig, smear: Smear, shape: tuple[int, int], precision: str) -> float:
    """Give the median of three training steps of the first stage (G, E and D) on whole smears."""
    stages = (Stage(shape=shape, steps=4, constant=1.0), Stage(shape=shape, steps=1))
    trainer = Trainer(replace(config, stages=stages, perceptual="none", precision=precision), [smear])
    trainer.run(stop_after=4)
    return statistics.median(trainer.history["seconds"][1:])


def main() -> None:
    """Print what a step and a painting cost at four sizes."""
    smear = load("phantom", split="fit", shape=(1200, 1920))[0]
    faster = autocast_dtype() is torch.bfloat16
    print(f"{torch.get_num_threads()} threads; bfloat16 in hardware: {faster}")
    print("| size | step, paper's networks | step, laptop's | E + pooling | painting | peak GiB |\n" + "|---" * 6 + "|")
    rng = np.random.default_rng(0)
    for height, width in SHAPES:
        part = smear.instances[:height, :width]
        trained = [_step_seconds(PRESETS[name], smear, (height, width), "auto") for name in ("paper", "laptop")]
        tool = Trainer(replace(PRESETS["laptop"], perceptual="none"), [smear])
        means = torch.from_numpy(rng.uniform(-1, 1, (int(part.max()) + 1, 3)).astype(np.float32))
        image = smear.image[:height, :width]
        encoding = _median_seconds(lambda i=image, p=part, e=tool.encoder: encode_smear(e, i, p))
        painting = _median_seconds(lambda p=part, m=means, g=tool.generator: paint_instances(g, p, m))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        cells = " | ".join(f"{s:.2f} s" for s in (*trained, encoding, painting))
        print(f"| {width}×{height} | {cells} | {peak:.1f} |", flush=True)
    ids = torch.from_numpy(smear.instances.astype(np.int64))[None]
    features = torch.randn(1, 3, *smear.instances.shape, requires_grad=True)
    both = _median_seconds(lambda: pool_instances(features, ids)[0].square().mean().backward())
    print(f"pooling {smear.count} instances at 1920×1200, forward and backward: {both:.3f} s")


if __name__ == "__main__":
    main()
