"""Convolution as a primitive with fast gradients that can be differentiated again, in any mode.

A convolution is linear in x and linear in its kernel, and ⟨g, x ⋆ k⟩ is linear in all three of x, k
and g. Its derivatives in g, x and k are the forward pass, the input gradient and the kernel
gradient: three bilinear functions, of which each one's transposes are the other two. So three JAX
primitives that know each other close under differentiation: reverse mode, forward mode, and
derivatives of derivatives of any order run on the chosen algorithms.  (`jax.custom_vjp` forbids
forward mode, `jax.custom_jvp` would transpose by JAX's slow rules.)
"""

import functools

import jax
import jax.numpy as jnp
from jax import core, lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from jaxnets.ops.convolution import onednn_call, partition, window
from jaxnets.ops.convolution.algorithms import Algorithm, find
from jaxnets.ops.convolution.choose import portable
from jaxnets.ops.convolution.plan import Plan
from jaxnets.ops.convolution.problem import Problem


def _algorithm(name: str) -> Algorithm:
    algorithm = find(name)
    assert algorithm is not None, name  # `check` has seen every name that a user gave
    return algorithm


def _forward(x, kernel, *, problem: Problem, plan: Plan):
    return _algorithm(plan.forward).forward(x, kernel, problem)


def _input_gradient(g, kernel, *, problem: Problem, plan: Plan):
    return _algorithm(plan.input_gradient).input_gradient(g, kernel, problem)


def _kernel_gradient(x, g, *, problem: Problem, plan: Plan):
    return _algorithm(plan.kernel_gradient).kernel_gradient(x, g, problem)


def _primitive(name: str, direction: str, body, out_shape) -> Primitive:
    primitive = Primitive(name)

    def run(a, b, *, problem: Problem, plan: Plan):
        if problem.batch == 0:
            # No image: nothing to compute, and no gradient.
            return window.zeros(out_shape(problem), a.dtype, a)
        return body(a, b, problem=problem, plan=plan)

    def abstract(a, b, *, problem: Problem, plan: Plan):
        del b, plan
        if getattr(getattr(a, "manual_axis_type", None), "varying", None):
            # Inside shard_map the result varies over the devices as the operands do.
            return a.update(shape=out_shape(problem), weak_type=False)
        return core.ShapedArray(out_shape(problem), a.dtype)

    everywhere = mlir.lower_fun(run, multiple_results=False)
    # XLA cannot divide a call of oneDNN among devices by itself.
    divided = mlir.lower_fun(partition.over_devices(direction, run), multiple_results=False)

    def lower(context, a, b, *, problem: Problem, plan: Plan):
        # Of this function alone: another algorithm's constants have no place in a divided call, and
        # XLA divides it by itself.
        if getattr(plan, direction) != "onednn":
            return everywhere(context, a, b, problem=problem, plan=plan)
        module = context.module_context
        if not partition.called_here(module):
            # For another platform, or for a file that another version of jaxlib may read.
            plan = portable(problem, context.avals_in[0].dtype, plan)
        elif partition.of_many(module):
            onednn_call.keep_in_memory(module)
            return divided(context, a, b, problem=problem, plan=plan)
        return everywhere(context, a, b, problem=problem, plan=plan)

    primitive.def_impl(jax.jit(primitive.bind, static_argnames=("problem", "plan")))
    primitive.def_abstract_eval(abstract)
    mlir.register_lowering(primitive, lower)
    partition.divide(primitive)
    return primitive


conv_p = _primitive("jaxnets_conv", "forward", _forward, lambda p: p.out_shape)
input_gradient_p = _primitive(
    "jaxnets_conv_input_gradient", "input_gradient", _input_gradient, lambda p: p.x_shape
)
kernel_gradient_p = _primitive(
    "jaxnets_conv_kernel_gradient", "kernel_gradient", _kernel_gradient, lambda p: p.kernel_shape
)

# defbilinear(f, transpose in the first argument, in the second): each gets the cotangent of f's
# result and the other argument.
ad.defbilinear(
    conv_p,  # (x, k) → y
    lambda ct, x, k, **p: input_gradient_p.bind(ct, k, **p),
    lambda ct, x, k, **p: kernel_gradient_p.bind(x, ct, **p),
)
ad.defbilinear(
    input_gradient_p,  # (g, k) → x
    lambda ct, g, k, **p: conv_p.bind(ct, k, **p),
    lambda ct, g, k, **p: kernel_gradient_p.bind(ct, g, **p),
)
ad.defbilinear(
    kernel_gradient_p,  # (x, g) → k
    lambda ct, x, g, **p: input_gradient_p.bind(g, ct, **p),
    lambda ct, x, g, **p: conv_p.bind(x, ct, **p),
)


def _merge(x, size: int, axis: int):
    """Put the mapped axis into the batch."""
    x = jnp.moveaxis(x, axis, 0)
    return x.reshape(size * x.shape[1], *x.shape[2:])


def _batch(primitive, operands, axes, *, problem: Problem, plan: Plan):
    a, b = operands
    size = next(o.shape[d] for o, d in zip(operands, axes, strict=True) if d is not None)
    if primitive is not kernel_gradient_p and axes[1] is None:
        # One kernel for all: more images.
        wide = problem.replace(x_shape=(size * problem.batch, *problem.x_shape[1:]))
        out = primitive.bind(_merge(a, size, axes[0]), b, problem=wide, plan=plan)
        return out.reshape(size, out.shape[0] // size, *out.shape[1:]), 0
    # A kernel (or a kernel's gradient) for each: one after the other.
    mapped = [
        o if d is None else jnp.moveaxis(o, d, 0) for o, d in zip(operands, axes, strict=True)
    ]

    def one(i):
        a, b = (
            o if d is None else lax.dynamic_index_in_dim(o, i, keepdims=False)
            for o, d in zip(mapped, axes, strict=True)
        )
        return primitive.bind(a, b, problem=problem, plan=plan)

    return lax.map(one, jnp.arange(size)), 0


for _p in (conv_p, input_gradient_p, kernel_gradient_p):
    batching.primitive_batchers[_p] = functools.partial(_batch, _p)


def apply(x: jax.Array, kernel: jax.Array, problem: Problem, plan: Plan) -> jax.Array:
    """x ⋆ kernel with each of the three functions run as ``plan`` says."""
    # Where the kernel is the same on all devices and images are not, this conversion makes
    # shard_map add up the devices' gradients.
    axes = window.varying(x), window.varying(kernel)
    if axes[1] - axes[0]:
        x = lax.pcast(x, tuple(axes[1] - axes[0]), to="varying")
    if axes[0] - axes[1]:
        kernel = lax.pcast(kernel, tuple(axes[0] - axes[1]), to="varying")
    return conv_p.bind(x, kernel, problem=problem, plan=plan)
