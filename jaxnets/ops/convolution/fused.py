"""A convolution and what follows it at inference, in one call where oneDNN is at hand.

activation(x ⋆ kernel + bias + addend): `jaxnets.nn.optimize_for_inference` puts it in place of a
convolution, its folded batch normalization, a residual addition and an activation.
"""

import jax
import jax.numpy as jnp
from jax import core, lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from jaxnets.ops.convolution import onednn, onednn_call, onednn_support, partition
from jaxnets.ops.convolution.bilinear import apply
from jaxnets.ops.convolution.choose import choose, portable
from jaxnets.ops.convolution.plan import Plan
from jaxnets.ops.convolution.problem import Problem

ACTIVATIONS = {
    "RELU": lambda y: jnp.maximum(y, 0),
    "RELU6": lambda y: jnp.clip(y, 0, 6),
    "SIGMOID": jax.nn.sigmoid,
    "TANH": jnp.tanh,
}
assert set(ACTIVATIONS) <= set(onednn_call.ACTIVATIONS)


def fused_conv(
    x: jax.Array,
    kernel: jax.Array,
    problem: Problem,
    *,
    bias: jax.Array | None = None,
    addend: jax.Array | None = None,
    activation: str | None = None,
) -> jax.Array:
    """activation(x ⋆ kernel + bias + addend), by what `algorithm="auto"` chooses for forward.

    Args:
        x, kernel: of one floating dtype.
        problem: their convolution.
        bias: (C_out,), or None.
        addend: of the result's shape, or None.
        activation: a key of `ACTIVATIONS`, or None.

    Returns:
        (N, out…, C_out) in x's dtype.

    >>> from jaxnets.ops.convolution.problem import make_problem
    >>> x, kernel = jnp.ones((1, 2, 2, 1)), -jnp.ones((1, 1, 1, 1))
    >>> float(fused_conv(x, kernel, make_problem(x, kernel), activation="RELU").sum())
    0.0
    """
    forward = choose(problem, x.dtype, jax.default_backend()).forward
    plan = Plan(forward, "direct", "direct")
    if forward == "onednn":
        extra = [a for a in (bias, addend) if a is not None]
        return fused_p.bind(
            x,
            kernel,
            *extra,
            problem=problem,
            with_bias=bias is not None,
            with_addend=addend is not None,
            activation=activation,
        )
    return _one_by_one(x, kernel, bias, addend, problem, activation, plan)


def _one_by_one(x, kernel, bias, addend, problem: Problem, activation: str | None, plan: Plan):
    """Several operations, which XLA fuses into loops of its own; half precision sums in float32."""
    y = apply(x, kernel, problem, plan)
    wide = jnp.float32 if y.dtype.itemsize < 4 else y.dtype
    for term in (bias, addend):
        if term is not None:
            y = y.astype(wide) + lax.expand_dims(term.astype(wide), range(y.ndim - term.ndim))
    y = y if activation is None else ACTIVATIONS[activation](y)
    return y.astype(x.dtype)


def _split(extra, with_bias: bool, with_addend: bool):
    bias = extra[0] if with_bias else None
    return bias, extra[-1] if with_addend else None


def _parts(x, kernel, *extra, problem, with_bias, with_addend, activation):
    """Without a call of oneDNN: where the program is for other machines, or is differentiated."""
    bias, addend = _split(extra, with_bias, with_addend)
    plan = portable(problem, x.dtype, Plan("onednn", "onednn", "onednn"))
    return _one_by_one(x, kernel, bias, addend, problem, activation, plan)


def _call(x, kernel, *extra, problem, with_bias, with_addend, activation):
    if problem.batch == 0:
        return jnp.zeros(problem.out_shape, x.dtype)
    dtype = onednn_support.compute_dtype(x.dtype)
    if problem.depthwise and problem.out_channels > problem.groups:
        x = jnp.repeat(x, problem.out_channels // problem.groups, axis=-1)
        problem = problem.replace(x_shape=x.shape, groups=problem.out_channels)
    bias, addend = _split([a.astype(dtype) for a in extra], with_bias, with_addend)
    y = onednn.convolve(
        x.astype(dtype),
        kernel.astype(dtype),
        problem,
        bias=bias,
        addend=addend,
        activation=activation,
    )
    return y.astype(x.dtype)


def _lower(context, *operands, problem, **params):
    module = context.module_context
    native = partition.called_here(module) and not partition.of_many(module)
    body = _call if native else _parts
    return mlir.lower_fun(body, multiple_results=False)(
        context, *operands, problem=problem, **params
    )


def _batch(operands, axes, *, problem: Problem, with_bias, with_addend, activation):
    """More images where only images are mapped; else one after the other."""
    size = next(o.shape[d] for o, d in zip(operands, axes, strict=True) if d is not None)
    moved = [o if d is None else jnp.moveaxis(o, d, 0) for o, d in zip(operands, axes, strict=True)]
    fixed = axes[1 : 2 + with_bias]
    params = {"with_bias": with_bias, "with_addend": with_addend, "activation": activation}
    if axes[0] is not None and all(d is None for d in fixed):
        wide = problem.replace(x_shape=(size * problem.batch, *problem.x_shape[1:]))
        if with_addend and axes[-1] is None:
            moved[-1] = jnp.broadcast_to(moved[-1], (size, *moved[-1].shape))
        merged = [
            o.reshape(-1, *o.shape[2:]) if i == 0 or (with_addend and i == len(moved) - 1) else o
            for i, o in enumerate(moved)
        ]
        out = fused_p.bind(*merged, problem=wide, **params)
        return out.reshape(size, -1, *out.shape[1:]), 0

    def one(i):
        own = [o if d is None else o[i] for o, d in zip(moved, axes, strict=True)]
        return fused_p.bind(*own, problem=problem, **params)

    return lax.map(one, jnp.arange(size)), 0


def _jvp(primals, tangents, **params):
    tangents = [ad.instantiate_zeros(t) for t in tangents]
    return jax.jvp(lambda *a: _parts(*a, **params), tuple(primals), tuple(tangents))


fused_p = Primitive("jaxnets_fused_conv")
fused_p.def_impl(
    jax.jit(fused_p.bind, static_argnames=("problem", "with_bias", "with_addend", "activation"))
)
fused_p.def_abstract_eval(lambda x, *_, problem, **__: core.ShapedArray(problem.out_shape, x.dtype))
mlir.register_lowering(fused_p, _lower)
batching.primitive_batchers[fused_p] = _batch
ad.primitive_jvps[fused_p] = _jvp
