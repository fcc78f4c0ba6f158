"""Killed, full, read-only, shared: what is on disk is whole, and the next call goes on (see book/faults.md).

``BLOODLIB_NIGHTLY=1 BLOODLIB_FAULTS=data/results/faults`` before it kills twenty times each, and keeps the counts.
"""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import shutil
import signal
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from measured import keep_counts
from tqdm import tqdm

import bloodlib
from bloodlib import cli
from bloodlib._files import alone_in, read_json, write_json
from bloodlib.evaluators import config as evaluators
from bloodlib.evaluators import protocol
from bloodlib.gan.config import Stage
from bloodlib.io import read_image, read_instances
from bloodlib.synthesis import Synthesizer

KILLS = 20 if os.environ.get("BLOODLIB_NIGHTLY") else 3
SHAPE, COUNT = (48, 64), 5

pytestmark = [
    pytest.mark.filterwarnings("ignore::bloodlib.sampler.masks.CrowdedWarning"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]


@pytest.fixture(autouse=True)
def one_thread():
    """Threads that wait for one another do not survive a fork."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def synth():
    smears = bloodlib.load("phantom", split="fit", shape=(160, 240))[:3]
    stages = (Stage(crop=32, steps=1, constant=1.0), Stage(crop=32, steps=1))
    return Synthesizer.fit(smears, stages=stages, filters=2, blocks=1, progress=False)


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def killed(target, *given, after_s):
    """Run in a process of its own and kill it outright; True if it had not ended by itself."""
    child = multiprocessing.get_context("fork").Process(target=_apart, args=(target, *given))
    child.start()
    child.join(after_s)
    child.kill()
    child.join()
    return child.exitcode == -signal.SIGKILL


def _apart(target, *given):
    tqdm.set_lock(threading.RLock())  # the usual one is shared by processes: killed with it, none here could go on
    target(*given)


def readable(read, path):
    try:
        read(path)
    except (ValueError, OSError):
        return False
    return True


def look_at(folder):
    """Count what is wrong with a half-written set, where files have their final names, and what is there."""
    images, masks = (list(folder.glob(f"{kind}/[!.]*")) for kind in ("images", "instances"))
    manifest = folder / "manifest.json"
    listed = [e["name"] for e in json.loads(manifest.read_text())["smears"]] if manifest.is_file() else []
    present = {path.stem for path in images} & {path.stem for path in masks}
    return Counter(
        files_read=len(images) + len(masks),
        corrupt=sum(not readable(read_image, path) for path in images)
        + sum(not readable(read_instances, path) for path in masks),
        twice=len(listed) - len(set(listed)),
        listed=len(listed),
        listed_not_there=len(set(listed) - present),
    )


def check_half(folder):
    """Everything that has its final name can be read, and the manifest promises no more than there is."""
    found = look_at(folder)
    assert not any(found[what] for what in ("corrupt", "twice", "listed_not_there")), found
    return found


def test_generate_killed_at_any_instant_ends_as_an_unbroken_one(synth, tmp_path):
    synth.write(tmp_path / "warm", 1, 0, SHAPE)
    began = time.perf_counter()
    synth.write(tmp_path / "whole", COUNT, 0, SHAPE)
    lasted, rng, broken = time.perf_counter() - began, np.random.default_rng(0), tmp_path / "broken"
    counts, whole = Counter(sets_the_same=0), files(tmp_path / "whole")
    for _ in range(10 * KILLS):  # some end before they are killed; then the next one begins a set of its own
        if killed(synth.write, broken, COUNT, 0, SHAPE, after_s=rng.uniform(0.05, 1) * lasted):
            found = look_at(broken)
            counts += found
            counts.update(kills=1, resumed=found["listed"] > 0)
        if counts["kills"] == KILLS:
            break
        if (broken / "coco.json").is_file() and files(broken) == whole:
            counts["sets_the_same"] += 1
            shutil.rmtree(broken)
    synth.write(broken, COUNT, 0, SHAPE)
    counts["sets_the_same"] += files(broken) == whole
    wrong = {what: counts[what] for what in ("corrupt", "twice", "listed_not_there")}
    kept = {what: counts[what] for what in ("kills", "resumed", "files_read", "sets_the_same")}
    keep_counts("generate", {**kept, **wrong})
    assert counts["kills"] == KILLS
    assert not any(wrong.values())
    assert files(broken) == whole, "same files, same bytes, nothing twice and nothing left over"


def test_masks_killed_in_the_middle_are_whole_and_made_again(synth, tmp_path):
    whole, broken, asked = tmp_path / "whole", tmp_path / "broken", (20 * COUNT, 0, (96, 128))
    began = time.perf_counter()
    synth.layout.write(whole, *asked)
    lasted = time.perf_counter() - began
    for share in (0.5, 0.7, 0.9, 0.3):  # a neighbour on the machine moves the middle
        if killed(synth.layout.write, broken, *asked, after_s=share * lasted) and any(broken.glob("instances/[!.]*")):
            break
        shutil.rmtree(broken, ignore_errors=True)
    left = list(broken.glob("instances/[!.]*"))
    assert left, "it was killed while it wrote"
    for path in left:
        read_instances(path)
    synth.layout.write(broken, *asked)
    assert files(broken) == files(whole)


# --- Table 2

TIMES = ("seconds", "cost")  # of a record, which differ from run to run


def one_run(out):
    config = evaluators.preset("smoke", "fcn8s", steps=4, real_images=2, scored_images=1)
    parts = {part: bloodlib.load("phantom", split=part, shape=(160, 240))[:2] for part in ("fit", "validation", "test")}
    record = protocol.run("fcn8s", "RD", 0, config=config, data="phantom", synthetic=[], accelerator="cpu", **parts)
    protocol.save_run(out, record)


def test_runs_of_table_2_leave_a_whole_record_or_none(tmp_path):
    began = time.perf_counter()
    one_run(tmp_path / "whole.json")
    lasted, rng, out = time.perf_counter() - began, np.random.default_rng(0), tmp_path / "runs" / "run.json"
    counts = Counter()
    expected = without_times(tmp_path / "whole.json")
    for _ in range(10 * KILLS):
        counts["kills"] += killed(one_run, out, after_s=rng.uniform(0, 1.1) * lasted)
        if out.exists():
            counts.update(records=1, corrupt=not readable(without_times, out))
            counts["records_the_same"] += without_times(out) == expected
            out.unlink()
        counts["other_files"] += len([p for p in out.parent.glob("*") if not p.name.startswith(".partial-")])
        if counts["kills"] == KILLS:
            break
    one_run(out)
    counts.update(records=1, records_the_same=without_times(out) == expected)
    names = ("kills", "records", "records_the_same", "corrupt", "other_files")
    keep_counts("table2", {name: counts[name] for name in names})
    assert counts["kills"] == KILLS
    assert counts["records_the_same"] == counts["records"]
    assert not counts["corrupt"]
    assert not counts["other_files"]


def without_times(path):
    return {key: value for key, value in json.loads(path.read_text()).items() if key not in TIMES}


# --- the disk


def test_generate_on_a_full_disk_keeps_what_is_whole_and_goes_on(synth, tmp_path, room_for):
    synth.write(tmp_path / "whole", COUNT, 0, SHAPE)
    synth.write(tmp_path / "full", 2, 0, SHAPE)
    with room_for(500), pytest.raises(OSError, match="too large"):
        synth.write(tmp_path / "full", COUNT, 0, SHAPE)
    check_half(tmp_path / "full")
    assert not list((tmp_path / "full").rglob(".*")), "neither lock nor partial file is left"
    synth.write(tmp_path / "full", COUNT, 0, SHAPE)
    assert files(tmp_path / "full") == files(tmp_path / "whole")


@pytest.fixture
def read_only():
    """A folder that this process may read and not write, also where tests run as root."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "out"
        folder.mkdir()
        Path(name).chmod(0o755)
        folder.chmod(0o555)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)
        yield folder
        if root:
            os.seteuid(0)
        folder.chmod(0o755)


@pytest.mark.parametrize("write", ["generate", "masks", "json"])
def test_a_read_only_output_is_named_and_nothing_is_left(synth, read_only, write):
    ways = {
        "generate": lambda: synth.write(read_only, 1, 0, SHAPE),
        "masks": lambda: synth.layout.write(read_only / "below", 1, 0, SHAPE),
        "json": lambda: write_json(read_only / "a.json", {}),
    }
    with pytest.raises(PermissionError, match=str(read_only)):
        ways[write]()
    assert not list(read_only.iterdir())


# --- two at once


def held(folder, ready, done):
    with alone_in(folder):
        ready.set()
        done.wait(60)


def test_a_second_process_is_refused_and_a_killed_one_leaves_no_lock(synth, tmp_path):
    context = multiprocessing.get_context("fork")
    ready, done = context.Event(), context.Event()
    first = context.Process(target=held, args=(tmp_path / "out", ready, done))
    first.start()
    assert ready.wait(60)
    for write in (synth.write, synth.layout.write):
        with pytest.raises(BlockingIOError, match="another process is writing there; wait"):
            write(tmp_path / "out", 1, 0, SHAPE)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".lock"], "the refused one wrote nothing"
    first.kill()
    first.join()
    synth.write(tmp_path / "out", 1, 0, SHAPE)
    assert not (tmp_path / "out" / ".lock").exists()


def test_what_was_deleted_of_a_finished_set_is_written_again(synth, tmp_path):
    out = tmp_path / "out"
    synth.write(out, 3, 0, SHAPE)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    (out / "images" / "00001.png").unlink()
    (out / "instances" / "00002.png").unlink()
    synth.write(out, 2, 0, SHAPE)  # as many as were written come back, also where fewer are asked for
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


@pytest.mark.skipif(os.name == "nt", reason="Windows has other locks")
def test_a_file_system_without_locks_is_named(synth, tmp_path, monkeypatch):
    def flock(file, how):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", flock)
    with pytest.raises(OSError, match=r"out: its file system locks no files .*Lustre: -o flock"):
        synth.write(tmp_path / "out", 1, 0, SHAPE)
    assert not list(tmp_path.rglob("*.png"))


def test_what_nfs_leaves_of_a_removed_lock_is_nothing(synth, tmp_path):
    (tmp_path / ".nfs00000000018d2bf100000001").write_text("")
    synth.write(tmp_path, 1, 0, SHAPE)
    assert (tmp_path / "manifest.json").is_file()


def test_a_finished_set_is_found_while_another_process_is_there(synth, tmp_path):
    out = tmp_path / "out"
    synth.write(out, 2, 0, SHAPE)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    with alone_in(out):
        for count in (1, 2):
            synth.write(out, count, 0, SHAPE)
        with pytest.raises(BlockingIOError):
            synth.write(out, 3, 0, SHAPE)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    write_json(out / "manifest.json", read_json(out / "manifest.json"))  # as a process leaves it that never got to coco
    synth.write(out, 2, 0, SHAPE)
    assert (out / "coco.json").stat().st_mtime_ns > (out / "manifest.json").stat().st_mtime_ns


def test_nothing_is_tidied_in_a_folder_that_is_refused(synth, tmp_path):
    (tmp_path / "deep").mkdir()
    kept = [tmp_path / ".partial-chapter1.txt", tmp_path / "deep" / ".partial-thesis.txt"]
    for path in (*kept, tmp_path / "notes.txt"):
        path.write_text("three years of work")
    for write in (synth.write, synth.layout.write):
        with pytest.raises(ValueError, match="is not empty"):
            write(tmp_path, 1, 0, SHAPE)
    assert all(path.is_file() for path in kept)


def test_only_files_that_a_killed_process_left_are_tidied_up(synth, tmp_path):
    left = [tmp_path / "out" / name for name in (".partial-0a_b1c2d.json", "images/.partial-abcdefgh.png")]
    mine = tmp_path / "out" / "deep" / ".partial-abcdefgh.png"
    (tmp_path / "out" / ".partial-release0").mkdir(parents=True)
    for path in (*left, mine):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    with alone_in(tmp_path / "out"):
        assert not any(path.exists() for path in left)
    assert mine.is_file()
    (tmp_path / "killed").mkdir()
    (tmp_path / "killed" / ".partial-abcdefgh.json").touch()
    synth.write(tmp_path / "killed", 1, 0, SHAPE)
    assert not list((tmp_path / "killed").rglob(".*"))


def test_what_never_began_leaves_no_folder(tmp_path):
    with pytest.raises(ValueError, match="stop"), alone_in(tmp_path / "a" / "b"):
        raise ValueError("stop")
    assert not list(tmp_path.iterdir())


# --- Ctrl-C


@pytest.mark.parametrize("command", ["generate", "fit"])
def test_an_interrupt_says_how_to_go_on(monkeypatch, capsys, command, tmp_path):
    def interrupted(*given, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(Synthesizer, "load", interrupted)
    monkeypatch.setattr(Synthesizer, "fit", interrupted)
    arguments = {"generate": ["generate", "m", "-o", "out dir"], "fit": ["fit", "phantom", "-o", "out dir"]}[command]
    assert cli.main(arguments) == 130
    err = capsys.readouterr().err
    assert "interrupted" in err
    assert f"bloodlib {command}" in err
    assert "-o 'out dir'" in err, "the very command, ready to be pasted"
