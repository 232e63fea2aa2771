"""`conv`: the one entry to every convolution algorithm."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jaxnets.ops.convolution import direct
from jaxnets.ops.convolution.algorithms import check
from jaxnets.ops.convolution.bilinear import apply
from jaxnets.ops.convolution.choose import choose
from jaxnets.ops.convolution.plan import DIRECT, Plan
from jaxnets.ops.convolution.problem import Padding, make_problem


def conv(
    x: jax.Array,
    kernel: jax.Array,
    *,
    strides: int | Sequence[int] = 1,
    padding: Padding = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    algorithm: str = "auto",
    platform: str | None = None,
) -> jax.Array:
    """Cross-correlate ``x`` with ``kernel``, as every network's "convolution" does.

    y[n, i, d] = Σ x[n, i·stride + k·dilation − padding, c]·kernel[k, c, d]  over taps k, channels c

    All algorithms give the same result up to rounding; float32 relative errors stay below 1e-5
    (``winograd``: 5e-4, ``winograd6``: 5e-3; the reason is in `jaxnets.ops.convolution.winograd`).
    "auto" may choose ``winograd`` in single and half precision, and never in double.
    Half precisions are summed in float32. Derivatives of any order and in any mode work with every
    algorithm, and each has gradients of its own, see `jaxnets.ops.convolution.bilinear`.

    Args:
        x: (N, spatial…, C_in), one to three spatial axes, floating.
        kernel: (window…, C_in/groups, C_out), of x's dtype.
        strides, dilation: an int, or one per spatial axis.
        padding: an int, one int or one (before, after) pair per spatial axis, "SAME" or "VALID".
        groups: channel groups; group j's outputs see group j's inputs only.
        algorithm: "auto" (by shape, dtype and backend, see `jaxnets.ops.convolution.choose`),
            "direct" (XLA's own), "im2col", "fft" (stride 1), "winograd", "winograd2", "winograd6"
            (F(4×4), F(2×2), F(6×6); stride 1, no dilation), "strassen" or "strassen:64" (recursion
            down to sides of 64; by default 2048), "shift" (no groups, or depthwise), "pointwise"
            (1×1), for groups "blocked", "blocked-winograd", and "onednn" (single and half
            precision, where `jaxnets.ops.convolution.onednn_support` finds oneDNN inside jaxlib;
            elsewhere what "auto" would take without it).

        platform: where the program will run, for "auto": "cpu", "gpu", "tpu" or another name of
            JAX's, whose algorithms are XLA's own. None: the default backend of this process, which
            is wrong for a program that is exported to run elsewhere.

    Returns:
        (N, out…, C_out), of x's dtype.

    Raises:
        ValueError: shapes, dtypes or window that do not fit; an algorithm that cannot do this
            convolution (the message names those that can).

    Source: Dumoulin & Visin 2016 (A Guide to Convolution Arithmetic for Deep Learning), §2; the
    algorithms' modules cite theirs.

    >>> x, kernel = jnp.ones((1, 5, 5, 2)), jnp.ones((3, 3, 2, 4))
    >>> conv(x, kernel, strides=2, padding=1, algorithm="im2col")[0, ..., 0]
    Array([[ 8., 12.,  8.],
           [12., 18., 12.],
           [ 8., 12.,  8.]], dtype=float32)
    """
    problem = make_problem(x, kernel, strides, padding, dilation, groups)
    x, kernel = jnp.asarray(x), jnp.asarray(kernel)
    if algorithm == "auto":
        plan = choose(problem, x.dtype, platform or jax.default_backend())
    else:
        check(algorithm, problem)
        plan = Plan(algorithm, algorithm, algorithm)
    # No example, no work: algorithms that cut the batch into parts have none to cut.
    if plan == DIRECT or problem.batch == 0:
        return direct.forward(x, kernel, problem)
    return apply(x, kernel, problem, plan)
