"""The outline of a binary shape, freed from the steps of its pixels."""

from __future__ import annotations

import math

import cv2
import numpy as np
from skimage.measure import find_contours

STEP_NOISE = 0.072  # measured: power of pixel steps across an outline, px² per 1/px; 1/12 would be that along one axis
SOFT_PX = 0.7  # blur before the outline is followed, which takes the shortest steps away
NEIGHBOURS = 2  # descriptors on either side that the power of one is estimated with
FINE = 8  # parts of a pixel's side in which an outline is filled
FEWEST = 64  # points along an outline; else one per pixel at least
SAME = 0.9  # share of the area that an outline must enclose; one that does not has lost part of its shape


def outline(shape: np.ndarray) -> tuple[np.ndarray, float]:
    """Follow the outer edge of a binary shape at even steps.

    Parameters
    ----------
    shape : bool (h, w)

    Returns
    -------
    complex (n,)
        Column + i · row of points along the edge, n a power of two; empty where a thin part or a hole leaves no
        line or several.
    length_px : float
    """
    pad = math.ceil(4 * SOFT_PX)
    full = cv2.copyMakeBorder(shape.astype(np.float32), pad, pad, pad, pad, cv2.BORDER_CONSTANT)
    points, length_px = follow(cv2.GaussianBlur(full, (0, 0), SOFT_PX))
    return points - pad * (1 + 1j), length_px


def follow(field: np.ndarray) -> tuple[np.ndarray, float]:
    """Follow the line where a field is ½ at even steps; returned as by `outline`.

    Parameters
    ----------
    field : float (h, w)
        Of one figure: above ½ inside, below it outside and along the border.
    """
    lines = find_contours(field, 0.5)
    if len(lines) != 1:
        return np.zeros(0, complex), 0.0
    rows, columns = lines[0].T
    along = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(rows), np.diff(columns)))])
    count = max(FEWEST, 2 ** math.ceil(math.log2(along[-1])))
    places = np.arange(count) * along[-1] / count
    return np.interp(places, along, columns) + 1j * np.interp(places, along, rows), float(along[-1])


def without_steps(points: np.ndarray, length_px: float) -> np.ndarray:
    """Take from an outline what the steps of pixels have added to it.

    Parameters
    ----------
    points : complex (n,)
        At even steps, as `outline` gives them.
    length_px : float

    Returns
    -------
    complex (n,)

    Notes
    -----
    Spectral subtraction (Boll 1979, doi:10.1109/TASSP.1979.1163209) on the Fourier descriptors of the outline
    (Granlund 1972, doi:10.1109/TC.1972.5008926): the descriptor of power P is multiplied by (1 - N/P)^½, or by 0
    where P < N, so that the power of what the cell really has is kept. The noise N is known, for rounding to pixels
    is the same everywhere: `STEP_NOISE` / length, for edges in all directions alike. P is a mean over neighbouring
    descriptors. Place and size stay, and so does the tip of a teardrop, which has far more power than the steps.
    Book: chapter 02.
    """
    count = len(points)
    descriptors, order = np.fft.fft(points) / count, np.fft.fftfreq(count, 1 / count)
    noise = STEP_NOISE / length_px * np.exp(-((2 * np.pi * SOFT_PX * order / length_px) ** 2))
    detail = np.abs(order) > 1
    window = np.ones(2 * NEIGHBOURS + 1)
    power = np.convolve(np.fft.fftshift(np.where(detail, np.abs(descriptors) ** 2 / noise, 0.0)), window, "same")
    power /= np.maximum(np.convolve(np.fft.fftshift(detail), window, "same"), 1.0)  # in units of the noise
    gain = np.where(detail, np.fft.ifftshift(np.sqrt(1 - 1 / np.maximum(power, 1.0))), 1.0)
    return np.fft.ifft(descriptors * gain) * count


def smoothed(shape: np.ndarray, pad: int = 0) -> np.ndarray:
    """Give how much of every pixel a binary shape covers, once its outline is freed from the steps of pixels.

    Parameters
    ----------
    shape : bool (h, w)
        In one piece, without holes.
    pad : int
        Background to leave around it.

    Returns
    -------
    uint8 (h + 2 pad, w + 2 pad)
        255 where it covers all of a pixel. The area stays; where the edge cannot be followed, so does the shape.

    Examples
    --------
    >>> disc = np.hypot(*np.mgrid[-9:10, -9:10]) <= 9.2
    >>> int(disc.sum()), round(float(smoothed(disc, pad=1).sum() / 255))
    (261, 261)
    """
    points, length_px = outline(shape)
    area = np.count_nonzero(shape)
    if len(points):
        points = without_steps(points, length_px)
        enclosed = _enclosed(points)
    if not len(points) or not SAME < enclosed / area < 1 / SAME:
        return cv2.copyMakeBorder(shape.astype(np.uint8) * 255, pad, pad, pad, pad, cv2.BORDER_CONSTANT)
    # OpenCV fills every part that the edge touches: half a part more all around.
    wanted = area - length_px / (2 * FINE)
    middle = points.mean()
    points = middle + (points - middle) * math.sqrt(wanted / enclosed) + (pad + 0.5) * (1 + 1j)
    corners = np.stack([points.real, points.imag], axis=1) * FINE - 0.5
    width, height = shape.shape[1] + 2 * pad, shape.shape[0] + 2 * pad
    parts = np.zeros((height * FINE, width * FINE), np.uint8)
    cv2.fillPoly(parts, [np.rint(corners * 256).astype(np.int32)], 255, shift=8)
    return cv2.resize(parts, (width, height), interpolation=cv2.INTER_AREA)


def _enclosed(points: np.ndarray) -> float:
    """Give the area of a polygon of complex points."""
    return float(abs(np.imag(np.conj(points) * np.roll(points, -1)).sum()) / 2)
