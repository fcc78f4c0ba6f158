# The grid of Table 2: one job per task, arm and seed, nothing else. `make results` calls it:
#   snakemake --snakefile table2.smk --cores 2 --jobs 1 --rerun-triggers input --config profile=laptop data=chula_rbc12
# Only runs that are not stored yet are made; delete a JSON to make just that one again.
# Some cells: add seeds=0,1 tasks=fcn8s arms=RD,RD+aug behind --config; arms=controls gives all controls.
# A cluster: --workflow-profile profiles/slurm (see book/cluster.md).
import sys
from pathlib import Path

from bloodlib.evaluators.arms import ARMS, CONTROLS, plan
from bloodlib.evaluators.config import TASKS, preset
from bloodlib.evaluators.run import stored_path
from bloodlib.evaluators.synthetic import painter_seed


def chosen(key, every):
    """Read a comma-separated choice from --config."""
    return [entry for entry in str(config.get(key, ",".join(map(str, every)))).split(",") if entry]


PROFILE = config.get("profile", "laptop")
DATA = config.get("data", "phantom")
ARTIFACTS = config.get("artifacts", f"build/{PROFILE}-{Path(DATA).name}/artifacts")
RESULTS = config.get("results", "data/results")
PREPARED = f"{ARTIFACTS}/prepared"
THREADS = int(config.get("threads", 2))
SEEDS, RUN_TASKS, RUN_ARMS = chosen("seeds", range(3)), chosen("tasks", TASKS), chosen("arms", ARMS)
if RUN_ARMS == ["controls"]:
    RUN_ARMS = CONTROLS
SHARED = f"--data '{DATA}' --profile {PROFILE} --artifacts '{ARTIFACTS}' --threads {THREADS}"


def needed(task, seed):
    """Say what a run waits for: nothing if it is stored already, since a stored run is source and never made again."""

    def waits_for(wildcards):
        if stored_path(DATA, PROFILE, task, wildcards.arm, seed, RESULTS).is_file():
            return []
        made = plan(wildcards.arm, 2)
        source = "painted" if made.source == "shuffled" else made.source
        turn = 0 if source == "released" else painter_seed(int(seed))  # of the released painter there is one
        shared = [f"{source}-{turn}"] if made.painted else []
        if preset(PROFILE, task).start == "phantom":
            shared.append("backbone-0")
        return [ancient(f"{PREPARED}/{name}.json") for name in shared]

    return waits_for


wildcard_constraints:
    seed=r"\d+",
    turn=r"\d+",
    what=r"[a-z]+",


rule all:
    input:
        [stored_path(DATA, PROFILE, t, a, s, RESULTS) for s in SEEDS for t in RUN_TASKS for a in RUN_ARMS],


# What several runs share. A painter comes before its sets, so that two sets never train it at once.
rule shared:
    input: lambda w: [] if w.what in ("painter", "backbone", "released") else ancient(f"{PREPARED}/painter-{w.turn}.json"),
    output: f"{PREPARED}/{{what}}-{{turn}}.json",
    threads: THREADS
    shell: "{sys.executable} -m bloodlib.evaluators.prepare --what {wildcards.what} --turn {wildcards.turn} {SHARED} --out '{output}'"


# One rule per seed and task, so that the whole table exists for the first seed before the second begins.
for number, seed in enumerate(SEEDS):
    for place, task in enumerate(TASKS):

        rule:
            name: f"{task}_seed_{seed}"
            input: needed(task, seed),
            output: str(stored_path(DATA, PROFILE, task, "{arm}", seed, RESULTS)),
            params: task=task, seed=seed,
            threads: THREADS
            priority: 1000 - 10 * number - place
            shell:
                "{sys.executable} -m bloodlib.evaluators.run --task {params.task} --arm '{wildcards.arm}' "
                "--seed {params.seed} {SHARED} --out '{output}'"
