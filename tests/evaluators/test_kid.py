"""KID: the kernel's closed form, its zero, and floors that move when they should."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bloodlib.evaluators import cell_types, kid
from bloodlib.smears import Smear


def literal_mmd(x: np.ndarray, y: np.ndarray) -> float:
    """Write out the unbiased estimate with the kernel (a·b / d + 1)³, pair by pair."""
    k = lambda a, b: (a @ b / len(a) + 1) ** 3  # noqa: E731
    n, m = len(x), len(y)
    within_x = sum(k(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    within_y = sum(k(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return within_x + within_y - 2 * sum(k(a, b) for a in x for b in y) / (n * m)


def test_agrees_with_the_kernel_written_out():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(7, 3)), rng.normal(0.5, 2, size=(7, 3))
    found = kid.kid(x, y, subset_size=7, subsets=3)
    assert found.mean == pytest.approx(literal_mmd(x, y), rel=1e-9)
    assert found.std == pytest.approx(0, abs=1e-12)  # a subset of all is always the same
    assert found.n == (7, 7)


def test_one_number_by_hand():
    # k(0,0)=1, k(1,1)=8, k(0,1)=1: 1 + 8 - 2·1
    assert kid.kid(np.zeros((2, 1)), np.ones((2, 1)), subset_size=2, subsets=1).mean == pytest.approx(7)


def test_two_samples_of_one_distribution_are_at_zero_and_noise_is_far():
    rng = np.random.default_rng(1)
    values = []
    for k in range(40):  # unbiased: the mean over independent samples is 0 within 4 standard errors (p < 1e-4)
        x, y = rng.normal(size=(2, 60, 8))
        values.append(kid.kid(x, y, subset_size=60, subsets=1, seed=k).mean)
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(40)
    noise = kid.kid(rng.normal(size=(60, 8)), rng.normal(0, 3, size=(60, 8)), subset_size=60, subsets=1).mean
    assert noise > 10 * np.std(values)


def test_seed_decides_and_the_global_state_stays():
    x, y = np.random.default_rng(2).normal(size=(2, 30, 4))
    before = torch.random.get_rng_state()
    first, again, other = (kid.kid(x, y, subset_size=10, subsets=5, seed=seed) for seed in (0, 0, 1))
    assert first == again != other
    assert torch.equal(before, torch.random.get_rng_state())


def test_too_few_tiles_are_refused():
    with pytest.raises(ValueError, match="3 and 9 tiles for subsets of 5"):
        kid.kid(np.zeros((3, 2)), np.zeros((9, 2)), subset_size=5)


def test_halves_hold_the_same_slides_or_none_in_common():
    groups = ["a"] * 5 + ["b"] * 4 + ["c"] + ["d"] * 2
    for seed in range(10):
        first, second = kid.halves(groups, np.random.default_rng(seed))
        of = [sorted(groups[i] for i in half) for half in (first, second)]
        assert of[0] == of[1] == ["a", "a", "b", "b", "d"]
        assert not set(first) & set(second)
        first, second = kid.halves(groups, np.random.default_rng(seed), whole_groups=True)
        assert not {groups[i] for i in first} & {groups[i] for i in second}
        assert len(first) + len(second) == 12
    with pytest.raises(ValueError, match="two groups at least"):
        kid.halves(["a", "a"], np.random.default_rng(0), whole_groups=True)
    with pytest.raises(ValueError, match="a group of two smears"):
        kid.halves(["a", "b"], np.random.default_rng(0))


def test_flat_colours_keep_means_only():
    instances = np.zeros((8, 8), np.int32)
    instances[:4, :4], instances[5:, 5:] = 1, 2
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    flat = kid.flat_coloured(Smear(image, instances))
    for label in range(3):
        inside = instances == label
        assert len(np.unique(flat.image[inside], axis=0)) == 1
        np.testing.assert_allclose(flat.image[inside][0], image[inside].mean(axis=0), atol=0.5)


def smears(count: int, seed: int) -> list[Smear]:
    """Draw smears of two slides: one pale, one dark, both grainy, each with discs."""
    rng, found = np.random.default_rng(seed), []
    rows, columns = np.indices((96, 128))
    for k in range(count):
        instances = np.zeros((96, 128), np.int32)
        for n, (y, x) in enumerate(rng.uniform(10, 86, (6, 2)), start=1):
            instances[((rows - y) ** 2 + (columns - x) ** 2 < 100) & (instances == 0)] = n
        instances = np.unique(instances, return_inverse=True)[1].reshape(96, 128).astype(np.int32)
        ground = 210 if k % 2 else 150
        image = np.where(instances[..., None] > 0, ground - 70, ground) + rng.normal(0, 6, (96, 128, 3))
        found.append(Smear(np.clip(image, 0, 255).astype(np.uint8), instances, name=str(k), group="ab"[k % 2]))
    return found


def test_floors_stand_in_order_and_worse_pictures_score_worse():
    real, model = smears(12, 0), cell_types.load()
    options = {"tiles_each": 8, "side_px": 32, "subset_size": 40, "subsets": 4, "halvings": 3}
    result = kid.kid_with_floors(model, real, {"copies": real}, {"more": smears(12, 1)}, **options)
    value = {name: row["mean"] for name, row in result["values"].items()}
    assert list(value) == ["within groups", "between groups", "flat colours", "copies", "more"]
    assert value["copies"] == value["within groups"]  # the same tiles in place of themselves
    for far in ("flat colours", "between groups"):
        assert value[far] > 10 * abs(value["within groups"])
        assert value[far] > 3 * abs(value["more"])
    assert (result["tiles"], result["smears"], result["subset_size"]) == (48, 12, 40)
    with pytest.raises(ValueError, match=r"stand_ins\['copies'\]"):
        kid.kid_with_floors(model, real, {"copies": real[::-1]}, **options)


def test_one_slide_has_no_floor_between_slides():
    one = [smear for smear in smears(12, 0) if smear.group == "a"]
    options = {"tiles_each": 8, "side_px": 32, "subset_size": 20, "subsets": 2, "halvings": 1}
    assert "between groups" not in kid.kid_with_floors(cell_types.load(), one, {}, **options)["values"]
