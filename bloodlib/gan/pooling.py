"""Style features of instances: a few numbers for each, taken from the features of its pixels and laid out over them."""

from __future__ import annotations

import torch
from torch import Tensor


def pool_instances(features: Tensor, instances: Tensor, terms: int = 1) -> tuple[Tensor, Tensor]:
    """Replace every pixel's features by what a few terms say of them over its instance (background is one too).

    Parameters
    ----------
    features : float (N, C, H, W)
    instances : int64 (N, H, W)
    terms : int
        1: their mean, as pix2pixHD does. Up to 6, ours: also their course over the instance, see Notes.

    Returns
    -------
    pooled : float32 (N, C, H, W)
    styles : float32 (N, M + 1, terms · C)
        Row `k` of sample `i` is instance `k`: means of all channels, then the further terms one after the
        other; zero where it does not occur.

    Notes
    -----
    One scatter over the whole batch; the reference implementation loops over instances.

    A mean says how dark a cell is, but not where its pale centre lies. The further terms are the Zernike
    polynomials that lenses are described with, in coordinates u, v from the instance's centroid in units of
    its radius: the tilts u and v, the defocus 2(u² + v²) − 1 and the astigmatisms u² − v² and 2uv, fitted by
    least squares. The radius is √2 times the root mean square distance from the centroid: that of a disc for a
    disc, and no ellipse reaches beyond √2. It makes all terms but the astigmatisms average 0 over any outline; these
    have their mean subtracted, so that the first term is the mean however many follow. A ridge of terms/area
    leaves specks of a few pixels with their mean. The background has its mean only.
    """
    n, c, h, w = features.shape
    rows = int(instances.max()) + 1
    index = (instances + rows * torch.arange(n, device=instances.device).view(n, 1, 1)).flatten()  # (N·H·W,)
    precise = torch.promote_types(features.dtype, torch.float32)
    flat = features.to(precise).permute(1, 0, 2, 3).reshape(c, -1)  # (C, N·H·W)
    sums = _sums(flat, index, n * rows)
    sizes = torch.bincount(index, minlength=n * rows).clamp(min=1)
    means = sums / sizes  # (C, N·rows)
    pooled = means.index_select(1, index)  # its gradient takes half the time of that of means[:, index]
    styles = [means]
    if terms > 1:
        inside, basis = _basis(instances, outlines(instances), terms)
        where, areas = index[inside], sizes.to(precise)
        basis, seen = basis.to(precise), flat[:, inside]
        moments = torch.stack([_sums(seen * b, where, n * rows) for b in basis], dim=-1) / areas[:, None]
        further = torch.linalg.solve(_gram(basis, where, areas, terms), moments.permute(1, 2, 0))  # (N·rows, K - 1, C)
        course = sum(further[:, k].T[:, where] * b for k, b in enumerate(basis))  # (C, pixels in instances)
        pooled = pooled.index_add(1, inside, course)
        styles += further.permute(1, 2, 0).unbind()
    styles = torch.cat(styles).view(terms * c, n, rows).permute(1, 2, 0)
    return pooled.view(c, n, h, w).permute(1, 0, 2, 3), styles


def lay_out(
    styles: Tensor,
    instances: Tensor,
    terms: int = 1,
    shapes: Tensor | None = None,
    corner: tuple[int, int] = (0, 0),
) -> Tensor:
    """Lay one style per instance out over its pixels: what `pool_instances` replaces features by.

    Parameters
    ----------
    styles : float (M + 1, terms · C)
        Row 0 is the background.
    instances : int64 (H, W)
    terms : int
        As in `pool_instances`.
    shapes : float64 (M + 1, 5), optional
        `outlines` of the whole instances, where this is a part of a smear; those of `instances` if not given.
    corner : (int, int)
        Row and column of the part's first pixel in the smear that `shapes` were taken from.

    Returns
    -------
    float (C, H, W)
    """
    channels = styles.shape[1] // terms
    if terms == 1:
        return styles[instances].permute(2, 0, 1)
    shapes = outlines(instances[None])[0] if shapes is None else shapes
    inside, basis = _basis(instances[None], shapes[None], terms, corner)
    by_term = styles.view(len(styles), terms, channels).unbind(1)
    where = instances.flatten()[inside]
    course = torch.zeros(len(where), channels, dtype=styles.dtype, device=styles.device)
    for term, b in zip(by_term[1:], basis.to(styles.dtype), strict=True):
        course += term.index_select(0, where).mul_(b[:, None])
    planes = by_term[0][0].repeat(instances.numel(), 1)  # (H·W, C), all of it background at first
    planes.index_copy_(0, inside, course.add_(by_term[0].index_select(0, where)))
    return planes.T.view(channels, *instances.shape)


def outlines(instances: Tensor) -> Tensor:
    """Give centroid, radius and elongation of every instance.

    Parameters
    ----------
    instances : int64 (N, H, W)

    Returns
    -------
    float64 (N, M + 1, 5)
        Column and row of the centroid and radius in px, then the means of u² − v² and 2uv over the instance, as
        in `pool_instances`; nothing of use for the background and where there is no such instance.
    """
    n, height, width = instances.shape
    rows = int(instances.max()) + 1
    index = (instances + rows * torch.arange(n, device=instances.device).view(n, 1, 1)).flatten()
    inside = instances.flatten().nonzero()[:, 0]
    index = index[inside]
    sizes = torch.bincount(index, minlength=n * rows).clamp(min=1)
    across, down = _places(inside, height, width)
    x, y = (_sums(place[None], index, n * rows)[0] / sizes for place in (across, down))
    across, down = across - x[index], down - y[index]
    squares = torch.stack([across.square(), down.square(), across * down])
    xx, yy, xy = _sums(squares, index, n * rows) / sizes
    radius = (2 * (xx + yy)).sqrt().clamp(min=0.5)
    return torch.stack([x, y, radius, (xx - yy) / radius.square(), 2 * xy / radius.square()], dim=1).view(n, rows, 5)


def _sums(values: Tensor, index: Tensor, rows: int) -> Tensor:
    """Add up the columns of (K, P) that have the same index (P,), to (K, rows)."""
    return torch.zeros(len(values), rows, device=values.device, dtype=values.dtype).index_add(1, index, values)


def _places(which: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Give columns and rows of pixels that are numbered through a batch, float64."""
    return (which % width).double(), (which // width % height).double()


def _basis(instances: Tensor, shapes: Tensor, terms: int, corner: tuple[int, int] = (0, 0)) -> tuple[Tensor, Tensor]:
    """Give the terms after the first, float64 (terms - 1, P), at the P pixels within instances, and which these are."""
    n, height, width = instances.shape
    inside = instances.flatten().nonzero()[:, 0]
    index = (instances + shapes.shape[1] * torch.arange(n, device=instances.device).view(n, 1, 1)).flatten()[inside]
    x, y, radius, oblong, slant = shapes.reshape(-1, 5)[index].unbind(1)
    across, down = _places(inside, height, width)
    u, v = (across + corner[1] - x) / radius, (down + corner[0] - y) / radius
    further = [u, v, 2 * (u.square() + v.square()) - 1, u.square() - v.square() - oblong, 2 * u * v - slant]
    return inside, torch.stack(further[: terms - 1])


def _gram(basis: Tensor, index: Tensor, areas: Tensor, terms: int) -> Tensor:
    """Give the mean products of terms over every instance, with the ridge, (rows, terms - 1, terms - 1)."""
    count = len(basis)
    pairs = [(i, j) for i in range(count) for j in range(i + 1)]
    products = torch.stack([_sums((basis[i] * basis[j])[None], index, len(areas))[0] for i, j in pairs]) / areas
    gram = torch.diag_embed((terms / areas)[:, None].expand(-1, count)).contiguous()
    for (i, j), product in zip(pairs, products, strict=True):
        gram[:, i, j] += product
        if i != j:
            gram[:, j, i] += product
    return gram
