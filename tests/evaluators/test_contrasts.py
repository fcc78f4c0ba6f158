"""What is concluded from stored runs, on runs whose answer is known."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from records import record

from bloodlib.evaluators import contrasts
from bloodlib.evaluators.optimism import optimism
from bloodlib.evaluators.painters import painter_spread
from bloodlib.evaluators.significance import resampled_means, sign_flip, smallest_by_flips, smallest_detectable
from bloodlib.evaluators.stored_scores import by_image, one_set, other_masks


def rng():
    return np.random.default_rng(0)


def pair(first, second, seeds=2, task="fcn8s", arms=("SD", "RD"), **more):
    """Runs of two arms with the same scores on every seed."""
    return [record(task, arms[0], s, first, **more) for s in range(seeds)] + [
        record(task, arms[1], s, second) for s in range(seeds)
    ]


def test_cells_and_contrasts_in_closed_form():
    runs = pair([0.6, 0.7, 0.8, 0.9], [0.5, 0.6, 0.7, 0.8])
    cell = contrasts.cell(runs, "fcn8s", "SD")
    assert (cell.mean, cell.seeds) == pytest.approx((0.75, 2))
    # A quarter of the draws takes the first slide twice: four images of 0.6 or 0.7, all 0.6 in one of 16. So 0.6
    # has a probability of 0.016, and 0.625 reaches 0.078.
    assert (cell.low, cell.high) == pytest.approx((0.625, 0.875))
    result = contrasts.contrast(runs, "fcn8s", "SD", "RD", rng())
    # The same gain everywhere: whatever is resampled, the mean is that gain.
    assert result[:6] == pytest.approx((0.1, 0.1, 0.1, 2, 2, 4))
    assert (result.se, result.smallest) == pytest.approx((0, 0), abs=1e-12)
    assert (result.score, result.dataset, result.painters) == ("dice", "toy", None)
    assert contrasts.cell(runs, "fcn8s", "RD+aug") is None
    assert contrasts.contrast(runs, "fcn8s", "RD+SD", "RD", rng()) is None


def test_one_seed_has_no_interval():
    result = contrasts.contrast(pair([0.6] * 4, [0.5] * 4, seeds=1), "fcn8s", "SD", "RD", rng())
    assert np.isnan([result.low, result.high, result.se, result.p, result.smallest]).all()
    assert result.straddles


def test_interval_is_as_wide_as_the_difference_between_slides():
    result = contrasts.contrast(pair([0.5, 0.5, 0.9, 0.9], [0.5] * 4), "fcn8s", "SD", "RD", rng())
    # Two slides with gains 0 and 0.4: a quarter of the draws takes the first twice.
    assert (result.low, result.high) == pytest.approx((0.0, 0.4))
    assert result.by_group == (("a", 0.0, 2), ("b", pytest.approx(0.4), 2))


def noisy(seeds=8, shift=0.0):
    draws = np.random.default_rng(5)
    runs = []
    for s in range(seeds):
        base = draws.uniform(0.5, 0.8, 6)
        runs.append(record("fcn8s", "RD", s, base.tolist(), "aaabbc"))
        gains = (base + shift + draws.normal(0, 0.02, 6)).tolist()
        runs.append(record("fcn8s", "SD", s, gains, "aaabbc", painter=f"p{s % 3}", painter_seed=s % 3))
    return runs


def test_a_contrast_is_made_of_its_parts():
    runs = noisy()
    result = contrasts.contrast(runs, "fcn8s", "SD", "RD", rng())
    first, second = (by_image(runs, "fcn8s", arm) for arm in ("SD", "RD"))
    difference = first.values - second.values
    assert list(result.by_seed.values()) == pytest.approx(difference.mean(axis=1).tolist())
    assert result.p == sign_flip(difference.mean(axis=1))
    assert result.se == resampled_means(difference.mean(axis=0), first.groups, rng()).std(ddof=1)
    of_seeds = smallest_detectable(difference.mean(axis=1).std(ddof=1) / 8**0.5, 8)
    assert result.smallest == pytest.approx(max(of_seeds, smallest_detectable(result.se, 3)))
    assert sum(e.mean * e.images for e in result.by_group) / 6 == pytest.approx(result.mean)
    assert [e.painter for e in result.painters.by_painter] == ["p0 (seed 0)", "p1 (seed 1)", "p2 (seed 2)"]
    assert [e.seeds for e in result.painters.by_painter] == [3, 3, 2]
    assert np.isnan(result.p_holm)
    assert contrasts.contrast(runs, "fcn8s", "SD", "RD", rng()) == result


def test_seeds_that_disagree_make_differences_harder_to_detect():
    # Seed s shifts every image alike, so slides agree perfectly and only seeds make noise.
    shifts = [0.0, 0.02, 0.04, 0.06, -0.06, -0.04, -0.02, 0.0]
    runs = [record("fcn8s", "RD", s, [0.5] * 4) for s in range(8)]
    runs += [record("fcn8s", "SD", s, [0.5 + shift] * 4) for s, shift in enumerate(shifts)]
    result = contrasts.contrast(runs, "fcn8s", "SD", "RD", rng())
    assert result.se == pytest.approx(0, abs=1e-12)
    assert result.smallest == pytest.approx(smallest_detectable(np.std(shifts, ddof=1) / 8**0.5, 8))


def test_the_test_that_decides_says_what_could_have_been_found():
    shifts = [0.0, 0.02, 0.04, 0.06, -0.06, -0.04, -0.02, 0.0]
    runs = [record("fcn8s", "RD", s, [0.5] * 4) for s in range(8)]
    runs += [record("fcn8s", "SD", s, [0.5 + shift] * 4) for s, shift in enumerate(shifts)]
    alone = contrasts.primary(runs, rng())["fcn8s", "SD", "RD"]
    assert alone.smallest == pytest.approx(smallest_by_flips(np.std(shifts, ddof=1), 8, 1))
    two = contrasts.primary(runs + pair([0.6] * 4, [0.5] * 4, 8, "faster_rcnn"), rng())["fcn8s", "SD", "RD"]
    assert two.smallest == pytest.approx(smallest_by_flips(np.std(shifts, ddof=1), 8, 2))
    assert two.smallest > alone.smallest
    few = contrasts.primary([r for r in runs if r["seed"] < 7], rng())["fcn8s", "SD", "RD"]
    assert few.smallest == pytest.approx(smallest_detectable(np.std(shifts[:7], ddof=1) / 7**0.5, 7))  # never tested


def test_count_errors_are_contrasted_and_lower_is_better():
    runs = [record("fcn8s", "SD", s, [0.5] * 4, found=13) for s in range(2)]
    runs += [record("fcn8s", "RD", s, [0.5] * 4, found=9) for s in range(2)]
    result = contrasts.contrast(runs, "fcn8s", "SD", "RD", rng(), score="count_error")
    assert (result.mean, result.gain) == (2, -2)
    assert contrasts.cell(runs, "fcn8s", "SD", score="count_error")[:4] == (3, 3, 3, 2)
    assert contrasts.contrast(runs, "fcn8s", "SD", "RD", rng(), score="point_f1") is None
    with pytest.raises(ValueError, match="allowed are dice"):
        contrasts.contrast(runs, "fcn8s", "SD", "RD", rng(), score="accuracy")


def test_runs_from_before_a_score_was_kept_do_not_count_for_it():
    runs = pair([0.6] * 4, [0.5] * 4, 3)
    assert contrasts.cell(runs, "fcn8s", "SD", score="point_count_error") is None
    for run in (r for r in runs if r["seed"] > 0):
        for row in run["per_image"]["on_validation"]:
            row |= {"points": 12, "found_off_border": 9 + run["seed"]}
        run["selected"]["on_validation"]["test"]["point_count_mae"] = 3.0 - run["seed"]
    assert contrasts.cell(runs, "fcn8s", "SD", score="point_count_error")[:4] == (1.5, 1.5, 1.5, 2)
    assert contrasts.contrast(runs, "fcn8s", "SD", "RD", rng(), score="point_count_error").seeds == 2


def test_images_without_a_score_are_left_out():
    runs = pair([0.6, None, 0.6, 0.6], [0.5, None, 0.5, 0.5], task="faster_rcnn")
    result = contrasts.contrast(runs, "faster_rcnn", "SD", "RD", rng())
    assert (result.mean, result.images, result.by_group[0].images) == (pytest.approx(0.1), 3, 1)


def test_a_cell_of_ap_is_the_set_s_with_the_images_interval_moved_and_cut():
    runs = pair([0.8, 0.9, 1.0, 1.0], [0.5] * 4, task="faster_rcnn")
    plain = contrasts.cell(runs, "faster_rcnn", "SD")
    for r in runs:
        r["selected"]["on_validation"]["test"]["AP50"] -= 0.02
    moved = contrasts.cell(runs, "faster_rcnn", "SD")
    assert plain[:3] == pytest.approx([v + 0.02 for v in moved[:3]])
    for r in runs:
        r["selected"]["on_validation"]["test"]["AP50"] += 0.05
    assert contrasts.cell(runs, "faster_rcnn", "SD").high == 1


def test_arms_are_paired_by_seed_and_configuration():
    runs = pair([0.6] * 4, [0.5] * 4, seeds=3)
    del runs[-1]
    assert list(contrasts.contrast(runs, "fcn8s", "SD", "RD", rng()).by_seed) == [0, 1]
    runs[0]["config_hash"] = "older"
    assert list(contrasts.contrast(runs, "fcn8s", "SD", "RD", rng()).by_seed) == [1]
    # Seed 0 was run in both arms under the older configuration: still a pair, but not one to average with the others.
    runs = pair([0.6] * 4, [0.5] * 4, seeds=3)
    runs[0]["config_hash"] = runs[3]["config_hash"] = "older"
    assert list(contrasts.contrast(runs, "fcn8s", "SD", "RD", rng()).by_seed) == [1, 2]


def test_arms_are_paired_on_one_kind_of_device():
    runs = pair([0.6] * 4, [0.5] * 4, seeds=3, device="cpu, 1 threads, bfloat16")
    for second, device in zip(
        runs[3:], ("cpu, 2 threads, bfloat16", "cpu, 1 threads, float32", "A GPU, bfloat16"), strict=True
    ):
        second["device"] = device
    assert list(contrasts.contrast(runs, "fcn8s", "SD", "RD", rng()).by_seed) == [0]  # threads are no difference


def test_detectors_are_paired_where_they_began_with_one_backbone():
    runs = pair([0.6] * 4, [0.5] * 4, seeds=3)
    for run, backbone in zip(runs, ("a", "a", "b", "a", "b", "b"), strict=True):
        run["backbone"] = backbone
    assert list(contrasts.contrast(runs, "fcn8s", "SD", "RD", rng()).by_seed) == [0, 2]


def test_sets_are_never_mixed():
    runs = [record("fcn8s", "RD", 0, [0.5] * 4), record("fcn8s", "RD", 1, [0.5] * 4, dataset="phantom")]
    with pytest.raises(ValueError, match="mixed"):
        contrasts.cell(runs, "fcn8s", "RD")


@pytest.mark.parametrize("part", ["fit", "validation", "test"])
def test_runs_that_saw_other_masks_are_named_and_refused(part):
    runs = pair([0.6] * 4, [0.5] * 4)
    assert other_masks(runs) == []
    runs[1]["split"][part]["sha256"] = "derived anew"
    assert other_masks(runs) == ["data/results/table2/laptop-toy/fcn8s-SD-1.json"]
    with pytest.raises(ValueError, match=r"fcn8s-SD-1\.json: other images or masks"):
        contrasts.contrast(runs, "fcn8s", "SD", "RD", rng())


def test_fewer_real_smears_are_no_other_masks():
    runs = pair([0.6] * 4, [0.5] * 4)
    runs[0]["split"]["fit"] = {"images": 2, "sha256": "half of them"}
    assert one_set(runs) is runs
    runs[0]["split"]["test"] = {"images": 2, "sha256": "half of them"}
    assert len(other_masks(runs)) == 1


def test_other_test_images_are_refused():
    runs = pair([0.6] * 4, [0.5] * 4)
    runs[1] = copy.deepcopy(runs[1])
    runs[1]["per_image"]["on_validation"][0]["name"] = "elsewhere"
    with pytest.raises(ValueError, match=r"fcn8s-SD-1\.json: its test images"):
        contrasts.contrast(runs, "fcn8s", "SD", "RD", rng())
    runs[0] = runs[1] = record("fcn8s", "SD", 0, [0.6] * 3, "abb")
    with pytest.raises(ValueError, match="SD and RD were scored on other test images"):
        contrasts.contrast(runs, "fcn8s", "SD", "RD", rng())


def test_the_family_is_every_primary_contrast_of_every_task():
    # All 8 seeds agree in three contrasts (p = 2/256), two of them with few seeds (p = 0.25) join the family.
    runs = pair([0.6] * 4, [0.5] * 4, 8) + pair([0.6] * 4, [0.5] * 4, 8, "faster_rcnn")
    runs += pair([0.6] * 4, [0.5] * 4, 8, arms=("RD+SD+aug", "RD+aug"))
    runs += pair([0.6] * 4, [0.5] * 4, 3, "contour_fcn") + pair(
        [0.6] * 4, [0.5] * 4, 2, "contour_fcn", ("RD+SD+aug", "RD+aug")
    )
    found = contrasts.primary(runs, rng())
    assert len(found) == 5
    smallest = 4 * 2 / 256  # two seeds have no p and do not count
    holm = {key: c.p_holm for key, c in found.items()}
    assert holm["fcn8s", "SD", "RD"] == holm["faster_rcnn", "SD", "RD"] == smallest
    assert holm["contour_fcn", "SD", "RD"] == 0.25
    assert np.isnan(holm["contour_fcn", "RD+SD+aug", "RD+aug"])
    described = contrasts.primary(runs, rng(), "count_error").values()
    assert np.isnan([c.p_holm for c in described]).all()


def test_controls_are_compared_with_their_reference_and_not_tested():
    runs = pair([0.6] * 4, [0.5] * 4, 8, arms=("SD-uniform", "SD"))
    found = contrasts.controls(runs, {"SD-uniform": "SD", "RD-5": "RD"}, rng())
    assert list(found) == [("fcn8s", "SD-uniform", "SD")]
    assert np.isnan(next(iter(found.values())).p_holm)


def test_painters_in_closed_form():
    spread = painter_spread(["a", "a", "b", "b"], [0.0, 0.2, 0.5, 0.7])
    assert [e.mean for e in spread.by_painter] == pytest.approx([0.1, 0.6])
    assert spread.sd_of_means == pytest.approx(0.5 / 2**0.5)
    # MS between = 2·2·0.25² = 0.25, MS within = 0.04/2 = 0.02, n₀ = 2.
    assert spread.sd_between == pytest.approx(((0.25 - 0.02) / 2) ** 0.5)
    # Painters that differ less than their seeds do have no spread of their own.
    assert painter_spread(["a", "a", "b", "b"], [0.0, 1.0, 0.1, 0.9]).sd_between == 0
    one = painter_spread(["a", "a"], [0.0, 0.2])
    assert np.isnan([one.sd_of_means, one.sd_between]).all()
    each = painter_spread(["a", "b"], [0.0, 0.2])
    assert np.isnan(each.sd_between)
    assert each.sd_of_means == pytest.approx(0.2 / 2**0.5)


def test_spread_between_painters_is_found_again():
    draws = np.random.default_rng(6)
    names = np.repeat(np.arange(160).astype(str), 5)
    values = np.repeat(draws.normal(0, 0.03, 160), 5) + draws.normal(0, 0.05, 800)
    # Its variance is 0.0014·√(2/159) off as a rule, so itself 0.0026: four of them.
    assert painter_spread(names, values).sd_between == pytest.approx(0.03, abs=0.01)


def test_optimism_is_summed_up_by_task():
    runs = pair([0.6] * 4, [0.5] * 4)
    for r, gain in zip(runs, (0.0, 0.01, 0.03, 0.0), strict=True):
        r["selected"]["optimism"] = gain
    assert optimism(runs) == {"fcn8s": pytest.approx((0.01, 0.0, 0.03, 2, 4))}


def test_smears_that_processors_round_otherwise_are_the_same_and_marked():
    runs = pair([0.6] * 4, [0.5] * 4)
    for r in runs:
        for about in r["split"].values():
            about["made_by"] = "phantom 1, 300×480"
    runs[0]["split"]["test"] |= {"sha256": "rounded", "made_by": "phantom 1, 300×480"}
    assert other_masks(runs) == []
    assert contrasts.contrast(runs, "fcn8s", "SD", "RD", rng()).mixed == 1
    runs[0]["split"]["test"]["made_by"] = "phantom 2, 300×480"
    assert len(other_masks(runs)) == 1


def test_records_from_before_it_was_kept_are_of_the_first_versions():
    runs = [r | {"dataset": "chula_rbc12"} for r in pair([0.6] * 4, [0.5] * 4)]
    runs[0]["split"]["test"] = {"images": 4, "sha256": "rounded", "made_by": "chula_rbc12 by derivation 1"}
    assert other_masks(runs) == []
    runs[0]["split"]["test"]["made_by"] = "chula_rbc12 by derivation 2"
    assert len(other_masks(runs)) == 1
