"""What every test stands on: deterministic draws, few threads, real data where there is any."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Set before numpy or torch start their threads: the tests share two cores.
for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_variable, "2")
os.environ.setdefault("MPLBACKEND", "agg")

settings.register_profile("same every time", deadline=None, derandomize=True, database=None)
settings.load_profile("same every time")


@pytest.fixture
def real_data(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the folder of real data sets, as `BLOODLIB_DATA`; skip the test where there is none."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("BLOODLIB_DATA", beside))
    if not (folder / "chula_rbc12" / "Dataset").is_dir():
        pytest.skip("no filled cache of real data: set BLOODLIB_DATA, or put it at ../shared/data")
    monkeypatch.setenv("BLOODLIB_DATA", str(folder))
    return folder
