"""README's headline table is what the stored runs say."""

from pathlib import Path

import pytest

from bloodlib.evaluators.protocol import load_runs
from bloodlib.evaluators.report import BASELINE, TASKS
from tools.headline import BEGIN, END, headline, written

ROOT = Path(__file__).parents[2]
PAPER = {task: dict.fromkeys(("RD", "SD", "RD+aug", "RD+SD", "RD+SD+aug"), 0.125) for task in TASKS}


def test_readme_is_as_the_stored_runs_have_it():
    assert (ROOT / "README.md").read_text() == written(ROOT), "run python -m tools.headline"


def test_a_cell_is_the_mean_over_the_seeds():
    runs = [r for r in load_runs(ROOT / "data/results/table2/laptop-chula_rbc12") if r["task"] == "fcn8s"]
    mine = [r for r in runs if r["arm"] == "SD"]
    images = [image["dice"] for r in mine for image in r["per_image"]["on_validation"]]
    table = headline(runs, PAPER)
    assert f"**{sum(images) / len(images):.3f}**" in table.splitlines()[2].split("|")[3]
    assert table.splitlines()[4].split("|")[2].strip() == "–"  # no run of the detector was given
    assert table.splitlines()[3].count("0.125") == 5


def test_the_masks_that_no_point_has_seen_stand_beside_the_networks():
    runs = [r for r in load_runs(ROOT / "data/results/table2/laptop-chula_rbc12") if r["task"] == "fcn8s"]
    known = {"dataset": "chula_rbc12", "scores": {"dice": 0.4567, "AP50": 0.3456}}
    lines = headline(runs, PAPER, known).splitlines()
    assert [line.split("|")[-2].strip() for line in lines[:4]] == [BASELINE, "---", "0.457", "–"]
    with pytest.raises(ValueError, match="baseline is of phantom but the runs are of chula_rbc12"):
        headline(runs, PAPER, known | {"dataset": "phantom"})


def test_a_page_without_a_place_is_refused(tmp_path):
    (tmp_path / "README.md").write_text(f"{BEGIN}\n")
    (tmp_path / "data" / "results").mkdir(parents=True)
    (tmp_path / "data" / "quoted.yml").write_text((ROOT / "data" / "quoted.yml").read_text())
    with pytest.raises(ValueError, match=f"0 places between .*{END}"):
        written(tmp_path)
