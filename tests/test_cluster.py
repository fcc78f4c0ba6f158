"""Sets written on a local Dask cluster: the bytes of one process, also when a worker is killed in the middle."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
import warnings
from contextlib import contextmanager

import joblib
import pytest

import bloodlib
from bloodlib.gan.config import Stage
from bloodlib.synthesis import Synthesizer

distributed = pytest.importorskip("distributed", reason="distributed is not installed")

SHAPE, COUNT = (48, 64), 24
pytestmark = pytest.mark.filterwarnings("ignore")  # of the cluster's own, which loses a worker


@pytest.fixture(scope="module")
def synth():
    smears = bloodlib.load("phantom", split="fit", shape=(160, 240))[:3]
    stages = (Stage(crop=32, steps=1, constant=1.0), Stage(crop=32, steps=1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Synthesizer.fit(smears, stages=stages, filters=2, blocks=1, progress=False)


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@contextmanager
def cluster(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with (
        distributed.LocalCluster(**options) as local,
        distributed.Client(local) as client,
        joblib.parallel_config(backend="dask"),
    ):
        yield client


def kill_one_when(client, folder, begun):
    """Kill a worker outright as soon as some files are written; give the thread that waits for it."""
    pids = list(client.run(os.getpid).values())

    def kill():
        while len(list(folder.glob("instances/[!.]*"))) < begun:
            time.sleep(0.01)
        os.kill(pids[0], signal.SIGKILL)
        killed.append(pids[0])

    killed: list[int] = []
    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    return thread, killed


@pytest.mark.parametrize("kind", ["masks", "smears"])
def test_a_worker_killed_in_the_middle_costs_nothing(synth, tmp_path, monkeypatch, kind):
    write = synth.layout.write if kind == "masks" else synth.write
    write(tmp_path / "here", COUNT, 0, SHAPE)
    with cluster(monkeypatch) as client:
        thread, killed = kill_one_when(client, tmp_path / "there", begun=3)
        write(tmp_path / "there", COUNT, 0, SHAPE)
        thread.join(10)
    assert killed, "no worker was killed: the test shows nothing"
    assert files(tmp_path / "there") == files(tmp_path / "here"), "nothing lost, nothing twice, nothing left over"
    listed = json.loads((tmp_path / "there" / "manifest.json").read_text())[kind]
    assert [entry["name"] for entry in listed] == [f"{k:05d}" for k in range(COUNT)]
