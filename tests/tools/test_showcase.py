"""What readers play with is painted at build time, or it is said why it is not there."""

from __future__ import annotations

import numpy as np
from bs4 import BeautifulSoup

from tools import showcase
from tools.layout import Build

MADE = {"original": "rendered", "styles": 3, "tiles": ["painted", "original", "painted"], "smears": 40}


def html(text: str) -> BeautifulSoup:
    assert text.startswith("```{raw} html\n")
    return BeautifulSoup(text.split("\n", 1)[1].rsplit("\n", 1)[0], "html.parser")


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
    real = showcase.substitutions(MADE | {"original": "real"})
    assert "phantom" not in real["slider"] + real["game_about"]


def test_tiles_are_taken_evenly():
    assert list(showcase._spread(list(range(80)), 3)) == [0, 40, 79]
    assert len(set(showcase._spread(list(range(80)), 20))) == 20
    assert np.array_equal(list(showcase._spread(list("ab"), 2)), ["a", "b"])
