"""Faster R-CNN without torchvision's caps."""

from __future__ import annotations

from urllib.error import URLError

import numpy as np
import pytest
import torch

from bloodlib.evaluators import detector
from bloodlib.evaluators.config import preset


@pytest.fixture(name="model", scope="module")
def _model():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return detector.faster_rcnn(preset("smoke", "faster_rcnn"))


def test_caps_are_raised_above_the_cells_of_an_image(model):
    config = preset("smoke", "faster_rcnn")
    assert model.roi_heads.detections_per_img == config.proposals > 200
    assert model.rpn.post_nms_top_n() <= config.proposals
    assert preset("paper", "faster_rcnn").proposals > 669 + 3 * 149


def test_images_are_never_resized(model):
    model.eval()
    images = [torch.rand(3, 96, 130)]
    batch, _ = model.transform(images)
    assert batch.image_sizes == [(96, 130)]
    with torch.no_grad():
        boxes = model(images)[0]["boxes"]
    assert boxes[:, 2].max() <= 130


def test_more_than_100_boxes_come_back(model):
    model.eval()
    old, model.roi_heads.score_thresh = model.roi_heads.score_thresh, 0.0
    old_nms, model.roi_heads.nms_thresh = model.roi_heads.nms_thresh, 1.0
    with torch.no_grad():
        found = model([torch.rand(3, 256, 256)])[0]["boxes"]
    model.roi_heads.score_thresh, model.roi_heads.nms_thresh = old, old_nms
    assert len(found) > 100


def test_paper_detector_is_resnet101_with_frozen_weights_only_from_imagenet():
    config = preset("paper", "faster_rcnn", start="none")
    with torch.device("meta"):
        model = detector.faster_rcnn(config)
    assert len(model.backbone.inner.body["layer3"]) == 23  # ResNet-101's


def test_imagenet_without_internet_is_named(monkeypatch):
    def nowhere(**given):
        raise URLError("Name or service not known")

    monkeypatch.setattr(detector, "resnet_fpn_backbone", nowhere)
    with pytest.raises(OSError, match=r"weights for resnet101 could not be downloaded \(Name .*--start phantom"):
        detector.faster_rcnn(preset("paper", "faster_rcnn"))


def test_box_target_leaves_slivers_out():
    instances = np.zeros((40, 40), np.int32)
    instances[5:25, 5:30] = 1
    instances[:, 38:] = 2
    target = detector.box_target(instances)
    assert target["boxes"].tolist() == [[5, 5, 30, 25]]
    assert target["labels"].tolist() == [1]


def test_empty_crop_trains(model):
    model.train()
    target = detector.box_target(np.zeros((64, 64), np.int32))
    losses = model([torch.rand(3, 64, 64)], [target])
    assert torch.isfinite(sum(losses.values()))


def test_autocast_rounds_neither_anchors_nor_targets(model):
    seen = {}
    hooks = [
        model.rpn.anchor_generator.register_forward_hook(lambda m, i, out: seen.update(anchors=out[0])),
        model.roi_heads.register_forward_pre_hook(lambda m, inputs: seen.update(boxes=inputs[3][0]["boxes"])),
    ]
    instances = np.zeros((64, 640), np.int32)
    instances[10:51, 601:638] = 1
    model.train()
    with torch.autocast("cpu", torch.bfloat16):
        model([torch.rand(3, 64, 640)], [detector.box_target(instances)])
    for hook in hooks:
        hook.remove()
    assert seen["anchors"].dtype == torch.float32
    assert seen["boxes"].tolist() == [[601, 10, 638, 51]]
