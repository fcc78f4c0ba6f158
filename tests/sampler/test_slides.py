"""Masks drawn after one slide each: its shapes, its numbers, its constants."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bloodlib.sampler.constants import LayoutConstants
from bloodlib.sampler.masks import MaskConfig, MaskGenerator
from bloodlib.sampler.shapes import FEWEST, ShapeDatabase
from bloodlib.sampler.slides import slide_configs
from bloodlib.smears import Smear
from bloodlib.statistics import measure_cells

SHAPE = (120, 160)
RADIUS, COUNT = {"a": 5, "b": 8}, {"a": 24, "b": 12}


def smear(slide: str, number: int, extra: int = 0) -> Smear:
    """Give a smear whose slide decides size and number of its round cells, in rows."""
    radius, gap = RADIUS[slide], 2 * RADIUS[slide] + 6
    rows, columns = np.indices(SHAPE)
    instances, k = np.zeros(SHAPE, np.int32), 0
    for y in range(gap, SHAPE[0] - gap, gap):
        for x in range(gap, SHAPE[1] - gap, gap):
            if k < COUNT[slide] + extra:
                k += 1
                instances[np.hypot(rows - y, columns - x) <= radius] = k
    classes = np.arange(k) % 2
    return Smear(np.full((*SHAPE, 3), 200, np.uint8), instances, classes, f"{slide}{number}", slide)


@pytest.fixture(scope="module")
def smears():
    return [smear("a", 0), smear("b", 0, 2), smear("a", 1), smear("b", 1, -2)]


@pytest.fixture(scope="module")
def masks(smears):
    return MaskGenerator.fit(smears, by_slide=True, scale=(1.0, 1.0))


def test_every_slide_has_its_own_numbers_and_all_share_the_spread(smears, masks):
    assert masks.slide_of.tolist() == [0, 1, 0, 1]
    assert [slide.count_mean for slide in masks.slides] == [24, 12]
    assert {slide.count_std for slide in masks.slides} == {2.0}  # (0 + 0 + 4 + 4) / (4 smears - 2 slides), its root
    widths = [slide.placement.cell_size_px for slide in masks.slides]
    assert widths == [2 * RADIUS["a"] + 1, 2 * RADIUS["b"] + 1]
    assert masks.config.count_mean == 18


def test_a_mask_has_shapes_and_number_of_one_slide(masks):
    seen = set()
    for k in range(12):
        mask = masks.sample(np.random.default_rng(k))
        slide = "ab"[masks.slide_of[mask.source]]
        seen.add(slide)
        assert set(masks.shapes.slides[mask.shape_ids]) == {"ab".index(slide)}
        widths = measure_cells(mask.instances).box[:, 2:] - measure_cells(mask.instances).box[:, :2]
        assert np.abs(np.median(widths) - (2 * RADIUS[slide] + 1)) <= 1
        assert abs(mask.requested - COUNT[slide]) <= 9  # 4.5 standard deviations
    assert seen == {"a", "b"}


def test_the_smear_can_be_named_and_nothing_else_is_drawn_for_it(masks):
    for source in range(4):
        one, again = (masks.sample(np.random.default_rng(3), source=source) for _ in range(2))
        assert one.source == source
        np.testing.assert_array_equal(one.instances, again.instances)
    assert masks.sample(np.random.default_rng(3), count=5, source=1).placed == 5


def test_without_slides_masks_have_no_source_and_are_as_before(smears):
    plain = MaskGenerator.fit(smears)
    assert plain.sample(np.random.default_rng(0)).source is None
    assert "slide_of" not in plain.to_arrays()
    assert "slides" not in plain.to_dict()


def test_what_is_stored_draws_the_same(masks):
    read = MaskGenerator.from_arrays(masks.to_arrays(), masks.to_dict())
    assert read.slides == masks.slides
    for k in range(4):
        one, other = (made.sample(np.random.default_rng(k)) for made in (masks, read))
        np.testing.assert_array_equal(one.instances, other.instances)
        assert one.source == other.source


def test_classes_are_looked_for_on_the_slide_first(smears):
    masks = MaskGenerator.fit(smears, by_slide=True, keep_classes=True)
    mask = masks.sample(np.random.default_rng(0), shares=np.array([0.0, 1.0]), source=1)
    assert set(masks.shapes.slides[mask.shape_ids]) == {1}
    assert set(masks.shapes.classes[mask.shape_ids]) == {1}


def test_shapes_come_from_anywhere_if_the_slide_has_few():
    shape = np.ones((3, 3), bool)
    few = ShapeDatabase([shape] * (FEWEST + 3), slides=[0] * FEWEST + [1] * 3, classes=[0] * FEWEST + [1, 0, 0])
    assert few.of_slide(0).tolist() == list(range(FEWEST))
    assert few.of_slide(1).tolist() == list(range(FEWEST + 3))
    assert few.of_slide(1, kind=1).tolist() == [FEWEST]
    assert few.of_slide(0, kind=1).tolist() == [FEWEST]  # the slide has none of that class
    with pytest.raises(ValueError, match="slides has shape"):
        ShapeDatabase([shape], slides=[0, 1])


def test_constants_of_a_slide_are_in_units_of_its_cells(smears):
    measures = [measure_cells(one.instances) for one in smears]
    config = MaskConfig(18.0, 1.0, SHAPE)
    constants = {"a": LayoutConstants(sigma=1.0), "b": LayoutConstants(sigma=2.0, snap=0.5)}
    slides, _ = slide_configs([one.group for one in smears], measures, [SHAPE] * 4, config, constants=constants)
    assert [slide.placement.sigma_px for slide in slides] == [11.0, 34.0]
    assert [slide.snap for slide in slides] == [0.0, 0.5]
    (alone,), slide_of = slide_configs([""], measures[:1], [SHAPE], config, cell_size_px=7.0)
    assert (alone.count_std, alone.placement.cell_size_px, slide_of.tolist()) == (0.0, 7.0, [0])


def test_a_fitted_layout_is_fitted_to_every_slide(smears, monkeypatch):
    from bloodlib.sampler import fitting

    class Found:
        constants = LayoutConstants(core="zero")

    monkeypatch.setattr(fitting, "fit_slides", lambda smears, config: {"a": Found(), "b": Found()})
    masks = MaskGenerator.fit(smears, by_slide=True, layout="fitted")
    assert [slide.placement.core for slide in masks.slides] == ["zero", "zero"]
    assert replace(masks.config.placement, core="zero") != masks.config.placement


def test_slides_that_nothing_can_be_fitted_to_keep_the_given_constants(smears):
    alone = [replace(one, group=f"slide {k}") for k, one in enumerate(smears)]
    with pytest.warns(UserWarning, match="layout: cannot be fitted to these slides"):
        masks = MaskGenerator.fit(alone, by_slide=True, layout="fitted")
    assert len(masks.slides) == 4
    assert {slide.placement.sigma_px for slide in masks.slides} == {None}
    assert masks.sample(np.random.default_rng(0)).placed > 0


def test_given_constants_are_in_the_cell_sizes_of_each_slide(smears):
    given = LayoutConstants(sigma=1.0, rim=0.05, snap=0.5)
    masks = MaskGenerator.fit(smears, by_slide=True, layout=given)
    for slide in masks.slides:
        assert slide.placement.sigma_px == pytest.approx(slide.placement.cell_size_px)
        assert slide.rim_px == pytest.approx(0.05 * slide.placement.cell_size_px)
    assert masks.slides[0].placement.sigma_px < masks.slides[1].placement.sigma_px


def test_a_slide_of_cut_cells_alone_is_named(smears):
    cut = np.zeros(SHAPE, np.int32)
    cut[:, :20] = 1
    alone = Smear(np.full((*SHAPE, 3), 200, np.uint8), cut, None, "c0", "c")
    with pytest.raises(ValueError, match="slide 'c': holds no whole cell, so no mask can be drawn after it"):
        MaskGenerator.fit([*smears, alone], by_slide=True)
    MaskGenerator.fit([*smears, alone])


def test_a_cell_size_of_nothing_is_refused(smears):
    with pytest.raises(ValueError, match="cell_size_px"):
        MaskGenerator.fit(smears, cell_size_px=0)
