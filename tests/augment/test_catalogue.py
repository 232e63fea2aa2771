"""What must hold for every augmentation of the catalogue."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from catalogue import PREPARES, TRANSFORMS

SHAPE = (8, 10)


@pytest.fixture(autouse=True)
def strict():
    """No dtype is promoted and no axis added silently."""
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        yield


def make_batch(count, dtype=np.uint8):
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (count, *SHAPE, 3), dtype=np.uint8)
    low = random.uniform(0, 4, (count, 2, 2)).astype(np.float32)
    points = random.uniform(0, 8, (count, 4, 2)).astype(np.float32)
    return {
        "image": jnp.asarray(image if dtype == np.uint8 else image / 255, dtype),
        "label": jnp.asarray(random.integers(0, 3, count), jnp.int32),
        "boxes": jnp.asarray(np.concatenate([low, low + 3], -1)),
        "box_mask": jnp.ones((count, 2), bool),
        "masks": jnp.asarray(random.integers(0, 4, (count, 2, *SHAPE)), jnp.int32),
        "keypoints": jnp.asarray(np.concatenate([points, 2 * np.ones((count, 4, 1))], -1), float),
    }


def kinds(batch):
    return {entry: (array.dtype, array.ndim) for entry, array in batch.items()}


@pytest.mark.parametrize("transform", TRANSFORMS, ids=lambda transform: transform.name)
def test_transforms_keep_the_contract(transform):
    """Entries, dtypes and ranks stay, boxes fit their mask and the image, one compilation."""
    traces = []

    @jax.jit
    def moved_of(key, batch):
        traces.append(1)
        return jax.vmap(transform.function)(jax.random.split(key, 3), batch)

    batch = make_batch(3, jnp.float32)
    moved = moved_of(jax.random.key(1), batch)
    again = moved_of(jax.random.key(1), batch)
    jax.tree.map(np.testing.assert_array_equal, moved, again)
    moved_of(jax.random.key(2), batch)
    assert len(traces) == 1
    assert kinds(moved) == kinds(batch)
    height, width = moved["image"].shape[1:3]
    assert moved["masks"].shape == (3, 2, height, width)
    assert jnp.isfinite(moved["image"]).all()
    x1, y1, x2, y2 = np.moveaxis(np.asarray(moved["boxes"]), -1, 0)
    assert (x1 >= 0).all() and (y1 >= 0).all() and (x2 <= width).all() and (y2 <= height).all()
    np.testing.assert_array_equal(moved["box_mask"], (x2 > x1) & (y2 > y1))
    np.testing.assert_array_equal(moved["label"], batch["label"])
    if not transform.moves:
        for entry in ("boxes", "masks", "keypoints", "box_mask"):
            np.testing.assert_array_equal(moved[entry], batch[entry])


@pytest.mark.parametrize("transform", TRANSFORMS, ids=lambda transform: transform.name)
@pytest.mark.parametrize("dtype", [jnp.uint8, jnp.bfloat16])
def test_transforms_keep_other_dtypes_and_take_an_image_alone(transform, dtype):
    example = jax.tree.map(lambda array: array[0], make_batch(1, dtype))
    moved = jax.eval_shape(transform.function, jax.random.key(0), example)
    assert kinds(moved) == kinds(example)
    alone = jax.eval_shape(transform.function, jax.random.key(0), example["image"])
    assert (alone.shape, alone.dtype) == (moved["image"].shape, dtype)


@pytest.mark.parametrize("name", PREPARES)
def test_prepare_functions_keep_the_contract(name):
    """Entries stay, labels are distributions after mixing, a second call does not compile."""
    traces = []

    @jax.jit
    def prepared_of(key, batch, ids):
        traces.append(1)
        return PREPARES[name](key, batch, ids)

    batch = {entry: make_batch(4)[entry] for entry in ("image", "label")}
    for seed in (0, 1):
        prepared = prepared_of(jax.random.key(seed), batch, jnp.arange(4))
    assert len(traces) == 1 and set(prepared) == set(batch)
    assert prepared["image"].shape == batch["image"].shape
    if prepared["label"].ndim == 2:
        np.testing.assert_allclose(prepared["label"].sum(1), 1, rtol=1e-6)
    else:
        np.testing.assert_array_equal(prepared["label"], batch["label"])
