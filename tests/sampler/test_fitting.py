import numpy as np
import pytest

from bloodlib.realism import PARTS, Group, between_images, by_group
from bloodlib.sampler.config import MaskConfig
from bloodlib.sampler.constants import PUBLISHED, LayoutConstants
from bloodlib.sampler.fitting import FitConfig, constants_at, fit_layout, fit_slides, layout_distances
from bloodlib.sampler.masks import MaskGenerator
from bloodlib.sampler.placement import PlacementConfig

QUICK = {"coarse": 5, "fine": 2, "finalists": 2, "smears": 2, "repeats": 1}
SNAPPED = LayoutConstants(kind="uniform", snap=1.0, snap_reach=2.0)


def test_constants_scale_with_the_cell_size():
    constants = LayoutConstants("adhesion", "first", "zero", {}, 0.5, 3.0, 0.4, 0.6, 0.05, 0.7)
    config = constants.apply(MaskConfig(10, 1, (50, 60), PlacementConfig(cell_size_px=40.0, n_init=7)))
    placement = config.placement
    assert (placement.kind, placement.variant, placement.core) == ("adhesion", "first", "zero")
    assert (placement.sigma_px, placement.seeding, placement.n_init) == (20.0, 3.0, None)
    assert (config.snap, config.snap_reach_px, config.rim_px, config.rim_share) == (0.4, 24.0, 2.0, 0.7)
    assert LayoutConstants(**constants.to_dict()) == constants
    assert LayoutConstants().apply(config).placement.sigma == pytest.approx(PlacementConfig(cell_size_px=40.0).sigma)
    assert PUBLISHED["final, inverted"] == LayoutConstants()


def test_the_corners_of_the_search_are_the_ranges():
    low, high = constants_at(np.zeros(7)), constants_at(np.ones(7))
    assert (low.core, low.sigma, low.seeding, low.snap, low.rim) == ("inverted", pytest.approx(0.4), 1, 0, 0)
    assert (high.core, high.sigma, high.seeding, high.snap, high.rim) == (
        "zero",
        pytest.approx(3),
        pytest.approx(60),
        1,
        0.08,
    )


def test_the_fit_finds_that_cells_were_snapped_and_says_how_much_nearer_it_came(laid):
    told = []
    real = [*laid(SNAPPED, 3), *laid(SNAPPED, 2, seed=1, group="b")]
    fit = fit_layout(real, FitConfig(freedom="snap", **QUICK), told.append)
    assert fit.tried == len(told) == 14
    assert fit.constants.snap > 0.25
    assert fit.distances["all"] < 0.5 * fit.published["all"]
    assert set(fit.distances) == {"a", "b", "all"}
    assert list(fit.stages) == ["published", "eq3", "snap"]
    assert fit.stages["eq3"][0].snap == 0
    chosen = min(fit.stages.values(), key=lambda one: one[1])
    assert fit.constants == chosen[0]
    # What is reported is measured afresh, with numbers by which nothing was chosen.
    groups = by_group(real)
    spread = between_images(groups.values())
    again = layout_distances(groups, fit.constants, spread, QUICK["smears"], QUICK["repeats"], seed=2)
    assert fit.distances == again != pytest.approx({**again, "all": chosen[1]})
    assert fit.published == layout_distances(groups, LayoutConstants(), spread, QUICK["smears"], QUICK["repeats"], 2)
    assert fit.distances["all"] == pytest.approx((fit.distances["a"] + fit.distances["b"]) / 2)


def test_the_same_seed_finds_the_same_constants(laid):
    real = laid(SNAPPED, 2)
    config = FitConfig(freedom="eq3", coarse=2, fine=1, finalists=1, smears=1, repeats=1)
    first = fit_layout(real, config)
    assert fit_layout(real, config) == first
    assert (first.constants.snap, first.constants.rim) == (0, 0)


def test_every_slide_gets_constants_of_its_own(laid):
    config = FitConfig(freedom="snap", **QUICK)
    slides = {"a": laid(SNAPPED, 2), "b": laid(PUBLISHED["uniform"], 2, seed=1, group="b")}
    fits = fit_slides(slides["a"] + slides["b"], config)
    assert list(fits) == ["a", "b"]
    assert set(fits["b"].distances) == {"b", "all"}
    touching = {}
    for name, fit in fits.items():  # with the cells of the first slide
        made = Group(slides["a"]).simulate(fit.constants, 5).mean
        touching[name] = made[PARTS["touching share"]].item()
    assert touching["a"] > touching["b"] + 0.2


def test_a_generator_takes_fitted_constants_or_fits_them(laid):
    real = laid(SNAPPED, 2)
    config = FitConfig(freedom="snap", coarse=2, fine=0, finalists=1, smears=1, repeats=1)
    wanted = fit_layout(real, config).constants
    given = MaskGenerator.fit(iter(real), layout=wanted)
    fitted = MaskGenerator.fit(iter(real), layout=config)
    assert given.config == fitted.config == wanted.apply(MaskGenerator.fit(real).config)
    assert fitted.config.snap == wanted.snap
    with pytest.raises(ValueError, match="layout='best' is not known; allowed are 'given', 'fitted'"):
        MaskGenerator.fit(real, layout="best")


@pytest.mark.parametrize(
    ("options", "words"), [({"freedom": "all"}, "'eq3', 'snap', 'rim'"), ({"smears": 0}, "smears=0")]
)
def test_wrong_options_are_named(options, words):
    with pytest.raises(ValueError, match=words):
        FitConfig(**options)
