import matplotlib.pyplot as plt
import numpy as np
import pytest

from bloodlib import plots
from bloodlib.io.labels import colours_to_instances
from bloodlib.statistics import touching_pairs


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_style_is_found_where_the_package_is():
    with plt.rc_context():
        plots.style()
        assert plt.rcParams["figure.constrained_layout.use"]
        assert not plt.rcParams["axes.spines.top"]


def test_images_go_on_a_grid_without_axes():
    figure = plots.show_images(
        [np.zeros((4, 6)), np.zeros((4, 6, 3), np.uint8), np.ones((4, 6))], list("abc"), columns=2
    )
    assert len(figure.axes) == 4
    assert [axis.get_title() for axis in figure.axes] == ["a", "b", "c", ""]
    assert not any(axis.axison for axis in figure.axes)


def test_images_and_titles_must_match():
    with pytest.raises(ValueError, match="the list is empty"):
        plots.show_images([])
    with pytest.raises(ValueError, match="2 given for 1"):
        plots.show_images([np.zeros((2, 2))], ["a", "b"])


def test_overlay_marks_the_outline_and_nothing_else():
    instances = np.zeros((7, 9), dtype=np.int32)
    instances[1:6, 1:4], instances[1:6, 4:8] = 1, 2
    image = np.full((7, 9, 3), 100, np.uint8)
    drawn = plots.overlay(image, instances, colour=(1, 2, 3))
    marked = (drawn == (1, 2, 3)).all(axis=2)
    wanted = np.zeros((7, 9), bool)
    wanted[1:6, 1:8] = True
    wanted[2:5, 2] = wanted[2:5, 5:7] = False  # the insides; columns 3 and 4 lie on the common border
    assert np.array_equal(marked, wanted)
    assert (image == 100).all()


def test_coloured_instances_can_be_told_apart():
    rng = np.random.default_rng(0)
    seeds = rng.integers(0, 60, (60, 2))
    rows, cols = np.mgrid[:60, :60]
    nearest = np.argmin((rows[..., None] - seeds[:, 0]) ** 2 + (cols[..., None] - seeds[:, 1]) ** 2, axis=-1)
    instances = np.unique(nearest, return_inverse=True)[1].reshape(60, 60).astype(np.int32)  # a tessellation
    coloured = plots.colour_instances(instances)
    assert (coloured[instances == 0] == 0).all()
    for a, b in touching_pairs(instances):
        assert not np.array_equal(coloured[instances == a][0], coloured[instances == b][0])
    assert colours_to_instances(coloured).max() == instances.max()


def test_arms_have_their_own_colours():
    assert list(plots.ARM_COLOURS) == ["RD", "SD", "RD+aug", "RD+SD", "RD+SD+aug"]
    assert len(set(plots.ARM_COLOURS.values())) == 5
