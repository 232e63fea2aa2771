"""How a signal propagates through initial weights: statistics of activations, layer by layer."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.ops.precision import at_least_float32

Statistics = dict[str, jax.Array]


def activation_statistics(x: jax.Array, *, saturation: float = 0.99) -> Statistics:
    """Statistics that show whether a layer's activations vanish, saturate or die.

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

    Args:
        activations: name to activations of any shape.
        **options: of `activation_statistics`.

    Returns:
        name to statistics.

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
    """Statistics of a batch after each square layer of a deep plain network.

    h_l = activation(h_{l−1} · W_l) with fresh W_l (width, width), no bias: the experiment with
    which CS231n shows that signals vanish for weights of 0.01·randn, saturate for randn, and keep
    their size for 1/√d with tanh and √(2/d) with ReLU.

    Args:
        key: random key.
        x: (N, width).
        depth: number of layers.
        initializer: (key, shape, dtype) → kernel.
        activation: elementwise function.
        saturation: see `activation_statistics`.

    Returns:
        the statistics' arrays (depth,), entry l − 1 for h_l.

    Raises:
        ValueError: ``x`` is no matrix, or a depth below 1.

    Source: He et al. 2015 (Delving Deep into Rectifiers), §2.2; CS231n, weight initialization.

    >>> import jax
    >>> from jaxnets.ops import he_normal, relu
    >>> x = jax.random.normal(jax.random.key(0), (64, 256))
    >>> after = propagate(jax.random.key(1), x, depth=3, initializer=he_normal, activation=relu)
    >>> after["second_moment"].shape
    (3,)
    """
    if x.ndim != 2:
        raise ValueError(f"x: got shape {x.shape}; expected (N, width)")
    if depth < 1:
        raise ValueError(f"depth: got {depth}; expected at least 1 layer")
    width = x.shape[-1]

    def layer(h, layer_key):
        kernel = initializer(layer_key, (width, width), h.dtype)
        h = activation(lax.dot(h, kernel))
        return h, activation_statistics(h, saturation=saturation)

    _, statistics = lax.scan(layer, x, jax.random.split(key, depth))
    return statistics
