"""Kernel inception distance between tiles of smears, with the floors that say what a value means."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..smears import Smear
from .cell_types import CellTypes, tile_features
from .tiles import cut_tiles

TILE_PX = 96  # ours: a few red cells at a smear's magnification
TILES_EACH = 16  # ours: per smear
SUBSET_SIZE = 100  # ours
SUBSETS = 50  # ours
HALVINGS = 10  # ours


@dataclass(frozen=True)
class Kid:
    """Hold the mean and standard deviation of KID over subsets, and what it was computed from."""

    mean: float
    std: float
    n: tuple[int, int]
    subset_size: int
    subsets: int


def kid(
    first: np.ndarray, second: np.ndarray, *, subset_size: int = SUBSET_SIZE, subsets: int = SUBSETS, seed: int = 0
) -> Kid:
    """Compute the kernel distance between two sets of features.

    Parameters
    ----------
    first, second : float (n, d), (m, d)
    subset_size : int
        At most n and m.
    subsets : int
        Random subsets that are compared; their spread is no confidence interval, since they share tiles.
    seed : int
        Decides the subsets; torch's global state is left as it was.

    Returns
    -------
    Kid

    Raises
    ------
    ValueError
        If there are fewer features than a subset needs.

    Notes
    -----
    Bińkowski et al. 2018: the unbiased estimate of the squared maximum mean discrepancy with the kernel
    (x·y / d + 1)³, by torchmetrics; around 0, and so at times below it, for sets of one kind. Book: chapter 07.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*will save all extracted features")
        from torchmetrics.image.kid import KernelInceptionDistance

        metric = KernelInceptionDistance(feature=torch.nn.Identity(), subsets=subsets, subset_size=subset_size)
    if min(len(first), len(second)) < subset_size:
        raise ValueError(
            f"{len(first)} and {len(second)} tiles for subsets of {subset_size}; cut more, or lower subset_size"
        )
    for features, real in ((first, True), (second, False)):
        metric.update(torch.from_numpy(np.asarray(features, np.float64)), real=real)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        mean, std = metric.compute()
    return Kid(float(mean), float(std), (len(first), len(second)), subset_size, subsets)


def flat_coloured(smear: Smear) -> Smear:
    """Fill every cell, and the background, with its mean colour: what a painter must beat."""
    ids = smear.instances.ravel()
    area = np.maximum(np.bincount(ids), 1)
    sums = [np.bincount(ids, weights=smear.image[..., c].ravel()) for c in range(3)]
    means = np.stack([total / area for total in sums], axis=1).round().astype(np.uint8)  # (n + 1, 3)
    return Smear(means[smear.instances], smear.instances, smear.classes, smear.name, smear.group)


def halves(
    groups: Sequence[str], rng: np.random.Generator, whole_groups: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Divide smears into two halves that share no smear.

    Parameters
    ----------
    groups : sequence of str
        Slide (or appearance group) of every smear.
    rng : numpy.random.Generator
    whole_groups : bool
        False: every group is divided evenly, so that both halves hold the same slides (of an odd number one is
        left out, and so are groups of one). True: groups stay whole, so that the halves share no slide, and
        are about as large as they can be made by adding groups in random order to the smaller half.

    Returns
    -------
    int (k,), int (l,)
        Positions.

    Raises
    ------
    ValueError
        If one half would be empty.
    """
    members = {group: np.flatnonzero(np.asarray(groups) == group) for group in dict.fromkeys(groups)}
    found: tuple[list[int], list[int]] = ([], [])
    for group in rng.permutation(list(members)):
        drawn = rng.permutation(members[group])
        if whole_groups:
            found[len(found[0]) > len(found[1])].extend(drawn)
        else:
            found[0].extend(drawn[: len(drawn) // 2])
            found[1].extend(drawn[len(drawn) // 2 : 2 * (len(drawn) // 2)])
    if not (found[0] and found[1]):
        need = "two groups" if whole_groups else "a group of two smears"
        raise ValueError(f"{len(groups)} smears in {len(members)} groups cannot be halved; {need} at least are needed")
    return np.sort(found[0]), np.sort(found[1])


def kid_with_floors(
    model: CellTypes,
    real: Sequence[Smear],
    stand_ins: Mapping[str, Sequence[Smear]],
    others: Mapping[str, Sequence[Smear]] | None = None,
    *,
    seed: int = 0,
    tiles_each: int = TILES_EACH,
    side_px: int = TILE_PX,
    subset_size: int = SUBSET_SIZE,
    subsets: int = SUBSETS,
    halvings: int = HALVINGS,
    ink: bool = True,
) -> dict:
    """Measure how far painted smears are from real ones, beside how far real ones are from real ones.

    Parameters
    ----------
    model : CellTypes
        Gives the features; `cell_types.load()`.
    real : sequence of Smear
    stand_ins : mapping of str to sequence of Smear
        Smear k of each is painted from the mask of ``real[k]``.
    others : mapping of str to sequence of Smear, optional
        Painted from masks of their own; a random half is taken each time.
    seed : int
    tiles_each, side_px, subset_size, subsets, halvings : int
    ink : bool
        Whether scale bars are looked for and avoided; False for sets that have none, where dark nuclei would be taken
        for them.

    Returns
    -------
    dict
        Under ``values``: ``within groups`` and, where there are two, ``between groups`` (both real against real),
        ``flat colours``, every stand-in and other, each with ``mean`` and ``std`` over halvings. Beside it: ``tiles``
        per half (mean over halvings), ``smears``, ``side_px``, ``subset_size``, ``subsets``, ``halvings``, ``seed``.

    Notes
    -----
    The real smears are halved again and again. *Within groups*: both halves hold the same slides, different
    smears; in the first half, stand-ins are then put in place of the real ones, so that all else is equal.
    *Between groups*: the halves share no slide. A painter that is as good as real reaches the first floor; above
    the second it differs more than slides do. Computed on features of the project's own network (a cell-type
    classifier, see `cell_types`), hence **not comparable with published KID or FID values**, which are of
    Inception features. The standard deviation is over halvings of the same smears, no confidence interval for
    new ones. Book: chapter 07.
    """

    def features(smears: Sequence[Smear], like: Sequence[Smear] | None = None, ink: bool = True) -> np.ndarray:
        tiles = cut_tiles(smears, np.random.default_rng([seed, 1]), tiles_each, side_px, like, ink)
        found = tile_features(model, np.stack([tile.image for tile in tiles]))
        return found.reshape(-1, tiles_each, found.shape[1])  # (n·each, d) -> (n, each, d)

    smears = list(real)
    for name, painted in stand_ins.items():
        if [s.name for s in painted] != [s.name for s in smears]:
            raise ValueError(f"stand_ins[{name!r}] must hold one smear for each real one, of the same name and order")
    of_real = features(smears, ink=ink)
    paired = {"flat colours": features([flat_coloured(s) for s in smears], smears, ink)}
    paired |= {name: features(list(painted), smears, ink) for name, painted in stand_ins.items()}
    free = {name: features(list(painted), ink=False) for name, painted in (others or {}).items()}
    groups = [s.group for s in smears]
    found: dict[str, list[Kid]] = {}

    def compare(name: str, a: np.ndarray, b: np.ndarray, k: int) -> None:
        width = a.shape[2]
        result = kid(
            a.reshape(-1, width), b.reshape(-1, width), subset_size=subset_size, subsets=subsets, seed=seed + k
        )  # (n, each, d) -> (n·each, d)
        found.setdefault(name, []).append(result)

    for k in range(halvings):
        rng = np.random.default_rng([seed, 2, k])
        a, b = halves(groups, rng)
        compare("within groups", of_real[a], of_real[b], k)
        if len(set(groups)) > 1:
            c, d = halves(groups, rng, whole_groups=True)
            compare("between groups", of_real[c], of_real[d], k)
        for name, values in paired.items():
            compare(name, values[a], of_real[b], k)
        for name, values in free.items():
            compare(name, values[rng.permutation(len(values))[: len(a)]], of_real[b], k)
    means = {name: np.array([result.mean for result in results]) for name, results in found.items()}
    tiles = np.mean([result.n for result in found["within groups"]])
    return {
        "values": {n: {"mean": float(m.mean()), "std": float(m.std())} for n, m in means.items()},
        "tiles": round(float(tiles), 1),
        "smears": len(smears),
        "side_px": side_px,
        "subset_size": subset_size,
        "subsets": subsets,
        "halvings": halvings,
        "seed": seed,
    }
