"""Solutions are executed whenever something changes, and every week."""

from __future__ import annotations

import re

import pytest
import yaml

from tools.layout import ROOT


def workflow(name: str) -> dict:
    """Read a workflow; YAML takes its key `on` for a truth value."""
    read = yaml.safe_load((ROOT / ".github" / "workflows" / name).read_text())
    return {"on" if key is True else key: value for key, value in read.items()}


def commands(of: dict) -> list[str]:
    return [step["run"] for job in of["jobs"].values() for step in job["steps"] if "run" in step]


def test_every_change_runs_the_notebooks_and_compares_what_they_print():
    test = workflow("test.yml")
    assert {"push", "pull_request"} <= set(test["on"])
    assert "bash .ci/run" in commands(test)
    steps = (ROOT / ".ci" / "run").read_text().splitlines()
    assert "set -euo pipefail" in steps
    assert steps.index("make book") < steps.index("make regression")


def test_every_week_runs_notebooks_with_solutions_and_without():
    weekly = workflow("weekly.yml")
    minute, hour, day, month, weekday = weekly["on"]["schedule"][0]["cron"].split()
    assert re.fullmatch(r"\d+", minute + hour)
    assert (day, month) == ("*", "*")
    assert re.fullmatch("[0-6]", weekday)
    said = "\n".join(commands(weekly))
    assert "pytest --nbval --nbval-current-env notebooks" in said
    assert "make lab RUN=--run" in said


@pytest.mark.parametrize("target", ["book", "regression", "lab", "setup"])
def test_what_the_workflows_call_is_there(target):
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(rf"^{target}:", makefile, re.MULTILINE)
    assert target != "lab" or "$(RUN)" in makefile
