"""Layouts of cells of many types: by the graph, as the thesis has them, and as dense as a smear."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from .._files import package_data, read_json, write_json
from ..datasets.single_cells import BACKGROUND, FIELD_PX, RED_CELL, TYPE_NAMES, SingleCell
from ..sampler.config import MaskConfig
from ..sampler.graph import dgm_layout
from ..sampler.masks import MaskGenerator
from ..sampler.outlines import largest_piece, warp
from ..sampler.placement import PlacementConfig
from ..sampler.shapes import ShapeConfig, ShapeDatabase
from .overlaps import layers

OUTLINES = "outlines.json"
RELEASED = "single_cells-laptop"
CELL_NAMES = TYPE_NAMES[:BACKGROUND]  # categories of the annotations: no background, no cells of another microscope


@dataclass(frozen=True, eq=False)
class Outline:
    """Hold the shape of a real cell: its type, and bool (h, w) at the scale of `FIELD_PX`."""

    kind: int
    shape: np.ndarray


@dataclass(frozen=True)
class GraphConfig:
    """Say how the thesis lays cells out on a canvas; lengths in pixels of a 1024×1024 canvas with 256-px fields."""

    canvas_px: int = 1024  # the thesis'
    count: int = 15  # nodes, order 3; the thesis draws order 4, which has 42, and does not say what its images have
    red_share: float = 0.8  # the thesis': red to white as 4 to 1
    red_cell_px: float = 74.0  # ours: mean width of a red cell; the thesis does not say
    scale: tuple[float, float] = (0.7, 1.3)  # ours: of a cell at z = 0 and at z = 1; the thesis does not say
    margin: float = 0.06  # ours: share of the canvas between its border and the outermost node


@dataclass(frozen=True, eq=False)
class Drawn:
    """Hold one layout: instances int32 (H, W) numbered 1..n, kinds int (n,), and what the discard rule looks at.

    ``layers`` int32 (H, W): where cells lie on others on purpose, all cells whole, in layers in each of which none lies
    on another, numbered as in ``instances``, which has what is seen of them; else none.
    """

    instances: np.ndarray
    kinds: np.ndarray
    overlaps: bool
    cut: bool
    layers: tuple[np.ndarray, ...] = ()

    @property
    def accepted(self) -> bool:
        """Whether the thesis would keep it: no cell overlaps another, none is cut by the border."""
        return not self.overlaps and not self.cut


def outlines_of(cells: Sequence[SingleCell]) -> list[Outline]:
    """Crop the outlines of cells that smears are composed of: no grounds, no types of another microscope."""
    return [Outline(cell.kind, largest_piece(cell.mask)) for cell in cells if cell.kind < BACKGROUND]


def write_outlines(path: Path, outlines: Sequence[Outline], tolerance_px: float = 0.7) -> None:
    """Store outlines as polygons that lie nowhere farther than the tolerance from the outline."""
    stored: dict[str, list[list[int]]] = {name: [] for name in CELL_NAMES}
    for outline in outlines:
        contours, _ = cv2.findContours(outline.shape.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        polygon = cv2.approxPolyDP(max(contours, key=len), tolerance_px, True)  # (k, 1, 2): x, y
        stored[CELL_NAMES[outline.kind]].append(polygon.ravel().tolist())
    write_json(path, {"field_px": FIELD_PX, "polygons": stored}, indent=None)


@lru_cache(maxsize=2)
def read_outlines(name: str = RELEASED) -> tuple[Outline, ...]:
    """Read the outlines that go with a painter: those of the cells it was trained on."""
    named = package_data("painters", name)
    stored = read_json((named if named.is_dir() else Path(name)) / OUTLINES)["polygons"]
    read = []
    for kind, type_name in enumerate(CELL_NAMES):
        for flat in stored[type_name]:
            polygon = np.array(flat, dtype=np.int32).reshape(-1, 2)
            canvas = np.zeros(polygon.max(axis=0)[::-1] + 1, np.uint8)
            read.append(Outline(kind, cv2.fillPoly(canvas, [polygon], 1).astype(bool)))
    return tuple(read)


def draw_layout(
    outlines: Sequence[Outline], rng: np.random.Generator, config: GraphConfig | None = None, *, whole: bool = True
) -> Drawn:
    """Lay cells of many types out by the graph, as the thesis does, whether or not they overlap.

    Parameters
    ----------
    outlines : sequence of Outline
    rng : numpy.random.Generator
    config : GraphConfig, optional
    whole : bool
        Whether to go on when the layout is discarded already; where only the verdict is asked for, it is not needed.

    Returns
    -------
    Drawn
        Where cells overlap the later lies on top; a cell that nothing is seen of is left out.

    Notes
    -----
    x and y of a node are the place of its cell, z its size. Each is red with probability `red_share`, else a
    random cell of all others, so that types come as often as they were cut out; the shape is turned by any angle
    and mirrored in half of the cases. Book: chapter 13.
    """
    config = config or GraphConfig()
    nodes = dgm_layout(config.count, int(rng.integers(2**31)), turn=True)
    red, white = _red_and_white(outlines, 1.0)  # sizes are in units of red cells
    usual = np.mean([2 * np.sqrt(outline.shape.sum() / np.pi) for outline in red])
    side, (low, high) = config.canvas_px, config.scale
    instances, kinds, overlaps, cut = np.zeros((side, side), np.int32), [], False, False
    for x, y, z in nodes:
        among = red if rng.random() < config.red_share or not white else white
        outline = among[int(rng.integers(len(among)))]
        scale = config.red_cell_px / usual * (low + (high - low) * z)
        flip = (False, bool(rng.random() < 0.5))
        shape = warp(outline.shape, angle=rng.uniform(0, 2 * np.pi), scale=scale, flip=flip)
        place = (config.margin + (1 - 2 * config.margin) * np.array([y, x])) * (side - 1)
        corner = np.rint(place - np.array(shape.shape) / 2).astype(int)
        low_side, high_side = np.maximum(corner, 0), np.minimum(corner + shape.shape, side)
        cut |= bool((low_side > corner).any() or (high_side < corner + shape.shape).any())
        window = tuple(slice(a, b) for a, b in zip(low_side, high_side, strict=True))
        seen = shape[tuple(slice(a - c, b - c) for a, b, c in zip(low_side, high_side, corner, strict=True))]
        overlaps |= bool((instances[window][seen] > 0).any())
        kinds.append(outline.kind)
        instances[window][seen] = len(kinds)
        if not whole and (overlaps or cut):
            break
    return _numbered(Drawn(instances, np.array(kinds), overlaps, cut))


def draw_dense(
    outlines: Sequence[Outline],
    rng: np.random.Generator,
    shape: tuple[int, int],
    coverage: float,
    red_share: float = 0.8,
    overlap: float = 0.0,
    overlap_share: float = 1.0,
) -> Drawn:
    """Lay cells out by the adhesion law of `bailo2019`, up to a coverage, every cell at about the size it was cut out.

    Parameters
    ----------
    outlines : sequence of Outline
    rng : numpy.random.Generator
    shape : (height, width)
        In pixels of 256-px fields.
    coverage : float
        Share of the picture under cells that is aimed at, 0 to 1.
    red_share : float
        Of the cells, 0 to 1.
    overlap, overlap_share : float
        Greatest share of a cell that another may cover, and share of the cells that may lie on others, as in
        `bloodlib.sampler.config.MaskConfig`.

    Raises
    ------
    ValueError
        If a share is none, or there is no outline of a red cell where red cells are asked for.

    Notes
    -----
    Nothing is thrown away: a cell that does not fit gets another place, and one that the border cuts stays.
    """
    if not 0 < coverage < 1:
        raise ValueError(f"coverage={coverage!r}: a share above 0 and below 1 is needed")
    if not 0 <= red_share <= 1:
        raise ValueError(f"red_share={red_share!r}: a share from 0 to 1 is needed")
    red, white = _red_and_white(outlines, red_share)
    if red_share == 1 or not white:
        chosen = red
    else:
        wanted = round(len(white) * red_share / (1 - red_share))
        chosen = [*(red[k] for k in rng.integers(len(red), size=wanted)), *white]
    varied = ShapeConfig()  # 0.9 to 1.1 of the size it was cut out at
    database = ShapeDatabase([outline.shape for outline in chosen], varied)
    cell_px = float(np.mean([2 * np.sqrt(outline.shape.sum() / np.pi) for outline in chosen]))
    count = coverage * shape[0] * shape[1] / float(database.areas().mean())
    placement = PlacementConfig(cell_size_px=cell_px)
    config = MaskConfig(
        count, 0.0, shape, placement, varied, overlap=overlap, overlap_share=overlap_share if overlap else 1.0
    )
    mask = MaskGenerator(database, config).draw(rng, shape, round(count))
    kinds = np.array([chosen[k].kind for k in mask.shape_ids], dtype=np.int64)
    whole = tuple(layers(mask.amodal, shape)) if overlap else ()
    return _numbered(Drawn(mask.instances, kinds, overlaps=bool(overlap), cut=True, layers=whole))


def _red_and_white(outlines: Sequence[Outline], red_share: float) -> tuple[list[Outline], list[Outline]]:
    """Part the outlines of red cells from all others."""
    red = [outline for outline in outlines if outline.kind == RED_CELL]
    if red_share and not red:
        raise ValueError(f"none of {len(outlines)} outlines is of a {CELL_NAMES[RED_CELL]}; at least one is needed")
    others = [outline for outline in outlines if outline.kind != RED_CELL]
    if red_share == 0 and not others:
        raise ValueError(f"red_share=0, but all {len(red)} outlines are of a {CELL_NAMES[RED_CELL]}")
    return red, others


def _numbered(drawn: Drawn) -> Drawn:
    """Number the cells that are seen 1..n, and leave out the others."""
    present = np.unique(drawn.instances)
    present = present[present > 0]
    lookup = np.zeros(len(drawn.kinds) + 1, np.int32)
    lookup[present] = np.arange(1, len(present) + 1)
    whole = tuple(lookup[layer] for layer in drawn.layers)
    return replace(drawn, instances=lookup[drawn.instances], kinds=drawn.kinds[present - 1], layers=whole)


def to_scale(drawn: Drawn, side_px: int) -> Drawn:
    """Bring a layout from fields of 256 px to fields of `side_px`; what vanishes is left out."""
    size = tuple(round(side_px / FIELD_PX * s) for s in drawn.instances.shape[::-1])

    def shrunk(ids: np.ndarray) -> np.ndarray:
        return cv2.resize(ids.astype(np.float32), size, interpolation=cv2.INTER_NEAREST).astype(np.int32)

    return _numbered(replace(drawn, instances=shrunk(drawn.instances), layers=tuple(map(shrunk, drawn.layers))))
