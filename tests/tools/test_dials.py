"""Dials are read from a chapter's table, checked against its parameters, and timed."""

from __future__ import annotations

import nbformat
import pytest

from bloodlib._files import read_json, write_json
from tools import dials

TABLE = """## Three dials

| turn | and look at | because |
|---|---|---|
| `count` to 7 | the points | more of them |
| `data` to `mine`, `width` to 0.25 | the line | it is thinner |
| `seed` to 1 | both | chance |"""


def with_table(project, table=TABLE):
    path = project / "notebooks" / "01_alpha.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_markdown_cell(table, id=dials.CELL))
    nbformat.write(notebook, path)
    return path


def test_values_are_read_with_their_types(project):
    found = list(dials.dials(with_table(project)).values())
    assert found == [{"count": 7}, {"data": "mine", "width": 0.25}, {"seed": 1}]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("| `colour` to 7 | a | b |", "unknown parameter 'colour'"),
        ("| `count` to `many` | a | b |", "parameter 'count' is 'many'"),
        ("| `count` | a | b |", "names no parameter and value"),
        ("| `seed` to 1, 2, 3 | a | b |", "'2, 3' left over"),
        ("| `seed` to 1, then 6 | a | b |", "'then 6' left over"),
    ],
)
def test_dial_that_cannot_be_turned_is_refused(project, row, message):
    with pytest.raises(ValueError, match=message):
        dials.dials(with_table(project, f"| turn | x | y |\n|---|---|---|\n{row}"))


def test_chapter_without_dials_is_refused(project):
    with pytest.raises(ValueError, match="no cell 'dials'"):
        dials.dials(project / "notebooks" / "02_beta.ipynb")


def test_times_are_measured_once_and_written_into_the_table(project, capsys):
    path = with_table(project, TABLE.splitlines()[0] + "\n\n" + "\n".join(TABLE.splitlines()[2:5]))
    assert dials.main(["--only", "01", "--remark", "nothing else ran"], project) == 0
    stored = read_json(project / dials.STORED)["chapters"][path.stem]
    assert set(stored["processor_seconds"]) == {dials.AS_IS, "`count` to 7"}
    assert all(seconds > 0 for seconds in stored["processor_seconds"].values())
    capsys.readouterr()
    assert dials.main(["--only", "01", "--remark", "nothing else ran"], project) == 0
    assert capsys.readouterr().out == ""
    assert dials.times(project, path.stem) == stored
    again = {**stored, "processor_seconds": {"`width` to 9": 1.0, **stored["processor_seconds"]}}
    write_json(project / dials.STORED, {"chapters": {path.stem: again}})
    assert dials.main(["--only", "01", "--remark", "nothing else ran", "--again"], project) == 0
    assert set(dials.times(project, path.stem)["processor_seconds"]) == {dials.AS_IS, "`count` to 7"}
    capsys.readouterr()
    assert dials.times(project, "02_beta") == {}


def test_column_says_what_was_not_measured():
    stored = {"processor_seconds": {"as it is": 10.2, "`count` to 7": 14.6}, "device": "A", "remark": "alone"}
    lines = dials.with_times(TABLE, stored).splitlines()
    assert lines[2:5] == ["```{table}", ":class: dials", ""]
    assert lines[5].endswith("| because | CPU-s |")
    assert lines[7].endswith("| more of them | 15 |")
    assert lines[8].endswith("| not measured |")
    assert lines[10] == "```"
    assert lines[-1] == (
        "*All this is about the smoke book on the phantom; with no dial turned it takes 10 CPU-s. "
        f"Measured on A; alone. {dials.MEANT}*"
    )
    plain = dials.with_times(TABLE, {})
    assert plain.replace("```{table}\n:class: dials\n\n", "").replace("\n```", "") == TABLE
    assert ":class: dials" in plain
