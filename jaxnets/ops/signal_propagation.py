"""What initial weights make of a signal: statistics of activations, layer by layer."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.ops.precision import at_least_float32

Statistics = dict[str, jax.Array]


def activation_statistics(x: jax.Array, *, saturation: float = 0.99) -> Statistics:
    """Numbers that tell whether a layer's activations are alive.

    Args:
        x: activations, any shape.
        saturation: |x| from which a tanh or sigmoid counts as saturated.

    Returns:
        scalars, in float32 or wider: ``mean``, ``std``, ``second_moment`` (mean of x²),
        ``zero_share`` (exactly 0: cut off by a ReLU), ``saturated_share`` (|x| > saturation).

    >>> import jax.numpy as jnp
    >>> s = activation_statistics(jnp.array([0.0, 0.0, 1.0, 1.0]))
    >>> {name: float(value) for name, value in s.items()}
    {'mean': 0.5, 'std': 0.5, 'second_moment': 0.5, 'zero_share': 0.5, 'saturated_share': 0.5}
    """
    x = at_least_float32(x)
    return {
        "mean": x.mean(),
        "std": x.std(),
        "second_moment": (x * x).mean(),
        "zero_share": (x == 0).mean(dtype=x.dtype),
        "saturated_share": (jnp.abs(x) > saturation).mean(dtype=x.dtype),
    }


def statistics_by_layer(activations: Mapping[str, jax.Array], **options) -> dict[str, Statistics]:
    """`activation_statistics` of every entry, such as the endpoints of a network.

    >>> import jax.numpy as jnp
    >>> float(statistics_by_layer({"conv1": jnp.ones((2, 3))})["conv1"]["mean"])
    1.0
    """
    return {name: activation_statistics(x, **options) for name, x in activations.items()}


def propagate(
    key: jax.Array,
    x: jax.Array,
    *,
    depth: int,
    initializer: Callable,
    activation: Callable[[jax.Array], jax.Array],
    saturation: float = 0.99,
) -> Statistics:
    """Send a batch through a deep plain network of square layers, and watch it.

    h_l = activation(h_{l−1} · W_l) with fresh W_l (width, width), no bias: the experiment with
    which CS231n shows why weights of 0.01·randn fade out, randn saturates, and 1/√d holds for
    tanh, √(2/d) for ReLU.

    Args:
        key: random key.
        x: (N, width).
        depth: number of layers.
        initializer: (key, shape, dtype) → kernel.
        activation: elementwise function.
        saturation: see `activation_statistics`.

    Returns:
        the statistics' arrays (depth,), entry l − 1 for h_l.

    >>> import jax
    >>> from jaxnets.ops import he_normal, relu
    >>> x = jax.random.normal(jax.random.key(0), (64, 256))
    >>> after = propagate(jax.random.key(1), x, depth=3, initializer=he_normal, activation=relu)
    >>> after["second_moment"].shape
    (3,)
    """
    width = x.shape[-1]

    def layer(h, layer_key):
        kernel = initializer(layer_key, (width, width), h.dtype)
        h = activation(lax.dot(h, kernel))
        return h, activation_statistics(h, saturation=saturation)

    _, statistics = lax.scan(layer, x, jax.random.split(key, depth))
    return statistics
