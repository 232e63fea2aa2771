"""Activation functions, and finding one by its name.

ReLU is the default, with care for the learning rate; leaky ReLU, maxout and ELU cannot die; tanh
and the sigmoid saturate. `jaxnets.ops.activation_analysis` measures what speaks against the latter.
"""

from collections.abc import Callable
from functools import partial, reduce

import jax
import jax.numpy as jnp

from jaxnets.errors import UnknownNameError

Activation = Callable[[jax.Array], jax.Array]


@jax.custom_jvp
def sigmoid(x: jax.Array) -> jax.Array:
    """σ(x) = 1 / (1 + e^−x), without overflow anywhere.

    For negative x it is e^x / (1 + e^x), so that no exponential of a positive number is ever taken;
    the slope is σ(x)·σ(−x), at most 1/4, and keeps all its digits where 1 − σ(x) would be 0. The
    function saturates on both sides, is never negative, and costs an exponential.

    Args:
        x: any shape, floating.

    Returns:
        like ``x``.

    >>> import jax.numpy as jnp
    >>> sigmoid(jnp.array([-1000.0, 0.0, 1000.0])).tolist()
    [0.0, 0.5, 1.0]
    """
    e = jnp.exp(-jnp.abs(x))
    return jnp.where(x < 0, e, jnp.ones_like(e)) / (1 + e)


@sigmoid.defjvp
def _sigmoid_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    y = sigmoid(x)
    return y, dx * (y * sigmoid(-x))


def tanh(x: jax.Array) -> jax.Array:
    """tanh(x) = 2σ(2x) − 1: saturates like the sigmoid, but is centered on zero.

    Args:
        x: any shape, floating.

    Returns:
        like ``x``.

    >>> import jax.numpy as jnp
    >>> tanh(jnp.array([-1000.0, 0.0, 1000.0])).tolist()
    [-1.0, 0.0, 1.0]
    """
    return jnp.tanh(x)


def scaled_tanh(x: jax.Array) -> jax.Array:
    """1.7159 · tanh(2x/3), which maps 1 to 1 and −1 to −1 and bends most there.

    Args:
        x: any shape, floating.

    Returns:
        like ``x``.

    Source: LeCun et al. 1998 (Gradient-based learning), appendix A; LeNet-5's activation.

    >>> import jax.numpy as jnp
    >>> scaled_tanh(jnp.array([-1.0, 0.0, 1.0])).round(4).tolist()
    [-1.0, 0.0, 1.0]
    """
    return 1.7159 * jnp.tanh(x * (2 / 3))


def relu(x: jax.Array) -> jax.Array:
    """max(0, x), with slope 0 at 0.

    Does not saturate and costs one comparison, but a unit that is never above zero gets no gradient
    and stays dead; `jaxnets.metrics.dead_units` counts such units.

    Args:
        x: any shape, floating.

    Returns:
        like ``x``.

    Source: Nair & Hinton 2010 (Rectified Linear Units Improve Restricted Boltzmann Machines), §2.

    >>> import jax.numpy as jnp
    >>> relu(jnp.array([-1.0, 0.0, 2.0])).tolist()
    [0.0, 0.0, 2.0]
    """
    return jax.nn.relu(x)


def leaky_relu(x: jax.Array, negative_slope: float = 0.01) -> jax.Array:
    """x above zero, negative_slope · x below: no unit is ever without a gradient.

    Args:
        x: any shape, floating.
        negative_slope: below zero.

    Returns:
        like ``x``.

    Source: Maas et al. 2013 (Rectifier Nonlinearities Improve Neural Network Acoustic Models), §2.

    >>> import jax.numpy as jnp
    >>> leaky_relu(jnp.array([-100.0, 2.0])).tolist()
    [-1.0, 2.0]
    """
    return jnp.where(x > 0, x, negative_slope * x)


def prelu(x: jax.Array, slope: jax.Array) -> jax.Array:
    """x above zero, slope · x below, with a learned slope.

    Args:
        x: (…, C).
        slope: (), or (C,): one for each channel; of the dtype of ``x``.

    Returns:
        like ``x``.

    Raises:
        ValueError: ``slope`` of another shape.

    Source: He et al. 2015 (Delving Deep into Rectifiers), §2.1; `jaxnets.nn.PReLU` owns the slope.

    >>> import jax.numpy as jnp
    >>> prelu(jnp.array([[-4.0, -4.0]]), jnp.array([0.25, 0.5])).tolist()
    [[-1.0, -2.0]]
    """
    if slope.shape not in ((), x.shape[-1:]):
        raise ValueError(
            f"slope: got shape {slope.shape}; expected () or {x.shape[-1:]}, one for each channel"
        )
    return jnp.where(x > 0, x, slope.reshape((1,) * (x.ndim - slope.ndim) + slope.shape) * x)


def elu(x: jax.Array, alpha: float = 1.0) -> jax.Array:
    """x above zero, α(e^x − 1) below.

    The exponential is taken of min(x, 0) only, so that it can neither overflow nor make the
    gradient of the other branch NaN.

    Args:
        x: any shape, floating.
        alpha: α; the function tends to −α.

    Returns:
        like ``x``.

    Source: Clevert, Unterthiner & Hochreiter 2016 (Fast and Accurate Deep Network Learning by
    Exponential Linear Units), §3.

    >>> import jax.numpy as jnp
    >>> elu(jnp.array([-1000.0, 0.0, 1000.0])).tolist()
    [-1.0, 0.0, 1000.0]
    """
    below = jnp.where(x > 0, jnp.zeros_like(x), x)
    return jnp.where(x > 0, x, alpha * jnp.expm1(below))


def maxout(x: jax.Array, pieces: int = 2) -> jax.Array:
    """Largest of ``pieces`` linear maps, which lie side by side in the last axis.

    y_i = max_j x_{j·m+i} for m = C/pieces outputs. After a linear layer it is the convex, piecewise
    linear max_j (x W_j + b_j); `jaxnets.nn.Maxout` joins the two.

    Args:
        x: (…, C) with C divisible by ``pieces``; the first m channels are the first map's.
        pieces: number of maps, k.

    Returns:
        (…, C / pieces).

    Raises:
        ValueError: ``pieces`` does not divide C.

    Source: Goodfellow et al. 2013 (Maxout Networks), §3.

    >>> import jax.numpy as jnp
    >>> maxout(jnp.array([1.0, 5.0, 3.0, 2.0])).tolist()
    [3.0, 5.0]
    """
    if pieces < 1 or x.shape[-1] % pieces:
        raise ValueError(
            f"pieces: got {pieces}; expected a positive divisor of the {x.shape[-1]} channels of x"
        )
    return reduce(jnp.maximum, jnp.split(x, pieces, axis=-1))


def identity(x: jax.Array) -> jax.Array:
    """x itself: no activation.

    Args:
        x: anything.

    Returns:
        ``x``.

    >>> identity(3.0)
    3.0
    """
    return x


ACTIVATIONS: dict[str, Activation] = {
    "elu": elu,
    "gelu": partial(jax.nn.gelu, approximate=False),
    "hard_sigmoid": jax.nn.hard_sigmoid,
    "hard_swish": jax.nn.hard_swish,
    "identity": identity,
    "leaky_relu": leaky_relu,
    "relu": relu,
    "relu6": jax.nn.relu6,
    "scaled_tanh": scaled_tanh,
    "sigmoid": sigmoid,
    "silu": jax.nn.silu,
    "softplus": jax.nn.softplus,
    "tanh": tanh,
}


def get_activation(name: str | Activation) -> Activation:
    """The activation function of this name; a function is returned as it is.

    Args:
        name: a key of `ACTIVATIONS`, or a function.

    Returns:
        an elementwise function of one array.

    Raises:
        jaxnets.errors.UnknownNameError: no such name; the message offers the most similar one.

    >>> get_activation("relu") is relu
    True
    >>> get_activation("leaky_rele")
    Traceback (most recent call last):
    jaxnets.errors.UnknownNameError: unknown activation 'leaky_rele'. Did you mean 'leaky_relu'...
    """
    if callable(name):
        return name
    if name not in ACTIVATIONS:
        raise UnknownNameError("activation", name, ACTIVATIONS)
    return ACTIVATIONS[name]
