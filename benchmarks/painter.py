"""Time the painter, and its memory: training steps, painting and pooling on this machine, beside what is to be reached.

``python -m benchmarks.painter`` prints a table and rewrites data/results/painter/bench.json; it takes about five
minutes on two cores. Each row runs in a process of its own, so that its peak memory (libraries included) is its own.
With ``--projection`` it times a few steps of both stages of the paper profile instead, and writes what 120 + 120 epochs
of 60 smears would take here to data/results/painter/paper-projection.json.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from bloodlib._files import package_data, write_json
from bloodlib.datasets import load
from bloodlib.gan.config import PRESETS, GanConfig, Stage
from bloodlib.gan.data import fitting_crops, label
from bloodlib.gan.networks import make_painter
from bloodlib.gan.painting import encode_smear, paint_instances
from bloodlib.gan.pooling import pool_instances
from bloodlib.gan.precision import autocast_dtype, device_name, memory_kept
from bloodlib.gan.training import Trainer
from bloodlib.io import write_smear
from bloodlib.smears import Smear
from bloodlib.stream import SyntheticSmears
from bloodlib.synthesis import Synthesizer

COMMAND = "python -m benchmarks.painter"
FOLDER = package_data("results", "painter")
RELEASED = "chula_rbc12-laptop"
FULL = (1200, 1920)
CELLS = 669  # of the paper's smears, on average
MODEL = {"profile": "paper", "generator_hash": None}  # the networks as drawn: what is stored is about no painter
PAPER_COMMAND = "bloodlib fit phantom --split train --size 1920x1200 --profile paper -o build/paper"
OFFLINE = " --set perceptual=squeezenet"


@dataclass(frozen=True)
class Row:
    """Name one measurement, and what it is to reach: seconds and GiB of the whole process, None for no target."""

    kind: str
    shape: tuple[int, int]  # height, width
    target_s: float | None = None
    target_gib: float | None = None
    repeats: int = 1  # what is quick is taken more often


ROWS = (
    Row("step", (256, 256), repeats=12),
    Row("step", (512, 512), target_s=0.40, repeats=8),
    Row("step", (640, 1024), repeats=4),
    Row("step", FULL, target_s=5.0, target_gib=4.0, repeats=2),
    Row("paint", FULL, target_s=1.0, repeats=4),
    Row("paint, laptop", FULL, target_s=1.0, repeats=4),
    Row("smear, released", FULL, repeats=2),
    Row("encode", FULL, repeats=4),
    Row("pool", FULL, target_s=0.25, repeats=8),
    Row("stream", (256, 256), target_s=1 / 20),
    Row("laptop stage 1", (480, 640), repeats=2),
    Row("laptop stage 2", (480, 640), repeats=2),
)
WARM_STEPS = 4  # of a training: memory is first asked for, and kernels are made
STREAM_WORKERS, WARMING = 2, 60
PROJECTED = (Row("stage 1", (640, 1024)), Row("stage 2", FULL))


def _timed(run: Callable[[], object], times: int) -> dict[str, float]:
    """Run once to warm up, then give the median of the clock and the mean processor time of all threads."""
    run()
    seconds, cpu = [], time.process_time()
    for _ in range(times):
        begun = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begun)
    return {"seconds": statistics.median(seconds), "cpu_seconds": (time.process_time() - cpu) / times}


def _smear(shape: tuple[int, int], cells: int = 0):
    """Give the first rendered smear with at least so many cells."""
    return next(smear for smear in load("phantom", split="fit", shape=shape) if smear.count >= cells)


def _training(config: GanConfig, shape: tuple[int, int], times: int, stage: int = 0) -> dict[str, Any]:
    """Time optimiser steps on whole smears: G, E and D in the first stage, G and D in the second."""
    stages = 2 * (Stage(shape=shape, steps=WARM_STEPS + times),)
    trainer = Trainer(replace(config, stages=stages, flips=False), [_smear(shape)])
    trainer.stage = stage
    trainer.run(stop_after=WARM_STEPS)
    cpu = time.process_time()
    trainer.run(stop_after=times)
    found = {"cpu_seconds": (time.process_time() - cpu) / times, "perceptual": trainer.perceptual_used}
    return {"seconds": statistics.median(trainer.history["seconds"][WARM_STEPS : WARM_STEPS + times]), **found}


def _step(shape: tuple[int, int], times: int) -> dict[str, Any]:
    """The published networks at 16 filters, batch 1, no perceptual loss."""
    return _training(replace(PRESETS["paper"], perceptual="none"), shape, times)


def _laptop(stage: int) -> Callable[[tuple[int, int], int], dict[str, Any]]:
    """A step of the laptop profile as it is, crops, batch and perceptual network, with how many there are of them."""

    def run(shape: tuple[int, int], times: int) -> dict[str, Any]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # smaller crops, where a test asks for smaller smears
            config = fitting_crops(replace(PRESETS["laptop"], perceptual="auto"), min(shape))
        whole = config.stages[stage]
        brief = replace(whole, steps=WARM_STEPS + times + 1)  # one that is not taken: the end of a stage takes time
        smears = list(load("phantom", split="fit", shape=shape)[:4])
        trainer = Trainer(replace(config, stages=(brief, brief)), smears)
        trainer.stage = stage
        trainer.run(stop_after=WARM_STEPS)
        cpu = time.process_time()
        trainer.run(stop_after=times)
        seconds = trainer.history["seconds"][WARM_STEPS : WARM_STEPS + times]
        found = {"cpu_seconds": (time.process_time() - cpu) / times, "perceptual": trainer.perceptual_used}
        return {"seconds": statistics.median(seconds), **found, "batch": whole.batch, "steps": whole.step_count(40)}

    return run


def _projected(stage: int) -> Callable[[tuple[int, int], int], dict[str, Any]]:
    """The paper profile as it would run here; VGG-19's weights need internet, SqueezeNet's a folder."""
    config = replace(PRESETS["paper"], perceptual="auto")
    return lambda shape, times: _training(config, shape, times, stage)


def _paint(profile: str) -> Callable[[tuple[int, int], int], dict[str, Any]]:
    """One pass through G, from the mask to the bytes of the image, in bfloat16 where it can be, as a stream paints."""

    def run(shape: tuple[int, int], times: int) -> dict[str, Any]:
        generator, _ = make_painter(PRESETS[profile])
        generator.to(memory_format=torch.channels_last).eval()
        smear, rng = _smear(shape), np.random.default_rng(0)
        channels = PRESETS[profile].feature_channels * PRESETS[profile].style_terms
        means = torch.from_numpy(rng.uniform(-1, 1, (smear.count + 1, channels)).astype(np.float32))
        with memory_kept():
            return _timed(lambda: paint_instances(generator, smear.instances, means, rng=rng, fast=True), times)

    return run


def _written(shape: tuple[int, int], times: int) -> dict[str, Any]:
    """Draw, paint and write labelled smears of the released painter, as `Synthesizer.write` does in each process."""
    synth = Synthesizer.load(RELEASED)
    numbers = itertools.count()
    with TemporaryDirectory() as folder, memory_kept():

        def one() -> None:
            smear, _ = synth.make(np.random.default_rng(next(numbers)), shape, None, None, "one", None)
            write_smear(folder, smear)

        return _timed(one, times)


def _encode(shape: tuple[int, int], times: int) -> dict[str, Any]:
    """E, and the mean of its features over every instance."""
    encoder = make_painter(PRESETS["paper"])[1].to(memory_format=torch.channels_last).eval()
    seen = label(_smear(shape), PRESETS["paper"])
    return _timed(lambda: encode_smear(encoder, seen), times)


def _pool(shape: tuple[int, int], times: int) -> dict[str, Any]:
    """Pooling alone, forward and backward."""
    smear = _smear(shape, CELLS if shape == FULL else 0)
    ids = torch.from_numpy(smear.instances.astype(np.int64))[None]
    features = torch.randn(1, PRESETS["paper"].feature_channels, *shape, requires_grad=True)
    found = _timed(lambda: pool_instances(features, ids)[0].square().mean().backward(), times)
    return {**found, "instances": smear.count}


def _stream(shape: tuple[int, int], times: int) -> dict[str, Any]:
    """New labelled smears of the released model, mask and all, as a training would see them: from two processes.

    Those before are left out: kernels are made, and shapes made ready, when they are first needed.
    """
    smears = SyntheticSmears(Synthesizer.load(RELEASED), shape, transform=_processor_time)
    drawn = DataLoader(smears, batch_size=None, num_workers=STREAM_WORKERS, multiprocessing_context="spawn")
    begun, count = 0.0, 20 * times
    used: dict[int, list[float]] = {}
    for k, (process, seconds) in enumerate(itertools.islice(drawn, WARMING + count)):
        if k == WARMING:
            begun, used = time.perf_counter(), {}
        used.setdefault(process, []).append(seconds)
    elapsed = time.perf_counter() - begun
    cpu = sum(seconds[-1] - seconds[0] for seconds in used.values())
    return {"seconds": elapsed / count, "cpu_seconds": cpu / (count - len(used)), "workers": STREAM_WORKERS}


def _processor_time(smear: Smear, rng: np.random.Generator) -> tuple[int, float]:
    """Hand on, instead of a smear, which process made it and the processor time that this has used so far."""
    return os.getpid(), time.process_time()


KINDS: dict[str, Callable[[tuple[int, int], int], dict[str, Any]]] = {
    "step": _step,
    "paint": _paint("paper"),
    "paint, laptop": _paint("laptop"),
    "smear, released": _written,
    "encode": _encode,
    "pool": _pool,
    "stream": _stream,
    "laptop stage 1": _laptop(0),
    "laptop stage 2": _laptop(1),
    "stage 1": _projected(0),
    "stage 2": _projected(1),
}


def peak_bytes() -> int:
    """Give the most memory that this process has held.

    Linux's own high-water mark: the ru_maxrss of a new process begins at that of the process that started it.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return 1024 * int(line.split()[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def measure(row: Row, times: int = 3) -> dict[str, Any]:
    """Measure one row in this process.

    Returns
    -------
    dict
        ``seconds`` by the clock (median), ``cpu_seconds`` of all threads (mean), ``peak_gib`` of this process,
        on a GPU also ``gpu_gib``, and what the row says besides.
    """
    found = KINDS[row.kind](row.shape, times)
    found["peak_gib"] = peak_bytes() / 2**30
    if torch.cuda.is_available():
        found["gpu_gib"] = torch.cuda.max_memory_allocated() / 2**30
    return {key: round(x, 4) if isinstance(x, float) else x for key, x in found.items()}


def measure_apart(row: Row, times: int = 3) -> dict[str, Any]:
    """Measure one row in a new process; its peak memory is then its own.

    Raises
    ------
    RuntimeError
        If the process fails, with what it said.
    """
    size = "x".join(map(str, row.shape))
    asked = [sys.executable, "-m", "benchmarks.painter", "--row", row.kind, size, "--times", str(times)]
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(asked, check=False, cwd=root, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{row.kind} at {size} failed: {done.stderr.strip().splitlines()[-1]}")
    target = {"target_seconds": row.target_s, "target_gib": row.target_gib}
    measured = json.loads(done.stdout.strip().splitlines()[-1])
    return {"what": row.kind, "size": f"{row.shape[1]}×{row.shape[0]}", **measured, **target}


def machine() -> dict[str, Any]:
    """Say on what was measured, and how much else was running: times by the clock depend on it."""
    return {
        "device": device_name(),
        "precision": str(autocast_dtype("cuda" if torch.cuda.is_available() else "cpu")).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 1),
        "date": date.today().isoformat(),
        "versions": {name: version(name) for name in ("bloodlib", "torch")},
    }


def bench(rows: Sequence[Row] = ROWS, times: int = 3) -> dict[str, Any]:
    """Measure rows one after another and print each beside its target."""
    result = {"command": COMMAND, "model": MODEL, **machine(), "rows": []}
    print(f"{result['device']}, {result['precision']}, {result['threads']} threads, load {result['load_before']}")
    print("| what | size | seconds (reach) | CPU-s | peak GiB (reach) |\n" + "|---" * 5 + "|")
    for row in rows:
        found = measure_apart(row, times * row.repeats)
        result["rows"].append(found)
        reach = [f" ({x:g})" if x else "" for x in (row.target_s, row.target_gib)]
        timed = f"{found['seconds']:.2f}{reach[0]} | {found['cpu_seconds']:.2f}"
        print(f"| {row.kind} | {found['size']} | {timed} | {found['peak_gib']:.1f}{reach[1]} |", flush=True)
    return result


def project(rows: Sequence[Row] = PROJECTED, times: int = 2, smears: int = 60) -> dict[str, Any]:
    """Time steps of both stages of the paper profile and multiply: a projection, not a training."""
    result = {"projection": True, "measured_by": f"{COMMAND} --projection", "model": MODEL, **machine(), "stages": []}
    for row, stage in zip(rows, PRESETS["paper"].stages, strict=True):
        found, steps = measure_apart(row, times), stage.step_count(smears)
        own = found["cpu_seconds"] / result["threads"]  # if every thread had a core to itself
        hours = {"hours": round(steps * own / 3600, 1), "hours_by_clock": round(steps * found["seconds"] / 3600, 1)}
        result["stages"].append({**found, "timed_steps": times, "epochs": stage.epochs, "steps": steps, **hours})
    local = result["stages"][0]["perceptual"] == "squeezenet"
    result |= {"smears": smears, "training": PAPER_COMMAND + (OFFLINE if local else "")}
    for name in ("hours", "hours_by_clock"):
        result[name] = round(sum(stage[name] for stage in result["stages"]), 1)
    print(f"projected: {result['hours']} h with a core for each thread, {result['hours_by_clock']} h as loaded now")
    return result


def main(argv: Sequence[str] = ()) -> None:
    """Measure all, or project the paper's training; --row is for the processes that this starts."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0])
    parser.add_argument("--projection", action="store_true", help="time the paper profile's two stages instead")
    parser.add_argument("--times", type=int, default=3, help="repetitions of each (default: %(default)s)")
    parser.add_argument("--row", nargs=2, metavar=("WHAT", "HEIGHTxWIDTH"), help="measure one thing, print JSON")
    parser.add_argument("--out", type=Path, default=FOLDER)
    given = parser.parse_args(argv)
    if given.row:
        height, width = map(int, given.row[1].split("x"))
        print(json.dumps(measure(Row(given.row[0], (height, width)), given.times)))
    elif given.projection:
        write_json(given.out / "paper-projection.json", project(times=given.times))
    else:
        write_json(given.out / "bench.json", bench(times=given.times))


if __name__ == "__main__":
    main(sys.argv[1:])
