import numpy as np
import pytest

from bloodlib.gan.clusters import usual_looks
from bloodlib.gan.styles import Styles, forms


@pytest.fixture
def features():
    """Three stains, two smears of each, with three tiny smears' worth of cells each."""
    rng = np.random.default_rng(1)
    stains = np.array([[-0.8, 0, 0], [0, 0.8, 0], [0.5, 0, -0.8]])
    return [
        np.vstack([-stains[k // 2], stains[k // 2] + rng.normal(0, 0.02, (30 + k, 3))]).astype(np.float32)
        for k in range(6)
    ]


def test_every_cell_is_in_a_cluster_however_small(features):
    styles = Styles.fit(features, clusters=10)
    assert len(styles.cells) == sum(len(f) - 1 for f in features)
    assert len(styles) == 10
    sizes = np.bincount(styles.cell_cluster, minlength=10)
    assert sizes.sum() == len(styles.cells)
    assert (np.diff(sizes) <= 0).all()
    assert (sizes > 0).all()
    np.testing.assert_allclose(styles.shares.sum(axis=1), 1)


def test_three_stains_are_found_as_three_clusters(features):
    styles = Styles.fit(features, clusters=3)
    stain = styles.cell_smear // 2
    assert {tuple(np.unique(styles.cell_cluster[stain == k])) for k in range(3)} == {(0,), (1,), (2,)}


def test_joint_draws_take_background_and_cells_from_one_smear_and_cluster(features):
    styles = Styles.fit(features, clusters=3)
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(40):
        drawn, style = styles.sample(rng, 25)
        assert drawn.shape == (26, 3)
        assert np.abs(drawn[1:] + drawn[0]).max() < 0.15  # a background is minus its stain
        assert len(np.unique(drawn[1:], axis=0)) > 5  # cells differ
        members = styles.cells[styles.cell_cluster == style]
        assert (drawn[1:, None] == members[None]).all(axis=2).any(axis=1).all()
        seen.add(style)
    assert seen == {0, 1, 2}


def test_a_chosen_style_is_the_one_painted(features):
    styles = Styles.fit(features, clusters=3)
    drawn, style = styles.sample(np.random.default_rng(0), 5, style=2)
    assert style == 2
    np.testing.assert_allclose(drawn[1:], np.tile(styles.cell_centres[2], (5, 1)), atol=0.15)
    with pytest.raises(ValueError, match="style is 3; this painter has styles 0 to 2"):
        styles.sample(np.random.default_rng(0), 5, style=3)


def test_independent_draws_are_the_papers(features):
    styles = Styles.fit(features, clusters=3, draw="independent")
    rng = np.random.default_rng(0)
    pairs = set()
    for _ in range(60):
        drawn, style = styles.sample(rng, 4)
        assert (drawn[1:] == styles.cell_centres[style]).all()
        pairs.add((style, int(np.flatnonzero((styles.background_centres == drawn[0]).all(axis=1))[0])))
    assert len(pairs) == 9  # any background with any cells


def test_per_cell_draws_give_every_cell_a_cluster_of_its_own(features):
    """400 cells over 3 clusters: counts within four standard deviations, 1 false alarm in 10,000."""
    per_cell, independent = (Styles.fit(features, 3, draw) for draw in ("per_cell", "independent"))
    drawn, style = per_cell.sample(np.random.default_rng(0), 400)
    which = (drawn[1:, None] == per_cell.cell_centres[None]).all(axis=2)  # (cells, clusters)
    assert (which.sum(axis=1) == 1).all(), "every cell has the centre of one cluster"
    assert (np.abs(which.sum(axis=0) - 400 / 3) < 4 * np.sqrt(400 * 2 / 9)).all()
    assert style == which.sum(axis=0).argmax()
    assert (drawn[0] == per_cell.background_centres).all(axis=1).any()
    assert len(np.unique(independent.sample(np.random.default_rng(0), 400)[0][1:], axis=0)) == 1
    drawn, style = per_cell.sample(np.random.default_rng(0), 400, style=2)
    assert (drawn[1:] == per_cell.cell_centres[2]).all()
    assert style == 2


def test_fewer_different_features_than_clusters(features):
    styles = Styles.fit([features[0][:3]], clusters=10)
    assert len(styles) == 2
    assert len(styles.background_centres) == 1


def test_no_cells_at_all_is_an_error():
    with pytest.raises(ValueError, match="no cells"):
        Styles.fit([np.zeros((1, 3), np.float32)])


def test_styles_survive_storing(features):
    styles = Styles.fit(features, clusters=3)
    again = Styles.from_arrays(styles.to_arrays(), styles.draw)
    a, b = (s.sample(np.random.default_rng(5), 9)[0] for s in (styles, again))
    assert np.array_equal(a, b)


def test_joint_draws_by_size_take_the_looks_of_cells_of_about_that_size():
    features = [np.vstack([[0.0, 0.0], np.stack([np.linspace(0, 1, 200), np.zeros(200)], axis=1)]).astype(np.float32)]
    sizes = [np.concatenate([[9999], 100 + np.arange(200)])]
    styles = Styles.fit(features, clusters=3, sizes_px=sizes)
    drawn, _ = styles.sample(np.random.default_rng(0), 3, sizes_px=np.array([9999, 100, 200, 299]))
    np.testing.assert_allclose(drawn[1:, 0] * 199, [0, 100, 199], atol=12)
    assert not np.allclose(drawn[1:, 0] * 199, [0, 100, 199], atol=1e-6)


def test_joint_draws_by_form_take_the_looks_of_cells_that_are_long_the_same_way():
    ways = np.array([[0.3, 0], [-0.3, 0], [0, 0.3], [0, 0]])
    told = np.repeat(np.arange(4.0), 40)  # the features say which way each cell is long
    features = [np.stack([np.append(0, told), np.zeros(161)], axis=1).astype(np.float32)]
    sizes, long = (
        np.append(9999, np.tile(np.linspace(95, 105, 40), 4)),
        np.vstack([[0, 0], np.repeat(ways, 40, axis=0)]),
    )
    styles = Styles.fit(features, clusters=3, sizes_px=[sizes], elongation=[long])
    kept = Styles.from_arrays(styles.to_arrays(), "joint")
    for source in (styles, kept):
        asked = {"sizes_px": np.array([9999, 100, 100, 100, 100]), "elongation": np.vstack([[0, 0], ways])}
        assert source.sample(np.random.default_rng(0), 4, **asked)[0][1:, 0].tolist() == [0, 1, 2, 3]
    by_size = {styles.sample(np.random.default_rng(k), 1, sizes_px=np.array([9999, 100]))[0][1, 0] for k in range(20)}
    assert len(by_size) > 1


def test_forms_tell_size_and_which_way_a_cell_is_long():
    ids = np.zeros((30, 40), np.int32)
    ids[10:12, 5:25], ids[15:25, 30:32] = 1, 2
    rows = np.arange(10)
    ids[15 + rows, 5 + rows] = ids[15 + rows, 6 + rows] = 4
    found = forms(ids, 6)
    assert found["sizes_px"].tolist() == [1200 - 80, 40, 20, 1, 20, 1]
    across, down, absent, diagonal = found["elongation"][1:5]
    assert min(across[0], -down[0], diagonal[1]) > 0.45
    assert np.abs([across[1], down[1], diagonal[0]]).max() < 0.1
    assert not np.any([absent, found["elongation"][5]])


def test_cells_that_the_border_cuts_lend_no_looks_unless_there_are_no_others():
    features = [np.array([[0, 0], [1, 0], [2, 0], [3, 0]], np.float32)]
    cut_out = [np.array([True, True, False, True])]
    for whole, allowed in ((cut_out, {1.0, 3.0}), ([np.array([True, False, False, False])], {1.0, 2.0, 3.0})):
        drawn, _ = Styles.fit(features, clusters=2, whole=whole).sample(np.random.default_rng(0), 60)
        assert set(drawn[1:, 0].tolist()) == allowed


def test_a_look_unlike_all_others_of_its_smear_is_not_lent():
    rng = np.random.default_rng(0)
    cells = rng.normal(0, 0.1, (60, 3))
    cells[7] = [0.0, 0.9, 0.0]  # nine deviations away in one feature: over five in the root mean square
    cells[8, 1] = 0.4  # four deviations in one of them is within what cells do
    features = [np.vstack([[0, 0, 0], cells]).astype(np.float32)]
    sizes = [np.append(9999, np.full(60, 100))]
    styles = Styles.fit(features, clusters=3, sizes_px=sizes)
    assert np.flatnonzero(~styles.lends).tolist() == [8]
    for source in (styles, Styles.from_arrays(styles.to_arrays(), "joint")):
        drawn, _ = source.sample(np.random.default_rng(1), 300)
        assert not (drawn[1:] == features[0][8]).all(axis=1).any()
        assert (drawn[1:] == features[0][9]).all(axis=1).any()
    older = Styles.from_arrays({k: x for k, x in styles.to_arrays().items() if k != "usual"}, "joint")
    assert older.lends.all()
    assert len(older.cells) == len(styles.cells) == 60  # it still counts, and has a cluster


def test_a_style_is_a_look_that_can_be_lent_however_many_cells_the_border_cuts():
    rng = np.random.default_rng(0)
    whole = np.r_[True, np.ones(40, bool), np.zeros(40, bool)]
    cells = np.vstack([rng.normal(0, 0.05, (20, 2)), rng.normal(1, 0.05, (20, 2)), rng.normal(4, 0.05, (40, 2))])
    features = [np.vstack([[9, 9], cells + shift]).astype(np.float32) for shift in (0, 0.2)]
    sizes = [np.append(9999, np.full(80, 100))] * 2
    styles = Styles.fit(features, 2, sizes_px=sizes, whole=[whole, whole])
    assert (np.abs(styles.cell_centres) < 2).all(), "no cluster of cut cells alone"
    assert len(styles.cell_cluster) == 160  # the cut ones belong to the nearest
    for style in (0, 1):
        drawn, _ = styles.sample(np.random.default_rng(style), 50, style=style)
        near = np.square(drawn[1:, None] - styles.cell_centres[None]).sum(axis=2).argmin(axis=1)
        assert set(near) == {style}
        assert (drawn[1:] < 2).all(), "no look of a cut cell"
    paper = Styles.fit(features, 3, "independent", sizes_px=sizes, whole=[whole, whole])
    assert (paper.cell_centres > 3).any(), "the published recipe clusters every cell"


def test_a_style_is_a_whole_number_of_any_type(features):
    styles = Styles.fit(features, clusters=3)
    assert styles.check(None) is None
    for style in (2, np.int64(2), 2.0):
        assert styles.check(style) == 2
        assert type(styles.check(style)) is int
    for style in (2.5, "1", float("nan")):
        with pytest.raises(ValueError, match="this painter has styles 0 to 2"):
            styles.check(style)


def test_what_is_usual_is_told_by_what_differs_and_by_enough_instances():
    features = np.zeros((30, 2), np.float32)
    features[:, 0] = np.linspace(0, 1, 30)
    features[3, 1] = 1  # all others have this feature alike
    ones, whole = np.ones(30, np.int64), np.ones(30, bool)
    assert usual_looks(features, ones, ones, whole).all()
    features[4, 0] = 90
    assert np.flatnonzero(~usual_looks(features, ones, ones, whole)).tolist() == [4]
    assert usual_looks(features[:9], ones[:9], ones[:9], whole[:9]).all()
    cut = whole.copy()
    cut[[4, 5]] = False
    assert np.flatnonzero(~usual_looks(features, ones, ones, cut)).tolist() == [4]


@pytest.fixture(params=["joint", "independent", "per_cell"])
def classed(request):
    """Two smears, cells of classes 0 and 1 in the first and 1 and 2 in the second; features say class and smear."""
    kinds = [np.array([0, *[1 + smear] * 6, *[2 + smear] * 3, 4]) for smear in range(2)]
    rng = np.random.default_rng(0)
    features = [
        np.stack([kind, np.full(len(kind), smear), rng.uniform(-0.1, 0.1, len(kind))], axis=1).astype(np.float32)
        for smear, kind in enumerate(kinds)
    ]
    return Styles.fit(features, 3, request.param, kinds=kinds, cell_classes=3)


def test_instances_take_the_looks_of_their_own_class(classed):
    kinds = np.array([0, 3, 1, 2, 2, 3, 4])
    for seed in range(10):
        drawn, style = classed.sample(np.random.default_rng(seed), kinds)
        np.testing.assert_allclose(drawn[:, 0], kinds, atol=1e-6)
        assert 0 <= style < len(classed) == 3
    again = Styles.from_arrays(classed.to_arrays(), classed.draw, classed.cell_classes)
    assert np.array_equal(again.sample(np.random.default_rng(9), kinds)[0], drawn)
    assert len(classed.cells) == 18
    assert len(classed.cell_centres) == 9
    np.testing.assert_allclose(classed.class_shares, [[2 / 3, 1 / 3, 0], [0, 2 / 3, 1 / 3]])
    with pytest.raises(ValueError, match=r"an instance is of kind 5 .* seen are 0, 1, 2, 3, 4"):
        classed.sample(np.random.default_rng(0), np.array([0, 5]))


def test_a_chosen_style_is_that_cluster_of_every_class(classed):
    kinds = np.array([0, 1, 2, 3])
    for seed in range(10):
        drawn, style = classed.sample(np.random.default_rng(seed), kinds, style=1)
        assert style == 1
        for features, kind in zip(drawn[1:], kinds[1:], strict=True):
            near = np.linalg.norm(classed.centres[kind] - features, axis=1).argmin()
            has = (classed.kind == kind) & (classed.cluster == 1) & (classed.smear == drawn[0, 1])
            assert near == 1 or (classed.draw == "joint" and not has.any())


def test_joint_draws_look_for_a_smear_that_has_the_classes(classed):
    joint = Styles.from_arrays(classed.to_arrays(), "joint", 3)
    for seed in range(10):
        drawn, _ = joint.sample(np.random.default_rng(seed), np.array([0, 3, 3, 3]))
        assert (drawn[:, 1] == 1).all()
        drawn, _ = joint.sample(np.random.default_rng(seed), np.array([0, 2, 2]))
        assert len(set(drawn[:, 1])) == 1


def test_classes_are_drawn_by_the_shares_of_a_smear_or_by_given_ones(classed):
    """Each count lies within four standard deviations: false alarms are fewer than 1 in 10,000 per comparison."""
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(12):
        counts = np.bincount(classed.draw_classes(rng, 900), minlength=3)
        smear = int(counts[0] == 0)
        seen.add(smear)
        p = classed.class_shares[smear]
        assert (np.abs(counts - 900 * p) <= 4 * np.sqrt(900 * p * (1 - p))).all()
    assert seen == {0, 1}
    counts = np.bincount(classed.draw_classes(rng, 900, np.array([0.5, 0.1, 0.4])), minlength=3)
    assert (np.abs(counts - [450, 90, 360]) <= 60).all()


def test_a_set_without_the_first_class_has_styles():
    kinds = [np.array([0, 2, 2])]
    styles = Styles.fit([np.eye(3, dtype=np.float32)], 2, kinds=kinds, cell_classes=2)
    assert set(styles.draw_classes(np.random.default_rng(0), 20)) == {1}
    assert styles.sample(np.random.default_rng(0), np.array([0, 2, 2, 2]))[0].shape == (4, 3)
    with pytest.raises(ValueError, match="no cells"):
        Styles.fit([np.eye(3, dtype=np.float32)], 2, kinds=kinds, cell_classes=1)


def test_a_named_smear_lends_all_looks(features):
    styles = Styles.fit(features, clusters=3)
    for smear in range(6):
        drawn, _ = styles.sample(np.random.default_rng(smear), 20, smear=smear)
        assert (drawn[1:, None] == features[smear][None, 1:]).all(axis=2).any(axis=1).all()
        np.testing.assert_array_equal(drawn[0], features[smear][0])


def test_smears_are_drawn_by_how_much_of_a_style_they_have(features):
    styles = Styles.fit(features, clusters=3)
    rng = np.random.default_rng(0)
    for style in range(3):
        assert {styles.draw_smear(rng, style) for _ in range(30)} == set(np.flatnonzero(styles.shares[:, style]))
    assert {styles.draw_smear(rng) for _ in range(100)} == set(range(6))


def test_points_that_differ_by_rounding_alone_share_a_cluster():
    apart = np.random.default_rng(0).uniform(-1, 1, (8, 3))
    points = np.vstack([apart, apart[:1] * (1 + 1e-7)]).astype(np.float32)
    assert len(np.unique(points, axis=0)) == 9
    styles = Styles.fit([np.vstack([np.zeros((1, 3), np.float32), points])], clusters=10)
    assert len(styles.cell_centres) == len(np.unique(styles.cell_cluster)) == 8
    assert styles.cell_cluster[0] == styles.cell_cluster[8] == 0
