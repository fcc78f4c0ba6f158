"""What the painter is told of an instance: means and Zernike terms of its pixels' features."""

import numpy as np
import pytest
import torch

from bloodlib.gan.config import MOST_TERMS, preset
from bloodlib.gan.pooling import lay_out, outlines, pool_instances


def slow_pool(features, instances):
    pooled = torch.zeros_like(features)
    for n in range(len(features)):
        for k in instances[n].unique():
            where = instances[n] == k
            pooled[n][:, where] = features[n][:, where].mean(dim=1, keepdim=True)
    return pooled


def slow_fit(features, inside, terms):
    """Least squares with the ridge over one instance, in numpy: what its pixels' features (C, P) become."""
    rows, columns = np.nonzero(inside)
    x, y = columns - columns.mean(), rows - rows.mean()
    radius = max(np.sqrt(2 * (x**2 + y**2).mean()), 0.5)
    u, v = x / radius, y / radius
    full = np.stack([u, v, 2 * (u**2 + v**2) - 1, u**2 - v**2, 2 * u * v])[: terms - 1]
    full = full - full.mean(axis=1, keepdims=True)
    mean = features.mean(axis=1, keepdims=True)
    ridge = terms * np.eye(terms - 1)  # terms/area, times the area
    further = np.linalg.solve(full @ full.T + ridge, full @ (features - mean).T)  # (terms - 1, C)
    return mean + further.T @ full, np.concatenate([mean.T, further])


@pytest.fixture
def cells():
    """Two pictures: a disc, an oblong that touches it, a speck; and one with a gap between its ids."""
    y, x = np.mgrid[:40, :50]
    first = np.zeros((40, 50), np.int64)
    first[(x - 14) ** 2 + (y - 15) ** 2 < 100] = 1
    first[((x - 33) / 2) ** 2 + (y - 20 - (x - 33) / 3) ** 2 < 30] = 2
    first[35:37, 5] = 3
    second = np.where((x - 25) ** 2 + (y - 20) ** 2 < 200, 5, 0)
    return torch.from_numpy(np.stack([first, second]))


def test_pooling_agrees_with_a_loop_and_so_does_its_gradient():
    generator = torch.Generator().manual_seed(3)
    instances = torch.randint(0, 7, (2, 9, 11), generator=generator)
    instances[1] *= 3  # ids with gaps
    features = torch.randn(2, 3, 9, 11, generator=generator, requires_grad=True)
    weight = torch.randn(2, 3, 9, 11, generator=generator)
    pooled, means = pool_instances(features, instances)
    (ours,) = torch.autograd.grad((pooled.square() * weight).sum(), features)
    expected = slow_pool(features, instances)
    (theirs,) = torch.autograd.grad((expected.square() * weight).sum(), features)
    torch.testing.assert_close(pooled, expected)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(lay_out(means[1], instances[1]), expected[1])


def test_pooling_whole_smears_has_no_loop_over_cells():
    instances = torch.from_numpy(np.arange(64 * 64).reshape(1, 64, 64))  # every pixel its own cell
    features = torch.randn(1, 2, 64, 64)
    torch.testing.assert_close(pool_instances(features, instances)[0], features)


@pytest.mark.parametrize("terms", [3, 4, 6])
def test_further_terms_are_a_least_squares_fit_over_each_instance(cells, terms):
    features = torch.randn(2, 3, 40, 50, generator=torch.Generator().manual_seed(1))
    pooled, styles = pool_instances(features, cells, terms)
    for n, k in ((0, 1), (0, 2), (0, 3), (1, 5)):
        inside = (cells[n] == k).numpy()
        expected, style = slow_fit(features[n][:, inside].numpy().astype(float), inside, terms)
        np.testing.assert_allclose(pooled[n][:, inside], expected, atol=1e-4)
        np.testing.assert_allclose(styles[n, k].reshape(terms, 3), style, atol=1e-4)
    even, background = slow_pool(features, cells), (cells == 0)[:, None].expand_as(features)
    torch.testing.assert_close(pooled[background], even[background])
    assert not styles[1, 1:5].any()  # those ids do not occur
    torch.testing.assert_close(styles[..., :3], pool_instances(features, cells)[1])


def test_the_gradient_of_further_terms_is_that_of_a_projection(cells):
    """The fit is linear and symmetric: the gradient of <w, Pf> with respect to f is Pw."""
    generator = torch.Generator().manual_seed(2)
    features = torch.randn(2, 2, 40, 50, generator=generator, requires_grad=True)
    weight = torch.randn(2, 2, 40, 50, generator=generator)
    pooled, _ = pool_instances(features, cells, 6)
    (slope,) = torch.autograd.grad((pooled * weight).sum(), features)
    torch.testing.assert_close(slope, pool_instances(weight, cells, 6)[0], atol=1e-5, rtol=1e-4)


def test_a_pale_spot_off_the_middle_is_told(cells):
    y, x = torch.meshgrid(torch.arange(40.0), torch.arange(50.0), indexing="ij")
    spot = torch.exp(-((x - 17) ** 2 + (y - 15) ** 2) / 30)  # 3 px right of the disc's middle
    _, styles = pool_instances(spot.expand(2, 1, 40, 50), cells, 6)
    mean, right, down, rim, *_ = styles[0, 1].tolist()
    assert right > 5 * abs(down)
    assert rim < -0.05 < 0 < mean  # bright in the middle


def test_layouts_are_what_pooling_made_also_of_a_part(cells):
    pooled, styles = pool_instances(torch.randn(2, 3, 40, 50, generator=torch.Generator().manual_seed(4)), cells, 6)
    torch.testing.assert_close(lay_out(styles[0], cells[0], 6), pooled[0])
    part = np.s_[7:30, 11:40]
    torch.testing.assert_close(lay_out(styles[0], cells[0][part], 6, outlines(cells)[0], (7, 11)), pooled[0][:, *part])
    alone = lay_out(styles[0], cells[0][part], 6)  # a cut cell in its own right: its style is laid over what is left
    assert (alone - pooled[0][:, *part]).abs().max() > 0.05


def test_a_disc_has_its_own_radius_and_no_ellipse_reaches_beyond_root_two():
    y, x = torch.meshgrid(torch.arange(200.0), torch.arange(200.0), indexing="ij")
    for long in (30, 60, 90):
        ellipse = (((x - 100) / long) ** 2 + ((y - 99) / 30) ** 2 < 1).long()
        column, row, radius, oblong, slant = outlines(ellipse[None])[0, 1].tolist()
        assert (column, row, slant) == pytest.approx((100, 99, 0), abs=1e-6)
        assert radius == pytest.approx(np.sqrt((long**2 + 30**2) / 2), rel=0.01)
        assert long / radius < np.sqrt(2)
        assert oblong == pytest.approx((long**2 - 30**2) / (4 * radius**2), abs=0.01)


@pytest.mark.parametrize("terms", [0, MOST_TERMS + 1])
def test_other_numbers_of_terms_are_refused(terms):
    with pytest.raises(ValueError, match=f"style_terms is {terms}"):
        preset("smoke", style_terms=terms)
