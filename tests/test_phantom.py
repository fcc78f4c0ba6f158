"""The phantom: known physics, exact masks, and Table 1 of Bailo et al. (2019)."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from scipy.ndimage import label

from bloodlib.datasets import _phantom_cells as cells
from bloodlib.datasets import _phantom_debris as debris
from bloodlib.datasets import _phantom_optics as optics
from bloodlib.datasets import phantom
from bloodlib.datasets._phantom_layout import Aggregation, aggregate


@pytest.fixture(scope="module")
def train():
    return list(phantom.load("train"))


def round_cell(**changes):
    values = {
        "axes_px": (23.0, 23.0),
        "angle": 0.0,
        "kind": "discocyte",
        "scale": 1.0,
        "flatness": 2.0,
        "depth": 1.0,
        "dryness": 0.0,
        "step": (0.2, 0.6),
        "dimple_at": (0.0, 0.0),
        "dimple_stretch": 1.0,
        "dimple_angle": 0.0,
        "harmonics": np.zeros((0, 3)),
        "dimple_harmonics": np.zeros((0, 3)),
        "bumps": np.zeros((0, 3)),
    }
    return cells.Cell(**(values | changes))


def test_thickness_is_evans_and_fungs():
    # The formula of FACTS and of the 1972 paper, at places worked out by hand.
    assert optics.evans_fung_thickness(np.array([0.0]))[0] == pytest.approx(0.81)
    assert optics.evans_fung_thickness(np.array([1.0]))[0] == 0.0
    half = np.sqrt(0.75) * (0.81 + 7.83 * 0.25 - 4.39 * 0.0625)
    assert optics.evans_fung_thickness(np.array([0.5]))[0] == pytest.approx(half)


def test_thickness_is_greatest_where_its_derivative_vanishes():
    # With s = ρ², T² = (1 − s)(c0 + c1 s + c2 s²)²; its derivative is zero where this quadratic is.
    c0, c1, c2 = 0.81, 7.83, -4.39
    places = np.roots([-5 * c2, 4 * c2 - 3 * c1, 2 * c1 - c0])
    expected = np.sqrt(places[(places > 0) & (places < 1)])
    rho = np.linspace(0, 1, 100_001)
    assert rho[optics.evans_fung_thickness(rho).argmax()] == pytest.approx(expected[0], abs=1e-4)


def test_a_levelled_cell_keeps_its_volume():
    # Uniform in ρ², so the mean over the disc; the integral of √(1 − s)·(…) is exact at any depth.
    s = (np.arange(200_000) + 0.5) / 200_000
    rho = np.sqrt(s)
    volume = [(optics.envelope(rho) * optics.dimple(rho, depth)).mean() for depth in (0.0, 0.5, 1.0)]
    assert volume == pytest.approx([volume[2]] * 3, rel=1e-4)
    # 94 µm³ over π · 3.91² µm² is the cell of Evans & Fung.
    assert volume[2] * np.pi * optics.RADIUS_UM**2 == pytest.approx(94, abs=1)


def test_a_flat_slab_obeys_beer_lambert():
    slab = np.full((4, 5), 2.0)
    once = optics.transmitted(200.0, 0.15 * slab)
    assert once == pytest.approx(200 * np.exp(-0.3))
    # Two slabs on each other pass the product of what each passes.
    assert optics.transmitted(200.0, 0.15 * (slab + slab)) == pytest.approx(once**2 / 200)


def test_absorption_is_solved_for_the_wanted_transmittance():
    # For one thickness the answer is −ln(share) / T.
    solved = optics.absorption_for(np.array([0.5, 0.7, 0.9]), np.full(7, 2.5), np.ones(7))
    assert solved == pytest.approx(-np.log([0.5, 0.7, 0.9]) / 2.5, abs=1e-4)


def test_refraction_leaves_even_matter_alone_and_rims_an_edge():
    assert optics.refraction(np.full((40, 40), 3.0, np.float32), 0.2, 1.5) == pytest.approx(1.0)
    step = np.zeros((40, 40), np.float32)
    step[:, 20:] = 2.0
    factor = optics.refraction(step, 0.2, 1.5)[20]
    assert factor[18] > 1.02
    assert factor[21] < 0.98


def test_a_round_cell_is_the_disc_and_the_formula():
    where, inside, thickness = cells.cell_patch(round_cell(), (40.0, 50.0), (90, 100))
    rows, cols = np.mgrid[where]
    distance = np.hypot(rows - 40, cols - 50)
    assert np.array_equal(inside, distance <= 23)
    assert thickness[inside] == pytest.approx(optics.evans_fung_thickness(distance[inside] / 23), abs=1e-5)
    assert not thickness[~inside].any()


def test_the_border_cuts_a_cell_without_changing_it():
    whole_at, whole, _ = cells.cell_patch(round_cell(), (40.0, 40.0), (90, 90))
    _, cut, _ = cells.cell_patch(round_cell(), (0.0, 40.0), (90, 90))
    assert np.array_equal(cut[:24], whole[40 - whole_at[0].start :][:24])
    assert cells.cell_patch(round_cell(), (-30.0, 40.0), (90, 90)) is None


def test_settled_cells_touch_but_barely_overlap():
    rng = np.random.default_rng(3)
    n, box = 250, (700.0, 1000.0)  # 250 discs of 46 px cover 59 %
    axes = np.full((n, 2), 23.0)
    centres = aggregate(rng, box, axes, np.zeros(n), np.zeros(n), Aggregation())
    apart = centres[:, None] - centres[None]
    apart -= np.array(box) * np.rint(apart / np.array(box))
    distance = np.hypot(*np.moveaxis(apart, -1, 0)) + np.eye(n) * 1e3
    assert distance.min() > 0.9 * 46
    nearest = distance.min(axis=1)
    assert (nearest < 1.03 * 46).mean() > 0.8


def test_bytes_depend_on_slide_image_and_shape_alone():
    folder = phantom.load("test", shape=(128, 160))
    backwards = [folder[i] for i in (3, 2, 1, 0)][::-1]
    phantom.slide.cache_clear()
    for first, again in zip(backwards, folder[:4], strict=True):
        assert first.name == again.name
        assert first.image.tobytes() == again.image.tobytes()
        assert first.instances.tobytes() == again.instances.tobytes()
        assert np.array_equal(first.points, again.points)
    assert len({smear.image.tobytes() for smear in backwards}) == 4


def test_the_version_stands_for_these_smears():
    """Painters find the phantom by its version; whoever changes what is rendered raises it with these numbers."""
    assert phantom.VERSION == 1
    found, masks = phantom.load()[::33], hashlib.sha256()
    for smear in found:
        masks.update(smear.instances.astype("<i4").tobytes())
    assert masks.hexdigest()[:16] == "f8267bfe1cc486bc"
    means = [[189.03, 199.32, 203.19], [212.6, 218.21, 224.38], [156.64, 162.23, 173.54], [164.27, 177.24, 192.35]]
    np.testing.assert_allclose([smear.image.mean(axis=(0, 1)) for smear in found], means, atol=0.05)


def test_ids_have_no_gaps_and_every_cell_its_point(train):
    for smear in train[::7]:
        assert np.array_equal(np.unique(smear.instances), np.arange(smear.count + 1))
        assert not smear.classes.any()
        assert np.array_equal(smear.instances[smear.points[:, 1], smear.points[:, 0]], np.arange(1, smear.count + 1))


def test_almost_every_cell_is_in_one_piece(train):
    # A strip may cut a lower cell in two, which is rare while overlaps are bounded.
    pieces = [label(smear.instances == k)[1] for smear in train[::12] for k in range(1, smear.count + 1)]
    assert np.mean(np.array(pieces) == 1) > 0.98


def test_cells_hide_each_other_only_in_part():
    # Measured: over three dense full-size smears the most hidden cell kept 55 % of its pixels.
    shape = (600, 960)
    rng = np.random.default_rng(5)
    placed, centres, _ = phantom._place(rng, phantom.slide(14), 240, shape)
    owner, area = np.zeros(shape, int), []
    for index, (cell, centre) in enumerate(zip(placed, centres, strict=True)):
        patch = cells.cell_patch(cell, centre, shape)
        area.append(0 if patch is None else patch[1].sum())
        if patch is not None:
            owner[patch[0]][patch[1]] = index + 1
    area = np.array(area)
    visible = np.bincount(owner.ravel(), minlength=len(area) + 1)[1:][area > 400] / area[area > 400]
    assert visible.min() > 0.5
    assert 0.005 < (visible < 0.9).mean() < 0.25


def test_parts_share_no_slide_and_no_stain_is_unseen():
    parts = {name: phantom.load(name) for name in ("fit", "validation", "test", "train", "all")}
    groups = {name: set(folder.groups) for name, folder in parts.items()}
    assert [len(groups[name]) for name in ("fit", "validation", "test")] == [12, 3, 10]
    assert [len(parts[name]) for name in parts] == [48, 12, 40, 60, 100]
    assert groups["fit"] | groups["validation"] == groups["train"]
    assert groups["train"] | groups["test"] == groups["all"]
    assert len(groups["all"]) == 25
    families = {name: {phantom.slide(int(group[-2:])).family for group in groups[name]} for name in groups}
    assert families["fit"] == families["test"] == set(phantom.FAMILIES)


def test_the_empty_slide_is_brighter_than_its_cells(train):
    for smear in train:
        cell = smear.image[smear.instances > 0].mean(axis=0)
        empty = np.median(smear.image[smear.instances == 0], axis=0)
        assert (empty > cell + 15).all(), smear.name


def test_what_is_no_red_cell_gets_no_instance(monkeypatch):
    drawn = {"add_white_cell": [], "add_platelet": [], "add_dust": []}
    for name, places in drawn.items():
        monkeypatch.setattr(debris, name, _watched(getattr(debris, name), places))
    smear = phantom.render(2, 3)
    assert all(drawn.values())
    row, col, radius, dark = drawn["add_white_cell"][0]
    assert dark > 100
    rows, cols = np.mgrid[:300, :480]
    assert not smear.instances[np.hypot(rows - row, cols - col) < 0.8 * radius].any()
    assert not any(smear.instances[int(place[0]), int(place[1])] for place in drawn["add_platelet"])
    # The mask is the same to the byte when nothing but red cells is drawn; the image is not.
    for name in drawn:
        monkeypatch.setattr(debris, name, lambda *_: None)
    bare = phantom.render(2, 3)
    assert bare.instances.tobytes() == smear.instances.tobytes()
    assert bare.image.tobytes() != smear.image.tobytes()


def _watched(draw, places):
    """Draw as before, and note where, how large and how dark."""

    def watched(absorbance, phase, centre, radius, rng):
        before = absorbance.sum()
        draw(absorbance, phase, centre, radius, rng)
        places.append((*centre, radius, absorbance.sum() - before))

    return watched


def test_training_part_meets_table_1_at_the_small_size(train):
    # The seeds are fixed, so this cannot fail by chance: it fails when an edit moves the calibration.
    # Tolerances: half of what would be told apart by two standard errors over 15 slides (colour:
    # 2 · 20 / √15 ≈ 10), and 2 px for size, as a small image shows fewer large cells whole.
    share = 300 * 480 / (1200 * 1920)
    counts = np.array([smear.count for smear in train])
    assert counts.mean() == pytest.approx(669 * share, abs=1)
    assert counts.std() == pytest.approx(149 * share, abs=1)
    sizes, colours = zip(*(_cells(smear) for smear in train), strict=True)
    sizes, colours = np.concatenate(sizes), np.concatenate(colours)
    assert sizes.mean(axis=0) == pytest.approx([46, 46], abs=2)
    assert sizes.std(axis=0) == pytest.approx([5, 5], abs=1)
    assert colours.mean(axis=0) == pytest.approx([154, 151, 162], abs=5)
    assert colours.std(axis=0) == pytest.approx([20, 17, 21], abs=3)


def _cells(smear):
    """Give height and width of the cells that no border cuts, and every cell's mean colour."""
    sizes, colours = [], []
    height, width = smear.instances.shape
    for k in range(1, smear.count + 1):
        rows, cols = np.nonzero(smear.instances == k)
        colours.append(smear.image[rows, cols].mean(axis=0))
        if rows.min() > 0 and cols.min() > 0 and rows.max() < height - 1 and cols.max() < width - 1:
            sizes.append((np.ptp(rows) + 1, np.ptp(cols) + 1))
    return np.array(sizes), np.array(colours)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="split is 'dev'; the phantom has all, fit"):
        phantom.load("dev")
    with pytest.raises(ValueError, match="20×480"):
        phantom.load(shape=(20, 480))
