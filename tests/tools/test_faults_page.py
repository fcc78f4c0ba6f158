"""The tables of the page on faults say what is stored, and the stored counts are those of a good night."""

import json
import re
from pathlib import Path

from tools import faults

ROOT = Path(__file__).parents[2]
STORED = ROOT / "data" / "results" / "faults"


def test_a_checkout_without_counts_says_so(tmp_path):
    assert faults.kills(tmp_path) == faults.fuzz(tmp_path) == faults.NOT_STORED


def test_each_number_comes_from_its_file(tmp_path):
    for name in ("fit", "generate", "table2", "fuzz"):
        content = json.loads((STORED / f"{name}.json").read_text())
        if name == "generate":
            content |= {"corrupt": 77, "kills": 41}
        if name == "fuzz":
            content["readings"]["voc"]["refused"] = 123_456
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    assert "| `generate` | 41 |" in faults.kills(tmp_path)
    assert "77 of" in faults.kills(tmp_path)
    assert "123,456" in faults.fuzz(tmp_path)


def test_the_stored_night_killed_twenty_times_each_and_tried_ten_thousand_inputs():
    nights = {path.stem: json.loads(path.read_text()) for path in STORED.glob("*.json")}
    assert all(nights[name]["kills"] >= 20 for name in ("fit", "generate", "table2"))
    assert sum(nights["fuzz"]["inputs"].values()) >= 10_000
    assert not any(nights[name]["corrupt"] for name in ("fit", "generate", "table2"))
    assert not nights["fit"]["tensors_different"]


def test_every_test_that_the_page_names_is_there():
    page = (ROOT / "book" / "faults.md").read_text()
    named, file = [], ""
    for path, name in re.findall(r"`(tests/[\w/]+\.py|…)::(\w+)", page):
        file = file if path == "…" else path
        named.append((file, name))
    assert len(named) > 20
    missing = [name for file, name in named if f"def {name}(" not in (ROOT / file).read_text()]
    assert not missing


def test_the_page_asks_for_both_tables():
    page = (ROOT / "book" / "faults.md").read_text()
    assert "{{ kills }}" in page
    assert "{{ fuzz }}" in page
