"""From a user's function on a pytree to a checked one on a flat vector.

Second-order methods live on inner products of whole parameter vectors, so the tree is laid out
as one vector once, at the door, and everything behind the door is linear algebra.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnets.optim.second_order._xla import as_varying


class Flat(NamedTuple):
    """A tree of arrays as one vector, and the way back.

    Attributes:
        vector: all leaves one after another, shape (n,), float32 or float64.
        restore: from a vector of shape (n,) to the tree, each leaf in its own dtype.
    """

    vector: jax.Array
    restore: Callable[[jax.Array], Any]


def flatten(tree: Any, name: str = "x0") -> Flat:
    """Lay a tree of floating-point arrays out as one vector.

    Half-precision leaves are widened to float32: differences of gradients need the digits.

    Raises:
        ValueError: the tree is empty, or a leaf is not a real floating-point array.

    >>> flat = flatten({"w": jnp.ones((2, 2)), "b": jnp.zeros(3)})
    >>> flat.vector.shape, flat.restore(flat.vector)["w"].shape
    ((7,), (2, 2))
    """
    paths, structure = jax.tree_util.tree_flatten_with_path(tree)
    for path, leaf in paths:
        dtype = jnp.result_type(leaf)
        if not jnp.issubdtype(dtype, jnp.floating):
            where = f"{name}{jax.tree_util.keystr(path)}"
            raise ValueError(
                f"{where} has dtype {dtype}; a minimizer moves real floating-point numbers only: "
                f"convert it (for example jnp.asarray(..., jnp.float32)) or pass it in args"
            )
    leaves = [jnp.asarray(leaf) for _, leaf in paths]
    sizes = [leaf.size for leaf in leaves]
    if not sum(sizes):
        raise ValueError(
            f"{name} holds no numbers: got the tree {structure} of {len(leaves)} leaves"
        )
    # By dtype, not by array: a weakly typed start would lose its float64.
    dtype = jnp.result_type(jnp.float32, *(leaf.dtype for leaf in leaves))
    shapes, dtypes = [leaf.shape for leaf in leaves], [leaf.dtype for leaf in leaves]

    def restore(vector: jax.Array) -> Any:
        parts, begin = [], 0
        for size, shape, kind in zip(sizes, shapes, dtypes, strict=True):
            parts.append(vector[begin : begin + size].reshape(shape).astype(kind))
            begin += size
        return jax.tree.unflatten(structure, parts)

    return Flat(join(leaves, dtype), restore)


def join(leaves: list[jax.Array], dtype: Any) -> jax.Array:
    """Concatenate leaves as one vector of a dtype."""
    flat = [jnp.ravel(leaf).astype(dtype) for leaf in leaves]
    return flat[0] if len(flat) == 1 else jnp.concatenate(flat)


def flat_objective(
    fun: Callable,
    flat: Flat,
    args: tuple = (),
    *,
    has_aux: bool = False,
    value_and_grad: bool = False,
    axis_name: str | None = None,
) -> Callable[[jax.Array], tuple[jax.Array, jax.Array, Any]]:
    """Make ``vector -> (value, gradient vector, aux)`` of a function on a tree.

    Args:
        fun: ``fun(x, *args)`` gives a scalar; with has_aux ``(scalar, aux)``; with
            value_and_grad what ``jax.value_and_grad(fun, has_aux)`` would give.
        flat: the start, from `flatten`.
        args: further arguments of fun (data: kept out of the compiled program).
        has_aux: fun also returns something to keep.
        value_and_grad: fun already returns its gradient.
        axis_name: inside pmap or shard_map: average value and gradient over this axis.

    Raises:
        ValueError: fun does not give a real scalar, or a gradient of another structure or shape.
    """
    dtype = flat.vector.dtype
    example = jax.eval_shape(flat.restore, flat.vector)
    if value_and_grad:
        both = fun
    else:
        _check_scalar(jax.eval_shape(fun, example, *args), has_aux)
        both = jax.value_and_grad(fun, has_aux=has_aux)
    if value_and_grad:
        _check_gradient(jax.eval_shape(both, example, *args), example, has_aux)

    def evaluate(vector: jax.Array):
        if axis_name is not None:
            vector = as_varying(vector, axis_name)
        out, gradient = both(flat.restore(vector), *args)
        value, aux = out if has_aux else (out, None)
        gradient = join(jax.tree.leaves(gradient), dtype)
        value = jnp.asarray(value, dtype)
        if axis_name is not None:
            value, gradient = jax.lax.pmean((value, gradient), axis_name)
        return value, gradient, aux

    return evaluate


def _check_scalar(out: Any, has_aux: bool) -> None:
    if has_aux:
        if not (isinstance(out, tuple) and len(out) == 2):
            raise ValueError(f"with has_aux=True fun must return (value, aux), got {_show(out)}")
        out = out[0]
    shape, dtype = getattr(out, "shape", None), getattr(out, "dtype", None)
    if shape != () or not jnp.issubdtype(dtype, jnp.floating):
        hint = (
            "pass has_aux=True if it returns (value, aux)"
            if shape is None
            else (
                "reduce it, for example with jnp.mean"
                if shape
                else "return a floating-point number"
            )
        )
        raise ValueError(f"fun must return one real number, got {_show(out)}; {hint}")


def _check_gradient(out: Any, example: Any, has_aux: bool) -> None:
    if not (isinstance(out, tuple) and len(out) == 2):
        raise ValueError(
            f"with value_and_grad=True fun must return (value, gradient), got {_show(out)}"
        )
    _check_scalar(out[0], has_aux)
    got, expected = jax.tree.structure(out[1]), jax.tree.structure(example)
    if got != expected:
        raise ValueError(f"the gradient has the structure {got}, x0 has {expected}")
    leaves = jax.tree_util.tree_leaves_with_path(example)
    for (path, want), have in zip(leaves, jax.tree.leaves(out[1]), strict=True):
        if have.shape != want.shape:
            raise ValueError(
                f"the gradient{jax.tree_util.keystr(path)} has shape {have.shape}, "
                f"the parameter {want.shape}; they must be equal"
            )


def _show(out: Any) -> str:
    if hasattr(out, "shape"):
        return f"{out.dtype}{list(out.shape)}"
    return str(jax.tree.map(_show, out)) if jax.tree.leaves(out) else repr(out)
