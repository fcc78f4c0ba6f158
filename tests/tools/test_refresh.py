"""What git stores of an executed notebook: text, the same bytes every time."""

from __future__ import annotations

import copy

import nbformat
import pytest
from tiny_notebooks import make_notebook

from tools import refresh


def executed_twin(source: nbformat.NotebookNode) -> nbformat.NotebookNode:
    twin = copy.deepcopy(source)
    v4 = nbformat.v4
    picture = {"image/png": "aGk=", "text/plain": "<Figure>"}
    for number, cell in enumerate(c for c in twin.cells if c.cell_type == "code"):
        cell.execution_count = 10 * (number + 1)
        cell.metadata["papermill"] = {"duration": 0.1}
        cell.metadata["execution"] = {"iopub.status.busy": "2026-01-01"}
    twin.cells[-1].outputs = [
        v4.new_output("stream", text="points: 3\n"),
        v4.new_output("display_data", data=picture, metadata={"image/png": {"width": 3}}),
        v4.new_output("execute_result", data={"text/plain": "3"}, execution_count=20),
    ]
    twin.metadata["papermill"] = {"output_path": "/somewhere"}
    return twin


@pytest.fixture
def source(tmp_path) -> nbformat.NotebookNode:
    return nbformat.read(make_notebook(tmp_path / "01_a.ipynb"), as_version=4)


def test_text_stays_and_pictures_and_timings_go(source):
    stored = refresh.refreshed(copy.deepcopy(source), executed_twin(source))
    outputs = stored.cells[-1].outputs
    assert [o.output_type for o in outputs] == ["stream", "display_data", "execute_result"]
    assert outputs[1].data == {"text/plain": "<Figure>"}
    assert outputs[1].metadata == {}
    assert [c.execution_count for c in stored.cells if c.cell_type == "code"] == [1, 2]
    assert outputs[2].execution_count == 2
    assert "papermill" not in refresh.as_text(stored)
    nbformat.validate(stored)


def test_printing_is_stored_the_same_wherever_the_kernel_cut_it(source):
    new = nbformat.v4.new_output
    parts = [new("stream", text="a\n"), new("stream", text="b\n"), new("stream", name="stderr", text="c\n")]
    assert [(o.name, o.text) for o in refresh.text_only(parts)] == [("stdout", "a\nb\n"), ("stderr", "c\n")]


def test_twice_gives_the_same_bytes(source):
    once = refresh.as_text(refresh.refreshed(copy.deepcopy(source), executed_twin(source)))
    again = nbformat.reads(once, as_version=4)
    assert refresh.as_text(refresh.refreshed(again, executed_twin(source))) == once


def test_live_values_are_not_stored(source):
    source.cells[-1].metadata["tags"] = [refresh.IGNORED]
    stored = refresh.refreshed(copy.deepcopy(source), executed_twin(source))
    assert stored.cells[-1].outputs == []
    assert stored.cells[-1].execution_count == 2


@pytest.mark.parametrize("change", ["source", "execution_count", "id"])
def test_cell_that_did_not_run_as_it_stands_is_an_error(source, change):
    twin = executed_twin(source)
    twin.cells[-1][change] = {"source": "print(4)", "execution_count": None, "id": "other"}[change]
    with pytest.raises(ValueError, match="cell 'num' did not run as it stands"):
        refresh.refreshed(source, twin)
