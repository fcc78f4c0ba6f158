"""The graph that readers turn: everything inside, nothing loaded."""

import json
import re

import numpy as np
import pytest

from bloodlib.graph_view import graph_view

PLACES = np.array([[0.0, 0.5, 1.0], [1.0, 0.5, 0.0], [0.5, 0.5, 0.5]])


def test_the_page_holds_the_graph_and_loads_nothing():
    page = graph_view(PLACES, [(0, 1), (1, 2)], np.array([3, 2, 1]), ["#f00", "#0f0", "#00f"], 'three "nodes" <b>')
    graph = json.loads(re.search(r"graph = (\{.*?\}), canvas", page).group(1))
    assert graph["places"] == [[-1, 0, 1], [1, 0, -1], [0, 0, 0]]
    assert graph["edges"] == [[0, 1], [1, 2]]
    assert "three &quot;nodes&quot; &lt;b&gt;" in page
    assert not re.search(r"https?:|src=|import|fetch", page)
    assert page.count("<script") == page.count("</script") == 1


def test_what_does_not_fit_together_is_refused():
    with pytest.raises(ValueError, match="3 places, 2 sizes and 3 colours"):
        graph_view(PLACES, [], np.ones(2), ["#fff"] * 3, "a")
    with pytest.raises(ValueError, match="none of 0 to 2"):
        graph_view(PLACES, [(0, 3)], np.ones(3), ["#fff"] * 3, "a")
