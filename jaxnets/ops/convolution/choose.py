"""`auto`: which algorithm runs a convolution and its gradients, by shape, dtype and backend.

The rule goes through the kinds of convolution, with the limits of `table`. It looks at static
shapes only, so it costs nothing at run time and is deterministic.
"""

import jax.numpy as jnp

from jaxnets.ops.convolution import winograd
from jaxnets.ops.convolution.bilinear import Plan
from jaxnets.ops.convolution.problem import Problem
from jaxnets.ops.convolution.table import TABLES

DIRECT = Plan("direct", "direct", "direct")


def _choose(problem: Problem, limits: dict[str, float]) -> str:
    """One direction's algorithm."""
    if problem.macs < limits["least_macs"]:
        return "direct"  # Too small to matter; XLA's own compiles fastest.
    if problem.depthwise:
        large = problem.taps >= limits["depthwise_fft_taps"]
        return "fft" if large and problem.unit_stride else "shift"
    if problem.taps == 1:
        return "pointwise"
    minimal = winograd.unsupported(problem) is None and all(k in (1, 3) for k in problem.window)
    if problem.groups > 1:
        if minimal:
            return "blocked-winograd"
        fan_in = problem.in_channels // problem.groups
        return "blocked" if fan_in <= limits["strided_blocked_channels"] else "direct"
    if problem.unit_stride and problem.taps >= limits["dense_fft_taps"]:
        return "fft"
    narrow = min(problem.in_channels, problem.out_channels)
    wide = max(problem.in_channels, problem.out_channels)
    if (
        minimal
        and problem.taps >= 9
        and narrow >= limits["winograd_channels"]
        and problem.pixels >= wide * limits["winograd_pixels_per_channel"]
    ):
        return "winograd"
    plain = problem.taps <= 9 and problem.unit_stride
    if problem.in_channels <= limits["few_channels" if plain else "first_layer_channels"]:
        # Large windows of stride 1 have the most columns for their work.
        outputs = problem.out_channels / problem.in_channels
        paid = plain or not problem.unit_stride or outputs >= limits["columns_outputs_per_input"]
        return "im2col" if paid else "direct"
    strided = problem.taps <= 9 and not problem.unit_stride
    if strided and problem.in_channels >= limits["strided_im2col_channels"]:
        return "im2col"
    return "direct"


def choose(problem: Problem, dtype, backend: str) -> Plan:
    """The plan of ``algorithm="auto"`` for ``problem``.

    Args:
        problem: shapes and window of the convolution.
        dtype: of x and the kernel; float64 stays with exact algorithms.
        backend: "cpu", "gpu" or "tpu"; without a table of its own everything is "direct".

    Returns:
        one algorithm for each of the three functions.

    >>> from jaxnets.ops.convolution.problem import Problem
    >>> p = Problem((8, 56, 56, 144), (3, 3, 1, 144), (1, 1), ((1, 1),) * 2, (1, 1), groups=144)
    >>> choose(p, jnp.float32, "cpu").forward, choose(p, jnp.float32, "tpu").forward
    ('shift', 'direct')
    """
    table = TABLES.get(backend)
    if table is None or jnp.dtype(dtype) == jnp.float64:
        # Double precision is asked for where exactness comes before speed.
        return DIRECT
    return Plan(
        _choose(problem, table["forward"]),
        _choose(problem, table["input_gradient"]),
        _choose(problem, table["kernel_gradient"]),
    )
