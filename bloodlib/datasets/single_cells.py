"""Single cells of many types on black ground, as the thesis trains on: cut out here of what the open sets give."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from scipy import ndimage

from ..derive import DeriveConfig, channel_absorbance
from ..sampler.shapes import contact_share, fill_and_solidity
from ..smears import Smear
from ..statistics import measure_cells
from . import chula_rbc12, pbc_subset, wbc_segmentation
from .pbc_subset import PREFIXES

WHITE_NAMES = (
    "basophil",
    "eosinophil",
    "erythroblast",
    "immature granulocyte",
    "metamyelocyte",
    "myelocyte",
    "promyelocyte",
    "lymphocyte",
    "monocyte",
    "band neutrophil",
    "neutrophil",
    "segmented neutrophil",
    "platelet",
)  # one per prefix of pbc_subset; not all are white cells: erythroblasts and platelets come with them
TECOM_NAMES = tuple(f"{name} (Tecom)" for name in wbc_segmentation.TYPE_NAMES)  # their stain and light are others
RED_CELL, BACKGROUND = len(WHITE_NAMES), len(WHITE_NAMES) + 1
TECOM = BACKGROUND + 1  # the first of them
TYPE_NAMES = (*WHITE_NAMES, "red blood cell", "background", *TECOM_NAMES)
# Ours, as the thesis prints none: any two differ by at least 127 in one channel, none is black (what is blacked out)
# or white (the ground of a layout).
TYPE_COLOURS = np.array(
    [
        (255, 0, 0),
        (0, 255, 0),
        (0, 0, 255),
        (255, 255, 0),
        (255, 0, 255),
        (0, 255, 255),
        (255, 128, 0),
        (128, 255, 0),
        (0, 255, 128),
        (0, 128, 255),
        (128, 0, 255),
        (255, 0, 128),
        (128, 128, 0),
        (255, 128, 128),
        (0, 128, 128),
        (128, 0, 128),
        (128, 255, 128),
        (128, 128, 255),
        (255, 255, 128),
        (255, 128, 255),
    ],
    dtype=np.uint8,
)
FIELD_PX = 256  # the thesis'; at the scale of pbc_subset, whose widest cells (two of them) lose 2 px to it at each end
RED_CELL_PX = 74.0  # measured: width of red cells there (`bloodlib.evaluators.cell_types`)
TECOM_SCALE = 1.75  # measured: median widths of the four types that both have are 1.67 to 1.80 times as large in PBC
PER_TECOM_TYPE = 50  # ours: as many as PBC has; more than half of the Tecom cells are neutrophils
FOLDS = 5  # ours: a fifth is held out, as in pbc_subset
GROUND_ABSORBANCE = 0.05  # ours: below it there is no cell
LEAST_GROUND = 0.2  # ours: share of the picture; a ground with less is left out
GROUND_GAP_PX = 13  # ours: side of the square that must be bare around a pixel of the ground


@dataclass(frozen=True, eq=False)
class SingleCell:
    """Hold one cell in its field.

    Parameters
    ----------
    image : uint8 (H, W, 3)
        RGB, black outside of the cell.
    mask : bool (H, W)
        The cell.
    kind : int
        Position of its type in `TYPE_NAMES`.
    name : str
        Of the picture it was cut from, and which cell of it.
    """

    image: np.ndarray
    mask: np.ndarray
    kind: int
    name: str

    @property
    def label(self) -> np.ndarray:
        """What the painter is shown: the cell in the colour of its type on black, uint8 (H, W, 3)."""
        return np.where(self.mask[..., None], TYPE_COLOURS[self.kind], 0).astype(np.uint8)


@dataclass(frozen=True)
class WhiteCellConfig:
    """Hold what the derivation of white cells decides by; all values are ours."""

    smoothing_px: float = 2.5  # against JPEG noise; granules are joined
    least_nucleus: float = 0.4  # absorbance in red that the darkest near the middle needs, or there is no nucleus
    nucleus: float = 0.55  # absorbance in red above which a pixel is chromatin or platelet, at the most
    nucleus_share: float = 0.5  # and above this share of the darkest there is near the middle
    reach_px: float = 60.0  # from the middle of the picture: the named cell's nucleus lies there
    ratio: float = 0.85  # of green to blue absorbance in red cells, about
    excess: float = 0.03  # absorbance in green beyond a red cell's with as much blue, from which a pixel is white cell
    red_share: float = 0.95  # but no lower than that share of the red cells' pixels have
    opening_px: int = 9  # radius of the disc that opens the mask: bridges thinner than 19 px to other cells are cut
    smallest_px: int = 600  # what is smaller is no cell, not even a platelet
    largest_px: int = 45000  # a third of the picture; what is larger has run out into a neighbour
    solidity: float = 0.9  # area / convex area below which a mask has run out into a neighbour


def derive_white_cell(image: np.ndarray, config: WhiteCellConfig | None = None) -> np.ndarray | None:
    """Segment the stained cell in the middle of a picture: purple against the rest.

    Parameters
    ----------
    image : uint8 (H, W, 3)
        RGB, Wright-Giemsa stain, the named cell near the middle.
    config : WhiteCellConfig, optional

    Returns
    -------
    bool (H, W), or None
        None where no cell was found, or it runs out of the picture.

    Notes
    -----
    Absorbance is measured against the picture's own background (Beer-Lambert, `bloodlib.derive`). Red cells
    absorb blue light most (haemoglobin), the stain of white cells green light: what a pixel absorbs in green beyond a
    red cell that absorbs as much blue tells them apart, whatever their darkness. The ratio green / blue of red cells
    is `WhiteCellConfig.ratio`; how far those of the picture stray from it, where there are any, sets the threshold. The
    cell is the part of that which holds the chromatin nearest to the middle, holes filled, cut from neighbours by an
    opening. This is
    an algorithm's output; how it fares is looked at in chapter 14.
    """
    config = config or WhiteCellConfig()
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"image is {image.dtype} {image.shape}, needed is uint8 (H, W, 3) RGB")
    red, green, blue = np.moveaxis(
        cv2.GaussianBlur(channel_absorbance(image, DeriveConfig()), (0, 0), config.smoothing_px), -1, 0
    )
    height, width = red.shape
    rows, columns = np.mgrid[:height, :width]
    away = np.hypot(rows - height / 2, columns - width / 2)
    darkest = np.quantile(red[away < config.reach_px], 0.99)
    nuclei, _ = ndimage.label(red > min(config.nucleus, config.nucleus_share * darkest))
    near = np.where(nuclei > 0, away, np.inf)
    if darkest < config.least_nucleus or near.min() > config.reach_px:
        return None
    own = nuclei == nuclei[np.unravel_index(near.argmin(), near.shape)]
    excess = green - config.ratio * blue
    red_cells = excess[(blue > 0.12) & (red < 0.25) & (away > config.reach_px)]
    least = np.quantile(red_cells, config.red_share) if len(red_cells) > config.smallest_px else config.excess
    stained = excess > max(config.excess, least)
    stained = ndimage.binary_fill_holes(stained | own)
    size = 2 * config.opening_px + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    opened = cv2.morphologyEx(stained.astype(np.uint8), cv2.MORPH_OPEN, disc)
    parts, _ = ndimage.label(opened)
    held = np.bincount(parts[own], minlength=2)[1:]
    if not held.any():
        return None
    cell = ndimage.binary_fill_holes(parts == held.argmax() + 1)
    at_border = cell[0].any() or cell[-1].any() or cell[:, 0].any() or cell[:, -1].any()
    if at_border or not config.smallest_px <= cell.sum() <= config.largest_px:
        return None
    return cell if fill_and_solidity(cell)[1] >= config.solidity else None


def derive_ground(image: np.ndarray) -> np.ndarray:
    """Mark what absorbs no light, and lies away from what does: bool (H, W)."""
    absorbance = cv2.GaussianBlur(channel_absorbance(image, DeriveConfig()), (0, 0), 2.0)
    bare = (np.abs(absorbance).max(axis=-1) < GROUND_ABSORBANCE).astype(np.uint8)
    return cv2.erode(bare, np.ones((GROUND_GAP_PX, GROUND_GAP_PX), np.uint8)).astype(bool)


def in_field(image: np.ndarray, mask: np.ndarray, kind: int, name: str, scale: float = 1.0) -> SingleCell:
    """Put a cell alone into the middle of a black field.

    Parameters
    ----------
    image : uint8 (H, W, 3)
    mask : bool (H, W)
        The cell; its bounding box comes to lie in the middle, and what is wider than the field is cut off.
    kind : int
    name : str
    scale : float
        Pixels of the field per pixel of the image.

    Raises
    ------
    ValueError
        If the mask is empty.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        raise ValueError(f"{name}: the mask is empty; a cell needs at least one pixel")
    middle = (columns[0] + columns[-1]) / 2, (rows[0] + rows[-1]) / 2
    matrix = np.array(
        [[scale, 0, (FIELD_PX - 1) / 2 - scale * middle[0]], [0, scale, (FIELD_PX - 1) / 2 - scale * middle[1]]]
    )
    size = (FIELD_PX, FIELD_PX)
    shown = cv2.warpAffine(mask.astype(np.uint8), matrix, size, flags=cv2.INTER_NEAREST).astype(bool)
    picture = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR)
    return SingleCell(np.where(shown[..., None], picture, 0).astype(np.uint8), shown, kind, name)


def cut_red_cells(smears: Iterable[Smear], per_smear: int = 1) -> list[SingleCell]:
    """Cut typical red cells out of smears: those nearest to the median area of the whole cells that touch no other.

    Parameters
    ----------
    smears : iterable of Smear
    per_smear : int

    Returns
    -------
    list of SingleCell
        At the scale at which the median red cell of its smear is `RED_CELL_PX` wide.
    """
    cut = []
    for smear in smears:
        cells = measure_cells(smear.instances)
        lone = np.flatnonzero(cells.complete & (contact_share(smear.instances) == 0))
        areas = np.bincount(smear.instances.ravel(), minlength=smear.count + 1)[1:][lone]
        if not len(lone):
            continue
        diameter = 2 * np.sqrt(np.median(areas) / np.pi)
        for k in lone[np.argsort(np.abs(areas - np.median(areas)), kind="stable")][:per_smear]:
            name = f"{smear.name}-{k + 1}"
            cut.append(in_field(smear.image, smear.instances == k + 1, RED_CELL, name, RED_CELL_PX / diameter))
    return cut


def load(fold: int = 0) -> tuple[list[SingleCell], list[SingleCell]]:
    """Cut out the single cells of every type that `pbc_subset`, `chula_rbc12` and `wbc_segmentation` give.

    Parameters
    ----------
    fold : int
        Which fifth is held out, 0 to 4; 0 is the test part of `pbc_subset` and, of the Tecom cells that are taken,
        that of `wbc_segmentation`.

    Returns
    -------
    list of SingleCell, list of SingleCell
        To train on, and held out.

    Raises
    ------
    ValueError
        If the fold is none of 0 to 4.

    Notes
    -----
    Masks of pbc_subset are derived (`derive_white_cell`); pictures where none is found are left out. The grounds are
    those of every thirteenth picture (`derive_ground`). Red cells: one per smear of Chula, held out by
    appearance group. Tecom's cells are cut by the experts' trimaps and are types of their own, since another
    microscope and stain have another look. No patients are known for white cells, so both parts may share some.
    Book: chapter 14.
    """
    if fold not in range(FOLDS):
        raise ValueError(f"fold is {fold!r}; allowed are 0 to {FOLDS - 1}")
    parts: tuple[list[SingleCell], list[SingleCell]] = [], []
    for held_out, cell in _all_cells():
        parts[held_out == fold].append(cell)
    return parts


def count_types(cells: Sequence[SingleCell]) -> dict[str, int]:
    """Count the cells of every type, in the order of `TYPE_NAMES`."""
    kinds = np.bincount([cell.kind for cell in cells], minlength=len(TYPE_NAMES))
    return dict(zip(TYPE_NAMES, kinds.tolist(), strict=True))


@lru_cache(maxsize=1)  # 200 MB, and two minutes to make
def _all_cells() -> tuple[tuple[int, SingleCell], ...]:
    """Give every single cell with the fold that holds it out."""
    cut = []
    pictures = pbc_subset.load("all")
    of_prefix = dict.fromkeys(PREFIXES, 0)
    for number, picture in enumerate(pictures):
        kind = PREFIXES.index(picture.prefix)
        fold = of_prefix[picture.prefix] % FOLDS
        of_prefix[picture.prefix] += 1
        mask = derive_white_cell(picture.image)
        if mask is not None:
            cut.append((fold, in_field(picture.image, mask, kind, picture.name)))
        if number % len(PREFIXES) == 0:
            ground = derive_ground(picture.image)
            if ground.mean() > LEAST_GROUND:
                cut.append((fold, in_field(picture.image, ground, BACKGROUND, f"{picture.name}-ground")))
    smears = chula_rbc12.load("all")
    groups = sorted(set(smears.groups))
    for smear in smears:
        cut += [(groups.index(smear.group) % FOLDS, cell) for cell in cut_red_cells([smear])]
    of_type = [0] * len(TECOM_NAMES)
    for cell in wbc_segmentation.load("all", "tecom"):
        number = of_type[cell.kind]
        of_type[cell.kind] += 1
        if number < PER_TECOM_TYPE:
            fold = (number - wbc_segmentation.HELD_OUT) % FOLDS
            cut.append((fold, in_field(cell.image, cell.trimap > 0, TECOM + cell.kind, cell.name, TECOM_SCALE)))
    return tuple(cut)
