"""Statistics of arrays too large for memory: read in chunks, summed in float64."""

from collections.abc import Iterator
from typing import Final

import jax
import jax.numpy as jnp
import numpy as np

# Numbers in one chunk: 64 MB as float64.
CHUNK_NUMBERS: Final = 2**23


def as_float(x: jax.Array) -> jax.Array:
    """As a JAX array of at least float32; wider floats stay as they are.

    Args:
        x: any real dtype.

    Returns:
        The same shape.

    >>> as_float(np.zeros(2, np.uint8)).dtype.name
    'float32'
    """
    x = jnp.asarray(x)
    wide = jnp.issubdtype(x.dtype, jnp.floating) and jnp.finfo(x.dtype).bits >= 32
    return x if wide else x.astype(jnp.float32)


def chunks(images: np.ndarray) -> Iterator[np.ndarray]:
    """The examples in order as float64 (n, D), few enough at a time to be small in memory.

    Args:
        images: (N, …), possibly memory-mapped.

    Returns:
        An iterator over float64 (n, D), D the number of values of one example.

    Raises:
        ValueError: no examples.

    >>> [chunk.shape for chunk in chunks(np.zeros((5, 2, 3), np.uint8))]
    [(5, 6)]
    """
    if len(images) == 0:
        raise ValueError("train_images is empty: there is nothing to fit to")
    numbers = int(np.prod(images.shape[1:]))
    rows = max(1, CHUNK_NUMBERS // max(1, numbers))
    for start in range(0, len(images), rows):
        chunk = np.asarray(images[start : start + rows])
        yield chunk.reshape(len(chunk), numbers).astype(np.float64)


def mean_image(images: np.ndarray) -> np.ndarray:
    """The mean over examples, float64, of an example's shape.

    Args:
        images: (N, …).

    Returns:
        float64 (…).

    >>> mean_image(np.array([[1, 2], [3, 8]])).tolist()
    [2.0, 5.0]
    """
    total = sum(chunk.sum(0) for chunk in chunks(images))
    return (total / len(images)).reshape(images.shape[1:])


def variance_image(images: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """The mean squared distance from ``mean`` over examples, float64, of an example's shape.

    Args:
        images: (N, …).
        mean: (…), as `mean_image` returns it.

    Returns:
        float64 (…).

    >>> variance_image(np.array([[1, 2], [3, 8]]), np.array([2.0, 5.0])).tolist()
    [1.0, 9.0]
    """
    total = np.zeros(mean.size)
    for chunk in chunks(images):
        chunk -= mean.ravel()
        total += np.einsum("nd,nd->d", chunk, chunk)
    return (total / len(images)).reshape(mean.shape)
