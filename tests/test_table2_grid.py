"""The Snakemake grid of Table 2, by dry runs: what it would make, and what it leaves alone."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from bloodlib._files import alone_in
from bloodlib.evaluators.arms import ARMS, CONTROLS
from bloodlib.evaluators.run import stored_path
from tools import results

ROOT = Path(__file__).parents[1]
SNAKEMAKE = Path(sys.executable).with_name("snakemake")

pytestmark = pytest.mark.skipif(not SNAKEMAKE.exists(), reason="snakemake is not installed")


def planned(tmp_path, *options: str) -> dict[str, int]:
    """Count the jobs that a dry run plans, by rule, with runs stored below tmp_path."""
    config = ["profile=laptop", "data=chula_rbc12", f"results={tmp_path}/results", f"artifacts={tmp_path}/made"]
    command = [SNAKEMAKE, "--snakefile", "table2.smk", "--cores", "2", "--dry-run", "--rerun-triggers", "input"]
    done = subprocess.run(
        [*command, "--config", *config, *options], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    table = re.findall(r"^(\w+)\s+(\d+)$", done.stdout + done.stderr, re.MULTILINE)
    return {name: int(count) for name, count in table}


def store(tmp_path, task: str, arm: str, seed: int) -> None:
    path = stored_path("chula_rbc12", "laptop", task, arm, seed, tmp_path / "results")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}")


def test_a_run_waits_for_its_painter_its_set_and_its_start_and_real_arms_for_no_painter(tmp_path):
    jobs = planned(tmp_path, "seeds=0,1", "tasks=fcn8s,faster_rcnn", "arms=RD,SD")
    assert all(jobs[f"{task}_seed_{seed}"] == 2 for task in ("fcn8s", "faster_rcnn") for seed in (0, 1))
    assert jobs["shared"] == 5  # two painters, a set of each, the detectors' backbone


def test_stored_runs_are_never_made_again_nor_what_they_needed(tmp_path):
    for arm in ("SD", "RD+aug", "RD+SD", "RD+SD+aug"):
        store(tmp_path, "fcn8s", arm, 0)
    assert planned(tmp_path, "seeds=0", "tasks=fcn8s") == {"all": 1, "fcn8s_seed_0": 1, "total": 2}  # RD alone


def test_controls_are_asked_for_by_one_word(tmp_path):
    jobs = planned(tmp_path, "seeds=0", "tasks=fcn8s", "arms=controls")
    assert jobs["fcn8s_seed_0"] == len(CONTROLS)
    assert jobs["shared"] == 6  # painter, painted, uniform, plain, camera, released


def test_the_slurm_profile_is_one_that_snakemake_reads():
    profile = yaml.safe_load((ROOT / "profiles" / "slurm" / "config.yaml").read_text())
    helped = subprocess.run([SNAKEMAKE, "--help"], capture_output=True, text=True, check=True, timeout=300).stdout
    assert profile["executor"] == "slurm"
    assert all(f"--{key}" in helped for key in profile)
    assert set(profile["set-resources"]) == {"shared"}


def test_a_grid_that_was_killed_is_gone_on_with(tmp_path):
    """As a kill leaves it: Snakemake's lock on the grid's files, of which it would else refuse to make any."""
    for arm in ARMS:
        store(tmp_path, "fcn8s", arm, 0)
    locks = tmp_path / ".snakemake" / "locks"
    locks.mkdir(parents=True)
    made = stored_path("chula_rbc12", "laptop", "fcn8s", "RD", 0, tmp_path / "results")
    for name in ("0.output.lock", "0.input.lock"):
        (locks / name).write_text(f"{made}\n")
    more = ["seeds=0", "tasks=fcn8s", f"results={tmp_path}/results", f"artifacts={tmp_path}/made"]
    command = [*results.command("laptop", "chula_rbc12", more), "--directory", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Nothing to be done" in done.stdout + done.stderr


def test_two_calls_do_not_make_one_grid(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(results, "ROOT", tmp_path)
    with alone_in(tmp_path / "build" / "smoke-phantom" / "grid"):
        assert results.main(["--profile", "smoke", "--data", "phantom"]) == 1
    assert "another process is writing there" in capsys.readouterr().err
