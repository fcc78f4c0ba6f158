"""Rendered white cells: the same every time, dark where the trimap says so."""

import numpy as np
from scipy.ndimage import label

from bloodlib.datasets.phantom_white_cells import SIDE_PX, render_white_cell
from bloodlib.evaluators.white_cells import darkness_order


def test_a_number_decides_the_cell():
    cell, again, other = (render_white_cell(k) for k in (3, 3, 4))
    assert (cell.image.shape, cell.trimap.shape) == ((SIDE_PX, SIDE_PX, 3), (SIDE_PX, SIDE_PX))
    assert np.array_equal(cell.image, again.image)
    assert np.array_equal(cell.trimap, again.trimap)
    assert not np.array_equal(cell.image, other.image)


def test_the_trimap_is_one_cell_and_tells_where_it_absorbs():
    cells = [render_white_cell(k) for k in range(12)]
    for cell in cells:
        assert label(cell.trimap > 0)[1] == 1, "one cell, without crumbs"
        assert label(cell.trimap == 0)[1] == 1, "and without holes"
        assert min(np.bincount(cell.trimap.ravel(), minlength=3)) > 300
    assert darkness_order([(cell.image, cell.trimap) for cell in cells]) > 0.7, "red cells darken some backgrounds"
    assert {cell.kind for cell in cells} == {0, 1}
