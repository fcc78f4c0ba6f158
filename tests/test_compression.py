"""JPEG's traces: the quality at which a picture was stored is found again, and none where there is none."""

from __future__ import annotations

import numpy as np
import pytest

import bloodlib
from bloodlib.compression import compressed, jpeg_traces


@pytest.fixture(scope="module")
def picture():
    return bloodlib.load("phantom", split="fit", shape=(192, 256))[0].image


def test_a_picture_that_was_never_compressed_has_no_traces(picture):
    assert jpeg_traces(picture) == (0, False)


@pytest.mark.parametrize("quality", [60, 75, 85, 92, 95])
@pytest.mark.parametrize("halved", [False, True])
def test_the_quality_is_found_again(picture, quality, halved):
    assert jpeg_traces(compressed(picture, quality, halved)) == (quality, halved)


def test_traces_are_lost_with_the_grid_that_they_lie_on(picture):
    stored = compressed(picture, 85, True)
    assert jpeg_traces(stored[3:, 5:]) == (0, False)
    assert jpeg_traces(stored[:, ::-1][:, 3:]) == (0, False)


def test_a_picture_too_small_for_blocks_and_an_even_one_have_none():
    assert jpeg_traces(np.full((40, 40, 3), 120, np.uint8)) == (0, False)
    assert jpeg_traces(np.zeros((0, 5, 3), np.uint8)) == (0, False)


def test_compression_keeps_shape_and_what_it_did_not_change(picture):
    stored = compressed(picture, 90, True)
    assert stored.shape == picture.shape
    assert stored.dtype == np.uint8
    away = np.abs(stored.astype(int) - picture).mean()
    assert 0 < away < 4
    assert np.abs(compressed(stored, 90, True).astype(int) - stored).mean() < away / 2
