"""Half precision for speed, but not for sums."""

import jax
import jax.numpy as jnp


def at_least_float32(x: jax.Array) -> jax.Array:
    """``x`` in float32, or as it is if it is float64: the dtype in which sums are formed.

    >>> import jax.numpy as jnp
    >>> at_least_float32(jnp.ones(2, jnp.bfloat16)).dtype
    dtype('float32')
    """
    return x if x.dtype == jnp.float64 else x.astype(jnp.float32)


def check_floating(x: jax.Array) -> None:
    """Raise a ValueError unless ``x`` holds real floating numbers, which alone can be scaled.

    >>> import jax.numpy as jnp
    >>> check_floating(jnp.arange(3))
    Traceback (most recent call last):
    ValueError: x: got int32; expected floating numbers
    """
    if not jnp.issubdtype(jnp.result_type(x), jnp.floating):
        raise ValueError(f"x: got {jnp.result_type(x)}; expected floating numbers")
