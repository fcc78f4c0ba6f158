"""How masks are made: the configuration of the mask generator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .canvas import COLOURS
from .placement import PlacementConfig
from .shapes import ShapeConfig


@dataclass(frozen=True)
class MaskConfig:
    """Configure the mask generator."""

    count_mean: float  # measured: cells per smear (the paper's 669)
    count_std: float  # measured (the paper's 149)
    shape: tuple[int, int]  # measured: height and width of the smears the counts belong to
    placement: PlacementConfig = field(default_factory=PlacementConfig)
    shapes: ShapeConfig = field(default_factory=ShapeConfig)
    colours: int = len(COLOURS)  # ours: the paper's list is fixed but not given
    tries: int = 4000  # ours: locations drawn for a cell before all free places are looked through
    misfits: int = 5  # ours: shapes in a row that fit nowhere before the mask counts as full
    snap: float = 0.0  # ours, the paper has none: probability that a cell slides to its nearest neighbour
    snap_reach_px: float | None = None  # ours: a cell farther from touching than this stays; None: cell_size_px
    rim_px: float = 0.0  # ours, the paper has none: background that a cell keeps around itself
    rim_share: float = 1.0  # ours: share of the cells that keep it
    overlap: float = 0.0  # ours, the paper has none: greatest share of a cell that another may cover (`OverlapCanvas`)
    overlap_share: float = 1.0  # ours: share of the cells that may lie on others; smears have few that do

    def __post_init__(self) -> None:
        if not 1 <= self.colours <= len(COLOURS):
            raise ValueError(f"colours={self.colours!r}: the list holds {len(COLOURS)}; needed is 1 to {len(COLOURS)}")
        for name in ("tries", "misfits"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)!r}: at least 1 is needed")
        if not 0 <= self.overlap < 1:
            raise ValueError(f"overlap={self.overlap!r}: a share of a cell's area is needed, at least 0 and below 1")
        if not 0 <= self.snap <= 1:
            raise ValueError(f"snap={self.snap!r}: a probability from 0 to 1 is needed")
        if not 0 <= self.rim_px < np.inf:
            raise ValueError(f"rim_px={self.rim_px!r}: a length in pixels of 0 or more is needed")
        if not 0 <= self.rim_share <= 1:
            raise ValueError(f"rim_share={self.rim_share!r}: a share from 0 to 1 is needed")
        if not 0 <= self.overlap_share <= 1:
            raise ValueError(f"overlap_share={self.overlap_share!r}: a share from 0 to 1 is needed")
        if self.snap_reach_px is not None and not self.snap_reach_px >= 0:
            raise ValueError(f"snap_reach_px={self.snap_reach_px!r}: a length in pixels of 0 or more is needed")

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> MaskConfig:
        """Build the configuration again from plain values, as `dataclasses.asdict` gives them; slides are left out."""
        shapes = ShapeConfig(**{**content["shapes"], "scale": tuple(content["shapes"]["scale"])})
        placement = PlacementConfig(**content["placement"])
        whole = {**content, "shape": tuple(content["shape"]), "placement": placement, "shapes": shapes}
        whole.pop("slides", None)
        return cls(**whole)
