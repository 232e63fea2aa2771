"""Convolutional GRU layer."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.ops.conv_gru import conv_gru


class ConvGRU(nn.Module):
    """A GRU at every place of a map whose products are convolutions (`jaxnets.ops.conv_gru`).

    Attributes:
        features: channels of the state.
        kernel_size: k, odd.
        reverse: run from the last frame to the first.
        use_bias: the paper has none.
        algorithm: of the convolutions, see `jaxnets.ops.conv`.
        dtype: compute dtype (None: that of the input and parameters together).
        param_dtype: dtype of the parameters.
        input_init, recurrent_init, bias_init: initializers.

    Parameters: ``input_kernel`` (k, k, C, 3 · features), ``recurrent_kernel``
    (k, k, features, 3 · features), gates in the order r, z, n, perhaps ``bias`` (3 · features,).

    Call: (N, T, H, W, C), perhaps h_0 (N, H, W, features) → states (N, T, H, W, features).

    >>> layer = ConvGRU(4)
    >>> x = jax.ShapeDtypeStruct((1, 3, 6, 6, 2), jnp.float32)
    >>> jax.eval_shape(lambda x: layer.init_with_output(jax.random.key(0), x)[0], x).shape
    (1, 3, 6, 6, 4)
    """

    features: int
    kernel_size: int = 3
    reverse: bool = False
    use_bias: bool = False
    algorithm: str = "auto"
    dtype: Any = None
    param_dtype: Any = jnp.float32
    input_init: nn.initializers.Initializer = nn.initializers.glorot_uniform()
    recurrent_init: nn.initializers.Initializer = nn.initializers.orthogonal()
    bias_init: nn.initializers.Initializer = nn.initializers.zeros_init()

    @nn.compact
    def __call__(self, x: jax.Array, state: jax.Array | None = None) -> jax.Array:
        k, gates = self.kernel_size, 3 * self.features
        shapes = {"input": (k, k, x.shape[-1], gates), "recurrent": (k, k, self.features, gates)}
        inits = {"input": self.input_init, "recurrent": self.recurrent_init}
        kernels = [
            self.param(f"{name}_kernel", inits[name], shape, self.param_dtype)
            for name, shape in shapes.items()
        ]
        bias = None
        if self.use_bias:
            bias = self.param("bias", self.bias_init, (gates,), self.param_dtype)
        x, inputs, recurrent, bias = nn.dtypes.promote_dtype(x, *kernels, bias, dtype=self.dtype)
        x = x[:, ::-1] if self.reverse else x
        states = conv_gru(x, inputs, recurrent, bias, state, algorithm=self.algorithm)
        return states[:, ::-1] if self.reverse else states
