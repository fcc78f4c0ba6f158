"""The first use of a glossary's term on a page links to it."""

from __future__ import annotations

import re

import pytest

from tools import glossary
from tools.layout import ROOT

NAMES = glossary.terms((ROOT / glossary.GLOSSARY).read_text())
PAGES = glossary.pages()


@pytest.mark.parametrize("path", PAGES, ids=[path.stem for path in PAGES])
def test_first_use_is_linked(path):
    assert [name for name, _, _ in glossary.unlinked(glossary.read(path), NAMES)] == []


@pytest.mark.parametrize("path", PAGES, ids=[path.stem for path in PAGES])
def test_links_name_terms_that_there_are(path):
    used = {role[2] or role[1] for role in glossary._ROLE.finditer(glossary.read(path))}
    assert used <= set(NAMES)


def test_every_term_is_explained_once_and_used_somewhere():
    assert len(NAMES) == len(set(NAMES)) > 30
    everything = "\n".join(glossary.read(path) for path in PAGES)
    assert [name for name in NAMES if not re.search(glossary._words(name), everything, re.IGNORECASE)] == []


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("A smear.", ["smear"]),
        ("A {term}`smear`, and smears.", []),
        ("Smears, and a {term}`smear`.", ["smear"]),
        ("{term}`Smears <smear>` and a smear.", []),
        ("# A smear\n\n`smear` $smear$ [smear](x)\n\n| smear |\n\n```bash\nsmear\n```", []),
        ("```{warning}\nA smear.\n```\n\nAn arm.", ["smear", "arm"]),
        ("```{warning}\nNo.\n```\n\n`a`, then a smear.", ["smear"]),
        ("At arm's length.", []),
        ("A mask generator.", ["mask generator"]),
        ("The {term}`generator <mask generator>`, and a generator.", []),
        ("{{ smear }} and {doc}`smear <x>`", []),
    ],
)
def test_what_counts_as_a_use(text, missing):
    assert [name for name, _, _ in glossary.unlinked(text, NAMES)] == missing


def test_linking_keeps_the_words_and_is_done_after_one_pass():
    text = "**Smears** show cells; the mask generator draws them. A smear has cells."
    linked = glossary.linked(text, NAMES)
    assert linked == (
        "**{term}`Smears <smear>`** show cells; the {term}`mask generator` draws them. A smear has cells."
    )
    assert glossary.linked(linked, NAMES) == linked


def test_command_lists_and_links(tmp_path, capsys):
    (tmp_path / "book").mkdir()
    (tmp_path / "notebooks").mkdir()
    (tmp_path / glossary.GLOSSARY).write_text("```{glossary}\n:sorted:\n\nsmear\n  Blood on glass.\n```\n")
    (tmp_path / "book" / "a.md").write_text("One smear.\n")
    assert glossary.main([], tmp_path) == 1
    assert "book/a.md: smear: … One smear. …" in capsys.readouterr().out
    assert glossary.main(["--write"], tmp_path) == 0
    assert (tmp_path / "book" / "a.md").read_text() == "One {term}`smear`.\n"
