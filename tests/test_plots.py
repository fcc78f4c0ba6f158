import re
from itertools import combinations, pairwise

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from skimage.color import deltaE_ciede2000, rgb2lab

from bloodlib import plots
from bloodlib.io.labels import colours_to_instances
from bloodlib.sampler.constants import PUBLISHED
from bloodlib.statistics import touching_pairs
from tools.layout import ROOT, notebooks

# What linear RGB looks like without red, green or blue cones (Machado, Oliveira and Fernandes 2009, severity 1).
WITHOUT = {
    "red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    "none": np.eye(3).tolist(),
}


def linear(rgb):
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def seen(colours, cones):
    """Give Lab of colours as they look without one kind of cones, float (n, 3)."""
    light = np.clip(linear(np.array([to_rgb(c) for c in colours])) @ np.array(WITHOUT[cones]).T, 0, 1)
    return rgb2lab(np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)[None])[0]


def nearest(colours, cones):
    """Give the smallest CIEDE2000 difference of any two."""
    return min(float(deltaE_ciede2000(a, b)) for a, b in combinations(seen(colours, cones), 2))


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


def test_titles_are_large_and_stay_over_their_picture():
    with plt.rc_context():
        plots.style()
        images = [np.zeros((4, 6))] * 4
        few = plots.show_images(images[:2], ["mask", "painted"], columns=2, width=6)
        assert [axis.title.get_fontsize() for axis in few.axes] == pytest.approx([13.2, 13.2])
        names = ["as it is", "brightness (multiply)", "two\nlines", "grey"]
        many = plots.show_images(images, names, columns=4, width=9)
        many.canvas.draw()
        assert 11 < many.axes[0].title.get_fontsize() < 16
        boxes = [axis.title.get_window_extent() for axis in many.axes]
        assert all(a.x1 < b.x0 for a, b in pairwise(boxes))
        assert min(box.x0 for box in boxes) >= 0
        assert max(box.x1 for box in boxes) <= many.bbox.x1


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


def test_systems_have_their_own_colours():
    shared = {"main pipeline": "final, inverted", "single cells": "graph"}  # a system and its layout
    for system, layout in shared.items():
        assert plots.SYSTEM_COLOURS[system] == plots.SYSTEM_COLOURS[layout]
    assert len(set(plots.SYSTEM_COLOURS.values())) == len(plots.SYSTEM_COLOURS) - len(shared)
    assert set(PUBLISHED) | {"real", "fitted", "fitted by slide", "fitted, same slide"} <= set(plots.SYSTEM_COLOURS)


@pytest.mark.parametrize("cones", WITHOUT)
def test_systems_are_told_apart_with_any_colour_vision(cones):
    assert nearest(set(plots.SYSTEM_COLOURS.values()), cones) > 14


@pytest.mark.parametrize("cones", WITHOUT)
@pytest.mark.parametrize(
    "colours",
    [plots.CYCLE, tuple(plots.ARM_COLOURS.values()), tuple(plots.CHANNEL_COLOURS.values())],
    ids=["cycle", "arms", "channels"],
)
def test_other_colours_are_told_apart_with_any_colour_vision(colours, cones):
    assert nearest(colours, cones) > 10


def test_seeing_without_a_kind_of_cones_is_simulated():
    red_and_green = ("#d62728", "#2ca02c")  # of matplotlib's own cycle
    assert nearest(red_and_green, "green") < 10 < 50 < nearest(red_and_green, "none")
    assert seen(["#777777"], "red")[0] == pytest.approx(seen(["#777777"], "none")[0], abs=0.1)


def test_lines_of_systems_differ_from_white():
    for colour in plots.SYSTEM_COLOURS.values():
        luminance = linear(np.array(to_rgb(colour))) @ [0.2126, 0.7152, 0.0722]
        assert 1.05 / (luminance + 0.05) > 2.2


def test_line_of_a_system_has_its_colour():
    assert plots.system_line("graph") == {"color": plots.SYSTEM_COLOURS["graph"], "linestyle": "-."}
    for name in ("real", "uniform", "first, zero"):
        assert plots.system_line(name)["linewidth"] > plt.rcParams["lines.linewidth"]
    figure, axis = plt.subplots()
    for name in plots.SYSTEM_COLOURS:
        axis.plot([0, 1], [0, 1], **plots.system_line(name))
    figure.canvas.draw()
    with pytest.raises(ValueError, match="'best' has no colour"):
        plots.system_line("best")


def test_cycled_looks_are_different():
    assert len({plots.cycled(k) for k in range(42)}) == 42
    assert plots.cycled(42) == plots.cycled(0)
    style = (ROOT / "bloodlib" / "plots.mplstyle").read_text()
    assert tuple(f"#{c}" for c in re.search(r"color=\[(.+?)\]", style)[1].replace('"', "").split(", ")) == plots.CYCLE


def code(path):
    return "\n".join(c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code")


@pytest.mark.parametrize("path", notebooks(ROOT), ids=lambda path: path.stem)
def test_every_chapter_draws_in_the_style_and_no_colours_by_turn(path):
    source = code(path)
    assert re.search(r"^plots\.style\(\)$", source, re.MULTILINE)
    assert not re.search(r"""tab10|tab20|f["']C\{""", source), "colours by turn have no meaning"
    typed = set(re.findall(r"#[0-9A-Fa-f]{6}\b", source))
    assert not typed & {*plots.SYSTEM_COLOURS.values(), *plots.ARM_COLOURS.values()}, "taken from plots' maps instead"


def test_layouts_are_drawn_in_their_colours():
    for number, least in (("03", 2), ("04", 4), ("13", 1)):
        (path,) = notebooks(ROOT, number)
        assert len(re.findall(r"system_line\(|SYSTEM_COLOURS\[", code(path))) >= least, path.stem
