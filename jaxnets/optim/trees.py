"""What every optimizer needs of a tree: precision of the state, zeros, checks of numbers."""

import math
import numbers
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Tree = Any


def state_dtype(leaf: jax.Array) -> jnp.dtype:
    """The dtype in which a method computes and remembers: that of the leaf, float32 at least.

    Sums of squares and slow averages stall in bfloat16 (adding 1/256 of itself changes nothing),
    so the state of a bfloat16 parameter is float32.

    Args:
        leaf: one array of the parameters or gradients.

    Raises:
        ValueError: when the leaf is not a real floating-point array.

    >>> state_dtype(jnp.zeros(3, jnp.bfloat16))
    dtype('float32')
    """
    dtype = jnp.result_type(leaf)
    if not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(
            f"parameters and gradients must be real floating-point arrays, got a leaf of dtype "
            f"{dtype} and shape {jnp.shape(leaf)}; convert it, or leave it out of the tree that "
            "the optimizer sees"
        )
    return jnp.promote_types(dtype, jnp.float32)


def promote(tree: Tree) -> Tree:
    """Every leaf in its `state_dtype`.

    Updates leave an optimizer in this precision. ``optax.apply_updates`` then adds them to the
    parameter in float32 and rounds once, to the parameter's own dtype.

    >>> promote({"w": jnp.ones(2, jnp.bfloat16)})["w"].dtype
    dtype('float32')
    """
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, state_dtype(leaf)), tree)


def zeros(params: Tree, fill: float = 0.0) -> Tree:
    """A tree like `params`, filled with `fill`, each leaf in its `state_dtype`.

    >>> zeros(jnp.ones(2, jnp.bfloat16)).tolist()
    [0.0, 0.0]
    """
    return jax.tree.map(lambda p: jnp.full_like(p, fill, dtype=state_dtype(p)), params)


def need_params(params: Tree | None, who: str) -> None:
    """Refuse a transform's `update` without parameters where the rule depends on them."""
    if params is None:
        raise ValueError(
            f"{who} depends on the parameters: call update(gradients, state, params), "
            "got params=None"
        )


def check_number(
    name: str,
    value: Any,
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> None:
    """Raise unless `value` is finite, low ≤ value ≤ high and above < value < below.

    Only a plain number is looked at. An array may be a tracer, whose value nobody knows yet.

    Args:
        name: of the argument, for the message.
        value: what came.
        low: the least value.
        high: the greatest value.
        above: a bound that the value must exceed.
        below: a bound that the value must stay below.

    >>> check_number("decay", 1.5, low=0, below=1)
    Traceback (most recent call last):
    ...
    ValueError: decay must be a number ≥ 0 and < 1, got 1.5
    """
    if isinstance(value, jax.Array | np.ndarray):
        return
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if (
        is_number
        and math.isfinite(value)
        and (low is None or value >= low)
        and (high is None or value <= high)
        and (above is None or value > above)
        and (below is None or value < below)
    ):
        return
    bounds = [
        f"{sign} {bound:g}"
        for sign, bound in (("≥", low), (">", above), ("≤", high), ("<", below))
        if bound is not None
    ]
    wanted = "a finite number" if is_number and not math.isfinite(value) else "a number"
    wanted += " " + " and ".join(bounds) if bounds else ""
    raise ValueError(f"{name} must be {wanted}, got {value!r}")


def check_count(name: str, value: Any, *, low: int = 0) -> None:
    """Raise unless `value` is a whole number of at least `low`.

    >>> check_count("steps", 0, low=1)
    Traceback (most recent call last):
    ...
    ValueError: steps must be a whole number ≥ 1, got 0
    """
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < low:
        raise ValueError(f"{name} must be a whole number ≥ {low}, got {value!r}")
