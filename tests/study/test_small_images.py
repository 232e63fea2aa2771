"""Images of one size: averaged over squares, padded, or repeated."""

import numpy as np

from jaxnets.study.small_images import resize_by_blocks


def test_images_are_brought_to_one_size():
    images = np.arange(2 * 4 * 4, dtype=np.uint8).reshape(2, 4, 4, 1)
    down = resize_by_blocks(images, 2, 3)
    assert down.shape == (2, 2, 2, 3)
    assert down[0, 0, 0, 0] == round((0 + 1 + 4 + 5) / 4)
    up = resize_by_blocks(images, 8, 1)
    np.testing.assert_array_equal(up[:, ::2, ::2], images)
    # 28 → 32 with a black border → 16.
    assert (
        resize_by_blocks(np.full((1, 28, 28, 1), 9, np.uint8), 16, 1)[0, :, :, 0].sum() == 9 * 196
    )
    # 28 → 32, and 4 → 10 by two times four in the middle.
    black = resize_by_blocks(np.full((1, 28, 28, 1), 9, np.uint8), 32, 1)[0, :, :, 0]
    assert black[2:30, 2:30].min() == 9 and black.sum() == 9 * 28**2
    twice = resize_by_blocks(images, 10, 1)
    assert twice.shape == (2, 10, 10, 1) and twice[:, 0].max() == 0
    np.testing.assert_array_equal(twice[:, 1:9:2, 1:9:2], images)
