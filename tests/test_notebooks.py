"""The notebooks keep the house rules, and what git stores of them is what they still print.

The smoke book executes every notebook once; here its executed copies are compared with the
committed outputs by nbval's own rules. `make regression` sets BLOODLIB_EXECUTED to where the
copies are and makes the comparison obligatory; a plain `pytest` compares where there are copies
of exactly these notebooks, and says why it skips where there are none.
"""

from __future__ import annotations

import ast
import copy
import os
import re
from pathlib import Path

import nbformat
import pytest
import yaml
from nbval.plugin import IPyNbCell, IPyNbFile, coalesce_streams

from bloodlib._files import read_json
from tools import execute, parameters
from tools.layout import PROFILES, ROOT, Build, fingerprint

BUILD = Build("smoke", "phantom")
NOTEBOOKS = BUILD.notebooks
TITLES = [path.stem for path in NOTEBOOKS]
# What readers bring, and a stream, have other dials than a data set and a preset.
OTHER_PARAMETERS = {"15_your_own_smears": {"smears", "seed"}, "16_real_time_augmentation": {"data", "seed"}}
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=TITLES)


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def differences(stored: Path, executed: Path, session: pytest.Session) -> list[str]:
    """Compare two copies of a notebook as nbval does, cells matched by id."""
    file = IPyNbFile.from_parent(session, path=stored)
    cells: list[IPyNbCell] = list(file.collect())
    ran = {cell.id: cell for cell in read(executed).cells}
    found = []
    for item in cells:
        twin = ran.get(item.cell.id)
        if twin is None or twin.source != item.cell.source:
            found.append(f"cell {item.cell.id}: the executed copy has another source")
        elif item.cell.execution_count is None or twin.execution_count is None:
            found.append(f"cell {item.cell.id}: not run, so there is nothing to compare; python -m tools.refresh")
        elif item.options["check"] and not item.options["skip"]:
            fresh, kept = (coalesce_streams(copy.deepcopy(c.outputs)) for c in (twin, item.cell))
            if not item.compare_outputs(fresh, kept):
                found.append(f"cell {item.cell.id}: " + "\n".join(item.comparison_traceback))
    return found


@pytest.fixture
def executed(path: Path) -> Path:
    """Give the executed copy of a notebook, or skip; under `make regression`, fail."""
    named = os.environ.get("BLOODLIB_EXECUTED")
    folder = ROOT / named if named else BUILD.executed
    twin, card = folder / path.name, BUILD.cards / f"{path.stem}.json"
    if named and not twin.exists():
        pytest.fail(f"{named}/{path.name} is missing: run make book first")
    if not twin.exists() or not card.exists():
        pytest.skip("no executed copies: make book, then make regression")
    if read_json(card)["fingerprint"] != fingerprint(path, read_json(card)["parameters"], BUILD):
        older = "the executed copies are older than the notebooks or the library: make book"
        pytest.fail(older) if named and folder == BUILD.executed else pytest.skip(older)
    return twin


@every_notebook
def test_outputs_are_what_git_stores(path, executed, request):
    assert differences(path, executed, request.session) == []


@every_notebook
def test_changed_number_in_a_stored_output_is_found(path, executed, request, tmp_path):
    stored = read(path)
    perturbed = 0
    for cell in stored.cells:
        ignored = {"nbval-ignore-output", "nbval-skip"} & set(cell.metadata.get("tags", []))
        for output in cell.get("outputs", []):
            if output.output_type == "stream" and not ignored and re.search(r"\d", output.text):
                output.text = re.sub(r"\d", lambda m: str((int(m[0]) + 1) % 10), output.text, count=1)
                perturbed += 1
                break
    assert perturbed, "no checked cell prints a number: nothing could ever fail"
    nbformat.write(stored, tmp_path / path.name)
    assert len(differences(tmp_path / path.name, executed, request.session)) == perturbed


def small(path: Path, *, text: str = "42 cells\n", source: str = "print(n, 'cells')", count: int | None = 1) -> Path:
    cell = nbformat.v4.new_code_cell(source, id="a", execution_count=count)
    cell.outputs = [nbformat.v4.new_output("stream", text=text)] if count else []
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    return path


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({}, None),
        ({"text": "43 cells\n"}, "mismatch 'stdout'"),
        ({"source": "print(n)"}, "another source"),
        ({"count": None}, "not run"),
    ],
    ids=["same", "digit", "source", "unrun"],
)
def test_comparison_can_fail(tmp_path, request, changed, message):
    stored = small(tmp_path / "stored.ipynb")
    found = differences(stored, small(tmp_path / "executed.ipynb", **changed), request.session)
    assert found == [] if message is None else message in found[0]


@every_notebook
def test_starts_with_what_the_reader_gets(path):
    first = read(path).cells[0]
    assert first.cell_type == "markdown"
    assert first.source.startswith("# ")
    for words in ("You will see", "You need", "It takes"):
        assert words in first.source


@every_notebook
def test_parameters_are_typed_explained_and_literal(path):
    known = parameters.declared(path)
    assert OTHER_PARAMETERS.get(path.stem, {"data", "profile", "seed"}) <= set(known)
    cell = next(c for c in read(path).cells if "parameters" in c.metadata.get("tags", []))
    assigned = [node.target.id for node in ast.parse(cell.source).body if isinstance(node, ast.AnnAssign)]
    assert assigned == list(known), "papermill must be able to read every parameter"
    for name, one in known.items():
        assert parameters.fits(ast.literal_eval(one["default"]), one["inferred_type_name"]), name


@pytest.mark.parametrize("profile", PROFILES)
@every_notebook
def test_profiles_name_only_parameters_that_exist(path, profile):
    parameters.for_notebook(path, Build(profile, "phantom"))


@every_notebook
def test_smoke_profile_is_the_notebooks_own_defaults(path):
    assert parameters.injected(path, parameters.for_notebook(path, BUILD)) == {}


def makes_a_figure(cell: nbformat.NotebookNode) -> bool:
    kinds = {kind for output in cell.get("outputs", []) for kind in output.get("data", {})}
    return "plt.show()" in cell.source or any(kind.startswith("image/") for kind in kinds)


@every_notebook
def test_every_figure_has_a_name_a_caption_and_a_description(path):
    named = []
    for cell in read(path).cells:
        if cell.cell_type == "code" and makes_a_figure(cell):
            about = cell.metadata.get("mystnb", {})
            assert len(about.get("image", {}).get("alt", "").split()) > 3, f"cell {cell.id}: no alt text"
            assert len(about.get("figure", {}).get("caption", "").split()) > 2, f"cell {cell.id}: no caption"
            named.append(about["figure"]["name"])
    assert len(set(named)) == len(named)


@every_notebook
def test_nothing_is_said_on_stderr(path):
    outputs = [output for cell in read(path).cells for output in cell.get("outputs", [])]
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []


@every_notebook
def test_code_is_short_and_runs_anywhere(path):
    for cell in read(path).cells:
        if cell.cell_type != "code":
            continue
        assert "myst_nb" not in cell.source, "breaks Colab"
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < 10, f"{node.name} belongs in the library"


def test_cell_ids_and_figure_names_are_unique_across_the_book():
    names = [c.metadata.get("mystnb", {}).get("figure", {}).get("name") for p in NOTEBOOKS for c in read(p).cells]
    names = [name for name in names if name]
    assert len(set(names)) == len(names)


def test_profiles_are_complete():
    for profile in PROFILES:
        held = yaml.safe_load((ROOT / "profiles" / f"{profile}.yml").read_text())
        assert set(held) == {"common", "notebooks"}
    assert execute.PROFILES == PROFILES
