"""Semantic classes of cells: their names, and the shares that somebody asks for."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from ..io.images import DataWarning
from ..smears import Smear

# ours: what annotators call them; erythroblasts and the like, of which names say less, are not looked for
_OTHER_CELLS = re.compile(r"wbc|white|leu[ck]|platelet|plt|thrombo|lymphocyte|neutrophil|monocyte", re.IGNORECASE)


def class_shares(
    classes: Mapping[int, float] | Sequence[float] | np.ndarray | None, cell_classes: int
) -> np.ndarray | None:
    """Bring what was asked of the cells' classes to a sum of 1, float64 (cell_classes,)."""
    if classes is None:
        return None
    given = (
        dict(classes) if isinstance(classes, Mapping) else dict(enumerate(np.asarray(classes, dtype=float).tolist()))
    )
    unknown = sorted(set(given) - set(range(cell_classes)))
    if unknown:
        raise ValueError(f"classes names {unknown[0]!r}; this painter has the classes 0 to {cell_classes - 1}")
    shares = np.array([float(given.get(k, 0)) for k in range(cell_classes)])
    if not np.isfinite(shares).all() or shares.min() < 0 or not shares.any():
        raise ValueError(f"classes is {classes!r}; needed are shares of 0 or more, one of them above 0")
    return shares / shares.sum()


def class_names(smears: Iterable[Smear], cell_classes: int) -> list[str]:
    """Name the classes as the smears do, by number where they have no names."""
    names = getattr(smears, "class_names", ())[:cell_classes]
    return [*names, *(f"class {k}" for k in range(len(names), cell_classes))]


def warn_of_strangers(smears: Iterable[Smear], cell_classes: int) -> None:
    """Warn, by DataWarning, where cells that are no red ones by their name are to be painted as if they were."""
    names = getattr(smears, "class_names", ())
    found = [name for name in names if _OTHER_CELLS.search(name)]
    if found and cell_classes == 1 and len(names) > 1:
        warnings.warn(
            f"{getattr(smears, 'title', 'smears')}: {', '.join(map(repr, found))} are cells like any other to a "
            f"painter of one class; take them out of the annotations, or tell classes apart: cell_classes={len(names)}",
            DataWarning,
            stacklevel=3,
        )
