"""Style clusters: which looks the encoder found, and how a look is drawn for a new mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..sampler.requested import whole
from .clusters import kmeans, nearest, usual_looks
from .config import STYLE_DRAWS
from .pooling import outlines

BACKGROUND, CELL = 0, 1  # semantic classes; those of further cells follow, then that of objects
NEAREST = 12  # ours: a joint draw picks from this many instances of one smear that are nearest in form


@dataclass(frozen=True, eq=False)
class Styles:
    """Hold the encoder's features of every instance, grouped into clusters per semantic class.

    Parameters
    ----------
    features : float32 (n, C)
        Of every background, cell and object of all smears; all terms of them (`bloodlib.gan.pooling`).
    kind : int64 (n,)
        Semantic class of each: 0 background, 1..cell_classes cells, then what else the painter knows.
    smear : int64 (n,)
        Which smear each comes from.
    cluster : int64 (n,)
        Within its class; cluster 0 is the largest. With joint draws clusters are of the cells that lend looks, and
        the others belong to the nearest, or a cluster of cut cells alone would be a style that nobody can lend.
    size_px : int64 (n,)
        Area of each; all alike where it is not known.
    whole : bool (n,)
        Whether the border of its smear leaves it whole; joint draws lend no looks of cut cells.
    centres : tuple of float32 (K, C)
        Cluster centres, one array per class.
    draw : {"joint", "independent", "per_cell"}
        How `sample` puts styles together.
    cell_classes : int
        How many semantic classes of cells there are; a style is the cluster of that number in each of them.
    elongation : float32 (n, 2) or None
        Of each instance's outline, as in `forms`; None where features are means, which it does not matter to.
    usual : bool (n,) or None
        Whether a cell's look is about that of others of its class in its smear (`bloodlib.gan.clusters`); joint draws
        lend no others, or one blot would lie on every cell of its size. None: all are.

    Notes
    -----
    K-means per semantic class, 10 clusters (the paper's). Every cell counts; the reference
    implementation keeps only instances larger than 1/64 of the image, of which blood has none.

    ``"independent"`` is the paper's as we read it (it does not say how often it draws): one cluster drawn per
    class, and every instance of the class gets the cluster's centre. ``"per_cell"`` draws a cluster for every
    instance, as pix2pixHD's code does. ``"joint"`` is
    ours: everything in one picture comes from one smear, each instance with the features of some
    instance of its class and about its form there (`NEAREST`), so that stains stay whole, cells differ
    as they do on a slide, and a sliver at the border or a pair in one outline lends its looks to its like only.
    Form is size and, where features tell where in a cell the pale spot lies, which way the cell is long.
    With several classes of cells, the smear is likelier the more of the drawn cells are of classes that it has;
    cells of the others take looks from elsewhere.
    Book: chapter 06.
    """

    features: np.ndarray
    kind: np.ndarray
    smear: np.ndarray
    cluster: np.ndarray
    size_px: np.ndarray
    whole: np.ndarray
    centres: tuple[np.ndarray, ...]
    draw: str = "joint"
    cell_classes: int = 1
    elongation: np.ndarray | None = None
    usual: np.ndarray | None = None

    @classmethod
    def fit(
        cls,
        features: Sequence[np.ndarray],
        clusters: int = 10,
        draw: str = "joint",
        seed: int = 0,
        kinds: Sequence[np.ndarray] | None = None,
        sizes_px: Sequence[np.ndarray] | None = None,
        whole: Sequence[np.ndarray] | None = None,
        cell_classes: int = 1,
        elongation: Sequence[np.ndarray] | None = None,
    ) -> Styles:
        """Cluster the features of a set of smears.

        Parameters
        ----------
        features : sequence of float32 (n_i + 1, C)
            Per smear; row 0 is the background, then its instances.
        clusters : int
            At most this many per class; fewer if there are fewer different features.
        draw : {"joint", "independent", "per_cell"}
        seed : int
        kinds : sequence of int (n_i + 1,), optional
            Semantic class of each row; all instances are cells if not given.
        sizes_px : sequence of int (n_i + 1,), optional
            Area of each row; joint draws do not look at sizes if not given.
        whole : sequence of bool (n_i + 1,), optional
            Whether the smear's border leaves the instance whole; all are if not given.
        cell_classes : int
            The kinds 1 to this are cells.
        elongation : sequence of float (n_i + 1, 2), optional
            Of each row's outline, as in `forms`; joint draws do not look at it if not given.

        Raises
        ------
        ValueError
            If there is no cell at all.
        """
        if draw not in STYLE_DRAWS:
            raise ValueError(f"draw is {draw!r}; it can be {', '.join(STYLE_DRAWS)}")
        if kinds is None:
            kinds = [np.minimum(np.arange(len(f)), CELL) for f in features]
        points = np.concatenate(features).astype(np.float32)
        kind = np.concatenate(kinds).astype(np.int64)
        if not _are_cells(kind, cell_classes).any():
            raise ValueError("the smears have no cells to take styles from; are the masks empty?")
        smear = np.repeat(np.arange(len(features)), [len(f) for f in features])
        size_px = np.ones(len(kind), dtype=np.int64) if sizes_px is None else np.concatenate(sizes_px).astype(np.int64)
        uncut = np.ones(len(kind), dtype=bool) if whole is None else np.concatenate(whole)
        long = None if elongation is None else np.concatenate(elongation).astype(np.float32)
        usual = usual_looks(points, kind, smear, uncut) | ~_are_cells(kind, cell_classes)  # of dust all is usual
        lends = (uncut & usual) | (draw != "joint") | ~_are_cells(kind, cell_classes)
        cluster, centres = np.zeros(len(kind), dtype=np.int64), []
        for k in range(int(kind.max()) + 1):
            alike = np.flatnonzero(kind == k)
            told = lends[alike] if lends[alike].any() else np.ones(len(alike), dtype=bool)
            cluster[alike[told]], found = kmeans(points[alike[told]], clusters, seed)
            if not told.all():
                cluster[alike[~told]] = nearest(points[alike[~told]], found)
            centres.append(found)
        return cls(points, kind, smear, cluster, size_px, uncut, tuple(centres), draw, cell_classes, long, usual)

    def __len__(self) -> int:
        return max(len(centres) for centres in self._cell_centres)

    def check(self, style: int | None) -> int | None:
        """Give a style as int, or None; refuse, by ValueError, what is neither None nor the number of a cluster."""
        if style is None:
            return None
        number = whole(style)
        if number is None or not 0 <= number < len(self):
            raise ValueError(f"style is {style}; this painter has styles 0 to {len(self) - 1}")
        return number

    @property
    def _cell_centres(self) -> tuple[np.ndarray, ...]:
        return self.centres[CELL : CELL + self.cell_classes]

    @property
    def _cell(self) -> np.ndarray:
        return _are_cells(self.kind, self.cell_classes)

    @property
    def lends(self) -> np.ndarray:
        """Whether joint draws lend the looks of each instance where others do as well, bool (n,)."""
        return self.whole if self.usual is None else self.whole & self.usual

    @property
    def cells(self) -> np.ndarray:
        """Features of every cell, float32 (n, C)."""
        return self.features[self._cell]

    @property
    def cell_smear(self) -> np.ndarray:
        """Which smear each cell comes from, int64 (n,)."""
        return self.smear[self._cell]

    @property
    def cell_cluster(self) -> np.ndarray:
        """Cluster of each cell within its class, int64 (n,)."""
        return self.cluster[self._cell]

    @property
    def cell_centres(self) -> np.ndarray:
        """Centres of the cells' clusters, float32 (K, C); those of several classes one class after the other."""
        return np.concatenate(self._cell_centres)

    @property
    def backgrounds(self) -> np.ndarray:
        """Features of the backgrounds, one per smear, float32 (m, C)."""
        return self.features[self.kind == BACKGROUND]

    @property
    def background_cluster(self) -> np.ndarray:
        """Cluster of each background, int64 (m,)."""
        return self.cluster[self.kind == BACKGROUND]

    @property
    def background_centres(self) -> np.ndarray:
        """Centres of the backgrounds' clusters, float32 (K, C)."""
        return self.centres[BACKGROUND]

    @property
    def shares(self) -> np.ndarray:
        """Give which part of each smear's cells lies in each cluster, float64 (m, K); rows sum to 1 or 0."""
        table = np.zeros((len(self.backgrounds), len(self)))
        np.add.at(table, (self.cell_smear, self.cell_cluster), 1)
        return table / np.maximum(table.sum(axis=1, keepdims=True), 1)

    @property
    def class_shares(self) -> np.ndarray:
        """Give which part of each smear's cells is of each class, float64 (m, cell_classes); rows sum to 1 or 0."""
        table = np.zeros((len(self.backgrounds), self.cell_classes))
        np.add.at(table, (self.cell_smear, self.kind[self._cell] - CELL), 1)
        return table / np.maximum(table.sum(axis=1, keepdims=True), 1)

    def draw_classes(self, rng: np.random.Generator, count: int, shares: np.ndarray | None = None) -> np.ndarray:
        """Draw the class of each of some cells.

        Parameters
        ----------
        rng : numpy.random.Generator
        count : int
        shares : float (cell_classes,), optional
            Of every class, summing to 1; those of a smear drawn at random if not given.

        Returns
        -------
        int64 (count,)
            0..cell_classes - 1, all 0 where there is one class only; each independent of the others.
        """
        if self.cell_classes == 1:
            return np.zeros(count, dtype=np.int64)
        return rng.choice(self.cell_classes, size=count, p=self.draw_shares(rng) if shares is None else shares)

    def draw_shares(self, rng: np.random.Generator) -> np.ndarray:
        """Give the shares of the classes in a smear drawn at random, float64 (cell_classes,)."""
        seen = self.class_shares
        return seen[rng.choice(np.flatnonzero(seen.any(axis=1)))]

    def draw_smear(
        self, rng: np.random.Generator, style: int | None = None, class_shares: np.ndarray | None = None
    ) -> int:
        """Draw the smear that a joint draw takes its looks from.

        Parameters
        ----------
        rng : numpy.random.Generator
        style : int, optional
            Smears come as often as they have cells of this cluster; all alike if not given.
        class_shares : float (cell_classes,), optional
            Of the cells that are to be painted: smears that have more of these classes come more often.

        Raises
        ------
        ValueError
            If there is no such cluster.
        """
        style, shares = self.check(style), self.shares
        weight = shares.any(axis=1).astype(float) if style is None else shares[:, style]
        if style is not None:
            lent = np.bincount(
                self.cell_smear[(self.cell_cluster == style) & self.lends[self._cell]], minlength=len(shares)
            )
            weight = weight * (lent > 0) if (weight * lent).any() else weight
        if class_shares is not None:
            lends = weight * ((self.class_shares > 0) @ class_shares)  # (smears,)
            weight = lends if lends.any() else weight
        return int(rng.choice(len(shares), p=weight / weight.sum()))

    def sample(
        self,
        rng: np.random.Generator,
        kinds: int | np.ndarray,
        style: int | None = None,
        sizes_px: np.ndarray | None = None,
        elongation: np.ndarray | None = None,
        smear: int | None = None,
    ) -> tuple[np.ndarray, int]:
        """Draw features for a background and its instances.

        Parameters
        ----------
        rng : numpy.random.Generator
        kinds : int or int (count + 1,)
            Number of cells, or the semantic class of the background and of every instance.
        style : int, optional
            Cluster that all cells belong to, the last one of a class that has fewer; None draws.
        sizes_px : int (count + 1,), optional
            Area of the background and of every instance, for joint draws to go by.
        elongation : float (count + 1, 2), optional
            Of their outlines; goes with the areas, and `forms` gives both.
        smear : int, optional
            Which one a joint draw takes its looks from; drawn by `draw_smear` if not given.

        Returns
        -------
        features : float32 (count + 1, C)
            Row 0 is the background.
        style : int
            The cluster that most of the cells belong to.

        Raises
        ------
        ValueError
            If there is no such cluster, or an instance is of a class that no smear had.
        """
        style = self.check(style)
        if np.ndim(kinds) == 0:
            kinds = np.minimum(np.arange(int(kinds) + 1), CELL)
        for k in np.unique(kinds):
            if k >= len(self.centres) or not len(self.centres[k]):
                raise ValueError(
                    f"an instance is of kind {k} (a cell's is its class + 1), but no smear had one; "
                    f"seen are {', '.join(map(str, np.unique(self.kind)))}"
                )
        if self.draw == "joint":
            return self._from_one_smear(rng, kinds, style, sizes_px, elongation, smear)
        out = np.zeros((len(kinds), self.features.shape[1]), dtype=np.float32)
        cluster = np.zeros(len(kinds), dtype=np.int64)
        cells = _are_cells(kinds, self.cell_classes)
        for k in np.unique(kinds):
            which = np.flatnonzero(kinds == k)
            pick = rng.integers(len(self.centres[k]), size=1 if self.draw == "independent" else len(which))
            if cells[which[0]] and style is not None:
                pick = self._nearest_style(style, k)
            cluster[which] = pick
            out[which] = self.centres[k][cluster[which]]
        return out, self._usual(cluster[cells], 0) if style is None else int(style)

    def _nearest_style(self, style: int, k: int) -> int:
        """Give the cluster of a class that stands for a style; a rare class can have fewer clusters than another."""
        return min(int(style), len(self.centres[k]) - 1)

    @staticmethod
    def _usual(clusters: np.ndarray, otherwise: int) -> int:
        return int(np.bincount(clusters).argmax()) if len(clusters) else otherwise

    def _from_one_smear(
        self,
        rng: np.random.Generator,
        kinds: np.ndarray,
        style: int | None,
        sizes_px: np.ndarray | None,
        elongation: np.ndarray | None,
        smear: int | None,
    ) -> tuple[np.ndarray, int]:
        cells = _are_cells(kinds, self.cell_classes)
        if smear is None:
            mix = np.bincount(kinds[cells] - CELL, minlength=self.cell_classes) / max(np.count_nonzero(cells), 1)
            smear = self.draw_smear(rng, style, mix if cells.any() else None)
        rows = np.zeros(len(kinds), dtype=np.int64)
        for k in np.unique(kinds):
            which = np.flatnonzero(kinds == k)
            alike, here = self.kind == k, self.smear == smear
            wished = style is not None and cells[which[0]]
            styled = alike & (self.cluster == self._nearest_style(style, k)) if wished else alike
            # This smear may have none of the style or of the class: then any other's will do.
            ladder = (styled & here, alike & here, styled, alike)
            members = next(m for m in ladder if m.any())
            if wished:  # better of another style than of a cut cell
                members = next((m for m in ladder if (m & self.lends).any()), members)
            members = np.flatnonzero(members & self.lends if (members & self.lends).any() else members)
            if sizes_px is None:
                rows[which] = rng.choice(members, size=len(which))
            else:
                unlike = np.abs(np.log(sizes_px[which, None]) - np.log(self.size_px[members]))  # (instances, members)
                if elongation is not None and self.elongation is not None:
                    unlike += np.linalg.norm(elongation[which, None] - self.elongation[members], axis=2)
                near = np.argsort(unlike, axis=1, kind="stable")[:, :NEAREST]
                rows[which] = members[near[np.arange(len(which)), rng.integers(near.shape[1], size=len(which))]]
        usual = self._usual(self.cluster[rows[cells]], int(self.shares[smear].argmax()))
        return self.features[rows], usual if style is None else int(style)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Give all arrays, to be stored."""
        arrays = {name: getattr(self, name) for name in ("features", "kind", "smear", "cluster", "size_px")}
        arrays["whole"] = self.whole.astype(np.uint8)
        if self.elongation is not None:
            arrays["elongation"] = self.elongation
        if self.usual is not None:
            arrays["usual"] = self.usual.astype(np.uint8)
        return arrays | {f"centres_{k}": centres for k, centres in enumerate(self.centres)}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], draw: str, cell_classes: int = 1) -> Styles:
        """Build the styles again from what `to_arrays` gave, in whatever precision it was stored."""
        single = {name: x.astype(np.float32) for name, x in arrays.items() if name.startswith(("features", "centres"))}
        centres = tuple(single[f"centres_{k}"] for k in range(len(single) - 1))
        whole = (arrays[name].astype(np.int64) for name in ("kind", "smear", "cluster", "size_px"))
        long = arrays["elongation"].astype(np.float32) if "elongation" in arrays else None
        usual = arrays["usual"].astype(bool) if "usual" in arrays else None
        return cls(single["features"], *whole, arrays["whole"].astype(bool), centres, draw, cell_classes, long, usual)


def forms(instances: np.ndarray, count: int) -> dict[str, np.ndarray]:
    """Measure what a joint draw goes by: arguments of `Styles.sample`.

    Parameters
    ----------
    instances : int (H, W)
        Ids 0..count - 1; not all of them need occur.
    count : int

    Returns
    -------
    dict
        ``sizes_px`` int64 (count,): pixels of each id, at least 1. ``elongation`` float64 (count, 2): the means of
        u² − v² and 2uv over it, as in `bloodlib.gan.pooling`: 0 for a disc, up to ½ in absolute value; the first is
        positive where it is longer across than down, the second where it is longest along the main diagonal.
    """
    found = outlines(torch.from_numpy(instances.astype(np.int64))[None])[0, :, 3:].numpy()
    elongation = np.zeros((count, 2))
    elongation[: len(found)] = found
    return {"sizes_px": np.maximum(np.bincount(instances.ravel(), minlength=count), 1), "elongation": elongation}


def _are_cells(kinds: np.ndarray, cell_classes: int) -> np.ndarray:
    return (kinds >= CELL) & (kinds < CELL + cell_classes)
