"""`materialize`: a value that is computed once, although many read it."""

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from jaxnets.ops.half_bits import is_half


def materialize(x: jax.Array) -> jax.Array:
    """Return ``x``; on CPU, compute it once and keep it, instead of once for every reader.

    XLA on CPU fuses elementwise operations into each of their readers, and does not count what it
    computes again: the sum of a residual block has several readers, one of them the next block's
    sum, and so on, until a transpose in the backward pass works through a whole stage for every
    entry. XLA removes its optimization barriers before it fuses. A loop is not fused with anything:
    this one writes one entry of ``x`` back to its position, twice (a single iteration would be
    unrolled), so it costs microseconds and no copy.

    Args:
        x: any array; whatever else reads the same array should read the result instead, or XLA has
            to copy it.

    Returns:
        ``x``. Its derivatives are those of the identity, and materialized in the same way.

    >>> import jax.numpy as jnp
    >>> materialize(jnp.arange(3.0))
    Array([0., 1., 2.], dtype=float32)
    """
    return materialize_p.bind(x)


def _loop(x: jax.Array) -> jax.Array:
    if not x.size or not jnp.issubdtype(x.dtype, jnp.floating):
        return x

    dtype, half = x.dtype, is_half(x.dtype)

    def body(i, x):
        position = (i,) + (0,) * (x.ndim - 1) if x.ndim else ()
        entry = lax.dynamic_slice(x, position, (1,) * x.ndim)
        # Adding 0 only turns −0 into 0, and XLA does not see through it.
        if half:
            value = lax.bitcast_convert_type(entry, dtype) + jnp.zeros((), dtype)
            entry = lax.bitcast_convert_type(value, x.dtype)
        else:
            entry = entry + 0
        return lax.dynamic_update_slice(x, entry, position)

    # XLA would copy the whole of a half-precision array to float32 and back.
    x = lax.fori_loop(0, 2, body, lax.bitcast_convert_type(x, jnp.uint16) if half else x)
    return lax.bitcast_convert_type(x, dtype) if half else x


materialize_p = Primitive("jaxnets_materialize")
materialize_p.def_impl(lambda x: x)
materialize_p.def_abstract_eval(lambda x: x)
ad.deflinear2(materialize_p, lambda ct, x: [materialize_p.bind(ct)])
batching.defvectorized(materialize_p)
mlir.register_lowering(materialize_p, lambda ctx, x: [x])
mlir.register_lowering(materialize_p, mlir.lower_fun(_loop, multiple_results=False), platform="cpu")
