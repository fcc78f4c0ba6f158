"""Style clusters: which looks the encoder found, and how a look is drawn for a new mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .config import STYLE_DRAWS


@dataclass(frozen=True, eq=False)
class Styles:
    """Hold the encoder's features of every cell and background, grouped into clusters per class.

    Parameters
    ----------
    cells : float32 (n, C)
        Features of every red blood cell of all smears.
    cell_smear : int (n,)
        Which smear each comes from.
    cell_cluster : int (n,)
    cell_centres : float32 (K, C)
        Cluster 0 is the largest.
    backgrounds : float32 (m, C)
        One per smear.
    background_cluster : int (m,)
    background_centres : float32 (K', C)
    draw : {"joint", "independent"}
        How `sample` puts a background to the cells.

    Notes
    -----
    K-means per semantic class, 10 clusters (the paper's). Every cell counts; the reference
    implementation keeps only instances larger than 1/64 of the image, of which blood has none.

    ``"independent"`` is the paper's: one cluster drawn for the background, one for the cells, and
    every pixel of a class gets the cluster's centre. ``"joint"`` is ours: background and cells of
    one picture come from one smear, and each cell gets the features of some cell of the chosen
    cluster in that smear, so that stains stay whole and cells differ a little.
    Book: chapter "Style clusters".
    """

    cells: np.ndarray
    cell_smear: np.ndarray
    cell_cluster: np.ndarray
    cell_centres: np.ndarray
    backgrounds: np.ndarray
    background_cluster: np.ndarray
    background_centres: np.ndarray
    draw: str = "joint"

    @classmethod
    def fit(cls, features: Sequence[np.ndarray], clusters: int = 10, draw: str = "joint", seed: int = 0) -> Styles:
        """Cluster the features of a set of smears.

        Parameters
        ----------
        features : sequence of float32 (n_i + 1, C)
            Per smear; row 0 is the background, then its cells.
        clusters : int
            At most this many per class; fewer if there are fewer different features.
        draw : {"joint", "independent"}
        seed : int

        Raises
        ------
        ValueError
            If there is no cell at all.
        """
        if draw not in STYLE_DRAWS:
            raise ValueError(f"draw is {draw!r}; it can be {', '.join(STYLE_DRAWS)}")
        cells = np.concatenate([f[1:] for f in features]).astype(np.float32)
        if not len(cells):
            raise ValueError("the smears have no cells to take styles from; are the masks empty?")
        owner = np.repeat(np.arange(len(features)), [len(f) - 1 for f in features])
        backgrounds = np.stack([f[0] for f in features]).astype(np.float32)
        cell_cluster, cell_centres = _kmeans(cells, clusters, seed)
        background_cluster, background_centres = _kmeans(backgrounds, clusters, seed)
        return cls(cells, owner, cell_cluster, cell_centres, backgrounds, background_cluster, background_centres, draw)

    def __len__(self) -> int:
        return len(self.cell_centres)

    @property
    def shares(self) -> np.ndarray:
        """Give which part of each smear's cells lies in each cluster, float64 (m, K); rows sum to 1 or 0."""
        table = np.zeros((len(self.backgrounds), len(self)))
        np.add.at(table, (self.cell_smear, self.cell_cluster), 1)
        return table / np.maximum(table.sum(axis=1, keepdims=True), 1)

    def sample(self, rng: np.random.Generator, count: int, style: int | None = None) -> tuple[np.ndarray, int]:
        """Draw features for a background and `count` cells.

        Parameters
        ----------
        rng : numpy.random.Generator
        count : int
        style : int, optional
            The cells' cluster; None draws one: each cluster alike where draws are independent, as
            often as it occurs where they are joint.

        Returns
        -------
        features : float32 (count + 1, C)
            Row 0 is the background.
        style : int

        Raises
        ------
        ValueError
            If there is no such cluster.
        """
        if style is not None and not 0 <= style < len(self):
            raise ValueError(f"style is {style}; this painter has styles 0 to {len(self) - 1}")
        if self.draw == "independent":
            style = int(rng.integers(len(self))) if style is None else int(style)
            background = self.background_centres[rng.integers(len(self.background_centres))]
            return np.vstack([background[None], np.tile(self.cell_centres[style], (count, 1))]), style
        shares = self.shares
        if style is None:
            stained = np.flatnonzero(shares.sum(axis=1))
            smear = int(rng.choice(stained))
            style = int(rng.choice(len(self), p=shares[smear]))
        else:
            smear = int(rng.choice(len(shares), p=shares[:, style] / shares[:, style].sum()))
        members = np.flatnonzero((self.cell_smear == smear) & (self.cell_cluster == style))
        cells = self.cells[rng.choice(members, size=count)]
        return np.vstack([self.backgrounds[smear][None], cells]), int(style)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Give all arrays, to be stored."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "draw"}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], draw: str) -> Styles:
        """Build the styles again from what `to_arrays` gave."""
        return cls(**arrays, draw=draw)


def _kmeans(points: np.ndarray, clusters: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Give the cluster of each point and the centres, the largest cluster first."""
    from sklearn.cluster import KMeans

    clusters = min(clusters, len(np.unique(points, axis=0)))
    found = KMeans(clusters, n_init=10, random_state=seed).fit(points)
    order = np.argsort(-np.bincount(found.labels_, minlength=clusters), kind="stable")
    rank = np.argsort(order)
    return rank[found.labels_], found.cluster_centers_[order].astype(np.float32)
