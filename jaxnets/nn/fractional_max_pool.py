"""Fractional max pooling layer."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.ops.fractional_pooling import fractional_max_pool


class FractionalMaxPool(nn.Module):
    """Max pooling by a ratio between 1 and 2, in random regions in training.

    In testing the regions are as even as can be, with the phase in the middle, and need no key. The
    paper averages a network's predictions over several random passes instead:
    `jaxnets.noise.monte_carlo` of passes with ``train=True``.

    Attributes:
        ratio, output_size, sequence, overlapping, window, share: see
            `jaxnets.ops.fractional_max_pool`.

    The key comes from the collection ``"dropout"`` of `apply`'s ``rngs`` (needed in training only).

    Source: Graham 2014 (Fractional Max-Pooling).

    >>> import jax.numpy as jnp
    >>> FractionalMaxPool(2**0.5).apply({}, jnp.zeros((2, 36, 36, 3)), train=False).shape
    (2, 25, 25, 3)
    """

    ratio: float | None = None
    output_size: int | Sequence[int] | None = None
    sequence: str = "pseudo-random"
    overlapping: bool = True
    window: int | None = None
    share: str = "example"

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        options = {
            "ratio": self.ratio,
            "output_size": self.output_size,
            "overlapping": self.overlapping,
            "window": self.window,
        }
        if not train:
            middle = jnp.full((1, 1, max(x.ndim - 2, 0)), 0.5, jnp.float32)
            return fractional_max_pool(None, x, samples=middle, **options)
        return fractional_max_pool(
            self.make_rng("dropout"), x, sequence=self.sequence, share=self.share, **options
        )
