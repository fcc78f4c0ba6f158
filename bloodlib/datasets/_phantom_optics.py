"""The light of the phantom: thickness of a red cell, absorption, refraction, lens and sensor."""

from __future__ import annotations

import cv2
import numpy as np

RADIUS_UM = 3.91
THICKNESS_UM = (0.81, 7.83, -4.39)


def evans_fung_thickness(rho: np.ndarray) -> np.ndarray:
    """Give the thickness of a resting red cell at a distance from its centre.

    Parameters
    ----------
    rho : float array
        Distance divided by the cell's radius (3.91 µm); beyond 1 there is no cell.

    Returns
    -------
    float array
        Thickness in µm.

    Notes
    -----
    T(ρ) = √(1 − ρ²) · (0.81 + 7.83 ρ² − 4.39 ρ⁴) µm: Evans & Fung (1972), Microvascular
    Research 4, 335–347, the human cell in 300 mosm plasma.

    Examples
    --------
    >>> evans_fung_thickness(np.array([0.0, 1.0, 1.2])).tolist()
    [0.81, 0.0, 0.0]
    """
    return envelope(rho) * dimple(rho)


def envelope(rho: np.ndarray, flatness: float = 2.0) -> np.ndarray:
    """Give the falling edge √(1 − ρ^flatness); 2 is Evans & Fung's, more is a cell dried flat."""
    return np.sqrt(np.clip(1.0 - np.clip(rho, 0.0, 1.0) ** flatness, 0.0, None))


def dimple(rho: np.ndarray, depth: float = 1.0) -> np.ndarray:
    """Give Evans & Fung's polynomial in µm, levelled towards its mean where `depth` is under 1.

    The mean is the one that leaves the volume of the round cell unchanged, so a cell without
    pallor holds as much haemoglobin as one with it.
    """
    square = np.clip(rho, 0.0, 1.0) ** 2
    c0, c1, c2 = THICKNESS_UM
    level = c0 + 0.4 * c1 + 0.4 * 4 / 7 * c2
    return level + depth * (c0 + square * (c1 + square * c2) - level)


def dried(rho: np.ndarray, dryness: float, inner: float = 0.16, outer: float = 0.58) -> np.ndarray:
    """Move the places of a dimple as drying does: a level floor, a steep step, a level rim.

    `dryness` 0 leaves Evans & Fung's cell in plasma, 1 is a step between `inner` and `outer` radii
    up to the place where their polynomial is highest (ρ² = 7.83 / 8.78). Ours, after the look of
    air-dried smears.
    """
    share = np.clip((rho - inner) / (outer - inner), 0.0, 1.0)
    return rho + dryness * (0.944 * share * share * (3.0 - 2.0 * share) - rho)


def transmitted(incident: float | np.ndarray, absorbance: np.ndarray) -> np.ndarray:
    """Attenuate light by Beer–Lambert: I = I₀ · exp(−A), where A = ε · T sums over all that it crosses."""
    return incident * np.exp(-absorbance)


def absorption_for(mean_transmittance: np.ndarray, thickness_um: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Find ε per colour channel such that a cell lets through a wanted share of the light.

    Parameters
    ----------
    mean_transmittance : float (3,)
        Mean of I / I₀ over the cell, in (0, 1].
    thickness_um, weights : float (k,)
        Thickness at k places of the cell and the share of its area that each stands for.

    Returns
    -------
    float (3,)
        ε in 1/µm.
    """
    trial = np.linspace(0.0, 2.0, 801)
    share = (np.exp(-trial[:, None] * thickness_um) * weights).sum(1) / weights.sum()
    return np.interp(mean_transmittance, share[::-1], trial[::-1])


def refraction(phase_um: np.ndarray, strength: float, sigma_px: float) -> np.ndarray:
    """Brighten or darken light where the optical path bends: the fringe and halo of edges.

    Parameters
    ----------
    phase_um : float32 (H, W)
        Thickness of refracting matter.
    strength : float
        Defocus times refractive index difference, in 1/µm; a positive one gives a dark rim
        with a bright halo around it, a negative one the reverse.
    sigma_px : float
        Resolution of the lens.

    Returns
    -------
    float32 (H, W)
        Factor of intensity, around 1.

    Notes
    -----
    Transport of intensity (Teague 1983): ∂I/∂z = −(λ/2π) ∇·(I ∇φ). To first order in the
    defocus, for even light: I(z) = I · (1 + strength · ∇²T). The factor is taken as an
    exponential, so that it stays positive. Ours: a wider, fainter halo from the light that the
    condenser sends in at an angle is the same term at 2.6 times the width.
    """
    bend = np.zeros_like(phase_um)
    for width, share in ((sigma_px, 1.0), (2.6 * sigma_px, 0.3)):
        smooth = cv2.GaussianBlur(phase_um, (0, 0), width)
        bend += cv2.Laplacian(smooth, cv2.CV_32F, ksize=1) * np.float32(share * strength * width**2)
    return np.exp(np.clip(bend, -0.4, 0.35))


def illumination(shape: tuple[int, int], centre: tuple[float, float], falloff: float, tilt: np.ndarray) -> np.ndarray:
    """Give the lamp's unevenness: a vignette around `centre` and a linear tilt, float32 (H, W) near 1.

    `centre` and `tilt` are in units of half the image diagonal, from its middle (row, column).
    """
    half = np.hypot(*shape) / 2
    rows = ((np.arange(shape[0], dtype=np.float32) - shape[0] / 2) / half)[:, None]
    cols = ((np.arange(shape[1], dtype=np.float32) - shape[1] / 2) / half)[None, :]
    square = (rows - centre[0]) ** 2 + (cols - centre[1]) ** 2
    return (1.0 - falloff * square + tilt[0] * rows + tilt[1] * cols).astype(np.float32)


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], grain_px: float) -> np.ndarray:
    """Draw a smooth random field of unit variance, float32 (H, W), that varies over `grain_px`."""
    coarse = [max(4, int(np.ceil(side / grain_px)) + 4) for side in shape]
    field = rng.standard_normal(coarse, dtype=np.float32)
    size = [int(np.ceil(side * grain_px)) for side in coarse]
    row, col = (int(rng.integers(0, whole - part + 1)) for whole, part in zip(size, shape, strict=True))
    field = cv2.resize(field, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)
    return field[row : row + shape[0], col : col + shape[1]] * np.float32(1.4)


def lens(light: np.ndarray, blur_px: float, shift_px: tuple[float, float]) -> np.ndarray:
    """Blur one colour channel and shift it by a lateral chromatic error (row, column)."""
    if any(shift_px):
        move = np.float32([[1, 0, shift_px[1]], [0, 1, shift_px[0]]])
        size = (light.shape[1], light.shape[0])
        light = cv2.warpAffine(light, move, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return cv2.GaussianBlur(light, (0, 0), blur_px, borderType=cv2.BORDER_REPLICATE)


def sensor(light: np.ndarray, rng: np.random.Generator, gain: float, read_noise: float) -> np.ndarray:
    """Record float32 (H, W, 3) light of 0…255 as uint8, with shot noise (variance gain · I) and read noise.

    The noise is slightly correlated between neighbours, as interpolating a colour mosaic leaves it.
    """
    noise = rng.standard_normal(light.shape, dtype=np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), 0.6) * np.float32(1.9)
    noise *= np.sqrt(np.float32(gain) * np.clip(light, 0, None) + np.float32(read_noise) ** 2)
    return np.clip(np.rint(light + noise), 0, 255).astype(np.uint8)
