# The grid of Table 2: one job per task, arm and seed, nothing else. `make results` calls it:
#   snakemake --snakefile table2.smk --cores 2 --jobs 1 --rerun-triggers input --config profile=laptop data=chula_rbc12
# Only runs that are not stored yet are made; delete a JSON to make just that one again.
# Some cells: add seeds=0,1 tasks=fcn8s arms=RD,RD+aug behind --config. A cluster: add --executor slurm --jobs 45.
import sys
from pathlib import Path

from bloodlib.evaluators.config import TASKS
from bloodlib.evaluators.arms import ARMS
from bloodlib.evaluators.run import stored_path


def chosen(key, every):
    """Read a comma-separated choice from --config."""
    return [entry for entry in str(config.get(key, ",".join(map(str, every)))).split(",") if entry]


PROFILE = config.get("profile", "laptop")
DATA = config.get("data", "phantom")
ARTIFACTS = config.get("artifacts", f"build/{PROFILE}-{Path(DATA).name}/artifacts")
SEEDS, RUN_TASKS, RUN_ARMS = chosen("seeds", range(3)), chosen("tasks", TASKS), chosen("arms", ARMS)


wildcard_constraints:
    seed=r"\d+",


rule all:
    input:
        [stored_path(DATA, PROFILE, t, a, s) for s in SEEDS for t in RUN_TASKS for a in RUN_ARMS],


# One rule per seed and task, so that the whole table exists for the first seed before the second begins.
for number, seed in enumerate(SEEDS):
    for place, task in enumerate(TASKS):

        rule:
            name: f"{task}_seed_{seed}"
            output: str(stored_path(DATA, PROFILE, task, "{arm}", seed)),
            params: task=task, seed=seed,
            threads: 2
            priority: 1000 - 10 * number - place
            shell:
                "{sys.executable} -m bloodlib.evaluators.run --task {params.task} --arm '{wildcards.arm}' "
                "--seed {params.seed} --data '{DATA}' --profile {PROFILE} --artifacts '{ARTIFACTS}' "
                "--threads {threads} --out '{output}'"
