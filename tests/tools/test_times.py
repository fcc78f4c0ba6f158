"""How long chapters took is read off the run cards of one machine."""

import pytest

from bloodlib._files import read_json, write_json
from tools import facts, times


def card(build, name, seconds, device="A, 2 threads"):
    (build / "cards").mkdir(parents=True, exist_ok=True)
    write_json(build / "cards" / f"{name}.json", {"notebook": name, "seconds": seconds, "device": device})


def test_times_are_stored_and_written_as_a_table(tmp_path):
    for build, seconds in (("smoke-phantom", 8.14), ("laptop-toy", 150.0)):
        card(tmp_path / build, "01_a", seconds)
        (tmp_path / "data" / "results").mkdir(parents=True, exist_ok=True)
        assert times.main([str(tmp_path / build), "--remark", "nothing else"], tmp_path) == 0
    stored = read_json(tmp_path / times.STORED)["builds"]
    assert stored["smoke-phantom"]["seconds"] == {"01_a": 8.1}
    table = facts.run_times(tmp_path / times.STORED)
    assert "| {doc}`../notebooks/01_a` | 8 s | 2.5 min |" in table
    card(tmp_path / "smoke-phantom", "02_b", 20.0)  # a chapter that was not run in the other build
    stored["smoke-phantom"] = times.measured(tmp_path / "smoke-phantom", "nothing else")
    write_json(tmp_path / times.STORED, {"builds": stored})
    rows = facts.run_times(tmp_path / times.STORED).splitlines()
    assert rows[0] == "| chapter | smoke-phantom | laptop-toy |"
    assert rows[2].endswith("| 8 s | 2.5 min |")
    assert rows[3].endswith("| 20 s | not measured |")
    assert rows[-1] == "Not measured in any chapter: laptop-chula_rbc12, paper-chula_rbc12."
    assert "smoke-phantom: A, 2 threads, nothing else" in table


def test_cards_of_two_machines_are_refused(tmp_path):
    card(tmp_path, "01_a", 1.0)
    card(tmp_path, "02_b", 1.0, device="B, 2 threads")
    with pytest.raises(ValueError, match="2 machines"):
        times.measured(tmp_path, "")
    with pytest.raises(ValueError, match="0 machines"):
        times.measured(tmp_path / "none", "")
