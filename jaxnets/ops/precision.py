"""Half precision for speed, but not for sums."""

from typing import Any

import jax
import jax.numpy as jnp


def at_least_float32(x: jax.Array) -> jax.Array:
    """``x`` in float32, or as it is if it is float64: the dtype in which sums are formed.

    >>> import jax.numpy as jnp
    >>> at_least_float32(jnp.ones(2, jnp.bfloat16)).dtype
    dtype('float32')
    """
    return x if x.dtype == jnp.float64 else x.astype(jnp.float32)


def sum_dtype(*arrays: jax.Array) -> Any:
    """float32, or float64 where one of the arrays is: the dtype in which their products are summed.

    >>> import jax.numpy as jnp
    >>> sum_dtype(jnp.ones(2, jnp.bfloat16), jnp.ones(2)).__name__
    'float32'
    """
    return jnp.float64 if any(x.dtype == jnp.float64 for x in arrays) else jnp.float32


def check_floating(x: jax.Array) -> None:
    """Raise a ValueError unless ``x`` holds real floating numbers, which alone can be scaled.

    >>> import jax.numpy as jnp
    >>> check_floating(jnp.arange(3))
    Traceback (most recent call last):
    ValueError: x: got int32; expected floating numbers
    """
    if not jnp.issubdtype(jnp.result_type(x), jnp.floating):
        raise ValueError(f"x: got {jnp.result_type(x)}; expected floating numbers")
