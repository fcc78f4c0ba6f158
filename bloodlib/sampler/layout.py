"""One mask in the making: a place and a colour for one cell after the other."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from .canvas import Canvas
from .config import MaskConfig
from .laws import make_law
from .nearest import Nearest
from .overlap import OverlapCanvas, OverlapRoom
from .room import Room
from .stamp import Stamp

_AHEAD, _SHARE = 16, 8  # so many cells are planned together, at most this part of those that lie
_SURPLUS = 2.5  # locations drawn for a cell at first, as a multiple of those that recent cells took
_MOST = 512  # locations drawn at once
_STARVED = 1000  # locations drawn before the places are looked through, once few were found for a cell
_FEW = 200  # that many places
_KNOWN = 0.6  # in cell sizes: distances to cells are known so far; shapes hold no larger disc, or hardly


@dataclass(frozen=True)
class Found:
    """Hold a place for a cell: ``point`` int (2,), the colours ``taken`` there (bits), and the ``trials`` it took."""

    point: np.ndarray
    taken: int
    trials: int


class Layout:
    """Find places for cells on one canvas, and lay them.

    Parameters
    ----------
    config : MaskConfig
    shape : (height, width)
    reach_px : int
        How far any shape can extend from its centre.
    requested : int
        Number of cells.
    rng : numpy.random.Generator

    Attributes
    ----------
    canvas : Canvas
    centres : int (requested, 2)
        Locations of the cells laid so far; what follows is not used.
    shape_ids, trials : list of int
        Of each cell: which shape it has, and how many locations were drawn for it.

    Notes
    -----
    The accepted location is a draw from P, given that the cell fits there and that a colour is
    left for it: by rejection while that is quick, and else by a draw among all the places there
    are. How long rejection lasts depends on earlier cells only, so the law is the same either way.
    A law with nodes draws nothing: its cell lies at the free place nearest to its node.
    Shapes and locations of several cells are drawn together, which is quicker; what a location
    needs to know of the cells in between it is told when they are laid.
    """

    def __init__(
        self, config: MaskConfig, shape: tuple[int, int], reach_px: int, requested: int, rng: np.random.Generator
    ) -> None:
        reach_px += math.ceil(config.rim_px)
        if config.overlap:
            self.canvas: Canvas = OverlapCanvas(shape, reach_px, config.colours, config.overlap)
        else:
            self.canvas = Canvas(shape, reach_px, config.colours)
        self.centres = np.zeros((requested, 2), dtype=int)
        self.shape_ids: list[int] = []
        self.trials: list[int] = []
        self._config, self._rng, self._requested = config, rng, requested
        self._law = make_law(config.placement, shape, requested, rng)
        self._room: Room | OverlapRoom | None = None
        # Where cells may overlap the distance to them rules nothing out.
        by_node = hasattr(self._law, "nodes") and not config.overlap
        self._nearest = Nearest(shape, _KNOWN * config.placement.cell_size_px, self._law.core_px) if by_node else None
        self._tries = config.tries
        self._usual = 8.0  # trials that recent cells took

    def fill(self, draw: Callable[[np.random.Generator], tuple[np.ndarray, int]]) -> None:
        """Lay cells until as many lie as requested, or several shapes in a row fit nowhere.

        Parameters
        ----------
        draw : callable
            Gives a shape and its number, as `ShapeDatabase.draw`.
        """
        waiting: deque[tuple[Stamp, int]] = deque()
        misfits = 0
        while self.canvas.count < self._requested and misfits < self._config.misfits:
            cells = max(1, min(_AHEAD, self.canvas.count // _SHARE, self._requested - self.canvas.count))
            while len(waiting) < cells:
                shape, shape_id = draw(self._rng)
                waiting.append((Stamp(shape, self._rim_px(), self._cover()), shape_id))
            for stamp, shape_id, found in self._find(waiting, cells):
                if found is None:
                    misfits += 1
                    break  # the locations of the others were drawn for later cells
                misfits = 0
                self._lay(stamp, found)
                self.shape_ids.append(shape_id)
                self.trials.append(found.trials)

    def _find(self, waiting: deque[tuple[Stamp, int]], cells: int) -> Iterator[tuple[Stamp, int, Found | None]]:
        """Find a place for the next few of the waiting shapes, each when those before it were laid."""
        if self._nearest is not None:
            stamp, shape_id = waiting.popleft()
            yield stamp, shape_id, self._search_nearest(stamp)
            return
        points, parents = self._propose(cells)
        later = parents >= 0  # around cells that are not laid yet: offsets, and no places to be looked at
        places = np.where(later[..., None], 0, points)
        likely = self.canvas.screen([waiting[k][0] for k in range(len(points))], places) | later
        for k in range(len(points)):
            stamp, shape_id = waiting.popleft()
            found = self._first(stamp, points[k], parents[k], likely[k]) or self._search(stamp, points.shape[1])
            yield stamp, shape_id, found

    def _rim_px(self) -> float:
        """Draw the background that the next cell keeps around itself."""
        rim_px, share = self._config.rim_px, self._config.rim_share
        return rim_px if rim_px and (share == 1 or self._rng.random() < share) else 0.0

    def _cover(self) -> float | None:
        """Draw whether the next cell may lie on others: None if it may as far as any, 0 if not at all."""
        share = self._config.overlap_share
        return None if share == 1 or not self._config.overlap or self._rng.random() < share else 0.0

    def _propose(self, cells: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw locations of the next few cells; see `AdhesionLaw.ahead`."""
        size = min(int(_SURPLUS * self._usual) + 4, self._tries, _MOST)
        centres = self.centres[: self.canvas.count]
        if hasattr(self._law, "ahead"):
            return self._law.ahead(self._rng, centres, cells, size)
        return self._law.propose(self._rng, centres, size)[None], np.full((1, size), -1)

    def _first(self, stamp: Stamp, points: np.ndarray, parents: np.ndarray, likely: np.ndarray) -> Found | None:
        for k in likely.nonzero()[0].tolist():
            point = points[k] if parents[k] < 0 else self._law.beside(self._rng, self.centres[parents[k]], points[k])
            taken = self.canvas.taken(stamp, point)
            if taken is not None:
                self._usual += (k + 1 - self._usual) / 16
                return Found(point, taken, k + 1)
        return None

    def _search(self, stamp: Stamp, done: int) -> Found | None:
        """Go on for a cell for which `done` locations were no good: by rejection, then among all places."""
        size = done
        while done < self._tries:
            size = min(4 * size, self._tries - done, _MOST)
            points = self._law.propose(self._rng, self.centres[: self.canvas.count], size)
            (likely,) = self.canvas.screen([stamp], points[None])
            for k in likely.nonzero()[0].tolist():
                taken = self.canvas.taken(stamp, points[k])
                if taken is not None:
                    self._usual += (done + k + 1 - self._usual) / 16
                    return Found(points[k], taken, done + k + 1)
            done += size
        return self._search_everywhere(stamp, done)

    def _search_nearest(self, stamp: Stamp) -> Found | None:
        """Look for the place nearest to the cell's node, and only where there is none for one beside a centre."""
        done = 0
        for places in self._nearest.places(stamp, self._law.nodes[self.canvas.count]):
            for k in self.canvas.screen([stamp], places[None])[0].nonzero()[0].tolist():
                taken = self.canvas.taken(stamp, places[k])
                if taken is not None:
                    return Found(places[k], taken, done + k + 1)
            done += len(places)
        return self._search_everywhere(stamp, done)

    def _search_everywhere(self, stamp: Stamp, done: int) -> Found | None:
        if self._room is None:
            share = self._config.overlap
            self._room = OverlapRoom(self.canvas, share) if share else Room(self.canvas)
        places = self._room.places(stamp)
        places = places[self.canvas.screen([stamp], places[None])[0]]
        if len(places) < _FEW:
            self._tries = min(self._tries, _STARVED)
        # Exponential clocks ring in the order of draws from P without replacement, so the first place that holds the
        # cell is a draw from P given that the cell fits. In logarithms, since weights may be as small as numbers get.
        weight = np.maximum(self._law.weight_at(places, self.centres[: self.canvas.count]), np.finfo(float).tiny)
        clock = np.log(self._rng.exponential(size=len(places))) - np.log(weight)
        for k, place in enumerate(places[np.argsort(clock)]):
            taken = self.canvas.taken(stamp, place)
            if taken is not None:
                return Found(place, taken, done + k + 1)
        return None

    def _lay(self, stamp: Stamp, found: Found) -> None:
        if self._config.snap and self._rng.random() < self._config.snap:
            found = self._slide(stamp, found)
        colours = self.canvas.free_colours(found.taken)
        self.centres[self.canvas.count] = found.point
        self.canvas.lay(stamp, found.point, colours[int(self._rng.random() * len(colours))])
        for map_ in (self._room, self._nearest):
            if map_ is not None:
                map_.cut(stamp, found.point)

    def _slide(self, stamp: Stamp, found: Found) -> Found:
        """Move the cell straight towards the nearest centre, pixel by pixel, until a cell is in its way.

        Notes
        -----
        Neighbouring steps differ by at most one row and one column, so a cell that is stopped by
        another touches it. It stays where it was if nothing stops it within the reach.
        """
        if not self.canvas.count or not self.canvas.free(stamp, found.point):
            return found
        away = self.centres[: self.canvas.count] - found.point
        towards = away[(away**2).sum(axis=1).argmin()]
        steps = int(np.abs(towards).max())
        reach = self._config.snap_reach_px
        last = found
        for step in range(1, steps + 1):
            point = found.point + np.round(step / steps * towards).astype(int)
            taken = self.canvas.taken(stamp, point)
            if taken is None or not self.canvas.free(stamp, point):
                return last
            if step > (self._config.placement.cell_size_px if reach is None else reach):
                return found
            last = Found(point, taken, found.trials)
        return found
