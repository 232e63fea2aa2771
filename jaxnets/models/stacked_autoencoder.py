"""A stacked denoising autoencoder, and one unit on its code that says whether this is the thing.

Source: Vincent et al., "Stacked Denoising Autoencoders", 2010; Wang, Yeung, "Learning a Deep
Compact Image Representation for Visual Tracking", 2013, section 3.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.nn import Dense


class StackedAutoencoder(nn.Module):
    """Sigmoid layers that narrow, their mirror image, and a score.

    Attributes:
        features: D, numbers of an input, from 0 to 1.
        hidden: units of the layers; the paper has 2560, 1024, 512, 256.
        dtype: compute dtype.

    Call: (…, D) → (…, D), from 0 to 1, what the code of the last layer brings back. ``encode`` and
    ``decode`` go through the first ``depth`` layers, ``score`` gives the logit (…,); ``everything``
    makes all variables.

    >>> network = StackedAutoencoder(12, (6, 3))
    >>> x = jnp.full((2, 12), 0.5)
    >>> variables = network.init(jax.random.key(0), x, method="everything")
    >>> network.apply(variables, x, method="encode").shape, sorted(variables["params"])[:3]
    ((2, 3), ['decode0', 'decode1', 'encode0'])
    """

    features: int
    hidden: tuple[int, ...] = (512, 256, 128)
    dtype: Any = None

    def setup(self):
        widths = (self.features, *self.hidden)
        init = nn.initializers.glorot_uniform()

        def layer(width, name):
            return Dense(width, kernel_init=init, dtype=self.dtype, name=name)

        self.encoders = [layer(width, f"encode{i}") for i, width in enumerate(self.hidden)]
        self.decoders = [layer(width, f"decode{i}") for i, width in enumerate(widths[:-1])]
        self.unit = layer(1, "score")

    def encode(self, x: jax.Array, depth: int | None = None) -> jax.Array:
        """The code of the first ``depth`` layers, of all by default."""
        for layer in self.encoders[:depth]:
            x = nn.sigmoid(layer(x))
        return x

    def decode(self, x: jax.Array, depth: int | None = None) -> jax.Array:
        """What a code of ``depth`` layers brings back."""
        for layer in reversed(self.decoders[:depth]):
            x = nn.sigmoid(layer(x))
        return x

    def score(self, x: jax.Array) -> jax.Array:
        """The logit of whether this is the thing."""
        return self.unit(self.encode(x))[..., 0].astype(jnp.float32)

    def everything(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """What comes back, and the score."""
        return self(x), self.score(x)

    def __call__(self, x: jax.Array, *, train: bool = False) -> jax.Array:
        return self.decode(self.encode(x)).astype(jnp.float32)
