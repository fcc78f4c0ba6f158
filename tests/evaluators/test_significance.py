"""Tests and errors against closed forms, literal versions, and their own false-alarm rates."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bloodlib.evaluators.significance import (
    LEAST_SEEDS,
    holm,
    interval,
    resampled_means,
    sign_flip,
    smallest_by_flips,
    smallest_detectable,
)


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        ([1, 2, 3], 2 / 8),
        ([-1, -2, -3], 2 / 8),
        ([0.1, -0.2, 0.3], 6 / 8),
        ([1] * 8, 2 / 256),
        ([-1] + [1] * 7, 18 / 256),  # 1 + 8 patterns of |sum| 6 or 8 on each side
        ([0.1, 0.2, -0.3], 1.0),  # the sum is 0 but for rounding
        ([0.0] * 4, 1.0),
    ],
)
def test_known_p_values(differences, p):
    assert sign_flip(differences) == p


@given(st.lists(st.integers(-5, 5), min_size=3, max_size=7))
def test_sign_flips_are_those_of_the_literal_version(values):
    sums = [abs(sum(s * v for s, v in zip(signs, values, strict=True))) for signs in
            itertools.product((-1, 1), repeat=len(values))]  # fmt: skip
    assert sign_flip(np.array(values) / 10) == np.mean(np.array(sums) >= abs(sum(values)))


def test_too_few_seeds_have_no_p_and_bad_ones_are_refused():
    assert np.isnan(sign_flip([0.1, 0.2]))
    assert np.isnan(sign_flip([]))
    with pytest.raises(ValueError, match="finite"):
        sign_flip([0.1, float("nan"), 0.2])


def test_of_many_seeds_a_sample_of_the_patterns_is_flipped():
    values = np.random.default_rng(0).normal(0.3, 1, 21)
    every = sign_flip(values[:20])
    assert sign_flip(np.append(values[:20], 0.0)) == pytest.approx(every, abs=0.03)  # nought changes no |sum|
    assert sign_flip(values) == sign_flip(values), "the same ones each time"
    assert 0 < sign_flip([0.1] * 30) < 0.01


def test_false_alarms_are_as_rare_as_stated_and_shifts_are_found():
    # p ≤ 0.05 with 8 seeds means 12 of 256 patterns: 0.0469. Four standard errors of 4000 draws, so this
    # test fails by chance about once in 16,000 seeds.
    draws = np.random.default_rng(0).normal(size=(4000, 8))
    rate = 12 / 256
    assert np.mean([sign_flip(d) <= 0.05 for d in draws]) == pytest.approx(
        rate, abs=4 * (rate * (1 - rate) / 4000) ** 0.5
    )
    assert np.mean([sign_flip(d) <= 0.05 for d in draws[:500] + 2]) > 0.95


def test_eight_seeds_are_the_first_that_holm_over_six_leaves_room_for():
    smallest = {n: holm([sign_flip([1.0] * n), *[1.0] * 5])[0] for n in (LEAST_SEEDS - 1, LEAST_SEEDS)}
    assert smallest[LEAST_SEEDS] <= 0.05 < smallest[LEAST_SEEDS - 1]


def test_holm_by_hand():
    # Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1 is 0.02, 0.03, 0.06, 0.04: the last may not fall below 0.06.
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.5, 0.6]), [1.0, 1.0])


def test_holm_leaves_out_what_was_not_tested():
    np.testing.assert_allclose(holm([0.02, np.nan, 0.03]), [0.04, np.nan, 0.04])
    assert np.isnan(holm([np.nan])).all()
    assert holm([]).shape == (0,)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_keeps_the_order_between_p_and_bonferroni(p):
    p, adjusted = np.array(p), holm(p)
    assert (adjusted >= p).all()
    assert (adjusted <= np.minimum(len(p) * p, 1)).all()
    assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0).all()


def test_error_of_equal_groups_is_that_of_two_stage_sampling():
    rng = np.random.default_rng(1)
    values = rng.normal(size=(6, 5)) + rng.normal(size=(6, 1))  # (groups, images)
    expected = ((values.mean(axis=1).var() + values.var(axis=1).mean() / 5) / 6) ** 0.5
    draws = resampled_means(values.ravel(), np.repeat(np.arange(6), 5), np.random.default_rng(2), 20000)
    # The relative error of a standard deviation from 20,000 draws is 0.005: four of them.
    assert draws.std() == pytest.approx(expected, rel=0.02)
    assert draws.mean() == pytest.approx(values.mean(), abs=4 * expected / 20000**0.5)


def test_resampling_agrees_with_the_literal_version():
    rng = np.random.default_rng(3)
    labels = np.array(list("aaaaaabbbbccd"))
    values = rng.normal(size=13) + 3 * (labels == "b")
    groups = [values[labels == name] for name in "abcd"]

    def literal():
        drawn = [rng.choice(groups[k], len(groups[k])) for k in rng.integers(4, size=4)]
        return np.concatenate(drawn).mean()

    slow = np.array([literal() for _ in range(4000)])
    fast = resampled_means(values, labels, rng, 4000)
    # Kolmogorov–Smirnov at a false-alarm rate of 0.001.
    assert stats.ks_2samp(slow, fast).pvalue > 0.001


def test_resampling_depends_on_its_seed_alone_and_keeps_a_constant():
    values, labels = np.arange(10.0), np.repeat([0, 1], [3, 7])
    first, second = (resampled_means(values, labels, np.random.default_rng(4)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(resampled_means(np.full(10, 0.3), labels, np.random.default_rng(4)), 0.3)


def test_interval_leaves_equal_tails():
    assert interval(np.arange(1001.0), 0.9) == pytest.approx((50, 950))


def test_detectable_difference_has_the_power_that_it_states():
    assert smallest_detectable(0.5, 10**7) == pytest.approx(0.5 * (1.95996 + 0.84162), abs=1e-4)
    # The power of a t test is that of the noncentral t; the sum of two quantiles is its usual approximation.
    for units in (5, 7, 8, 20):
        difference = smallest_detectable(1.0, units)
        power = stats.nct.sf(stats.t.ppf(0.975, units - 1), units - 1, difference)
        assert power == pytest.approx(0.8, abs=0.03)
    assert np.isnan(smallest_detectable(0.1, 1))


def test_what_sign_flips_can_find_in_closed_form_and_by_the_test_itself():
    # Eight seeds and six tests: all signs must be equal, so the power is Φ(d)⁸. Simulated draws give it to about 0.01.
    shift = stats.norm.ppf(0.8 ** (1 / 8))
    assert smallest_by_flips(1.0, 8, 6) == pytest.approx(shift, abs=0.06)
    assert smallest_by_flips(2.5, 8, 6) == pytest.approx(2.5 * smallest_by_flips(1.0, 8, 6))
    draws = np.random.default_rng(1).normal(loc=smallest_by_flips(1.0, 10, 6), size=(3000, 10))
    found = np.mean([sign_flip(d) <= 0.05 / 6 for d in draws])
    assert found == pytest.approx(0.8, abs=0.04)  # four standard errors of either simulation


def test_few_seeds_find_nothing_and_many_are_sampled():
    assert smallest_by_flips(1.0, 7, 6) == np.inf
    assert np.isnan(smallest_by_flips(1.0, 1))
    # Of many seeds nearly the t-test, whose formula is good there.
    assert smallest_by_flips(1.0, 20) == pytest.approx(smallest_detectable(20**-0.5, 20), rel=0.06)
