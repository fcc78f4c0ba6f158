"""Staging adds what depends on the build and refuses what does not fit together."""

from __future__ import annotations

import json

import nbformat
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
    assert "rendered or painted by computer" in said["html"]["announcement"]
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


def test_pages_do_not_show_where_they_were_made(tmp_path):
    cell = nbformat.v4.new_code_cell("f()", outputs=[nbformat.v4.new_output("stream", text=f"{tmp_path}/a.py:3: full")])
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# A title"), cell])
    card = {"notebook": "01_a", "profile": "smoke", "data": "phantom", "parameters": {}, "seed": 0, "device": "CPU"}
    page = stage.page_of(notebook, {**card, "seconds": 1.0, "commit": None, "command": "c"}, tmp_path)
    assert page.cells[-1].outputs[0].text == "a.py:3: full"


def run(arm: str, seed: int, score: float) -> dict:
    image = {"name": "a", "group": "g", "dice": score}
    return {"task": "fcn8s", "arm": arm, "seed": seed, "dataset": "phantom", "profile": "smoke"} | {
        "per_image": {"on_validation": [image]},
        "selected": {"on_validation": {"test": {"dice": score}}},
    }


def test_finding_is_a_paired_difference_or_says_that_nothing_is_stored():
    assert facts.finding([]).startswith("No stored result yet")
    runs = [run("RD+aug", 0, 0.90), run("RD+aug", 1, 0.92), run("RD+SD+aug", 0, 0.91), run("RD+SD+aug", 1, 0.95)]
    said = facts.finding([*runs, run("RD+SD+aug", 2, 0.1)])
    assert said.startswith("**phantom (rendered, not blood), smoke profile")
    assert "RD+SD+aug against RD+aug: better" in said
    assert "+0.020" in said
    assert "SD against RD:" not in said
    assert "no pair of arms" in facts.finding(runs[:1])


def test_headline_is_one_sentence_with_an_interval_and_claims_nothing_from_two_seeds():
    assert facts.headline([]).startswith("No pair of arms")
    runs = [run("RD+aug", 0, 0.90), run("RD+aug", 1, 0.92), run("RD+SD+aug", 0, 0.91), run("RD+SD+aug", 1, 0.95)]
    said = facts.headline(runs)
    assert "changed Dice of FCN-8s by **+0.020** (" in said
    assert said.endswith("from 2 of the 8 seeds that a test needs, so nothing is claimed yet.")
    assert facts.headline(runs[:1]).startswith("No pair of arms")


def test_derivation_states_what_it_was_compared_with(tmp_path):
    assert "No measurement" in facts.derivation_table(tmp_path / "none.json")
    path = tmp_path / "derivation.json"
    path.write_text('{"phantom": {"with_points": {"images": 4, "f1_50": 0.9729, "count_error_per_image": 3.83}}}')
    assert facts.derivation_table(path).splitlines()[2].endswith("| with | 4 | 0.973 | 3.8 |")


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


def test_the_cost_of_the_grid_names_hours_and_devices():
    assert facts.cost([]) == "No run of Table 2 is stored yet."
    runs = [{"seconds": {"cpu": 1800.0}, "device": "cpu, 2 threads, float32"} for _ in range(3)]
    assert facts.cost(runs) == "3 stored runs took 1.5 processor-hours (cpu, 2 threads, float32)."


def test_no_page_depends_on_the_build_before_it():
    said = facts.substitutions(ROOT)["benchmarks"]
    assert "| mask" in said
    assert "built site" not in said
