"""Memory that is freed stays with the process while a block runs, and only then."""

import pytest

from bloodlib.gan import precision
from bloodlib.gan.precision import memory_kept


class Library:
    """Stand in for the C library and note what is asked of it."""

    def __init__(self, asked):
        self.mallopt = lambda setting, value: asked.append((setting, value))
        self.malloc_trim = lambda pad: asked.append("trim")


@pytest.fixture
def asked(monkeypatch):
    calls = []
    monkeypatch.setattr(precision.sys, "platform", "linux")
    monkeypatch.setattr(precision.ctypes, "CDLL", lambda name: Library(calls))
    return calls


KEEP = [(setting, precision._NEVER) for setting in precision._USUAL]
USUAL = list(precision._USUAL.items())


def test_an_inner_block_leaves_it_to_the_outer_one(asked):
    with memory_kept():
        with memory_kept():
            pass
        assert asked == 2 * KEEP
    assert asked == [*KEEP, *KEEP, *USUAL, "trim"]


def test_memory_goes_back_when_the_block_fails(asked):
    with pytest.raises(OSError, match="full"), memory_kept():
        raise OSError("full")
    assert asked == [*KEEP, *USUAL, "trim"]


@pytest.mark.parametrize("cycles", [True, False])
def test_cycles_are_looked_for_where_asked(asked, monkeypatch, cycles):
    monkeypatch.setattr(precision.gc, "collect", lambda: asked.append("collect"))
    with memory_kept(cycles=cycles):
        pass
    assert ("collect" in asked) is cycles
    assert asked[-1] == "trim"


def test_another_c_library_is_left_alone(asked, monkeypatch):
    class Musl:
        malloc_trim = staticmethod(lambda pad: asked.append("trim"))

    monkeypatch.setattr(precision.ctypes, "CDLL", lambda name: Musl())
    with memory_kept():
        pass
    assert asked == []
