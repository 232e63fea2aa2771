"""One number for a whole sequence."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.nn import Dense, Recurrent


class SequenceRegressor(nn.Module):
    """y = w · h_T + b: a recurrent layer's last state, and a linear map.

    Attributes:
        features: units of the recurrent layer.
        cell: a name of `jaxnets.ops.RECURRENT_CELLS`.
        forget_bias: of an LSTM at the start.
        dtype: compute dtype.

    Call: x (B, T, d), perhaps mask (B, T) → (B,) float32. Layers: recurrent, head.

    >>> import jax, jax.numpy as jnp
    >>> model, x = SequenceRegressor(4), jnp.ones((2, 7, 3))
    >>> model.init_with_output(jax.random.key(0), x)[0].shape
    (2,)
    """

    features: int
    cell: str = "lstm"
    forget_bias: float = 1.0
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, mask: jax.Array | None = None) -> jax.Array:
        recurrent = Recurrent(
            self.features, self.cell, forget_bias=self.forget_bias, dtype=self.dtype,
            name="recurrent",
        )  # fmt: skip
        _, carry = recurrent(x, mask=mask)
        return Dense(1, dtype=self.dtype, name="head")(carry[0][0])[:, 0].astype(jnp.float32)
