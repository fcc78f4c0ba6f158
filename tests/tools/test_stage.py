"""Staging adds what depends on the build and refuses what does not fit together."""

from __future__ import annotations

import json

import pytest
import yaml

from tools import facts, stage
from tools.layout import ROOT, Build, notebooks

TOC = {
    "root": "book/index",
    "parts": [
        {"caption": "Before", "chapters": [{"file": "book/motivation"}]},
        {"caption": "One", "chapters": [{"file": "notebooks/01_alpha"}]},
        {"caption": "Two", "chapters": [{"file": "notebooks/02_beta"}]},
    ],
}


def copy(value):
    return json.loads(json.dumps(value))


def test_contents_must_list_the_notebooks_that_exist(project):
    stage.check_contents(TOC, project)
    (project / "notebooks" / "02_beta.ipynb").unlink()
    with pytest.raises(ValueError, match="differ in notebooks/02_beta"):
        stage.check_contents(TOC, project)


def test_chapter_that_was_not_asked_for_keeps_its_title(project):
    assert stage.stub(project / "notebooks" / "02_beta.ipynb").startswith("# A title\n\n")


def test_banner_says_what_is_shown(project):
    config = {"html": {}, "parse": {}}
    said = stage.configured(copy(config), Build("smoke", "phantom", root=project))
    assert "rendered by computer" in said["html"]["announcement"]
    assert said["parse"]["myst_substitutions"]["quoted"] == {"paper": {"cells": 669}}
    assert "repository" not in said
    (project / "mine").mkdir()
    mine = stage.configured(copy(config), Build("smoke", "mine", root=project))
    assert "mine, a data set of its reader" in mine["html"]["announcement"]


def test_repository_buttons_only_where_a_repository_is_named(project, monkeypatch):
    monkeypatch.setenv("REPOSITORY_URL", "https://github.com/a/b/")
    config = stage.configured({"html": {}, "parse": {}}, Build("smoke", "phantom", root=project))
    assert config["repository"]["url"] == "https://github.com/a/b"
    assert config["html"]["use_repository_button"] is True
    assert "colab_url" in config["launch_buttons"]
    assert "colab_url" not in stage.repository("https://gitlab.com/a/b", {})["launch_buttons"]
    with pytest.raises(ValueError, match="REPOSITORY_URL is 'https://example"):
        stage.repository("https://example.org/a/b", {})


def run(arm, seed, score, task="fcn8s"):
    return {"task": task, "arm": arm, "seed": seed, "dataset": "phantom", "profile": "smoke", "test": {"score": score}}


def test_finding_is_a_paired_difference_or_says_that_nothing_is_stored():
    assert facts.finding([]).startswith("No stored result yet")
    runs = [run("RD+aug", 0, 0.90), run("RD+aug", 1, 0.92), run("RD+SD+aug", 0, 0.91), run("RD+SD+aug", 1, 0.95)]
    said = facts.finding([*runs, run("RD+SD+aug", 2, 0.1)])
    assert "changed segmentation (Dice) by +0.020 (mean of 2 paired seeds, from +0.010 to +0.030)" in said
    assert "replacing" not in said
    assert "no pair of arms" in facts.finding(runs[:1])


def test_only_runs_are_read_as_runs(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "run.json").write_text(json.dumps(run("SD", 0, 0.5)))
    (tmp_path / "other.json").write_text('{"a": 1}')
    assert [one["arm"] for one in facts.stored_runs(tmp_path)] == ["SD"]


def test_committed_contents_list_every_committed_notebook():
    if not notebooks():
        pytest.skip("no notebook in this checkout yet")
    stage.check_contents(yaml.safe_load((ROOT / "_toc.yml").read_text()), ROOT)


def test_phantom_is_set_beside_the_paper(tmp_path):
    quoted = yaml.safe_load((ROOT / "data" / "quoted.yml").read_text())
    table = facts.phantom_table(ROOT / "data" / "results" / "phantom_table1.json", quoted)
    assert table.splitlines()[2].endswith("| 669 ± 149 |")
    assert len(table.splitlines()) == 8
    assert "No measurement" in facts.phantom_table(tmp_path / "none.json", quoted)


def test_split_table_adds_up(tmp_path):
    split = facts.split_table(ROOT / "data" / "splits" / "chula_rbc12.json")
    rows = [[cell.strip(" *") for cell in line.split("|")[3:6]] for line in split.splitlines()[2:]]
    columns = list(zip(*rows, strict=True))
    for column in columns:
        assert sum(int(cell) for cell in column[:-1] if cell != "·") == int(column[-1])
    assert sum(int(column[-1]) for column in columns) == 84
    assert "not stored" in facts.split_table(tmp_path / "none.json")
