"""A small network of a user's own, trained to tell textures apart, and images with one planted."""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

SIDE, OBJECT = 32, 14


class Planted(NamedTuple):
    """A trained network and held-out images, each with one object."""

    model: nn.Module
    variables: dict
    images: np.ndarray
    labels: np.ndarray
    boxes: np.ndarray


class Textures(nn.Module):
    """Written as anyone would: nothing of jaxnets in it."""

    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(8, (3, 3), name="first")(x))
        x = nn.max_pool(x, (2, 2), strides=(2, 2))
        x = jnp.maximum(nn.Conv(16, (3, 3), name="second")(x), 0)
        x = jnp.where((y := nn.Conv(16, (3, 3), name="third")(x)) > 0, y, 0)
        return nn.Dense(3, name="head")(x.mean((1, 2)))


def plant(seed, count):
    """Noise, and in it a square with horizontal, vertical or diagonal stripes."""
    random = np.random.default_rng(seed)
    images = 0.3 * random.standard_normal((count, SIDE, SIDE, 1))
    labels = np.arange(count) % 3
    y, x = np.mgrid[:OBJECT, :OBJECT]
    stripes = [np.sign(np.sin(np.pi * (t + 0.5) / 2)) for t in (y, x, x + y)]
    corners = random.integers(0, SIDE - OBJECT + 1, (count, 2))
    for image, label, (top, left) in zip(images, labels, corners, strict=True):
        image[top : top + OBJECT, left : left + OBJECT, 0] += stripes[label]
    boxes = np.concatenate([corners[:, ::-1], corners[:, ::-1] + OBJECT], axis=1)
    return images.astype(np.float32), labels, boxes.astype(float)


@pytest.fixture(scope="session")
def planted():
    model = Textures()
    images, labels, _ = plant(0, 384)
    optimizer = optax.adam(1e-2)

    @jax.jit
    def step(params, state, x, y):
        def loss(params):
            logits = model.apply({"params": params}, x)
            return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

        updates, state = optimizer.update(jax.grad(loss)(params), state)
        return optax.apply_updates(params, updates), state

    params = jax.jit(model.init)(jax.random.key(0), images[:1])["params"]
    state = optimizer.init(params)
    for i in range(70):
        rows = np.arange(48 * i, 48 * (i + 1)) * 5 % len(images)
        params, state = step(params, state, images[rows], labels[rows])
    return Planted(model, {"params": params}, *plant(1, 60))
