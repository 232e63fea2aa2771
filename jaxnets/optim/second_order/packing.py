"""Many scalars as two short vectors: inside a loop each array costs a kernel and a copy.

XLA's CPU compiler runs one small kernel for every output of a loop's body. A minimizer carries
some thirty numbers; as two vectors they take two kernels, and small problems a fifth less time.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class Packed(NamedTuple):
    """Scalars of a tree: the floating-point ones, and integers and truth values, as vectors."""

    floats: jax.Array
    integers: jax.Array


def pack(tree: Any) -> Packed:
    """Lay the scalars of a tree out as two vectors; `unpack` is the way back.

    >>> packed = pack({"a": jnp.float32(1.5), "b": jnp.int32(3), "c": jnp.asarray(True)})
    >>> packed.floats.tolist(), packed.integers.tolist()
    ([1.5], [3, 1])
    """
    leaves = [jnp.asarray(leaf) for leaf in jax.tree.leaves(tree)]
    floats = [leaf for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.floating)]
    others = [leaf for leaf in leaves if not jnp.issubdtype(leaf.dtype, jnp.floating)]
    return Packed(jnp.stack(floats), jnp.stack([leaf.astype(jnp.int32) for leaf in others]))


def unpack(packed: Packed, like: Any) -> Any:
    """The tree that was packed, with the structure and dtypes of `like`.

    >>> like = {"a": jnp.float32(0), "b": jnp.int32(0), "c": jnp.asarray(False)}
    >>> unpack(pack({"a": 1.5, "b": 3, "c": True}), like)["c"].tolist()
    True
    """
    floats, integers = iter(range(packed.floats.size)), iter(range(packed.integers.size))
    leaves, structure = jax.tree.flatten(like)
    restored = [
        packed.floats[next(floats)]
        if jnp.issubdtype(leaf.dtype, jnp.floating)
        else packed.integers[next(integers)].astype(leaf.dtype)
        for leaf in leaves
    ]
    return jax.tree.unflatten(structure, restored)
