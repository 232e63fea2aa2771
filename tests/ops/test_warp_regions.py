"""Crops of regions beside a pixel-by-pixel computation in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.ops import warp_regions


def naive(image, box, size, context, fill):
    height, width, channels = image.shape
    x1, y1, x2, y2 = box.astype(np.float64)
    scale = size / (size - 2 * context)
    center, half = ((x1 + x2) / 2, (y1 + y2) / 2), ((x2 - x1) / 2 * scale, (y2 - y1) / 2 * scale)
    found = np.zeros((size, size, channels))
    for i in range(size):
        for j in range(size):
            x = center[0] - half[0] + 2 * half[0] * (j + 0.5) / size
            y = center[1] - half[1] + 2 * half[1] * (i + 0.5) / size
            if not (0 <= x <= width and 0 <= y <= height):
                found[i, j] = fill
                continue
            x, y = np.clip(x - 0.5, 0, width - 1), np.clip(y - 0.5, 0, height - 1)
            left, top = int(x), int(y)
            right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
            a, b = x - left, y - top
            found[i, j] = (1 - b) * ((1 - a) * image[top, left] + a * image[top, right]) + b * (
                (1 - a) * image[bottom, left] + a * image[bottom, right]
            )
    return found


def test_crops_are_bilinear_samples_with_context_around():
    rng = np.random.default_rng(0)
    image = rng.uniform(0, 255, (20, 26, 3))
    boxes = np.float32([[3, 4, 15, 12], [-5, 2, 9, 30], [10, 10, 26, 20], [7.3, 1.2, 8.1, 19.7]])
    fill = np.array([1.0, 2.0, 3.0])
    with jax.enable_x64(True):
        found = warp_regions(
            jnp.asarray(image), jnp.asarray(boxes, jnp.float64), 13, context=2, fill=fill
        )
        found = np.asarray(found)
    for one, box in zip(found, boxes, strict=True):
        np.testing.assert_allclose(one, naive(image, box, 13, 2, fill), atol=1e-9)
    assert (found[1] == fill).all(-1).any() and not (found[0] == fill).all(-1).any()


def test_the_box_is_what_lies_within_the_context():
    """A white box on black: after 16 of 227 pixels, on each side."""
    image = np.zeros((60, 60, 1), np.uint8)
    image[20:40, 10:30] = 255
    crop = np.asarray(warp_regions(image, jnp.array([[10.0, 20, 30, 40]]), 227))[0, ..., 0]
    rows, columns = np.nonzero(crop > 127.5)
    assert [rows.min(), rows.max() + 1, columns.min(), columns.max() + 1] == [16, 211, 16, 211]


def test_the_whole_image_without_context_is_itself():
    image = np.random.default_rng(1).integers(0, 256, (9, 9, 3)).astype(np.uint8)
    found = warp_regions(image, jnp.array([[0.0, 0, 9, 9]]), 9, context=0)
    np.testing.assert_allclose(found[0], image, atol=1e-4)


def test_what_does_not_fit_is_said():
    image, box = jnp.zeros((4, 4, 1)), jnp.zeros((1, 4))
    with pytest.raises(ValueError, match="context: got 3; expected 0 or more, below half of 6"):
        warp_regions(image, box, 6, context=3)
    with pytest.raises(ValueError, match=r"expected \(H, W, C\)"):
        warp_regions(image[..., 0], box, 6, context=0)
    with pytest.raises(ValueError, match="corners x1"):
        warp_regions(image, jnp.zeros((1, 3)), 6, context=0)
