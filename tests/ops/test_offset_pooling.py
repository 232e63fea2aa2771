"""Pooling at all offsets, interleaved: the pooling of stride 1, in another order."""

import numpy as np
import pytest

from jaxnets.ops import interleave_offsets, max_pool, offset_max_pool


@pytest.mark.parametrize("window, size", [(3, (17, 23)), (2, (9, 9)), (3, (5, 5))])
def test_offsets_interleaved_are_windows_at_every_pixel(window, size):
    x = np.random.default_rng(0).normal(size=(2, *size, 3)).astype(np.float32)
    pooled = offset_max_pool(x, window)
    rows, columns = ((length - window + 1) // window for length in size)
    assert pooled.shape == (window**2, 2, rows, columns, 3)
    whole = max_pool(x, window, strides=1)[:, : window * rows, : window * columns]
    np.testing.assert_array_equal(interleave_offsets(pooled), whole)


def test_the_paper_s_map_of_17_gives_five_windows_at_each_of_nine_offsets():
    assert offset_max_pool(np.zeros((1, 17, 20, 1), np.float32), 3).shape == (9, 1, 5, 6, 1)


def test_one_offset_is_ordinary_pooling():
    x = np.random.default_rng(0).normal(size=(1, 7, 8, 2)).astype(np.float32)
    np.testing.assert_array_equal(offset_max_pool(x, 2, 1)[0], max_pool(x, 2))


def test_what_does_not_fit_is_said():
    x = np.zeros((1, 4, 4, 1), np.float32)
    with pytest.raises(ValueError, match="offsets: got 3; expected 1 to 2"):
        offset_max_pool(x, 2, 3)
    with pytest.raises(ValueError, match="expected at least 5 each way for windows of 3 at 3"):
        offset_max_pool(x, 3)
    with pytest.raises(ValueError, match="got 3 offsets; expected a square"):
        interleave_offsets(np.zeros((3, 1, 1, 1, 1)))
