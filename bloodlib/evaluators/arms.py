"""The kinds of training data that are compared: the five arms of Table 2, and controls beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..smears import Smear

ARMS = ("RD", "SD", "RD+aug", "RD+SD", "RD+SD+aug")

SOURCES = {
    "painted": "masks drawn by Eq. 3 with augmented shapes, painted",
    "uniform": "the same, but cells placed uniformly at random",
    "overlap": "the same, but a cell may lie on others, by a tenth of its area",
    "plain": "the same, but shapes as they were cut out: no rotation, scaling or flip",
    "camera": "painted, with the light, the colour fringes and the grain of real pictures",
    "released": "masks and paint of the released painter: looks of their own, even outlines, and a camera",
    "repainted": "the masks of real smears, painted in these smears' own looks",
    "shuffled": "painted, each image with the mask of the next one",
    "copy-paste": "real smears with cells of other real smears pasted in",
}
"""What the synthetic part of an arm can be made of."""


@dataclass(frozen=True)
class Control:
    """Say how a control differs from one of the five arms, what it is compared with, and why it is there."""

    base: str  # the arm that it varies
    against: str  # the arm that it is compared with
    why: str
    source: str = "painted"  # one of SOURCES
    real_share: float | None = None  # share of every batch that is real
    most_real: int | None = None  # real smears that are used


CONTROL_ARMS = {
    "SD-uniform": Control("SD", "SD", "without adhesion: cells lie uniformly", "uniform"),
    "SD-overlap": Control(
        "SD", "SD", "cells in contact: a drawn cell may lie on others by a tenth of its area", "overlap"
    ),
    "SD-plain": Control(
        "SD", "SD", "without shape augmentation, a part of the paper's own explanation of a gain", "plain"
    ),
    "SD-repainted": Control("SD", "RD", "real masks, painted: is it the paint, or the drawn masks?", "repainted"),
    "SD-camera": Control("SD", "SD", "as a camera would see it: does what painters leave out matter?", "camera"),
    "SD-released": Control(
        "SD", "SD", "all that was done about what gives paintings away: does it matter?", "released"
    ),
    "RD+SD-shuffled": Control(
        "RD+SD", "RD+SD", "with wrong masks: a gain that survives comes from elsewhere", "shuffled"
    ),
    "RD+SD-overlap": Control(
        "RD+SD", "RD+SD", "cells in contact: does it add to real smears what it adds alone?", "overlap"
    ),
    "RD+SD-half": Control("RD+SD", "RD+SD", "half of every batch real: few real smears do not drown", real_share=0.5),
    "RD+CP": Control("RD+SD", "RD", "real cells pasted into real smears: tried first in practice", "copy-paste"),
    **{f"RD-{n}": Control("RD", "RD", f"with {n} real smears only", most_real=n) for n in (5, 10, 20)},
    **{
        f"RD+SD-{n}": Control("RD+SD", f"RD-{n}", f"{n} real smears, but a painter that saw all", most_real=n)
        for n in (5, 10, 20)
    },
}
CONTROLS = tuple(CONTROL_ARMS)
REFERENCE = {name: control.against for name, control in CONTROL_ARMS.items()}


@dataclass(frozen=True)
class Plan:
    """Say what an arm is made of: real and synthetic smears, and how many samples they become."""

    arm: str
    real: int
    synthetic: int
    samples: int
    augmented: bool
    source: str = "painted"  # one of SOURCES
    real_share: float | None = None  # share of the draws that are real; None: every sample is as likely

    @property
    def painted(self) -> bool:
        """Whether a painter is needed."""
        return bool(self.synthetic) and self.source != "copy-paste"


def plan(arm: str, real: int, multiple: int = 16) -> Plan:
    """Scale the paper's composition of an arm to the size of a set.

    Parameters
    ----------
    arm : str
        One of `ARMS` or `CONTROLS`.
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
    "aug" are random augmentations of theirs, one per sample. Controls are ours; those with fewer real
    smears keep the number of synthetic ones. Book: chapter 11.

    Examples
    --------
    >>> plan("RD+SD", 60)
    Plan(arm='RD+SD', real=60, synthetic=900, samples=960, augmented=False, source='painted', real_share=None)
    >>> plan("RD+SD-5", 60).real, plan("RD+SD-5", 60).synthetic
    (5, 900)
    """
    if arm not in ARMS + CONTROLS:
        raise ValueError(f"arm is {arm!r}, allowed are {', '.join(ARMS + CONTROLS)}")
    if real < 1 or multiple < 1:
        raise ValueError(f"real is {real} and multiple {multiple}; both must be 1 or more")
    control = CONTROL_ARMS.get(arm, Control(arm, arm, ""))
    base = control.base
    uses_real, uses_synthetic, augmented = base != "SD", "SD" in base, base.endswith("aug")
    synthetic = 0 if not uses_synthetic else real if base == "SD" else real * (multiple - 1)
    kept = min(real, control.most_real or real) * uses_real
    samples = real * multiple if augmented else kept + synthetic
    return Plan(arm, kept, synthetic, samples, augmented, control.source, control.real_share)


class Samples:
    """Draw random crops from the samples of one arm.

    Parameters
    ----------
    plan : Plan
    real, synthetic : sequence of Smear
        At least as many as the plan uses; the synthetic are the first ones, the real are spread evenly
        over those given. Each is read once and kept.
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
        spread = np.linspace(0, len(real) - 1, plan.real).round().astype(int).tolist() if plan.real else []
        self._sources = [(real, k) for k in spread] + [(synthetic, k) for k in range(plan.synthetic)]
        self._read: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def __len__(self) -> int:
        return self.plan.samples

    def _smear(self, position: int) -> tuple[np.ndarray, np.ndarray]:
        if position not in self._read:
            folder, k = self._sources[position]
            smear = folder[k]
            self._read[position] = (smear.image, smear.instances.astype(np.uint16))  # half the memory
        return self._read[position]

    def synthetic(self, most: int) -> list[Smear]:
        """Give the first synthetic smears that are used, at most so many."""
        first = range(self.plan.real, self.plan.real + min(self.plan.synthetic, most))
        return [Smear(image, instances.astype(np.int32)) for image, instances in map(self._smear, first)]

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
            instances = _mirrored(instances, missing)
        ids, numbered = np.unique(instances, return_inverse=True)
        instances = (numbered.reshape(instances.shape) + (ids[0] > 0)).astype(np.int32)  # (H·W,) -> (H, W)
        if self.plan.augmented:
            from .. import augment  # needs torch, which planning a grid does not

            fixed = np.random.default_rng([self.seed, sample])
            image, instances = augment.apply(augment.draw(fixed), image, instances, rng=fixed)
        return image, instances

    def batches(self, size: int, side_px: int, rng: np.random.Generator) -> Iterator[list[tuple]]:
        """Give batches of (image, instances) for ever, samples drawn evenly or by the plan's real share."""
        while True:
            yield [self.crop(self._draw(place, size, rng), side_px, rng) for place in range(size)]

    def _draw(self, place: int, size: int, rng: np.random.Generator) -> int:
        share, real = self.plan.real_share, self.plan.real
        if share is None:
            return int(rng.integers(len(self)))
        whole, rest = divmod(share * size, 1)
        if place < whole or (place == whole and rest and rng.random() < rest):
            return int(rng.integers(real))
        return real + int(rng.integers(self.plan.synthetic))


def _mirrored(instances: np.ndarray, missing: Sequence[int]) -> np.ndarray:
    """Reflect instances int (H, W) at their far edges; what a cell that does not reach the edge becomes is another."""
    instances = instances.astype(np.int32)
    for axis, left in enumerate(missing):
        while left > 0:  # each reflection has cells of its own
            width = min(left, instances.shape[axis])
            at_seam = np.unique(np.take(instances, -1, axis=axis))
            sides = [(0, width if axis == k else 0) for k in range(2)]
            longer = np.pad(instances, sides, mode="symmetric")
            beyond = np.moveaxis(longer, axis, 0)[instances.shape[axis] :]
            beyond[(beyond > 0) & ~np.isin(beyond, at_seam)] += instances.max()
            instances, left = longer, left - width
    return instances
