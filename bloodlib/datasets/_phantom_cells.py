"""The cells of the phantom: outlines and thickness."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from . import _phantom_optics as optics

_DIRECTIONS = 720

KINDS = ("discocyte", "target", "spherocyte", "echinocyte", "teardrop", "stomatocyte", "knizocyte")


@dataclass(frozen=True)
class Cell:
    """Describe one red cell; lengths in pixels or, where said, in radii."""

    axes_px: tuple[float, float]  # half axes before deformation
    angle: float  # direction of the first half axis, radians from the column axis
    kind: str  # one of KINDS
    scale: float  # thickness relative to Evans & Fung
    flatness: float  # exponent of the edge; 2 is Evans & Fung
    depth: float  # of the central dimple; 1 is Evans & Fung
    dryness: float  # how far the dimple has become a step; 0 is Evans & Fung
    step: tuple[float, float]  # where that step begins and ends, in radii
    dimple_at: tuple[float, float]  # centre of the dimple (row, column), in radii
    dimple_stretch: float  # elongation of the dimple
    dimple_angle: float
    harmonics: np.ndarray = field(repr=False)  # of the outline, (k, 3): order, amplitude in radii, phase
    dimple_harmonics: np.ndarray = field(repr=False)  # the same of the dimple's own outline
    bumps: np.ndarray = field(repr=False)  # tail or spikes, (k, 3): amplitude in radii, direction, width in radians
    spots: np.ndarray = field(default_factory=lambda: np.zeros((0, 4)), repr=False)  # row, column, size, strength

    def outline_px(self) -> np.ndarray:
        """Give the radius in 720 directions from the centre, counted from the column axis."""
        theta = np.arange(_DIRECTIONS) * (2 * np.pi / _DIRECTIONS)
        a, b = self.axes_px
        radius = a * b / np.hypot(b * np.cos(theta - self.angle), a * np.sin(theta - self.angle))
        ripple = np.ones_like(theta)
        for order, amplitude, phase in self.harmonics:
            ripple += amplitude * np.cos(order * theta + phase)
        for amplitude, direction, width in self.bumps:
            away = np.abs(np.angle(np.exp(1j * (theta - direction))))
            ripple += amplitude * np.exp(-((away / width) ** 1.3))
        return radius * ripple


def draw_cell(rng: np.random.Generator, kind: str, diameter_px: float, habit) -> Cell:
    """Draw a cell of a kind and mean diameter in the habit of its slide.

    Parameters
    ----------
    rng : numpy.random.Generator
    kind : str
        One of `KINDS`.
    diameter_px : float
    habit : Slide
        Its `ellipticity`, `depth`, `flatness`, `dryness` and `roughness` are used.
    """
    aspect = np.exp(abs(rng.normal(0.0, habit.ellipticity)))
    if kind == "spherocyte":
        diameter_px, aspect = 0.86 * diameter_px, aspect**0.3
    if kind == "teardrop":
        diameter_px *= 0.92
    radius = diameter_px / 2
    orders = np.arange(2, 8)
    amplitudes = habit.roughness * rng.normal(0.0, 1.0, len(orders)) * (2.0 / orders) ** 1.4
    harmonics = np.stack([orders, amplitudes, rng.uniform(0, 2 * np.pi, len(orders))], axis=1)
    depth = float(np.clip(rng.normal(habit.depth, 0.16), 0.0, 1.15))
    stretch = float(np.exp(abs(rng.normal(0.0, 0.2))))
    if kind in ("spherocyte", "echinocyte"):
        depth *= 0.15
    if kind == "stomatocyte":
        stretch, depth = float(rng.uniform(1.6, 2.2)), max(depth, 0.9)
    thick = float(np.exp(rng.normal(0.0, habit.thickness_spread)))
    start = float(rng.uniform(0.02, 0.3))
    return Cell(
        axes_px=(radius * aspect**0.5, radius * aspect**-0.5),
        angle=float(rng.uniform(0, 2 * np.pi)),
        kind=kind,
        scale=thick * (1.18 if kind in ("spherocyte", "echinocyte") else 1.0),
        flatness=float(np.clip(rng.normal(habit.flatness, 0.4), 2.0, 8.0)),
        depth=depth,
        dryness=float(np.clip(rng.normal(habit.dryness, 0.12), 0.0, 1.0)),
        step=(start, start + float(rng.uniform(0.3, 0.55))),
        dimple_at=tuple(rng.normal(0.0, 0.1, 2)),
        dimple_stretch=stretch,
        dimple_angle=float(rng.uniform(0, np.pi)),
        harmonics=harmonics,
        dimple_harmonics=np.column_stack([[1, 2, 3], rng.normal(0, [0.10, 0.09, 0.05]), rng.uniform(0, 6.28, 3)]),
        bumps=_bumps(rng, kind),
        spots=_spots(rng, kind),
    )


def _bumps(rng: np.random.Generator, kind: str) -> np.ndarray:
    """Draw what sticks out of the outline: one tail of a teardrop, the spikes of an echinocyte."""
    if kind == "teardrop":
        return np.array([[rng.uniform(0.3, 0.7), rng.uniform(0, 2 * np.pi), rng.uniform(0.22, 0.36)]])
    if kind != "echinocyte":
        return np.zeros((0, 3))
    count = int(rng.integers(10, 24))
    directions = (np.arange(count) + rng.uniform(-0.35, 0.35, count)) * (2 * np.pi / count)
    return np.column_stack([rng.uniform(0.03, 0.13, count), directions, rng.uniform(0.06, 0.12, count)])


def _spots(rng: np.random.Generator, kind: str) -> np.ndarray:
    """Draw inclusions and blisters: row, column, size (radii), thickness added (µm)."""
    count = int(rng.poisson(6.0 if kind == "echinocyte" else 0.05))
    strength = rng.choice([-0.7, 0.9], count) if kind == "echinocyte" else rng.choice([2.5, -0.8], count)
    at = rng.uniform(-0.6, 0.6, (count, 2))
    return np.column_stack([at, rng.uniform(0.04, 0.12, count), strength])


def cell_patch(
    cell: Cell, centre: tuple[float, float], shape: tuple[int, int]
) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray] | None:
    """Compute which pixels a cell covers and how thick it is there.

    Parameters
    ----------
    cell : Cell
    centre : (float, float)
        Row and column; may lie outside the image.
    shape : (int, int)
        Of the image.

    Returns
    -------
    (slice, slice), bool (h, w), float32 (h, w), or None where the cell misses the image
        Where in the image; covered pixels (their centre is within the outline); thickness in µm.
    """
    outline = cell.outline_px()
    reach = float(outline.max()) + 1.0
    top, left = (max(0, int(np.floor(c - reach))) for c in centre)
    bottom, right = (min(side, int(np.ceil(c + reach)) + 1) for c, side in zip(centre, shape, strict=True))
    if top >= bottom or left >= right:
        return None
    rows = (np.arange(top, bottom) - centre[0])[:, None]
    cols = (np.arange(left, right) - centre[1])[None, :]
    theta = np.arctan2(rows, cols)
    radius = outline[np.rint(theta * (_DIRECTIONS / (2 * np.pi))).astype(np.intp) % _DIRECTIONS]
    rho = np.hypot(rows, cols) / radius
    inside = rho <= 1.0
    return (slice(top, bottom), slice(left, right)), inside, _thickness(cell, rows / radius, cols / radius, rho)


def _thickness(cell: Cell, rows: np.ndarray, cols: np.ndarray, rho: np.ndarray) -> np.ndarray:
    """Map Evans & Fung's cell onto the outline: rows and columns in radii, result in µm."""
    down, along = rows - cell.dimple_at[0], cols - cell.dimple_at[1]
    cosine, sine = np.cos(cell.dimple_angle), np.sin(cell.dimple_angle)
    stretch = cell.dimple_stretch
    ring = np.hypot((cosine * along + sine * down) / stretch**0.5, (cosine * down - sine * along) * stretch**0.5)
    theta = np.arctan2(down, along)
    ring = ring * (1.0 + sum(size * np.cos(order * theta + phase) for order, size, phase in cell.dimple_harmonics))
    # Towards the edge the dimple's own centre and stretch give way to the outline's.
    inner = np.clip(1.0 - rho, 0.0, 1.0) ** 0.5
    ring = np.clip(inner * ring + (1.0 - inner) * rho, 0.0, 1.0)
    profile = optics.dimple(optics.dried(ring, cell.dryness, *cell.step), cell.depth)
    if cell.kind == "target":
        profile = profile + 1.9 * np.exp(-((ring / 0.27) ** 2))
    if cell.kind == "knizocyte":
        ridge = (cosine * down - sine * along) / 0.15
        profile = profile + 1.8 * np.exp(-(ridge**2)) * np.clip(1.0 - ring, 0.0, 1.0)
    for row, col, size, strength in cell.spots:
        profile = profile + strength * np.exp(-((rows - row) ** 2 + (cols - col) ** 2) / size**2)
    thickness = cell.scale * optics.envelope(rho, cell.flatness) * np.clip(profile, 0.1, None)
    return thickness.astype(np.float32)
