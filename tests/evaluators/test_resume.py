"""A run that is stopped at any step and started again ends as if it had never been stopped."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from test_protocol import toy

from bloodlib._files import read_json
from bloodlib.evaluators import protocol, resume, run, tasks
from bloodlib.evaluators.arms import Samples, plan
from bloodlib.evaluators.config import TASKS, preset
from bloodlib.evaluators.resume import Unfinished
from bloodlib.evaluators.training import _ahead, _with_state, train
from bloodlib.gan import checkpoint

SMALL = {"steps": 6, "checkpoints": 3, "crop_px": 64, "batch": 2}
NOT_REPEATED = ("seconds", "cost", "resumed")  # clocks and memory, and that it was stopped


def go(task: str, folder=None, seed: int = 0, shortest: float = 0.0) -> dict:
    unfinished = Unfinished(folder, shortest)
    parts = [toy(0), toy(1)], [toy(2)], [toy(3)]
    return protocol.run(
        task, "RD+aug", seed, *parts, config=preset("smoke", task, **SMALL), accelerator="cpu", unfinished=unfinished
    )


@pytest.fixture(autouse=True)
def at_every_step(monkeypatch):
    monkeypatch.setattr(resume, "SHARE", 0)


def stopping(monkeypatch, at: int):
    """Let the process end in step `at` (from 1) of what comes next; gives how many steps were begun."""
    begun, loss = [], tasks.loss

    def stops(*given):
        begun.append(1)
        if len(begun) == at:
            raise KeyboardInterrupt
        return loss(*given)

    monkeypatch.setattr(tasks, "loss", stops)
    return begun


@pytest.mark.parametrize("task", TASKS)
def test_it_ends_as_if_never_stopped(tmp_path, monkeypatch, task):
    unbroken = go(task)
    assert "resumed" not in unbroken
    for at in (1, 3, 2):  # in steps 1, 3 and 4 of six, twice behind a check
        with monkeypatch.context() as patch:
            patch.setattr(protocol, "_commit", lambda at=at: f"code {at}")
            stopping(patch, at)
            with pytest.raises(KeyboardInterrupt):
                go(task, tmp_path / "run")
    begun = stopping(monkeypatch, -1)
    found = go(task, tmp_path / "run")
    assert len(begun) == 3, "steps before the last checkpoint are not taken again"
    assert [(one["step"], one["commit"]) for one in found["resumed"]] == [(2, "code 3"), (3, "code 2")], "who made them"
    assert found["resumed"][0]["processor"] == found["processor"]
    for name in unbroken.keys() - NOT_REPEATED:
        assert found[name] == unbroken[name], name


def test_a_checkpoint_of_another_run_is_passed_over(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stopping(patch, 4)
        with pytest.raises(KeyboardInterrupt):
            go("fcn8s", tmp_path / "run", seed=1)
    found = go("fcn8s", tmp_path / "run")
    assert "resumed" not in found
    assert found["losses"] == go("fcn8s")["losses"]


def test_a_damaged_one_is_named(tmp_path):
    (tmp_path / checkpoint.CHECKPOINT).write_bytes(b"no tensors")
    with pytest.raises(ValueError, match=r"checkpoint\.safetensors: is no checkpoint .*; delete it to begin again"):
        go("fcn8s", tmp_path)


def test_one_of_other_code_is_named(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stopping(patch, 4)
        with pytest.raises(KeyboardInterrupt):
            go("fcn8s", tmp_path)
    monkeypatch.setattr(tasks, "build", lambda config, _: torch.nn.Conv2d(3, 1, 1))
    with pytest.raises(ValueError, match=r"checkpoint\.safetensors: was written by other code .*; delete it to begin"):
        go("fcn8s", tmp_path)


def test_nobody_goes_on_from_a_run_without_a_name(tmp_path):
    samples = Samples(plan("RD", 1), [toy(0)], (), 0)
    with pytest.raises(ValueError, match="identity is empty"):
        train(samples, preset("smoke", "fcn8s", **SMALL), 0, accelerator="cpu", unfinished=Unfinished(tmp_path))


def test_without_room_for_a_checkpoint_the_run_ends_all_the_same(tmp_path, room_for):
    expected = go("fcn8s")
    with room_for(2000), pytest.warns(UserWarning, match="no checkpoint was written .*; the run goes on"):
        found = go("fcn8s", tmp_path / "run")
    assert found["per_image"] == expected["per_image"]


def test_short_runs_write_none(tmp_path):
    go("fcn8s", tmp_path / "run", shortest=3600.0)
    assert not (tmp_path / "run").exists()


def test_writing_takes_a_small_share(tmp_path, monkeypatch):
    monkeypatch.setattr(resume, "SHARE", 1e9)
    written, write = [], checkpoint.write_checkpoint

    def counted(*given):
        written.append(1)
        write(*given)

    monkeypatch.setattr(resume, "write_checkpoint", counted)
    go("fcn8s", tmp_path / "run")
    assert len(written) == 1, "the next only after so many times what the first took"


def test_batches_drawn_ahead_are_drawn_again():
    samples = Samples(plan("RD", 2), [toy(0), toy(1)], (), 0)
    first = np.random.default_rng(5)
    straight = [image for batch in itertools.islice(samples.batches(2, 40, first), 6) for image, _ in batch]
    rng = np.random.default_rng(5)
    used = list(itertools.islice(_ahead(_with_state(samples.batches(2, 40, rng), rng)), 4))
    rng = np.random.default_rng(0)
    rng.bit_generator.state = used[-1][1]
    rest = [image for batch in itertools.islice(samples.batches(2, 40, rng), 2) for image, _ in batch]
    np.testing.assert_array_equal(rest, straight[8:])


def test_the_command_goes_on_and_leaves_no_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(resume, "SHORTEST", 0.0)
    monkeypatch.setattr(run, "inputs", lambda *_: {"fit": [toy(0)], "validation": [toy(1)], "test": [toy(2)]})
    out = tmp_path / "smoke-toy" / "fcn8s-RD-0.json"
    command = ["--task", "fcn8s", "--arm", "RD", "--profile", "smoke", "--steps", "3", "--accelerator", "cpu"]
    command += ["--artifacts", str(tmp_path / "made"), "--out", str(out)]
    with monkeypatch.context() as patch:
        stopping(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            run.main(command)
    assert len(list((tmp_path / "made" / "unfinished").rglob("*.safetensors"))) == 1
    assert run.main(command) == 0
    assert read_json(out)["resumed"][0]["step"] == 2
    assert not list((tmp_path / "made" / "unfinished").iterdir())
