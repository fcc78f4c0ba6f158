"""Every chapter can be taught from: goals, three dials, exercises whose solutions ran, and common mistakes."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import nbformat
import pytest

from tools import dials, lab, plain
from tools.layout import ROOT, notebooks

NOTEBOOKS = notebooks(ROOT)
KINDS = ("Think", "Code", "Experiment")
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])


def cells(path: Path) -> list[nbformat.NotebookNode]:
    return nbformat.read(path, as_version=4).cells


def prose(path: Path) -> str:
    return "\n\n".join(cell.source for cell in cells(path) if cell.cell_type == "markdown")


def solutions(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in cells(path) if lab.TAG in cell.metadata.get("tags", [])]


def prints_what_was_computed(source: str) -> bool:
    """Say whether every print of a piece of code has something in it that is not typed."""
    calls = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Call) and ast.unparse(n.func) == "print"]
    alive = [
        any(isinstance(part, (ast.Name, ast.Call)) for one in call.args for part in ast.walk(one)) for call in calls
    ]
    return bool(calls) and all(alive)


@every_notebook
def test_begins_with_goals(path):
    second = cells(path)[1]
    assert second.id == "goals"
    assert second.source.startswith("**When you have worked through this page, you can**\n\n- ")
    assert 3 <= len(re.findall(r"^- \S", second.source, re.MULTILINE)) <= 5


@every_notebook
def test_has_three_dials_that_its_parameters_can_take(path):
    assert len(dials.dials(path)) == 3
    table = next(cell.source for cell in cells(path) if cell.id == dials.CELL)
    assert "## Three dials" in table
    figures = {cell.metadata.get("mystnb", {}).get("figure", {}).get("name") for cell in cells(path)}
    for row in figures_of_dials(table).values():
        assert row, "every dial names the figure that it changes"
        assert row <= figures


def figures_of_dials(table: str) -> dict[str, set[str]]:
    """Give the figures that the second cell of each row names, by its first."""
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| `")]
    return {first.strip("| "): set(re.findall(r"\{numref\}`(fig-[\w-]+)`", look)) for first, look, *_ in rows}


def test_dials_without_a_figure_are_found():
    table = (
        "| turn | look at | because |\n|---|---|---|\n| `a` to 1 | {numref}`fig-x` | b |\n| `c` to 2 | the same | d |"
    )
    assert figures_of_dials(table) == {"`a` to 1": {"fig-x"}, "`c` to 2": set()}


@every_notebook
def test_dials_were_timed_as_they_stand(path):
    stored = dials.times(ROOT, path.stem)["processor_seconds"]
    assert set(stored) == {dials.AS_IS, *dials.dials(path)}
    assert min(stored.values()) > 0


@every_notebook
def test_has_exercises_with_folded_solutions_and_common_mistakes(path):
    text, number = prose(path), path.stem[:2]
    asked = re.findall(r"^:{3}\{exercise\}\n:label: (.+)$", text, re.MULTILINE)
    answered = re.findall(r"^:{3}\{solution\} (.+)\n:class: dropdown$", text, re.MULTILINE)
    assert text.count("{exercise}") == len(asked), "every exercise has a label"
    assert asked == answered
    assert 3 <= len(asked) <= 5
    assert all(label.startswith(f"ex-{number}-") for label in asked)
    last = text.rsplit("\n\n", 1)[1]
    assert last.startswith("**Common mistakes.** ")
    assert len(last.split()) > 20


@every_notebook
def test_exercises_are_of_all_three_kinds(path):
    begun = [text for _, text in exercises(path)]
    kinds = [found[1] if (found := re.match(r"\*(\w+)\.\* \S", text)) else None for text in begun]
    assert set(kinds) == set(KINDS), f"kinds of the exercises in order: {kinds}"


@every_notebook
def test_exercises_in_code_have_an_answer_that_ran(path):
    ordered = cells(path)
    for label, text in exercises(path):
        if not text.startswith("*Code.*"):
            continue
        at = next(k for k, cell in enumerate(ordered) if f":label: {label}\n" in cell.source)
        later = [k for k in range(at, len(ordered)) if "{exercise}" in ordered[k].source and k > at]
        own = ordered[at + 1 : later[0] if later else len(ordered)]
        assert ordered[at].source.rfind("{exercise}") < ordered[at].source.find(label), f"{label}: not last in its cell"
        assert any(lab.TAG in cell.metadata.get("tags", []) for cell in own), f"{label}: no solution in code"


def exercises(path: Path) -> list[tuple[str, str]]:
    """Give label and text of a chapter's exercises."""
    return re.findall(r"^:{3}\{exercise\}\n:label: (\S+)\n(.+?)^:{3}$", prose(path), re.MULTILINE | re.DOTALL)


@every_notebook
def test_solutions_in_code_are_folded_and_ran(path):
    assert solutions(path)
    for cell in solutions(path):
        assert "hide-cell" in cell.metadata.tags, f"{cell.id}: its answer would be seen"
        assert cell.execution_count, f"{cell.id}: not run"
        assert prints_what_was_computed(cell.source), f"{cell.id}: prints what was typed"
        if "nbval-ignore-output" not in cell.metadata.tags:
            assert cell.outputs, f"{cell.id}: printed nothing"


def test_typed_answers_are_told_from_computed_ones():
    assert prints_what_was_computed("print(f'{2 * x:.1f}')")
    assert not prints_what_was_computed("print('0.69')")
    assert not prints_what_was_computed("x = 1")


def test_labels_of_exercises_are_unique():
    labels = re.findall(r"^:label: (ex-.+)$", "\n".join(prose(path) for path in NOTEBOOKS), re.MULTILINE)
    assert len(labels) == len(set(labels))


@every_notebook
def test_student_notebook_has_the_exercises_and_not_the_answers(path):
    made = lab.student(nbformat.read(path, as_version=4), plain.Book.read(ROOT), path.stem)
    text = "\n\n".join(cell.source for cell in made.cells)
    asked = prose(path).count("{exercise}")
    assert text.count("**Exercise.**") == text.count(plain.ANSWER) == asked
    for answer in re.findall(r"\{solution\}[^\n]*\n:class: dropdown\n(.+)", prose(path)):
        assert answer[:40] not in text
    assert not {cell.id for cell in solutions(path)} & {cell.id for cell in made.cells}
    assert all(cell.outputs == [] for cell in made.cells if cell.cell_type == "code")
