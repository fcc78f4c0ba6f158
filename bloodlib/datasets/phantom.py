"""Smears rendered by physics: exact masks, no download, and never to be taken for blood."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import ndtri

from ..smears import Smear, SmearFolder
from . import _phantom_debris as debris
from . import _phantom_optics as optics
from ._phantom_cells import KINDS, cell_patch, draw_cell
from ._phantom_layout import Aggregation, aggregate

TITLE = "phantom (rendered, not blood)"
VERSION = 1  # raised when the same number, image and shape give another smear
FULL_SHAPE = (1200, 1920)
SLIDES = 25
IMAGES_PER_SLIDE = 4
_SEED = 1972
_FEWEST_PIXELS = 8

# Stain families: mean colour of a cell and colour of the empty slide, RGB. Each has five slides;
# in training every family has three, so that no stain of the test part is unseen.
# The cells' colours average to Table 1's.
FAMILIES = {
    "rose": ((168, 151, 162), (200, 214, 214)),
    "violet": ((126, 129, 144), (180, 194, 200)),
    "grey": ((149, 147, 138), (186, 200, 192)),
    "lilac": ((184, 178, 198), (222, 232, 240)),
    "slate": ((144, 150, 168), (190, 210, 222)),
}

# What overlaps, rims, the lamp and the slides' own deviations take from the cells' mean colour, RGB;
# measured on the training part at full size, and added to what absorption is solved for.
LOST_COLOUR = (7.2, 6.1, 6.7)


@dataclass(frozen=True)
class Slide:
    """Say how one slide was stained, lit and spread; all values are ours unless said otherwise."""

    family: str
    cell_colour: tuple[float, ...]  # mean RGB of its cells; over the training part Table 1's (measured)
    background: tuple[float, ...]  # RGB of the empty slide, I₀ of Beer–Lambert
    absorption: tuple[float, ...]  # ε per colour channel in 1/µm, solved from the two above
    diameter_px: float  # mean diameter of its cells
    diameter_spread: float  # relative standard deviation between its cells
    thickness_spread: float  # the same of thickness
    ellipticity: float  # scale of the logarithm of the axes' ratio
    roughness: float  # of the outline, amplitude of the second harmonic in radii
    depth: float  # of the dimple
    flatness: float  # of the edge
    dryness: float  # of the cells: how steep the pallor's border is
    kinds: tuple[float, ...]  # shares of KINDS
    overlap_share: float  # cells that let others overlap them
    attraction: float  # of cells to each other
    refraction: float  # strength of rim and halo
    refraction_px: float  # their width
    blur_px: float  # the lens' defocus
    chromatic_px: tuple[float, float]  # shift of red against green (row, column); blue the other way
    gain: float  # shot noise variance per grey value
    read_noise: float  # in grey values
    falloff: float  # of the lamp towards the corners


@lru_cache(maxsize=SLIDES)
def slide(number: int) -> Slide:
    """Give slide `number` of 0…24; the same on every call."""
    rng = np.random.default_rng([_SEED, number])
    family = list(FAMILIES)[number % len(FAMILIES)]
    colour, background = (np.asarray(c, dtype=float) for c in FAMILIES[family])
    shade = rng.normal(0.0, 3.0)
    colour = colour + shade + rng.normal(0.0, 3.0, 3)
    background = background + 0.7 * shade + rng.normal(0.0, 3.0, 3)
    depth = float(np.clip(rng.normal(0.8, 0.25), 0.1, 1.1))
    flatness, dryness = float(rng.uniform(2.5, 6.0)), float(rng.uniform(0.1, 0.8))
    ring = (np.arange(200) + 0.5) / 200
    thickness = optics.envelope(ring, flatness) * optics.dimple(optics.dried(ring, dryness), depth)
    rare = rng.gamma(0.35, 1.0, len(KINDS) - 1) * [0.16, 0.08, 0.07, 0.04, 0.16, 0.1]
    rare = np.minimum(rare, 0.15)
    direction = rng.uniform(0, 2 * np.pi)
    shift = rng.uniform(0.1, 0.55)
    return Slide(
        family=family,
        cell_colour=tuple(colour),
        background=tuple(background),
        absorption=tuple(optics.absorption_for((colour + LOST_COLOUR) / background, thickness, ring)),
        diameter_px=float(rng.normal(45.7, 1.2)),
        diameter_spread=float(rng.uniform(0.06, 0.105)),
        thickness_spread=float(rng.uniform(0.08, 0.15)),
        ellipticity=float(rng.choice([0.06, 0.09, 0.12, 0.16, 0.26])),
        roughness=float(rng.uniform(0.018, 0.038)),
        depth=depth,
        flatness=flatness,
        dryness=dryness,
        kinds=(1.0 - rare.sum(), *rare),
        overlap_share=float(rng.uniform(0.1, 0.3)),
        attraction=float(rng.uniform(0.02, 0.10)),
        refraction=float(rng.uniform(0.08, 0.24) * rng.choice([1, 1, 1, 1, -0.4])),
        refraction_px=float(rng.uniform(1.1, 1.7)),
        blur_px=float(rng.uniform(0.5, 0.85)),
        chromatic_px=(float(shift * np.sin(direction)), float(shift * np.cos(direction))),
        gain=float(rng.uniform(0.006, 0.018)),
        read_noise=float(rng.uniform(0.6, 1.1)),
        falloff=float(rng.uniform(0.02, 0.10)),
    )


def part(number: int) -> str:
    """Say which part slide `number` belongs to: test, validation or fit; each family is in test and fit."""
    turn = number // len(FAMILIES)
    if turn in (1, 3):
        return "test"
    return "validation" if turn == 4 and number % len(FAMILIES) < 3 else "fit"


@lru_cache(maxsize=1)
def _count_deviates() -> np.ndarray:
    """Give how far each image's count is from the mean, in standard deviations: (25, 4).

    Over the training part, and over the test part, these are the evenly spaced quantiles of a
    normal distribution in random order, so that a set this small has Table 1's mean and spread.
    """
    rng = np.random.default_rng([_SEED, SLIDES])
    deviates = np.zeros((SLIDES, IMAGES_PER_SLIDE))
    for test in (False, True):
        chosen = [number for number in range(SLIDES) if (part(number) == "test") == test]
        total = len(chosen) * IMAGES_PER_SLIDE
        quantiles = ndtri((np.arange(total) + 0.5) / total)
        deviates[chosen] = rng.permutation(quantiles / quantiles.std()).reshape(len(chosen), IMAGES_PER_SLIDE)
    return deviates


def cell_count(number: int, image: int, shape: tuple[int, int]) -> int:
    """Say how many cells an image is given: Table 1's 669 ± 149 on 1200×1920, in proportion to the area."""
    share = shape[0] * shape[1] / (FULL_SHAPE[0] * FULL_SHAPE[1])
    return max(1, round(share * (669 + 149 * _count_deviates()[number, image])))


def render(number: int, image: int, shape: tuple[int, int] = (300, 480)) -> Smear:
    """Render one smear.

    Parameters
    ----------
    number : int
        Slide, 0…24.
    image : int
        Image of that slide, 0…3.
    shape : (int, int)
        Height and width in pixels; a cell measures 46 px whatever the shape.

    Returns
    -------
    Smear
        The topmost cell owns a pixel. Every cell has one point: its centre, or the pixel of it that
        is nearest to the centre where that lies outside the image or under another cell.

    Notes
    -----
    Thickness of overlapping cells adds up and light is absorbed by Beer–Lambert, so the lens where
    two cells overlap is darker. The same arguments give the same bytes on one machine.
    """
    habit = slide(number)
    rng = np.random.default_rng([_SEED, number, image, *shape])
    cells, centres, white = _place(rng, habit, cell_count(number, image, shape), shape)
    thickness = np.zeros(shape, dtype=np.float32)
    instances = np.zeros(shape, dtype=np.int32)
    for index, (cell, centre) in enumerate(zip(cells, centres, strict=True)):
        patch = cell_patch(cell, centre, shape)
        if patch is not None and patch[1].sum() >= _FEWEST_PIXELS:
            where, inside, depth = patch
            thickness[where] += depth
            instances[where][inside] = index + 1
    instances, centres = _number(instances, centres)
    absorbance = np.zeros((*shape, 3), dtype=np.float32)
    phase = np.zeros(shape, dtype=np.float32)
    for row, col, radius in white:
        debris.add_white_cell(absorbance, phase, np.array([row, col]), radius, rng)
    _scatter(rng, absorbance, phase, instances > 0)
    return Smear(
        image=expose(rng, habit, thickness, absorbance, phase),
        instances=instances,
        name=f"slide_{number:02d}_{image}",
        group=f"slide_{number:02d}",
        points=_points(instances, centres),
    )


def _place(rng: np.random.Generator, habit: Slide, count: int, shape: tuple[int, int]):
    """Draw cells and white cells and let them gather; also beyond the border, so that it cuts some."""
    kinds = rng.choice(len(KINDS), count, p=habit.kinds)
    diameters = habit.diameter_px * np.exp(rng.normal(0.0, habit.diameter_spread, count))
    cells = [draw_cell(rng, KINDS[kind], size, habit) for kind, size in zip(kinds, diameters, strict=True)]
    share = shape[0] * shape[1] / (FULL_SHAPE[0] * FULL_SHAPE[1])
    white = rng.uniform(0.62, 0.85, rng.poisson(1.5 * share)) * habit.diameter_px
    axes = np.array([cell.axes_px for cell in cells] + [(radius, radius) for radius in white])
    angles = np.array([cell.angle for cell in cells] + [0.0] * len(white))
    soft = np.where(rng.random(len(cells)) < habit.overlap_share, rng.uniform(0.05, 0.34, len(cells)), 0.0)
    soft = np.append(soft, np.zeros(len(white)))
    margin = 0.42 * habit.diameter_px
    box = (shape[0] + 2 * margin, shape[1] + 2 * margin)
    centres = aggregate(rng, box, axes, angles, soft, Aggregation(attraction=habit.attraction)) - margin
    return cells, centres[: len(cells)], np.column_stack([centres[len(cells) :], white])


def _number(instances: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number the visible cells 1..n and keep their centres."""
    visible = np.bincount(instances.ravel(), minlength=len(centres) + 1)[1:] > 0
    lookup = np.append(0, np.where(visible, np.cumsum(visible), 0)).astype(np.int32)
    return lookup[instances], centres[visible]


def _scatter(rng: np.random.Generator, absorbance: np.ndarray, phase: np.ndarray, covered: np.ndarray) -> None:
    """Strew platelets between the cells and dust anywhere."""
    share = covered.size / (FULL_SHAPE[0] * FULL_SHAPE[1])
    for place in debris.free_places(rng, int(rng.poisson(32 * share)), covered, 5.0):
        debris.add_platelet(absorbance, phase, place, rng.uniform(5.0, 9.0), rng)
    for place in rng.random((int(rng.poisson(45 * share)), 2)) * covered.shape:
        debris.add_dust(absorbance, phase, place, rng.uniform(0.8, 3.0), rng)


def expose(
    rng: np.random.Generator, habit: Slide, thickness: np.ndarray, absorbance: np.ndarray, phase: np.ndarray
) -> np.ndarray:
    """Send light through the smear and record it: uint8 (H, W, 3)."""
    shape = thickness.shape
    centre = tuple(rng.normal(0.0, 0.2, 2))
    lamp = optics.illumination(shape, centre, habit.falloff, rng.normal(0.0, 0.025, 2))
    lamp = lamp * (1.0 + 0.006 * optics.smooth_noise(rng, shape, 90.0)) * np.float32(rng.normal(1.0, 0.012))
    blur = habit.blur_px * rng.uniform(0.9, 1.25)
    texture = 1.0 + 0.035 * optics.smooth_noise(rng, shape, 3.0)
    matter = thickness * texture
    light = np.empty((*shape, 3), dtype=np.float32)
    for channel, toward in enumerate((1.0, 0.0, -1.0)):
        through = absorbance[..., channel] + np.float32(habit.absorption[channel]) * matter
        seen = optics.transmitted(np.float32(habit.background[channel]) * lamp, through)
        bent = optics.refraction(thickness + phase, habit.refraction, habit.refraction_px * (1 + 0.12 * toward))
        shift = tuple(toward * offset for offset in habit.chromatic_px)
        light[..., channel] = optics.lens(seen * bent, blur * (1 + 0.06 * toward), shift)
    return optics.sensor(light, rng, habit.gain, habit.read_noise)


def _points(instances: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Give one point per cell, column, row, class 0: its visible pixel nearest to its centre."""
    rows, cols = np.nonzero(instances)
    ids = instances[rows, cols] - 1
    square = (rows - centres[ids, 0]) ** 2 + (cols - centres[ids, 1]) ** 2
    order = np.lexsort((square, ids))
    first = order[np.searchsorted(ids[order], np.arange(len(centres)))]
    return np.column_stack([cols[first], rows[first], np.zeros(len(first), dtype=np.int64)])


def load(split: str = "all", shape: tuple[int, int] = (300, 480)) -> SmearFolder:
    """Give the phantom's smears, each rendered when it is asked for.

    Parameters
    ----------
    split : str
        "all", "fit" (12 slides of 4 images), "validation" (3), "train" (both) or "test" (10).
    shape : (int, int)
        Height and width in pixels. (1200, 1920) is the full size, at which the training part meets
        Table 1 of Bailo et al. (2019).

    Returns
    -------
    SmearFolder

    Raises
    ------
    ValueError
        For an unknown split or a shape under 64 pixels.

    Notes
    -----
    Masks were the same with every version of OpenCV (4.12 to 5.0) and every set of instructions tried; of the images'
    values up to 1.5 % differed, by one grey level.

    Examples
    --------
    >>> load("validation").names[:2]
    ('slide_20_0', 'slide_20_1')
    """
    parts = {"all": ("fit", "validation", "test"), "train": ("fit", "validation")}
    parts |= {name: (name,) for name in parts["all"]}
    if split not in parts:
        raise ValueError(f"split is {split!r}; the phantom has {', '.join(sorted(parts))}")
    height, width = (int(side) for side in shape)
    if min(height, width) < 64:
        raise ValueError(f"shape is {height}×{width}; needed are at least 64×64 pixels, since a cell measures 46")
    chosen = [number for number in range(SLIDES) if part(number) in parts[split]]
    names = [f"slide_{number:02d}_{image}" for number in chosen for image in range(IMAGES_PER_SLIDE)]

    def read(name: str) -> Smear:
        _, number, image = name.split("_")
        return render(int(number), int(image), (height, width))

    rendered = f"phantom {VERSION}, {height}×{width}"
    return SmearFolder(names, read, groups=[name[:-2] for name in names], title=TITLE, rendered=rendered)
