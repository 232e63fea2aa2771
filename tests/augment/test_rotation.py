"""Rotation against SciPy, NumPy and quarter turns."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from jaxnets.augment import random_rotate, rotate_by


def test_the_image_is_scipys():
    image = np.random.default_rng(0).random((17, 23, 2)).astype(np.float32)
    got = rotate_by(image, 25.0, fill=jnp.array([0.5, 0.0]))
    for channel, fill in enumerate((0.5, 0.0)):
        expected = ndimage.rotate(
            image[..., channel].astype(np.float64), 25.0, reshape=False, order=1, cval=fill,
            mode="grid-constant",
        )  # fmt: skip
        np.testing.assert_allclose(got[..., channel], expected, atol=1e-5)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_quarter_turns_move_everything_as_numpy_does(turns):
    rng = np.random.default_rng(turns)
    image = rng.integers(0, 256, (9, 9, 3), np.uint8)
    masks = rng.integers(0, 3, (2, 9, 9), np.uint8)
    # A box and a key point around single pixels, which the turned image must show there.
    example = {
        "image": image,
        "masks": masks,
        "boxes": np.array([[2.0, 1.0, 5.0, 3.0], [0, 0, 1, 1]]),
        "box_mask": np.array([1, 0]),
        "keypoints": np.array([[[6.5, 2.5, 2.0], [0.5, 8.5, 1.0]]]),
    }
    got = rotate_by(example, 90.0 * turns)
    np.testing.assert_array_equal(got["image"], np.rot90(image, turns))
    np.testing.assert_array_equal(got["masks"], np.rot90(masks, turns, (1, 2)))
    inside = np.zeros((9, 9), bool)
    inside[1:3, 2:5] = True
    rows, columns = np.nonzero(np.rot90(inside, turns))
    expected = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    np.testing.assert_allclose(got["boxes"][0], expected, atol=1e-5)
    assert got["box_mask"].tolist() == [1, 0] and got["keypoints"][0, :, 2].tolist() == [2, 1]
    for (x, y, _), (u, v, _) in zip(
        np.asarray(got["keypoints"][0]), example["keypoints"][0], strict=True
    ):
        np.testing.assert_array_equal(got["image"][int(y), int(x)], image[int(v), int(u)])


def test_a_key_point_stays_on_what_it_marks():
    """A bright spot and its key point are turned alike, in an image that is no square."""
    y, x = np.mgrid[:40, :60] + 0.5
    spot = np.exp(-((x - 38.0) ** 2 + (y - 14.0) ** 2) / 8)[..., None].astype(np.float32)
    for angle in (-70.0, -15.0, 33.0):
        got = rotate_by({"image": spot, "keypoints": jnp.array([[38.0, 14.0, 1.0]])}, angle)
        weight = np.asarray(got["image"][..., 0], np.float64)
        middle = [(weight * x).sum() / weight.sum(), (weight * y).sum() / weight.sum()]
        np.testing.assert_allclose(got["keypoints"][0, :2], middle, atol=0.02)


def test_what_leaves_the_canvas_is_switched_off():
    example = {
        "image": jnp.zeros((20, 40, 1)),
        "boxes": jnp.array([[0.0, 0.0, 3.0, 3.0], [18.0, 8.0, 22.0, 12.0]]),
        "keypoints": jnp.array([[1.0, 1.0, 1.0], [20.0, 10.0, 1.0]]),
    }
    got = rotate_by(example, 90.0)
    assert got["box_mask"].tolist() == [0, 1] and not got["boxes"][0].any()
    assert got["keypoints"][:, 2].tolist() == [0, 1]
    with pytest.raises(ValueError, match="degrees: got 181"):
        random_rotate(jax.random.key(0), example, 181)


def test_angles_fill_their_range():
    points = jnp.array([[30.0, 20.0]])
    example = {"image": jnp.zeros((40, 40, 1)), "keypoints": points}
    keys = jax.random.split(jax.random.key(0), 500)
    turned = jax.vmap(lambda key: random_rotate(key, example, 20.0)["keypoints"])(keys)[:, 0] - 20
    angles = np.degrees(np.arctan2(-turned[:, 1], turned[:, 0]))
    assert -20 <= angles.min() < -18.5 and 18.5 < angles.max() <= 20.01
    np.testing.assert_allclose(np.linalg.norm(turned, axis=1), 10, rtol=1e-5)
