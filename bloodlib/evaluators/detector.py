"""Faster R-CNN for images with hundreds of cells: torchvision's, with every cap raised."""

from __future__ import annotations

import warnings
from functools import partial
from urllib.error import URLError

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import FrozenBatchNorm2d, MultiScaleRoIAlign

from .config import EvaluatorConfig
from .fcn import normalisation
from .metrics import instance_boxes

LEAST_SIDE_PX = 4  # slivers of cells cut by a crop are nothing to learn from


class NativeSize(GeneralizedRCNNTransform):
    """Normalise and batch images as torchvision does, but never resize them."""

    def resize(self, image: Tensor, target: dict[str, Tensor] | None = None):
        """Give both back unchanged."""
        return image, target


class FloatFeatures(nn.Module):
    """Hand a backbone's features on in float32, whatever number format it computed them in.

    torchvision gives anchors the features' type: in bfloat16 they would be rounded to 4 px beyond
    column 512, and to 8 px beyond 1024.
    """

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.inner, self.out_channels = backbone, backbone.out_channels

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Give the pyramid's maps by name."""
        return {name: features.float() for name, features in self.inner(images).items()}


class CellDetector(FasterRCNN):
    """Faster R-CNN whose target boxes travel as whole numbers, so that no autocast rounds them."""

    def forward(self, images: list[Tensor], targets: list[dict[str, Tensor]] | None = None):
        """Give losses (training) or boxes and scores of each image."""
        if targets is not None:
            targets = [{**target, "boxes": target["boxes"].float()} for target in targets]
        return super().forward(images, targets)


def faster_rcnn(config: EvaluatorConfig) -> CellDetector:
    """Build the detector.

    Parameters
    ----------
    config : EvaluatorConfig
        ``backbone``, ``start``, ``levels``, ``anchors_px``, ``proposals``, ``rois``, ``head_width``.

    Returns
    -------
    CellDetector
        Two classes: background, cell. Takes lists of images in [0, 1] at their native size.

    Raises
    ------
    OSError
        If it is to start from ImageNet, and the weights are neither in torch's cache nor to be downloaded.

    Notes
    -----
    torchvision's defaults keep 100 boxes per image and resize to 800–1333 px: both are switched off.
    Bailo et al. 2019 use ResNet-101 without a feature pyramid, trained on Visual Genome; the pyramid
    and ImageNet weights are our deviations. ImageNet weights come with frozen normalisation; from
    random weights it is trained. Book: chapter 09.
    """
    frozen = config.start == "imagenet"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Arguments other than a weight enum")
        try:
            backbone = resnet_fpn_backbone(
                backbone_name=config.backbone,
                weights="DEFAULT" if frozen else None,
                norm_layer=FrozenBatchNorm2d if frozen else partial(normalisation, config.norm),
                trainable_layers=3 if frozen else 5,
                returned_layers=list(config.levels),
            )
        except URLError as error:
            raise OSError(
                f"ImageNet's weights for {config.backbone} could not be downloaded ({error.reason}); fetch them once "
                f"where there is internet, `python -c 'import torchvision.models as m; m.{config.backbone}(weights="
                '"DEFAULT")\'`, or start from the phantom (`--start phantom`)'
            ) from error
    levels = len(config.levels) + 1  # the pyramid adds a pooled level on top
    names = [str(k) for k in range(len(config.levels))]
    pool = MultiScaleRoIAlign(names, output_size=7, sampling_ratio=2)
    head = TwoMLPHead(backbone.out_channels * 7**2, config.head_width)
    model = CellDetector(
        FloatFeatures(backbone),
        rpn_anchor_generator=AnchorGenerator((config.anchors_px,) * levels, ((0.7, 1.0, 1.4),) * levels),
        rpn_pre_nms_top_n_train=config.train_proposals,
        rpn_post_nms_top_n_train=config.train_proposals,
        rpn_pre_nms_top_n_test=config.proposals,
        rpn_post_nms_top_n_test=config.proposals,
        box_roi_pool=pool,
        box_head=head,
        box_predictor=FastRCNNPredictor(config.head_width, 2),
        box_batch_size_per_image=config.rois,
        box_detections_per_img=config.proposals,
    )
    usual = model.transform
    model.transform = NativeSize(usual.min_size, usual.max_size, usual.image_mean, usual.image_std)
    return model


def box_target(instances: np.ndarray) -> dict[str, Tensor]:
    """Make the target of one image from its instance mask: whole-numbered boxes, slivers left out."""
    boxes = instance_boxes(instances)
    boxes = boxes[((boxes[:, 2:] - boxes[:, :2]) >= LEAST_SIDE_PX).all(axis=1)]
    return {"boxes": torch.from_numpy(boxes).long(), "labels": torch.ones(len(boxes), dtype=torch.int64)}
