"""`direct`: XLA's own convolution, and its own transposes as gradients."""

import jax
from jax import lax

from jaxnets.ops.convolution.problem import Problem


def unsupported(problem: Problem) -> str | None:
    """Why this algorithm cannot do ``problem``, or None if it can."""
    del problem
    return None


def forward(x: jax.Array, kernel: jax.Array, problem: Problem) -> jax.Array:
    """y = x ⋆ kernel by `jax.lax.conv_general_dilated`."""
    spatial = "DHW"[3 - problem.rank :]
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=problem.strides,
        padding=problem.padding,
        rhs_dilation=problem.dilation,
        dimension_numbers=(f"N{spatial}C", f"{spatial}IO", f"N{spatial}C"),
        feature_group_count=problem.groups,
    )


def input_gradient(g: jax.Array, kernel: jax.Array, problem: Problem) -> jax.Array:
    """x's gradient from y's gradient ``g``."""
    x = jax.ShapeDtypeStruct(problem.x_shape, g.dtype)
    return jax.linear_transpose(lambda x: forward(x, kernel, problem), x)(g)[0]


def kernel_gradient(x: jax.Array, g: jax.Array, problem: Problem) -> jax.Array:
    """The kernel's gradient from y's gradient ``g``."""
    kernel = jax.ShapeDtypeStruct(problem.kernel_shape, x.dtype)
    return jax.linear_transpose(lambda kernel: forward(x, kernel, problem), kernel)(g)[0]
