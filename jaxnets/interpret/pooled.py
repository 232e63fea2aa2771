"""The feature map that a network averages before its classifier, found in its jaxpr.

Class activation maps need a network of the form z = W · mean(f) + b. Whether a network has it is
read off its operations: the last thing that happens to the positions of a map is that all of them
are added up, and from there on everything is linear.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
from jax.extend import core

from jaxnets.interpret.interpreter import GRADIENT, Collected, Interpreter
from jaxnets.models.features import call_keywords

# Linear in one operand where the others do not depend on the image.
LINEAR = {
    *("add", "sub", "mul", "div", "neg", "dot_general", "conv_general_dilated", "reshape"),
    *("squeeze", "broadcast_in_dim", "convert_element_type", "transpose", "reduce_sum", "copy"),
    *("slice", "pad", "expand_dims", "reduce_window_sum", "name"),
}
# What may stand between the sums over one axis and over the other.
SHAPES = {"reshape", "squeeze", "broadcast_in_dim", "convert_element_type", "copy", "name"}


def split_at_pooling(
    model: nn.Module, variables: Any, x: jax.Array
) -> tuple[jax.Array, Callable[[jax.Array], jax.Array]] | None:
    """Cut a network into the last feature map, and the linear function from it to the logits.

    Args:
        model: any Flax module that takes images first.
        variables: its variables.
        x: images (N, H, W, C); traced or not.

    Returns:
        (feature map (N, h, w, C), function from a map of this shape to logits (N, K)), or None for
        a network of another form.

    Raises:
        ValueError: the network does not return one array (N, K).

    >>> model, x = nn.Sequential([nn.relu, lambda x: x.mean((1, 2)), nn.Dense(3)]), jax.numpy.ones(
    ...     (1, 2, 2, 5)
    ... )
    >>> f, head = split_at_pooling(model, model.init(jax.random.key(0), x), x)
    >>> f.shape, head(f).shape
    ((1, 2, 2, 5), (1, 3))
    """
    leaves, structure = jax.tree.flatten((variables, x))
    keywords = call_keywords(model)

    def logits(*leaves):
        v, x = jax.tree.unflatten(structure, leaves)
        return model.apply(v, x, **keywords)

    closed, shape = jax.make_jaxpr(logits, return_shape=True)(*leaves)
    if not isinstance(shape, jax.ShapeDtypeStruct) or len(shape.shape) != 2:
        raise ValueError(
            f"model: {type(model).__name__} returns no logits (N, K); class activation maps need "
            "a network with its head"
        )
    plain = Interpreter(GRADIENT)
    # Once through the interpreter: it runs inner calls in place, so that the jaxpr is one list.
    flat = jax.make_jaxpr(lambda *args: plain.run(closed.jaxpr, closed.consts, args))(*leaves)
    feature = _pooled_variable(flat.jaxpr)
    if feature is None:
        return None

    def run(edit=None):
        found = Collected()
        interpreter = Interpreter(GRADIENT, edit=edit, found=found, places=(feature,))
        return interpreter.run(flat.jaxpr, flat.consts, leaves)[0], found.values[0]

    return run()[1], lambda value: run(lambda _: value)[0]


def _pooled_variable(jaxpr: core.Jaxpr) -> Any:
    """Walk from the logits back, as long as everything is linear, to the sum over positions."""
    made = {v: eqn for eqn in jaxpr.eqns for v in eqn.outvars}
    depends = {jaxpr.invars[-1]}
    for eqn in jaxpr.eqns:
        if any(not isinstance(v, core.Literal) and v in depends for v in eqn.invars):
            depends.update(eqn.outvars)
    current: Any = jaxpr.outvars[0]
    summed: Any = None
    while not isinstance(current, core.Literal) and current in made:
        eqn = made[current]
        name = eqn.primitive.name
        inputs = [v for v in eqn.invars if not isinstance(v, core.Literal) and v in depends]
        if name not in LINEAR or len(inputs) != 1:
            return None
        if name in ("div", "conv_general_dilated") and inputs[0] is not eqn.invars[0]:
            return None
        current = inputs[0]
        shape = current.aval.shape
        if len(shape) == 4 and shape[1] * shape[2] == 1:
            continue  # a sum over one position is none
        if name == "reduce_window_sum" and len(shape) == 4:
            result: Any = eqn.outvars[0].aval
            whole = eqn.params["window_dimensions"] == (1, *shape[1:3], 1)
            return current if whole and result.shape[1:3] == (1, 1) else None
        if name == "reduce_sum" and set(eqn.params["axes"]) <= {1, 2}:
            if len(shape) == 4 and set(eqn.params["axes"]) == {1, 2}:
                return current
            if summed is not None and len(shape) == 4:
                return current
            summed = eqn
        elif summed is not None and name not in SHAPES:
            return None
    return None
