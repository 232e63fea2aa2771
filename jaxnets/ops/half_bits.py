"""Half precision as integers, where values are moved or compared and nothing is computed.

XLA on CPU (in jax 0.10; no longer in 0.12) converts bfloat16 and float16 to float32 and back around
every concatenation, padding, slice, selection and maximum: five to ten times the time of the same
operation on 16-bit integers. The bits of a value move as well as the value does, and in a certain
order they compare like it.
"""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax


def is_half(dtype) -> bool:
    """Whether ``dtype`` is bfloat16 or float16.

    >>> is_half(jnp.bfloat16), is_half(jnp.float32)
    (True, False)
    """
    return dtype in (jnp.bfloat16, jnp.float16)


def moved(move: Callable, *arrays: jax.Array):
    """``move(*arrays)``, on the bits of half precision; its derivative is that of ``move``.

    Args:
        move: what copies values and zeros, but does not compute: slices, padding by zeros,
            transpositions, concatenations, in any number and order.
        arrays: of one dtype, any.

    Returns:
        what ``move`` returns (any tree of arrays), in the arrays' dtype.

    >>> moved(lambda a, b: jnp.concatenate([a[1:], b]), jnp.arange(3.0), jnp.zeros(1))
    Array([1., 2., 0.], dtype=float32)
    """
    if not is_half(arrays[0].dtype):
        return move(*arrays)
    return _moved(move, *arrays)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _moved(move: Callable, *arrays: jax.Array):
    dtype = arrays[0].dtype
    result = move(*(lax.bitcast_convert_type(a, jnp.uint16) for a in arrays))
    return jax.tree.map(lambda a: lax.bitcast_convert_type(a, dtype), result)


@_moved.defjvp
def _moved_jvp(move, primals, tangents):
    # Moving is linear, so that its transpose is found by JAX.
    return _moved(move, *primals), move(*tangents)


def concatenate(arrays: Sequence[jax.Array], axis: int) -> jax.Array:
    """`jax.numpy.concatenate` of arrays of one dtype.

    >>> concatenate([jnp.ones((1, 2)), jnp.zeros((1, 1))], axis=-1)
    Array([[1., 1., 0.]], dtype=float32)
    """
    return moved(lambda *arrays: jnp.concatenate(arrays, axis), *arrays)


def ordered(x: jax.Array) -> jax.Array:
    """Half-precision numbers as int16 that compare as they do; NaN above all.

    The bits of a positive number grow with it; those of a negative one, but for the sign, with its
    size. −0 comes before 0. NaN of either sign becomes the greatest: subtracting the number of NaNs
    of one sign wraps the negative ones around.

    >>> ordered(jnp.array([-jnp.inf, -1, 0, 1, jnp.nan, -jnp.nan], jnp.bfloat16)).argsort().tolist()
    [0, 1, 2, 3, 4, 5]
    """
    bits = lax.bitcast_convert_type(x, jnp.int16)
    bits = bits ^ ((bits >> 15) & jnp.int16(0x7FFF))
    return bits - jnp.int16(_nans(x.dtype))


def unordered(keys: jax.Array, dtype) -> jax.Array:
    """The inverse of `ordered`.

    >>> unordered(ordered(jnp.array([-2.5, 0.0], jnp.float16)), jnp.float16)
    Array([-2.5,  0. ], dtype=float16)
    """
    bits = keys + jnp.int16(_nans(dtype))
    bits = bits ^ ((bits >> 15) & jnp.int16(0x7FFF))
    return lax.bitcast_convert_type(bits, dtype)


def _nans(dtype) -> int:
    """How many NaNs of one sign there are: all fractions but 0."""
    return 2 ** jnp.finfo(dtype).nmant - 1
