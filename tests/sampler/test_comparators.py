import numpy as np
import pytest
from scipy.stats import chisquare

from bloodlib.sampler.comparators import ClusterLaw, thomas_parents
from bloodlib.sampler.placement import PlacementConfig
from bloodlib.statistics import pair_correlation

SHAPE = (23, 31)
NONE = np.zeros((0, 2), dtype=int)


def law(shape=SHAPE, count=20, seed=0, cell_size_px=5.0, **options):
    config = PlacementConfig("cluster", cell_size_px=cell_size_px, options=options)
    return ClusterLaw(config, shape, count, np.random.default_rng(seed))


@pytest.mark.parametrize("options", [{}, {"spread": 0.1}, {"spread": 8.0, "parents_per_cell": 0.01}])
def test_draws_follow_the_map(options):
    # χ² over the pixels expected at least 5 times, the others pooled: false alarm 1e-4 for each case.
    made = law(**options)
    wanted = made.probability_map()
    assert abs(wanted.sum() - 1) < 1e-12
    points = made.propose(np.random.default_rng(1), NONE, 100_000)
    counts = np.bincount(np.ravel_multi_index(points.T, SHAPE), minlength=wanted.size)
    expected = wanted.ravel() * len(points)
    rare = expected < 5
    found, due = np.append(counts[~rare], counts[rare].sum()), np.append(expected[~rare], expected[rare].sum())
    kept = due > 0
    assert chisquare(found[kept], due[kept] * found[kept].sum() / due[kept].sum()).pvalue > 1e-4


def test_weights_are_the_map_s():
    made = law()
    points = np.argwhere(np.ones(SHAPE, dtype=bool))
    np.testing.assert_allclose(made.weight_at(points, NONE), made.probability_map().ravel())


def test_parents_are_uniform_beyond_the_border_too():
    # 400 sets of Poisson(0.5 · 40 · 70 · 80 / (30 · 40)) parents: the mean of their number, 93.3, has a standard
    # error of 0.48; 5 of those and a χ² over a 7 × 8 grid leave a false alarm of about 1e-4.
    rng = np.random.default_rng(0)
    sets = [thomas_parents(rng, (30, 40), 40, 5.0, 0.5) for _ in range(400)]
    assert np.mean([len(parents) for parents in sets]) == pytest.approx(93.33, abs=2.4)
    parents = np.concatenate(sets)
    counts, *_ = np.histogram2d(*parents.T, bins=(7, 8), range=((-20, 50), (-20, 60)))
    assert counts.sum() == len(parents)
    assert chisquare(counts.ravel()).pvalue > 1e-4
    assert len(thomas_parents(rng, (30, 40), 0, 5.0, 0.5)) == 1


def test_without_hard_core_g_is_thomas_closed_form():
    # g(r) = 1 + exp(-r² / 4s²) / (4π κ s²) with κ parents per px² (Illian et al. 2008, section 6.3.2). The number of
    # points is fixed here, which matters little with some 90 parents inside; over 60 patterns the mean of g
    # in these bins scatters by about 0.03.
    shape, count, spread = (300, 400), 450, 8.0
    kappa = 0.2 * count / (300 * 400)
    edges = np.array([2.0, 6, 10, 15, 20, 30, 45])
    found = []
    for seed in range(60):
        made = law(shape, count, seed, cell_size_px=spread)
        found.append(pair_correlation(made.propose(np.random.default_rng([seed, 1]), NONE, count), shape, edges))
    fine = np.linspace(edges[:-1], edges[1:], 201)  # (201, bins): the mean over each ring
    closed = 1 + np.exp(-(fine**2) / (4 * spread**2)) / (4 * np.pi * kappa * spread**2)
    wanted = (closed * fine).sum(axis=0) / fine.sum(axis=0)
    np.testing.assert_allclose(np.mean(found, axis=0), wanted, atol=0.15)
    assert wanted[0] > 2.5


def test_a_canvas_out_of_every_parent_s_reach_is_uniform():
    made = law((3, 4), count=1, spread=0.001, cell_size_px=1.0, parents_per_cell=1e-6)
    if not made._barren:  # the parent may lie on the canvas
        made._parents[:], made._barren = -50.0, True
    assert made.weight_at(np.array([[0, 0], [2, 3]]), NONE).tolist() == [1, 1]
    points = made.propose(np.random.default_rng(0), NONE, 500)
    assert len(np.unique(points, axis=0)) == 12
    assert made.probability_map().sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"spread": 0}, "spread=0"), ({"sprad": 1}, "no 'sprad'; allowed are 'parents_per_cell', 'spread'")],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        law(**options)
