"""What `python -m benchmarks.layouts` prints is the stored file, also one that an earlier version wrote."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks import layouts
from bloodlib._files import read_json
from bloodlib.realism import between_images, by_group
from bloodlib.sampler.constants import PUBLISHED, LayoutConstants
from bloodlib.sampler.fitting import FitConfig, fit_layout, layout_distances

STORED = read_json(layouts.COMPARED)


def one(far, p):
    return {"distance": {"all": far}, "p": {"all together": p}}


def kept(groups):
    return {"dataset": "someone's", "split": "test", "groups": groups}


def test_the_stored_comparison_is_printed_with_every_layout_and_group(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["benchmarks.layouts"])
    layouts.main()
    printed = capsys.readouterr().out
    lines = {line[:19].strip(): line[19:].split() for line in printed.splitlines() if line[19:].strip()}
    assert all(name in printed for name in STORED["groups"])
    found = [group["layouts"]["graph"] for group in STORED["groups"].values()]
    far = [each["distance"]["all"] for each in found]
    assert [float(word.rstrip("*")) for word in lines["graph"][: len(far)]] == pytest.approx(far, abs=0.0051)
    assert float(lines["graph"][len(far)]) == pytest.approx(np.mean(far), abs=0.0051)
    hits = sum(each["p"]["all together"] <= 0.05 for each in found)
    assert lines["graph"][-3:] == [str(hits), "of", str(len(far))]
    assert {*PUBLISHED, "fitted", "fitted by slide", "fitted, same slide", "another real slide"} <= set(lines)


def test_the_table_counts_what_is_rejected_and_leaves_gaps_where_a_layout_was_not_tried(capsys):
    layouts.show(kept({"a": {"layouts": {"x": one(1.5, 0.05), "y": one(2, 0.06)}}, "b": {"layouts": {"x": one(3, 1)}}}))
    *_, x, y = (line.split() for line in capsys.readouterr().out.splitlines())
    assert x == ["x", "1.50*", "3.00", "2.25", "1", "of", "2"]
    assert y == ["y", "2.00", "–", "2.00", "0", "of", "1"]


def test_nothing_stored_says_how_to_store_it(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("sys.argv", ["layouts", "--out", str(tmp_path)])
    with pytest.raises(SystemExit):
        layouts.main()
    assert "python -m benchmarks.layouts --fit --compare" in capsys.readouterr().err


def test_a_stored_fit_is_measured_as_it_is_stored(laid):
    real = laid(LayoutConstants(kind="uniform", snap=1.0, snap_reach=2.0), 2)
    config = FitConfig(freedom="snap", coarse=2, fine=0, finalists=1, smears=1, repeats=1)
    groups = by_group(real)
    spread = between_images(groups.values())
    stored = json.loads(json.dumps(layouts.plain(fit_layout(real, config), 1.0, groups, spread, config)))
    again = layout_distances(groups, LayoutConstants(**stored["constants"]), spread, 1, 1, seed=2)
    assert stored["distances"] == pytest.approx(again, abs=0.00051)
    assert list(stored["stages"]) == ["published", "eq3", "snap"]
