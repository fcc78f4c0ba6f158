"""What readers play with is painted at build time, or it is said why it is not there."""

from __future__ import annotations

import inspect
import re

import numpy as np
from bs4 import BeautifulSoup

from tools import made as notes
from tools import showcase
from tools.layout import ROOT, Build

COMMAND = "make book PROFILE=smoke DATA=phantom"
MADE = {
    "original": "rendered",
    "styles": 3,
    "tiles": ["painted", "original", "painted"],
    "smears": 40,
    "command": COMMAND,
}


def html(text: str) -> BeautifulSoup:
    raw = re.search(r"^```\{raw\} html\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return BeautifulSoup(raw[1], "html.parser")


def test_without_a_model_or_for_one_chapter_the_page_says_why(project):
    for build, why in (
        (Build("smoke", "phantom", root=project), "no released painter"),
        (Build("smoke", "phantom", "01", root=project), "one chapter only"),
    ):
        made = showcase.pictures(build)
        assert set(made) == {"why"}
        said = showcase.substitutions(made)
        assert why in said["slider"]
        assert said["game_about"] == ""
        assert set(said) == set(showcase.substitutions(MADE))


def test_every_picture_has_words_and_a_place():
    said = showcase.substitutions(MADE)
    for name, count in (("slider", 2), ("style_explorer", 3), ("game", 3)):
        images = html(said[name]).find_all("img")
        assert len(images) == count
        assert all(len(image["alt"].split()) > 3 for image in images)
        assert all(image["src"].startswith("../_static/made/") for image in images)
        assert len({image["src"] for image in images}) == count


def test_kinds_of_tiles_are_kept_and_the_phantom_is_never_called_real():
    said = showcase.substitutions(MADE)
    assert [image["data-kind"] for image in html(said["game"]).find_all("img")] == MADE["tiles"]
    assert "phantom" in said["slider"]
    assert "none of them is real" in said["game_about"]
    real = showcase.substitutions(MADE | {"original": "real", "command": "make book"})
    assert "phantom" not in real["slider"] + real["game_about"]


def test_tiles_are_taken_evenly():
    assert list(showcase._spread(list(range(80)), 3)) == [0, 40, 79]
    assert len(set(showcase._spread(list(range(80)), 20))) == 20
    assert np.array_equal(list(showcase._spread(list("ab"), 2)), ["a", "b"])


def test_every_figure_has_a_name_a_caption_and_a_note_on_how_it_was_made():
    painting = inspect.getsource(showcase)
    for original in ("rendered", "real"):
        said = showcase.substitutions(MADE | {"original": original})
        for name in ("slider", "style_explorer", "game"):
            figure, note = said[name].split("\n::::\n\n")
            assert f":name: fig-{name.replace('_', '-')}\n" in figure
            assert len(figure.rsplit("```", 1)[1].split()) > 8
            assert note.startswith(f"::::{{dropdown}} {notes.TITLE}\n")
            assert COMMAND in note
            assert all(f"`{function}` (`bloodlib/" in note for function in showcase._MADE_WITH[name])
            assert all(function.rsplit(".", 1)[1] in painting for function in showcase._MADE_WITH[name])
    page = (ROOT / "book" / "play.md").read_text()
    assert re.search(r"\{live-figure\}\n:name: fig-sampler\n.*?^::::\n\n\{\{ sampler_made \}\}$", page, re.M | re.S)
    compared = showcase.substitutions({"why": "nothing is painted"})["sampler_made"]
    test = (ROOT / showcase._COMPARE.split()[-1]).read_text()
    assert all(f"`{name}`" in compared and name.rsplit(".", 1)[1] in test for name in showcase._COMPARED)
