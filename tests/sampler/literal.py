"""Bailo et al. 2019, Eq. 3, word by word: the whole map at every step. Slow on purpose; the oracle of the tests."""

import numpy as np


def literal_z(centre, shape, cell_size, sigma, core):
    """A Gaussian over the whole image, reverted inside cell_size, normalised to sum 1."""
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    distance = np.sqrt((rows - centre[0]) ** 2 + (cols - centre[1]) ** 2)
    z = np.exp(-(distance**2) / (2 * sigma**2))
    inside = distance < cell_size
    z[inside] = 1 - z[inside] if core == "inverted" else 0
    return z / z.sum()


def literal_maps(centres, shape, cell_size, sigma, core, n_init, variant):
    """Yield P(1), P(2), …, P(len(centres) + 1), each from the one before."""
    uniform = np.full(shape, 1 / (shape[0] * shape[1]))
    z = [literal_z(centre, shape, cell_size, sigma, core) for centre in centres]
    previous = None
    for i in range(1, len(centres) + 2):
        if i <= n_init:
            current = uniform
        elif i == n_init + 1 and variant == "final":
            current = sum(z[:n_init]) / n_init
        else:
            a = 1 / i
            current = (1 - a) * previous + a * z[i - 2]
        yield current
        previous = current
