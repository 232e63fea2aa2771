"""Parameters and multiply-accumulates, exactly, without initializing or running anything."""

import math
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.extend import core

from jaxnets.models.features import call_keywords
from jaxnets.models.registry import create_model, model_info


def count_parameters(model: "nn.Module | str | Mapping[str, Any]", input_shape=None) -> int:
    """The number of learnable parameters; running statistics are not among them.

    Args:
        model: a registered name, a network, or variables (a dict with "params", or the
            parameters themselves).
        input_shape: (H, W, C) of one image; needed for a network, for a name the default is that
            of its published input.

    Returns:
        Their number, an int; nothing is initialized.

    Raises:
        ValueError: a network without ``input_shape``.
        UnknownNameError: no such registered name.

    >>> count_parameters("lenet5_1998")
    60000
    >>> from jaxnets.models import create_model
    >>> count_parameters(create_model("lenet5", num_classes=2), (28, 28, 1))
    61026
    """
    if isinstance(model, Mapping):
        params = model.get("params", model)
    else:
        params = abstract_variables(*_resolve(model, input_shape)).get("params", {})
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))


def count_macs(model: "nn.Module | str", input_shape=None) -> int:
    """Multiply-accumulates of all convolutions and matrix products for one image, in evaluation.

    A convolution costs (output elements) × (kernel taps) × (input channels / groups), also where
    its taps fall on padding, whichever algorithm will run: every layer that has an ``algorithm``
    is traced as "direct". Element-wise work (normalization, pooling, activations) is not counted.

    Args:
        model: a registered name or a network.
        input_shape: (H, W, C) of one image; for a name the default is its published input.

    Returns:
        Their number for one image, an int; a multiplication with its addition counts once, so FLOPs
        are twice this.

    Raises:
        ValueError: a network without ``input_shape``.
        UnknownNameError: no such registered name.

    >>> count_macs("lenet5")
    416520
    """
    model, input_shape = _resolve(model, input_shape)
    variables = abstract_variables(model, input_shape)
    x = jax.ShapeDtypeStruct((1, *input_shape), jnp.float32)

    def run(variables, x):
        with nn.intercept_methods(run_direct):
            return model.apply(variables, x, train=False)

    return jaxpr_macs(jax.make_jaxpr(run)(variables, x).jaxpr)


def abstract_variables(model: nn.Module, input_shape) -> Mapping[str, Any]:
    """Shapes and dtypes of all variables of a network, for images of (H, W, C)."""
    x = jax.ShapeDtypeStruct((1, *input_shape), jnp.float32)
    key = jax.eval_shape(jax.random.key, 0)
    return jax.eval_shape(
        lambda key, x: model.init({"params": key, "dropout": key}, x, **call_keywords(model)),
        key,
        x,
    )


def jaxpr_macs(jaxpr: core.Jaxpr) -> int:
    """Multiply-accumulates of every ``conv_general_dilated`` and ``dot_general`` in a jaxpr.

    Loops count their body as often as it runs; of the branches of a condition the most expensive
    one counts. A ``while`` loop counts its body once: its length is not known before it runs.

    >>> a = jax.numpy.ones((2, 3)); b = jax.numpy.ones((3, 5))
    >>> jaxpr_macs(jax.make_jaxpr(jax.numpy.dot)(a, b).jaxpr)
    30
    """
    total = 0
    for eqn in jaxpr.eqns:
        name = eqn.primitive.name
        if name == "conv_general_dilated":
            total += _conv_macs(eqn)
        elif name == "dot_general":
            (contract, _), _ = eqn.params["dimension_numbers"]
            both: tuple[Any, Any] = (eqn.invars[0].aval, eqn.outvars[0].aval)
            operand, result = (aval.shape for aval in both)
            total += math.prod(result) * math.prod(operand[axis] for axis in contract)
        elif name == "cond":
            total += max(jaxpr_macs(branch.jaxpr) for branch in eqn.params["branches"])
        else:
            times = eqn.params["length"] if name == "scan" else 1
            total += times * sum(jaxpr_macs(inner) for inner in _inner_jaxprs(eqn.params))
    return total


def _conv_macs(eqn) -> int:
    x, kernel, y = eqn.invars[0].aval, eqn.invars[1].aval, eqn.outvars[0].aval
    spec = eqn.params["dimension_numbers"]
    taps = math.prod(kernel.shape[axis] for axis in spec.rhs_spec[1:])
    if any(d != 1 for d in eqn.params["lhs_dilation"]):
        # A transposed convolution: every input element meets every tap, the zeros between do not.
        positions = math.prod(x.shape[axis] for axis in spec.lhs_spec[2:])
    else:
        positions = math.prod(y.shape[axis] for axis in spec.out_spec[2:])
    batch = y.shape[spec.out_spec[0]]
    return batch * positions * taps * kernel.shape[spec.rhs_spec[0]]


def _inner_jaxprs(params: Mapping[str, Any]):
    for value in params.values():
        for item in value if isinstance(value, (tuple, list)) else (value,):
            if isinstance(item, core.ClosedJaxpr):
                yield item.jaxpr
            elif isinstance(item, core.Jaxpr):
                yield item


def run_direct(next_method, args, kwargs, context):
    """Interceptor: run a layer that can choose its algorithm by the direct one."""
    module = context.module
    algorithm = getattr(module, "algorithm", None)
    if algorithm is None or context.method_name != "__call__":
        return next_method(*args, **kwargs)
    # A bound module is frozen; the field is set back before anyone else can see it.
    object.__setattr__(module, "algorithm", "direct")
    try:
        return next_method(*args, **kwargs)
    finally:
        object.__setattr__(module, "algorithm", algorithm)


def _resolve(model, input_shape):
    if isinstance(model, str):
        return create_model(model), tuple(input_shape or model_info(model).input_shape)
    if input_shape is None:
        raise ValueError("count: a network needs input_shape=(height, width, channels), got None")
    return model, tuple(input_shape)
