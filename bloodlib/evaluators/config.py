"""What an evaluator is and how long it is trained: one frozen dataclass, three presets per task."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import Any

TASKS = ("fcn8s", "faster_rcnn", "contour_fcn")
PROFILES = ("smoke", "laptop", "paper")
STARTS = ("none", "phantom", "imagenet")


@dataclass(frozen=True)
class EvaluatorConfig:
    """Hold everything that decides the result of a run except its data, arm and seed.

    Fields without a meaning for a task are left at their defaults there. Book: chapters 08–11.
    """

    task: str = "fcn8s"
    profile: str = "smoke"
    protocol: int = 2  # ours: raised whenever the meaning of a stored run changes

    # The data of an arm (see arms.py)
    real_images: int = 0  # how many real fit images are used; 0: all (the paper's 60)
    scored_images: int = 0  # ours: how many validation and how many test images are scored; 0: all
    multiple: int = 16  # the paper's: 960 samples for 60 real ones in the three larger arms

    # Training, the same for every arm
    steps: int = 400  # ours: the paper trains until nothing improves on the test set
    checkpoints: int = 4  # ours: validation passes, evenly spaced, the last after the last step
    batch: int = 4  # ours
    crop_px: int = 256  # ours: side of the random crops
    learning_rate: float = 1e-3  # ours (AdamW, one cycle: linear warm-up over a tenth, then cosine to 0)
    weight_decay: float = 1e-4  # ours
    precision: str = "auto"  # ours: auto is bfloat16 where the processor is quick at it; else float32

    # FCN-8s and the contour FCN (norm: the detector's backbone too, unless it starts from ImageNet)
    width: float = 1.0  # the paper's: VGG-16's own channels; a fraction scales every layer
    norm: str = "group"  # ours; measured on Chula's validation slides (other stains): Dice 0.947, with batch 0.930
    dropout: float = 0.5  # FCN-8s's own, in fc6 and fc7
    # Maps per head: FCN-8s's own is 1. Contours get 8, ours; measured on Chula's validation slides: AP 0.58, not 0.51.
    score_maps: int = 1
    contour_half_px: int = 2  # ours: a contour reaches this far to both sides of an outline
    least_area_px: int = 60  # ours: smaller components are debris

    # Faster R-CNN
    backbone: str = "resnet101"  # the paper's
    start: str = "none"  # of the backbone. none: random; phantom: trained on it first; imagenet: torchvision's weights
    start_steps: int = 300  # ours: optimiser steps on the phantom
    levels: tuple[int, ...] = (1, 2, 3, 4)  # ours: ResNet stages that feed the feature pyramid
    anchors_px: tuple[int, ...] = (24, 40, 64)  # ours: around the cell's size, on every level
    proposals: int = 2000  # ours: kept before and after suppression; above the most cells in an image
    train_proposals: int = 1000  # ours: as above, while training
    rois: int = 512  # torchvision's: boxes per image that the box loss sees
    head_width: int = 1024  # torchvision's: width of the two layers of the box head
    score_threshold: float = 0.5  # ours: for counts, F1 and points; AP sees every box above 0.05

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise ValueError(f"task is {self.task!r}, allowed are {', '.join(TASKS)}")
        if self.norm not in ("none", "batch", "group"):
            raise ValueError(f"norm is {self.norm!r}, allowed are none, batch, group")
        if self.start not in STARTS:
            raise ValueError(f"start is {self.start!r}, allowed are {', '.join(STARTS)}")
        if self.crop_px % 32:
            raise ValueError(f"crop_px is {self.crop_px}, a multiple of 32 is needed (the trunk halves five times)")
        if not 1 <= self.checkpoints <= self.steps:
            raise ValueError(f"checkpoints is {self.checkpoints}, allowed is 1 to steps = {self.steps}")

    def to_dict(self) -> dict:
        """Give the fields as JSON can hold them."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @property
    def hash(self) -> str:
        """Twelve hexadecimal digits that change with any field."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:12]


_LAPTOP = EvaluatorConfig(profile="laptop")
_SMALL_DETECTOR = {
    "backbone": "resnet18",
    "levels": (2, 3),
    "anchors_px": (32, 44),
    "proposals": 600,
    "train_proposals": 300,
    "rois": 128,
    "head_width": 256,
}
_SMOKE = {"real_images": 12, "scored_images": 6, "multiple": 2, "checkpoints": 2, "precision": "float32"}

# Reduced in smoke and laptop through the same classes: width, steps, crops, backbone, proposals.
PRESETS: dict[tuple[str, str], EvaluatorConfig] = {
    ("smoke", "fcn8s"): EvaluatorConfig(task="fcn8s", width=0.125, steps=50, crop_px=128, **_SMOKE),
    ("smoke", "contour_fcn"): EvaluatorConfig(
        task="contour_fcn", width=0.125, score_maps=8, steps=120, learning_rate=2e-3, crop_px=128, **_SMOKE
    ),
    ("smoke", "faster_rcnn"): EvaluatorConfig(
        task="faster_rcnn",
        steps=30,
        crop_px=128,
        batch=2,
        **_SMOKE,
        **_SMALL_DETECTOR | {"levels": (2,), "proposals": 300, "train_proposals": 150, "rois": 64, "head_width": 128},
    ),
    ("laptop", "fcn8s"): replace(_LAPTOP, task="fcn8s", width=0.25, steps=300),
    ("laptop", "contour_fcn"): replace(_LAPTOP, task="contour_fcn", width=0.25, score_maps=8, steps=300),
    ("laptop", "faster_rcnn"): replace(
        _LAPTOP, task="faster_rcnn", start="phantom", steps=300, batch=2, learning_rate=5e-4, **_SMALL_DETECTOR
    ),
    ("paper", "fcn8s"): EvaluatorConfig(task="fcn8s", profile="paper", steps=20000, crop_px=512),
    ("paper", "contour_fcn"): EvaluatorConfig(
        task="contour_fcn", profile="paper", score_maps=8, steps=20000, crop_px=512
    ),
    ("paper", "faster_rcnn"): EvaluatorConfig(
        task="faster_rcnn", profile="paper", start="imagenet", steps=20000, crop_px=512, batch=2, learning_rate=1e-4
    ),
}


def preset(profile: str, task: str, **overrides: Any) -> EvaluatorConfig:
    """Look up the configuration of a profile and task, with fields replaced on request.

    Examples
    --------
    >>> preset("paper", "faster_rcnn").backbone
    'resnet101'
    """
    if (profile, task) not in PRESETS:
        raise ValueError(
            f"no preset for profile {profile!r} and task {task!r}; profiles are {', '.join(PROFILES)}, "
            f"tasks {', '.join(TASKS)}"
        )
    return replace(PRESETS[profile, task], **overrides)


def trained_on_phantom(config: EvaluatorConfig) -> EvaluatorConfig:
    """Give the configuration by which the phantom backbone of a detector is trained."""
    return replace(config, start="none", steps=config.start_steps, checkpoints=1)


def backbone_name(config: EvaluatorConfig) -> str:
    """Name the file of the backbone that detectors of a configuration start from."""
    return f"backbone-{trained_on_phantom(config).hash}.safetensors"
