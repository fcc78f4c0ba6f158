"""Numbers beside a measure's name are computed or quoted, never typed into prose."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

from tools import glossary
from tools.layout import ROOT

FINDINGS = ROOT / "book" / "findings.md"  # each number of it is worked out again by test_findings_numbers.py
PAGES = [path for path in (*glossary.pages(), ROOT / glossary.GLOSSARY) if path != FINDINGS]
MEASURE = re.compile(
    r"\b(?:Dice|DSC|AP|AP50|AP75|KID|FID|F1|IoU|count errors?|precision|recall|accuracy|optimism|GAN term|p-values?)\b"
)
# Counted shares and lengths in parts of a pixel are results whatever stands beside them.
COUNTED = re.compile(r"(?<![\w.])\d+ in (?:every )?\d{1,3}(?:,\d{3})*\b|(?<![\w.])\d+\.\d+\s?(?:px|pixels)\b")
NUMBER = re.compile(r"(?<![\w.])(?:\d+\.\d+|\d+(?:\.\d+)?\s?%)")
# A threshold is part of a measure's name: "F1 at 0.75", "thresholds 0.50, 0.55, …, 0.95", "101 recalls, 0, 0.01, …, 1".
LIST = r"\d[\d.]*(?:(?:,| to| and|, …,| …)*\s*\d[\d.]*)*"
THRESHOLD = re.compile(rf"(?:\b(?:F1|AP|IoU)`? at|thresholds?(?: from| up to)?|recalls,)\s+{LIST}")
GIVEN = re.compile(r"^(`{3,}|:{3,})\{exercise\}.*?^\1[ \t]*$", re.MULTILINE | re.DOTALL)  # what a question supposes


def typed(text: str) -> list[str]:
    """List the sentences that have a typed number beside a measure's name, or a counted share or part of a pixel."""
    text = GIVEN.sub("", text)
    text = re.sub(r"\{\{.*?\}\}", "", text, flags=re.DOTALL)
    text = re.sub(r"\{term\}`([^`<]*?)(?:\s*<[^`>]*>)?`", r"\1", text)
    text = re.sub(r"(`+)[^`].*?\1|\$\$.*?\$\$|\$[^$\n]+\$", "", text, flags=re.DOTALL)
    found = []
    for sentence in re.split(r"(?<=[.!?;])\s+|\n\n|\n(?=[-|*])", text):
        sentence = THRESHOLD.sub("", " ".join(sentence.split()))
        if COUNTED.search(sentence) or (MEASURE.search(sentence) and NUMBER.search(sentence)):
            found.append(sentence)
    return found


def written(path: Path) -> str:
    text = glossary.read(path)
    if path.suffix == ".ipynb":
        about = [cell.metadata.get("mystnb", {}) for cell in nbformat.read(path, as_version=4).cells]
        text += "".join(f"\n\n{one.get('figure', {}).get('caption', '')}" for one in about)
        text += "".join(f"\n\n{one.get('image', {}).get('alt', '')}" for one in about)
    return text


@pytest.mark.parametrize("path", PAGES, ids=[path.stem for path in PAGES])
def test_no_number_is_typed_beside_a_measure(path):
    assert typed(written(path)) == []


@pytest.mark.parametrize(
    "text",
    [
        "The network reaches a Dice of 0.961 on test slides.",
        "AP50 rose by 0.8 % with synthesis.",
        "| FCN-8s | 0.958 | Dice |",
        "KID: 0.30 instead of\n0.89.",
        "{term}`F1` fell to 0.9, as {{ x }} says.",
        "A neighbour cuts 9 in 100 cells.",
        "Pixel steps alone give a mask 0.10 and 0.08 px.",
        "It is displaced by 0.3 pixels.",
    ],
)
def test_typed_numbers_are_found(text):
    assert typed(text)


@pytest.mark.parametrize(
    "text",
    [
        "Dice is {{ quoted.bailo2019.table2.fcn8s }}.",
        "The mean over thresholds from 0.50 to 0.95 is AP.",
        "(F1 at 0.5) or three quarters ({term}`F1` at 0.75).",
        "COCO reads precision at 101 recalls, 0, 0.01, …, 1.",
        "Dice of `0.5` and $0.5$.",
        "A level of 5 % is usual. Dice is not meant.",
        "Windows of 240 px; in 2019; 12 of 20 pairs; 3 in all; 7 in 2019; `0.5 px`.",
    ],
)
def test_what_is_no_result_is_passed_over(text):
    assert typed(text) == []
