from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex

from bloodlib import figures, plots
from bloodlib.gan.styles import Styles
from bloodlib.io import write_image


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_mosaic_keeps_every_shape_whole_and_apart():
    shapes = [np.ones((3, 5), bool), np.ones((4, 2), bool), np.ones((1, 1), bool)]
    sheet = figures.mosaic(shapes, columns=2)
    assert sheet.shape == (14, 14)
    assert sheet.sum() == sum(shape.sum() for shape in shapes)
    assert not sheet[[0, 6, 7, 13]].any()
    assert not sheet[:, [0, 6, 7, 13]].any()


def test_pipeline_shows_each_step_and_can_be_drawn():
    image, mask = np.full((20, 30, 3), 200, np.uint8), np.zeros((20, 30), np.int32)
    mask[5:9, 5:9] = 1
    figure = figures.pipeline(image, mask, [np.ones((4, 4), bool)], mask, image)
    figure.canvas.draw()
    titles = [axis.get_title() for axis in figure.axes]
    assert titles == ["annotated masks", "smears", "shape database", "painter", "synthetic mask", "synthetic smear"]
    steps = [text.get_text()[0] for axis in figure.axes for text in axis.texts if text.get_text()[1:3] == "  "]
    assert sorted(steps) == list("abcd")
    assert not any(axis.axison for axis in figure.axes)


def history(stage, step, **losses):
    zero = [0.0] * len(step)
    return {"stage": stage, "step": step, "gan": zero, "d_real": zero, "d_fake": zero, "seconds": zero} | losses


def test_curves_run_on_through_the_second_stage():
    told = history([1, 1, 1, 2, 2], [0, 1, 2, 0, 1], gan=[5.0, 4, 3, 2, 1], perceptual=[0.0] * 5, colour=[2.0] * 5)
    figure = figures.training_curves({"a": told, "b": told}, balance=0.5)
    above, below = figure.axes[0], figure.axes[2]
    assert [axis.get_title() for axis in figure.axes] == ["a", "b", "", ""]
    assert above.lines[0].get_xdata().tolist() == [0, 1, 2, 3, 4]
    assert above.lines[0].get_ydata().tolist() == [5, 4, 3, 2, 1]
    assert list(above.lines[2].get_ydata()) == [0.5, 0.5]
    assert [line.get_label() for line in below.lines if line.get_label()[0] != "_"] == ["colour"]


def test_thinned_curves_keep_their_places():
    told = history([1, 1, 2, 2], [9, 19, 9, 19], d_real=[0.3] * 4, d_fake=[0.1] * 4)
    (above, _) = figures.training_curves({"thin": told}).axes
    assert above.lines[1].get_xdata().tolist() == [9, 19, 29, 39]
    assert above.lines[1].get_ydata() == pytest.approx([0.4] * 4)


@pytest.mark.parametrize("width", [1, 2, 3, 8])
def test_running_mean_keeps_length_and_level(width):
    assert figures._running_mean(np.full(20, 3.0), width) == pytest.approx(np.full(20, 3.0))
    line = figures._running_mean(np.arange(20.0), 3)
    assert line[1:-1] == pytest.approx(np.arange(1.0, 19))


def test_snapshots_take_the_first_and_the_last(tmp_path):
    assert figures.snapshots(tmp_path) == {}
    for k, step in enumerate((1, 100, 200, 300, 1000, 2000)):
        write_image(tmp_path / "previews" / f"step-{step:06d}.png", np.full((4, 6, 3), 10 * k, np.uint8))
    write_image(tmp_path / "previews" / "real.png", np.full((4, 6, 3), 255, np.uint8))
    found = figures.snapshots(tmp_path, most=3)
    assert len(found) == 3
    assert list(found) == sorted(found)
    assert {1, 2000} <= set(found)
    assert (found[2000] == 50).all()
    assert list(figures.snapshots(tmp_path, most=99)) == [1, 100, 200, 300, 1000, 2000]


def test_feature_colours_fill_the_range_and_tell_rows_apart():
    rng = np.random.default_rng(0)
    colours = figures.feature_colours(rng.normal(size=(50, 8)))
    assert colours.shape == (50, 3)
    assert colours.min(axis=0) == pytest.approx(0)
    assert colours.max(axis=0) == pytest.approx(1)
    assert len(np.unique(colours, axis=0)) == 50
    narrow = figures.feature_colours(np.array([[0.0], [1.0], [3.0]]))
    assert np.abs(np.diff(narrow[:, 0])) == pytest.approx([1 / 3, 2 / 3])
    assert (narrow[:, 1:] == 0).all()
    assert (figures.feature_colours(np.ones((4, 5))) == 0).all()


@pytest.fixture
def styles():
    rng = np.random.default_rng(1)
    return Styles.fit([rng.normal(k % 2, 0.1, (21, 4)).astype(np.float32) for k in range(4)], clusters=3)


def test_style_scatter_names_clusters_and_slides(styles):
    above, below = figures.style_scatter(styles, ["s1", "s2", "s1", "s2"]).axes
    assert [text.get_text() for text in above.texts] == ["0", "1", "2"]
    assert [text.get_text() for text in below.get_legend().get_texts()] == ["s1", "s2"]
    *cells, crosses = below.collections
    assert [len(of_slide.get_offsets()) for of_slide in cells] == [40, 40]
    assert len(crosses.get_offsets()) == 4
    assert [to_hex(c.get_facecolors()[0]) for c in cells] == [plots.cycled(k)[0].lower() for k in (0, 1)]
    *of_clusters, grey_crosses = above.collections
    assert [len(one.get_offsets()) for one in of_clusters] == np.bincount(styles.cell_cluster).tolist()
    assert np.array_equal(grey_crosses.get_offsets(), crosses.get_offsets())


def test_numbers_of_clusters_that_crowd_are_moved_apart_with_lines_to_their_middles():
    figure, axis = plt.subplots(figsize=(7, 4.3))
    points = np.array([[0.0, 0.0], [1.0, 1.0]])
    crowd = np.array([[0.5, 0.5], [0.5, 0.5], [0.51, 0.5], [0.5, 0.52]])
    centres = np.vstack([crowd, [[0.1, 0.9], [0.9, 0.1]]])
    axis.set(xlim=(-0.05, 1.05), ylim=(-0.05, 1.05))
    figures._numbers(axis, centres, points)
    figure.canvas.draw()
    boxes = [text.get_bbox_patch().get_window_extent() for text in axis.texts]
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
    assert [text.get_position() for text in axis.texts[4:]] == [(0.1, 0.9), (0.9, 0.1)]
    lines = axis.lines[1::2]  # each on a wider white one
    assert [tuple(line.get_xydata()[1]) for line in lines] == [tuple(place) for place in crowd]


def test_style_scatter_tells_more_kinds_than_colours_apart_by_markers():
    rng = np.random.default_rng(2)
    styles = Styles.fit([rng.normal(k, 0.1, (5, 4)).astype(np.float32) for k in range(9)], clusters=9)
    above, below = figures.style_scatter(styles, [f"s{k}" for k in range(9)]).axes
    for axis in (above, below):
        looks = {(to_hex(c.get_facecolors()[0]), len(c.get_paths()[0])) for c in axis.collections[:9]}
        assert len(looks) == 9
    markers = [handle.get_marker() for handle in below.get_legend().legend_handles]
    assert markers == ["o"] * 7 + ["^"] * 2


def test_style_scatter_without_slides_has_a_colour_bar(styles):
    figure = figures.style_scatter(styles)
    assert figure.axes[1].get_title().startswith("by smear")
    assert figure.axes[2].get_ylabel() == "smear"


def test_ladder_sorts_and_marks_the_floors():
    values = {"painted": (0.3, 0.1), "same slides": (0.0, 0.02), "flat": (0.9, 0.1)}
    above, below = figures.ladder({"test": values, "fit": {"painted": (1, 0)}}, "KID", floors={"same slides"}).axes
    assert [label.get_text() for label in above.get_yticklabels()] == ["same slides", "painted", "flat"]
    assert [axis.get_title() for axis in (above, below)] == ["test", "fit"]
    assert [axis.get_xlabel() for axis in (above, below)] == ["", "KID"]
    assert [line.get_xdata()[0] for line in above.lines if line.get_linestyle() == ":"] == [0.0]
