"""The constants of a layout in cell sizes, so that they hold for smears of any magnification."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

from .config import MaskConfig

__all__ = ["PUBLISHED", "LayoutConstants"]


@dataclass(frozen=True)
class LayoutConstants:
    """Hold what decides where cells lie, lengths in units of the cell size."""

    kind: str = "adhesion"  # see `PlacementConfig`, also for the next three
    variant: str = "final"
    core: str = "inverted"
    options: Mapping[str, float] = field(default_factory=dict)
    sigma: float | None = None  # None: the paper's 1 / sqrt(2 ln 2) = 0.85
    seeding: float = 1.0  # cells that are seeded per area, in units of the paper's
    snap: float = 0.0  # see `MaskConfig`: ours, like all that follow
    snap_reach: float = 1.0
    rim: float = 0.0
    rim_share: float = 1.0

    def apply(self, config: MaskConfig) -> MaskConfig:
        """Give a mask configuration with these constants, at its own cell size."""
        size = config.placement.cell_size_px
        placement = replace(
            config.placement,
            kind=self.kind,
            variant=self.variant,
            core=self.core,
            options=dict(self.options),
            sigma_px=None if self.sigma is None else self.sigma * size,
            n_init=None,
            seeding=self.seeding,
        )
        return replace(
            config,
            placement=placement,
            snap=self.snap,
            snap_reach_px=self.snap_reach * size,
            rim_px=self.rim * size,
            rim_share=self.rim_share,
        )

    def to_dict(self) -> dict:
        """Give the fields as plain values that JSON can hold."""
        return asdict(self)


# The layouts that chapter 04 puts to the test; the constants of Eq. 3 are the paper's.
PUBLISHED: Mapping[str, LayoutConstants] = {
    "uniform": LayoutConstants(kind="uniform"),
    "final, inverted": LayoutConstants(),
    "final, zero": LayoutConstants(core="zero"),
    "first, inverted": LayoutConstants(variant="first"),
    "first, zero": LayoutConstants(variant="first", core="zero"),
    "Thomas clusters": LayoutConstants(kind="cluster"),
    "graph": LayoutConstants(kind="graph"),
}
