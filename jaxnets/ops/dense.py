"""The fully connected map."""

import jax
from jax import lax


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
    y = lax.dot_general(x, kernel, (((x.ndim - 1,), (0,)), ((), ())))
    if bias is None:
        return y
    return y + lax.expand_dims(bias, range(y.ndim - 1))


def check_dense(x: jax.Array, kernel: jax.Array, bias: jax.Array | None) -> None:
    """Raise a ValueError where kernel and bias do not fit ``x``."""
    if kernel.ndim != 2 or x.ndim < 1 or x.shape[-1] != kernel.shape[0]:
        raise ValueError(
            f"kernel: shape {kernel.shape} does not fit x of shape {x.shape}; expected "
            f"({x.shape[-1] if x.ndim else 'C_in'}, C_out)"
        )
    if bias is not None and bias.shape != kernel.shape[1:]:
        raise ValueError(f"bias: got shape {bias.shape}; expected {kernel.shape[1:]} or None")
