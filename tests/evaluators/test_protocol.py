"""Arms, the run record, stored runs and what is concluded from them."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import torch
from records import record as made

from bloodlib._files import package_data, read_json, write_json
from bloodlib.datasets import load
from bloodlib.evaluators import arms, protocol, run
from bloodlib.evaluators.config import PRESETS, TASKS, preset
from bloodlib.evaluators.records import digest, of_other_smears
from bloodlib.evaluators.run import command, stored_path
from bloodlib.evaluators.training import _ahead
from bloodlib.io import write_folder
from bloodlib.io.labels import write_instances
from bloodlib.smears import Smear


def toy(seed: int, group: str = "a", shape=(96, 110)) -> Smear:
    """Dark squares on light ground."""
    rng = np.random.default_rng(seed)
    instances = np.zeros(shape, np.int32)
    for k in range(6):
        row, column = 4 + 31 * (k // 3), 4 + 35 * (k % 3)
        instances[row + rng.integers(5) : row + 24, column : column + 24] = k + 1
    image = np.where(instances[..., None] > 0, 70, 210) + rng.integers(-9, 9, (*shape, 3))
    return Smear(image.astype(np.uint8), instances, name=f"toy{seed}", group=group, points=np.array([[10, 15, 0]]))


@pytest.mark.parametrize(
    ("arm", "real", "synthetic", "samples"),
    [
        ("RD", 60, 0, 60),
        ("SD", 0, 60, 60),
        ("RD+aug", 60, 0, 960),
        ("RD+SD", 60, 900, 960),
        ("RD+SD+aug", 60, 900, 960),
    ],
)
def test_the_paper_s_sizes(arm, real, synthetic, samples):
    plan = arms.plan(arm, 60)
    assert (plan.real, plan.synthetic, plan.samples) == (real, synthetic, samples)
    assert plan.augmented == arm.endswith("aug")


def test_unknown_arm_is_refused():
    with pytest.raises(ValueError, match="allowed are RD, SD"):
        arms.plan("SD+aug", 60)


def test_too_few_synthetic_smears_are_refused():
    with pytest.raises(ValueError, match="needs 2 synthetic smears but 1"):
        arms.Samples(arms.plan("SD", 2), [], [toy(0)], 0)


def test_crops_are_numbered_and_come_from_the_right_smears():
    real, synthetic = [toy(0), toy(1)], [toy(k) for k in range(2, 8)]
    samples = arms.Samples(arms.plan("RD+SD", 2, 4), real, synthetic, 0)
    assert len(samples) == 8
    whole = {k: samples.crop(k, 96, np.random.default_rng(k)) for k in range(8)}
    for k, (image, instances) in whole.items():
        assert np.unique(instances).tolist() == list(range(instances.max() + 1))
        source = (real + synthetic)[k].image
        column = next(c for c in range(15) if (source[:96, c : c + 96] == image).all())
        assert column <= 110 - 96


def test_crop_larger_than_the_image_is_mirrored():
    image, instances = arms.Samples(arms.plan("RD", 1), [toy(0)], [], 0).crop(0, 128, np.random.default_rng(0))
    assert image.shape == (128, 128, 3)
    assert instances.shape == (128, 128)


def test_a_sample_s_augmentation_is_fixed():
    make = lambda: arms.Samples(arms.plan("RD+aug", 2, 16), [toy(0), toy(1)], [], 0)  # noqa: E731
    first, second = (make().crop(5, 96, np.random.default_rng(1))[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    other = make().crop(7, 96, np.random.default_rng(1))[0]
    assert (first != other).any()


TINY = {
    "real_images": 0, "scored_images": 0, "steps": 2, "checkpoints": 2, "crop_px": 64, "batch": 2, "width": 1 / 32,
    "train_proposals": 20, "proposals": 30, "rois": 8, "head_width": 8, "multiple": 2,
}  # fmt: skip


@pytest.mark.parametrize("task", TASKS)
def test_a_run_gives_a_whole_record(task, tmp_path):
    config = preset("smoke", task, **TINY)
    before = torch.random.get_rng_state()
    record = protocol.run(
        task, "RD+SD+aug", 3, [toy(0), toy(1)], [toy(2)], [toy(3, "b"), toy(4, "c")], [toy(5), toy(6)], config,
        data="toy", painter="f00", accelerator="cpu",
    )  # fmt: skip
    assert torch.equal(before, torch.random.get_rng_state())
    assert record["config_hash"] == config.hash != preset("smoke", task).hash
    assert [entry["step"] for entry in record["history"]] == [1, 2]
    assert [row["name"] for row in record["per_image"]["on_validation"]] == ["toy3", "toy4"]
    assert record["split"]["test"]["groups"] == ["b", "c"]
    assert record["split"]["fit"]["sha256"] == protocol.digest([toy(0), toy(1)]) != record["split"]["test"]["sha256"]
    assert record["selected"]["optimism"] >= 0
    assert record["synthetic"] == protocol.digest([toy(5), toy(6)]), (
        "which pictures it saw, and not their painter alone"
    )
    path = tmp_path / "x" / "run.json"
    protocol.save_run(path, record)
    assert protocol.load_runs(tmp_path) == [json.loads(json.dumps(record))]
    assert str(tmp_path) not in path.read_text()


def test_the_same_seed_gives_the_same_run_and_another_does_not():
    config = preset("smoke", "fcn8s", **TINY)
    losses = [
        protocol.run("fcn8s", "RD", seed, [toy(0)], [toy(1)], [toy(2)], config=config, accelerator="cpu")["losses"]
        for seed in (0, 0, 1)
    ]
    assert losses[0] == losses[1] != losses[2]


def test_selection_takes_the_earliest_best_and_reports_optimism():
    history = [
        {"step": 1, "validation": {"dice": 0.7}, "test": {"dice": 0.5}},
        {"step": 2, "validation": {"dice": 0.9}, "test": {"dice": 0.6}},
        {"step": 3, "validation": {"dice": 0.9}, "test": {"dice": 0.8}},
    ]
    selected = protocol._select(history, "dice")
    assert selected["on_validation"]["step"] == 2
    assert selected["on_test"]["step"] == 3
    assert selected["optimism"] == pytest.approx(0.2)


def test_a_node_without_git_names_no_commit(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert protocol._commit() is None


def test_no_runs_and_broken_runs(tmp_path):
    assert protocol.load_runs(tmp_path / "missing") == []
    (tmp_path / ".partial-abcdef12.json").write_text("")  # as another process writes it
    assert protocol.load_runs(tmp_path) == []
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(ValueError, match=r"bad\.json: not the record"):
        protocol.load_runs(tmp_path)


def test_stale_runs_are_told():
    config = preset("laptop", "fcn8s")
    record = {"profile": "laptop", "task": "fcn8s", "config_hash": config.hash}
    assert not protocol.stale(record)
    assert protocol.stale({**record, "config_hash": preset("laptop", "fcn8s", steps=7).hash})


def test_the_command_names_a_painter_that_was_given():
    usual = made("fcn8s", "SD", 3, [0.9], "a")
    assert "--painter" not in command(usual)
    assert "--painter phantom-laptop-0 " in command({**usual, "painter_name": "phantom-laptop-0"})


def test_the_command_names_a_start_that_is_not_the_profiles():
    usual = made("faster_rcnn", "RD", 3, [0.9], "a")
    assert "--start" not in command(usual)
    other = {**usual, "profile": "paper", "config": preset("paper", "faster_rcnn", start="phantom").to_dict()}
    assert "--start phantom " in command(other)


def test_batches_that_are_drawn_ahead_come_in_their_order():
    assert list(itertools.islice(_ahead(itertools.count(3)), 4)) == [3, 4, 5, 6]


def test_a_run_of_other_length_is_kept_apart_and_its_command_says_so():
    usual = made("fcn8s", "SD", 3, [0.9], "a")
    longer = {**usual, "config": preset("laptop", "fcn8s", steps=900).to_dict()}
    assert "--steps" not in command(usual)
    assert command(usual).endswith("--out data/results/table2/laptop-toy/fcn8s-SD-3.json")
    assert "--steps 900 " in command(longer)
    assert command(longer).endswith("--out data/results/steps/laptop-toy/fcn8s-SD-3-900.json")
    with pytest.raises(SystemExit):
        run.main(["--task", "fcn8s", "--arm", "SD", "--artifacts", "x", "--out", "y", "--steps", "0"])


def test_stored_runs_in_the_project_are_whole_and_say_how_to_recompute_them():
    masks: dict[tuple, set] = {}
    painters: dict[tuple, set] = {}
    for record in protocol.load_runs(package_data("results", "table2")):
        kind = record["dataset"], record["profile"]
        masks.setdefault(kind, set()).add(tuple(part["sha256"] for part in record["split"].values()))
        source = (
            arms.plan(record["arm"], 2).source == "released"
        )  # the released painter is none of the three that take turns
        painters.setdefault((*kind, record["painter_seed"], source), set()).add(record["painter"])
        where = stored_path(*kind, record["task"], record["arm"], record["seed"])
        assert read_json(package_data("results", *where.parts[2:])) == record, "each under its own name"
        assert f"--seed {record['seed']} " in command(record)
    # Arms are compared on one version of the masks, and with one painter of each seed.
    assert all(len(versions) == 1 for versions in masks.values())
    assert all(len(names) == 1 for names in painters.values())


def test_a_run_that_is_stored_twice_is_refused(tmp_path):
    for name in ("fcn8s-RD-0", "fcn8s-RD-1"):
        write_json(tmp_path / f"{name}.json", made("fcn8s", "RD", 1, [0.5, 0.6, 0.7, 0.8]))
    with pytest.raises(ValueError, match=r"fcn8s-RD-1\.json: is of the same run as .*fcn8s-RD-0\.json"):
        protocol.load_runs(tmp_path)


def test_runs_of_a_folder_that_has_changed_are_named(tmp_path):
    """Annotations get corrected, and two folders may have one name."""
    folder, names = tmp_path / "mine", ["toy0", "toy1", "toy2"]
    parts = dict(zip(("fit", "validation", "test"), ([name] for name in names), strict=True))
    write_folder(folder, [toy(k, group=f"slide {k}") for k in range(3)], splits=parts)
    run = made("fcn8s", "RD", 0, [0.9, 0.9, 0.8, 0.8])
    run["split"]["validation"]["sha256"] = digest(list(load(str(folder), split="validation")))
    assert of_other_smears({"a.json": run}, str(folder)) == []
    instances = toy(1).instances
    write_instances(folder / "instances" / "toy1.png", np.where(instances == 1, 0, instances))
    assert of_other_smears({"a.json": run}, str(folder)) == ["a.json"]
    assert of_other_smears({"a.json": run}, "phantom") == [], "cannot change"


@pytest.mark.real
@pytest.mark.parametrize(
    "part", ["validation", *(pytest.param(part, marks=pytest.mark.nightly) for part in ("fit", "test"))]
)
def test_masks_are_derived_as_they_were_for_the_stored_runs(real_data, part):
    """Else new runs would be held against old ones of other masks; by day one part, since 40 smears take long.

    Where masks change on purpose, `bloodlib.derive.VERSION` is raised. Without AVX-512 they are rounded otherwise.
    """
    smears = load("chula_rbc12", split=part)
    runs = protocol.load_runs(package_data("results", "table2", "laptop-chula_rbc12"))
    stored = {one["split"][part]["sha256"] for one in runs if one["split"][part].get("images") == len(smears)}
    if "AVX512" not in protocol.processor_name():
        pytest.skip("derived on processors that round otherwise")
    assert protocol.digest(list(smears)) in stored


def test_every_profile_has_every_task():
    assert {task for _, task in PRESETS} == set(TASKS)
    assert all(config.profile == profile and config.task == task for (profile, task), config in PRESETS.items())
