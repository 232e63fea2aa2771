"""The fully connected map."""

import math

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.ops.convolution import conv
from jaxnets.ops.convolution.choose import choose
from jaxnets.ops.convolution.problem import Problem


def dense(x: jax.Array, kernel: jax.Array, bias: jax.Array | None = None) -> jax.Array:
    """Fully connected map of the last axis: y = x · kernel + bias.

    Args:
        x: (…, C_in).
        kernel: (C_in, C_out), of the same dtype.
        bias: (C_out,) or None.

    Returns:
        (…, C_out).

    Raises:
        ValueError: ``kernel`` does not fit ``x``, or ``bias`` does not fit ``kernel``.

    >>> import jax.numpy as jnp
    >>> dense(jnp.array([1.0, 2.0]), jnp.array([[1.0], [10.0]]), jnp.array([100.0]))
    Array([121.], dtype=float32)
    """
    check_dense(x, kernel, bias)
    y = matrix_product(x, kernel)
    if bias is None:
        return y
    return y + lax.expand_dims(bias, range(y.ndim - 1))


def matrix_product(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """x · kernel over the last axis.

    XLA on CPU has no product of half precision that uses the processor's: it converts, and of few
    rows it takes up to eight times as long as in float32. A product is a convolution of one place,
    and where oneDNN would run that one, it runs this.

    >>> import jax.numpy as jnp
    >>> matrix_product(jnp.ones((2, 5, 3)), jnp.ones((3, 4))).shape
    (2, 5, 4)
    """
    if x.dtype == kernel.dtype and x.dtype in (jnp.bfloat16, jnp.float16) and x.ndim > 1:
        places, rest = math.prod(x.shape[1:-1]), kernel.shape
        problem = Problem((x.shape[0], places, x.shape[-1]), (1, *rest), (1,), ((0, 0),), (1,))
        if choose(problem, x.dtype, jax.default_backend()).forward == "onednn":
            y = conv(x.reshape(problem.x_shape), kernel[None], padding=0)
            return y.reshape(*x.shape[:-1], kernel.shape[-1])
    return lax.dot_general(x, kernel, (((x.ndim - 1,), (0,)), ((), ())))


def check_dense(x: jax.Array, kernel: jax.Array, bias: jax.Array | None) -> None:
    """Raise a ValueError where kernel and bias do not fit ``x``."""
    if kernel.ndim != 2 or x.ndim < 1 or x.shape[-1] != kernel.shape[0]:
        raise ValueError(
            f"kernel: shape {kernel.shape} does not fit x of shape {x.shape}; expected "
            f"({x.shape[-1] if x.ndim else 'C_in'}, C_out)"
        )
    if bias is not None and bias.shape != kernel.shape[1:]:
        raise ValueError(f"bias: got shape {bias.shape}; expected {kernel.shape[1:]} or None")
