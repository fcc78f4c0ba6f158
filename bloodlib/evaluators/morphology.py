"""Do painted red cells look like their class? A small classifier of morphology, trained on real cells, judges."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from torch.nn import functional as F

from ..gan.precision import autocast_dtype
from ..smears import Smear
from ..statistics import measure_cells
from .cell_types import CellTypes, recolour, to_tensor
from .significance import RESAMPLES, interval

SIDE_PX = 48  # ours: of a tile; Chula's red cells are 38 ± 8 px wide
RIM_PX = 3  # ours: what is kept around a cell, for its halo
LEARNING_RATE = 3e-3


@dataclass(frozen=True, eq=False)
class CellTiles:
    """Hold cells cut out of smears.

    ``tiles`` uint8 (n, SIDE_PX, SIDE_PX, 3): one cell each, what lies around it replaced by the median colour of its
    smear's background; ``kinds`` int (n,): class; ``smears``, ``groups`` str (n,): where it comes from.
    """

    tiles: np.ndarray
    kinds: np.ndarray
    smears: np.ndarray
    groups: np.ndarray

    def __len__(self) -> int:
        return len(self.kinds)

    def __add__(self, other: CellTiles) -> CellTiles:
        fields = ("tiles", "kinds", "smears", "groups")
        return CellTiles(*(np.concatenate([getattr(self, f), getattr(other, f)]) for f in fields))

    def of_classes(self, classes: Iterable[int]) -> CellTiles:
        """Keep the cells of some classes."""
        kept = np.isin(self.kinds, list(classes))
        return CellTiles(self.tiles[kept], self.kinds[kept], self.smears[kept], self.groups[kept])


def cut_cells(smears: Iterable[Smear]) -> CellTiles:
    """Cut every cell that its smear's border leaves whole out into a tile of its own.

    Parameters
    ----------
    smears : iterable of Smear
        With the classes of their cells.

    Notes
    -----
    Neighbours are hidden, so that the classifier cannot learn which classes lie together on a slide.
    """
    tiles, kinds, names, groups = [], [], [], []
    for smear in smears:
        cells = measure_cells(smear.instances)
        bare = smear.image[smear.instances == 0]
        ground = np.median(bare, axis=0) if len(bare) else np.full(3, 255.0)
        pad = ((SIDE_PX, SIDE_PX), (SIDE_PX, SIDE_PX))
        image = np.pad(smear.image, (*pad, (0, 0)), mode="edge")
        ids = np.pad(smear.instances, pad)
        for k in np.flatnonzero(cells.complete):
            top, left = (np.rint(cells.centre[k]).astype(int) + SIDE_PX - SIDE_PX // 2).tolist()
            window = np.s_[top : top + SIDE_PX, left : left + SIDE_PX]
            own = cv2.dilate((ids[window] == k + 1).astype(np.uint8), np.ones((2 * RIM_PX + 1,) * 2, np.uint8)) > 0
            own &= (ids[window] == 0) | (ids[window] == k + 1)
            tiles.append(np.where(own[..., None], image[window], ground).astype(np.uint8))
            kinds.append(int(smear.classes[k]))
            names.append(smear.name)
            groups.append(str(smear.group))
    shape = (-1, SIDE_PX, SIDE_PX, 3)
    return CellTiles(
        np.array(tiles, np.uint8).reshape(shape), np.array(kinds, np.int64), np.array(names), np.array(groups)
    )


def train(
    cells: CellTiles,
    classes: int,
    painted: CellTiles | None = None,
    seed: int = 0,
    steps: int = 300,
    batch: int = 64,
    progress: bool = False,
) -> CellTypes:
    """Train a classifier on tiles: classes in equal shares, all eight views, stain and light varied.

    Parameters
    ----------
    cells : CellTiles
    classes : int
        How many there are; one without a cell is never answered by a trained network, or hardly.
    painted : CellTiles, optional
        Stand for half of the draws of every class of `cells` that they have.
    seed : int
        Of weights and draws; torch's global random state is left as it was.
    steps, batch : int
    progress : bool

    Raises
    ------
    ValueError
        If there is no cell.
    """
    from tqdm import trange

    present = np.unique(cells.kinds)
    if not len(present):
        raise ValueError("cells: there is none to train on")
    sources = [cells] if painted is None else [cells, painted]
    tiles_of = {int(k): [x for x in (s.tiles[s.kinds == k] for s in sources) if len(x)] for k in present}
    rng = np.random.default_rng([seed, 11])
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed GPUs as well
        model = CellTypes(classes).to(memory_format=torch.channels_last).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.02)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=max(steps, 2))
        for _ in trange(steps, disable=not progress, desc="morphology"):
            kinds = rng.choice(present, size=batch)
            pools = [tiles_of[int(kind)] for kind in kinds]
            pools = [pool[rng.integers(len(pool))] for pool in pools]
            tiles = np.stack([_view(pool[rng.integers(len(pool))], rng) for pool in pools])
            x = to_tensor(tiles).contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast_dtype() is torch.bfloat16):
                logits = model(x)
            loss = F.cross_entropy(logits.float(), torch.from_numpy(kinds), label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model.eval()


def _view(tile: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    tile = np.rot90(tile, int(rng.integers(4)))
    return recolour(tile[:, ::-1] if rng.random() < 0.5 else tile, rng)


@torch.no_grad()
def classify(model: CellTypes, cells: CellTiles, batch: int = 256) -> np.ndarray:
    """Give the class that the model sees in each cell, int (n,)."""
    model.eval()
    parts = np.split(cells.tiles, range(batch, len(cells), batch)) if len(cells) else []
    found = [model(to_tensor(part)).argmax(dim=1).numpy() for part in parts]
    return np.concatenate(found) if found else np.zeros(0, np.int64)


def confusion(kinds: np.ndarray, found: np.ndarray, classes: int) -> np.ndarray:
    """Count cells by class (rows) and by what was seen in them (columns), int64 (classes, classes)."""
    return np.bincount(np.asarray(kinds) * classes + found, minlength=classes**2).reshape(classes, classes)


def f1_scores(table: np.ndarray) -> np.ndarray:
    """Give F1 of each class from a table of `confusion`, or of several stacked: float (…, classes).

    Notes
    -----
    2·TP / (cells of the class + cells seen as it); NaN for a class that no cell has, which is left out of a mean, so
    that the macro-F1 is over the classes that can be asked for.

    Examples
    --------
    >>> f1_scores(np.array([[3, 1, 0], [1, 3, 0], [0, 0, 0]]))
    array([0.75, 0.75,  nan])
    """
    right = np.diagonal(table, axis1=-2, axis2=-1)
    rows, columns = table.sum(axis=-1), table.sum(axis=-2)
    return np.where(rows > 0, 2 * right / np.maximum(rows + columns, 1), np.nan)


def macro_f1(table: np.ndarray, classes: Sequence[int] | None = None) -> np.ndarray:
    """Average F1 over the classes that have cells, or over some of them: float (…), NaN where none of them has any."""
    scores = f1_scores(table)
    scores = scores if classes is None else scores[..., list(classes)]
    asked = np.isfinite(scores).sum(axis=-1)
    return np.where(asked > 0, np.nansum(scores, axis=-1) / np.maximum(asked, 1), np.nan)


def tables_of(cells: CellTiles, found: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Give one table of `confusion` per smear, int64 (smears, classes, classes), and the group of each smear."""
    names, first, place = np.unique(cells.smears, return_index=True, return_inverse=True)
    tables = np.stack(
        [confusion(cells.kinds[place == k], found[place == k], classes) for k in range(len(names))]
    )  # (smears, classes, classes)
    return tables, cells.groups[first]


def compare(
    with_painted: np.ndarray,
    without: np.ndarray,
    groups: np.ndarray,
    rng: np.random.Generator,
    classes: Sequence[int] | None = None,
    resamples: int = RESAMPLES,
) -> dict[str, Any]:
    """Say by how much macro-F1 changes with painted cells, with an interval over slides.

    Parameters
    ----------
    with_painted, without : int (seeds, smears, classes, classes)
        Tables of paired seeds on the same smears.
    groups : (smears,)
        Group (slide) of each smear.
    rng : numpy.random.Generator
    classes : sequence of int, optional
        Those that are averaged over; all that have cells if not given.
    resamples : int

    Returns
    -------
    dict
        ``difference``, ``low``, ``high`` (95 %), ``by_seed``: mean differences of the seeds.

    Raises
    ------
    ValueError
        If most draws of slides hold no cell of the classes; draws that do not are left out.

    Notes
    -----
    Groups are drawn with replacement, then smears within each, as in `bloodlib.evaluators.significance`; macro-F1 is
    not a mean over smears, so the tables are summed and scored in every draw. The interval speaks about slides, not
    about another painter.
    """
    by_seed = macro_f1(with_painted.sum(axis=1), classes) - macro_f1(without.sum(axis=1), classes)
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    draws = []
    for _ in range(resamples):
        chosen = rng.integers(len(members), size=len(members))
        rows = np.concatenate([rng.choice(members[k], size=len(members[k])) for k in chosen])
        one, other = (macro_f1(x[:, rows].sum(axis=1), classes) for x in (with_painted, without))
        draws.append(float(np.mean(one - other)))
    scored = np.array(draws)[np.isfinite(draws)]  # a draw of slides may hold no cell of the classes
    if 2 * len(scored) < resamples:
        raise ValueError(f"{resamples - len(scored)} of {resamples} draws of slides hold no cell of the classes scored")
    low, high = interval(scored)
    return {
        "difference": float(by_seed.mean()),
        "low": low,
        "high": high,
        "by_seed": [round(float(x), 4) for x in by_seed],
    }
