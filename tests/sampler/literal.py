"""Bailo et al. 2019, section 4.1, word by word: the whole map at every step. Slow on purpose: the oracle."""

import cv2
import numpy as np


def literal_z(centre, shape, cell_size, sigma, core):
    """A Gaussian over the whole image, reverted inside cell_size, normalised to sum 1."""
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    distance = np.sqrt((rows - centre[0]) ** 2 + (cols - centre[1]) ** 2)
    z = np.exp(-(distance**2) / (2 * sigma**2))
    inside = distance < cell_size
    z[inside] = 1 - z[inside] if core == "inverted" else 0
    return z / z.sum()


def next_map(i, previous, seeds_sum, newest, shape, n_init, variant="final", weights="printed"):
    """P(i) from P(i - 1), the sum of z over the first n_init cells, and z of cell i - 1."""
    if i <= n_init:
        return np.full(shape, 1 / (shape[0] * shape[1]))
    if i == n_init + 1 and variant == "final":
        return seeds_sum / n_init
    a = 1 / i if weights == "printed" else 1 / (i - 1)
    return (1 - a) * previous + a * newest


def literal_maps(centres, shape, cell_size, sigma, core, n_init, variant="final", weights="printed"):
    """Yield P(1), P(2), …, P(len(centres) + 1), each from the one before."""
    previous, seeds_sum, z = None, np.zeros(shape), None
    for i in range(1, len(centres) + 2):
        if i >= 2:
            z = literal_z(centres[i - 2], shape, cell_size, sigma, core)
            seeds_sum = seeds_sum + z if i - 1 <= n_init else seeds_sum
        previous = next_map(i, previous, seeds_sum, z, shape, n_init, variant, weights)
        yield previous


def literal_mask(rng, draw, count, shape, law, colours=10, tries=100_000, hoist=False):
    """Draw a mask: for each cell the map, a shape, and locations until one is free and leaves a colour.

    `draw(rng)` gives a binary shape; `law` is (cell_size, sigma, core, n_init, variant, weights). Shapes are drawn
    whole on a canvas padded by their size, which is cropped at the end. Returns the instances, the colour of every
    pixel (1..colours), the centres, and how many locations each took; fewer than `count` cells if one found no
    place in so many tries. Every location is drawn from the map with `rng.choice`; with `hoist` the map is summed up
    once for all tries of a cell, which draws the same and is the one shortcut here.
    """
    cell_size, sigma, core, n_init, variant, weights = law
    canvas, pad, centres, trials = None, 0, [], []
    previous, seeds_sum, z = None, np.zeros(shape), None
    for i in range(1, count + 1):
        if centres:
            z = literal_z(centres[-1], shape, cell_size, sigma, core)
            seeds_sum = seeds_sum + z if len(centres) <= n_init else seeds_sum
        previous = next_map(i, previous, seeds_sum, z, shape, n_init, variant, weights)
        cell = draw(rng)
        cumulative = np.cumsum(previous) if hoist else None
        if max(cell.shape) > pad:  # the canvas of earlier cells gets a wider border
            wider = max(cell.shape) + 20
            fresh = np.zeros((2, shape[0] + 2 * wider, shape[1] + 2 * wider), dtype=np.int32)
            if canvas is not None:
                fresh[:, wider - pad : pad - wider, wider - pad : pad - wider] = canvas
            canvas, pad = fresh, wider
        for trial in range(1, tries + 1):
            if hoist:
                location = np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right")
            else:
                location = rng.choice(previous.size, p=previous.ravel())
            centre = np.array(np.unravel_index(location, shape))
            colour = _colour_if_free(rng, canvas, pad, cell, centre, shape, colours)
            if colour:
                trials.append(trial)
                break
        else:
            break
        drawn = _drawn(cell, centre, canvas.shape[1:], pad)
        canvas[0][drawn], canvas[1][drawn] = i, colour
        centres.append(centre)
    centres = np.array(centres, dtype=int).reshape(-1, 2)
    if canvas is None:
        return np.zeros(shape, np.int32), np.zeros(shape, np.int32), centres, trials
    instances, colour_index = canvas[:, pad : pad + shape[0], pad : pad + shape[1]]
    return instances, colour_index, centres, trials


def _drawn(cell, centre, padded, pad):
    """The shape on an empty padded canvas, its centroid on the centre."""
    drawn = np.zeros(padded, dtype=bool)
    anchor = np.round(np.argwhere(cell).mean(axis=0)).astype(int)
    top, left = centre - anchor + pad
    drawn[top : top + cell.shape[0], left : left + cell.shape[1]] = cell
    return drawn


def _colour_if_free(rng, canvas, pad, cell, centre, shape, colours):
    """A colour that no touching cell has, or 0 where the cell overlaps another or is cut into pieces."""
    drawn = _drawn(cell, centre, canvas.shape[1:], pad)
    if (drawn & (canvas[0] > 0)).any():  # not bitwise: mask value 1 and colour value 2 have no bit in common
        return 0
    visible = drawn[pad : pad + shape[0], pad : pad + shape[1]].astype(np.uint8)
    if cv2.connectedComponents(visible, connectivity=8)[0] != 2:
        return 0
    touching = cv2.dilate(drawn.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    left = sorted(set(range(1, colours + 1)) - set(canvas[1][touching].tolist()))
    return int(rng.choice(left)) if left else 0
