"""The note under a figure names the functions that made it, and the command."""

from __future__ import annotations

import re

import nbformat
import pytest

from tools import made
from tools.layout import ROOT, notebooks

CARD = {"notebook": "01_alpha", "command": "papermill notebooks/01_alpha.ipynb out.ipynb -p seed 1"}
PICTURE = nbformat.v4.new_output("display_data", data={"image/png": "iVBORw0KGgo="})


def code(source, name="", outputs=()):
    metadata = {"mystnb": {"figure": {"name": name}}} if name else {}
    return nbformat.v4.new_code_cell(source, metadata=metadata, outputs=list(outputs))


def functions(*sources):
    notebook = nbformat.v4.new_notebook(cells=[code(source) for source in sources])
    return made.functions(notebook.cells[-1], notebook.cells[:-1], made._imported(notebook))


IMPORTS = "import bloodlib\nfrom bloodlib import plots\nfrom bloodlib.smears import relabel\nimport numpy as np"


def test_what_is_called_is_told_from_what_made_the_input():
    drawn, given = functions(
        IMPORTS, "smears = bloodlib.load('phantom')", "plots.show_images([s.image for s in smears])"
    )
    assert drawn == ["bloodlib.plots.show_images"]
    assert given == ["bloodlib.load"]


@pytest.mark.parametrize(
    ("between", "given"),
    [
        ("x = relabel(y)", ["bloodlib.smears.relabel"]),
        ("x = relabel(y)\nx = np.zeros(3)", []),  # set anew: what was there before is not shown
        ("x = []\nx += [relabel(y)]", ["bloodlib.smears.relabel"]),
        ("x = {}\nx['a'] = relabel(y)", ["bloodlib.smears.relabel"]),
        ("y = relabel(z)\nx = y", ["bloodlib.smears.relabel"]),
        ("for x in relabel(y): pass", ["bloodlib.smears.relabel"]),
        ("z = [x for x in relabel(y)]\nx = 1", []),  # that x lives in the list only
        ("def x():\n    return relabel(y)", ["bloodlib.smears.relabel"]),
        ("synth = bloodlib.Synthesizer.load('a')\nx = synth.sample(1)", ["bloodlib.Synthesizer.load"]),
        ("other = relabel(y)", []),
    ],
)
def test_names_are_followed_backwards(between, given):
    assert functions(IMPORTS, between, "plots.show_images(x)") == (["bloodlib.plots.show_images"], given)


def test_source_is_a_file_of_the_checkout_and_a_link_where_there_is_a_repository(monkeypatch):
    monkeypatch.delenv("REPOSITORY_URL", raising=False)
    name = "bloodlib.gan.painting.paint_instances"  # behind a decorator of torch
    assert made.source_of(name, ROOT) == f"`{name}` (`bloodlib/gan/painting.py`)"
    monkeypatch.setenv("REPOSITORY_URL", "https://github.com/a/b/")
    monkeypatch.setenv("REPOSITORY_BRANCH", "main")
    text, url = made.source_of(name, ROOT).split("](")
    assert text == f"[`{name}`"
    file, line = url.rstrip(")").removeprefix("https://github.com/a/b/blob/main/").split("#L")
    assert "def paint_instances" in "".join((ROOT / file).read_text().splitlines()[int(line) - 1 : int(line) + 1])


def test_note_stands_under_each_figure_that_was_drawn_and_under_nothing_else():
    cells = [
        code(IMPORTS),
        code("x = bloodlib.load('phantom')"),
        code("plots.show_images(x)", "fig-01-a", [PICTURE]),
        code("print('nothing to show')", "fig-01-b"),
        code("plots.show_images(x)", outputs=[PICTURE]),
    ]
    notebook = nbformat.v4.new_notebook(cells=cells)
    made.explain(notebook, CARD, ROOT)
    assert [cell.id for cell in notebook.cells if cell.cell_type == "markdown"] == ["made-fig-01-a"]
    note = notebook.cells[3].source
    assert note.startswith(f"::::{{dropdown}} {made.TITLE}\n")
    for part in ("`bloodlib.plots.show_images`", "`bloodlib.load`", CARD["command"], "{ref}`run card <run-card-01>`"):
        assert part in note


@pytest.mark.parametrize("path", notebooks(ROOT), ids=[path.stem for path in notebooks(ROOT)])
def test_every_figure_of_the_book_can_be_explained(path):
    notebook = nbformat.read(path, as_version=4)
    named = [cell for cell in notebook.cells if cell.metadata.get("mystnb", {}).get("figure", {}).get("name")]
    for cell in named:
        cell.outputs = [PICTURE]
    made.explain(notebook, {**CARD, "notebook": path.stem}, ROOT)
    notes = [cell.source for cell in notebook.cells if cell.id.startswith("made-")]
    assert len(notes) == len(named) > 0
    assert all("site-packages" not in note and str(ROOT) not in note for note in notes)


FIGURE = re.compile(r"^(?P<fence>:{3,}|`{3,})\{(?:figure|live-figure)\}.*?^(?P=fence)[ \t]*$", re.MULTILINE | re.DOTALL)
NOTE = re.compile(
    rf"\s*(?:::::\{{dropdown\}} {made.TITLE}\n(?P<text>.*?)^::::$|\{{\{{ \w+_made \}}\}})", re.MULTILINE | re.DOTALL
)


def unexplained(text: str) -> list[str]:
    """List the figures of a text in Markdown that no note with a source and a command follows."""
    bare = []
    for figure in FIGURE.finditer(text):
        note = NOTE.match(text, figure.end())
        whole = note and (note["text"] is None or ("`" in note["text"] and "```bash\n" in note["text"]))
        if not whole:
            bare.append(figure[0].splitlines()[0])
    return bare


@pytest.mark.parametrize("path", [*notebooks(ROOT), *sorted((ROOT / "book").glob("*.md"))], ids=lambda path: path.stem)
def test_every_figure_that_is_given_in_markdown_is_explained(path):
    if path.suffix == ".md":
        text = path.read_text()
    else:
        cells = nbformat.read(path, as_version=4).cells
        text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    assert unexplained(text) == []


def test_figure_without_a_note_is_found():
    figure = ":::{figure} a.jpg\n:name: fig-a\n\nCells.\n:::\n\n"
    said = made.folded("Drawn by `f`.", "make book")
    assert unexplained(figure + "Prose.") == [":::{figure} a.jpg"]
    assert unexplained(f"{figure}Prose.\n\n{said}") == [":::{figure} a.jpg"]
    assert unexplained(figure + said.replace("```bash", "```")) == [":::{figure} a.jpg"]
    assert unexplained(figure + said) == []
    assert unexplained(figure + "{{ sampler_made }}") == []
