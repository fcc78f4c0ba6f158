"""Student notebooks hold the exercises, no solution, and run from top to bottom."""

from __future__ import annotations

import re
from urllib.parse import unquote

import nbformat
import pytest

from tools import lab, plain
from tools.layout import ROOT, notebooks

BOOK = plain.Book(
    titles={"02_beta": "Beta", "page": "A page"},
    labels={"how-rough": ("02_beta", "How rough it is"), "here": ("01_alpha", "Here")},
    figures={"fig-01-a": ("01_alpha", 1), "fig-01-b": ("01_alpha", 2), "fig-02-c": ("02_beta", 1)},
    cited={"boll1979": ("Boll", "1979"), "rao2019": ("Rao et al.", "2019")},
    chapters=frozenset({"01_alpha", "02_beta"}),
)
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
    made = lab.student(notebook(("x = 1",), ("print(x + 1)", "solution")), BOOK)
    assert [cell.cell_type for cell in made.cells] == ["markdown", "code"]
    text = made.cells[0].source
    assert "It is 2" not in text
    assert ":::" not in text
    assert "**Exercise.** What is 1 + 1?\n\n*Your answer:*\n\nAfterwards." in text
    assert "[chapter 02](02_beta.ipynb) and the probability map." in text
    assert made.cells[1].outputs == []
    assert made.cells[1].execution_count is None


def test_original_is_left_alone():
    original = notebook(("x = 1",))
    before = nbformat.writes(original)
    lab.student(original, BOOK)
    assert nbformat.writes(original) == before


def test_what_only_a_solution_defines_may_not_be_used_later():
    with pytest.raises(ValueError, match=r"^answer: defined in a solution only"):
        lab.student(notebook(("answer = 2", "solution"), ("print(answer)",)), BOOK)
    lab.student(notebook(("answer = 2", "solution"), ("answer = 3\nprint(answer)",)), BOOK)


@pytest.mark.parametrize(
    ("myst", "markdown"),
    [
        ("{doc}`../book/page` and {doc}`its card <../book/page>`", "A page and its card"),
        ("{doc}`02_beta`", "[Beta](02_beta.ipynb)"),
        (
            "{ref}`how-rough`, {ref}`so rough <how-rough>`",
            "[How rough it is](02_beta.ipynb), [so rough](02_beta.ipynb)",
        ),
        ("{ref}`above <here>`", "above"),
        ("{term}`smears <smear>`", "smears"),
        ("{numref}`fig-01-b`, {numref}`fig-02-c`", "figure 2, figure 1 of [chapter 02](02_beta.ipynb)"),
        ("{cite:t}`rao2019` {cite:p}`boll1979,rao2019`", "Rao et al. (2019) (Boll, 1979, Rao et al., 2019)"),
        ("(how-rough)=\n## How rough it is", "## How rough it is"),
        (
            ":::{figure} ../book/cells.jpg\n:name: fig-01-a\n:alt: Ten cells\n:width: 100%\n\nLook.\n:::\n\nMore.",
            "![Ten cells](figures/cells.jpg)\n\n*Figure 1.* Look.\n\nMore.",
        ),
        (
            "::::{dropdown} How\n:class-container: a\n\nSo:\n\n```bash\nls\n```\n::::",
            "**How.** So:\n\n```bash\nls\n```",
        ),
    ],
)
def test_roles_and_directives_become_words_links_and_pictures(myst, markdown):
    assert plain.plain(myst, BOOK, "01_alpha") == markdown


@pytest.mark.parametrize("myst", ["{ref}`no-such`", "{doc}`03_gamma`", "{numref}`fig-03-x`", "{cite:p}`nobody1900`"])
def test_role_that_names_nothing_is_refused(myst):
    with pytest.raises(ValueError, match="the book has no"):
        plain.plain(myst, BOOK)


def test_caption_stands_below_the_cell_that_draws():
    drawing = nbformat.v4.new_code_cell("plot()", id="drawn")
    drawing.metadata["mystnb"] = {"figure": {"name": "fig-01-b", "caption": "Two {term}`smears <smear>`."}}
    made = lab.student(nbformat.v4.new_notebook(cells=[drawing]), BOOK, "01_alpha")
    assert [cell.id for cell in made.cells] == ["drawn", "caption-drawn"]
    assert made.cells[1].source == "*Figure 2.* Two smears."


@pytest.fixture(scope="module")
def lessons(tmp_path_factory):
    """Make the student notebooks of the book, in a copy of what they are made from."""
    root = tmp_path_factory.mktemp("lab")
    for name in ("notebooks", "book"):
        (root / name).symlink_to(ROOT / name)
    return lab.make(root)


def test_every_chapter_gives_a_student_notebook_without_a_link_that_leads_nowhere(lessons):
    assert [path.name for path in lessons] == [path.name for path in notebooks(ROOT)]
    shown = 0
    for path in lessons:
        made = nbformat.read(path, as_version=4)
        nbformat.validate(made)
        text = "\n\n".join(cell.source for cell in made.cells if cell.cell_type == "markdown")
        prose = re.sub(r"(`+)[^`].*?\1|\$\$.*?\$\$|\$[^$\n]+\$", "", text, flags=re.DOTALL)
        for link in re.findall(r"\]\(([^)]+)\)", prose):
            if not re.match(r"https?://", link):
                assert (path.parent / unquote(link)).is_file(), f"{path.name}: {link}"
        shown += len(re.findall(r"!\[[^\]]+\]\(", prose))
        for left in (r"\{[\w:]+\}`", r"^(?:`{3,}|:{3,})\{", r"^\([\w-]+\)=", r"\{\{", r"^:{3,}", r"\bfig-\d\d-"):
            assert re.search(left, text, re.MULTILINE) is None, f"{path.name}: {left}"
    assert shown >= 2  # chapter 14 shows two pictures that are painted beforehand


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
