"""Memory that is freed stays with the process while a block runs, and only then; what networks are computed on."""

import pytest
import torch

from bloodlib.gan import precision
from bloodlib.gan.precision import autocast_dtype, device_name, make_fabric, memory_kept


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


@pytest.mark.parametrize(
    ("amx", "avx512_bf16", "kind", "name"),
    [
        (True, True, torch.bfloat16, "cpu, AVX512, AMX, AVX512-BF16"),
        (False, True, torch.bfloat16, "cpu, AVX512, AVX512-BF16"),
        (False, False, torch.float32, "cpu, AVX512"),
    ],
)
def test_a_processor_is_named_by_what_it_multiplies_with(monkeypatch, amx, avx512_bf16, kind, name):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16)
    assert autocast_dtype("cpu") is kind
    assert device_name() == name


def test_a_gpu_of_another_make_is_left_alone(monkeypatch):
    """Apple's has no float64, which outlines are measured in."""
    from lightning_fabric.accelerators import MPSAccelerator

    monkeypatch.setattr(MPSAccelerator, "is_available", staticmethod(lambda: True))
    assert make_fabric("float32").device.type == ("cuda" if torch.cuda.is_available() else "cpu")
