"""Where the phantom's cells lie: clusters that attract each other weakly and settle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree


@dataclass(frozen=True)
class Aggregation:
    """Say how cells gather; all values are ours."""

    parents_share: float = 0.3  # cells that start around a cluster's parent; the others start anywhere
    cells_per_parent: float = 6.0  # mean size of a starting cluster
    spread: float = 2.0  # standard deviation of a starting cluster, in mean diameters
    attraction: float = 0.06  # step towards a neighbour within reach, in mean radii
    reach: float = 0.7  # gap up to which cells attract, in mean radii
    agitation: float = 0.10  # random step at the start, in mean radii; falls to nothing
    steps: int = 70  # steps with attraction and agitation
    settling: int = 60  # steps that only push overlapping cells apart


def aggregate(
    rng: np.random.Generator,
    box: tuple[float, float],
    axes_px: np.ndarray,
    angles: np.ndarray,
    softness: np.ndarray,
    config: Aggregation,
) -> np.ndarray:
    """Let elliptical cells gather in a periodic box by overdamped molecular dynamics.

    Parameters
    ----------
    rng : numpy.random.Generator
    box : (float, float)
        Height and width in pixels; opposite sides are joined, so no side orders the cells.
    axes_px : float (n, 2)
        Half axes of each cell.
    angles : float (n,)
        Direction of the first half axis, in radians from the column axis.
    softness : float (n,)
        Share of the contact distance by which a cell lets some of the others overlap it, in [0, 1).
    config : Aggregation

    Returns
    -------
    float (n, 2)
        Centres as row, column in [0, height) × [0, width).

    Notes
    -----
    Start: a Thomas cluster process. Each step adds, over pairs, a harmonic push below the contact
    distance and a pull just above it, and a random agitation that cools down. A pull weakens as a
    cell gains neighbours, so that chains and small clumps form, not crystals. This is on purpose
    another process than the placement of Bailo et al. (2019), which is to be judged against it.
    """
    count = len(axes_px)
    size = np.asarray(box, dtype=float)
    if count == 0:
        return np.zeros((0, 2))
    mean_radius = float(np.sqrt(axes_px.prod(1)).mean())
    centres = _clusters(rng, size, count, mean_radius, config)
    far = 2.0 * float(axes_px.max()) + config.reach * mean_radius
    far = min(far, 0.49 * float(size.min()))
    pairs = np.zeros((0, 2), dtype=np.int64)
    for step in range(config.steps + config.settling):
        if step % 4 == 0:
            tree = cKDTree(centres % size, boxsize=size)
            pairs = tree.query_pairs(min(far + 0.5 * mean_radius, 0.5 * float(size.min())), output_type="ndarray")
            first, second = pairs[:, 0], pairs[:, 1]
            # A soft cell overlaps about one neighbour in three, not all of them.
            chosen = (first + second) % 3 == 0
            allowed = 1.0 - np.where(chosen, np.maximum(softness[first], softness[second]), 0.0)
        apart = centres[second] - centres[first]
        apart -= size * np.rint(apart / size)
        distance = np.maximum(np.hypot(apart[:, 0], apart[:, 1]), 1e-6)
        heading = np.arctan2(apart[:, 0], apart[:, 1])
        contact = _radius(axes_px[first], heading - angles[first]) + _radius(axes_px[second], heading - angles[second])
        gap = distance - contact * allowed
        move = np.where(gap < 0, 0.42 * gap, 0.0)
        if step < config.steps:
            near = (gap > 0) & (gap < config.reach * mean_radius)
            touching = np.bincount(pairs[gap < 0.15 * mean_radius].ravel(), minlength=count)
            crowding = 1.0 + np.maximum(touching[first], touching[second])
            move += np.where(near, np.minimum(config.attraction * mean_radius, 0.4 * gap), 0.0) / crowding * 2.0
        push = apart / distance[:, None] * move[:, None]
        for axis in (0, 1):
            centres[:, axis] += np.bincount(first, push[:, axis], count) - np.bincount(second, push[:, axis], count)
        if step < config.steps:
            cooling = 1.0 - step / config.steps
            centres += rng.normal(0.0, config.agitation * mean_radius * cooling, centres.shape)
    return centres % size


def _clusters(
    rng: np.random.Generator, size: np.ndarray, count: int, mean_radius: float, config: Aggregation
) -> np.ndarray:
    """Draw starting centres: some around common parents, the others uniform."""
    centres = rng.random((count, 2)) * size
    parents = rng.random((max(1, round(count / config.cells_per_parent)), 2)) * size
    clustered = rng.random(count) < config.parents_share
    chosen = parents[rng.integers(0, len(parents), count)]
    near = chosen + rng.normal(0.0, 2 * config.spread * mean_radius, (count, 2))
    return np.where(clustered[:, None], near, centres) % size


def _radius(axes: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Give the distance from an ellipse's centre to its outline in a direction."""
    return axes.prod(1) / np.hypot(axes[:, 1] * np.cos(angle), axes[:, 0] * np.sin(angle))
