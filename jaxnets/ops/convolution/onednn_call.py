"""oneDNN's convolution and matrix product as XLA's custom calls, configured here alone.

Every call is checked here against what oneDNN takes, since what it refuses ends the process.
`jaxnets.ops.convolution.onednn_support` says whether calls may be made at all.

Source: XLA, ``xla/service/cpu/onednn_config.proto`` and ``onednn_convolution.cc``.
"""

import json
import math
from collections.abc import Iterable, Sequence

import jax
import jax.numpy as jnp
from jax import core
from jax.extend.core import Primitive
from jax.interpreters import mlir

from jaxnets.ops.convolution import onednn_support
from jaxnets.ops.convolution.problem import Problem

MOST_ELEMENTS = 2**31 - 1  # of one array: some of oneDNN's kernels count in 32 bits

MANY_ROWS = 1024  # of a product aᵀb, from which a transposition of the result is worth it

# Activations that a call applies to its result, by XLA's names.
ACTIVATIONS = ("RELU", "RELU6", "TANH", "SIGMOID", "GELU_ERF", "GELU_TANH", "ELU")


def _strings(values: Iterable[int]) -> list[str]:
    """Numbers as protobuf's JSON writes 64-bit integers."""
    return [str(int(value)) for value in values]


def refused(problem: Problem, dtype=jnp.float32) -> str | None:
    """Why oneDNN must not get ``problem`` in ``dtype``, or None.

    >>> p = Problem((0, 5, 5, 2), (3, 3, 2, 4), (1, 1), ((1, 1), (1, 1)), (1, 1))
    >>> refused(p)
    'an array of no elements'
    """
    if problem.rank == 3 and not problem.unit_dilation and jnp.dtype(dtype).itemsize < 4:
        # Found by the fuzz test: on AMX some of these give wrong values, and some end the process.
        return "three axes with dilation in half precision"
    shapes = (problem.x_shape, problem.kernel_shape, problem.out_shape)
    if min(min(shape) for shape in shapes) < 1:
        return "an array of no elements"
    if max(math.prod(shape) for shape in shapes) > MOST_ELEMENTS:
        return f"an array of more than {MOST_ELEMENTS} elements"
    for (before, after), extent in zip(problem.padding, problem.extent, strict=True):
        if not (0 <= before < extent and 0 <= after < extent):
            return "padding as wide as the window, or negative"
    if any(narrow_axes(problem)):
        return "a window wider than its input, by groups or on three axes"
    return None


def narrow_axes(problem: Problem) -> list[bool]:
    """On which axes the window is wider than its input in a way that oneDNN does not bear.

    By groups, on the last axis: it takes a kernel that can hang inside XLA, see
    `jaxnets.ops.convolution.onednn_support.stands_still`. On three axes it reads and writes beyond
    its memory, which poisoned memory shows (version 3.7.3 in jaxlib 0.10.2, AVX-512). With the
    padding in the input both are right.

    >>> x_shape, kernel_shape, padding = (1, 1, 1, 8), (3, 3, 1, 8), ((1, 1), (1, 1))
    >>> narrow_axes(Problem(x_shape, kernel_shape, (1, 1), padding, (1, 1), groups=8))
    [False, True]
    """
    narrow = [size < reach for size, reach in zip(problem.spatial, problem.extent, strict=True)]
    last = problem.rank - 1
    return [
        wider and (problem.rank == 3 or (problem.groups > 1 and axis == last))
        for axis, wider in enumerate(narrow)
    ]


def padded_by_hand(problem: Problem) -> tuple[list[tuple[int, int]], Problem]:
    """What must be padded before the call, and the problem that is left.

    That is where the window would lie in the padding as a whole, and on `narrow_axes`.

    >>> p = Problem((1, 1, 1, 8), (3, 3, 1, 8), (1, 1), ((1, 1), (1, 1)), (1, 1), groups=8)
    >>> edges, rest = padded_by_hand(p)
    >>> edges, rest.x_shape, rest.padding
    ([(0, 0), (1, 1)], (1, 1, 3, 8), ((1, 1), (0, 0)))
    """
    edges, rest = [], []
    axes = zip(narrow_axes(problem), problem.padding, problem.extent, strict=True)
    for narrow, (before, after), extent in axes:
        alone = narrow or not (0 <= before < extent and 0 <= after < extent)
        edges.append((before, after) if alone else (0, 0))
        rest.append((0, 0) if alone else (before, after))
    sides = (n + sum(e) for n, e in zip(problem.spatial, edges, strict=True))
    shape = (problem.batch, *sides, problem.in_channels)
    return edges, problem.replace(x_shape=shape, padding=tuple(rest))


def configuration(
    problem: Problem, fusions: Sequence[str] = (), packed: bool = False
) -> dict[str, dict]:
    """The configuration of ``__onednn$convolution``.

    Args:
        problem: the convolution; channels last.
        fusions: "BIAS", "BINARY_ADD" and `ACTIVATIONS`, in the order of their application.
        packed: the kernel is in oneDNN's own layout already, flat.
    """
    rank = problem.rank
    dims, spatial = str(rank + 2), _strings(range(1, rank + 1))
    data = {
        "dims": dims,
        "data": {"batch_dim": "0", "feature_dim": str(rank + 1), "spatial_dims": spatial},
    }
    layout: dict = {
        "input_feature_dim": str(rank),
        "output_feature_dim": str(rank + 1),
        "spatial_dims": _strings(range(rank)),
    }
    if packed:
        layout["shape"] = _strings(problem.kernel_shape)
    config: dict = {
        "dims": dims,
        "input": data,
        "kernel": {"dims": dims, "filter": layout},
        "output": data,
        "window": {
            "size": _strings(problem.window),
            "pad_left": _strings(before for before, _ in problem.padding),
            "pad_right": _strings(after for _, after in problem.padding),
            "strides": _strings(problem.strides),
            "window_dilations": _strings(
                d if k > 1 else 1 for d, k in zip(problem.dilation, problem.window, strict=True)
            ),
        },
        "feature_groups": str(problem.groups),
    }
    if fusions:
        config["fusions"] = {"ops": list(fusions)}
    if packed:
        config["optimization_config"] = {"weights_prepacked": True}
    return {"onednn_conv_config": config}


def not_to_be_stored() -> None:
    """What marks a compiled program as one that must not be written to a file.

    XLA takes its own oneDNN steps for ordinary custom calls when it writes a program, and reads
    memory that is not theirs. JAX up to 0.10 leaves programs that call back into Python out of its
    persistent cache; this is such a callback that is never called. For later versions see
    `jaxnets.ops.convolution.onednn_support.would_be_stored`.
    """


def keep_in_memory(module) -> None:
    """Mark a module that is being lowered, where JAX's persistent cache is on."""
    if onednn_support.cache_is_on() and not_to_be_stored not in module.host_callbacks:
        module.add_host_callback(not_to_be_stored)


call_p = Primitive("jaxnets_onednn_call")


@call_p.def_abstract_eval
def _abstract(first, *_, target: str, config: str, shape: tuple[int, ...], dtype):
    del target, config
    if getattr(getattr(first, "manual_axis_type", None), "varying", None):
        # Inside shard_map the result varies over the devices as the operands do.
        return first.update(shape=shape, dtype=dtype, weak_type=False)
    return core.ShapedArray(shape, dtype)


def _lower(context, *operands, target: str, config: str, shape, dtype):
    del shape, dtype
    keep_in_memory(context.module_context)
    rule = jax.ffi.ffi_lowering(f"__onednn${target}", api_version=1, backend_config=config)
    return rule(context, *operands)


mlir.register_lowering(call_p, _lower, platform="cpu")
call_p.def_impl(jax.jit(call_p.bind, static_argnames=("target", "config", "shape", "dtype")))


def _call(target: str, config: dict, shape: Sequence[int], dtype, *operands: jax.Array):
    return call_p.bind(
        *operands,
        target=target,
        config=json.dumps(config),
        shape=tuple(shape),
        dtype=jnp.dtype(dtype),
    )


def convolution(
    x: jax.Array,
    kernel: jax.Array,
    problem: Problem,
    *,
    bias: jax.Array | None = None,
    addend: jax.Array | None = None,
    activation: str | None = None,
    packed: bool = False,
) -> jax.Array:
    """activation(x ⋆ kernel + bias + addend) in one call.

    Args:
        x, kernel: of one dtype that `jaxnets.ops.convolution.onednn_support.computes`.
        problem: their convolution.
        bias: (C_out,), of their dtype.
        addend: of the result's shape and their dtype.
        activation: one of `ACTIVATIONS`.
        packed: ``kernel`` is flat, in oneDNN's own layout for this very problem.

    Raises:
        ValueError: what oneDNN would refuse by ending the process.
    """
    reason = refused(problem, x.dtype)
    if reason:
        raise ValueError(f"oneDNN does not compute this convolution: {reason}: {problem}")
    if x.shape != problem.x_shape or (kernel.shape != problem.kernel_shape and not packed):
        raise ValueError(f"x {x.shape} or kernel {kernel.shape} is not that of {problem}")
    fusions, terms = _fusions(problem.out_shape, x.dtype, bias, addend, activation)
    if x.dtype != kernel.dtype:
        raise ValueError(f"all operands must be {x.dtype}, got a kernel of {kernel.dtype}")
    config = configuration(problem, fusions, packed)
    return _call("convolution", config, problem.out_shape, x.dtype, x, kernel, *terms)


def integer_convolution(x: jax.Array, kernel: jax.Array, problem: Problem) -> jax.Array:
    """x ⋆ kernel of int8 or uint8 by int8, summed and returned in int32.

    Args:
        x, kernel: of the problem's shapes.
        problem: their convolution.

    Raises:
        ValueError: what oneDNN would refuse by ending the process.
    """
    if reason := refused(problem, x.dtype):
        raise ValueError(f"oneDNN does not compute this convolution: {reason}: {problem}")
    if x.shape != problem.x_shape or kernel.shape != problem.kernel_shape:
        raise ValueError(f"x {x.shape} or kernel {kernel.shape} is not that of {problem}")
    config = configuration(problem)
    return _call("convolution", config, problem.out_shape, jnp.int32, x, kernel)


def _fusions(
    shape: Sequence[int],
    dtype,
    bias: jax.Array | None,
    addend: jax.Array | None,
    activation: str | None,
) -> tuple[list[str], list[jax.Array]]:
    """What a call does to its result, in the order of application, and its further operands."""
    fusions, terms = [], []
    if bias is not None:
        if bias.shape != (shape[-1],):
            raise ValueError(f"bias must be ({shape[-1]},), got {bias.shape}")
        fusions.append("BIAS")
        terms.append(bias)
    if addend is not None:
        if addend.shape != tuple(shape):
            raise ValueError(f"addend must be {tuple(shape)}, got {addend.shape}")
        fusions.append("BINARY_ADD")
        terms.append(addend)
    if activation is not None:
        if activation not in ACTIVATIONS:
            known = ", ".join(ACTIVATIONS)
            raise ValueError(f"activation must be one of {known}, got {activation!r}")
        fusions.append(activation)
    if any(term.dtype != dtype for term in terms):
        given = [str(term.dtype) for term in terms]
        raise ValueError(f"all operands must be {dtype}, got {given}")
    return fusions, terms


def transposed_matmul(a: jax.Array, b: jax.Array) -> jax.Array:
    """aᵀ b for ``a`` (…, M, K) and ``b`` (…, M, N), the product of kernel gradients.

    Half precisions are summed and returned in float32.
    """
    if min(a.shape) < 1 or min(b.shape) < 1 or a.shape[:-1] != b.shape[:-1]:
        raise ValueError(f"a and b must be (…, M, K) and (…, M, N), got {a.shape} and {b.shape}")
    if a.shape[-1] > b.shape[-1] and a.shape[-2] >= MANY_ROWS:
        # (bᵀa)ᵀ: with the longer rows on the right the product is up to a quarter faster, but its
        # transpose takes longer than a product over few rows (both measured).
        return jnp.swapaxes(transposed_matmul(b, a), -1, -2)
    shape = (*a.shape[:-2], a.shape[-1], b.shape[-1])
    config = {"onednn_matmul_config": {"transpose_a": True}}
    return _call("matmul", config, shape, jnp.float32, a, b)


def matmul(
    a: jax.Array,
    b: jax.Array,
    *,
    transpose_b: bool = False,
    bias: jax.Array | None = None,
    addend: jax.Array | None = None,
    activation: str | None = None,
) -> jax.Array:
    """activation(a b + bias + addend), or with bᵀ, of two matrices, in their dtype.

    Args:
        a, b: of one dtype that `jaxnets.ops.convolution.onednn_support.computes`.
        transpose_b: ``b`` has the result's columns as rows.
        bias: (columns,), of their dtype.
        addend: of the result's shape and their dtype.
        activation: one of `ACTIVATIONS`.

    Raises:
        ValueError: what oneDNN would refuse by ending the process.
    """
    inner, outer = (1, 0) if transpose_b else (0, 1)
    if a.ndim != 2 or b.ndim != 2 or min(a.shape + b.shape) < 1 or a.shape[1] != b.shape[inner]:
        raise ValueError(f"a and b do not fit: {a.shape} and {b.shape}, {transpose_b=}")
    shape = (a.shape[0], b.shape[outer])
    fusions, terms = _fusions(shape, a.dtype, bias, addend, activation)
    config: dict = {"transpose_b": transpose_b}
    if fusions:
        config["fusions"] = {"ops": fusions}
    # oneDNN's matrix product wants a bias of the result's rank.
    terms = [term.reshape(1, -1) if term.ndim == 1 else term for term in terms]
    return _call("matmul", {"onednn_matmul_config": config}, shape, a.dtype, a, b, *terms)
