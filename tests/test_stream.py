"""A stream of painted smears: the same samples on any number of workers and ranks, each once, none shared."""

from __future__ import annotations

import pickle
from collections import Counter
from dataclasses import replace
from itertools import islice
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info
from torch import distributed, multiprocessing
from torch.utils.data import DataLoader

import bloodlib
from bloodlib.gan.config import Stage
from bloodlib.smears import Smear
from bloodlib.stream import SyntheticSmears, to_tensors
from bloodlib.synthesis import Synthesizer

SHAPE = (48, 64)


@pytest.fixture(scope="module")
def smears():
    return bloodlib.load("phantom", split="fit", shape=(160, 240))[:3]


@pytest.fixture(scope="module")
def synth(smears):
    stages = (Stage(crop=32, steps=1, constant=1.0), Stage(crop=32, steps=1))
    return Synthesizer.fit(smears, stages=stages, filters=2, blocks=1, progress=False)


def key(smear: Smear, rng=None) -> bytes:
    """Reduce a sample to its mask; pictures differ in the last bit with the number of threads."""
    return smear.instances.tobytes()


def drawn(stream, workers=0, **options):
    """Give all samples of one epoch, through a loader."""
    return list(DataLoader(stream, batch_size=None, num_workers=workers, **options))


def test_any_number_of_workers_gives_the_same_samples_each_once(synth):
    stream = SyntheticSmears(synth, SHAPE, seed=3, length=7, transform=key)
    alone = list(stream)
    assert len(stream) == len(set(alone)) == 7
    for workers in (1, 2):
        assert drawn(stream, workers) == alone, "a loader takes turns, so even the order is the same"


def threads(smear: Smear, rng=None) -> list[int]:
    """Give the threads of OpenCV, of torch and of every library with a pool of its own where this runs."""
    return [cv2.getNumThreads(), torch.get_num_threads(), *(pool["num_threads"] for pool in threadpool_info())]


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_a_worker_uses_one_thread_whatever_library_computes(synth, start):
    cv2.GaussianBlur(np.zeros((2000, 2000)), (0, 0), 3)  # starts OpenCV's threads, which a forked worker does not have
    stream = SyntheticSmears(synth, SHAPE, length=2, transform=threads)
    found = drawn(stream, 2, multiprocessing_context=start)
    assert len(found) == 2
    assert {count for counts in found for count in counts} <= {0, 1}, "OpenCV calls it 0 or 1"
    before = threads(None)
    list(stream)
    assert threads(None) == before, "without workers the process keeps its threads"


def test_ranks_share_out_the_samples_of_one_process(synth):
    alone = list(SyntheticSmears(synth, SHAPE, length=6, transform=key))
    parts = [SyntheticSmears(synth, SHAPE, length=7, transform=key, rank=r, world_size=3) for r in range(3)]
    assert [len(part) for part in parts] == [2, 2, 2], "ranks of unequal length would wait for one another for ever"
    assert Counter(sample for part in parts for sample in drawn(part, 2)) == Counter(alone)


def gather(rank, synth, address, folder):
    """Draw in one of two processes of a group, whose loader has a spawned worker that knows of no group."""
    distributed.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    stream = SyntheticSmears(synth, SHAPE, length=6, transform=key)
    found = drawn(stream, 1, multiprocessing_context="spawn")
    torch.save([np.frombuffer(sample, np.int32).tolist() for sample in found], folder / f"{rank}.pt")
    distributed.destroy_process_group()


def test_a_stream_travels_to_workers_with_the_rank_of_its_process(monkeypatch):
    stream = SyntheticSmears(None, SHAPE)
    assert stream.place == (0, 1)
    with monkeypatch.context() as group:
        group.setattr(distributed, "is_initialized", lambda: True)
        group.setattr(distributed, "get_rank", lambda: 1)
        group.setattr(distributed, "get_world_size", lambda: 3)
        packed = pickle.dumps(stream)
    assert pickle.loads(packed).place == (1, 3), "a spawned worker belongs to no group"


@pytest.mark.nightly
def test_workers_of_a_process_group_know_their_rank(synth, tmp_path):
    multiprocessing.spawn(gather, (synth, f"file://{tmp_path / 'meet'}", tmp_path), nprocs=2)
    found = [sample for rank in range(2) for sample in torch.load(tmp_path / f"{rank}.pt", weights_only=True)]
    alone = SyntheticSmears(synth, SHAPE, length=6, transform=key)
    assert sorted(found) == sorted(np.frombuffer(sample, np.int32).tolist() for sample in alone)


@pytest.mark.parametrize("persistent", [False, True])
def test_epochs_have_samples_of_their_own_and_reach_running_workers(synth, persistent):
    stream = SyntheticSmears(synth, SHAPE, length=4, transform=key)
    loader = DataLoader(stream, batch_size=None, num_workers=2, persistent_workers=persistent)
    epochs = []
    for epoch in range(3):
        stream.set_epoch(epoch)
        epochs.append(list(loader))
    assert len({sample for epoch in epochs for sample in epoch}) == 12
    stream.set_epoch(1)
    assert list(loader) == epochs[1]


def test_a_stream_without_end_goes_on_and_has_no_length(synth):
    stream = SyntheticSmears(synth, SHAPE, transform=key)
    assert len(set(islice(iter(DataLoader(stream, batch_size=None, num_workers=2)), 9))) == 9
    with pytest.raises(TypeError, match="give length="):
        len(stream)


def test_batches_are_stacked_as_networks_want_them(synth):
    (batch, _) = DataLoader(SyntheticSmears(synth, SHAPE, length=4), batch_size=2)
    assert batch["image"].shape == (2, 3, *SHAPE)
    assert batch["image"].dtype == torch.float32
    assert -1 <= batch["image"].min() < batch["image"].max() <= 1
    assert batch["instances"].shape == (2, *SHAPE)
    assert batch["name"] == ["painted-0", "painted-1"]


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_share_of_real_samples_is_the_one_asked_for(smears, share):
    held = list(smears)  # the phantom is rendered each time it is asked for
    painter = SimpleNamespace(sample=lambda rng, shape, style, name, fast: replace(held[0], name=name))
    names = [s["name"] for s in SyntheticSmears(painter, SHAPE, length=400, real=held, real_share=share)]
    real = [name for name in names if not name.startswith("painted")]
    # Binomial(400, 0.3) is further than 40 from its mean with probability 1e-5, and the seed is fixed.
    assert abs(len(real) - 400 * share) <= (40 if 0 < share < 1 else 0)
    assert set(real) <= set(smears.names)


def test_real_samples_are_windows_of_the_smears_with_their_own_labels():
    rows, columns = np.indices((24, 27))
    image = np.stack([rows, columns, np.zeros_like(rows)], axis=-1).astype(np.uint8)
    instances = (1 + columns // 9).astype(np.int32)  # three cells of nine columns each
    smear = Smear(image, instances, classes=np.array([4, 5, 6]), name="r")
    stream = SyntheticSmears(None, (15, 17), length=60, real=[smear], real_share=1.0, transform=lambda s, rng: s)
    seen, left = set(), set()
    for cut in stream:
        assert cut.image.shape == (15, 17, 3)
        cell, strip = cut.instances > 0, 4 + cut.image[..., 1] // 9
        assert (cut.classes[cut.instances[cell] - 1] == strip[cell]).all(), "labels move with the pixels"
        assert cut.instances.max() == len(cut.classes) == len(np.unique(cut.instances[cell]))
        widths = {kind: int((strip[0] == kind).sum()) for kind in np.unique(strip)}
        assert {int(kind) for kind in np.unique(strip[~cell])} == {kind for kind, width in widths.items() if width < 2}
        left |= set(widths.values())
        seen.add(cut.image.tobytes())
    assert len(seen) > 40, "of 10 · 11 places in 4 views"
    assert {1, 2} <= left, "slivers of one column are background, of two (30 px) are cells"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"real_share": 1.5}, "real_share is 1.5"),
        ({"real_share": 0.5}, "there are no real smears"),
        ({"length": 0}, "length is 0"),
        ({"rank": 1}, "rank is 1 of None"),
        ({"rank": 2, "world_size": 2}, "rank is 2 of 2"),
    ],
)
def test_bad_arguments_are_named(options, says):
    with pytest.raises(ValueError, match=says):
        SyntheticSmears(None, SHAPE, **options)


def test_a_real_smear_that_is_too_small_is_named(smears):
    stream = SyntheticSmears(None, (200, 64), real=smears, real_share=1.0)
    with pytest.raises(ValueError, match=r"real smear '\w+' is 240×160 px, smaller than the samples \(64×200\)"):
        next(iter(stream))


def test_a_sample_comes_as_tensors(smears):
    one = to_tensors(smears[0])
    assert torch.equal(one["instances"], torch.from_numpy(smears[0].instances.astype(np.int64)))
    assert one["image"][:, 0, 0].tolist() == pytest.approx((smears[0].image[0, 0] / 127.5 - 1).tolist())


@pytest.mark.parametrize(
    ("option", "says"), [({"style": 99}, "style is 99; this painter has"), ({"seed": -1}, "seed=-1")]
)
def test_what_the_painter_cannot_draw_is_refused_at_once(synth, option, says):
    with pytest.raises(ValueError, match=says):
        SyntheticSmears(synth, SHAPE, **option)
