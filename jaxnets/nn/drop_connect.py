"""Fully connected layer with DropConnect."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.ops.activations import identity
from jaxnets.ops.drop_connect import drop_connect, drop_connect_at_test
from jaxnets.ops.dropout import check_rate
from jaxnets.ops.initializers import he_normal


class DropConnect(nn.Module):
    """activation(x · (M ∘ kernel) + m ∘ bias): in training, each weight is 0 with ``rate``.

    In testing the mean of the activation over Gaussian pre-activations with the moments of the
    training pass (`jaxnets.ops.drop_connect_at_test`). That is why the activation is part of the
    layer: without it only the weights' mean would be seen.

    Attributes:
        features: output features.
        rate: probability of a weight (or bias) to be dropped, for each example anew.
        activation: of single numbers, like `jaxnets.ops.relu`.
        use_bias: whether there is a bias.
        scale_in_training: divide by 1 − rate, as inverted dropout does; the paper does not.
        test_pieces: of the Gaussian in the test pass.
        dtype: compute dtype (None: that of the input and parameters together).
        param_dtype: dtype of the parameters.
        kernel_init, bias_init: initializers.

    Parameters: ``kernel`` (C_in, features), ``bias`` (features,), as those of `Dense`. The key
    comes from the collection ``"dropout"`` of `apply`'s ``rngs`` (needed in training only).

    Source: Wan et al. 2013, §3.

    >>> import jax, jax.numpy as jnp
    >>> layer, x = DropConnect(5, activation=jax.nn.relu), jnp.ones((2, 3))
    >>> variables = layer.init(jax.random.key(0), x, train=False)
    >>> layer.apply(variables, x, train=True, rngs={"dropout": jax.random.key(1)}).shape
    (2, 5)
    """

    features: int
    rate: float = 0.5
    activation: Callable[[jax.Array], jax.Array] = identity
    use_bias: bool = True
    scale_in_training: bool = False
    test_pieces: int = 64
    dtype: Any = None
    param_dtype: Any = jnp.float32
    kernel_init: nn.initializers.Initializer = he_normal
    bias_init: nn.initializers.Initializer = nn.initializers.zeros_init()

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        check_rate(self.rate)
        shape = (x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, self.param_dtype)
        bias = None
        if self.use_bias:
            bias = self.param("bias", self.bias_init, (self.features,), self.param_dtype)
        x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
        scale = self.scale_in_training
        if not train:
            return drop_connect_at_test(
                x,
                kernel,
                bias,
                self.rate,
                activation=self.activation,
                samples=self.test_pieces,
                scale_in_training=scale,
            )
        key = self.make_rng("dropout") if self.rate > 0.0 else jax.random.key(0)
        return self.activation(
            drop_connect(key, x, kernel, bias, self.rate, scale_in_training=scale)
        )
