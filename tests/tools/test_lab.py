"""Student notebooks hold the exercises, no solution, and run from top to bottom."""

from __future__ import annotations

import nbformat
import pytest

from tools import lab
from tools.layout import ROOT, notebooks

TEXT = """# A title

See {doc}`chapter 02 <02_beta>` and the {term}`probability map`.

:::{exercise}
:label: ex-one
What is 1 + 1?
:::

:::{solution} ex-one
:class: dropdown
It is 2.
:::

Afterwards.
"""


def notebook(*code, text=TEXT):
    cells = [nbformat.v4.new_markdown_cell(text)]
    for source, *tags in code:
        cells.append(nbformat.v4.new_code_cell(source, metadata={"tags": tags}, execution_count=3))
        cells[-1].outputs = [nbformat.v4.new_output("stream", text="2\n")]
    return nbformat.v4.new_notebook(cells=cells)


def test_solution_goes_and_exercise_stays():
    made = lab.student(notebook(("x = 1",), ("print(x + 1)", "solution")))
    assert [cell.cell_type for cell in made.cells] == ["markdown", "code"]
    text = made.cells[0].source
    assert "It is 2" not in text
    assert ":::" not in text
    assert "**Exercise.** What is 1 + 1?\n\n*Your answer:*\n\nAfterwards." in text
    assert "[chapter 02](02_beta.ipynb) and the *probability map*" in text
    assert made.cells[1].outputs == []
    assert made.cells[1].execution_count is None


def test_original_is_left_alone():
    original = notebook(("x = 1",))
    before = nbformat.writes(original)
    lab.student(original)
    assert nbformat.writes(original) == before


def test_what_only_a_solution_defines_may_not_be_used_later():
    with pytest.raises(ValueError, match=r"^answer: defined in a solution only"):
        lab.student(notebook(("answer = 2", "solution"), ("print(answer)",)))
    lab.student(notebook(("answer = 2", "solution"), ("answer = 3\nprint(answer)",)))


def test_every_chapter_gives_a_student_notebook(tmp_path):
    for path in notebooks(ROOT):
        made = lab.student(nbformat.read(path, as_version=4))
        text = "\n".join(cell.source for cell in made.cells)
        assert "{solution" not in text, path.name
        assert "{exercise" not in text, path.name
        nbformat.validate(made)


def test_student_notebooks_run(project):
    path = project / "notebooks" / "01_alpha.ipynb"
    one = nbformat.read(path, as_version=4)
    one.cells.append(nbformat.v4.new_code_cell("raise SystemError", metadata={"tags": ["solution"]}))
    nbformat.write(one, path)
    made = lab.make(project, "01")
    assert made == [project / "build" / "lab" / "01_alpha.ipynb"]
    assert lab.run(made, project) == []
    broken = nbformat.read(made[0], as_version=4)
    broken.cells.append(nbformat.v4.new_code_cell("raise SystemError('no')"))
    nbformat.write(broken, made[0])
    assert lab.run(made, project) == ["01_alpha.ipynb: SystemError: no"]
