"""What microscope and camera do to a picture: uneven light, colours that lie apart, smoothing, grain, compression."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from scipy import fft

from .compression import compressed, jpeg_traces

TILE_PX = 32  # side of the tiles that grain is measured in; they overlap by half
SPECTRUM = (3, TILE_PX, TILE_PX // 2 + 1)
FEWEST_TILES = 5  # of background, for a smear to have spectra of its own
LENDERS = 2  # smears that lend theirs to one with fewer
MOST_TILES = 1000  # of which spectra are taken; more would tell no more
MOST_POINTS = 250_000  # of which light is fitted
EDGE_PX = 8  # continued by reflection, so that one side of a picture is not smoothed into the other
COARSEST = 2 / TILE_PX  # cycles per px
ROUNDING = 1 / 12  # grey levels², the variance that whole numbers add: what is finer cannot be told
MARGIN_PX = 3  # of background beside cells and objects that does not count: outlines reach into it
BAND_PX = 3  # on either side of an outline, where the offset of colours shows
LEAST_CONTRAST = 0.05  # of a colour's outlines, as a share of green's, for its offset to be told
MOST_OFFSET_PX = 3.0  # a larger one is none of the camera
STEPS = 2  # of finding an offset, which is so small that the first is nearly right
GRAIN_ROUNDS = 6  # of correcting the grain by what is left of it in a compressed picture
MOST_GAIN = 2.0  # of a frequency's grain in one round
ROUNDS = 3  # of fits of the light, each without what the one before found too far away
OUTLYING = 3.0  # robust standard deviations
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601
COLOURS = (0, 2)  # red and blue, whose outlines are compared with green's


@dataclass(frozen=True, eq=False)
class Camera:
    """Hold what the camera did to each of some real smears, and do the same to painted ones.

    Parameters
    ----------
    light : float32 (m, 3, 6)
        Per smear and colour, the logarithm of the light that fell on it beyond what was painted: factors of
        1, u, v, u², u·v, v², where u and v run from -1 to 1 across the picture and down.
    offset : float32 (m, 2, 3)
        How far outlines in red and in blue lie from those in green: px to the right, px down, and px away from
        the centre per half width.
    response : float32 (m, 3, 32, 17)
        Share of what was painted that is kept at every frequency, 0 to 1, of luma, red minus luma and blue minus luma:
        cameras and JPEG keep little of the finest colour.
    grain : float32 (m, 3, 32, 17)
        Power spectrum of what tiles of background hold beyond that, of the same three, in grey levels².
    shape : (height, width)
        Of the smears that were measured, in px.
    stored : int32 (m, 2), optional
        Quality at which each was stored as JPEG, and 1 where that halved colour's sides (`bloodlib.compression`); a
        quality of 0 leaves pictures as they are, and so does None.

    Notes
    -----
    None of it is told by a mask, and little of it can be learnt by a painter of crops that are turned and mirrored:
    such views have no left and right, so fringes of colour average out, and grain, which is random, costs
    every loss that compares one picture with another. Lenses bend red and blue less and more than
    green (lateral chromatic aberration), so that one side of every cell has a reddish, the other a bluish rim.
    What is measured is always the difference of real and painted pictures of the same masks. Book: chapter 05.
    """

    light: np.ndarray
    offset: np.ndarray
    response: np.ndarray
    grain: np.ndarray
    shape: tuple[int, int]
    stored: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.light)

    @property
    def grain_std(self) -> np.ndarray:
        """Standard deviation of each smear's grain in grey levels, of luma and both differences, float64 (m, 3)."""
        half = np.full(TILE_PX // 2 + 1, 2.0)  # a real spectrum has every other column twice
        half[[0, -1]] = 1.0
        return np.sqrt((self.grain * half).sum(axis=(-2, -1)) / TILE_PX**2)

    @property
    def unevenness(self) -> np.ndarray:
        """Brightest over darkest light that falls on each smear, less 1, float64 (m,); the colour with the most."""
        terms = _basis(*_places((32, 32))).reshape(-1, 6).astype(np.float64)
        return np.expm1(np.ptp(self.light @ terms.T, axis=-1)).max(axis=1)  # (m, 3, 1024) to (m,)

    @classmethod
    def fit(
        cls,
        views: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]],
        otherwise: Camera | None = None,
        compression: bool = True,
    ) -> Camera:
        """Measure some smears.

        Parameters
        ----------
        views : iterable of (real, painted, instances)
            Pictures uint8 (H, W, 3) of the same mask, and that, int (H, W): cells and whatever else is
            no background. Best all of one size: each smear's light is measured over its own field, and falls on
            pictures as over the median field.
        otherwise : Camera, optional
            Lends its mean spectra to smears with too little background; if not given, those measured here do whose
            background's colour is nearest: stain and exposure decide how strong grain is.
        compression : bool
            Whether traces of JPEG are looked for, and left in what is taken.

        Raises
        ------
        ValueError
            If there is none.
        """
        light, offset, texture, looks, shapes, stored = [], [], [], [], [], []
        for real, painted, instances in views:
            ground = _away_from(instances)
            light.append(_light(real, painted, ground))
            offset.append(_offset(_lit(real, -light[-1]), instances) - _offset(painted, instances))
            seen = _set_apart(_lit(painted, light[-1]), offset[-1], instances.shape)
            looks.append(real[ground].mean(axis=0) if ground.any() else real.mean(axis=(0, 1)))
            shapes.append(instances.shape)
            stored.append(jpeg_traces(real) if compression else (0, False))
            texture.append(_texture(real, seen, ground, *stored[-1]))
        if not shapes:
            raise ValueError("no smear given: what a camera does is measured on at least one")
        known = [k for k, found in enumerate(texture) if found is not None]
        response, grain = (np.full((len(shapes), *SPECTRUM), x) for x in (1.0, 0.0))
        for k in known:
            response[k], grain[k] = texture[k]
        for k in np.setdiff1d(np.arange(len(shapes)), known):
            if otherwise is not None:
                response[k], grain[k] = otherwise.response.mean(axis=0), otherwise.grain.mean(axis=0)
            elif known:
                unlike = np.linalg.norm(np.subtract([looks[i] for i in known], looks[k]), axis=1)
                lenders = np.array(known)[np.argsort(unlike, kind="stable")[:LENDERS]]
                response[k], grain[k] = response[lenders].mean(axis=0), grain[lenders].mean(axis=0)
        arrays = (np.stack(x).astype(np.float32) for x in (light, offset, response, grain))
        return cls(*arrays, tuple(int(side) for side in np.median(shapes, axis=0)), np.array(stored, dtype=np.int32))

    def take(self, painted: np.ndarray, rng: np.random.Generator, which: int | None = None) -> np.ndarray:
        """Take a picture of what was painted.

        Parameters
        ----------
        painted : uint8 (H, W, 3)
            Any size: what is smaller than the smears that were measured is taken from their middle, what is larger
            gets their light and their fringes spread over it.
        rng : numpy.random.Generator
            Draws the grain.
        which : int, optional
            As the camera did it to this smear; one drawn at random if not given.

        Returns
        -------
        uint8 (H, W, 3)
        """
        which = int(rng.integers(len(self))) if which is None else which
        picture = _lit(painted, self.light[which], self.shape)
        picture = _set_apart(picture, self.offset[which], self.shape)
        stored = (0, 0) if self.stored is None else self.stored[which].tolist()
        return _developed(picture, self.response[which], self.grain[which], *stored, rng)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Give all arrays, to be stored; spectra as float16."""
        arrays = {
            "light": self.light,
            "offset": self.offset,
            "response": self.response.astype(np.float16),
            "grain": np.minimum(self.grain, np.finfo(np.float16).max).astype(np.float16),
            "shape": np.array(self.shape, dtype=np.int32),
        }
        return arrays if self.stored is None else {**arrays, "stored": self.stored}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> Camera:
        """Build the camera again from what `to_arrays` gave."""
        names = ("light", "offset", "response", "grain")
        parts = (np.asarray(arrays[name], dtype=np.float32) for name in names)
        return cls(*parts, tuple(int(side) for side in arrays["shape"]), arrays.get("stored"))


def _away_from(instances: np.ndarray) -> np.ndarray:
    """Say where background is that no outline reaches, bool (H, W)."""
    size = 2 * MARGIN_PX + 1
    return cv2.dilate((instances > 0).astype(np.uint8), np.ones((size, size), np.uint8)) == 0


def _places(shape: Sequence[int], whole: Sequence[int] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Give u (1, W) and v (H, 1) of every pixel of a picture: -1 to 1 over the larger one of it and `whole`."""
    across, down = (
        (np.arange(side, dtype=np.float32) - (side - 1) / 2) / (max(side, other) / 2)
        for side, other in zip(shape[::-1], (whole or shape)[::-1], strict=True)
    )
    return across[None], down[:, None]


def _basis(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Give the six terms of a quadratic, (H, W, 6)."""
    return np.stack(np.broadcast_arrays(np.ones((), np.float32), u, v, u * u, u * v, v * v), axis=-1)


def _light(real: np.ndarray, painted: np.ndarray, ground: np.ndarray) -> np.ndarray:
    """Fit the logarithm of real over painted background by a quadratic per colour, float64 (3, 6)."""
    step = max(2, math.isqrt(ground.size // MOST_POINTS))  # what is wanted is smooth
    ground = ground[::step, ::step]
    factors = np.zeros((3, 6))
    if np.count_nonzero(ground) < 0.01 * ground.size:
        return factors
    u, v = _places(real.shape[:2])
    terms = _basis(u[:, ::step], v[::step])[ground].astype(np.float64)
    ratio = [np.log(np.maximum(x[::step, ::step][ground].astype(np.float64), 1)) for x in (real, painted)]
    for colour in range(3):
        rest = ratio[0][:, colour] - ratio[1][:, colour]
        kept = np.ones(len(rest), dtype=bool)
        for _ in range(ROUNDS):
            factors[colour] = np.linalg.lstsq(terms[kept], rest[kept], rcond=1e-3)[0]
            away = np.abs(rest - terms @ factors[colour])
            kept = away <= OUTLYING * 1.48 * np.median(away) + 1e-6
    return factors


def _lit(picture: np.ndarray, light: np.ndarray, whole: Sequence[int] | None = None) -> np.ndarray:
    """Let light fall on a picture, float32 (H, W, 3)."""
    u, v = _places(picture.shape[:2], whole)
    out = picture.astype(np.float32)
    for colour, (even, across, down, bent, twisted, sunk) in enumerate(light.astype(np.float32)):
        out[..., colour] *= np.exp(even + across * u + bent * u * u + down * v + sunk * v * v + twisted * u * v)
    return out


def _offset(picture: np.ndarray, instances: np.ndarray) -> np.ndarray:
    """Find how far red and blue outlines lie from green ones, float64 (2, 3); zeros where it cannot be told.

    To first order a colour that is moved by s is green less s times green's slope; of that the least squares are taken
    around all outlines, and once more with green moved as far as that.
    """
    size = 2 * BAND_PX + 1
    cells = (instances > 0).astype(np.uint8)
    band = cv2.dilate(cells, np.ones((size, size), np.uint8)) != cv2.erode(cells, np.ones((size, size), np.uint8))
    band[:size] = band[-size:] = False
    band[:, :size] = band[:, -size:] = False
    found = np.zeros((2, 3))
    if np.count_nonzero(band) < 100:
        return found
    smooth = cv2.GaussianBlur(picture.astype(np.float64), (0, 0), 1.0)
    u, v = _places(band.shape)
    for row, colour in enumerate(COLOURS):
        for _ in range(STEPS):
            green = _moved(smooth[..., 1], found[row], band.shape)
            down, across = np.gradient(green)
            outward = u * across + v * down * (band.shape[0] / band.shape[1])
            terms = np.stack([x[band] for x in (green, np.ones_like(green), across, down, outward)], axis=-1)
            factors = np.linalg.lstsq(terms, smooth[..., colour][band], rcond=None)[0]
            if factors[0] < LEAST_CONTRAST:
                found[row] = 0
                break
            found[row] -= factors[2:] / factors[0]
        if np.abs(found[row]).max() > MOST_OFFSET_PX:
            found[row] = 0
    return found


def _set_apart(picture: np.ndarray, offset: np.ndarray, whole: Sequence[int]) -> np.ndarray:
    """Move red and blue against green, float32 (H, W, 3)."""
    out = picture.copy()
    for moved, colour in zip(offset, COLOURS, strict=True):
        out[..., colour] = _moved(np.ascontiguousarray(picture[..., colour]), moved, whole)
    return out


def _moved(plane: np.ndarray, offset: np.ndarray, whole: Sequence[int]) -> np.ndarray:
    """Move a plane (H, W) to the right, down and away from the centre."""
    height, width = plane.shape
    right, below, outward = (np.float32(x) for x in offset)
    u, v = _places(plane.shape, whole)
    x = np.arange(width, dtype=np.float32)[None] - right - outward * u
    y = np.arange(height, dtype=np.float32)[:, None] - below - outward * v * np.float32(whole[0] / whole[1])
    maps = (np.ascontiguousarray(np.broadcast_to(m, (height, width))) for m in (x, y))
    return cv2.remap(plane, *maps, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def _window() -> np.ndarray:
    """Give the window of a tile; white noise of variance 1 has a power of 1 at every frequency."""
    window = np.outer(*[np.hanning(TILE_PX + 2)[1:-1]] * 2)
    return window / np.sqrt(np.square(window).mean())


def _luma_chroma(picture: np.ndarray) -> np.ndarray:
    """Turn RGB (H, W, 3) into luma, red minus luma, blue minus luma, (3, H, W)."""
    luma = picture.astype(np.float32) @ LUMA
    return np.stack([luma, picture[..., 0] - luma, picture[..., 2] - luma])


def _from_luma_chroma(planes: Sequence[np.ndarray]) -> np.ndarray:
    """Turn luma, red minus luma, blue minus luma (3, H, W) into RGB (H, W, 3)."""
    luma, red, blue = planes
    green = -(LUMA[0] * red + LUMA[2] * blue) / LUMA[1]
    return np.stack([luma + red, luma + green, luma + blue], axis=-1)


def _tile_power(planes: np.ndarray, tiles: Sequence[tuple[int, int]]) -> np.ndarray:
    """Give the median over tiles of their power spectra, as the mean that such a median has, (3, S, S // 2 + 1).

    The power of noise in one tile is distributed exponentially: its median is ln 2 of its mean, and knows
    nothing of the few tiles in which some dust lies.
    """
    window = _window()
    cut = np.stack([planes[:, y : y + TILE_PX, x : x + TILE_PX] for y, x in tiles])  # (T, 3, S, S)
    cut = cut - (cut * window).sum(axis=(-2, -1), keepdims=True) / window.sum()
    return np.median(np.abs(np.fft.rfft2(cut * window, norm="ortho")) ** 2, axis=0) / np.log(2)


def _spectra(real: np.ndarray, painted: np.ndarray, ground: np.ndarray) -> np.ndarray | None:
    """Give the power spectra of real and painted background, (2, 3, S, S // 2 + 1); None where there is too little."""
    taken = cv2.integral((~ground).astype(np.uint8))
    reach = (np.arange(0, side - TILE_PX + 1, TILE_PX // 2) for side in ground.shape)
    y, x = (a.ravel() for a in np.meshgrid(*reach, indexing="ij"))
    below, right = y + TILE_PX, x + TILE_PX
    covered = taken[below, right] - taken[y, right] - taken[below, x] + taken[y, x]
    tiles = list(zip(y[covered == 0], x[covered == 0], strict=True))
    if len(tiles) < FEWEST_TILES:
        return None
    tiles = tiles[:: -(-len(tiles) // MOST_TILES)]
    return np.stack([_tile_power(_luma_chroma(picture), tiles) for picture in (real, painted)])


def _texture(
    real: np.ndarray, seen: np.ndarray, ground: np.ndarray, quality: int, halved: bool
) -> tuple[np.ndarray, np.ndarray] | None:
    """Give response and grain of a smear, (3, S, S // 2 + 1) each; None where there is too little background.

    Compression takes away most of the finest grain and smears the rest, so that grain as strong as what a stored
    picture shows comes out too weak and too coarse: it is corrected until what comes out is as strong.
    """
    spectra = _spectra(real, seen, ground)
    if spectra is None:
        return None
    over, under = spectra
    response = _response(over, under)
    if not quality:
        return response, np.maximum(over - under * response**2, 0)
    wanted = np.stack([_evened(one) for one in over])
    grain = np.maximum(wanted - np.stack([_evened(one) for one in under * response**2]), 0)
    best, least = grain.copy(), np.full(len(grain), np.inf)
    for seed in range(GRAIN_ROUNDS):
        taken = _developed(seen, response, grain, quality, halved, np.random.default_rng(seed))
        left = np.stack([_evened(one) for one in _spectra(real, taken, ground)[1]])
        away = np.abs(np.log((left + ROUNDING) / (wanted + ROUNDING))).mean(axis=(1, 2))
        best[away < least], least = grain[away < least], np.minimum(away, least)
        gained = grain * np.minimum(wanted / np.maximum(left, ROUNDING), MOST_GAIN)  # where storing leaves little
        grain = np.maximum(grain + wanted - left, 0)
        grain = np.where(wanted > left, np.maximum(grain, gained), grain)
    return response, best


def _developed(
    picture: np.ndarray,
    response: np.ndarray,
    grain: np.ndarray,
    quality: int,
    halved: bool,
    rng: np.random.Generator,
) -> np.ndarray:
    """Smooth a picture float (H, W, 3), add its grain and store it, uint8 (H, W, 3)."""
    both = zip(_luma_chroma(picture), response, grain, strict=True)
    picture = _from_luma_chroma([_smoothed_and_grained(*plane, rng) for plane in both])
    picture = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    return compressed(picture, quality, bool(halved)) if quality else picture


def _response(real: np.ndarray, painted: np.ndarray) -> np.ndarray:
    """Give the share of what was painted that leaves no more of any frequency than is real, (3, S, S // 2 + 1).

    Spectra of few tiles are uneven: neighbouring frequencies are taken together, and so are opposite ones, which a
    blur keeps alike. The coarsest, which are uneven light rather than texture, are all kept.
    """
    share = np.empty_like(real)
    down = np.fft.fftfreq(TILE_PX)[:, None]
    coarse = np.hypot(down, np.fft.rfftfreq(TILE_PX)[None]) < COARSEST
    for plane in range(len(real)):
        over, under = (_evened(spectrum[plane]) + ROUNDING for spectrum in (real, painted))
        share[plane] = np.where(coarse, 1, np.sqrt(np.minimum(over / under, 1)))
    return share


def _evened(power: np.ndarray) -> np.ndarray:
    """Average a power spectrum (S, S // 2 + 1) over neighbouring and opposite frequencies."""
    full = np.hstack([power, power[:, -2:0:-1]])  # (S, S)
    full = (full + np.roll(full[::-1], 1, axis=0)) / 2
    return cv2.blur(np.tile(full, (3, 3)), (3, 3))[TILE_PX : 2 * TILE_PX, TILE_PX : TILE_PX + power.shape[1]]


def _smoothed_and_grained(
    plane: np.ndarray, response: np.ndarray, power: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Filter a plane (H, W) by a response, and add noise of a power spectrum, (S, S // 2 + 1) both."""
    height, width = plane.shape
    whole = [fft.next_fast_len(side + 2 * EDGE_PX, real=True) for side in (height, width)]
    rest = (whole[0] - height - EDGE_PX, whole[1] - width - EDGE_PX)
    plane = cv2.copyMakeBorder(plane, EDGE_PX, rest[0], EDGE_PX, rest[1], cv2.BORDER_REFLECT)
    white = rng.standard_normal(whole, dtype=np.float32)
    down = _between(np.fft.fftfreq(whole[0]) % 1, TILE_PX + 1)
    across = _between(np.fft.rfftfreq(whole[1]), TILE_PX // 2 + 1)
    kept, added = (down @ np.vstack([x, x[:1]]) @ across.T for x in (response, np.sqrt(power)))
    spectrum = fft.rfft2(plane) * kept + fft.rfft2(white) * added
    return fft.irfft2(spectrum, s=whole)[EDGE_PX : EDGE_PX + height, EDGE_PX : EDGE_PX + width]


def _between(frequencies: np.ndarray, points: int) -> np.ndarray:
    """Give the weights (n, points) that interpolate linearly between multiples of 1 / TILE_PX, float32."""
    away = np.abs(frequencies[:, None] * TILE_PX - np.arange(points))
    return np.maximum(1 - away, 0).astype(np.float32)
