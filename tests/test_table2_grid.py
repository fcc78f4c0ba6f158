"""The Snakemake grid of Table 2, by dry runs: what it would make, and what it leaves alone."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from bloodlib._files import alone_in
from bloodlib.evaluators.arms import ARMS, CONTROLS
from bloodlib.evaluators.config import backbone_name, preset
from bloodlib.evaluators.run import stored_path
from tools import results

ROOT = Path(__file__).parents[1]
SNAKEMAKE = Path(sys.executable).with_name("snakemake")

pytestmark = pytest.mark.skipif(not SNAKEMAKE.exists(), reason="snakemake is not installed")


def planned(tmp_path, *options: str) -> dict[str, int]:
    """Count the jobs that a dry run plans, by rule, with runs stored below tmp_path."""
    config = ["profile=laptop", "data=chula_rbc12", f"results={tmp_path}/results", f"artifacts={tmp_path}/made"]
    command = [SNAKEMAKE, "--snakefile", "table2.smk", "--cores", "2", "--dry-run", "--rerun-triggers", "mtime"]
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
    assert jobs["shared"] == 7  # painter, painted, uniform, overlap, plain, camera, released


def test_reading_the_grid_loads_no_network():
    """Each start of Snakemake reads it, on a cluster once per job: seconds, where it loads torch."""
    imports = re.findall(r"^(?:from|import) .*$", (ROOT / "table2.smk").read_text(), re.MULTILINE)
    heavy = "print(sorted({'torch', 'torchvision', 'lightning_fabric', 'sklearn'} & set(sys.modules)))"
    assert any("bloodlib.evaluators" in line for line in imports)
    asked = [sys.executable, "-c", "\n".join([*imports, heavy])]
    assert subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_the_slurm_profile_is_one_that_snakemake_reads():
    profile = yaml.safe_load((ROOT / "profiles" / "slurm" / "config.yaml").read_text())
    helped = subprocess.run([SNAKEMAKE, "--help"], capture_output=True, text=True, check=True, timeout=300).stdout
    assert profile["executor"] == "slurm"
    assert all(f"--{key}" in helped for key in profile)
    assert profile["rerun-triggers"] == "mtime"


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


STUB = """#!{python}
# Stands for `python -m MODULE …`: writes down what it was called for, and what would be made.
import json, sys
from pathlib import Path
given = dict(zip(sys.argv[3::2], sys.argv[4::2]))
out = Path(given["--out"])
with open({log!r}, "a") as log:
    print(out.stem, file=log)
if out.stem in Path({broken!r}).read_text().split():
    sys.exit(1)
out.parent.mkdir(parents=True, exist_ok=True)
art = Path(given["--artifacts"])
if given.get("--what") == "backbone":
    (art / {backbone!r}).write_text("")
    made = {{"file": {backbone!r}}}
elif "--what" in given:
    name = f"painter-{{given['--turn']}}"
    (art / name).mkdir(exist_ok=True)
    for file in ("config.json", "w.safetensors"):
        (art / name / file).write_text(name)
    import hashlib
    painter = hashlib.sha256(name.encode()).hexdigest()[:12]
    made = {{"painter": painter, "smears": 2}}
    if given["--what"] != "painter":
        (art / f"synthetic-{{painter}}").mkdir(exist_ok=True)
        (art / f"synthetic-{{painter}}" / "manifest.json").write_text('{{"smears": [1, 2]}}')
else:
    made = {{}}
out.write_text(json.dumps(made))
"""


class Grid:
    """A grid whose jobs are a stub: `call` makes it and gives the names of the jobs in their order."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log, self.broken = folder, folder / "log", folder / "broken"
        backbone = backbone_name(preset("laptop", "faster_rcnn"))
        stub = folder / "stub.py"
        names = {"log": str(self.log), "broken": str(self.broken), "backbone": backbone}
        stub.write_text(STUB.format(python=sys.executable, **names))
        stub.chmod(0o755)

    def call(self, *more: str, broken: str = "") -> list[str]:
        self.log.write_text("")
        self.broken.write_text(broken)
        where = [f"results={self.folder}/results", f"artifacts={self.folder}/made", f"python={self.folder}/stub.py"]
        command = [*results.command("laptop", "chula_rbc12", [*where, *more]), "--directory", str(self.folder)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
        assert (done.returncode == 0) == (not broken), done.stderr[-2000:]
        return self.log.read_text().split()

    def stored(self) -> list[str]:
        return sorted(path.stem for path in (self.folder / "results").rglob("*.json"))


def test_a_second_call_leaves_stored_runs_alone_and_makes_again_what_is_gone(tmp_path):
    grid, cells = Grid(tmp_path), ("seeds=0", "tasks=fcn8s,faster_rcnn", "arms=RD,SD")
    (tmp_path / "made").mkdir()
    first = grid.call(*cells, broken="fcn8s-SD-0")
    runs = ["faster_rcnn-RD-0", "faster_rcnn-SD-0", "fcn8s-RD-0", "fcn8s-SD-0"]
    assert sorted(first) == sorted([*runs, "painter-0", "painted-0", "backbone-0"])
    assert grid.stored() == [name for name in runs if name != "fcn8s-SD-0"]
    assert grid.call(*cells) == ["fcn8s-SD-0"]
    assert grid.stored() == runs
    assert grid.call(*cells) == []
    shutil.rmtree(next((tmp_path / "made").glob("synthetic-*")))
    next((tmp_path / "results").rglob("fcn8s-SD-0.json")).unlink()
    assert grid.call(*cells) == ["painted-0", "fcn8s-SD-0"], "the set is made by its own job, not by the run"
    assert grid.stored() == runs


def test_the_first_seed_is_whole_before_the_second_begins(tmp_path):
    (tmp_path / "made").mkdir()
    order = Grid(tmp_path).call("seeds=0,1", "tasks=fcn8s", "arms=RD,SD,RD+SD")
    assert order.index("painter-1") > max(order.index(f"fcn8s-{arm}-0") for arm in ("RD", "SD", "RD+SD"))


def test_of_smears_that_no_released_painter_saw_there_is_no_arm_of_it(tmp_path):
    jobs = planned(tmp_path, "data=phantom", "seeds=0", "tasks=fcn8s", "arms=controls")
    assert jobs["fcn8s_seed_0"] == len(CONTROLS) - 1


def test_jobs_ask_a_cluster_for_what_the_profile_needs(tmp_path):
    config = [f"results={tmp_path}/results", f"artifacts={tmp_path}/made", "seeds=0", "tasks=fcn8s", "arms=SD"]
    command = [SNAKEMAKE, "--snakefile", "table2.smk", "--cores", "2", "--dry-run", "--rerun-triggers", "mtime"]
    for more, wanted in (
        (("profile=laptop",), {"runtime=60", "runtime=240"}),
        (("profile=paper", "gpus=1"), {"runtime=600", "runtime=1440", "gres=gpu:1"}),
    ):
        done = subprocess.run(
            [*command, "--config", *config, *more], cwd=ROOT, capture_output=True, text=True, check=True, timeout=300
        )
        said = done.stdout + done.stderr
        assert wanted <= set(re.findall(r"(?:runtime|gres)=[\w:]+", said))


def test_two_calls_do_not_make_one_grid(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(results, "ROOT", tmp_path)
    with alone_in(tmp_path / "build" / "smoke-phantom" / "grid"):
        assert results.main(["--profile", "smoke", "--data", "phantom"]) == 1
    assert "another process is writing there" in capsys.readouterr().err


STARTED = """
import sys
from pathlib import Path
from tools import results
results.ROOT = Path(sys.argv[1])
waiting = "import os, time; from pathlib import Path; Path('started').write_text(str(os.getpid())); time.sleep(600)"
results.command = lambda *_: [sys.executable, "-c", waiting]
sys.exit(results.main([]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there a program cannot be asked to end")
def test_told_to_end_it_ends_the_grid_too(tmp_path):
    called = subprocess.Popen([sys.executable, "-c", STARTED, str(tmp_path)], cwd=ROOT)
    started = tmp_path / "started"
    while not (started.is_file() and started.read_text()):
        assert called.poll() is None
        time.sleep(0.05)
    called.terminate()
    assert called.wait(timeout=60) != 0
    with pytest.raises(ProcessLookupError):
        os.kill(int(started.read_text()), 0)


@pytest.mark.parametrize(("data", "given"), [("2024", "./2024"), ("chula_rbc12", "chula_rbc12"), ("/a", "/a")])
def test_a_folder_that_looks_like_a_number_stays_a_name(data, given):
    assert f"data={given}" in results.command("smoke", data)
