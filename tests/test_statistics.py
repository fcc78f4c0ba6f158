import numpy as np
import pytest

from bloodlib.smears import Smear, SmearFolder
from bloodlib.statistics import (
    Table1,
    cluster_sizes,
    coverage,
    describe,
    deviation_test,
    measure_cells,
    nearest_neighbour_distances,
    pair_correlation,
    ripley_k,
    touching_pairs,
    touching_share,
)


def smear(instances, colours=((0, 0, 0),)):
    instances = np.asarray(instances, dtype=np.int32)
    image = np.zeros((*instances.shape, 3), np.uint8)
    for k, colour in enumerate(colours, start=1):
        image[instances == k] = colour
    return Smear(image, instances)


def two_smears():
    first = np.zeros((50, 70))
    first[5:15, 10:30] = 1  # 20 wide, 10 high
    first[20:40, 40:54] = 2  # 14 wide, 20 high
    first[45:50, 0:6] = 3  # cut by the border
    second = np.zeros((50, 70))
    second[10:16, 10:18] = 1  # 8 wide, 6 high
    return [smear(first, [(10, 20, 30), (20, 40, 60), (30, 60, 90)]), smear(second, [(40, 80, 120)])]


def test_table_1_of_rectangles_known_by_hand():
    table = describe(two_smears())
    assert (table.images, table.cells) == (2, 4)
    assert (table.count_mean, table.count_std) == (2.0, 1.0)
    assert table.width_mean == pytest.approx((20 + 14 + 8) / 3)
    assert table.height_mean == pytest.approx(12)
    assert table.height_std == pytest.approx(np.std([10, 20, 6]))
    # Colours are over all four cells, the cut one too.
    assert table.colour_mean == pytest.approx((25, 50, 75))
    assert table.colour_std == pytest.approx((np.std([10, 20, 30, 40]), 2 * np.std([10, 20, 30, 40]), 33.541), abs=1e-3)
    assert table.largest == (14, 20)
    assert table.smallest == (8, 6)


def test_table_1_of_a_folder_prints_and_stores():
    smears = two_smears()
    folder = SmearFolder(["0", "1"], lambda name: smears[int(name)])
    table = describe(folder)
    assert table == describe(smears)
    assert [name for name, *_ in table.rows()][:3] == ["cells per image", "cell width (px)", "cell height (px)"]
    assert len(table.rows()) == 6
    assert Table1(**table.to_dict()) == table


def test_nothing_to_measure_is_an_error():
    with pytest.raises(ValueError, match="no smears to describe"):
        describe([])
    cut = np.zeros((5, 5))
    cut[0, :] = 1
    with pytest.raises(ValueError, match="1 smears hold no complete cell"):
        describe([smear(cut)])


def test_a_smear_without_cells_counts_as_zero_cells():
    table = describe([*two_smears(), smear(np.zeros((50, 70)))])
    assert table.images == 3
    assert table.count_mean == pytest.approx(4 / 3)


def test_measures_agree_with_scikit_image():
    from skimage.measure import label, regionprops

    rng = np.random.default_rng(0)
    instances = label(rng.random((40, 60)) < 0.4, connectivity=1).astype(np.int32)
    image = rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)
    cells = measure_cells(instances, image)
    for region in regionprops(instances, image):
        k = region.label - 1
        assert cells.area_px[k] == region.area
        assert tuple(cells.box[k]) == region.bbox
        assert cells.centre[k] == pytest.approx(region.centroid)
        assert cells.colour[k] == pytest.approx(region.intensity_mean)
        inside = region.bbox[0] > 0 and region.bbox[1] > 0 and region.bbox[2] < 40 and region.bbox[3] < 60
        assert cells.complete[k] == inside


def test_g_of_a_square_lattice_has_a_closed_form():
    # n × n points at spacing s fill a window of ns: an offset (a, b)·s is seen (n-|a|)(n-|b|) times, each
    # time weighted by 1 / (s² (n-|a|)(n-|b|)), so a ring with k lattice vectors sums to k / s².
    n, s = 12, 10.0
    points = (np.stack(np.mgrid[:n, :n], axis=-1).reshape(-1, 2) + 0.5) * s
    edges = np.array([5.0, 12.0, 13.0, 15.0, 21.0])
    vectors = np.array([4, 0, 4, 4])  # |v| = 10 · none · 14.1 · 20
    wanted = vectors / s**2 * n**2 / (n**2 - 1) / (np.pi * np.diff(edges**2)) * s**2 * s**2
    found = pair_correlation(points, (n * s, n * s), edges)
    assert found == pytest.approx(wanted, rel=1e-12)


def test_g_of_complete_randomness_is_1_up_to_the_border():
    # 200 patterns of 400 points: with these counts of pairs one standard error is below 0.01 in every bin,
    # so 5 of them are left by a correct estimator with probability < 1e-5. Without the edge correction the
    # last bin (half the window) would show about 0.65.
    rng = np.random.default_rng(0)
    shape, edges = (300, 400), np.linspace(0, 150, 11)
    g = np.mean([pair_correlation(rng.random((400, 2)) * shape, shape, edges) for _ in range(200)], axis=0)
    error = 1 / np.sqrt(200 * 400**2 / 2 * np.pi * np.diff(edges**2) / (300 * 400))
    assert (np.abs(g - 1) < 5 * error + 1e-3).all()


def patterns(shape):
    """Point patterns of several kinds in a window: random, lattice, clustered, hard core, one lopsided."""
    rng = np.random.default_rng(3)
    lattice = np.stack(np.mgrid[:11, :15], axis=-1).reshape(-1, 2) * 8.0 + 3.3
    parents = rng.random((12, 2)) * shape
    clustered = (parents[:, None] + rng.normal(0, 4, (12, 9, 2))).reshape(-1, 2)
    kept = [rng.random(2) * shape]
    for point in rng.random((3000, 2)) * shape:
        if np.hypot(*(np.array(kept) - point).T).min() > 6:
            kept.append(point)
    return {
        "random": rng.random((150, 2)) * shape,
        "lattice": lattice,
        "clustered": clustered[((clustered >= 0) & (clustered < shape)).all(axis=1)],
        "hard core": np.array(kept),
        "lopsided": rng.random((80, 2)) ** 3 * shape,
        "pair": np.array([[1.0, 2.0], [4.0, 6.0]]),
    }


@pytest.mark.parametrize("kind", ["random", "lattice", "clustered", "hard core", "lopsided", "pair"])
def test_k_is_astropy_s(kind):
    RipleysKEstimator = pytest.importorskip("astropy.stats").RipleysKEstimator
    shape = (90, 123)
    points, radii = patterns(shape)[kind], np.append(np.linspace(0.5, 60, 40), [5, 8, 16, 24])  # also ties
    height, width = shape
    astropy = RipleysKEstimator(area=height * width, x_min=0, x_max=width, y_min=0, y_max=height)
    wanted = astropy(points[:, ::-1], radii, mode="translation")
    np.testing.assert_allclose(ripley_k(points, shape, radii), wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", ["random", "clustered", "hard core"])
def test_g_is_the_slope_of_k(kind):
    shape, edges = (90, 123), np.array([0.0, 1.0, 2.5, 4.0, 8.0, 13.0, 40.0])
    points = patterns(shape)[kind]
    rings = pair_correlation(points, shape, edges) * np.pi * np.diff(edges**2)
    np.testing.assert_allclose(rings, np.diff(ripley_k(points, shape, edges)), rtol=1e-9, atol=1e-9)


def test_k_needs_two_points_and_distances_inside_the_window():
    assert np.isnan(ripley_k(np.zeros((1, 2)), (10, 10), np.array([1.0, 5.0]))).all()
    with pytest.raises(ValueError, match="radii: largest distance is 10 px, allowed is below the shorter side 10"):
        ripley_k(np.zeros((3, 2)), (10, 20), np.array([10.0, 1.0]))


def test_g_needs_two_points_and_a_distance_inside_the_window():
    assert np.isnan(pair_correlation(np.zeros((1, 2)), (10, 10), np.array([0.0, 5.0]))).all()
    with pytest.raises(ValueError, match="below the shorter side 10"):
        pair_correlation(np.zeros((3, 2)), (10, 20), np.array([0.0, 10.0]))


def test_nearest_neighbours_of_a_lattice_and_of_one_point():
    points = np.stack(np.mgrid[:5, :7], axis=-1).reshape(-1, 2) * 3.0
    assert nearest_neighbour_distances(points) == pytest.approx(3)
    assert nearest_neighbour_distances(points[:1]).size == 0


def test_touching_is_8_neighbourhood():
    corner = np.array([[1, 1, 0, 0], [0, 0, 2, 0], [3, 0, 0, 0]], dtype=np.int32)
    assert touching_pairs(corner).tolist() == [[1, 2]]
    assert touching_pairs(np.array([[0, 1], [2, 0]], dtype=np.int32)).tolist() == [[1, 2]]
    assert touching_share(corner) == pytest.approx(2 / 3)
    assert cluster_sizes(corner).tolist() == [2, 1]


def test_a_gap_counts_as_touching_when_asked():
    for gap in range(5):
        row = np.zeros((9, 30), dtype=np.int32)
        row[:, 4:10] = 1
        row[:, 10 + gap : 20 + gap] = 2
        assert len(touching_pairs(row)) == (gap == 0)
        assert len(touching_pairs(row, gap_px=2)) == (gap <= 2)
        assert len(touching_pairs(row, gap_px=4)) == (gap <= 4)


def test_empty_masks_give_empty_answers():
    empty = np.zeros((6, 7), dtype=np.int32)
    assert touching_pairs(empty).shape == (0, 2)
    assert cluster_sizes(empty).size == 0
    assert touching_share(empty) == coverage(empty) == 0
    assert measure_cells(empty).box.shape == (0, 4)


def test_deviation_test_keeps_its_level_and_has_power():
    # Under the null P(p ≤ 0.05) is 0.05: in 2,000 repetitions 0.05 ± 0.0049, left beyond 5 of those with p < 1e-6.
    rng = np.random.default_rng(0)
    curves = rng.normal(size=(2000, 20, 15)).cumsum(axis=2)  # 20 random walks, correlated along each curve
    p_values = np.array([deviation_test(walk[0], walk[1:]).p_value for walk in curves])
    assert abs(np.mean(p_values <= 0.05) - 0.05) < 0.025
    assert abs(np.mean(p_values <= 0.5) - 0.5) < 0.056
    shifted = [deviation_test(walk[0] + 6 * np.sqrt(np.arange(1, 16)), walk[1:]).p_value for walk in curves[:50]]
    assert max(shifted) == 0.05


def test_deviation_test_of_numbers_that_never_vary():
    same = np.zeros((19, 1))
    assert deviation_test(np.array([0.0]), same).p_value == 1
    assert deviation_test(np.array([1.0]), same).p_value == 0.05
    with_gap = deviation_test(np.array([np.nan, 9.0]), np.column_stack([np.full(19, np.nan), np.arange(19.0)]))
    assert with_gap.p_value > 0.5
    assert np.isnan(with_gap.low[0])


def test_band_holds_the_curves_that_are_not_extreme():
    rng = np.random.default_rng(1)
    simulated = rng.normal(size=(999, 5))
    answer = deviation_test(np.zeros(5), simulated, level=0.05)
    inside = ((simulated >= answer.low) & (simulated <= answer.high)).all(axis=1)
    assert inside.mean() == pytest.approx(0.95, abs=0.005)


def test_where_nothing_was_observed_nothing_deviates():
    nothing = deviation_test(np.full(3, np.nan), np.zeros((19, 3)))
    assert nothing.p_value == 1
    assert np.isnan(nothing.low).all()
    one_empty = np.arange(57.0).reshape(19, 3)
    one_empty[4] = np.nan
    found = deviation_test(np.array([500.0, 0, 0]), one_empty)
    assert found.p_value == 0.05
    assert np.isfinite([found.low, found.high]).all()
