"""The table of claims: every paper is in it, every verdict is one of four, and numbers decide it."""

from __future__ import annotations

import nbformat
import pytest
import yaml

from bloodlib._files import write_json
from bloodlib.evaluators.contrasts import Contrast
from tools import claims
from tools.layout import ROOT

VERDICTS = ("reproduced", "partly", "not reproduced", "could not")


@pytest.fixture
def quoted():
    return yaml.safe_load((ROOT / "data" / "quoted.yml").read_text())


def rows_of(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def test_all_three_systems_are_judged_and_in_the_four_words(quoted):
    rows = rows_of(claims.table(ROOT, [], quoted))
    assert {row[0] for row in rows} == {claims.BAILO, claims.RAO, claims.THESIS}
    assert all(len(row) == 5 and row[2].startswith(VERDICTS) for row in rows)


def test_a_checkout_without_results_says_so(quoted, tmp_path):
    verdicts = [row[2] for row in rows_of(claims.table(tmp_path, [], quoted))]
    assert verdicts.count(claims.NOT_STORED) == 8


def few(tmp_path, **painted):
    rows = [
        {"name": f"few-{each}", "fold": 0, "each": each, "steps": 1200}
        | {"macro_f1": {"painted": scores, "real": [0.7, 0.7]}}
        for each, scores in ((0, painted["all_cells"]), (3, painted["three"]), (10, painted["ten"]))
    ]
    longer = [
        {**rows[k], "name": name, "macro_f1": {"painted": scores, "real": [0.7]}}
        for k, name, scores in zip((0, 2), ("released", "few-10-long"), painted.get("longer", ()), strict=False)
    ]
    write_json(tmp_path / "few.json", {"rows": [*rows, {**rows[0], "fold": 1}, *longer]})
    return claims._few(tmp_path / "few.json")


def test_few_suffice_if_they_reach_nine_tenths_of_what_all_reach(tmp_path):
    everything = [0.5, 0.6]
    assert few(tmp_path, all_cells=everything, three=[0.52], ten=[0.56]).startswith("reproduced: ")
    assert few(tmp_path, all_cells=everything, three=[0.3], ten=[0.56]).startswith("partly: ")
    told = few(tmp_path, all_cells=everything, three=[0.3], ten=[0.4])
    assert told.startswith("not reproduced: ")
    assert "0.30 after 3, 0.40 after 10 and 0.55 after all cells" in told
    assert few(tmp_path, all_cells=[0.2, 0.3], three=[0.3], ten=[0.3]).startswith("could not be told: ")  # too short
    everything, longer = {"all_cells": [0.2, 0.3], "three": [0.2], "ten": [0.2]}, ([0.6, 0.66], [0.4])
    assert few(tmp_path, **everything, longer=longer).startswith(
        "not reproduced: a classifier names painted cells at a"
    )
    assert few(tmp_path, **everything, longer=longer[:1]).startswith("could not be told: ")  # all cells alone
    told = few(tmp_path, **everything, longer=([0.6, 0.66], [0.6]))
    assert told.startswith("partly: ")  # three cells were tried in the short trainings only
    assert "0.60 after 10 and 0.63 after all cells of a type, real ones of 0.70 (one training each)" in told
    assert told.endswith("after trainings of 1,200 steps 0.20 after 3, 0.20 after 10 and 0.25 after all")


def test_augmentation_is_judged_over_all_seeds(tmp_path):
    def arm(*scores):
        return {"by_seed": {"nucleus": list(scores)}}

    def judged(painted):
        arms = {"real": arm(0.8, 0.8), "real, geometric and noise": arm(0.7, 0.9), "real and painted": arm(*painted)}
        write_json(tmp_path / "cycle.json", {"augmentation": {"arms": arms}})
        return claims._augmentation(tmp_path / "cycle.json").split(":")[0]

    assert judged((0.8, 0.95)) == "reproduced"
    assert judged((0.6, 0.85)) == "not reproduced"
    assert judged((0.8, 0.85)) == "could not be told"


def test_the_chapter_says_of_augmentation_what_the_table_says():
    verdict = claims._augmentation(ROOT / "data" / "results" / "cyclegan" / "laptop.json").split(":")[0]
    (cell,) = (
        cell
        for cell in nbformat.read(ROOT / "notebooks" / "12_cyclegan_white_cells.ipynb", as_version=4).cells
        if cell.id == "augmentation-seeds"
    )
    printed = "".join(output.get("text", "") for output in cell.outputs)
    assert printed.endswith(f"the paper's claim: {verdict}\n")


def test_painting_while_training_is_held_against_a_step_of_training(tmp_path):
    paper = {
        "data": {"image_width_px": 512, "image_height_px": 512},
        "sampler": {"seconds_per_mask": 60},
        "gan": {"seconds_per_image": 0.8},
    }
    assert claims._real_time(tmp_path / "bench.json", [], paper) == claims.NOT_STORED
    rows = [{"what": "paint", "size": "8×8"}]
    write_json(tmp_path / "bench.json", {"rows": rows})
    assert claims._real_time(tmp_path / "bench.json", [], paper) == claims.NOT_STORED
    rows.append({"what": "stream", "size": "256×256", "seconds": 0.1, "cpu_seconds": 0.2})
    write_json(tmp_path / "bench.json", {"rows": rows})

    def judged(*steps, device="cpu, 1 threads", crop_px=256):
        runs = [
            {
                "task": task,
                "device": device,
                "config": {"crop_px": crop_px, "steps": 50, "batch": 2},
                "seconds": {"training": 100 * seconds},
            }
            for task, seconds in steps
        ]
        return claims._real_time(tmp_path / "bench.json", runs, paper)

    assert judged().startswith("could not be told: a sample of 256×256 with its mask takes 0.1 s (0.2 CPU-s), where")
    assert "figures come to 15.2 s for its area" in judged()  # a quarter of the picture
    assert judged(("fcn8s", 0.3), ("faster_rcnn", 0.4)).startswith("not reproduced: ")
    assert judged(("fcn8s", 0.1), ("fcn8s", 0.9)).startswith("reproduced: ")  # its fastest run counts
    partly = judged(("fcn8s", 0.1), ("faster_rcnn", 0.4))
    assert partly.startswith("partly: ")
    assert partly.endswith("costs a processor 0.10 to 0.40 s, more than to paint it for 1 of 2 networks")
    assert judged(("fcn8s", 0.3), device="NVIDIA").startswith("could not be told: ")
    assert judged(("fcn8s", 0.3), crop_px=128).startswith("could not be told: ")


def test_a_loss_below_its_balance_is_better_than_random():
    assert claims._curves({"discriminator_loss": 1.15, "reference": 0.69}).startswith("not reproduced")
    assert claims._curves({"discriminator_loss": 1.4, "reference": 0.69}).startswith("reproduced")


def difference(mean, low, high):
    return Contrast(mean, low, high, 8, 7, 34, score="dice")


def test_an_arm_is_best_if_it_is_above_every_other():
    paper = {"RD": 0.9, "SD": 0.8, "RD+SD+aug": 0.95}
    above, even, below = difference(0.02, 0.01, 0.03), difference(0.01, -0.01, 0.03), difference(-0.02, -0.03, -0.01)

    def judged(real, synthetic):
        return claims._best("RD+SD+aug", {"RD": real, "SD": synthetic}, paper)

    assert judged(above, above).startswith(
        "reproduced: against RD +0.020 (+0.010 to +0.030; 8 pairs of seeds; the paper"
    )
    assert "the paper +0.050), against SD" in judged(above, above)
    assert judged(above, even).startswith("could not be told: ")
    assert judged(above, below).startswith("not reproduced: ")


@pytest.mark.parametrize(
    ("found", "paper", "word"),
    [
        ((-0.11, -0.15, -0.05), -0.1, "reproduced"),
        ((-0.01, -0.02, -0.005), -0.1, "partly"),
        ((0.01, 0.005, 0.02), -0.1, "not reproduced"),
        ((-0.01, -0.02, 0.005), -0.1, "not reproduced"),
        ((-0.05, -0.2, 0.05), -0.1, "could not be told"),
    ],
)
def test_what_synthetic_smears_do_is_judged_by_sign_and_size(found, paper, word):
    said = claims._replaces(difference(*found), paper)
    assert said.split(":")[0] == word
    assert said.endswith("whose size our interval leaves out") == (not found[1] <= paper <= found[2])
