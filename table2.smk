# The grid of Table 2: one job per task, arm and seed, nothing else. `make results` calls it:
#   snakemake --snakefile table2.smk --cores 2 --jobs 1 --rerun-triggers mtime --config profile=laptop data=chula_rbc12
# Only runs that are not stored yet are made; delete a JSON to make just that one again. Any other trigger than mtime
# would delete stored runs, since a run waits for its painter only while it is not stored.
# Some cells: add seeds=0,1 tasks=fcn8s arms=RD,RD+aug behind --config; arms=controls gives all controls.
# A cluster: python -m tools.results --slurm (see book/cluster.md).
import sys
from pathlib import Path

from bloodlib._files import read_json
from bloodlib.evaluators.arms import ARMS, CONTROLS, plan
from bloodlib.evaluators.config import TASKS, preset
from bloodlib.evaluators.prepare import forget_missing
from bloodlib.evaluators.records import of_other_smears, stale
from bloodlib.evaluators.run import stored_path
from bloodlib.evaluators.synthetic import painter_seed
from bloodlib.release import released


def chosen(key, every):
    """Read a comma-separated choice from --config."""
    return [entry for entry in str(config.get(key, ",".join(map(str, every)))).split(",") if entry]


PROFILE = config.get("profile", "laptop")
DATA = config.get("data", "phantom")
ARTIFACTS = config.get("artifacts", f"build/{PROFILE}-{Path(DATA).name}/artifacts")
RESULTS = config.get("results", "data/results")
PYTHON = config.get("python", sys.executable)
PREPARED = f"{ARTIFACTS}/prepared"
THREADS, GPUS = int(config.get("threads", 2)), int(config.get("gpus", 0))
SEEDS, RUN_TASKS, RUN_ARMS = chosen("seeds", range(3)), chosen("tasks", TASKS), chosen("arms", ARMS)
if RUN_ARMS == ["controls"]:  # the released painter's only where there is one of these smears
    its = any(name.startswith(f"{Path(DATA).name}-") for name in released())
    RUN_ARMS = [arm for arm in CONTROLS if its or plan(arm, 2).source != "released"]
SHARED = f"--data '{DATA}' --profile {PROFILE} --artifacts '{ARTIFACTS}' --threads {THREADS}"

# Of a job on a cluster. Laptop: runs took up to six minutes of processor time, painters 108. Paper: 20,000 steps
# at the pace of the stored ones of 300 on an H200 are up to five hours, and the painter 15 on two cores.
MINUTES = {"run": 600, "shared": 1440} if PROFILE == "paper" else {"run": 60, "shared": 240}
MEMORY_MB = {"run": 16000, "shared": 16000} if PROFILE == "paper" else {"run": 6000, "shared": 6000}


def asked(kind):
    """Say what a job asks a cluster for; more at a second try."""
    gres = {"gres": f"gpu:{GPUS}"} if GPUS else {}
    return {
        "runtime": lambda wildcards, attempt: attempt * MINUTES[kind],
        "mem_mb": lambda wildcards, attempt: attempt * MEMORY_MB[kind],
        **gres,
    }


def path_of(task, arm, seed):
    """Say where a run is stored."""
    return str(stored_path(DATA, PROFILE, task, arm, seed, RESULTS))


def needed(task, seed):
    """Say what a run waits for: nothing if it is stored already, since a stored run is source and never made again."""

    def waits_for(wildcards):
        if Path(path_of(task, wildcards.arm, seed)).is_file():
            return []
        made = plan(wildcards.arm, 2)
        source = {"shuffled": "painted", "repainted": "painter"}.get(made.source, made.source)
        turn = 0 if source == "released" else painter_seed(int(seed))  # of the released painter there is one
        shared = [f"{source}-{turn}"] if made.painted else []
        if preset(PROFILE, task).start == "phantom":
            shared.append("backbone-0")
        return [ancient(f"{PREPARED}/{name}.json") for name in shared]

    return waits_for


def first_of(turn):
    """Say which of the seeds is the first that a painter serves."""
    return next((k for k, seed in enumerate(SEEDS) if painter_seed(int(seed)) == int(turn)), 0)


ALL = [path_of(t, a, s) for s in SEEDS for t in RUN_TASKS for a in RUN_ARMS]

if workflow.is_main_process:
    for name in forget_missing(PREPARED, PROFILE, ARTIFACTS):
        print(f"{name}: is not there any more, or is another one now, and is made again where it is needed", file=sys.stderr)
    stored = {path: read_json(path) for path in ALL if Path(path).is_file()}  # refuses what was cut short
    old = [path for path, run in stored.items() if "config_hash" not in run or stale(run)]
    if old:
        print("stored runs of another configuration than today's preset; delete to make again:", *old, sep="\n", file=sys.stderr)
    if other := of_other_smears({path: run for path, run in stored.items() if "split" in run}, str(DATA)):
        print(f"stored runs of other smears than {DATA} holds today; delete to make again:", *other, sep="\n", file=sys.stderr)


wildcard_constraints:
    seed=r"\d+",
    turn=r"\d+",
    what=r"[a-z]+",


rule all:
    input:
        ALL,


# What several runs share. A painter comes before its sets, so that two sets never train it at once.
rule shared:
    input: lambda w: [] if w.what in ("painter", "backbone", "released") else ancient(f"{PREPARED}/painter-{w.turn}.json"),
    output: f"{PREPARED}/{{what}}-{{turn}}.json",
    threads: THREADS
    resources: **asked("shared"),
    priority: lambda w: 10_010 - 100 * first_of(w.turn)
    shell: "'{PYTHON}' -m bloodlib.evaluators.prepare --what {wildcards.what} --turn {wildcards.turn} {SHARED} --out '{output}'"


# One rule per seed and task, so that the whole table exists for the first seed before the second begins.
for number, seed in enumerate(SEEDS):
    for place, task in enumerate(TASKS):

        rule:
            name: f"{task}_seed_{seed}"
            input: needed(task, seed),
            output: path_of(task, "{arm}", seed),
            params: task=task, seed=seed,
            threads: THREADS
            resources: **asked("run"),
            priority: 10_000 - 100 * number - place
            shell:
                "'{PYTHON}' -m bloodlib.evaluators.run --task {params.task} --arm '{wildcards.arm}' "
                "--seed {params.seed} {SHARED} --out '{output}'"
