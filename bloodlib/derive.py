"""Instance masks from a smear's colours and, where there are any, expert points."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment
from skimage.filters import threshold_otsu
from skimage.morphology import local_maxima, reconstruction
from skimage.segmentation import watershed

CIRCLE_STEPS = 64
VERSION = 1  # raised when the same picture and points give other masks, but for how a processor rounds
LEAST_PX = 13  # sides below which the tiles that the background is looked for in are empty
LEAST_RADIUS_PX = 4  # of discs that fit into cells; narrower ones are no cells
FEWEST_SINGLES = 5  # cells that do not touch others, to measure the cell size by
INK_EXCESS = 0.4  # absorbance in red beyond green
FAINTEST = 0.05  # typical absorbance in green below which a slide is empty; the palest stain of Chula has 0.14
FREE, MERGED = -1, -2  # distance peaks without an expert point: a cell of its own, or part of a neighbour

UNCATEGORISED = 10
"""Class of a cell that no expert point names (Chula RBC-12, code 10)."""


@dataclass(frozen=True)
class DeriveConfig:
    """Hold what the derivation decides by; all values are ours, lengths are shares of the measured cell radius."""

    background_degree: int = 2  # ours: polynomial of the illumination, in log intensity
    smoothing_px: float = 1.0  # ours: against JPEG and sensor noise, which live in pixels
    absorption: float = 0.4  # ours: a pixel is cell above this share of the typical cell's absorption
    weak_absorption: float = 0.2  # ours: the same for the pale cells that an expert pointed at
    speck_px: int = 4  # ours: holes up to this size are noise
    opening: float = 0.2  # ours: thinner structures (scale bars, fibres, bridges) are cut off
    pallor_area: float = 0.6  # ours: larger holes (in cell areas) are background
    pallor_ellipse: float = 0.92  # ours: share of its ellipse that a pallor covers; gaps between cells are triangles
    pallor_circle: float = 1.1  # ours: radius of the circle around a hole that lies on cells if it is a gap
    pallor_covered: float = 0.84  # ours: share of that circle on cells from which a hole is a gap
    pallor_reach: float = 0.5  # ours: a hole nearer than this to an expert point is that cell's pallor
    peak_depth: float = 0.1  # ours: how deep the waist of a clump must be to count as two cells
    point_reach: float = 0.8  # ours: a distance peak nearer than this to an expert point is that point's cell
    smallest: float = 0.3  # ours: unnamed blobs below this share of the cell area are platelets or dust
    smallest_at_border: float = 0.06  # ours: the same where the border of the image cuts
    smallest_named: float = 0.08  # ours: the same for cells that an expert pointed at
    largest: float = 4.5  # ours: larger unnamed blobs are no red cells, not even a clump
    likeness: float = 0.97  # ours: cosine to the typical cell's absorbance below which an unnamed blob is none
    red_excess: float = 0.15  # ours: red absorption beyond a red cell's, in typical absorptions: platelet or dirt
    most_absorption: float = 1.8  # ours: an unnamed blob above this share of the typical absorption is a white cell
    weak_reach: float = 1.3  # ours: how far from its point a pale cell is looked for


def derive_instances(
    image: np.ndarray, points: np.ndarray | None = None, config: DeriveConfig | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Segment the red blood cells of a smear, cutting clumps at expert points.

    Parameters
    ----------
    image : uint8 (H, W, 3)
        RGB, brightfield.
    points : int (k, 3), optional
        Column x, row y, class of each cell that an expert named.
    config : DeriveConfig, optional

    Returns
    -------
    instances : int32 (H, W)
        0 background, cells 1..n.
    classes : int64 (n,)
        Class of the expert point of each cell; 10 (uncategorised) where it has none.

    Raises
    ------
    ValueError
        If the image is not uint8 RGB or a point lies outside of it.

    Notes
    -----
    Illumination is a polynomial in log intensity fitted to the background; what remains is
    absorbance (Beer-Lambert). Its projection on the colour of the typical cell separates cells
    of any stain from background; what it leaves over, in red light, marks nuclei, platelets
    and ink. Clumps are cut by a watershed on the distance transform, from the expert points
    and from those distance peaks that no point accounts for. This is an algorithm's output,
    not ground truth. Book: data cards, chapter 01.
    """
    config = config or DeriveConfig()
    points = _checked_points(image, points)
    absorbance = channel_absorbance(image, config)
    typical = _typical(absorbance)
    foreground = np.zeros(image.shape[:2], bool)
    if typical.any():
        amount = absorbance @ (typical / (typical @ typical)).astype(np.float32)
        foreground = amount > config.absorption
    radius_px = _cell_radius(_filled(foreground, config), config)
    if radius_px == 0:
        return np.zeros(foreground.shape, np.int32), np.zeros(0, np.int64)
    foreground = _filled(foreground, config, radius_px, points)
    foreground = _with_weak_cells(foreground, amount, points, radius_px, config)
    foreground = cv2.morphologyEx(foreground.astype(np.uint8), cv2.MORPH_OPEN, _disc(config.opening * radius_px))
    labels, classes = _cells(foreground.astype(bool), points, radius_px, config)
    return _red_cells(labels, classes, len(points), absorbance, typical, radius_px, config)


def _checked_points(image: np.ndarray, points: np.ndarray | None) -> np.ndarray:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"image is {image.dtype} {image.shape}, needed is uint8 (H, W, 3) RGB")
    if min(image.shape[:2]) < LEAST_PX:
        height, width = image.shape[:2]
        raise ValueError(f"image is {width}×{height} px, needed are {LEAST_PX} or more each way to find its background")
    if points is None:
        return np.zeros((0, 3), np.int64)
    points = np.asarray(points)
    if points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(f"points have shape {points.shape}, needed is (k, 3): column x, row y, class")
    height, width = image.shape[:2]
    outside = (points[:, 0] < 0) | (points[:, 0] >= width) | (points[:, 1] < 0) | (points[:, 1] >= height)
    if outside.any():
        x, y, _ = points[outside][0]
        raise ValueError(f"point x={x}, y={y} lies outside of the {width}×{height} image; are x and y swapped?")
    return points.astype(np.int64)


def _disc(radius_px: float) -> np.ndarray:
    size = 2 * max(1, round(radius_px)) + 1
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))


def _distance(foreground: np.ndarray) -> np.ndarray:
    """Distance to the background in pixels; outside of the image counts as cell."""
    return cv2.distanceTransform(foreground.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def channel_absorbance(image: np.ndarray, config: DeriveConfig) -> np.ndarray:
    """Absorbance per channel, float32 (H, W, 3): log of background over intensity."""
    logs = np.log(np.maximum(image, 1).astype(np.float32))
    height, width = image.shape[:2]
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    degree = config.background_degree
    terms = np.stack([x**i * y**j for i in range(degree + 1) for j in range(degree + 1 - i)], -1).astype(np.float32)
    sparse, basis = logs[::4, ::4], terms[::4, ::4]
    green = cv2.blur(logs[..., 1], (5, 5))[::4, ::4]
    keep = np.zeros(green.shape, bool)
    for rows in np.array_split(np.arange(green.shape[0]), 3):
        for columns in np.array_split(np.arange(green.shape[1]), 4):
            tile = np.ix_(rows, columns)
            keep[tile] = green[tile] >= np.quantile(green[tile], 0.65)
    for _ in range(6):
        fit, *_ = np.linalg.lstsq(basis[keep], green[keep], rcond=None)
        residual = green - basis @ fit
        above = residual[residual > 0]  # background noise alone: cells only darken
        spread = 1.48 * np.median(above) if len(above) else 0.0
        keep = np.abs(residual) <= max(2.0 * spread, 0.01)
    fit, *_ = np.linalg.lstsq(basis[keep], sparse[keep], rcond=None)
    return cv2.GaussianBlur(_without_ink(terms @ fit - logs), (0, 0), config.smoothing_px)


def typical_absorbance(image: np.ndarray, config: DeriveConfig | None = None) -> np.ndarray:
    """Measure how a smear's median cell absorbs red, green and blue light.

    Parameters
    ----------
    image : uint8 (H, W, 3)
    config : DeriveConfig, optional

    Returns
    -------
    float (3,)
        Natural logarithm of background over cell intensity; zeros where nothing absorbs.
    """
    _checked_points(image, None)
    return _typical(channel_absorbance(image, config or DeriveConfig()))


def _without_ink(absorbance: np.ndarray) -> np.ndarray:
    """Paint over green lettering, which absorbs red where a cell absorbs green."""
    ink = absorbance[..., 0] - absorbance[..., 1] > INK_EXCESS
    if not ink.any():
        return absorbance
    ink = cv2.dilate(ink.astype(np.uint8), _disc(2))
    channels = [np.ascontiguousarray(absorbance[..., channel]) for channel in range(3)]
    return np.stack([cv2.inpaint(channel, ink, 3, cv2.INPAINT_TELEA) for channel in channels], axis=-1)


def _typical(absorbance: np.ndarray) -> np.ndarray:
    green = np.clip(absorbance[..., 1], -0.1, 1.5)
    dark = green > threshold_otsu(green)
    typical = np.median(absorbance[dark], axis=0) if dark.any() else np.zeros(3)
    return typical if typical[1] > FAINTEST else np.zeros(3)


def _cell_radius(foreground: np.ndarray, config: DeriveConfig) -> float:
    """Radius of the disc as large as the median single cell; 0 where there is none, or none wider than 8 px.

    Before cells are cut, the single ones are the blobs with one tall peak of the distance transform.
    """
    distance = _distance(foreground)
    heights = distance[(distance == cv2.dilate(distance, _disc(6))) & (distance > LEAST_RADIUS_PX)]
    if not len(heights):
        return 0.0
    inscribed = float(np.median(heights[heights > 0.5 * np.quantile(heights, 0.9)]))
    _, peaks = _tall_peaks(distance, config.peak_depth * inscribed)
    _, blobs, stats, _ = cv2.connectedComponentsWithStats(foreground.astype(np.uint8))
    row, column = np.rint(peaks).astype(int).T
    single = np.bincount(blobs[row, column], minlength=len(stats)) == 1
    left, top, width, height, area = stats.T
    cut = (left == 0) | (top == 0) | (left + width == foreground.shape[1]) | (top + height == foreground.shape[0])
    areas = area[single & ~cut & (area > 0.5 * np.pi * inscribed**2)]
    return float(np.sqrt(np.median(areas) / np.pi)) if len(areas) >= FEWEST_SINGLES else inscribed


def _filled(
    foreground: np.ndarray, config: DeriveConfig, radius_px: float | None = None, points: np.ndarray | None = None
) -> np.ndarray:
    """Close the holes that are pallors, not gaps between cells.

    Before the cell radius is known, elliptic holes inside the image are pallors. Then a hole is one as well if an
    expert point is near, or if a circle of about the cell radius around it leaves the cells: a gap's neighbours lie
    on that circle.
    """
    _, holes, stats, centroids = cv2.connectedComponentsWithStats((~foreground).astype(np.uint8), connectivity=4)
    area = stats[:, cv2.CC_STAT_AREA]
    if radius_px is None:
        left, top, width, height = stats[:, :4].T
        small = (left > 0) & (top > 0) & (left + width < holes.shape[1]) & (top + height < holes.shape[0])
    else:
        small = area <= config.pallor_area * np.pi * radius_px**2
    small[0] = False  # the foreground
    pallor = small & (area <= config.speck_px)
    if radius_px is not None:
        closed = foreground | small[holes]
        angle = np.linspace(0, 2 * np.pi, CIRCLE_STEPS, endpoint=False)
        circle = config.pallor_circle * radius_px * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
        x, y = np.moveaxis(np.rint(centroids[:, None] + circle).astype(int), -1, 0)  # (holes, steps)
        height, width = foreground.shape
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        covered = (closed[y.clip(0, height - 1), x.clip(0, width - 1)] & inside).sum(axis=1)
        pallor |= small & (covered < config.pallor_covered * inside.sum(axis=1))
        if points is not None and len(points):
            gaps = np.linalg.norm(centroids[:, None] - points[None, :, :2], axis=2)  # (holes, k)
            pallor |= small & (gaps.min(axis=1) < config.pallor_reach * radius_px)
    for hole in np.flatnonzero(small & ~pallor):
        left, top, width, height = stats[hole, :4]
        pallor[hole] = _ellipticity(holes[top : top + height, left : left + width] == hole) > config.pallor_ellipse
    return foreground | pallor[holes]


def _ellipticity(region: np.ndarray) -> float:
    """Area over that of the ellipse with the same second moments: 1 for an ellipse, 0.83 for a triangle."""
    rows, columns = np.nonzero(region)
    spread = np.cov(np.stack([rows, columns]), ddof=0) + np.eye(2) / 12  # a pixel is a square, not a point
    return len(rows) / (4 * np.pi * np.sqrt(np.linalg.det(spread)))


def _with_weak_cells(
    foreground: np.ndarray, amount: np.ndarray, points: np.ndarray, radius_px: float, config: DeriveConfig
) -> np.ndarray:
    """Add the pale region around each point that lies on background."""
    missed = points[~foreground[points[:, 1], points[:, 0]]]
    if not len(missed):
        return foreground
    reach = np.zeros(foreground.shape, np.uint8)
    for x, y, _ in missed:
        cv2.circle(reach, (int(x), int(y)), round(config.weak_reach * radius_px), 1, -1)
    weak = foreground | ((reach > 0) & (amount > config.weak_absorption))
    return _filled(weak, config, radius_px, missed)


def _cells(
    foreground: np.ndarray, points: np.ndarray, radius_px: float, config: DeriveConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Cut clumps; labels 1..k are the expert points, the rest cells that no point names."""
    distance = cv2.GaussianBlur(_distance(foreground), (0, 0), 1.0)
    peaks, positions = _tall_peaks(distance, config.peak_depth * radius_px)
    basins = watershed(-distance, peaks, mask=foreground)
    owner, cuts = _owners(basins, points, positions, radius_px, config)
    kept = np.zeros(len(positions) + 1, np.int32)  # label of each peak
    kept[1:][owner >= 0] = owner[owner >= 0] + 1
    free = owner == FREE
    kept[1:][free] = len(points) + 1 + np.arange(free.sum())
    labels = watershed(-distance, kept[peaks], mask=foreground)
    for point, first in cuts:  # two points on one peak: each pixel goes to the nearer point
        rows, columns = np.nonzero(labels == first + 1)
        to_point = (columns - points[point, 0]) ** 2 + (rows - points[point, 1]) ** 2
        to_first = (columns - points[first, 0]) ** 2 + (rows - points[first, 1]) ** 2
        nearer = to_point < to_first
        labels[rows[nearer], columns[nearer]] = point + 1
    classes = np.full(len(points) + int(free.sum()), UNCATEGORISED, np.int64)
    classes[: len(points)] = points[:, 2]
    return labels, classes


def _owners(
    basins: np.ndarray, points: np.ndarray, positions: np.ndarray, radius_px: float, config: DeriveConfig
) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Give each peak to one point, to nobody (`FREE`) or away (`MERGED`); list the points left over.

    A left-over point comes with the point that owns its peak: that cell is cut between the two.
    """
    owner = np.full(len(positions), FREE)
    if not len(points) or not len(positions):
        return owner, []
    offsets = points[:, None, :2] - positions[None, :, ::-1]  # (k, peaks, x y)
    gaps = np.hypot(offsets[..., 0], offsets[..., 1])
    basin = basins[points[:, 1], points[:, 0]] - 1  # -1: the point is on background
    same = basin[:, None] == np.arange(len(positions))
    cost = np.where(same, 0.5 * gaps, np.where(gaps < config.point_reach * radius_px, gaps, np.inf))
    chosen, peak = linear_sum_assignment(np.where(np.isfinite(cost), cost, 1e6))
    real = np.isfinite(cost[chosen, peak])
    owner[peak[real]] = chosen[real]
    near = gaps.min(axis=0) < config.point_reach * radius_px
    owner[(owner == FREE) & near] = MERGED
    assigned = set(chosen[real].tolist())
    cuts = [
        (point, int(owner[basin[point]]))
        for point in range(len(points))
        if point not in assigned and basin[point] >= 0 and owner[basin[point]] >= 0
    ]
    return owner, cuts


def _tall_peaks(distance: np.ndarray, depth_px: float) -> tuple[np.ndarray, np.ndarray]:
    """Label the maxima that rise by `depth_px` over the saddle to a higher one; row and column of each."""
    lowered = reconstruction(distance - np.float32(depth_px), distance, method="dilation")
    tops = local_maxima(lowered) & (distance > 0)
    count, labels, _, centroids = cv2.connectedComponentsWithStats(tops.astype(np.uint8))
    return labels, centroids[1:count, ::-1]


def _red_cells(
    labels: np.ndarray,
    classes: np.ndarray,
    named: int,
    absorbance: np.ndarray,
    typical: np.ndarray,
    radius_px: float,
    config: DeriveConfig,
) -> tuple[np.ndarray, np.ndarray]:
    """Keep what an expert named, or has the size and colour of a red cell; number it 1..n."""
    count = len(classes)
    area = np.bincount(labels.ravel(), minlength=count + 1)
    red = _coloured_red(labels, count, absorbance, typical, config)
    border = np.zeros(count + 1, bool)
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        border[edge] = True
    cell_area = np.pi * radius_px**2
    smallest = np.where(border, config.smallest_at_border, config.smallest) * cell_area
    keep = red & (area > smallest) & (area < config.largest * cell_area)
    keep[1 : named + 1] = area[1 : named + 1] > config.smallest_named * cell_area
    keep[0] = False
    lookup = (np.cumsum(keep) * keep).astype(np.int32)
    return lookup[labels], classes[keep[1:]]


def _coloured_red(
    labels: np.ndarray, count: int, absorbance: np.ndarray, typical: np.ndarray, config: DeriveConfig
) -> np.ndarray:
    """Say which labels 0..count absorb like the typical cell, by the median, which a scale bar does not move."""
    order = np.argsort(labels, axis=None, kind="stable")
    starts = np.searchsorted(labels.ravel()[order], np.arange(count + 2))
    pixels = absorbance.reshape(-1, 3)  # (H, W, 3) -> (H·W, 3)
    median = np.zeros((count + 1, 3))
    for label in np.flatnonzero(np.diff(starts)):
        if label:
            median[label] = np.median(pixels[order[starts[label] : starts[label + 1]]], axis=0)
    strength = np.linalg.norm(typical)
    amount = median @ typical / strength**2
    likeness = amount * strength / np.maximum(np.linalg.norm(median, axis=1), 1e-9)
    excess = (median[:, 0] - amount * typical[0]) / strength
    return (likeness > config.likeness) & (amount < config.most_absorption) & (excess < config.red_excess)
