"""What lies between the red cells of a smear: platelets, white cells, dust, stain; found, kept and strewn again."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.ndimage import find_objects as find_boxes
from scipy.ndimage import value_indices

from ._background import disc, evened, holes_filled, lettering, pruned, signal_and_share
from .derive import LEAST_PX, DeriveConfig, channel_absorbance
from .io.images import DataWarning
from .sampler.shapes import aspect_ratio, fill_and_solidity, largest_piece, warp
from .smears import Smear

NO_CELL_RADIUS_PX = 20.0  # where no cell is there to measure


@dataclass(frozen=True)
class IncidentalConfig:
    """Hold what objects are found by; all values are ours, lengths are shares of the median cell's radius."""

    rim: float = 0.1  # a cell's own soft border, at least 2 px: nothing is looked for there
    halo: float = 0.25  # a cell's diffraction ring: only what is dark begins an object there
    local: float = 1.0  # standard deviation of the Gaussian that the background is evened out with
    seed_noise: float = 5.0  # an object begins above this many standard deviations of the background
    seed_share: float = 0.18  # and above this share of the typical cell's absorption
    dark_share: float = 0.5  # the same share within a cell's halo
    grow_noise: float = 2.5  # an object reaches down to this many standard deviations
    grow_share: float = 0.1  # and this share of the typical cell's absorption
    halo_share: float = 0.3  # the same share within a cell's halo
    prune: float = 0.4  # an object's edge lies above this share of its darkest pixel
    prune_most: float = 0.25  # but not above this share of the typical cell's absorption: pale cytoplasm
    lettering: float = 0.25  # what is nearer than this to green ink is ink
    join: float = 0.1  # gaps up to twice this are closed: fragments of one object
    hole: float = 0.25  # holes up to this share of the median cell's area belong to the object around them
    smallest_px: int = 6  # what has fewer pixels is noise
    thin: float = 0.1  # what is nowhere thicker than twice this and clings to a cell is its rim
    haze_area: float = 1.2  # what is larger than this share of the median cell's area
    haze_share: float = 0.4  # and nowhere above this share of the typical absorption is uneven background
    likeness: float = 0.98  # cosine to the typical cell's absorbance above which a blob is coloured like a red cell
    cell_amount: float = 0.45  # a blob of that colour above this share of the typical absorption is one
    most_amount: float = 1.8  # but not above this share: that is a white cell
    red_excess: float = 0.15  # nor with this share of red absorption beyond a red cell's
    chord: float = 1.0  # a red sliver lies along the border for more than this share of its area's square root
    frame_px: int = 6  # what reaches no farther in from the border is the edge of a cell or of the picture
    cell_area: float = 0.3  # and so is one inside the image above this share of the median cell's area
    largest: float = 2.5  # longest side of a shape that is kept for drawing, in median cell diameters
    elongation: float = 3.0  # nor is what is longer than this many times its width: numbers, scale bars
    solidity: float = 0.5  # what fills less of its convex hull is lettering: found, but not kept for drawing


@dataclass(frozen=True)
class ScatterConfig:
    """Configure how objects are strewn; the values are ours."""

    gap_px: int = 2  # free pixels at least between an object and cells or other objects
    tries: int = 40  # places that are tried for an object until it is left out
    largest: float = 1.0  # area in median cells of the mask above which it is left out: one class paints no nucleus


def find_objects(image: np.ndarray, instances: np.ndarray, config: IncidentalConfig | None = None) -> np.ndarray:
    """Find what absorbs light in the background of a smear.

    Parameters
    ----------
    image : uint8 (H, W, 3)
        RGB, brightfield.
    instances : int32 (H, W)
        0 background, red cells 1..n.
    config : IncidentalConfig, optional

    Returns
    -------
    int32 (H, W)
        0 where there is nothing or a red cell, objects 1..m.

    Notes
    -----
    Absorbance against the fitted illumination, evened out once more by the blurred background,
    is whitened by the noise of each channel (1.48 times the median absolute deviation) and
    added up over the channels. Objects begin above a high and end at a low threshold, both in units of
    that noise and of the cells' absorption. Not objects: rims of cells, green lettering, and
    blobs with the colour of red cells that the mask leaves out, mostly slivers at the border.
    An algorithm's output, not ground truth. Book: chapter 05.
    """
    config = config or IncidentalConfig()
    if min(instances.shape) < LEAST_PX:
        return np.zeros(instances.shape, np.int32)
    covered = instances > 0
    radius_px = _median_radius(instances)
    amounts = channel_absorbance(image, DeriveConfig())
    distance = cv2.distanceTransform((~covered).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    open_ground = distance > max(2.0, config.rim * radius_px)
    if not covered.any():
        open_ground[:] = True
    if open_ground.sum() < 100:
        return np.zeros(instances.shape, np.int32)
    amounts, noise = evened(amounts, open_ground, config.local * radius_px)
    typical = np.median(amounts[covered], axis=0) if covered.any() else np.zeros(3, np.float32)
    signal, share = signal_and_share(amounts, noise, typical, open_ground)
    open_ground &= ~lettering(image, open_ground, config.lettering * radius_px)
    strong = share > config.dark_share
    halo = covered.any() & (distance <= max(3.0, config.halo * radius_px))
    seeds = open_ground & (signal > config.seed_noise) & (share > config.seed_share) & (strong | ~halo)
    grown = open_ground & (signal > config.grow_noise) & (share > config.grow_share)
    grown &= ~halo | (share > config.halo_share)
    grown = pruned(grown, share, config.prune, config.prune_most)
    grown = cv2.morphologyEx(grown.astype(np.uint8), cv2.MORPH_CLOSE, disc(config.join * radius_px)) > 0
    grown = holes_filled(grown, open_ground, config.hole * np.pi * radius_px**2)
    count, labels = cv2.connectedComponents(grown.astype(np.uint8), connectivity=8)
    keep = _begun(labels, count, seeds, config)
    if covered.any():
        keep &= ~_rims(labels, count, distance, radius_px, config)
        keep &= ~_haze(labels, count, share, radius_px, config)
        keep &= ~_red(labels, count, amounts, typical, radius_px, config)
    return (np.cumsum(keep) * keep).astype(np.int32)[labels]


def _median_radius(instances: np.ndarray) -> float:
    """Radius of the disc as large as the median cell; 20 px where there is none."""
    area = np.bincount(instances.ravel())[1:]
    return float(np.sqrt(np.median(area) / np.pi)) if len(area) else NO_CELL_RADIUS_PX


def _begun(labels: np.ndarray, count: int, seeds: np.ndarray, config: IncidentalConfig) -> np.ndarray:
    """Say which labels hold a seed and are no specks, bool (count,)."""
    seeded = np.bincount(labels[seeds], minlength=count) > 0
    keep = seeded & (np.bincount(labels.ravel(), minlength=count) >= config.smallest_px)
    keep[0] = False
    return keep


def _rims(
    labels: np.ndarray, count: int, distance: np.ndarray, radius_px: float, config: IncidentalConfig
) -> np.ndarray:
    """Say which labels are thin and cling to a cell, bool (count,)."""
    depth = cv2.distanceTransform((labels > 0).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    thickness = np.zeros(count, np.float32)
    np.maximum.at(thickness, labels[labels > 0], depth[labels > 0])
    away = np.bincount(labels.ravel(), distance.ravel(), count) / np.maximum(np.bincount(labels.ravel()), 1)
    return (thickness <= max(1.5, config.thin * radius_px)) & (away <= max(4.0, 1.2 * config.halo * radius_px))


def _haze(labels: np.ndarray, count: int, share: np.ndarray, radius_px: float, config: IncidentalConfig) -> np.ndarray:
    """Say which labels are larger than a cell and faint all over, bool (count,)."""
    peak = np.zeros(count, np.float32)
    inside = labels > 0
    np.maximum.at(peak, labels[inside], share[inside])
    large = np.bincount(labels.ravel(), minlength=count) > config.haze_area * np.pi * radius_px**2
    return large & (peak < config.haze_share)


def _red(
    labels: np.ndarray,
    count: int,
    amounts: np.ndarray,
    typical: np.ndarray,
    radius_px: float,
    config: IncidentalConfig,
) -> np.ndarray:
    """Say which labels are red cells that the mask leaves out, by colour, strength and place, bool (count,)."""
    red = np.zeros(count, bool)
    whole = config.cell_area * np.pi * radius_px**2
    strength = np.linalg.norm(typical)
    height, width = labels.shape
    for label, (rows, columns) in value_indices(labels, ignore_value=0).items():
        cut = rows.min() == 0 or columns.min() == 0 or rows.max() == height - 1 or columns.max() == width - 1
        if not cut and len(rows) < whole:
            continue
        pixels = amounts[rows, columns]
        along = pixels @ typical
        median = np.median(pixels[along >= np.median(along)], axis=0)  # the darker half: the rest is blur
        amount = median @ typical / strength**2
        likeness = amount * strength / max(float(np.linalg.norm(median)), 1e-9)
        excess = (median[0] - amount * typical[0]) / strength
        coloured = likeness > config.likeness and amount < config.most_amount and excess < config.red_excess
        inwards = min(rows.max() + 1, columns.max() + 1, height - rows.min(), width - columns.min())
        sliver = cut and _chord(labels, label) > config.chord * np.sqrt(len(rows))
        red[label] = coloured and (sliver or (amount > config.cell_amount and len(rows) >= whole))
        red[label] |= cut and (inwards <= config.frame_px or amount < config.halo_share)
    return red


def _chord(labels: np.ndarray, label: int) -> int:
    """Pixels of a label along the border of the image."""
    return sum(np.count_nonzero(edge == label) for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]))


class ObjectDatabase:
    """Hold the shapes of incidental objects and how many a smear has, and strew them over cell masks.

    Parameters
    ----------
    shapes : sequence of bool (h, w)
        Each cropped to its bounding box.
    owners : int (n,)
        The smear, 0..k-1, that each shape was cut from.
    densities : float (k,)
        Objects of each smear per megapixel of its background.

    Raises
    ------
    ValueError
        If no smear was measured, or a smear has objects but no shape is there to draw.

    Notes
    -----
    Number and shapes of one sample come from one smear: a dusty slide has many specks, another
    few platelets. Book: chapter 05.
    """

    def __init__(self, shapes: Sequence[np.ndarray], owners: np.ndarray, densities: np.ndarray) -> None:
        self.shapes = tuple(np.ascontiguousarray(shape, dtype=bool) for shape in shapes)
        self.owners = np.asarray(owners, dtype=np.int32)
        self.densities = np.asarray(densities, dtype=np.float32)
        if not len(self.densities):
            raise ValueError("no smear given: the density of incidental objects is measured on at least one")
        if len(self.owners) != len(self.shapes):
            raise ValueError(f"{len(self.owners)} owners given for {len(self.shapes)} shapes; one per shape")
        if not len(self.shapes) and self.densities.any():
            raise ValueError("the smears have incidental objects, but no shape is whole and small enough to be drawn")

    def __len__(self) -> int:
        return len(self.shapes)

    @classmethod
    def fit(cls, smears: Iterable[Smear], config: IncidentalConfig | None = None) -> ObjectDatabase:
        """Find the objects of some smears, count them and cut out those that the border does not cut.

        Warns
        -----
        DataWarning
            If there are objects but none is of a shape to draw: then the database draws none.
        """
        config = config or IncidentalConfig()
        shapes, owners, densities = [], [], []
        for index, smear in enumerate(smears):
            objects = find_objects(smear.image, smear.instances, config)
            free = np.count_nonzero(smear.instances == 0)
            densities.append(1e6 * objects.max(initial=0) / max(free, 1))
            longest = config.largest * 2 * _median_radius(smear.instances)
            cut = [shape for shape in _cut_out(objects) if _drawable(shape, longest, config)]
            shapes += cut
            owners += [index] * len(cut)
        if not shapes and any(densities):
            warnings.warn(
                "nothing is strewn: what lies beside cells (lettering, heaps of stain) is of no shape that could be",
                DataWarning,
                stacklevel=2,
            )
            densities = [0.0] * len(densities)
        return cls(shapes, np.array(owners, dtype=np.int32), np.array(densities))

    def sample(
        self, rng: np.random.Generator, instances: np.ndarray, config: ScatterConfig | None = None
    ) -> np.ndarray:
        """Strew objects over the background of a cell mask.

        Parameters
        ----------
        rng : numpy.random.Generator
        instances : int32 (H, W)
        config : ScatterConfig, optional

        Returns
        -------
        int32 (H, W)
            Objects 1..m, touching neither cells nor each other. An object that finds no place is left out,
            and so is one of a shape that is too large: white cells and heaps of stain.
        """
        config = config or ScatterConfig()
        largest_px = config.largest * np.pi * _median_radius(instances) ** 2
        objects = np.zeros(instances.shape, np.int32)
        smear = int(rng.integers(len(self.densities)))
        count = int(rng.poisson(self.densities[smear] * np.count_nonzero(instances == 0) / 1e6))
        own = np.flatnonzero(self.owners == smear)
        pool = own if len(own) else np.arange(len(self.shapes))
        taken = cv2.dilate((instances > 0).astype(np.uint8), disc(config.gap_px)) > 0
        placed = 0
        for _ in range(count):
            turn, up, across = rng.random(3)
            shape = warp(self.shapes[pool[rng.integers(len(pool))]], 2 * np.pi * turn, 1.0, (up < 0.5, across < 0.5))
            if np.count_nonzero(shape) > largest_px:
                continue
            for top, left in (rng.random((config.tries, 2)) * instances.shape).astype(int):
                if _laid(objects, taken, shape, top, left, placed + 1, config.gap_px):
                    placed += 1
                    break
        return objects

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Pack the database into arrays, one bit per pixel of a shape."""
        bits = np.concatenate([shape.ravel() for shape in self.shapes]) if self.shapes else np.zeros(0, bool)
        sizes = np.array([shape.shape for shape in self.shapes], dtype=np.int32).reshape(-1, 2)
        packed = {"object_bits": np.packbits(bits), "object_sizes": sizes}
        return packed | {"object_owners": self.owners, "object_densities": self.densities}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> ObjectDatabase:
        """Unpack what `to_arrays` gave."""
        sizes = np.asarray(arrays["object_sizes"])
        ends = np.cumsum(sizes.prod(axis=1))
        bits = np.unpackbits(np.asarray(arrays["object_bits"]), count=int(sizes.prod(axis=1).sum())).astype(bool)
        parts = np.split(bits, ends[:-1]) if len(sizes) else []
        shapes = [part.reshape(size) for part, size in zip(parts, sizes, strict=True)]
        return cls(shapes, arrays["object_owners"], arrays["object_densities"])


def _cut_out(objects: np.ndarray) -> list[np.ndarray]:
    """Cut out every object that the border does not cut, bool (h, w) each."""
    height, width = objects.shape
    shapes = []
    for label, (rows, columns) in enumerate(find_boxes(objects), start=1):
        if rows.start and columns.start and rows.stop < height and columns.stop < width:
            shapes.append(largest_piece(objects[rows, columns] == label))
    return shapes


def _drawable(shape: np.ndarray, longest_px: float, config: IncidentalConfig) -> bool:
    if min(shape.shape) < 2 or max(shape.shape) > longest_px:
        return False
    return fill_and_solidity(shape)[1] >= config.solidity and aspect_ratio(shape) <= config.elongation


def _laid(objects: np.ndarray, taken: np.ndarray, shape: np.ndarray, row: int, column: int, label: int, gap_px: int):
    """Draw a shape around a pixel if it is free there, in place; say whether it was."""
    height, width = shape.shape
    top, left = row - height // 2, column - width // 2
    rows = slice(max(top, 0), min(top + height, objects.shape[0]))
    columns = slice(max(left, 0), min(left + width, objects.shape[1]))
    seen = shape[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    if not seen.any() or taken[rows, columns][seen].any():
        return False
    objects[rows, columns][seen] = label
    reach = gap_px + 1
    around = (
        slice(max(rows.start - reach, 0), rows.stop + reach),
        slice(max(columns.start - reach, 0), columns.stop + reach),
    )
    taken[around] |= cv2.dilate((objects[around] == label).astype(np.uint8), disc(gap_px)) > 0
    return True
