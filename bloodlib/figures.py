"""The drawings of the chapters on the painter: the pipeline, training curves, snapshots, styles."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch, FancyBboxPatch

from .io import read_image
from .plots import colour_instances, cycled

if TYPE_CHECKING:
    from .gan.styles import Styles


def mosaic(shapes: Sequence[np.ndarray], columns: int = 8) -> np.ndarray:
    """Lay binary shapes out on one sheet, all at one scale.

    Parameters
    ----------
    shapes : sequence of bool (h, w)
    columns : int

    Returns
    -------
    bool (H, W)

    Examples
    --------
    >>> mosaic([np.ones((2, 2)), np.ones((1, 1))], columns=2).astype(int)
    array([[0, 0, 0, 0, 0, 0, 0, 0],
           [0, 1, 1, 0, 0, 1, 0, 0],
           [0, 1, 1, 0, 0, 0, 0, 0],
           [0, 0, 0, 0, 0, 0, 0, 0]])
    """
    side = 2 + max(max(shape.shape) for shape in shapes)
    rows = -(-len(shapes) // columns)
    sheet = np.zeros((rows * side, columns * side), dtype=bool)
    for k, shape in enumerate(shapes):
        (row, column), (height, width) = divmod(k, columns), shape.shape
        top, left = row * side + (side - height) // 2, column * side + (side - width) // 2
        sheet[top : top + height, left : left + width] = shape
    return sheet


def pipeline(
    image: np.ndarray, instances: np.ndarray, shapes: Sequence[np.ndarray], drawn: np.ndarray, painted: np.ndarray
) -> Figure:
    """Draw the way from annotated smears to synthetic ones (Bailo et al. 2019, Fig. 2), two columns wide.

    Parameters
    ----------
    image : uint8 (H, W, 3)
        One of the annotated smears.
    instances : int32 (H, W)
        Its mask.
    shapes : sequence of bool (h, w)
        Some of the shape database.
    drawn : int32 (h, w)
        A synthetic mask.
    painted : uint8 (h, w, 3)
        The smear painted on it.

    Returns
    -------
    matplotlib.figure.Figure
        Left column the masks, right column the pictures; from top: what is given, what is learnt, what is made.
    """
    figure, axes = plt.subplots(3, 2, figsize=(7, 7.6), height_ratios=[1, 0.8, 1], layout="constrained")
    figure.get_layout_engine().set(hspace=0.2, wspace=0.16)
    given, learnt, made = axes
    pictures = {
        given[0]: ("annotated masks", colour_instances(instances)),
        given[1]: ("smears", image),
        learnt[0]: ("shape database", mosaic(shapes)),
        made[0]: ("synthetic mask", colour_instances(drawn)),
        made[1]: ("synthetic smear", painted),
    }
    for axis, (title, picture) in pictures.items():
        axis.imshow(picture, cmap="gray")
        axis.set_title(title)
    _painter(learnt[1])
    for axis in axes.flat:
        axis.axis("off")
    down, across = ((0.5, -0.03), (0.5, 1.16)), ((1.02, 0.5), (-0.02, 0.5))
    _arrow(figure, given[0], learnt[0], "a  cut out", *down)
    _arrow(figure, given[1], learnt[1], "b  train", *down)
    _arrow(figure, given[0], learnt[1], "", (1.02, 0.15), (0.0, 0.98))
    _arrow(figure, learnt[0], made[0], "c  lay out", *down)
    _arrow(figure, learnt[1], made[1], "d  paint", *down)
    _arrow(figure, made[0], made[1], "", *across)
    return figure


def _painter(axis: Axes) -> None:
    """Draw the box that stands for the three networks and the styles."""
    axis.set(xlim=(0, 1), ylim=(0, 1), title="painter")
    parts = (
        "G paints a mask in a style",
        "D tells painted from real",
        "E reads each cell's style",
        "clusters of these styles",
    )
    for k, text in enumerate(parts):
        box = FancyBboxPatch((0.03, 0.79 - 0.25 * k), 0.94, 0.17, boxstyle="round,pad=0.02", fc="#f3e9ef", ec="#7a2e5c")
        axis.add_patch(box)
        axis.text(0.5, 0.875 - 0.25 * k, text, ha="center", va="center", fontsize=11)


def _arrow(figure: Figure, tail: Axes, head: Axes, label: str, start: tuple, end: tuple) -> None:
    """Draw an arrow between places of two axes, given as shares of their sides, and its label beside it."""
    arrow = ConnectionPatch(start, end, tail.transAxes, head.transAxes, arrowstyle="-|>", mutation_scale=18, lw=2)
    arrow.set(color="#7a2e5c", zorder=5)
    figure.add_artist(arrow).set_in_layout(False)
    if label:
        beside = tail.annotate(label, start, xycoords="axes fraction", xytext=(8, -12), textcoords="offset points")
        beside.set(fontsize=12, color="#7a2e5c", va="center")


def training_curves(
    histories: Mapping[str, Mapping[str, Sequence[float]]], balance: float = 0.5, smoothed: int = 40
) -> Figure:
    """Draw the losses of some trainings side by side, as running means.

    Parameters
    ----------
    histories : mapping of str to mapping of str to sequence of float
        Title -> the history of a `Synthesizer`: ``stage``, ``step``, the losses and ``seconds``.
    balance : float
        Value of both GAN curves where the discriminators cannot tell: ½ for least squares at two scales.
    smoothed : int
        Each mean is over this fraction of the training.

    Returns
    -------
    matplotlib.figure.Figure
        One column per training: above the GAN terms with the balance dotted, below all other terms.
    """
    figure, axes = plt.subplots(
        2, len(histories), figsize=(1.2 + 3.4 * len(histories), 5.6), squeeze=False, sharex="col", layout="constrained"
    )
    for (title, history), (above, below) in zip(histories.items(), axes.T, strict=True):
        values = {name: np.asarray(x, dtype=float) for name, x in history.items()}
        first = int(values["step"][values["stage"] == 1].max(initial=0))
        steps = values["step"] + np.where(values["stage"] == 2, first + 1, 0)
        width = max(1, len(steps) // smoothed)
        above.plot(steps, _running_mean(values["gan"], width), label="G: GAN term")
        above.plot(steps, _running_mean(values["d_real"] + values["d_fake"], width), label="D: both halves")
        above.axhline(balance, linestyle=":", color="black", linewidth=2, label="balance")
        others = set(values) - {"stage", "step", "seconds", "gan", "d_real", "d_fake"}
        for name in sorted(name for name in others if values[name].any()):
            below.plot(steps, _running_mean(values[name], width), label=name.replace("_", " "))
        for axis in (above, below):
            axis.axvline(first, color="0.7")
            axis.set_ylim(bottom=0)
            if len(axis.lines) > 1:
                axis.legend(fontsize=9.5)
        above.set(title=title, ylim=(0, 3 * balance))  # what the first steps do above that says nothing
        below.set(xlabel="step")
    axes[0, 0].set_ylabel("GAN terms")
    axes[1, 0].set_ylabel("other terms")
    return figure


def _running_mean(values: np.ndarray, width: int) -> np.ndarray:
    padded = np.pad(values, (width // 2, width - 1 - width // 2), mode="edge")
    return np.convolve(padded, np.ones(width) / width, "valid")


def snapshots(folder: str | Path, most: int = 5) -> dict[int, np.ndarray]:
    """Read what a training painted of the same masks again and again.

    Parameters
    ----------
    folder : path
        Of a model; looked for are ``previews/step-*``.
    most : int
        How many at most: the first, the last, and between them ever sparser ones.

    Returns
    -------
    dict of int to uint8 (H, W, 3)
        Step -> picture; empty where the model keeps none.
    """
    files = {int(path.stem.split("-")[1]): path for path in Path(folder).glob("previews/step-*")}
    steps = sorted(files)
    if not steps:
        return {}
    if len(steps) > most:
        steps = [steps[k] for k in np.unique(np.geomspace(1, len(steps), most).round().astype(int)) - 1]
    return {step: read_image(files[step]) for step in steps}


def feature_colours(features: np.ndarray) -> np.ndarray:
    """Show style features as colours: their three main directions as red, green and blue.

    Parameters
    ----------
    features : float (n, C)

    Returns
    -------
    float (n, 3)
        Each channel stretched to 0..1; a channel without spread is 0.
    """
    away = features - features.mean(axis=0)
    main = away @ np.linalg.svd(away, full_matrices=False)[2][:3].T
    main = np.pad(main, ((0, 0), (0, 3 - main.shape[1])))
    low, high = main.min(axis=0), main.max(axis=0)
    return (main - low) / np.maximum(high - low, 1e-6)


def style_scatter(styles: Styles, slides: Sequence[str] | None = None) -> Figure:
    """Draw the style features of all cells and backgrounds in the plane that spreads them most.

    Parameters
    ----------
    styles : Styles
    slides : sequence of str, optional
        Slide of each smear; without them, cells are coloured by the number of their smear.

    Returns
    -------
    matplotlib.figure.Figure
        Above by style cluster, numbered at the clusters' middles or, where these lie too close, beside them with a line
        to each; below by slide, with a legend. Kinds differ in colour and, from the eighth on, in marker. Backgrounds
        are crosses: grey above, since clusters of cells have none, and in the colour of their slide below.
    """
    points = np.vstack([styles.cells, styles.backgrounds]).astype(float)
    middle = points.mean(axis=0)
    plane = np.linalg.svd(points - middle, full_matrices=False)[2][:2].T
    cells, backgrounds, centres = (
        (x - middle) @ plane for x in (styles.cells, styles.backgrounds, styles.cell_centres)
    )
    figure, (above, below) = plt.subplots(2, 1, figsize=(7, 8.6), sharex=True, sharey=True, layout="constrained")
    _spots(above, cells, styles.cell_cluster)
    above.scatter(*backgrounds.T, c="0.35", marker="x", s=40)
    _numbers(above, centres, np.vstack([cells, backgrounds]))
    above.set(title="by style cluster of the cells; grey crosses: backgrounds", ylabel="second main direction")
    if slides is None:
        shown = below.scatter(*cells.T, c=styles.cell_smear, cmap="viridis", s=5, linewidths=0)
        figure.colorbar(shown, ax=below, label="smear")
        below.scatter(*backgrounds.T, c=np.arange(len(backgrounds)), cmap="viridis", marker="x", s=40)
    else:
        names = list(dict.fromkeys(slides))
        of_smear = np.array([names.index(slide) for slide in slides])
        _spots(below, cells, of_smear[styles.cell_smear])
        below.scatter(*backgrounds.T, c=[cycled(k)[0] for k in of_smear], marker="x", s=40)
        for k, name in enumerate(names):
            colour, marker = cycled(k)
            below.plot([], [], marker, color=colour, label=name)
        below.legend(
            loc="upper center", bbox_to_anchor=(0.5, -0.14), fontsize=12, handletextpad=0.1, columnspacing=1.2, ncols=4
        )
    by = "slide" if slides is not None else "smear"
    below.set(title=f"by {by}, backgrounds too (crosses)", xlabel="first main direction")
    below.set_ylabel("second main direction")
    return figure


def _numbers(axis: Axes, centres: np.ndarray, points: np.ndarray, apart: float = 0.07) -> None:
    """Number the centres, float (k, 2); where they crowd, the numbers move out of the crowd, with lines to the centres.

    Distances are shares of the width of a panel that shows the points, float (n, 2), and is a quarter less high.
    """
    low, stretch = points.min(axis=0), np.array([1.0, 0.75]) / np.maximum(np.ptp(points, axis=0), 1e-9)
    given = (centres - low) * stretch
    crowded = np.array([(np.linalg.norm(given - one, axis=1) < apart).sum() > 1 for one in given])
    turn = 2.4 * np.arange(len(given))  # nowhere two numbers start from one place
    places = given + 1e-3 * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    for _ in range(1000):
        steps = np.zeros_like(places)
        for others, wanted in ((places, apart), (given[crowded], 1.5 * apart)):
            away = places[:, None] - others[None]  # (k, others, 2)
            far = np.maximum(np.linalg.norm(away, axis=2), 1e-9)
            steps += (away / far[..., None] * np.clip(wanted - far, 0, None)[..., None]).sum(axis=1)
        if not crowded.any() or np.abs(steps[crowded]).max() < 1e-4:
            break
        places[crowded] += 0.1 * steps[crowded]
    for k, (place, centre) in enumerate(zip(places / stretch + low, centres, strict=True)):
        box = {"boxstyle": "round,pad=0.2", "fc": "white", "ec": cycled(k)[0], "lw": 1.5}
        if crowded[k]:
            axis.plot(*np.stack([place, centre]).T, color="white", linewidth=3.5)
            axis.plot(*np.stack([place, centre]).T, color="black", linewidth=1.2)
        axis.annotate(
            f"{k}", place if crowded[k] else centre, ha="center", va="center", fontsize=12, bbox=box, zorder=5
        )


def _spots(axis: Axes, places: np.ndarray, kind: np.ndarray) -> None:
    """Draw points, float (n, 2), in the colour and with the marker of their kind."""
    for k in np.unique(kind):
        colour, marker = cycled(k)
        axis.scatter(*places[kind == k].T, c=colour, marker=marker, s=6 if marker == "o" else 9, linewidths=0)


def ladder(panels: Mapping[str, Mapping[str, tuple[float, float]]], label: str, floors: Collection[str] = ()) -> Figure:
    """Draw means with their spread, one panel under the other, the smallest mean at the bottom.

    Parameters
    ----------
    panels : mapping of str to mapping of str to (mean, standard deviation)
        Title of the panel -> name of the row -> values.
    label : str
        Of the axis.
    floors : collection of str
        Rows that the others are to be compared with: black squares, with a line through the panel.

    Returns
    -------
    matplotlib.figure.Figure
    """
    heights = [1 + len(values) for values in panels.values()]
    figure, axes = plt.subplots(
        len(panels), 1, figsize=(7, 0.45 * sum(heights)), height_ratios=heights, squeeze=False, layout="constrained"
    )
    for axis, (title, values) in zip(axes.flat, panels.items(), strict=True):
        names = sorted(values, key=lambda name: values[name][0])
        for row, name in enumerate(names):
            mean, spread = values[name]
            look = {"fmt": "s", "color": "black"} if name in floors else {"fmt": "o", "color": "C1"}
            axis.errorbar(mean, row, xerr=spread, capsize=4, **look)
            if name in floors:
                axis.axvline(mean, linestyle=":", color="0.25", linewidth=2, zorder=0)
        axis.set_yticks(range(len(names)), names)
        axis.set_title(title, fontsize=14)
        axis.set_ylim(-0.6, len(names) - 0.4)
    axes[-1, 0].set_xlabel(label)
    return figure
