"""What the background of a smear absorbs beyond its own noise; `bloodlib.incidental` decides what is an object."""

from __future__ import annotations

import cv2
import numpy as np

from .derive import INK_EXCESS

LEAST_NOISE = 0.004  # absorbance; a rendered image may have none
PALEST_CELL = 0.14  # absorbance, Chula's palest stain: where no cell is there to measure


def disc(radius_px: float) -> np.ndarray:
    """Give a round structuring element of at least 3×3 pixels."""
    size = 2 * max(1, round(radius_px)) + 1
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))


def evened(amounts: np.ndarray, ground: np.ndarray, sigma_px: float) -> tuple[np.ndarray, np.ndarray]:
    """Subtract the blurred background; give the rest and its robust standard deviation per channel."""
    plain = ground.copy()
    for _ in range(2):
        centre = np.median(amounts[plain], axis=0)
        noise = 1.48 * np.median(np.abs(amounts[plain] - centre), axis=0)
        plain = ground & (np.abs(amounts - centre) <= 3 * noise + 1e-6).all(axis=-1)
    reach = (0, 0), sigma_px / 4  # on every fourth pixel: what is wanted is smooth
    weight = cv2.GaussianBlur(plain[::4, ::4].astype(np.float32), *reach)[..., None] + 1e-3
    known = np.where(plain[..., None], amounts - centre, 0).astype(np.float32)[::4, ::4]
    smooth = cv2.GaussianBlur(known, *reach) / weight
    height, width = ground.shape
    amounts = amounts - centre - cv2.resize(smooth, (width, height), interpolation=cv2.INTER_LINEAR)
    rest = np.abs(amounts[ground])
    return amounts.astype(np.float32), np.maximum(1.48 * np.median(rest, axis=0), LEAST_NOISE)


def signal_and_share(
    amounts: np.ndarray, noise: np.ndarray, typical: np.ndarray, ground: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Give the absorbance over all channels in units of the background's noise, and as a share of a cell's."""
    whitened = (amounts / noise).sum(axis=-1)
    signal = whitened / max(1.48 * float(np.median(np.abs(whitened[ground]))), 1e-6)
    strength = np.linalg.norm(typical) or PALEST_CELL
    return signal, np.linalg.norm(np.maximum(amounts, 0), axis=-1) / strength


def lettering(image: np.ndarray, ground: np.ndarray, reach_px: float) -> np.ndarray:
    """Say where green lettering is, which `channel_absorbance` has painted over, and its surroundings."""
    red, green = np.log(np.maximum(image[..., :2], 1).astype(np.float32)).transpose(2, 0, 1)  # each (H, W)
    excess = green - red
    ink = excess - np.median(excess[ground]) > INK_EXCESS
    return cv2.dilate(ink.astype(np.uint8), disc(reach_px)) > 0


def pruned(grown: np.ndarray, share: np.ndarray, of_peak: float, most: float) -> np.ndarray:
    """Cut the faint surroundings of dark objects: blur, and haze that joins them to others."""
    count, labels = cv2.connectedComponents(grown.astype(np.uint8), connectivity=8)
    peak = np.zeros(count, np.float32)
    inside = labels > 0
    np.maximum.at(peak, labels[inside], share[inside])
    return inside & (share > np.minimum(of_peak * peak, most)[labels])


def holes_filled(grown: np.ndarray, ground: np.ndarray, largest_px: float) -> np.ndarray:
    """Close the holes of objects, which are rings where they are out of focus."""
    _, holes, stats, _ = cv2.connectedComponentsWithStats((~grown).astype(np.uint8), connectivity=4)
    small = stats[:, cv2.CC_STAT_AREA] <= largest_px
    small[0] = False
    return (grown | small[holes]) & ground
