"""A function of one image over the images of a batch."""

from collections.abc import Callable
from typing import Any

import jax
from jax import lax


def each_image(function: Callable[..., Any], *arrays: Any) -> Any:
    """``function`` of every image: side by side, as `jax.vmap`, or on CPU one after the other.

    Suppression goes on until nothing is left to decide. Side by side all images go on until the
    last is done, which an accelerator does not feel; one after the other each takes its own time,
    and what it works on stays in cache.

    Args:
        function: of arrays of one image.
        *arrays: trees of arrays with an axis of images in front.

    Returns:
        What it returns, with an axis of images in front.

    >>> import jax.numpy as jnp
    >>> corners, numbers = jnp.ones((2, 3, 4)), jnp.array([1, 2])
    >>> each_image(lambda boxes, n: boxes[0] + n, corners, numbers)[1].tolist()
    [3.0, 3.0, 3.0, 3.0]
    """
    if jax.default_backend() == "cpu":
        return lax.map(lambda image: function(*image), arrays)
    return jax.vmap(function)(*arrays)
