"""Recurrent layers."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.ops.dropout import dropout
from jaxnets.ops.recurrent import RecurrentWeights, recurrent_stack
from jaxnets.ops.recurrent_checks import find_cell


class Recurrent(nn.Module):
    """Layers of a recurrent cell over a padded batch of sequences (`jaxnets.ops.recurrent`).

    Attributes:
        features: units of each layer (and direction).
        cell: "rnn", "rnn_relu", "rnn_linear", "lstm", "gru" (reset after the product, as in cuDNN
            and PyTorch), "gru_reset_before" (as in Cho et al. 2014, version 3), "mgu".
        layers: on top of each other.
        bidirectional: both directions in each layer, their outputs side by side.
        dropout: rate between the layers.
        forget_bias: added to the bias of an LSTM's forget gates at the start, so that a fresh
            network remembers.
        recurrent_bias: of a "gru" a bias inside the reset gate, which PyTorch, cuDNN and Keras
            have; of other cells a second bias that adds to the first, as PyTorch counts it.
        dtype: compute dtype (None: that of the input and parameters together).
        param_dtype: dtype of the parameters.
        input_init, recurrent_init, bias_init: initializers.

    Parameters: for each layer and direction, such as ``layer0_forward``: ``input_kernel``
    (d, gates · features), ``recurrent_kernel`` (features, gates · features), ``bias``
    (gates · features,), perhaps ``recurrent_bias``. `jaxnets.pretrained` has those of
    PyTorch, Keras and TensorFlow in this order.

    A call with (x (B, T, d), carry, mask (B, T)) returns (outputs (B, T, features or twice that),
    carry); one step of decoding is a call with T = 1 and the carry of the step before.

    Source: see `jaxnets.ops.recurrent`; forget bias: Jozefowicz et al. 2015, §3.

    >>> import jax, jax.numpy as jnp
    >>> layer, x = Recurrent(5, cell="gru", bidirectional=True), jnp.ones((2, 7, 3))
    >>> (y, _), variables = layer.init_with_output(jax.random.key(0), x)
    >>> y.shape, sorted(variables["params"])
    ((2, 7, 10), ['layer0_backward', 'layer0_forward'])
    """

    features: int
    cell: str = "lstm"
    layers: int = 1
    bidirectional: bool = False
    dropout: float = 0.0
    forget_bias: float = 1.0
    recurrent_bias: bool = False
    dtype: Any = None
    param_dtype: Any = jnp.float32
    input_init: nn.initializers.Initializer = nn.initializers.glorot_uniform()
    recurrent_init: nn.initializers.Initializer = nn.initializers.orthogonal()
    bias_init: nn.initializers.Initializer = nn.initializers.zeros_init()

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        carry: Sequence | None = None,
        *,
        mask: jax.Array | None = None,
        train: bool = False,
    ) -> tuple[jax.Array, tuple]:
        directions = ("forward", "backward") if self.bidirectional else ("forward",)
        stack: list[Any] = []
        for number in range(self.layers):
            size = self.features * len(directions) if number else x.shape[-1]
            pair = [
                DirectionWeights(
                    self.features,
                    self.cell,
                    self.forget_bias,
                    self.recurrent_bias,
                    self.param_dtype,
                    self.input_init,
                    self.recurrent_init,
                    self.bias_init,
                    name=f"layer{number}_{direction}",
                )(size)
                for direction in directions
            ]
            stack.append(tuple(pair) if self.bidirectional else pair[0])
        dtype = self.dtype or jnp.result_type(x.dtype, self.param_dtype)
        stack = jax.tree.map(lambda leaf: leaf.astype(dtype), stack)

        def between(number: int, x: jax.Array) -> jax.Array:
            return dropout(self.make_rng("dropout"), x, self.dropout)

        drops = train and self.dropout > 0
        return recurrent_stack(
            self.cell,
            x.astype(dtype),
            stack,
            carry,
            mask=mask,
            between=between if drops else None,
        )


class DirectionWeights(nn.Module):
    """The parameters of one layer in one direction; a call with the inputs' size returns them.

    Attributes:
        features: units.
        cell, forget_bias, recurrent_bias, param_dtype, input_init, recurrent_init, bias_init: as
            in `Recurrent`.

    >>> import jax
    >>> layer = DirectionWeights(2, "lstm")
    >>> weights, _ = layer.init_with_output(jax.random.key(0), 3)
    >>> weights.bias.tolist()
    [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    """

    features: int
    cell: str
    forget_bias: float = 1.0
    recurrent_bias: bool = False
    param_dtype: Any = jnp.float32
    input_init: nn.initializers.Initializer = nn.initializers.glorot_uniform()
    recurrent_init: nn.initializers.Initializer = nn.initializers.orthogonal()
    bias_init: nn.initializers.Initializer = nn.initializers.zeros_init()

    @nn.compact
    def __call__(self, inputs: int) -> RecurrentWeights:
        gates, h = find_cell(self.cell).gates, self.features

        def by_gate(init):
            """Each gate is drawn as the matrix that it is."""

            def draw(key, shape, dtype):
                keys = jax.random.split(key, gates)
                parts = [init(k, (shape[0], h), dtype) for k in keys]
                return jnp.concatenate(parts, -1)

            return draw

        def bias(key, shape, dtype):
            value = self.bias_init(key, shape, dtype)
            return value.at[h : 2 * h].add(self.forget_bias) if self.cell == "lstm" else value

        second = None
        inside = find_cell(self.cell).recurrent_bias
        if self.recurrent_bias:
            shape = (h,) if inside else (gates * h,)
            second = self.param("recurrent_bias", self.bias_init, shape, self.param_dtype)
        weights = RecurrentWeights(
            self.param(
                "input_kernel", by_gate(self.input_init), (inputs, gates * h), self.param_dtype
            ),
            self.param(
                "recurrent_kernel", by_gate(self.recurrent_init), (h, gates * h), self.param_dtype
            ),
            self.param("bias", bias, (gates * h,), self.param_dtype),
            second,
        )
        if second is None or inside:
            return weights
        return weights._replace(bias=weights.bias + second, recurrent_bias=None)
