"""Notebooks run once; a failed one leaves nothing to stage."""

from __future__ import annotations

import nbformat
import pytest
from tiny_notebooks import make_notebook

from bloodlib._files import read_json
from tools import execute, stage
from tools.layout import Build, fingerprint


@pytest.fixture(autouse=True)
def _one_core(monkeypatch):
    monkeypatch.setattr(execute, "device", lambda: "CPU of the test")
    monkeypatch.delenv("MPLBACKEND", raising=False)


@pytest.mark.filterwarnings("default")
def test_run_once_then_stage_with_a_run_card(project):
    build = Build("smoke", "phantom", root=project)
    lines: list[str] = []
    assert execute.execute(build, {"count": 4}, say=lines.append) == []
    assert [line.split()[0] for line in lines] == ["01_alpha", "02_beta"]

    card = read_json(build.cards / "01_alpha.json")
    assert card["parameters"] == {"data": "phantom", "profile": "smoke", "seed": 0, "count": 4}
    assert card["command"].startswith("papermill notebooks/01_alpha.ipynb out.ipynb --cwd notebooks -r data phantom")
    assert card["command"].endswith("-p seed 0 -p count 4")

    again: list[str] = []
    execute.execute(build, {"count": 4}, say=again.append)
    assert all(line.endswith("up to date") for line in again)

    site = stage.stage(build)
    page = nbformat.read(site / "notebooks" / "01_alpha.ipynb", as_version=4)
    tags = {tag for cell in page.cells for tag in cell.metadata.get("tags", [])}
    assert {"remove-cell", "hide-input"} <= tags
    assert page.cells[1].id == "run-card"
    assert "CPU of the test" in page.cells[1].source
    assert card["command"] in page.cells[1].source
    assert "points: 4" in page.cells[-1].outputs[0].text
    assert "papermill" not in page.metadata


def test_landing_page_shows_the_figure_of_its_chapter(project, tmp_path):
    build = Build("smoke", "phantom", root=project)
    assert stage.landing_picture(build, tmp_path) == ""
    about = {
        "image": {"alt": "Forty cells in four colours"},
        "figure": {"name": stage.LANDING_FIGURE, "caption": "Cells."},
    }
    cell = nbformat.v4.new_code_cell("plt.show()", metadata={"mystnb": about})
    cell.outputs = [nbformat.v4.new_output("display_data", data={"image/png": "aGVsbG8="})]
    build.executed.mkdir(parents=True)
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), build.executed / "07_all.ipynb")
    build.cards.mkdir(parents=True)
    (build.cards / "07_all.json").write_text('{"notebook": "07_all", "command": "papermill 07_all.ipynb"}')
    shown, note = stage.landing_picture(build, tmp_path).split("\n```\n\n", 1)
    assert ":alt: Forty cells in four colours" in shown
    assert note.startswith("::::{dropdown} How this figure was made\n")
    assert "that page's {ref}`run card <run-card-07>`" in note
    assert "\npapermill 07_all.ipynb\n" in note
    assert (tmp_path / "landing.png").read_bytes() == b"hello"


@pytest.mark.filterwarnings("default")
def test_failed_notebook_is_reported_and_never_staged(project):
    make_notebook(project / "notebooks" / "02_beta.ipynb", body="raise RuntimeError('no blood')")
    build = Build("smoke", "phantom", "02", project)
    lines: list[str] = []
    assert execute.execute(build, say=lines.append) == ["02_beta"]
    assert "FAILED: RuntimeError: no blood" in lines[0]
    assert not (build.executed / "02_beta.ipynb").exists()
    with pytest.raises(ValueError, match="no executed copy in"):
        stage.stage(build)


def test_nothing_runs_if_a_later_notebook_has_a_bad_parameter(project):
    (project / "profiles" / "smoke.yml").write_text('notebooks: {"02": {count: many}}\n')
    build = Build("smoke", "phantom", root=project)
    with pytest.raises(ValueError, match="02_beta"):
        execute.execute(build)
    assert not build.executed.exists()


def test_fingerprint_follows_source_parameters_and_library_but_not_outputs(project):
    build = Build("smoke", "phantom", root=project)
    path = build.notebooks[0]
    first = fingerprint(path, {"count": 3}, build)

    notebook = nbformat.read(path, as_version=4)
    notebook.cells[-1].outputs = [nbformat.v4.new_output("stream", text="points: 3")]
    notebook.cells[-1].execution_count = 2
    nbformat.write(notebook, path)
    assert fingerprint(path, {"count": 3}, build) == first
    assert fingerprint(path, {"count": 4}, build) != first

    (project / "data" / "results").mkdir()
    (project / "data" / "results" / "run.json").write_text("{}")
    assert fingerprint(path, {"count": 3}, build) == first, "it reads no stored result"

    (project / "bloodlib").mkdir()
    (project / "bloodlib" / "new.py").write_text("x = 1\n")
    assert fingerprint(path, {"count": 3}, build) != first


def test_a_chapter_that_shows_live_runs_follows_them(project):
    build = Build("smoke", "phantom", root=project)
    shows, other = build.notebooks[:2]
    notebook = nbformat.read(shows, as_version=4)
    notebook.cells[-1].source += '\nlive = protocol.load_runs(f"{artifacts}/live")'
    nbformat.write(notebook, shows)
    before = [fingerprint(path, {"count": 3}, build) for path in (shows, other)]
    stored = build.folder / "artifacts" / "live" / "fcn8s-RD-0.json"
    stored.parent.mkdir(parents=True)
    stored.write_text("{}")
    after = [fingerprint(path, {"count": 3}, build) for path in (shows, other)]
    assert [a != b for a, b in zip(after, before, strict=True)] == [True, False]


def test_command_quotes_what_a_shell_would_break(project):
    command = execute.command_for(project / "notebooks" / "01_alpha.ipynb", {"data": "my data", "shape": [3, 4]})
    assert command.endswith("-r data 'my data' -y '{shape: [3, 4]}'")
