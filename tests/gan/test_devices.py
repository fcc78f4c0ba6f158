"""One training shared by two processes: the losses of one, one checkpoint, and what cannot be shared is refused."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from toy import TINY, toy_smears
from two_devices import fit

from bloodlib.gan.checkpoint import read_checkpoint
from bloodlib.gan.config import Stage
from bloodlib.gan.data import Crops, label
from bloodlib.gan.objective import LOSSES
from bloodlib.gan.precision import is_first
from bloodlib.gan.training import CHECKPOINT, Trainer
from bloodlib.sampler.masks import MaskGenerator
from bloodlib.synthesis import Synthesizer

PROGRAM = Path(__file__).with_name("two_devices.py")


def on_two(folder, *killed_at):
    """Train on two processes, to the end or until the first is killed."""
    command = [sys.executable, str(PROGRAM), str(folder), *map(str, killed_at)]
    quiet = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=quiet, capture_output=True, text=True, check=False, timeout=300)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_two_processes_take_the_steps_of_one_also_after_a_kill(tmp_path):
    folder = tmp_path / "shared"
    first = on_two(folder, 7)  # a step of the second stage
    assert first.returncode == -signal.SIGKILL
    assert len(read_checkpoint(folder / CHECKPOINT)[1]["history"]["step"]) == 6
    pids = [int((tmp_path / f"pid-{rank}").read_text()) for rank in (0, 1)]
    deadline = time.monotonic() + 120
    while alive(pids[1]) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not alive(pids[1]), "the second process ends when the first is gone"

    second = on_two(folder)
    assert second.returncode == 0, second.stderr[-2000:]
    assert len({*pids, *(int((tmp_path / f"pid-{rank}").read_text()) for rank in (0, 1))}) == 4, "two again"
    alone = fit(tmp_path / "alone")
    found = json.loads((folder / "history.json").read_text())
    for name in ("stage", "step"):
        assert found[name] == alone.history[name]
    for name in LOSSES:  # measured: less than 1e-6 apart
        np.testing.assert_allclose(found[name], alone.history[name], rtol=1e-5, atol=2e-6, err_msg=name)
    ours, expected = (json.loads((tmp_path / one / "config.json").read_text()) for one in ("shared", "alone"))
    assert ours["identity"] == expected["identity"], "the number of devices does not make another model"
    assert {path.name for path in folder.iterdir()} == {path.name for path in (tmp_path / "alone").iterdir()}


def test_parts_of_a_batch_are_disjoint_and_together_the_whole():
    stage = Stage(crop=32, batch=6, steps=1)
    whole = Crops([label(smear, TINY) for smear in toy_smears()], stage).draw(np.random.default_rng(0))
    parts = [whole.part(rank, 3) for rank in range(3)]
    for name in ("image", "instances", "kinds", "noise"):
        joined = torch.stack([getattr(part, name) for part in parts], 1).flatten(0, 1)  # (2, 3, …) -> (6, …)
        assert torch.equal(joined, getattr(whole, name))
    assert parts[0].features is None
    assert whole.part(0, 1) is whole


def test_a_batch_that_cannot_be_shared_evenly_is_refused():
    config = replace(TINY, stages=(Stage(crop=32, batch=4, steps=1), Stage(crop=32, batch=3, steps=1)))
    with pytest.raises(ValueError, match="batch is 3, which 2 devices cannot share evenly; give a multiple of 2"):
        Trainer(config, toy_smears(), devices=2)


def test_batches_are_looked_at_before_anything_is_fitted(monkeypatch):
    """Also where `fabric run` has started more processes than this one was told of."""
    monkeypatch.setattr(MaskGenerator, "fit", None)
    with pytest.raises(ValueError, match="batch is 6, which 4 devices cannot share evenly"):
        Synthesizer.fit(toy_smears(), "laptop", devices=4)
    monkeypatch.setenv("LT_CLI_USED", "1")
    monkeypatch.setenv("WORLD_SIZE", "8")
    with pytest.raises(ValueError, match="batch is 6, which 8 devices cannot share evenly"):
        Synthesizer.fit(toy_smears(), "laptop")


def test_more_devices_than_there_are_and_notebooks_are_refused(monkeypatch):
    config = replace(TINY, stages=(Stage(crop=32, batch=4, steps=1), Stage(crop=32, batch=4, steps=1)))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ValueError, match="devices is 2; allowed is 1 to 1, the GPUs here"):
        Trainer(config, toy_smears(), devices=2)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    with pytest.raises(ValueError, match="devices is 2 in an interactive session; call `bloodlib fit"):
        Trainer(config, toy_smears(), devices=2)


def test_one_device_writes_whatever_a_cluster_calls_its_jobs(monkeypatch):
    monkeypatch.delenv("LT_CLI_USED", raising=False)
    monkeypatch.setenv("SLURM_PROCID", "3")
    assert is_first(1)
    assert not is_first(2)


@pytest.mark.nightly
def test_fabric_run_starts_the_processes_as_well(tmp_path):
    fabric = Path(sys.executable).with_name("fabric")
    command = [fabric, "run", "--accelerator", "cpu", "--devices", "2", str(PROGRAM), str(tmp_path / "shared")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    found, alone = json.loads((tmp_path / "shared" / "history.json").read_text()), fit(tmp_path / "alone").history
    for name in LOSSES:
        np.testing.assert_allclose(found[name], alone[name], rtol=1e-5, atol=2e-6, err_msg=name)
