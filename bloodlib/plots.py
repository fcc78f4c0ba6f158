"""Small helpers that the figures of the book share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.textpath import TextPath

from .sampler.canvas import COLOURS
from .statistics import touching_pairs

# Okabe & Ito's colours, told apart with any colour vision; one per arm of Table 2.
ARM_COLOURS = {
    "RD": "#0072B2",
    "SD": "#D55E00",
    "RD+aug": "#56B4E9",
    "RD+SD": "#E69F00",
    "RD+SD+aug": "#009E73",
}

# One per layout law and per system, in every figure that draws them: a system has the colour of its layout. Chosen so
# that any two differ by a CIEDE2000 of at least 14 with normal vision and with red, green or blue cones missing.
SYSTEM_COLOURS = {
    "real": "#000000",
    "uniform": "#856C9B",
    "final, inverted": "#2E04F0",  # Eq. 3 of Bailo et al. 2019: published version and core as this book reads them
    "final, zero": "#2B8DFD",
    "first, inverted": "#6D0066",
    "first, zero": "#E094BB",
    "Thomas clusters": "#14614C",
    "graph": "#A17A1E",
    "fitted": "#993300",
    "fitted by slide": "#E15A78",
    "fitted, same slide": "#312000",
    "main pipeline": "#2E04F0",
    "CycleGAN": "#BAB300",
    "single cells": "#A17A1E",
}
_DASHES = {"final, zero": "--", "first, zero": "--", "uniform": ":", "graph": "-.", "fitted": (0, (6, 1.5))}
_WIDTHS = {"real": 2.5, "uniform": 2.4, "first, zero": 2.4}  # dots and pale dashes look thinner than they are

# Channels of a picture: a dark, a light and a middling one, since red and green alone are one colour to many.
CHANNEL_COLOURS = {"red": "#A00000", "green": "#4DB34D", "blue": "#2244DD"}

# For parts of a figure that have no colour of their own in this book, clusters or slides: Okabe and Ito's colours
# without yellow, and with every turn through them another marker.
CYCLE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "^", "s", "D", "v", "P")


def system_line(name: str) -> dict[str, Any]:
    """Give the colour and the dashes of a layout law or system, as keywords of ``Axes.plot``.

    Parameters
    ----------
    name : str
        A key of `SYSTEM_COLOURS`.

    Returns
    -------
    dict
        ``color``, ``linestyle``, and a thicker ``linewidth`` for real smears, dots and the palest dashes.

    Raises
    ------
    ValueError
        If no colour is set for that name.

    Notes
    -----
    Book: chapters 03, 04 and 13.

    Examples
    --------
    >>> system_line("final, zero")
    {'color': '#2B8DFD', 'linestyle': '--'}
    """
    if name not in SYSTEM_COLOURS:
        raise ValueError(f"name: {name!r} has no colour; those that have one are {', '.join(SYSTEM_COLOURS)}")
    thick = {"linewidth": _WIDTHS[name]} if name in _WIDTHS else {}
    return {"color": SYSTEM_COLOURS[name], "linestyle": _DASHES.get(name, "-"), **thick}


def cycled(k: int) -> tuple[str, str]:
    """Give the colour and the marker of part `k` of a figure; no two of the first 42 share both.

    Examples
    --------
    >>> cycled(0), cycled(7)
    (('#0072B2', 'o'), ('#0072B2', '^'))
    """
    return CYCLE[k % len(CYCLE)], MARKERS[k // len(CYCLE) % len(MARKERS)]


def style() -> None:
    """Apply the one matplotlib style of the book."""
    plt.style.use(Path(__file__).with_name("plots.mplstyle"))


def show_images(
    images: Sequence[np.ndarray],
    titles: Sequence[str] | None = None,
    columns: int | None = None,
    width: float = 10.0,
    **imshow,
) -> Figure:
    """Lay pictures out on a grid without axes.

    Parameters
    ----------
    images : sequence of (H, W) or (H, W, 3) arrays
    titles : sequence of str, optional
        One per picture, as large as a phone needs where the longest line still fits its column.
    columns : int, optional
        Pictures per row; at most four if not given.
    width : float
        Of the whole figure, in inches; the height follows from the pictures.
    **imshow
        Passed on to ``Axes.imshow``.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no picture, or the titles are not one per picture.
    """
    if not len(images):
        raise ValueError("images: nothing to show, the list is empty")
    if titles is not None and len(titles) != len(images):
        raise ValueError(f"titles: {len(titles)} given for {len(images)} images; one per image is needed")
    columns = min(columns or 4, len(images))
    rows = -(-len(images) // columns)
    tallest = max(image.shape[0] / image.shape[1] for image in images)
    size = _title_points(titles or [""], width, columns)
    more_lines = max(title.count("\n") for title in titles) if titles is not None else 0
    title_inches = 0.3 + more_lines * size / 60 if titles is not None else 0.05
    height = rows * (width / columns * tallest + title_inches)
    figure, axes = plt.subplots(rows, columns, figsize=(width, height), squeeze=False)
    for k, axis in enumerate(axes.flat):
        axis.axis("off")
        if k < len(images):
            axis.imshow(images[k], **imshow)
            if titles is not None:
                axis.set_title(titles[k], fontsize=size)
    return figure


def _title_points(titles: Sequence[str], width: float, columns: int) -> float:
    """Give the size of titles that is legible where the figure is 358 px wide, or scrolls because it is wider."""
    widest = max(
        (TextPath((0, 0), line, size=1).get_extents().width for title in titles for line in title.split("\n") if line),
        default=0.0,
    )
    fits = 72 * 0.97 * width / columns / widest if widest else np.inf
    return max(11.0, min(2.2 * width, 16.0, fits))


def outlines(instances: np.ndarray) -> np.ndarray:
    """Mark the pixels of each cell that have a 4-neighbour of another cell or of the background, bool (H, W).

    Examples
    --------
    >>> outlines(np.pad(np.ones((3, 3), dtype=np.int32), 1)).sum()
    np.int64(8)
    """
    edge = np.zeros(instances.shape, dtype=bool)
    across = instances[:, :-1] != instances[:, 1:]
    down = instances[:-1] != instances[1:]
    edge[:, :-1] |= across
    edge[:, 1:] |= across
    edge[:-1] |= down
    edge[1:] |= down
    return edge & (instances > 0)


def overlay(image: np.ndarray, instances: np.ndarray, colour: Sequence[int] = (0, 255, 120)) -> np.ndarray:
    """Draw the outline of every instance into a copy of the image.

    Parameters
    ----------
    image : uint8 (H, W, 3)
    instances : int32 (H, W)
    colour : three of 0..255

    Returns
    -------
    uint8 (H, W, 3)
    """
    out = image.copy()
    out[outlines(instances)] = colour
    return out


def colour_instances(instances: np.ndarray) -> np.ndarray:
    """Colour a mask so that no two touching cells look the same.

    Parameters
    ----------
    instances : int32 (H, W)

    Returns
    -------
    uint8 (H, W, 3)
        Background black.

    Notes
    -----
    Each cell in turn takes the first colour, starting from its own place in the list, that no
    touching cell has; should a cell touch cells of all ten colours, it shares one.

    Examples
    --------
    >>> len(np.unique(colour_instances(np.array([[1, 2, 0, 3]])).reshape(-1, 3), axis=0))
    4
    """
    n = int(instances.max(initial=0))
    neighbours: list[list[int]] = [[] for _ in range(n + 1)]
    for a, b in touching_pairs(instances).tolist():
        neighbours[b].append(a)
    chosen = np.zeros(n + 1, dtype=int)
    for k in range(1, n + 1):
        taken = {int(chosen[other]) for other in neighbours[k]}
        turn = [1 + (k + step) % len(COLOURS) for step in range(len(COLOURS))]
        chosen[k] = next((colour for colour in turn if colour not in taken), turn[0])
    palette = np.concatenate([np.zeros((1, 3), dtype=np.uint8), COLOURS])
    return palette[chosen[instances]]
