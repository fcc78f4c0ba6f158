"""What lies between the phantom's red cells and is not labelled: platelets, white cells, dust."""

from __future__ import annotations

import cv2
import numpy as np

from ._phantom_optics import smooth_noise

# Absorbance per colour channel (R, G, B) of stained matter at unit density; ours, by eye.
NUCLEUS = np.float32([0.55, 0.80, 0.28])
CYTOPLASM = np.float32([0.16, 0.20, 0.08])
PLATELET = np.float32([0.26, 0.36, 0.14])
DIRT = np.float32([0.55, 0.50, 0.48])


def _window(centre: np.ndarray, reach: float, shape: tuple[int, int]):
    """Give the part of the image within `reach` of a centre and its coordinates from there."""
    top, left = (max(0, int(np.floor(c - reach))) for c in centre)
    bottom, right = (min(side, int(np.ceil(c + reach)) + 1) for c, side in zip(centre, shape, strict=True))
    if top >= bottom or left >= right:
        return None
    rows = (np.arange(top, bottom, dtype=np.float32) - np.float32(centre[0]))[:, None]
    cols = (np.arange(left, right, dtype=np.float32) - np.float32(centre[1]))[None, :]
    return (slice(top, bottom), slice(left, right)), rows, cols


def add_white_cell(
    absorbance: np.ndarray, phase_um: np.ndarray, centre: np.ndarray, radius_px: float, rng: np.random.Generator
) -> None:
    """Draw a white cell in place: pale granular cytoplasm around a lobed purple nucleus."""
    lobes = int(rng.integers(1, 5))
    turn, bend = rng.uniform(0, 2 * np.pi, 2)
    window = _window(centre, 1.3 * radius_px, absorbance.shape[:2])
    # The draws below do not depend on the window, so a clipped cell leaves the same sequence behind.
    grain = smooth_noise(rng, (int(3 * radius_px) + 4,) * 2, 0.12 * radius_px)
    if window is None:
        return
    where, rows, cols = window
    grain = grain[: rows.shape[0], : cols.shape[1]]
    theta = np.arctan2(rows, cols)
    rho = np.hypot(rows, cols) / (radius_px * (1 + 0.05 * np.cos(3 * theta + bend) + 0.04 * np.cos(2 * theta + turn)))
    body = np.clip((1.0 - rho) * radius_px * 0.5, 0, 1)
    nucleus = np.full(rho.shape, -radius_px, dtype=np.float32)
    for lobe in range(lobes):
        if lobes == 1:
            at, size = 0.12, 0.72
        else:
            at, size = 0.42, 0.36
        angle = turn + lobe * (4.4 / lobes)
        away = np.hypot(rows - at * radius_px * np.sin(angle), cols - at * radius_px * np.cos(angle))
        nucleus = np.maximum(nucleus, size * radius_px - away)
    nucleus = np.clip(nucleus * 0.35 + 0.2 * grain, 0, 1) * body
    absorbance[where] += (body * (1 + 0.18 * grain))[..., None] * CYTOPLASM
    absorbance[where] += (nucleus * (0.75 + 0.12 * grain))[..., None] * NUCLEUS
    phase_um[where] += 2.0 * np.sqrt(np.clip(1 - rho**2, 0, None)) + 0.5 * nucleus


def add_platelet(
    absorbance: np.ndarray, phase_um: np.ndarray, centre: np.ndarray, radius_px: float, rng: np.random.Generator
) -> None:
    """Draw a platelet in place: a pale irregular disc with purple granules."""
    granules = int(rng.integers(5, 12))
    at = rng.normal(0.0, 0.38 * radius_px, (granules, 2))
    size = rng.uniform(0.16, 0.34, granules) * radius_px
    phase, ripple = rng.uniform(0, 2 * np.pi, 3), rng.uniform(0.06, 0.2, 3)
    window = _window(centre, 1.7 * radius_px, absorbance.shape[:2])
    if window is None:
        return
    where, rows, cols = window
    theta = np.arctan2(rows, cols)
    edge = radius_px * (1 + sum(ripple[k] * np.cos((k + 2) * theta + phase[k]) for k in range(3)))
    body = np.clip((edge - np.hypot(rows, cols)) * 0.35 + 0.5, 0, 1)
    dots = np.zeros_like(body)
    for (row, col), width in zip(at, size, strict=True):
        dots += np.exp(-((rows - row) ** 2 + (cols - col) ** 2) / (2 * width**2))
    density = body * (0.22 + 0.8 * np.clip(dots, 0, 1.3))
    absorbance[where] += density[..., None].astype(np.float32) * PLATELET
    phase_um[where] += (0.8 * density).astype(np.float32)


def add_dust(
    absorbance: np.ndarray, phase_um: np.ndarray, centre: np.ndarray, radius_px: float, rng: np.random.Generator
) -> None:
    """Draw a grain or fibre of dust in place: grey, out of focus, with a ring of its own."""
    stretch = np.exp(abs(rng.normal(0.0, 0.5)))
    angle, strength = rng.uniform(0, np.pi), rng.uniform(0.2, 1.0)
    hollow = rng.random() < 0.5
    window = _window(centre, 3.5 * radius_px * stretch, absorbance.shape[:2])
    if window is None:
        return
    where, rows, cols = window
    along = (np.cos(angle) * cols + np.sin(angle) * rows) / (radius_px * stretch)
    across = (np.cos(angle) * rows - np.sin(angle) * cols) / radius_px
    square = along**2 + across**2
    grain = np.exp(-square) - (0.9 * np.exp(-3.0 * square) if hollow else 0.0)
    absorbance[where] += (strength * grain)[..., None].astype(np.float32) * DIRT
    phase_um[where] += (2.0 * strength * np.exp(-square)).astype(np.float32)


def free_places(rng: np.random.Generator, count: int, covered: np.ndarray, clearance_px: float) -> np.ndarray:
    """Draw up to `count` places (row, column) that keep a distance from all covered pixels."""
    tries = rng.random((6 * count, 2)) * covered.shape
    if count == 0:
        return np.zeros((0, 2))
    distance = cv2.distanceTransform((~covered).astype(np.uint8), cv2.DIST_L2, 3)
    free = distance[tries[:, 0].astype(int), tries[:, 1].astype(int)] > clearance_px
    return tries[free][:count]
