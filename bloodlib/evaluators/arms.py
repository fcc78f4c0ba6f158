"""The five kinds of training data that Table 2 compares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .. import augment
from ..smears import Smear

ARMS = ("RD", "SD", "RD+aug", "RD+SD", "RD+SD+aug")


@dataclass(frozen=True)
class Plan:
    """Say what an arm is made of: real and synthetic smears, and how many samples they become."""

    arm: str
    real: int
    synthetic: int
    samples: int
    augmented: bool


def plan(arm: str, real: int, multiple: int = 16) -> Plan:
    """Scale the paper's composition of an arm to the size of a set.

    Parameters
    ----------
    arm : {"RD", "SD", "RD+aug", "RD+SD", "RD+SD+aug"}
    real : int
        Real smears to fit on.
    multiple : int
        Samples of the three larger arms per real smear.

    Returns
    -------
    Plan

    Notes
    -----
    Bailo et al. 2019 have 60 samples in RD and SD and 960 in the others; the mix is not stated. Ours:
    RD+SD is every real smear and synthetic ones up to ``multiple`` times the real count; the arms with
    "aug" are random augmentations of theirs, one per sample. Book: chapter 11.

    Examples
    --------
    >>> plan("RD+SD", 60)
    Plan(arm='RD+SD', real=60, synthetic=900, samples=960, augmented=False)
    """
    if arm not in ARMS:
        raise ValueError(f"arm is {arm!r}, allowed are {', '.join(ARMS)}")
    if real < 1 or multiple < 1:
        raise ValueError(f"real is {real} and multiple {multiple}; both must be 1 or more")
    uses_real, uses_synthetic, augmented = arm != "SD", "SD" in arm, arm.endswith("aug")
    synthetic = 0 if not uses_synthetic else real if arm == "SD" else real * (multiple - 1)
    samples = real * multiple if augmented else real * uses_real + synthetic
    return Plan(arm, real * uses_real, synthetic, samples, augmented)


class Samples:
    """Draw random crops from the samples of one arm.

    Parameters
    ----------
    plan : Plan
    real, synthetic : sequence of Smear
        At least as many as the plan uses; the first ones are taken. Each is read once and kept.
    seed : int
        Sample k of an augmented arm is always the same augmentation of the same smear.

    Raises
    ------
    ValueError
        If there are fewer smears than the plan needs.
    """

    def __init__(self, plan: Plan, real: Sequence[Smear], synthetic: Sequence[Smear], seed: int) -> None:
        for kind, given, needed in (("real", real, plan.real), ("synthetic", synthetic, plan.synthetic)):
            if len(given) < needed:
                raise ValueError(f"arm {plan.arm} needs {needed} {kind} smears but {len(given)} were given")
        self.plan, self.seed = plan, seed
        self._sources = [(real, k) for k in range(plan.real)] + [(synthetic, k) for k in range(plan.synthetic)]
        self._read: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def __len__(self) -> int:
        return self.plan.samples

    def _smear(self, position: int) -> tuple[np.ndarray, np.ndarray]:
        if position not in self._read:
            folder, k = self._sources[position]
            smear = folder[k]
            self._read[position] = (smear.image, smear.instances.astype(np.uint16))  # half the memory
        return self._read[position]

    def crop(self, sample: int, side_px: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Cut a random square from one sample.

        Parameters
        ----------
        sample : int
            0 to ``len(self) - 1``.
        side_px : int
            A smaller image is mirrored at its far edges.
        rng : numpy.random.Generator
            Decides the place only.

        Returns
        -------
        image : uint8 (side_px, side_px, 3)
        instances : int32 (side_px, side_px)
            Numbered 1..n without gaps.
        """
        image, instances = self._smear(sample % len(self._sources))
        missing = [max(side_px - n, 0) for n in instances.shape]
        row, column = (int(rng.integers(max(n - side_px, 0) + 1)) for n in instances.shape)
        window = (slice(row, row + side_px), slice(column, column + side_px))
        image, instances = image[window], instances[window]
        if any(missing):
            image = np.pad(image, [(0, missing[0]), (0, missing[1]), (0, 0)], mode="symmetric")
            instances = np.pad(instances, [(0, missing[0]), (0, missing[1])], mode="symmetric")
        ids, numbered = np.unique(instances, return_inverse=True)
        instances = (numbered.reshape(instances.shape) + (ids[0] > 0)).astype(np.int32)  # (H·W,) -> (H, W)
        if self.plan.augmented:
            fixed = np.random.default_rng([self.seed, sample])
            image, instances = augment.apply(augment.draw(fixed), image, instances, rng=fixed)
        return image, instances

    def batches(self, size: int, side_px: int, rng: np.random.Generator) -> Iterator[list[tuple]]:
        """Give batches of (image, instances) for ever, samples drawn evenly."""
        while True:
            yield [self.crop(int(rng.integers(len(self))), side_px, rng) for _ in range(size)]
