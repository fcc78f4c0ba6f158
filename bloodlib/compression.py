"""What JPEG leaves in a picture: which quality it was stored at, and the same done to another picture."""

from __future__ import annotations

import cv2
import numpy as np

QUALITIES = range(60, 99)  # of the libjpeg scale; what is stored better leaves no traces that could be told
LOOKED_AT_PX = 160  # side of the corner that is looked at: blocks begin at the picture's first pixel
FOUND = 0.8  # of the error at the qualities beside it: without traces the error falls evenly towards better ones
FINER = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420)  # colour as fine as light, halved


def compressed(image: np.ndarray, quality: int, halved: bool) -> np.ndarray:
    """Store a picture as JPEG and read it again.

    Parameters
    ----------
    image : uint8 (H, W, 3)
        RGB.
    quality : int
        0 to 100, of libjpeg's scale.
    halved : bool
        Whether colour is kept at half the side (4:2:0) rather than at the whole (4:4:4).

    Returns
    -------
    uint8 (H, W, 3)
    """
    options = [cv2.IMWRITE_JPEG_QUALITY, int(quality), cv2.IMWRITE_JPEG_SAMPLING_FACTOR, FINER[bool(halved)]]
    _, code = cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), options)
    return np.ascontiguousarray(cv2.imdecode(code, cv2.IMREAD_COLOR)[..., ::-1])


def jpeg_traces(image: np.ndarray) -> tuple[int, bool]:
    """Find the quality at which a picture was last stored as JPEG.

    Parameters
    ----------
    image : uint8 (H, W, 3)
        RGB, as it was read: a picture that was resized, turned or cut elsewhere than at its corner has no traces left.

    Returns
    -------
    quality : int
        Of libjpeg's scale; 0 where there are no traces, or tables that are not libjpeg's.
    halved : bool
        As in `compressed`.

    Notes
    -----
    A picture that was quantised once is hardly changed by being quantised in the same way again, and more by any other
    way (Farid 2009, doi:10.1109/TIFS.2008.2012215). Whole grey levels leave a small error at the right quality, so
    it is found as a dip below the qualities beside it.
    """
    corner = image[:LOOKED_AT_PX, :LOOKED_AT_PX]
    best = (FOUND, 0, False)
    for halved in (True, False) if corner.size else ():
        tried = range(QUALITIES[0] - 1, QUALITIES[-1] + 2)
        error = {q: float(cv2.absdiff(compressed(corner, q, halved), corner).mean()) for q in tried}
        for quality in QUALITIES:
            beside = min(error[quality - 1], error[quality + 1])
            if beside > 0:
                best = min(best, (error[quality] / beside, quality, halved))
    return best[1:]
