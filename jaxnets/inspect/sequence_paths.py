"""How far apart the steps of a sequence are inside a network, and what cannot be done at once.

A gradient passes as many operations between two steps as lie on the shortest path between them; a
machine waits for as many products as lie on the longest one.
"""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.extend import core

from jaxnets.models.counting import run_direct

PRODUCTS = ("dot_general", "conv_general_dilated")


def reach(states: Callable[[jax.Array], jax.Array], x: jax.Array) -> jax.Array:
    """How many steps back the last position sees, after one operation, two, …, by its Jacobian.

    Position j has seen position i where ∂ s_j / ∂ x_i has an entry that is not 0.

    Args:
        states: x → (K, N, h), the states of all positions after 1 … K operations, each of which
            works on all positions at once.
        x: (N, d), one sequence.

    Returns:
        (K,) int32: 0 where the last position knows itself alone, N − 1 where it has seen the first
        one, −1 where it knows nothing. A derivative too small for the dtype counts as 0.

    Raises:
        ValueError: an ``x`` that is no single sequence.

    >>> import jax.numpy as jnp
    >>> def shifts(x):  # each position takes up its left neighbor, three times
    ...     rows = [x]
    ...     for _ in range(3):
    ...         rows.append(rows[-1] + jnp.pad(rows[-1], ((1, 0), (0, 0)))[:-1])
    ...     return jnp.stack(rows[1:])
    >>> reach(shifts, jnp.ones((9, 2))).tolist()
    [1, 2, 3]
    """
    if x.ndim != 2:
        raise ValueError(f"x: got shape {x.shape}; expected (steps, features)")
    jacobian = jax.jacrev(lambda x: states(x)[:, -1])(x)
    seen = (jacobian != 0).any((1, 3))
    farthest = len(x) - 1 - jnp.argmax(seen, 1)
    return jnp.where(seen.any(1), farthest, -1).astype(jnp.int32)


def path_length(states: Callable[[jax.Array], jax.Array], x: jax.Array) -> int:
    """The least number of operations after which the last position has seen the first one.

    For N positions: N where a state goes from step to step, (N − 1) / (k − 1) for convolutions over
    k steps up to the present one, log_k N where their dilation grows k-fold, 1 for self-attention.

    Args:
        states: see `reach`.
        x: (N, d), one sequence.

    Returns:
        1 … K.

    Raises:
        ValueError: K operations do not suffice, or as `reach`.

    Source: Vaswani et al. 2017 (Attention Is All You Need), §4, Table 1.

    >>> import jax.numpy as jnp
    >>> path_length(lambda x: jnp.cumsum(x, 0)[None], jnp.ones((5, 1)))
    1
    """
    seen = reach(states, x) == len(x) - 1
    if not seen.any():
        raise ValueError(
            f"states: got {len(seen)} operations, after which position {len(x)} has not seen the "
            "first one; expected more of them"
        )
    return 1 + int(jnp.argmax(seen))


def sequential_products(function: Callable[..., Any], *arguments: Any) -> int:
    """Matrix products and convolutions on the longest chain in which each needs the one before.

    What stands beside each other in a chain can be computed at once, given enough processors; what
    stands behind each other cannot. Loops count every turn; a ``while`` loop, whose turns are not
    known, counts as one. Element-wise work is not counted, and a `jaxnets.nn.Conv` is one product,
    whichever algorithm it chooses.

    Args:
        function: of arrays.
        arguments: arrays, or `jax.ShapeDtypeStruct`; nothing is computed.

    Returns:
        The number of products.

    Source: the minimum number of sequential operations of Vaswani et al. 2017, Table 1.

    >>> import jax.numpy as jnp
    >>> a = jnp.ones((2, 2))
    >>> sequential_products(lambda a: (a @ a) + (a @ a), a), sequential_products(
    ...     lambda a: jax.lax.scan(lambda c, _: (c @ a, None), a, length=7)[0], a
    ... )
    (1, 7)
    """
    with nn.intercept_methods(run_direct):
        closed = jax.make_jaxpr(function)(*arguments)
    return max(_chains(closed.jaxpr, [0] * len(closed.jaxpr.invars)), default=0)


def _chains(jaxpr: core.Jaxpr, before: Sequence[int]) -> list[int]:
    """Products on the longest chain to each output, given those to each input."""
    chain: dict[Any, int] = dict.fromkeys(jaxpr.constvars, 0)
    chain.update(zip(jaxpr.invars, before, strict=True))

    def read(atom: Any) -> int:
        return 0 if isinstance(atom, core.Literal) else chain[atom]

    for eqn in jaxpr.eqns:
        after = _after(eqn, [read(atom) for atom in eqn.invars])
        chain.update(zip(eqn.outvars, after, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _after(eqn: core.JaxprEqn, before: list[int]) -> list[int]:
    name, params = eqn.primitive.name, eqn.params
    if name == "scan":
        kept, end = params["num_consts"], params["num_consts"] + params["num_carry"]
        carry, rows = before[kept:end], [0] * (len(eqn.outvars) - params["num_carry"])
        for _ in range(params["length"]):
            inputs = [*before[:kept], *carry, *before[end:]]
            out = _chains(params["jaxpr"].jaxpr, inputs)
            rows = [max(pair) for pair in zip(rows, out[len(carry) :], strict=True)]
            carry, last = out[: len(carry)], carry
            if carry == last:
                break
        return [*carry, *rows]
    if name == "while":
        inputs = before[params["cond_nconsts"] :]
        out = _chains(params["body_jaxpr"].jaxpr, inputs)
        return [max(pair) for pair in zip(out, inputs[params["body_nconsts"] :], strict=True)]
    if name == "cond":
        branches = [_chains(branch.jaxpr, before[1:]) for branch in params["branches"]]
        return [max(before[0], *found) for found in zip(*branches, strict=True)]
    for key in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
        inner = getattr(params.get(key), "jaxpr", params.get(key))
        if isinstance(inner, core.Jaxpr) and len(inner.invars) == len(before):
            return _chains(inner, before)
    return [max(before, default=0) + (name in PRODUCTS)] * len(eqn.outvars)
