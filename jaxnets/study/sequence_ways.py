"""Three ways to process a sequence: a state from step to step, a window of steps, all at once.

Each as a layer, to be timed, and as the states of all positions after one operation, two, …, to see
how far apart the steps are (`jaxnets.inspect.path_length`). None looks ahead.
"""

from typing import Final

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.errors import suggest
from jaxnets.nn import Conv, MultiHeadAttention, Recurrent
from jaxnets.nn.recurrent import DirectionWeights
from jaxnets.ops.recurrent import recurrent_step

WAYS: Final = (
    "recurrent",
    "convolution",
    "dilated convolutions",
    "attention",
    "attention in blocks",
)
BLOCK = 64


class SequenceWay(nn.Module):
    """One layer that maps a sequence to one of the same shape, in one of `WAYS`.

    Attributes:
        way: "recurrent" (an LSTM); "convolution" over ``kernel`` steps; "dilated convolutions", as
            many as it takes to see the whole sequence, each with ``kernel`` times the dilation of
            the one before; "attention", with all weights in memory; "attention in blocks" of 64.
        kernel: steps of a convolution.
        heads: of attention.

    Call: x (B, N, d) → (B, N, d). Layers: layer, or layer0, layer1, …

    Source: van den Oord et al. 2016 (WaveNet), §2.1, for the dilated convolutions; Vaswani et al.
    2017, §4, for the comparison.

    >>> import jax, jax.numpy as jnp
    >>> layer, x = SequenceWay("dilated convolutions"), jnp.ones((2, 30, 4))
    >>> y, variables = layer.init_with_output(jax.random.key(0), x)
    >>> y.shape, len(variables["params"])  # windows of 5, 25 and 125 steps
    ((2, 30, 4), 3)
    """

    way: str
    kernel: int = 5
    heads: int = 4

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        if self.way not in WAYS:
            raise ValueError(f"way: got {self.way!r}; {suggest(self.way, WAYS)}")
        length, features = x.shape[-2:]
        if self.way == "recurrent":
            return Recurrent(features, name="layer")(x)[0]
        if self.way.startswith("attention"):
            block = BLOCK if self.way == "attention in blocks" else None
            layer = MultiHeadAttention(self.heads, name="layer")
            return layer(x, causal=True, block_size=block)[0]
        dilations = [1]
        while self.way == "dilated convolutions" and dilations[-1] * self.kernel < length:
            dilations.append(dilations[-1] * self.kernel)
        # One algorithm at all lengths: "auto" would change it with them.
        for number, dilation in enumerate(dilations):
            before = ((self.kernel - 1) * dilation, 0)
            name = f"layer{number}" if len(dilations) > 1 else "layer"
            layer = Conv(
                features, (self.kernel,), padding=(before,), dilation=dilation,
                algorithm="direct", name=name,
            )  # fmt: skip
            x = jnp.tanh(layer(x))
        return x


def states_of(
    key: jax.Array, x: jax.Array, way: str, operations: int, *, kernel: int = 5
) -> jax.Array:
    """The states of all positions after one operation, two, …, with random weights.

    An operation works on all positions at once: a position's state becomes a function of its input
    and of the state before it (an LSTM), of the states in a window, or of all states up to it.

    Args:
        key: random key of the weights.
        x: (N, d), one sequence.
        way: of `WAYS`.
        operations: K.
        kernel: steps of a convolution.

    Returns:
        (K, N, d).

    Raises:
        ValueError: an unknown way.

    >>> import jax, jax.numpy as jnp
    >>> from jaxnets.inspect import path_length
    >>> x = jax.random.normal(jax.random.key(0), (16, 2))
    >>> [path_length(lambda x: states_of(jax.random.key(1), x, way, 16), x) for way in WAYS[:4]]
    [16, 4, 2, 1]
    """
    if way not in WAYS:
        raise ValueError(f"way: got {way!r}; {suggest(way, WAYS)}")
    features = x.shape[-1]
    if way == "recurrent":
        weights, _ = DirectionWeights(features, "lstm").init_with_output(key, features)

        def step(carry, _):
            before = tuple(jnp.pad(state, ((1, 0), (0, 0)))[:-1] for state in carry)
            y, carry = recurrent_step("lstm", x, weights, before)
            return carry, y

        return lax.scan(step, (jnp.zeros_like(x),) * 2, length=operations)[1]
    states = []
    for number in range(operations):
        if way.startswith("attention"):
            layer: nn.Module = SequenceWay("attention", heads=1)
        else:
            # Beyond the length all windows reach into what is not there.
            dilation = min(kernel**number, len(x)) if way == "dilated convolutions" else 1
            before = ((kernel - 1) * dilation, 0)
            layer = Conv(
                features, (kernel,), padding=(before,), dilation=dilation, algorithm="direct"
            )
        y, _ = layer.init_with_output(jax.random.fold_in(key, number), x[None])
        x = jnp.tanh(y[0])
        states.append(x)
    return jnp.stack(states)
