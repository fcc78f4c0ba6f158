"""Labelled synthetic blood smears from a few annotated ones (after Bailo, Ham & Shin 2019)."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .datasets import load
    from .release import released
    from .sampler.masks import Mask, MaskGenerator
    from .smears import Smear, SmearFolder
    from .statistics import describe
    from .stream import SyntheticSmears
    from .synthesis import Synthesizer

__version__ = "0.1.0"

# The public names are imported when first used, so that `import bloodlib` stays fast
# and masks can be made without loading torch.
_HOME = {
    "load": ".datasets",
    "Mask": ".sampler.masks",
    "MaskGenerator": ".sampler.masks",
    "Smear": ".smears",
    "SmearFolder": ".smears",
    "describe": ".statistics",
    "released": ".release",
    "SyntheticSmears": ".stream",
    "Synthesizer": ".synthesis",
}
__all__ = [*_HOME, "__version__"]


def __getattr__(name: str):
    if name in _HOME:
        return getattr(import_module(_HOME[name], __name__), name)
    raise AttributeError(f"module 'bloodlib' has no attribute {name!r}; it has {', '.join(sorted(_HOME))}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
