"""From a prediction to the number in the table: every link, with networks that are told what to say."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import bloodlib.datasets
from bloodlib._files import write_json
from bloodlib.camera import Camera
from bloodlib.evaluators import baseline, prepare, protocol, run, synthetic, tasks
from bloodlib.evaluators.arms import plan
from bloodlib.evaluators.config import preset
from bloodlib.evaluators.tasks import Prediction, score_image, score_set
from bloodlib.sampler.masks import MaskGenerator
from bloodlib.smears import Smear, SmearFolder
from bloodlib.synthesis import Synthesizer

SIDE = 10  # px, of the square cells


def cells(*corners, size=SIDE, shape=(60, 80)):
    instances = np.zeros(shape, np.int32)
    for k, (row, column) in enumerate(corners, start=1):
        instances[row : row + size, column : column + size] = k
    return instances


def smear(instances, name="a", group="g", points=None, level=0):
    image = np.full((*instances.shape, 3), level, np.uint8)
    return Smear(image, instances, name=name, group=group, points=points)


def predicted(instances, scores=None):
    boxes = tasks.metrics.instance_boxes(instances)
    return Prediction(boxes, np.ones(len(boxes)) if scores is None else np.array(scores), instances)


THREE = cells((5, 5), (25, 30), (45, 69))  # the last lies within two pixels of the right border
POINTS = np.array([[10, 10], [35, 30]])  # column, row, of the first two: experts set none in cells at the border
TWO = cells((5, 5), (25, 60))  # one found, one where nothing is


def test_fcn8s_is_scored_by_pixels_and_counts_by_components():
    row = score_image(predicted(TWO), smear(THREE, points=POINTS), preset("laptop", "fcn8s"))
    assert row == {
        "name": "a", "group": "g", "cells": 3, "found": 2, "dice": 0.4,  # 2·100 / (200 + 300)
        "point_f1": 0.5, "points": 2, "found_off_border": 2,  # one of two points hit, one of two cells without a point
    }  # fmt: skip
    scores, rows = score_set(
        [predicted(TWO), predicted(THREE)], [smear(THREE, points=POINTS), smear(THREE, "b", points=POINTS)],
        preset("laptop", "fcn8s"),
    )  # fmt: skip
    assert scores["dice"] == pytest.approx((0.4 + 1.0) / 2)
    assert scores["pooled_dice"] == pytest.approx(2 * 400 / (500 + 600), abs=1e-5)
    assert scores["point_f1"] == pytest.approx((0.5 + 1.0) / 2)
    assert scores["count_mae"] == 0.5  # 2 and 3 found of 3
    assert scores["point_count_mae"] == 0  # 2 and 2 off the border, of 2 points: the cell at the border has none
    assert [row["name"] for row in rows] == ["a", "b"]


def test_a_detector_is_scored_by_all_its_boxes_and_counts_those_that_are_sure():
    config = preset("laptop", "faster_rcnn", score_threshold=0.5)
    found = replace(predicted(cells((5, 5), (25, 30), (25, 60)), [0.9, 0.4, 0.3]), instances=None)
    row = score_image(found, smear(THREE, points=POINTS), config)
    assert (row["found"], row["cells"]) == (1, 3)
    assert row["AP50"] == pytest.approx(67 / 101, abs=1e-5)  # precision 1 up to recall 2/3; the false one comes last
    assert row["f1"] == pytest.approx(2 / (1 + 3))
    assert (row["point_f1"], row["found_off_border"]) == (pytest.approx(2 / 3, abs=1e-5), 1)
    assert "dice" not in row
    assert "mask_f1" not in row
    # Over the set every box is held against those of its own image, all ranked together.
    other = replace(predicted(cells((45, 45)), [0.99]), instances=None)
    scores, _ = score_set([found, other], [smear(THREE), smear(cells((5, 5)), "b")], config)
    assert scores["AP50"] == pytest.approx(51 * 2 / 3 / 101, abs=1e-5)  # false, hit, hit, false of four targets
    assert scores["count_mae"] == 1.0  # 1 of 3, and 1 of 1
    assert "point_f1" not in scores


def test_the_contour_network_is_scored_by_boxes_and_by_masks():
    config = preset("laptop", "contour_fcn")
    half = THREE.copy()
    half[25:30, 30:40] = 0  # of the second cell, the lower half is found: IoU ½, which counts
    half[45:53, 69:79] = 0  # of the third a fifth: no match
    row = score_image(predicted(half), smear(THREE), config)
    assert row["f1"] == row["mask_f1"] == pytest.approx(2 / 3, abs=1e-5)
    scores, _ = score_set([predicted(half)], [smear(THREE)], config)
    assert scores["mask_AP50"] == scores["AP50"] == pytest.approx(67 / 101, abs=1e-5)
    assert scores["mask_AP"] == pytest.approx((67 / 101 + 9 * 34 / 101) / 10, abs=1e-5)  # one of three above IoU ½


def test_smears_are_picked_evenly_and_not_from_the_front():
    assert protocol.evenly(list(range(10)), 4) == [0, 3, 6, 9]
    assert protocol.evenly(list(range(10)), 0) == list(range(10))


class Told:
    """Stand in for `Evaluator`: at each step it finds all cells of the parts that it is told, and nothing elsewhere."""

    losses = (0.5, 0.4, 0.3, 0.2)
    parameters, peak_mib, seconds, device = 1, 1.0, 1.0, "cpu"

    def __init__(self, config, known):
        self.config, self.known, self.step = config, known, 0
        self.model = nn.Linear(1, 1)
        self.evaluated = []

    def take(self, step, knows):
        self.step, self.knows = step, knows
        with torch.no_grad():
            self.model.weight.fill_(step)

    def predict(self, image):
        part, instances = self.known[int(image[0, 0, 0])]
        return predicted(instances if part in self.knows else np.zeros_like(instances))

    def evaluate(self, smears):
        self.evaluated.append([s.name for s in smears])
        return score_set([self.predict(s.image) for s in smears], smears, self.config)


@pytest.mark.parametrize("task", tasks.MAIN_SCORE)
def test_a_run_trains_on_fit_chooses_on_validation_and_reports_test(task, monkeypatch):
    parts = {"fit": [1, 2], "validation": [3, 4], "test": [5, 6]}
    smears = {p: [smear(THREE, f"{p}-{k}", p, level=k) for k in ks] for p, ks in parts.items()}
    known = {k: (p, THREE) for p, ks in parts.items() for k in ks}
    seen = {}

    def train(samples, config, seed, *, at_checkpoint, **rest):
        seen["levels"] = {int(samples.crop(k, 32, np.random.default_rng(0))[0].max()) for k in range(len(samples))}
        seen["evaluator"] = evaluator = Told(config, known)
        for step, knows in ((1, ()), (2, ("validation",)), (3, ("test",)), (4, ("validation", "test"))):
            evaluator.take(step, knows)
            at_checkpoint(evaluator, step)
        return evaluator

    monkeypatch.setattr(protocol, "train", train)
    config = preset("smoke", task, real_images=0, scored_images=0, steps=4)
    painted = [smear(THREE, f"painted-{k}", level=100 + k) for k in range(2)]
    record, evaluator = protocol.run_and_keep(task, "RD+SD", 0, *smears.values(), painted, replace(config, multiple=2))
    assert seen["levels"] == {1, 2, 100, 101}, "of the real smears those of the fit part alone"
    assert seen["evaluator"].evaluated == [["validation-3", "validation-4"]] * 4
    main, selected = tasks.MAIN_SCORE[task], record["selected"]
    assert selected["on_validation"]["step"] == 2, "the earliest of the best on validation"
    assert selected["on_validation"]["test"][main] == 0
    assert selected["on_test"]["step"] == 3
    assert selected["on_test"]["test"][main] == pytest.approx(1, abs=1e-4)
    assert selected["optimism"] == pytest.approx(1, abs=1e-4)
    assert evaluator.model.weight.item() == 2, "it ends with the weights that validation chose"
    names = {way: [row["name"] for row in rows] for way, rows in record["per_image"].items()}
    assert names == {way: ["test-5", "test-6"] for way in ("on_validation", "on_test")}
    assert record["per_image"]["on_test"][0][main] == pytest.approx(1, abs=1e-4)
    assert [record["split"][part]["groups"] for part in parts] == [["fit"], ["validation"], ["test"]]


def test_the_parts_of_a_set_come_in_their_roles_and_painters_take_turns(monkeypatch, tmp_path):
    made = {part: SmearFolder([part], lambda name: smear(THREE, name)) for part in ("fit", "validation", "test")}
    monkeypatch.setattr(bloodlib.datasets, "load", lambda data, split: made[split])
    config = preset("laptop", "fcn8s")
    found = run.inputs("toy", config, "RD", tmp_path)
    assert {part: found[part].names for part in made} == {part: (part,) for part in made}
    assert found["synthetic"] == ()

    turns = []
    monkeypatch.setattr(run, "inputs", lambda data, config, arm, artifacts, turn, *rest: turns.append(turn) or {})
    score = {"test": {"dice": 0.5}}
    stored = {"selected": {"main": "dice", "on_validation": score}, "seconds": {"total": 1.0}, "painter": None}
    monkeypatch.setattr(protocol, "run", lambda *args, **kept: stored)
    threads = torch.get_num_threads()
    for seed in range(5):
        command = ["--task", "fcn8s", "--arm", "SD", "--seed", str(seed), "--threads", str(threads)]
        assert run.main([*command, "--artifacts", str(tmp_path), "--out", str(tmp_path / "run.json")]) == 0
    assert turns == [0, 1, 2, 0, 1]


@pytest.fixture(scope="module")
def fit():
    return bloodlib.load("phantom", split="fit", shape=(160, 240))[:4]


@pytest.fixture(scope="module")
def painter(fit):
    parts = dict.fromkeys(("generator", "encoder", "styles", "objects", "config", "history"))
    return Synthesizer(MaskGenerator.fit(fit), **parts, about={"identity": "p"})


@pytest.mark.parametrize("source", ["painted", "uniform", "plain", "overlap", "camera", "shuffled"])
def test_each_source_is_drawn_as_its_name_says(source, fit, painter, tmp_path, monkeypatch):
    written = {}

    def write(self, folder, count, seed, progress):
        written.update(made=self, folder=folder, count=count)

    pictures = [smear(cells((5, 5 * k)), f"s{k}", level=k) for k in range(4)]
    stored = SmearFolder([s.name for s in pictures], {s.name: s for s in pictures}.get)
    camera = Camera.__new__(Camera)
    monkeypatch.setattr(Synthesizer, "load", classmethod(lambda cls, folder: painter))
    monkeypatch.setattr(Synthesizer, "write", write)
    monkeypatch.setattr(Synthesizer, "with_camera", lambda self, smears, compression: replace(self, camera=camera))
    monkeypatch.setattr(synthetic, "fingerprint", lambda folder: "f00")
    monkeypatch.setattr(bloodlib.datasets, "load", lambda folder: stored)
    found = synthetic.synthetic_smears(fit, 3, "painter", tmp_path, source)
    assert written["count"] == 3
    made, usual = written["made"].layout.config, painter.layout.config
    assert (made.placement.kind == "uniform") == (source == "uniform")
    assert (not made.shapes.rotate) == (source == "plain")
    assert made.overlap == (0.1 if source == "overlap" else usual.overlap)
    assert (written["made"].camera is camera) == (source == "camera")
    own_set = source in ("uniform", "plain", "overlap", "camera")
    assert written["folder"].name == ("synthetic-f00" + (f"-{source}" if own_set else ""))
    assert written["made"].about["identity"] == (f"p-{source}" if source in synthetic.LAYOUTS else "p")
    masks = [int(np.argmax(one.instances[5])) // 5 for one in found]
    assert masks == ([1, 2, 0] if source == "shuffled" else [0, 1, 2])
    assert [int(one.image.max()) for one in found] == [0, 1, 2], "the pictures stay where they are"


def test_as_many_are_prepared_as_the_largest_arm_asks_for(monkeypatch, tmp_path):
    asked = []
    (tmp_path / "config.json").write_text(json.dumps({"seed": 0}))
    monkeypatch.setattr(bloodlib.datasets, "load", lambda data, split: range(40))
    monkeypatch.setattr(prepare, "painter_for", lambda *rest: tmp_path)
    monkeypatch.setattr(prepare, "fingerprint", lambda folder: "f00")
    monkeypatch.setattr(prepare, "synthetic_smears", lambda fit, count, *rest: asked.append(count) or range(count))
    made = prepare.prepare("painted", "toy", "laptop", tmp_path, 0)
    assert asked == [plan("RD+SD", 40).synthetic] == [600]
    assert made["smears"] == 600


def test_the_baseline_is_given_the_picture_alone_and_can_be_stored(monkeypatch, tmp_path):
    given = []

    def derive(*args, **kept):
        given.append((args, kept))
        return THREE, None

    monkeypatch.setattr(baseline, "derive_instances", derive)
    one = smear(THREE, points=POINTS)
    record = baseline.without_points([one], "toy")
    ((args, kept),) = given
    assert args[0] is one.image
    assert len(args) == 1
    assert not kept
    assert {record["scores"][name] for name in ("dice", "AP50", "mask_AP50", "f1", "point_f1")} == {1.0}
    assert record["crowding"]["clustered"]["AP50"] is None, "no cell of the kind, and JSON has no NaN"
    write_json(tmp_path / "baseline.json", record)
