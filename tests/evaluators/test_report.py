"""Pictures mark what they say; tables count what they show."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from records import record

from bloodlib.evaluators import pictures, report
from bloodlib.evaluators.arms import ARMS
from bloodlib.evaluators.config import preset
from bloodlib.evaluators.contrasts import Contrast, GroupEffect
from bloodlib.evaluators.markdown import anchor
from bloodlib.evaluators.painters import PainterEffect, PainterSpread
from bloodlib.evaluators.report_contrasts import steps_table
from bloodlib.evaluators.report_runs import networks_table, recomputed_table
from bloodlib.evaluators.tasks import Prediction
from bloodlib.evaluators.verdicts import plainly, significant, worth


def test_boxes_are_marked_by_what_they_are():
    truth = np.zeros((60, 90), np.int32)
    truth[10:30, 10:30], truth[10:30, 50:70] = 1, 2
    prediction = Prediction(np.array([[10, 10, 30, 30], [60, 40, 80, 58.0]]), np.array([0.9, 0.9]))
    drawn = pictures.mark_boxes(np.full((60, 90, 3), 220, np.uint8), prediction, truth)
    assert tuple(drawn[10, 20]) == pictures.FOUND
    assert tuple(drawn[10, 60]) == pictures.MISSED
    assert tuple(drawn[40, 70]) == pictures.FALSE
    unsure = Prediction(prediction.boxes, np.array([0.4, 0.4]))
    assert tuple(pictures.mark_boxes(np.full((60, 90, 3), 220, np.uint8), unsure, truth)[10, 20]) == pictures.MISSED


def test_pixels_are_marked_by_what_they_are():
    predicted, truth = np.array([[1, 1, 0]]), np.array([[1, 0, 3]])
    drawn = pictures.mark_pixels(np.zeros((1, 3, 3), np.uint8), predicted, truth)
    assert drawn[0].tolist() == [[102, 102, 102], list(pictures.FALSE), list(pictures.MISSED)]


NAN = float("nan")
PAPER = {task: dict.fromkeys(ARMS, 0.5) for task in report.TASKS}


def entries(table: str, line: int) -> list[str]:
    """Split one line of a Markdown table, counted from the head."""
    return [entry.strip() for entry in table.splitlines()[line].strip("|").split("|")]


def stored(dataset, arm, seed, score, **more):
    return record("fcn8s", arm, seed, [score], "a", dataset=dataset, **more)


def test_a_table_counts_its_runs_and_leaves_out_what_is_not_stored():
    table = report.table([stored("toy", "RD", 0, 0.8), stored("toy", "RD", 1, 0.9)], PAPER)
    ours = table.splitlines()[2]
    # One image: whatever is resampled, the mean over seeds is the same.
    assert "[**0.850**](#run-laptop-toy-fcn8s-rd) (0.850–0.850; n = 2)" in ours
    assert ours.count("–") == 1 + 4
    assert table.count("0.500") == 15
    assert "†" not in table


def test_a_table_s_interval_is_over_slides():
    runs = [record("fcn8s", "RD", s, [0.5, 0.5, 0.9, 0.9]) for s in range(2)]
    assert "(0.500–0.900; n = 2)" in report.table(runs, PAPER)


def test_stale_runs_are_marked():
    runs = [stored("toy", "RD", 0, 0.8), stored("toy", "RD", 1, 0.8, config_hash="older")]
    table = report.table(runs, PAPER)
    assert "[**0.800**](#run-laptop-toy-fcn8s-rd) † (" in table
    assert table.splitlines()[-1].startswith("*† some of these runs are stale")
    assert [("stale" in line) for line in report.commands(runs).splitlines()[1:3]] == [False, True]
    assert report.run_page(runs).count("(stale)") == 1


BASELINE = {
    "dataset": "toy",
    "scores": {"dice": 0.91, "AP50": 0.81, "point_f1": 0.71, "count_mae": 1.0, "point_count_mae": 6.0},
    "crowding": {"isolated": {"AP50": 0.99, "cells": 7}, "touching": {"AP50": None, "cells": 0}},
}


def test_the_baseline_stands_in_every_table_and_is_of_the_same_set():
    runs = [stored("toy", "RD", 0, 0.8)]
    table = report.table(runs, PAPER, baseline=BASELINE)
    assert entries(table, 0)[-1] == report.BASELINE
    assert [entries(table, line)[-1] for line in range(2, 8)] == ["0.910", "–", "0.810", "–", "0.810", "–"]
    human = report.human_table(runs, baseline=BASELINE)
    assert entries(human, -1)[1:] == ["0.710", "6.0"] * 3
    runs[0]["selected"]["on_validation"]["test"] = {"dice": 0.8, "point_f1": 0.6}
    runs[0]["crowding"] = {"isolated": {"AP50": 0.8, "cells": 7}, "touching": {"AP50": 0.4, "cells": 1}}
    details = report.details(runs, "fcn8s", BASELINE)
    assert entries(details, -1) == [report.BASELINE, "0.910", "0.710", "–", "–", "–"]
    assert entries(report.crowding_table(runs, BASELINE), -1)[1:] == [report.BASELINE, "0.990", "–", "–"]
    with pytest.raises(ValueError, match="baseline is of toy but the runs are of phantom"):
        report.table([stored("phantom", "RD", 0, 0.8)], PAPER, baseline=BASELINE)


def test_human_endpoints_stand_by_arm_and_task():
    runs = [stored("toy", "RD", s, 0.8, found=found) for s, found in enumerate((8, 13))]
    assert entries(report.human_table(runs), 2)[:3] == ["RD", "–", "–"]  # a count against masks is none
    for r, found in zip(runs, (8, 13), strict=True):
        r["per_image"]["on_validation"][0] |= {"points": 10, "found_off_border": found}
        r["selected"]["on_validation"]["test"]["point_count_mae"] = float(abs(found - 10))
    table = report.human_table(runs)
    assert entries(table, 2)[:3] == ["RD", "–", "[**2.5**](#run-laptop-toy-fcn8s-rd) (2.5–2.5; n = 2)"]
    assert [entries(table, line)[0] for line in range(2, 7)] == list(ARMS)
    for r in runs:
        r["per_image"]["on_validation"][0]["point_f1"] = r["selected"]["on_validation"]["test"]["point_f1"] = 0.66
    assert entries(report.human_table(runs), 2)[1].startswith("[**0.660**]")


def test_every_link_of_every_table_leads_to_a_listed_run():
    runs = [stored("toy", arm, s, 0.8) for arm in (*ARMS, "SD-uniform") for s in range(2)]
    page = report.run_page(runs)
    tables = [
        report.table(runs, PAPER),
        report.human_table(runs),
        report.controls_table(runs, {"SD-uniform": "SD"}, np.random.default_rng(0)),
    ]
    links = re.findall(r"\]\(#([^)]+)\)", "".join(tables))
    targets = re.findall(r"^\(([^)]+)\)=$", page, re.MULTILINE)
    assert set(links) == set(targets)
    assert len(targets) == len(set(targets)) == 6
    assert page.count("python -m bloodlib.evaluators.run") == len(runs)
    assert page.index("FCN-8s, RD+SD+aug**") < page.index("FCN-8s, SD-uniform**")


def test_links_of_two_sets_differ():
    assert anchor(stored("toy", "RD", 0, 0.8)) != anchor(stored("phantom", "RD", 0, 0.8))


def test_sets_are_kept_apart_and_real_ones_come_first():
    runs = [stored("phantom", "RD", 0, 0.99), stored("toy", "RD", 0, 0.7)]
    assert list(report.by_set(runs)) == [("toy", "laptop"), ("phantom", "laptop")]
    lines = report.live_beside_stored([stored("phantom", "RD", 0, 0.6)], runs).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["**live**, in this build", "stored", "stored"]
    assert "0.990" in lines[4]
    for write in (report.run_page, report.optimism_table, report.cost_table, report.crowding_table):
        with pytest.raises(ValueError, match="mixed"):
            write(runs)


def contrast(mean=0.3, low=0.1, high=0.6, seeds=8, p=0.0078, p_holm=0.02, smallest=0.2, score="dice", **more):
    return Contrast(
        mean, low, high, seeds, 7, 34, p=p, p_holm=p_holm, smallest=smallest, score=score, dataset="toy", **more
    )


def test_a_difference_is_claimed_over_seeds_and_slides_together():
    assert significant(contrast())
    assert not significant(contrast(low=-0.1))
    assert not significant(contrast(p_holm=0.06))
    assert not significant(contrast(seeds=7))
    assert not significant(contrast(p_holm=NAN))


def test_verdict_claims_nothing_from_one_seed_or_a_straddling_interval():
    assert "decides nothing" in report.verdict(contrast(low=NAN, high=NAN, seeds=1))
    few = report.verdict(contrast(low=-0.01, seeds=3))
    assert few.startswith("no difference")
    assert "no test below 8 seeds; smallest detectable difference 0.200" in few
    assert report.verdict(contrast(p_holm=0.06)).startswith("not significant (")
    assert "not shown for others" in report.verdict(contrast(low=-0.01))
    assert "not shown for others" in report.verdict(contrast()._replace(groups=1)), "one slide says nothing of others"
    assert report.verdict(contrast()).startswith("better, over seeds and over slides (")
    assert report.verdict(contrast(-0.3, -0.4, -0.2)).startswith("worse, over")
    assert report.verdict(contrast(-0.3, -0.4, -0.2, score="count_error")).startswith("better, over")
    assert "descriptive" in report.verdict(contrast(p_holm=NAN))


def test_the_answer_has_two_sentences_per_task_and_says_what_is_not_significant():
    said = report.answer(
        {
            ("fcn8s", "RD+SD+aug", "RD+aug"): contrast(0.01, -0.1, 0.1, p_holm=0.4),
            ("fcn8s", "SD", "RD"): contrast(-0.3, -0.4, -0.2),
            ("fcn8s", "SD-uniform", "SD"): contrast(),
        }
    ).splitlines()
    assert len(said) == 3
    assert said[0].count(". ") == 1
    adds, replaces = said[0].split(". ")
    assert "Adding synthetic smears" in adds
    assert "no significant difference to Dice" in adds
    assert "true differences below 0.200 would be missed more often than 20% of the time" in adds
    assert "worsened Dice by more than chance explains" in replaces
    assert said[1].startswith("- **Faster R-CNN**: no pair of runs (one seed, configuration and kind of device) tells")


def test_the_answer_claims_nothing_without_enough_seeds_and_tells_phantoms_from_blood():
    few = report.answer({("fcn8s", "SD", "RD"): contrast(seeds=3)})
    assert "3 of the 8 seeds that a test needs, nothing is claimed" in few
    assert "blood" not in few
    phantom = report.answer({("fcn8s", "SD", "RD"): contrast()._replace(dataset="phantom")})
    assert "rendered pictures, not blood" in phantom.splitlines()[0]


def test_the_plain_answer_counts_networks_and_names_no_score():
    adds, replaces = ("RD+SD+aug", "RD+aug"), ("SD", "RD")
    worse, none = contrast(-0.3, -0.4, -0.2), contrast(0.01, -0.1, 0.1, p_holm=0.4)
    found = {("fcn8s", *adds): none, ("contour_fcn", *adds): none, ("fcn8s", *replaces): worse}
    found |= {("contour_fcn", *replaces): contrast(), ("faster_rcnn", *replaces): contrast(seeds=3)}
    first, second = plainly(found).split(". ")
    assert first.startswith("Of two computer programs that find or outline red cells, all did as before, as far as")
    assert second.startswith("One got better and one got worse when painted smears took the place"), (
        "untested: not told"
    )
    assert not re.search("Dice|AP|seed|p =", plainly(found))
    assert plainly({("fcn8s", *replaces): contrast(seeds=3)}) == ""
    assert plainly({("fcn8s", *replaces): contrast()}).startswith("Of one computer program that finds or outlines red")


def test_the_verdict_on_cost_follows_what_was_shown():
    pair = ("RD+SD+aug", "RD+aug")
    said = worth({("fcn8s", *pair): contrast(0.01, -0.1, 0.1, p_holm=0.4)}, 2.04, 0.26)
    assert said.startswith("The painters took 2.0 hours to train; a run took +0.3 processor minutes against one")
    assert "FCN-8s +0.010 (seen if beyond 0.200)" in said
    assert said.endswith("**not worth it here**.")
    assert worth({("fcn8s", *pair): contrast()}, 2.0, 0.3).endswith("**worth trying for FCN-8s**.")
    assert worth({("fcn8s", *pair): contrast(-0.3, -0.4, -0.2)}, 2.0, 0.3).endswith("**not worth it here**.")
    assert worth({("fcn8s", "SD", "RD"): contrast()}, 2.0, 0.3) == ""
    assert worth({("fcn8s", *pair): contrast(seeds=1)}, 2.0, 0.3).endswith("So few seeds decide nothing.")


def test_contrasts_show_p_only_where_they_are_tested():
    table = report.contrast_table(
        {("fcn8s", "SD", "RD"): contrast(), ("fcn8s", "RD+SD+aug", "RD+aug"): contrast(seeds=3)}
    )
    assert entries(table, 2)[4:] == ["0.0078", "0.0200", "0.200", "8, 34 of 7 slides", "–"]
    assert entries(table, 3)[4:7] == ["–", "–", "0.200"]
    assert table.splitlines()[-1] == (
        "*Differences with fewer than 8 seeds have intervals only, no test; "
        "what they could have detected is that of a single t-test.*"
    )
    assert "only" not in report.contrast_table({("fcn8s", "SD", "RD"): contrast()})


def test_groups_have_rows_with_their_images():
    first = contrast(by_group=(GroupEffect("a", 0.1, 3), GroupEffect("b", -0.2, 1)))
    second = contrast(by_group=(GroupEffect("a", 0.3, 2),))
    table = report.group_table({("fcn8s", "SD", "RD"): first, ("faster_rcnn", "SD", "RD"): second})
    assert entries(table, 2) == ["a", "3", "+0.100", "+0.300 (2)"]
    assert entries(table, 3) == ["b", "1", "-0.200", "–"]


def test_one_painter_has_no_spread():
    one = contrast(painters=PainterSpread((PainterEffect("p0", 0.1, 3),), NAN, NAN))
    seeds = (PainterEffect("p0", 0.1, 3), PainterEffect("03ad (seed 1)", 0.2, 2))
    two = contrast(painters=PainterSpread(seeds, 0.07, 0.05))
    table = report.painter_table(
        {("fcn8s", "SD", "RD"): one, ("faster_rcnn", "SD", "RD"): two, ("contour_fcn", "RD+CP", "RD"): contrast()}
    )
    table = table.replace("\N{NO-BREAK SPACE}", " ")  # a narrow column breaks between painters only
    assert entries(table, 2)[2:] == ["p0: +0.100 (3)"] + ["one painter: not estimated"] * 2
    assert entries(table, 3)[2:] == ["p0: +0.100 (3)<br>seed 1: +0.200 (2)", "0.070", "0.050"]
    assert len(table.splitlines()) == 4


def test_forest_has_a_row_per_contrast_and_group():
    c = contrast(by_group=(GroupEffect("a", 0.1, 3),))
    plain, grouped = (report.forest({("fcn8s", "SD", "RD"): c}, groups) for groups in (False, True))
    assert [(r.label, r.mean, r.low, r.high, r.significant) for r in plain] == [
        ("FCN-8s: SD − RD", 0.3, 0.1, 0.6, True)
    ]
    assert [(r.group, r.mean, r.images) for r in grouped] == [(None, 0.3, 34), ("a", 0.1, 3)]
    assert np.isnan(grouped[1].low)


def test_controls_stand_beside_their_reference():
    runs = [stored("toy", arm, s, score) for arm, score in (("SD", 0.7), ("SD-uniform", 0.6)) for s in range(2)]
    table = report.controls_table(runs, {"SD-uniform": "SD", "RD-5": "RD"}, np.random.default_rng(0))
    assert entries(table, 2)[2:5] == [
        "SD-uniform [0.600](#run-laptop-toy-fcn8s-sd-uniform)", "SD [0.700](#run-laptop-toy-fcn8s-sd)", "-0.100",
    ]  # fmt: skip
    assert len(table.splitlines()) == 3


def test_pairs_of_unlike_processors_or_versions_are_marked():
    runs = [stored("toy", arm, s, 0.8) for arm in ("RD", "RD-5") for s in range(3)]
    mark = "*‡ in some pairs the two runs are of unlike processors or versions of torch, or one names no processor.*"
    for kind, values in (("processor", ("AVX512", "AVX512")), ("versions", ({"torch": "2.14.1"}, {"torch": "2.14.1"}))):
        runs[0][kind], runs[3][kind] = values
    table = report.controls_table(runs, {"RD-5": "RD"}, np.random.default_rng(0))
    assert (entries(table, 2)[-1], mark in table) == ("3", False)
    for kind, values in (
        ("processor", ("AVX2", "AVX512")),
        ("processor", (None, "AVX512")),
        ("versions", ({"torch": "2.11"}, {"torch": "2.14.1"})),
    ):
        before = runs[0][kind], runs[3][kind]
        runs[0][kind], runs[3][kind] = values
        table = report.controls_table(runs, {"RD-5": "RD"}, np.random.default_rng(0))
        assert (entries(table, 2)[-1], table.splitlines()[-1]) == ("3‡", mark)
        runs[0][kind], runs[3][kind] = before


def test_optimism_costs_and_crowding_are_means_of_what_was_measured():
    runs = [stored("toy", "RD", s, 0.8) for s in range(3)]
    assert report.cost_table(runs) == "*No stored run has measured its cost.*"
    assert report.crowding_table(runs) == "*No stored run has measured crowding.*"
    for r, gain in zip(runs, (0.0, 0.03, 0.0), strict=True):
        r["selected"]["optimism"] = gain
    assert entries(report.optimism_table(runs), 2)[2:] == ["+0.0100", "+0.0000 to +0.0300", "1 of 3"]
    for r, seconds in zip(runs[:2], (0.1, 0.3), strict=True):
        r["cost"] = {"parameters": 2_500_000, "seconds_per_image": seconds, "peak_mib": 800}
        r["crowding"] = {"isolated": {"AP50": seconds, "cells": 7}, "touching": {"AP50": None, "cells": 0}}
    assert entries(report.cost_table(runs), 2) == ["FCN-8s", "cpu", "2.50", "0.200", "800", "2"]
    assert entries(report.crowding_table(runs), 2) == ["FCN-8s", "RD", "0.200 (7 cells)", "–", "2"]
    runs[1]["device"] = "a GPU"
    assert [entries(report.cost_table(runs), k)[3] for k in (2, 3)] == ["0.300", "0.100"]


def test_networks_of_two_sizes_are_compared_on_the_seeds_and_steps_that_both_have():
    small = [stored("toy", "RD", s, 0.8 + s / 10) for s in range(2)] + [stored("toy", "SD", 0, 0.7)]
    large = [stored("toy", "RD", s, 0.95, profile="paper") for s in (1, 2)]
    table = networks_table(small, large)
    assert entries(table, 0)[4:] == ["laptop networks", "paper networks", "seeds"]
    assert [entries(table, k)[1:] for k in range(2, len(table.splitlines()))] == [
        ["RD", "Dice", "300", "0.900", "0.950", "1"]
    ]
    large[0]["config"]["steps"] = 20000
    assert "No run of both sizes" in networks_table(small, large)
    large[0]["config"]["steps"] = 300
    for r in large:
        r["split"]["test"]["sha256"] = "other"
    with pytest.raises(ValueError, match="unlike smears"):
        networks_table(small, large)


def test_what_was_computed_again_stands_beside_what_is_stored():
    again = [stored("toy", "RD", s, 0.81) for s in (1, 7)]
    again[0]["selected"]["on_validation"]["test"]["point_count_mae"] = 2.5
    table = recomputed_table([stored("toy", "RD", s, 0.8) for s in range(3)], again)
    assert [entries(table, k) for k in range(2, len(table.splitlines()))] == [
        ["FCN-8s, Dice", "RD", "1", "0.800", "0.810", "+0.010", "2.5"]
    ]
    again[0]["config_hash"] = "other"
    assert recomputed_table([stored("toy", "RD", 1, 0.8)], again) == "*No run was computed again.*"


def test_details_show_controls_after_the_arms_of_the_paper():
    runs = [stored("toy", arm, 0, 0.8) for arm in ("SD-uniform", "SD", "RD")]
    table = report.details(runs, "fcn8s")
    assert [entries(table, k)[0] for k in (2, 3, 4)] == ["RD", "SD", "SD-uniform"]
    runs[0]["selected"]["on_validation"]["test"]["point_count_mae"] = 4.0  # younger than the other runs
    younger = report.details(runs, "fcn8s")
    assert [entries(younger, k)[3] for k in range(5)] == [
        "count error against points (cells per image)",
        "---",
        "–",
        "–",
        "4.0",
    ]
    assert entries(table, 0)[1] == "Dice"
    assert "count error against masks (cells per image)" in entries(table, 0)


def test_steps_are_compared_on_the_seeds_that_every_length_has():
    config = preset("laptop", "fcn8s")
    runs = []
    for steps, gain in ((300, 0.1), (900, 0.02)):
        longer = replace(config, steps=steps)
        about = {"config": longer.to_dict(), "config_hash": longer.hash}
        for seed in (0, 1, 2) if steps == 300 else (0, 1):
            level = 0.8 + 0.3 * (seed == 2)  # the seed that the longer training lacks would change every mean
            runs.append(record("fcn8s", "RD", seed, [level] * 4, **about))
            runs.append(record("fcn8s", "SD", seed, [level + gain] * 4, **about))
        runs.append(record("fcn8s", "RD+aug", 0, [0.5] * 4, **about))  # its partner was not run
    lines = steps_table(runs, np.random.default_rng(0)).splitlines()
    assert len(lines) == 4
    for line, (steps, first, mean) in zip(
        lines[2:], (("300", "0.900", "+0.100"), ("900", "0.820", "+0.020")), strict=True
    ):
        entries = [entry.strip() for entry in line.strip("|").split("|")]
        assert entries[1:6] == ["SD − RD", steps, first, "0.800", mean]
        assert entries[-1] == "2"
    assert "Nothing" in steps_table(runs[:2], np.random.default_rng(0))
