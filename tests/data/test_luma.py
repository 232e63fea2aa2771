"""Luminance and MATLAB's resizing, against Pillow and by hand."""

import numpy as np
import pytest
from PIL import Image

from jaxnets.data import bicubic, luminance, to_gray_levels


def test_black_white_and_the_primaries():
    colors = np.uint8([[[0] * 3, [255] * 3, [255, 0, 0], [0, 255, 0], [0, 0, 255]]])
    # ITU-R BT.601: 16 + 65.481, 128.553 and 24.966.
    assert (luminance(colors)[0] * 255).tolist() == pytest.approx([16, 235, 81, 145, 41])
    gray = np.arange(6, dtype=np.uint8).reshape(2, 3)
    np.testing.assert_allclose(luminance(gray) * 255, gray)


@pytest.mark.parametrize("size", [(10, 8), (30, 24), (90, 72), (17, 41)])
def test_inside_the_image_it_is_pillow_s(size):
    """At the border Pillow leaves out what lies outside, and MATLAB mirrors."""
    image = np.random.default_rng(0).random((30, 24))
    pillow = Image.fromarray(np.float32(image)).resize(size[::-1], Image.Resampling.BICUBIC)
    ours = bicubic(image, size)
    border = tuple(2 + 2 * max(1, n // m) for n, m in zip(size, image.shape, strict=True))
    inside = tuple(slice(b, -b) for b in border)
    np.testing.assert_allclose(ours[inside], np.asarray(pillow)[inside], atol=2e-5)


def test_a_constant_stays_and_mirror_images_stay_mirror_images():
    np.testing.assert_allclose(bicubic(np.full((5, 7), 0.3), (11, 2)), 0.3)
    image = np.random.default_rng(1).random((6, 9))
    np.testing.assert_allclose(bicubic(image[:, ::-1], (4, 5)), bicubic(image, (4, 5))[:, ::-1])
    with pytest.raises(ValueError, match=r"expected \(H, W\)"):
        bicubic(np.zeros((2, 2, 3)), (4, 4))


def test_levels():
    assert (to_gray_levels([0.5, -3, 9]) * 255).tolist() == [128, 0, 255]
