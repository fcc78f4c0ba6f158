"""Synthetic smears without end, painted while a network trains on them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import torch
from scipy.ndimage import find_objects
from threadpoolctl import threadpool_limits
from torch import Tensor, distributed
from torch.utils.data import IterableDataset, get_worker_info

from .gan.data import to_network
from .gan.precision import memory_kept
from .sampler.masks import CrowdedWarning
from .sampler.requested import whole_seed
from .smears import Smear, relabel
from .synthesis import Synthesizer

LEAST_PX = 20  # ours: what is left of a cell at the border of a real window


class SyntheticSmears(IterableDataset):
    """Draw masks and paint them on the fly, real crops mixed in, for a `torch.utils.data.DataLoader`.

    Parameters
    ----------
    synthesizer : Synthesizer
    shape : (height, width)
        Of every sample, in pixels.
    seed : int
    length : int, optional
        Samples of one epoch over all ranks; each rank gets ``length // world_size``. None: without end.
    real : sequence of Smear, optional
        Real smears, none smaller than `shape`, that windows are cut from and mirrored.
    real_share : float
        Probability that a sample is real, in [0, 1]; 0 needs no `real`.
    transform : callable, optional
        Takes a `Smear` and the sample's own generator, gives what is handed on; `to_tensors` if not given. Workers
        import it wherever they are not forked (macOS, Windows, Python from 3.14 on), so that it must not be a lambda,
        nor be defined in a notebook.
    style : int, optional
        Cluster of the cells' look in every painted sample; None draws one for each.
    fast : bool
        Whether to paint in bfloat16 where the machine can: less than a grey level away on average, but not
        the same bytes on every machine.
    rank, world_size : int, optional
        Place among several training processes, both or neither; asked of `torch.distributed` if not given.

    Raises
    ------
    ValueError
        If an argument is not what is allowed, or when drawn from, if a real smear is smaller than `shape`.

    Notes
    -----
    Samples are numbered over all workers and ranks: the i-th of worker w of W in rank r of R is number
    (i·W + w)·R + r. Number k of epoch e depends on (seed, e, k) alone, so that no two workers or ranks give the
    same sample, and any number of workers and ranks gives the same set. Real windows are drawn with replacement;
    slivers of cells at their borders (under `LEAST_PX`, or a pixel wide) are background.
    Each worker fills batches of its own, as with every stream in torch: where the samples do not come out even
    among the workers, an epoch has more batches than the loader's ``len`` says, and with ``drop_last`` fewer, or none;
    choose a length that is a multiple of workers times batch.
    A finite stream repeats itself unless `set_epoch` is called before each epoch, as for torch's
    ``DistributedSampler``; it reaches persistent workers too. Where cells find no room, a sample has fewer.
    Bailo et al. 2019, §4, advise against painting while training because of its cost. Book: chapter 16.
    """

    def __init__(
        self,
        synthesizer: Synthesizer,
        shape: tuple[int, int],
        seed: int = 0,
        length: int | None = None,
        real: Sequence[Smear] | None = None,
        real_share: float = 0.0,
        transform: Callable[[Smear, np.random.Generator], Any] | None = None,
        style: int | None = None,
        fast: bool = True,
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= real_share <= 1:
            raise ValueError(f"real_share is {real_share}; allowed is a probability, 0 to 1")
        if real_share and not real:
            raise ValueError(f"real_share is {real_share} but there are no real smears; give real=, or real_share=0")
        if length is not None and length < 1:
            raise ValueError(f"length is {length}; allowed is 1 or more, or None for a stream without end")
        if (rank is None) != (world_size is None) or (rank is not None and not 0 <= rank < world_size):
            raise ValueError(f"rank is {rank} of {world_size}; needed are both, with 0 ≤ rank < world_size, or neither")
        if style is not None:
            synthesizer.styles.check(style)
        seed = whole_seed(seed)
        self.synthesizer, self.shape, self.seed, self.length = synthesizer, tuple(shape), seed, length
        self.real, self.real_share, self.style, self.fast = real, real_share, style, fast
        self.transform = transform or to_tensors
        self._place = None if rank is None else (rank, world_size)
        self._epoch = torch.zeros(1, dtype=torch.int64).share_memory_()  # seen by workers that are already running

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch the next pass is: each has samples of its own."""
        self._epoch[0] = epoch

    @property
    def place(self) -> tuple[int, int]:
        """Rank and world size."""
        if self._place is not None:
            return self._place
        if distributed.is_available() and distributed.is_initialized():
            return distributed.get_rank(), distributed.get_world_size()
        return 0, 1

    def __getstate__(self) -> dict[str, Any]:
        """Travel to workers with the rank of the process that starts them: they belong to no process group."""
        return {**self.__dict__, "_place": self.place}

    def __len__(self) -> int:
        """Give the samples of one epoch in this rank."""
        if self.length is None:
            raise TypeError("a stream without end has no length; give length= to SyntheticSmears")
        return self.length // self.place[1]

    def __iter__(self) -> Iterator[Any]:
        rank, world_size = self.place
        worker = get_worker_info()
        if worker:
            _keep_to_one_thread()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        epoch, position = int(self._epoch[0]), first
        with memory_kept():
            while self.length is None or position < len(self):
                number = position * world_size + rank
                rng = np.random.default_rng([self.seed, epoch, number])
                yield self.transform(self.smear(number, rng), rng)
                position += step

    def smear(self, number: int, rng: np.random.Generator) -> Smear:
        """Draw one sample, real or painted, whose name says which."""
        if rng.random() < self.real_share:
            return self._window(self.real[int(rng.integers(len(self.real)))], rng)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CrowdedWarning)  # see Notes
            return self.synthesizer.sample(rng, self.shape, self.style, name=f"painted-{number}", fast=self.fast)

    def _window(self, smear: Smear, rng: np.random.Generator) -> Smear:
        height, width = self.shape
        spare = [have - need for have, need in zip(smear.instances.shape, self.shape, strict=True)]
        if min(spare) < 0:
            rows, columns = smear.instances.shape
            raise ValueError(
                f"real smear {smear.name!r} is {columns}×{rows} px, smaller than the samples ({width}×{height}); "
                "ask for a smaller shape"
            )
        top, left = (int(rng.integers(n + 1)) for n in spare)
        down, right = (int(step) for step in rng.choice([-1, 1], 2))
        window = slice(top, top + height), slice(left, left + width)
        image, cut = smear.image[window][::down, ::right], _without_slivers(smear.instances[window][::down, ::right])
        instances, _ = relabel(cut)
        ids = np.unique(cut)
        return replace(
            smear,
            image=np.ascontiguousarray(image),
            instances=np.ascontiguousarray(instances),
            classes=smear.classes[ids[ids > 0] - 1],
            points=None,
        )


def _without_slivers(instances: np.ndarray) -> np.ndarray:
    """Give to the background what a cut leaves of cells that is no box, or too small to be told from dust."""
    found = find_objects(instances)  # None for ids that are not there
    kept = np.zeros(len(found) + 1, dtype=instances.dtype)
    areas = np.bincount(instances.ravel(), minlength=len(found) + 1)
    for k, box in enumerate(found, start=1):
        if box is not None and areas[k] >= LEAST_PX and min(side.stop - side.start for side in box) > 1:
            kept[k] = k
    return kept[instances]


def _keep_to_one_thread() -> None:
    """Let the libraries of a worker use one thread, as torch does there: several workers would wait for each other."""
    cv2.setNumThreads(0)  # which is one; a forked process that asks for 1 waits for threads that it does not have
    threadpool_limits(1)


def to_arrays(smear: Smear, rng: np.random.Generator | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Give the picture uint8 (H, W, 3) and the instances int32 (H, W) of a smear, as the evaluators take them."""
    return smear.image, smear.instances


def to_tensors(smear: Smear, rng: np.random.Generator | None = None) -> dict[str, Tensor | str]:
    """Give a smear as torch's default collation stacks it.

    Returns
    -------
    dict
        ``image`` float32 (3, H, W) in [-1, 1], ``instances`` int64 (H, W), ``name`` of the smear.
    """
    return {
        "image": to_network(smear.image),
        "instances": torch.from_numpy(smear.instances.astype(np.int64)),
        "name": smear.name,
    }
