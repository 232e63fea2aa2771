"""Scale jitter: pixels against Pillow, boxes with them, and which objects are left."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxnets.augment import random_scale, scale_at


def test_an_enlarged_part_is_pillow_s():
    image = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    got = scale_at(image, (2, 3, 6, 8))
    part = Image.fromarray(image).resize((16, 12), Image.Resampling.BILINEAR, (3, 2, 11, 8))
    # Pillow looks at the part alone: its border is another.
    assert np.abs(np.asarray(got, int) - np.asarray(part, int))[1:-1, 1:-1].max() <= 1


def test_a_shrunk_image_lies_on_the_fill():
    image = np.full((8, 8, 3), 200, np.uint8)
    example = {
        "image": image,
        "boxes": np.float32([[0, 0, 8, 8], [4, 4, 8, 8]]),
        "masks": np.ones((2, 8, 8), np.uint8),
        "keypoints": np.float32([[[8, 8, 2]], [[0, 0, 2]]]),
    }
    got = scale_at(example, (-8, -4, 16, 16), fill=jnp.array([1, 2, 3]))
    assert got["image"][:4].reshape(-1, 3).max(0).tolist() == [1, 2, 3]
    assert (got["image"][4:, 2:6] == 200).all()
    assert got["boxes"].tolist() == [[2, 4, 6, 8], [4, 6, 6, 8]]
    assert got["masks"][0].sum() == 16 and got["keypoints"][:, 0, :2].tolist() == [[6, 8], [2, 4]]


def test_what_can_hardly_be_seen_is_left_out():
    boxes = np.float32([[0, 0, 4, 4], [3, 0, 7, 4], [0, 0, 0, 0]])
    example = {"image": np.zeros((8, 8, 3), np.uint8), "boxes": boxes, "box_mask": np.ones(3)}
    # Of the first a quarter remains, of the second all; the third is padding without area.
    got = scale_at(example, (0, 3, 4, 4), min_visible=0.3)
    assert got["box_mask"].tolist() == [0, 1, 0]
    assert scale_at(example, (0, 3, 4, 4), min_visible=0.2)["box_mask"].tolist() == [1, 1, 0]


def test_random_factors_are_in_their_range():
    example = {"image": jnp.zeros((10, 20, 3)), "boxes": jnp.array([[8.0, 4, 10, 6]])}
    keys = jax.random.split(jax.random.key(0), 200)
    boxes = jax.vmap(lambda key: random_scale(key, example, (0.5, 0.9)))(keys)["boxes"][:, 0]
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    np.testing.assert_allclose(width, height, rtol=1e-4)
    assert 0.99 < width.min() < 1.1 and 1.7 < width.max() < 1.81
    # Shrunk, the whole image is there: no object is lost, and the places differ.
    assert (boxes >= 0).all() and np.std(boxes[:, 0]) > 1


def test_wrong_ranges_are_refused():
    image, key = jnp.zeros((4, 4, 3)), jax.random.key(0)
    with pytest.raises(ValueError, match="scales"):
        random_scale(key, image, (2.0, 0.5))
    with pytest.raises(ValueError, match="stretch"):
        random_scale(key, image, stretch=0.5)
