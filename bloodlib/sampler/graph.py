"""Cells at the nodes of a graph: the layout of the thesis, after Dorogovtsev, Goltsev and Mendes."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import ClassVar

import networkx as nx
import numpy as np

from .laws import law_options
from .placement import PlacementConfig

__all__ = ["GraphLaw", "dgm_layout", "dgm_order"]

ITERATIONS, SCALING = 200, 0.001  # the thesis'
VARIETY = 4  # ours: different layouts of one order; each mask turns one of them in space
_SIGHT = 8.0  # ours, in cell sizes: places so near to a node are listed; beyond, all are looked through
_GLANCE = 2048  # offsets looked at together
_STEEP = 30.0  # ours, per pixel: e^-30 makes the nearest of all places win


def dgm_order(count: int) -> int:
    """Give the smallest order of the graph with at least so many nodes, (3^order + 3) / 2.

    Examples
    --------
    >>> [dgm_order(n) for n in (1, 42, 43, 123, 366, 1095)]
    [0, 4, 5, 5, 6, 7]
    """
    order = 0
    while (3**order + 3) // 2 < count:
        order += 1
    return order


@lru_cache(maxsize=32)
def _whole_layout(order: int, seed: int) -> np.ndarray:
    graph = nx.dorogovtsev_goltsev_mendes_graph(order)
    place = nx.forceatlas2_layout(graph, dim=3, max_iter=ITERATIONS, scaling_ratio=SCALING, seed=seed)
    layout = np.array([place[node] for node in sorted(graph)], dtype=float)
    layout.flags.writeable = False
    return layout


def dgm_layout(count: int, seed: int, *, turn: bool = False) -> np.ndarray:
    """Lay out nodes of the Dorogovtsev–Goltsev–Mendes graph in space by ForceAtlas2.

    Parameters
    ----------
    count : int
        Nodes wanted, at least 1.
    seed : int
        Of the start of the layout, of the choice of nodes and of the turn.
    turn : bool
        Take one of four layouts of this order, kept once computed, and turn it in space at random: quick
        when many are needed (an order of 1,095 nodes takes about 20 CPU-s to lay out).

    Returns
    -------
    float (count, 3)
        Each axis from 0 to 1 over the nodes that were chosen (½ where they are all equal), in the order in
        which the nodes came into the graph: hubs first.

    Notes
    -----
    The graph starts from one edge; at every step each edge gets a node that is joined to both its
    ends, so orders 4, 5, 6 and 7 have 42, 123, 366 and 1,095 nodes. The thesis draws order 4 in 3-D with
    ForceAtlas2, 200 iterations and kr = 0.001; x and y become places on the canvas and z the cell's
    size. Which nodes to take where an order has too many is not said; ours: the smallest order that has
    enough, and of it as many as needed, chosen at random, so that all its parts are thinned alike.
    Source: Dorogovtsev, Goltsev & Mendes 2002; Jacomy et al. 2014. Book: chapters 04, 13 and 14.

    Examples
    --------
    >>> dgm_layout(10, seed=0).shape
    (10, 3)
    """
    if count < 1:
        raise ValueError(f"count={count!r}: a layout needs at least one node")
    order = dgm_order(count)
    rng = np.random.default_rng(seed)
    layout = _whole_layout(order, seed % VARIETY if turn else seed % 2**32)
    if turn:
        layout = layout @ _random_rotation(rng)
    chosen = np.sort(rng.choice(len(layout), size=count, replace=False))
    low, high = layout[chosen].min(axis=0), layout[chosen].max(axis=0)
    return np.where(high > low, (layout[chosen] - low) / np.where(high > low, high - low, 1.0), 0.5)


def _random_rotation(rng: np.random.Generator) -> np.ndarray:
    """Draw an orthogonal matrix, reflections included, all orientations alike, float (3, 3)."""
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    return q * np.sign(np.diag(r))


@lru_cache(maxsize=4)
def _spiral(radius_px: float) -> np.ndarray:
    """List the offsets shorter than a radius, nearest first, int (k, 2)."""
    axis = np.arange(-int(radius_px), int(radius_px) + 1)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    squared = (grid**2).sum(axis=1)
    order = np.argsort(squared, kind="stable")
    return grid[order][squared[order] < radius_px**2]


class GraphLaw:
    """Place each cell at its node of a graph, or at the nearest place where there is room.

    Notes
    -----
    x and y of `dgm_layout`, stretched to the canvas, are the nodes, one for each cell. A cell lies at the
    free place nearest to its node, those left out that are nearer than ``core`` · cell_size
    to the centre of another cell (ours, ¾: hardly anything fits there, and leaving it out saves looking), as
    long as there are others. `bloodlib.sampler.nearest.Nearest` finds it; where cells may overlap, so that distances
    to them settle nothing, places are proposed around the node one after another, which is much slower.
    Laying the graph out costs more than the masks: about 20 CPU-s for the 1,095 nodes that 367 cells and more need,
    once for each of the four layouts that a process keeps; a mask at full size then takes about one.
    The thesis throws away every image in which cells overlap or are cut; at the density of a smear that
    would be every image, since the nodes crowd around the graph's hubs: ours keeps the cells and moves
    them. Nothing is drawn here but the nodes. Book: chapters 04 and 13.
    """

    OPTIONS: ClassVar[dict[str, float]] = {"core": 0.75}

    def __init__(self, config: PlacementConfig, shape: tuple[int, int], count: int, rng: np.random.Generator) -> None:
        core = law_options(config)["core"]
        if not 0 < core < np.inf:
            raise ValueError(f"options: core={core!r}: a number above 0 is needed")
        places = dgm_layout(max(count, 1), int(rng.integers(2**31)), turn=True)[:, :2]
        self.nodes = np.rint(places[:, ::-1] * (np.array(shape) - 1)).astype(int)
        self.core_px = core * config.cell_size_px
        self._sight_px = _SIGHT * config.cell_size_px
        self._open = np.ones(shape, dtype=bool)
        self._known = 0  # cells that are marked in `_open`
        self._waiting = -1  # the cell that places are listed for; of `_near` so many are `_seen`
        self._seen, self._queue = 0, np.zeros((0, 2), dtype=int)

    @cached_property
    def _near(self) -> np.ndarray:
        return _spiral(self._sight_px)

    def propose(self, rng: np.random.Generator, centres: np.ndarray, size: int) -> np.ndarray:
        """List the next places for the next cell, int (size, 2); when none is left in sight, the node itself."""
        if self._waiting != len(centres):
            self._mark(centres)
            self._waiting, self._seen, self._queue = len(centres), 0, self._queue[:0]
        while len(self._queue) < size and self._seen < len(self._near):
            points = self._inside(self.nodes[len(centres)] + self._near[self._seen : self._seen + _GLANCE])
            self._queue = np.concatenate([self._queue, points[self._open[points[:, 0], points[:, 1]]]])
            self._seen += _GLANCE
        points, self._queue = self._queue[:size], self._queue[size:]
        return np.concatenate([points, np.repeat(self.nodes[None, len(centres)], size - len(points), axis=0)])

    def weight_at(self, points: np.ndarray, centres: np.ndarray) -> np.ndarray:
        """Give weights that fall so steeply with the distance to the node that the nearest place wins, float (m,)."""
        distance = np.hypot(*(points - self.nodes[len(centres)]).T)
        return np.exp(-_STEEP * (distance - distance.min(initial=np.inf)))

    def _mark(self, centres: np.ndarray) -> None:
        for centre in centres[self._known :]:
            self._open[tuple(self._inside(centre + _spiral(self.core_px)).T)] = False
        self._known = len(centres)

    def _inside(self, points: np.ndarray) -> np.ndarray:
        (rows, cols), (height, width) = points.T, self._open.shape
        return points[(rows >= 0) & (rows < height) & (cols >= 0) & (cols < width)]
