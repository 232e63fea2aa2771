"""Flips and crops: what they may do to an image, their laws, and who decides the randomness."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from jaxnets.augment import augment_batch, crop, flip, random_crop, random_flip

augment = jax.jit(augment_batch, static_argnames=("padding", "flips"))


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(1, 256, (16, 8, 10, 3), dtype=np.uint8)


def reference_crop(image, top, left, padding):
    """Pixel by pixel, without padding anything."""
    height, width, _ = image.shape
    out = np.zeros_like(image)
    for row in range(height):
        for column in range(width):
            r, c = row + top - padding, column + left - padding
            if 0 <= r < height and 0 <= c < width:
                out[row, column] = image[r, c]
    return out


def test_flip_twice_is_nothing(images):
    image = jnp.asarray(images[0])
    np.testing.assert_array_equal(flip(image, True), images[0][:, ::-1])
    np.testing.assert_array_equal(flip(flip(image, True), True), images[0])
    np.testing.assert_array_equal(flip(image, False), images[0])


@pytest.mark.parametrize("padding", [1, 4])
def test_every_crop_equals_the_loop(padding, images):
    cropped = jax.jit(crop, static_argnums=3)
    for top in range(2 * padding + 1):
        for left in range(0, 2 * padding + 1, 3):
            np.testing.assert_array_equal(
                cropped(images[0], top, left, padding),
                reference_crop(images[0], top, left, padding),
            )


def test_random_flip_is_fair(images):
    keys = jax.random.split(jax.random.key(0), 4000)
    flipped = jax.vmap(random_flip, (0, None))(keys, images[0])
    share = np.mean(np.all(np.asarray(flipped) == images[0][:, ::-1], axis=(1, 2, 3)))
    # Binomial with n = 4000: standard deviation 0.008; four of them.
    assert abs(share - 0.5) < 0.032


def test_random_crop_is_uniform():
    """One lit pixel in the middle tells the offsets of a crop: 9×9 of them, equally likely."""
    image = np.zeros((11, 11, 1), np.uint8)
    image[5, 5] = 1
    keys = jax.random.split(jax.random.key(1), 8100)
    cropped = np.asarray(jax.vmap(random_crop, (0, None))(keys, image))[..., 0]
    assert np.all(cropped.sum((1, 2)) == 1)
    counts = cropped.sum(0)
    assert counts[0].sum() == counts[:, 0].sum() == counts[-1].sum() == counts[:, -1].sum() == 0
    chi2 = ((counts[1:-1, 1:-1] - 100.0) ** 2 / 100).sum()
    # 80 degrees of freedom: 99.99 % of true draws lie below 135.
    assert chi2 < 135


def test_batch_shows_each_image_its_own_crop_of_itself(images):
    augmented = np.asarray(augment(jax.random.key(2), images, padding=2))
    assert augmented.dtype == np.uint8 and augmented.shape == images.shape
    seen = set()
    for image, out in zip(images, augmented, strict=True):
        matches = [
            (top, left, flipped)
            for top in range(5)
            for left in range(5)
            for flipped in (False, True)
            if np.array_equal(out, reference_crop(image, top, left, 2)[:, :: -1 if flipped else 1])
        ]
        assert len(matches) == 1
        seen.add(matches[0])
    assert len(seen) > 8  # different ones for different images


def test_switches(images):
    key = jax.random.key(3)
    np.testing.assert_array_equal(augment(key, images, padding=0, flips=False), images)
    flips_only = np.asarray(augment(key, images, padding=0))
    assert np.array_equal(np.sort(flips_only, axis=2), np.sort(images, axis=2))
    assert not np.array_equal(flips_only, images)


def test_an_example_keeps_its_randomness_wherever_it_stands(images):
    """Its key is fold_in(step key, row in the global batch), whoever holds that row."""
    key = jax.random.key(4)
    whole = augment(key, images)
    for devices in (2, 4, 8):
        share = len(images) // devices
        parts = [
            augment(key, images[rows], rows)
            for rows in np.arange(len(images)).reshape(devices, share)
        ]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
    crop_key, flip_key = jax.random.split(jax.random.fold_in(key, 5))
    alone = random_flip(flip_key, random_crop(crop_key, images[5]))
    np.testing.assert_array_equal(alone, whole[5])
    assert not np.array_equal(augment(jax.random.key(5), images), whole)


def test_pmap_and_sharded_jit_equal_one_device(images):
    key = jax.random.key(6)
    expected = np.asarray(augment(key, images))

    def on_device(key, images):
        count = images.shape[0]
        return augment_batch(key, images, jax.lax.axis_index("batch") * count + jnp.arange(count))

    mapped = jax.pmap(on_device, axis_name="batch", in_axes=(None, 0))
    shared = images.reshape(8, 2, *images.shape[1:])
    np.testing.assert_array_equal(mapped(key, shared).reshape(images.shape), expected)

    mesh = jax.make_mesh((8,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
    sharding = NamedSharding(mesh, PartitionSpec("batch"))
    sharded = jax.jit(augment_batch, out_shardings=sharding)
    placed = jax.device_put(images, sharding)
    np.testing.assert_array_equal(sharded(key, placed), expected)
    # Every device works on its own images: nothing is sent between them.
    compiled = sharded.lower(key, placed).compile().as_text()
    assert "all-gather" not in compiled and "all-to-all" not in compiled


@pytest.mark.parametrize("dtype", [jnp.uint8, jnp.float32, jnp.bfloat16])
def test_any_dtype_and_no_second_compilation(dtype, images):
    traces = []

    @jax.jit
    def counted(key, x):
        traces.append(1)
        return augment_batch(key, x)

    for seed in range(2):
        out = counted(jax.random.key(seed), jnp.asarray(images, dtype))
    assert out.dtype == dtype and len(traces) == 1
