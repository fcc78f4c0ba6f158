"""Parameters are refused by name and by type before anything runs."""

from __future__ import annotations

import pytest

from tools import parameters
from tools.layout import Build


@pytest.mark.parametrize(
    ("value", "annotation", "expected"),
    [
        (3, "int", True),
        (True, "int", False),
        (3.0, "int", False),
        ("3", "int", False),
        (3, "float", True),
        (True, "float", False),
        (True, "bool", True),
        (1, "bool", False),
        ([300, 480], "tuple[int, int]", True),
        ([300], "tuple[int, int]", False),
        ([1, "a"], "list[int]", False),
        ({"a": 1}, "dict[str, int]", True),
        ({"a": "b"}, "dict[str, int]", False),
    ],
)
def test_type_of_a_value(value, annotation, expected):
    assert parameters.fits(value, annotation) is expected


def test_unsupported_type_is_named():
    with pytest.raises(ValueError, match="'Path' is not one"):
        parameters.fits("x", "Path")


def test_profile_and_extra_reach_the_notebook(project):
    (project / "profiles" / "smoke.yml").write_text('common: {seed: 7}\nnotebooks: {"01": {count: 5, shape: [1, 2]}}\n')
    build = Build("smoke", "phantom", root=project)
    first, second = (parameters.for_notebook(path, build, {"width": 2}) for path in build.notebooks)
    assert first == {"data": "phantom", "profile": "smoke", "seed": 7, "count": 5, "shape": [1, 2], "width": 2}
    assert second == {"data": "phantom", "profile": "smoke", "seed": 7, "width": 2}


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"cuont": 3}, "unknown parameter 'cuont'; legal are data: str, .*count: int.*shape: list"),
        ({"count": "many"}, "'count' is 'many' .str., needed is int; legal are"),
        ({"count": 2.5}, "needed is int"),
    ],
)
def test_bad_parameter_lists_the_legal_ones(project, extra, message):
    build = Build("smoke", "phantom", root=project)
    with pytest.raises(ValueError, match=message):
        parameters.for_notebook(build.notebooks[0], build, extra)


@pytest.mark.parametrize("text", ['notebooks: {"07": {}}\n', "chapters: {}\n"])
def test_profile_with_unknown_entries_is_refused(project, text):
    (project / "profiles" / "smoke.yml").write_text(text)
    build = Build("smoke", "phantom", root=project)
    with pytest.raises(ValueError, match=r"smoke\.yml"):
        parameters.for_notebook(build.notebooks[0], build)


def test_untyped_or_unexplained_parameter_is_refused(project):
    path = project / "notebooks" / "01_alpha.ipynb"
    for wrong in ("count = 3  # how many", "count: int = 3"):
        path.write_text(path.read_text().replace("count: int = 3  # how many points", wrong))
        with pytest.raises(ValueError, match="'count' needs a type and a comment"):
            parameters.declared(path)
        path.write_text(path.read_text().replace(wrong, "count: int = 3  # how many points"))


def test_injected_keeps_what_departs_from_the_defaults(project):
    path = project / "notebooks" / "01_alpha.ipynb"
    given = {"data": "phantom", "seed": 0, "width": 0.5, "shape": [3, 4], "count": 4}
    assert parameters.injected(path, given) == {"count": 4}


def test_folder_of_data_is_seen_from_the_notebooks(project):
    (project / "mine").mkdir()
    build = Build("smoke", "mine", root=project)
    assert build.data_parameter == "../mine"
    assert build.name == "smoke-mine"


def test_chapter_that_does_not_exist_lists_those_that_do(project):
    with pytest.raises(ValueError, match="no chapter '9'; there are 01_alpha, 02_beta"):
        _ = Build("smoke", "phantom", "9", project).notebooks
    assert [p.stem for p in Build("smoke", "phantom", "2", project).notebooks] == ["02_beta"]
