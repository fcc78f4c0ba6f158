"""A training that is killed outright, again and again, ends where an unbroken one ends."""

import multiprocessing
import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from measured import keep_counts
from toy import LONGER, toy_smears, train

from bloodlib.gan.checkpoint import read_checkpoint
from bloodlib.gan.objective import LOSSES
from bloodlib.gan.training import CHECKPOINT, Trainer

FIRST, SECOND = (stage.steps for stage in LONGER.stages)
EVERY = LONGER.checkpoint_every
RANGES = ((EVERY, FIRST - EVERY), (FIRST - EVERY, FIRST), (FIRST + EVERY, FIRST + SECOND - EVERY))  # of both stages
ROUNDS = 7 if os.environ.get("BLOODLIB_NIGHTLY") else 1  # kills in each of them


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def done(folder):
    return len(read_checkpoint(folder / CHECKPOINT)[1]["history"]["step"])


def damaged(folder):
    try:
        done(folder)
    except ValueError:
        return True
    return False


def test_killed_at_any_instant_it_goes_on_to_the_same_weights(tmp_path, one_thread):
    context = multiprocessing.get_context("forkserver")  # imports torch once, for all trainings
    context.set_forkserver_preload(["bloodlib.gan.training", "lightning_fabric"])
    folder = tmp_path / "killed"

    def trained(**killed):
        child = context.Process(target=train, args=(folder,), kwargs=killed)
        child.start()
        return child

    first = trained(in_write=2)
    whole = Trainer(LONGER, toy_smears(), tmp_path / "unbroken")
    whole.run()
    first.join()
    assert first.exitcode == -signal.SIGKILL
    assert list(folder.glob(".partial-*"))
    assert done(folder) == EVERY, "the checkpoint before the one that was being written is whole"

    rng, step_s = np.random.default_rng(0), np.median(whole.history["seconds"])
    instants = [sorted(int(step) for step in rng.integers(low, high, ROUNDS)) for low, high in RANGES]
    kills, resumed, corrupt = 1, 0, 0
    for instant in (step for some in instants for step in some):
        resumed += done(folder) > 0
        killed_at = max(instant, done(folder))
        child = trained(killed_at=killed_at, delay_s=rng.uniform(0, 2 * step_s))  # in a step or in between
        child.join()
        assert child.exitcode == -signal.SIGKILL
        kills, corrupt = kills + 1, corrupt + damaged(folder)
        assert killed_at - EVERY < done(folder) < FIRST + SECOND

    last = trained()
    last.join()
    assert last.exitcode == 0
    assert not list(folder.glob(".partial-*"))
    (ours, state), (expected, unbroken) = (read_checkpoint(tmp_path / k / CHECKPOINT) for k in ("killed", "unbroken"))
    assert ours.keys() == expected.keys()
    different = sum(not torch.equal(ours[key], expected[key]) for key in expected)
    steps = [(s, k) for s, k in zip(state["history"]["stage"], state["history"]["step"], strict=True)]
    counts = {"kills": kills, "resumed": resumed, "corrupt": corrupt, "twice": len(steps) - len(set(steps))}
    keep_counts("fit", {**counts, "tensors": len(expected), "tensors_different": different})
    assert not different
    assert not corrupt
    assert all(state["history"][name] == unbroken["history"][name] for name in ("stage", "step", *LOSSES))
    assert len(state["history"]["step"]) == FIRST + SECOND


def test_an_interrupt_keeps_the_step_that_was_being_taken(tmp_path):
    class Interrupted(Trainer):
        def _update(self, *args):
            if self.done == 4:
                os.kill(os.getpid(), signal.SIGINT)
            return super()._update(*args)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        Interrupted(LONGER, toy_smears(), tmp_path).run()
    assert done(tmp_path) == 5, "no multiple of checkpoint_every"
    assert signal.getsignal(signal.SIGINT) is before
    ours, unbroken = Trainer(LONGER, toy_smears(), tmp_path), Trainer(LONGER, toy_smears())
    ours.run(stop_after=2), unbroken.run(stop_after=7)
    weights = [trainer.generator.state_dict() for trainer in (ours, unbroken)]
    assert all(torch.equal(weights[0][key], x) for key, x in weights[1].items())


@pytest.mark.parametrize("last", [FIRST, FIRST + SECOND])
def test_an_interrupt_in_the_last_step_of_a_stage_keeps_it(last, tmp_path):
    class Interrupted(Trainer):
        def _update(self, *args):
            if self.done == last - 1:
                os.kill(os.getpid(), signal.SIGINT)
            return super()._update(*args)

    config = replace(LONGER, checkpoint_every=1000)
    with pytest.raises(KeyboardInterrupt):
        Interrupted(config, toy_smears(), tmp_path).run()
    assert done(tmp_path) == last
    ours, unbroken = Trainer(config, toy_smears(), tmp_path), Trainer(config, toy_smears())
    assert ours.run()
    assert unbroken.run()
    weights = [trainer.generator.state_dict() for trainer in (ours, unbroken)]
    assert all(torch.equal(weights[0][key], x) for key, x in weights[1].items())


def test_fit_on_a_full_disk_keeps_the_last_checkpoint_and_says_so(tmp_path, room_for):
    Trainer(LONGER, toy_smears(), tmp_path).run(stop_after=4)
    before = (tmp_path / CHECKPOINT).read_bytes()
    with room_for(5000), pytest.raises(OSError, match=r"checkpoint\.safetensors: could not be written|too large"):
        Trainer(LONGER, toy_smears(), tmp_path).run()
    assert (tmp_path / CHECKPOINT).read_bytes() == before
    assert len(read_checkpoint(tmp_path / CHECKPOINT)[1]["history"]["step"]) == 4
    assert not list(tmp_path.glob(".partial-*"))
