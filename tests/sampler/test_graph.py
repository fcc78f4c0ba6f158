import cv2
import networkx as nx
import numpy as np
import pytest

from bloodlib.sampler.config import MaskConfig
from bloodlib.sampler.graph import GraphLaw, dgm_layout, dgm_order
from bloodlib.sampler.masks import CrowdedWarning, MaskGenerator
from bloodlib.sampler.placement import PlacementConfig
from bloodlib.sampler.shapes import ShapeConfig, ShapeDatabase
from bloodlib.statistics import touching_pairs

SHAPE = (25, 33)
STILL = ShapeConfig(rotate=False, flip=False, scale=(1.0, 1.0))


def test_order_is_the_smallest_graph_with_enough_nodes():
    for order in range(6):
        nodes = len(nx.dorogovtsev_goltsev_mendes_graph(order))
        assert dgm_order(nodes) == order
        assert dgm_order(nodes + 1) == order + 1


def test_layout_of_a_whole_order_is_networkx_s_normalised():
    graph = nx.dorogovtsev_goltsev_mendes_graph(4)
    place = nx.forceatlas2_layout(graph, dim=3, max_iter=200, scaling_ratio=0.001, seed=5)
    wanted = np.array([place[node] for node in range(42)], dtype=float)
    found = dgm_layout(42, seed=5)
    np.testing.assert_allclose(found, (wanted - wanted.min(axis=0)) / np.ptp(wanted, axis=0))


def test_fewer_nodes_are_some_of_the_order_s():
    found = dgm_layout(20, seed=5)
    assert found.shape == (20, 3)
    assert (found.min(axis=0) == 0).all()
    assert (found.max(axis=0) == 1).all()
    assert not np.array_equal(found, dgm_layout(20, seed=6))
    np.testing.assert_array_equal(found, dgm_layout(20, seed=5))
    assert dgm_layout(1, seed=0).tolist() == [[0.5] * 3]
    with pytest.raises(ValueError, match="count=0"):
        dgm_layout(0, seed=0)


def test_turned_layouts_keep_distances_up_to_the_stretch():
    # 42 nodes taken whole: a turned layout is an affine image of an unturned one, so it lies in the span of its
    # coordinates and a constant.
    unturned = dgm_layout(42, seed=1)
    turned = dgm_layout(42, seed=5, turn=True)  # 5 mod 4 = 1: the same layout in space
    basis = np.column_stack([unturned, np.ones(42)])
    rest = turned - basis @ np.linalg.lstsq(basis, turned, rcond=None)[0]
    assert np.abs(rest).max() < 1e-9
    assert np.abs(turned - unturned).max() > 0.1


def test_places_come_nearest_first_and_keep_off_other_cells():
    law = GraphLaw(PlacementConfig("graph", cell_size_px=8.0), SHAPE, 10, np.random.default_rng(0))
    rng, pixels = np.random.default_rng(1), np.argwhere(np.ones(SHAPE, dtype=bool))
    for centres in (np.zeros((0, 2), dtype=int), np.array([[12, 16], [3, 4]])):
        node = law.nodes[len(centres)]
        points = np.concatenate([law.propose(rng, centres, size) for size in (1, 7, 300)])
        allowed = np.array([all(np.hypot(*(p - c)) >= 6 for c in centres) for p in pixels])  # ¾ of 8
        wanted = np.sort(np.hypot(*(pixels[allowed] - node).T))
        np.testing.assert_allclose(np.hypot(*(points - node).T), wanted[:308])  # within 8 cell sizes
        assert len(np.unique(points, axis=0)) == 308
        weight = law.weight_at(pixels, centres)
        assert (pixels[weight.argmax()] == node).all()


def test_where_nothing_is_in_sight_the_node_is_repeated_and_all_places_are_ranked():
    law = GraphLaw(PlacementConfig("graph", cell_size_px=1.0), (2000, 2000), 5, np.random.default_rng(0))
    node, none = law.nodes[0], np.zeros((0, 2), dtype=int)
    assert (law.propose(np.random.default_rng(0), none, 1000)[-1] == node).all()  # a disc of radius 8 has fewer pixels
    away = node + np.array([[0, 1500], [0, 1501]]) * np.where(node[1] < 1000, 1, -1)
    weights = law.weight_at(away, none)
    assert weights[0] > 1e6 * weights[1]


def test_cells_lie_at_the_free_place_nearest_to_their_node():
    disc = np.hypot(*np.mgrid[-6:7, -6:7]) < 6.3
    config = MaskConfig(30, 1, (90, 120), PlacementConfig("graph", cell_size_px=13.0), STILL)
    mask = MaskGenerator(ShapeDatabase([disc], STILL), config).sample(np.random.default_rng(4), count=40)
    nodes = GraphLaw(config.placement, (90, 120), 40, np.random.default_rng(4)).nodes
    assert mask.placed == 40
    moved = 0
    for k in range(40):
        # Where a disc's middle may lie: it must not meet the cells so far; being cut by the border is allowed.
        taken = cv2.dilate(((mask.instances > 0) & (mask.instances <= k)).astype(np.uint8), disc.astype(np.uint8))
        places = np.argwhere(taken == 0)
        nearest = np.hypot(*(places - nodes[k]).T).min()
        found = np.hypot(*(mask.centres[k] - nodes[k]))
        # Cells beyond the border count as well; and where the border would leave a crumb it may be refused.
        assert found <= nearest + 0.01 or mask.centres[k].min() < 7 or (np.array([90, 120]) - mask.centres[k]).min() < 8
        moved += found > 0
    assert 5 < moved < 40


def test_nodes_fill_the_canvas():
    law = GraphLaw(PlacementConfig("graph"), (100, 300), 40, np.random.default_rng(3))
    assert law.nodes.min(axis=0).tolist() == [0, 0]
    assert law.nodes.max(axis=0).tolist() == [99, 299]


def test_wrong_core_is_named():
    with pytest.raises(ValueError, match="core=0"):
        GraphLaw(PlacementConfig("graph", options={"core": 0}), SHAPE, 3, np.random.default_rng(0))


def test_a_full_canvas_ends_and_colours_and_rims_hold_by_this_law_too():
    disc = np.hypot(*np.mgrid[-6:7, -6:7]) < 6.3
    law = PlacementConfig("graph", cell_size_px=13.0)
    for extra in ({}, {"colours": 1}, {"rim_px": 2.0}, {"snap": 1.0, "snap_reach_px": 30.0}, {"overlap": 0.2}):
        masks = MaskGenerator(ShapeDatabase([disc], STILL), MaskConfig(30, 1, (60, 80), law, STILL, **extra))
        with pytest.warns(CrowdedWarning, match="of 120 cells placed"):
            mask = masks.sample(np.random.default_rng(4), count=120)
        # As full as by chance, though the holes lie far from the nodes of the last cells.
        assert (mask.instances > 0).mean() > (0.3 if extra.keys() & {"colours", "rim_px"} else 0.5)
        touching = touching_pairs(mask.instances)
        assert all(mask.colour_of[a - 1] != mask.colour_of[b - 1] for a, b in touching.tolist())
        assert len(touching) > 20 or extra.keys() & {"colours", "rim_px"}


def test_where_cells_may_overlap_they_lie_nearer_to_their_nodes():
    disc, law = (
        np.hypot(*np.mgrid[-6:7, -6:7]) < 6.3,
        PlacementConfig("graph", cell_size_px=13.0, options={"core": 0.1}),
    )
    nodes, away = GraphLaw(law, (90, 120), 40, np.random.default_rng(4)).nodes, {}
    for overlap in (0.0, 0.5):
        masks = MaskGenerator(ShapeDatabase([disc], STILL), MaskConfig(30, 1, (90, 120), law, STILL, overlap=overlap))
        mask = masks.sample(np.random.default_rng(4), count=40)
        away[overlap] = np.hypot(*(mask.centres - nodes).T)
    assert away[0.5].mean() < 0.7 * away[0.0].mean()
