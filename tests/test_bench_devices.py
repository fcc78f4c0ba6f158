"""Runs on two machines are paired only where nothing else differs."""

import pytest

from benchmarks import devices
from bloodlib._files import package_data, read_json, write_json


def run(score, **other):
    selected = {"main": "dice", "on_validation": {"test": {"dice": score}}}
    about = {"task": "fcn8s", "arm": "RD", "seed": 0, "config_hash": "a", "painter": "p", "backbone": None}
    return {**about, "device": "cpu", "selected": selected, **other}


def test_differences_of_pairs(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    for k, (a, b) in enumerate([(0.9, 0.92), (0.8, 0.84), (0.7, 0.7)]):
        write_json(one / f"{k}.json", run(a, seed=k))
        write_json(other / f"{k}.json", run(b, seed=k, device="a GPU"))
    write_json(one / "alone.json", run(0.1))
    found = devices.compare(one, other)
    assert found["devices"] == ["cpu", "a GPU"]
    assert len(found["rows"]) == 3
    assert found["tasks"]["fcn8s"] == {"pairs": 3, "mean": pytest.approx(-0.02), "std": pytest.approx(0.02)}


def test_runs_that_differ_otherwise_are_refused(tmp_path):
    write_json(tmp_path / "one" / "a.json", run(0.9))
    write_json(tmp_path / "other" / "a.json", run(0.9, painter="q"))
    with pytest.raises(ValueError, match=r"a\.json: the two runs differ in painter"):
        devices.compare(tmp_path / "one", tmp_path / "other")
    with pytest.raises(ValueError, match="no run of"):
        devices.compare(tmp_path / "one", tmp_path)


def test_what_is_stored_agrees_with_the_stored_runs():
    """The first machine's runs are those of the table."""
    stored = read_json(package_data("results", "devices.json"))
    folder = package_data("results", "table2", "laptop-chula_rbc12")
    for row in stored["rows"]:
        kept = read_json(folder / f"{row['task']}-{row['arm']}-{row['seed']}.json")
        assert kept["device"] == stored["devices"][0]
        assert devices.score(kept) == pytest.approx(row["scores"][0], abs=1e-5)
