import numpy as np
import pytest
from scipy.spatial import cKDTree

from bloodlib.sampler.canvas import Canvas
from bloodlib.sampler.config import MaskConfig
from bloodlib.sampler.masks import MaskGenerator
from bloodlib.sampler.placement import PlacementConfig
from bloodlib.sampler.shapes import ShapeConfig, ShapeDatabase
from bloodlib.sampler.stamp import Stamp, with_rim
from bloodlib.statistics import touching_pairs

AS_IS = ShapeConfig(rotate=False, flip=False, scale=(1.0, 1.0))
DISC = np.hypot(*np.mgrid[-6:7, -6:7]) <= 6.2
BAR = np.ones((5, 15), dtype=bool)


def sample(seed=0, count=24, shapes=(DISC, BAR), shape=(90, 120), **options):
    config = MaskConfig(20, 1, shape, PlacementConfig(cell_size_px=13.0), AS_IS, **options)
    return MaskGenerator(ShapeDatabase(shapes, AS_IS), config).sample(np.random.default_rng(seed), count=count)


def rims_that_meet(instances, rim_px):
    """Pixels that lie within so many pixels of two cells or more."""
    pixels = np.argwhere(np.ones(instances.shape, dtype=bool))
    near = np.zeros(len(pixels), dtype=int)
    for k in range(1, instances.max() + 1):
        near += cKDTree(np.argwhere(instances == k)).query(pixels)[0] <= rim_px
    return int((near > 1).sum())


def test_a_rim_is_all_pixels_within_its_width():
    cell, grown = with_rim(BAR, 3.0)
    assert cell.shape == grown.shape == (11, 21)
    assert cell.sum() == BAR.sum()
    pixels = np.argwhere(np.ones(cell.shape, dtype=bool))
    near = np.sqrt(((pixels[:, None] - np.argwhere(cell)) ** 2).sum(axis=2).min(axis=1)) <= 3
    assert (grown.ravel() == near).all()
    stamp = Stamp(BAR)
    assert stamp.cell is stamp.shape


@pytest.mark.parametrize("rim_px", [1.0, 2.3, 3.0])
def test_cells_with_rims_keep_their_distance_and_their_shape(rim_px):
    mask = sample(rim_px=rim_px)
    assert mask.placed == 24
    assert rims_that_meet(mask.instances, rim_px) == 0
    assert rims_that_meet(sample(rim_px=0.0).instances, rim_px) > 0
    assert set(np.bincount(mask.instances.ravel())[1:].tolist()) & {int(DISC.sum()), BAR.size}


def test_only_a_share_of_the_cells_keeps_a_rim():
    made = [sample(count=40, rim_px=3.0, rim_share=share, shape=(130, 170)) for share in (0.0, 0.5, 1.0)]
    met = [rims_that_meet(mask.instances, 3.0) for mask in made]
    assert met[0] > met[1] > met[2] == 0


def test_snapped_cells_stop_where_their_rims_touch():
    options = {"snap": 1.0, "snap_reach_px": 200.0, "shapes": (DISC,), "shape": (200, 260), "count": 30}
    mask = sample(rim_px=2.0, **options)
    assert rims_that_meet(mask.instances, 2.0) == 0
    # Two rims of 2 px and the next pixel: most cells have a neighbour whose rim touches theirs.
    assert len(np.unique(touching_pairs(mask.instances, gap_px=6.0))) > 20
    assert len(touching_pairs(mask.instances, gap_px=2.0)) == 0


def test_what_shows_must_be_one_piece_without_its_rim():
    horseshoe = np.ones((11, 11), dtype=bool)
    horseshoe[:8, 4:7] = False  # its rims close the gap, but its ends alone are two pieces
    stamp, canvas = Stamp(horseshoe, rim_px=2.0), Canvas((40, 40), 30, 5)
    for seen, one_piece in ((11, True), (5, False)):  # rows of the horseshoe above the lower border
        top = 40 - seen - 2  # of the box, which begins with the rim
        point = np.array([top, 15]) + stamp.anchor
        assert (canvas.taken(stamp, point) is not None) == one_piece


@pytest.mark.parametrize(("options", "words"), [({"rim_px": -1}, "rim_px=-1"), ({"rim_share": 2}, "rim_share=2")])
def test_wrong_rims_are_named(options, words):
    with pytest.raises(ValueError, match=words):
        MaskConfig(1, 1, (5, 5), **options)
