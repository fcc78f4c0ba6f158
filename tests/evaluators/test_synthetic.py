"""Controls of Table 2: what the synthetic part of an arm can be, and who painted it."""

import inspect
from dataclasses import fields, replace

import numpy as np
import pytest
from scipy import ndimage

import bloodlib
from bloodlib import synthesis
from bloodlib.evaluators import arms, synthetic
from bloodlib.sampler.config import MaskConfig
from bloodlib.sampler.masks import MaskGenerator
from bloodlib.smears import Smear, SmearFolder


def squares(seed: int, level: int, shape=(90, 100)) -> Smear:
    """Squares of one grey level, one for each cell, on light ground."""
    rng = np.random.default_rng(seed)
    instances = np.zeros(shape, np.int32)
    for k in range(6):
        row, column = 3 + 30 * (k // 3) + rng.integers(9), 3 + 32 * (k % 3) + rng.integers(9)
        instances[row : row + 18, column : column + 18] = k + 1
    image = np.where(instances[..., None] > 0, level, 220).repeat(3, axis=2).astype(np.uint8)
    return Smear(image, instances, name=f"squares-{seed}", group=str(seed))


def test_every_control_differs_from_its_reference_in_what_it_says():
    plans = {arm: arms.plan(arm, 40) for arm in arms.ARMS + arms.CONTROLS}
    assert set(arms.REFERENCE) == set(arms.CONTROLS)
    assert all(against in plans for against in arms.REFERENCE.values())
    for name, against in arms.REFERENCE.items():
        mine, other = plans[name], plans[against]
        changed = {key for key in vars(mine) if key != "arm" and getattr(mine, key) != getattr(other, key)}
        assert changed, name
    assert plans["RD+SD-5"].real == plans["RD-5"].real == 5
    assert plans["RD+SD-shuffled"].synthetic == plans["RD+SD"].synthetic == 600
    assert not plans["RD+CP"].painted
    assert plans["RD+SD"].painted
    assert not plans["RD"].painted


def test_the_painter_of_table_2_has_no_layout_of_its_profile():
    given = {name: known.default for name, known in inspect.signature(MaskGenerator.fit).parameters.items()}
    given |= {field.name: field.default for field in fields(MaskConfig)}
    for profile, layout in synthesis.LAYOUTS.items():
        asked = {**layout, **synthetic.PLAIN_LAYOUT}
        assert {name: given[name] for name in asked} == asked, profile


def test_fewer_real_smears_are_spread_over_all_of_them():
    real = [squares(k, 10 + k) for k in range(40)]
    samples = arms.Samples(arms.plan("RD-5", 40), real, (), 0)
    levels = {int(samples.crop(k, 64, np.random.default_rng(0))[0].min()) for k in range(len(samples))}
    assert levels == {10, 20, 30, 39, 49}


@pytest.mark.parametrize(("arm", "share"), [("RD+SD-half", 0.5), ("RD+SD", 2 / 32)])
def test_share_of_real_crops(arm, share):
    real, painted = [squares(0, 50), squares(1, 50)], [squares(k, 150) for k in range(30)]
    samples = arms.Samples(arms.plan(arm, 2), real, painted, 0)
    batches = samples.batches(4, 96, np.random.default_rng(0))
    crops = [[int(image.min()) for image, _ in next(batches)] for _ in range(200)]
    counted = np.array([sum(level == 50 for level in batch) for batch in crops])
    if arm == "RD+SD-half":
        assert (counted == 2).all()
    else:  # 800 draws with probability 1/16: outside these bounds about once in 10,000 seeds
        assert abs(counted.sum() - 800 * share) < 4 * np.sqrt(800 * share * (1 - share))


def test_repainted_smears_have_their_own_masks_and_none_of_their_pixels():
    class Painter:
        def repaint(self, smear, rng):
            assert rng.integers(9) >= 0
            return 255 - smear.image

    fit = [squares(k, 90 + k) for k in range(3)]
    painted = synthetic.repainted(fit, Painter())
    assert len(painted) == 3
    for real, smear in zip(fit, painted[:2], strict=False):
        assert np.array_equal(smear.instances, real.instances)
        assert np.array_equal(smear.image, 255 - real.image)
        assert smear.name.startswith("repainted-")
    assert arms.plan("SD-repainted", 40).synthetic == 40


def test_shuffled_masks_are_those_of_the_next_smear():
    smears = [squares(k, 100) for k in range(3)]
    by_name = {smear.name: smear for smear in smears}
    folder = SmearFolder(list(by_name), by_name.get, title="squares")
    mixed = synthetic.shuffled(folder)
    for k, smear in enumerate(mixed):
        np.testing.assert_array_equal(smear.image, smears[k].image)
        np.testing.assert_array_equal(smear.instances, smears[(k + 1) % 3].instances)


def test_pasted_cells_look_like_the_donor_s_and_are_labelled():
    host, donor = squares(0, 60), squares(1, 140)
    for seed in range(20):
        mixed = synthetic.paste(host, donor, np.random.default_rng(seed))
        inside = mixed.image[..., 0]
        new = [k for k in range(1, mixed.count + 1) if np.median(inside[mixed.instances == k]) == 140]
        old = [k for k in range(1, mixed.count + 1) if np.median(inside[mixed.instances == k]) == 60]
        assert len(new) + len(old) == mixed.count
        assert len(old) == host.count
        for k in old:
            assert (mixed.instances == k).sum() >= 0.7 * 18 * 18 - 1
        for k in new:
            assert (mixed.instances == k).sum() == 18 * 18
        assert (inside[mixed.instances == 0] > 100).all()
    assert any(synthetic.paste(host, donor, np.random.default_rng(seed)).count > host.count for seed in range(20))


def test_copy_paste_depends_on_its_number_alone():
    fit = [squares(k, 60 + 20 * k) for k in range(3)]
    one, other = synthetic.copy_paste(fit, 4, 0), synthetic.copy_paste(fit, 9, 0)
    for k in (3, 1):
        np.testing.assert_array_equal(one[k].image, other[k].image)
    assert (one[0].image != one[1].image).any()


def test_painters_take_turns():
    assert [synthetic.painter_seed(seed) for seed in range(8)] == [0, 1, 2, 0, 1, 2, 0, 1]


def test_an_unknown_source_is_refused(tmp_path):
    with pytest.raises(ValueError, match="allowed are painted, uniform"):
        synthetic.synthetic_smears([squares(0, 60)], 1, None, tmp_path, "drawn")


def test_the_grid_takes_painters_without_a_camera_whatever_the_chapters_made(tmp_path, monkeypatch):
    from bloodlib.release import CONFIG
    from bloodlib.synthesis import Synthesizer

    asked = []
    monkeypatch.setattr(Synthesizer, "fit", lambda fit, **given: asked.append((given["folder"].name, given["camera"])))
    fit = [squares(k, 100) for k in range(2)]
    synthetic.painter(fit, "smoke", tmp_path, 0)
    synthetic.painter(fit, "smoke", tmp_path, 2)
    own = tmp_path / "painter"
    own.mkdir()
    (own / CONFIG).write_text('{"seed": 0, "config": {"camera": true}}')
    synthetic.painter(fit, "smoke", tmp_path, 0)
    (own / CONFIG).write_text('{"seed": 0, "config": {}}')
    synthetic.painter(fit, "smoke", tmp_path, 0)
    assert asked == [("painter", False), ("painter-2", False), ("painter-0", False), ("painter", False)]


def test_the_released_painter_is_found_by_the_smears_that_it_was_fitted_on(monkeypatch):
    from bloodlib._files import package_data, read_json

    model = package_data("models", "chula_rbc12-laptop")
    wanted = read_json(model / "config.json")["data"]["fingerprint"]
    monkeypatch.setattr("bloodlib.gan.data.fingerprint", lambda fit: wanted)
    assert synthetic.released_painter([squares(0, 100)]) == model
    monkeypatch.undo()
    with pytest.raises(ValueError, match=r"none of the released painters .*chula_rbc12-laptop"):
        synthetic.released_painter([squares(0, 100)])


def test_a_named_painter_must_be_of_these_smears():
    from bloodlib._files import package_data

    stored = package_data("painters", "phantom-laptop-0")
    with pytest.raises(ValueError, match="'phantom-laptop-0': was fitted on other smears"):
        synthetic.named_painter("phantom-laptop-0", [squares(0, 100)])
    with pytest.raises(FileNotFoundError, match="'nobody': neither in painters/ nor a folder"):
        synthetic.named_painter("nobody", [squares(0, 100)])
    fit = bloodlib.load("phantom", split="fit")
    assert synthetic.named_painter("phantom-laptop-0", fit) == synthetic.named_painter(str(stored), fit) == stored


def test_a_named_painter_does_not_stand_in_for_the_released_one(tmp_path):
    from bloodlib.evaluators.config import preset
    from bloodlib.evaluators.run import inputs

    with pytest.raises(ValueError, match="SD-released is painted by the released painter"):
        inputs("phantom", preset("smoke", "fcn8s"), "SD-released", tmp_path, painter="phantom-laptop-0")


@pytest.mark.parametrize(("arm", "smears"), [("RD+CP", 3), ("SD-repainted", 3), ("SD-uniform", 48)])
def test_what_is_made_of_real_smears_is_made_of_those_that_rd_has(arm, smears, tmp_path, monkeypatch):
    from bloodlib.evaluators import run
    from bloodlib.evaluators.config import preset
    from bloodlib.evaluators.protocol import evenly

    seen = []
    monkeypatch.setattr(run, "synthetic_smears", lambda fit, *_: seen.append([smear.name for smear in fit]))
    config = preset("smoke", "fcn8s", real_images=3)
    run.inputs("phantom", config, arm, tmp_path, painter="phantom-laptop-0")
    whole = bloodlib.load("phantom", split="fit")
    assert seen == [[smear.name for smear in evenly(whole, 3 if smears == 3 else 0)]]
    assert len(seen[0]) == smears


def test_stored_painters_of_the_grid_are_found_in_a_checkout(tmp_path):
    """Without them a recomputed cell of Table 2 would be painted by another painter than the stored one."""
    from bloodlib._files import package_data, read_json
    from bloodlib.gan.config import preset
    from bloodlib.release import released_as

    data = read_json(package_data("models", "chula_rbc12-laptop") / "config.json")["data"]["fingerprint"]
    runs = [read_json(path) for path in package_data("results", "table2", "laptop-chula_rbc12").glob("fcn8s-SD-?.json")]
    found = {}
    for seed in range(synthetic.PAINTERS):
        folder = released_as(preset("laptop", **synthetic.PLAIN_PAINTER).digest(seed=seed, data=data))
        found[seed] = synthetic.fingerprint(folder)
    assert runs
    assert {run["painter"] for run in runs} == set(found.values())
    assert all(run["painter"] == found[run["painter_seed"]] for run in runs)


def test_the_phantom_has_one_painter_for_every_seed_as_its_stored_runs_say(tmp_path):
    from bloodlib._files import package_data, read_json

    fit = bloodlib.load("phantom", split="fit")
    found = {synthetic.fingerprint(synthetic.painter(fit, "laptop", tmp_path, seed)) for seed in range(3)}
    runs = [read_json(path) for path in package_data("results", "table2", "laptop-phantom").glob("*-SD*.json")]
    assert runs
    assert {run["painter"] for run in runs} == found


def test_a_mirrored_cell_is_another_unless_it_adjoins_its_original():
    instances = np.zeros((8, 6), np.int32)
    instances[1:3, 1:3], instances[6:8, 2:4], instances[3:5, 4:6] = 1, 2, 3
    smear = Smear(np.zeros((8, 6, 3), np.uint8), instances)
    samples = arms.Samples(arms.plan("RD", 1), [smear], (), 0)
    _, found = samples.crop(0, 12, np.random.default_rng(0))
    assert found.shape == (12, 12)
    regions, count = ndimage.label(found, structure=np.ones((3, 3)))
    assert count == len(np.unique(found)) - 1, "an id lies in one place"
    assert len(np.unique(regions[found == found[7, 2]])) == 1
    assert found[6, 2] == found[9, 2] != found[1, 1] != found[1, 10]
    assert np.array_equal(found[:8, :6] > 0, instances > 0)


def test_in_every_further_reflection_as_well():
    instances = np.zeros((8, 6), np.int32)
    instances[2:4, 2:4] = 1
    smear = Smear(np.zeros((8, 6, 3), np.uint8), instances)
    _, found = arms.Samples(arms.plan("RD", 1), [smear], (), 0).crop(0, 30, np.random.default_rng(0))
    _, count = ndimage.label(found)
    assert count == 4 * 5, "each of four rows of five tiles has its cell whole"
    assert len(np.unique(found)) - 1 == count


def test_half_of_every_batch_is_real_also_on_average_where_it_cannot_be_halved():
    one = squares(0, 100)
    samples = arms.Samples(replace(arms.plan("RD+SD-half", 4), augmented=False), [one] * 4, [one] * 60, 0)
    for size in (1, 3):
        rng = np.random.default_rng(0)
        real = [samples._draw(place, size, rng) < 4 for _ in range(400) for place in range(size)]
        assert np.mean(real) == pytest.approx(0.5, abs=0.06)
    even = [samples._draw(place, 2, np.random.default_rng(1)) < 4 for place in (0, 1)]
    assert even == [True, False]
