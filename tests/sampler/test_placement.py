from itertools import product

import numpy as np
import pytest
from literal import literal_maps, literal_z
from scipy.stats import chisquare

from bloodlib.sampler.laws import make_law
from bloodlib.sampler.placement import (
    PlacementConfig,
    component_weights,
    draw_locations,
    excitation,
    probability_at,
    probability_map,
)

SHAPE = (26, 34)
CENTRES = np.array([[2, 3], [20, 30], [13, 8], [25, 0], [9, 21], [14, 14]])
LAWS = list(product(("final", "first"), ("inverted", "zero"), ("printed", "equal")))
# Every seeded χ² below accepts a correct sampler with probability 1 - 1e-4 (over seeds; the seeds are fixed).
FALSE_ALARM = 1e-4


def law(variant="final", core="inverted", weights="printed", n_init=2, **more):
    return PlacementConfig(variant=variant, core=core, weights=weights, cell_size_px=5.0, n_init=n_init, **more)


def p_value(points, expected):
    """χ² of the draws against a map, pixels expected fewer than 5 times pooled into one."""
    counts = np.bincount(np.ravel_multi_index(points.T, SHAPE), minlength=expected.size)
    wanted = expected.ravel() * len(points)
    rare = wanted < 5
    counts = np.append(counts[~rare], counts[rare].sum())
    wanted = np.append(wanted[~rare], wanted[rare].sum())
    if wanted[-1] == 0:
        counts, wanted = counts[:-1], wanted[:-1]
    return chisquare(counts, wanted * counts.sum() / wanted.sum()).pvalue


def test_the_paper_s_sigma_makes_the_gaussian_half_at_cell_size():
    assert PlacementConfig(cell_size_px=46).sigma == pytest.approx(39.07, abs=0.005)
    assert excitation(np.array([46.0 - 1e-9, 46.0]), 46.0) == pytest.approx([0.5, 0.5])
    assert excitation(np.array([0.0, 10.0]), 46.0) == pytest.approx(
        [0, 1 - np.exp(-0.5 * (10 / 39.068) ** 2)], rel=1e-4
    )
    assert excitation(np.array([0.0, 45.9, 46.1]), 46.0, core="zero") == pytest.approx([0, 0, 0.4985], abs=1e-3)


@pytest.mark.parametrize(("variant", "core", "weights"), LAWS)
def test_map_is_the_recursion_of_eq_3_at_every_step(variant, core, weights):
    config = law(variant, core, weights, n_init=3)
    literal = literal_maps(CENTRES, SHAPE, 5.0, config.sigma, core, 3, variant, weights)
    for i, wanted in enumerate(literal):
        found = probability_map(CENTRES[:i], SHAPE, config)
        assert abs(found.sum() - 1) < 1e-9
        np.testing.assert_allclose(found, wanted, atol=1e-12)


@pytest.mark.parametrize("variant", ["final", "first"])
@pytest.mark.parametrize("weights", ["printed", "equal"])
@pytest.mark.parametrize("n_init", [1, 2, 20])
def test_weights_are_the_recursion_term_by_term(variant, weights, n_init):
    previous = None  # weights of (uniform, z(l_1), z(l_2), …) in P(i)
    for i in range(1, 60):
        current = np.zeros(60)
        if i <= n_init:
            current[0] = 1
        elif i == n_init + 1 and variant == "final":
            current[1 : n_init + 1] = 1 / n_init
        else:
            a = 1 / i if weights == "printed" else 1 / (i - 1)
            current = (1 - a) * previous
            current[i - 1] += a
        uniform, parts = component_weights(i - 1, n_init, variant, weights)
        assert uniform + parts.sum() == pytest.approx(1, abs=1e-12)
        np.testing.assert_allclose([uniform, *parts], current[:i], atol=1e-12)
        previous = current


def test_the_first_twenty_cells_weigh_21_20ths_of_the_others():
    _, parts = component_weights(100, 20)
    np.testing.assert_allclose(parts[:20] / parts[-1], 21 / 20)
    np.testing.assert_allclose(parts[20:], 1 / 101)
    np.testing.assert_allclose(component_weights(100, 20, weights="equal")[1], 1 / 100)


def ahead(config, size):
    """Locations of the third cell from now, drawn when only all cells but two are there."""
    placement = make_law(config, SHAPE, 99, None)
    rng = np.random.default_rng(4)
    points, parents = placement.ahead(rng, CENTRES[:-2], 3, size)
    points, parents = points[2], parents[2]
    for k in (parents >= 0).nonzero()[0]:
        points[k] = placement.beside(rng, CENTRES[parents[k]], points[k])
    return points


@pytest.mark.parametrize(("variant", "core", "weights"), LAWS)
def test_draws_follow_the_literal_map(variant, core, weights):
    config = law(variant, core, weights)
    *_, wanted = literal_maps(CENTRES, SHAPE, 5.0, config.sigma, core, 2, variant, weights)
    assert p_value(draw_locations(np.random.default_rng(1), CENTRES, SHAPE, config, 200_000), wanted) > FALSE_ALARM
    law_of_mask = make_law(config, SHAPE, 99, None)
    assert p_value(law_of_mask.propose(np.random.default_rng(2), CENTRES, 200_000), wanted) > FALSE_ALARM
    assert p_value(ahead(config, 200_000), wanted) > FALSE_ALARM


def test_that_test_has_power():
    wanted = probability_map(CENTRES, SHAPE, law())
    draw = {
        "other core": law(core="zero"),
        "other version": law(variant="first"),
        "other number of seeds": law(n_init=1),
        "other weights": law(weights="equal"),
        "σ 3 % larger": law(sigma_px=law().sigma * 1.03),
    }
    for wrong, config in draw.items():
        points = draw_locations(np.random.default_rng(1), CENTRES, SHAPE, config, 200_000)
        assert p_value(points, wanted) < FALSE_ALARM, wrong
        assert p_value(ahead(config, 200_000), wanted) < FALSE_ALARM, wrong


def test_redrawing_the_cell_as_well_would_be_another_law():
    # Cells in corners lose most of their excitation to the outside: dropping the point rather than
    # the offset must be visible, or the draws above prove less than they claim.
    table = law().table
    rng = np.random.default_rng(2)
    _, weights = component_weights(len(CENTRES), 2)
    parts = rng.choice(len(CENTRES), p=weights, size=400_000)
    points = CENTRES[parts] + table.draw(rng, len(parts))
    points = points[((points >= 0) & (points < SHAPE)).all(axis=1)][:200_000]
    assert p_value(points, probability_map(CENTRES, SHAPE, law())) < FALSE_ALARM


def test_seeds_and_uniform_placement_are_uniform():
    flat = np.full(SHAPE, 1 / (SHAPE[0] * SHAPE[1]))
    for config, placed in ((law(n_init=4), 3), (PlacementConfig("uniform", cell_size_px=5.0), 6)):
        np.testing.assert_allclose(probability_map(CENTRES[:placed], SHAPE, config), flat)
        points = draw_locations(np.random.default_rng(3), CENTRES[:placed], SHAPE, config, 100_000)
        assert p_value(points, flat) > FALSE_ALARM


@pytest.mark.parametrize(("variant", "core", "weights"), LAWS)
def test_value_at_a_pixel_is_the_map_s(variant, core, weights):
    config = law(variant, core, weights)
    everywhere = np.argwhere(np.ones(SHAPE))
    for values in (
        probability_at(everywhere, CENTRES, SHAPE, config),
        make_law(config, SHAPE, 99, None).weight_at(everywhere, CENTRES),
    ):
        np.testing.assert_allclose(values.reshape(SHAPE), probability_map(CENTRES, SHAPE, config), atol=1e-12)


@pytest.mark.parametrize("config", [law(), law(core="zero"), law(sigma_px=0.2), PlacementConfig()])
def test_offsets_are_the_inverse_of_the_cumulative_sum(config):
    table = config.table
    offsets = table.draw(np.random.default_rng(0), 300_000)
    levels = np.random.default_rng(0).random(300_000) * table.values.sum()
    flat = np.searchsorted(np.cumsum(table.values), levels, side="right")
    assert np.array_equal((offsets + table.reach) @ (2 * table.reach + 1, 1), np.minimum(flat, table.values.size - 1))


def test_mass_inside_is_what_normalises_z():
    table = law().table
    wanted = []
    for centre in CENTRES:
        rows, cols = np.mgrid[: SHAPE[0], : SHAPE[1]]
        wanted.append(excitation(np.hypot(rows - centre[0], cols - centre[1]), 5.0).sum())
    np.testing.assert_allclose(table.mass_inside(CENTRES, SHAPE), wanted, rtol=1e-12)


@pytest.mark.parametrize("core", ["inverted", "zero"])
def test_a_canvas_smaller_than_the_core_still_gives_points(core):
    config = PlacementConfig(core=core, cell_size_px=46.0, n_init=1)
    points = draw_locations(np.random.default_rng(0), np.array([[1, 1]]), (3, 4), config, 4000)
    assert ((points >= 0) & (points < (3, 4))).all()
    counts = np.bincount(np.ravel_multi_index(points.T, (3, 4)), minlength=12)
    wanted = probability_map(np.array([[1, 1]]), (3, 4), config).ravel()
    assert wanted.sum() == pytest.approx(1, abs=1e-9)
    if core == "inverted":
        assert counts[5] == 0 == wanted[5]  # the occupied centre
        np.testing.assert_allclose(wanted, literal_z((1, 1), (3, 4), 46.0, config.sigma, core).ravel(), atol=1e-12)
    assert chisquare(counts[wanted > 0], wanted[wanted > 0] * 4000).pvalue > FALSE_ALARM


def test_seeds_keep_the_paper_s_density():
    assert PlacementConfig().seeds((1200, 1920)) == 20
    assert PlacementConfig().seeds((10, 10)) == 1
    assert PlacementConfig(n_init=20).seeds((10, 10)) == 20
    assert PlacementConfig(seeding=3.0).seeds((1200, 1920)) == 60
    assert PlacementConfig(seeding=3.0, n_init=20).seeds((1200, 1920)) == 20


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kind": "adhesive"}, "'adhesion', 'uniform'"),
        ({"variant": "second"}, "'final', 'first'"),
        ({"core": "flat"}, "'inverted', 'zero'"),
        ({"weights": "paper"}, "'printed', 'equal'"),
        ({"cell_size_px": 0}, "cell_size_px=0"),
        ({"sigma_px": -1.0}, "sigma_px=-1.0"),
        ({"n_init": 0}, "n_init=0"),
    ],
)
def test_wrong_options_name_the_legal_ones(options, words):
    with pytest.raises(ValueError, match=words):
        PlacementConfig(**options)
