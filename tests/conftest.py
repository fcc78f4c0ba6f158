"""What every test stands on: deterministic draws, few threads, real data where there is any."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from hypothesis import settings

# Set before numpy or torch start their threads: the tests share two cores.
for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_variable, "2")
os.environ.setdefault("MPLBACKEND", "agg")

settings.register_profile("same every time", deadline=None, derandomize=True, database=None)
settings.load_profile("same every time")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the long versions of kill and fuzz tests to a night: BLOODLIB_NIGHTLY=1 runs them."""
    if not os.environ.get("BLOODLIB_NIGHTLY"):
        for item in items:
            if item.get_closest_marker("nightly"):
                item.add_marker(pytest.mark.skip(reason="takes long: set BLOODLIB_NIGHTLY=1"))


@pytest.fixture
def real_data(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the folder of real data sets, as `BLOODLIB_DATA`; skip the test where the sets that it names are not there.

    ``@pytest.mark.real("bccd")`` names them; without a name it is Chula RBC-12.
    """
    from bloodlib.datasets import registry

    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("BLOODLIB_DATA", beside))
    monkeypatch.setenv("BLOODLIB_DATA", str(folder))
    marker = request.node.get_closest_marker("real")
    for name in (marker.args if marker else ()) or ("chula_rbc12",):
        if not registry.status(name).complete:
            pytest.skip(f"the cache holds no complete {name}: set BLOODLIB_DATA, or put it at ../shared/data")
    return folder


@pytest.fixture
def laid() -> Callable[..., list]:
    """Give a maker of smears without a picture, whose discs were laid by known constants on a larger canvas."""
    import numpy as np

    from bloodlib.sampler.masks import MaskConfig, MaskGenerator
    from bloodlib.sampler.placement import PlacementConfig
    from bloodlib.sampler.shapes import ShapeConfig, ShapeDatabase
    from bloodlib.smears import Smear, relabel

    disc, shape, still = np.hypot(*np.mgrid[-6:7, -6:7]) <= 6.2, (100, 130), ShapeConfig(False, False, (1.0, 1.0))

    def make(constants, number, seed=0, group="a", count=54):
        config = constants.apply(MaskConfig(count, 1, shape, PlacementConfig(cell_size_px=13.0), still))
        masks = MaskGenerator(ShapeDatabase([disc], still), config)
        canvas = tuple(side + 40 for side in shape)
        made = [masks.sample(np.random.default_rng([seed, k]), canvas, count).instances for k in range(number)]
        image = np.zeros((*shape, 3), np.uint8)
        return [Smear(image, relabel(mask[20:-20, 20:-20])[0], group=group) for mask in made]

    return make


@pytest.fixture
def room_for() -> Callable[[int], AbstractContextManager[None]]:
    """Give a context in which no file can grow beyond so many bytes: writing then fails as on a full disk."""
    resource = pytest.importorskip("resource", reason="needs a system with resource limits")

    @contextmanager
    def limited(size: int) -> Iterator[None]:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limited
