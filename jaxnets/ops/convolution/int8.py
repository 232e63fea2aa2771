"""Convolutions of eight-bit integers: exact sums, by oneDNN where the processor multiplies bytes.

oneDNN's custom calls take int8 and uint8 arrays as they take float32: the same configuration, and
four times as many products an instruction (VNNI). Elsewhere XLA computes the same integers.
"""

import jax
import jax.numpy as jnp
import jaxlib
from jax import core, lax
from jax.extend.core import Primitive
from jax.interpreters import batching, mlir

from jaxnets.ops.convolution import onednn_call, onednn_support, partition, window
from jaxnets.ops.convolution.problem import Problem

# Without one of these oneDNN adds pairs of products in 16 bits, which overflow.
VNNI = frozenset({"avx512_vnni", "avx_vnni"})


def native() -> bool:
    """Whether oneDNN computes eight-bit convolutions here, and exactly.

    >>> native() in (True, False)
    True
    """
    if not VNNI & onednn_support.processor_flags() or not onednn_support.available():
        return False
    return onednn_support.int8_is_right(jaxlib.__version__, onednn_support.instruction_set())


def supported(problem: Problem) -> bool:
    """Whether oneDNN's eight-bit kernels are right for a convolution: dense, or one by channel.

    With several outputs a channel, also of a single one, some are wrong (found by comparing random
    ones). The number of images does not matter, so that a network computes all batches alike.

    Args:
        problem: the convolution.

    Returns:
        False for groups of channels, and for several outputs a channel.

    >>> from jaxnets.ops.convolution.problem import Problem
    >>> grouped = Problem((1, 5, 5, 6), (3, 3, 3, 8), (1, 1), ((0, 0), (0, 0)), (1, 1), groups=2)
    >>> supported(grouped)
    False
    """
    dense = problem.groups == 1 and problem.in_channels > 1
    alone = problem.depthwise and problem.out_channels == problem.groups
    one = problem.replace(x_shape=(1, *problem.x_shape[1:]))
    _, one = onednn_call.padded_by_hand(one)
    return (dense or alone) and not onednn_call.refused(one, jnp.int8)


def int8_conv(x: jax.Array, kernel: jax.Array, problem: Problem) -> jax.Array:
    """x ⋆ kernel of integers, exact.

    Args:
        x: int8 or uint8 (N, spatial…, C_in).
        kernel: int8 (window…, C_in / groups, C_out).
        problem: their convolution.

    Returns:
        int32 (N, out…, C_out).

    Raises:
        ValueError: other dtypes, or shapes that are not the problem's.

    Source: oneDNN's developer guide, "Nuances of int8 Computations".

    >>> from jaxnets.ops.convolution.problem import make_problem
    >>> x, kernel = jnp.full((1, 2, 2, 1), 200, jnp.uint8), jnp.full((1, 1, 1, 3), -100, jnp.int8)
    >>> problem = make_problem(jax.ShapeDtypeStruct(x.shape, jnp.float32),
    ...     jax.ShapeDtypeStruct(kernel.shape, jnp.float32))
    >>> int8_conv(x, kernel, problem)[0, 0, 0].tolist()
    [-20000, -20000, -20000]
    """
    if x.dtype not in (jnp.int8, jnp.uint8) or kernel.dtype != jnp.int8:
        raise ValueError(
            f"x and kernel must be int8 (x: or uint8), got {x.dtype} and {kernel.dtype}"
        )
    if x.shape != problem.x_shape or kernel.shape != problem.kernel_shape:
        raise ValueError(f"x {x.shape} or kernel {kernel.shape} is not that of {problem}")
    return int8_p.bind(x, kernel, problem=problem)


def _by_xla(x: jax.Array, kernel: jax.Array, *, problem: Problem) -> jax.Array:
    spatial = "".join("DHW"[-problem.rank :])
    layouts = (f"N{spatial}C", f"{spatial}IO", f"N{spatial}C")
    # XLA's convolutions of integers want operands of the result's type.
    return lax.conv_general_dilated(
        x.astype(jnp.int32),
        kernel.astype(jnp.int32),
        problem.strides,
        problem.padding,
        rhs_dilation=problem.dilation,
        dimension_numbers=layouts,
        feature_group_count=problem.groups,
    )


def _by_onednn(x: jax.Array, kernel: jax.Array, *, problem: Problem) -> jax.Array:
    edges, rest = onednn_call.padded_by_hand(problem)
    if not supported(problem) or onednn_call.refused(rest, jnp.int8):
        return _by_xla(x, kernel, problem=problem)
    if rest != problem:
        x, problem = window.pad(x, edges), rest
    return onednn_call.integer_convolution(x, kernel, problem)


def _lower(context, *operands, problem: Problem):
    module = context.module_context
    here = partition.called_here(module) and not partition.of_many(module) and native()
    body = _by_onednn if here else _by_xla
    return mlir.lower_fun(lambda *a: body(*a, problem=problem), multiple_results=False)(
        context, *operands
    )


def _batch(operands, axes, *, problem: Problem):
    """More images where only images are mapped; else one after the other."""
    size = next(o.shape[d] for o, d in zip(operands, axes, strict=True) if d is not None)
    moved = [o if d is None else jnp.moveaxis(o, d, 0) for o, d in zip(operands, axes, strict=True)]
    if axes[1] is None:
        wide = problem.replace(x_shape=(size * problem.batch, *problem.x_shape[1:]))
        out = int8_p.bind(moved[0].reshape(wide.x_shape), moved[1], problem=wide)
        return out.reshape(size, *problem.out_shape), 0

    def one(i):
        own = [o if d is None else o[i] for o, d in zip(moved, axes, strict=True)]
        return int8_p.bind(*own, problem=problem)

    return lax.map(one, jnp.arange(size)), 0


int8_p = Primitive("jaxnets_int8_conv")
int8_p.def_impl(jax.jit(int8_p.bind, static_argnames=("problem",)))
int8_p.def_abstract_eval(
    lambda x, kernel, *, problem: core.ShapedArray(problem.out_shape, jnp.int32)
)
mlir.register_lowering(int8_p, _lower)
batching.primitive_batchers[int8_p] = _batch
partition.divide(int8_p)
