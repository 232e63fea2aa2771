"""Attention in blocks: never more scores in memory than those of one block with another."""

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.ops.attention_softmax import divide, exponentials, weighted_sum


def attend_in_blocks(query, key, value, scores, mask, causal: bool, size: int) -> jax.Array:
    """The context of `jaxnets.ops.attend`, whose arguments these are, with memory of order Q + K.

    Blocks of queries in turn, each over all blocks of keys with a running softmax: what was summed
    under an older, smaller maximum is scaled down when a greater one comes. The backward pass
    computes scores anew, so it keeps no more than the forward pass.

    >>> import jax.numpy as jnp
    >>> from jaxnets.ops.attention_scores import dot_scores
    >>> value = jnp.array([[1.0], [3.0], [8.0]])
    >>> attend_in_blocks(value, 0 * value, value, dot_scores, None, True, 2).tolist()
    [[1.0], [2.0], [4.0]]
    """
    if size < 1:
        raise ValueError(f"block_size: got {size}; expected at least 1")
    queries, keys = query.shape[-2], key.shape[-2]
    if causal and keys < queries:
        raise ValueError(f"key: got {keys} steps for {queries} queries; causal needs as many")

    def seen(i: jax.Array, j: jax.Array) -> jax.Array:
        """The mask of a block of queries and one of keys."""
        rows, places = (n * size + jnp.arange(size) for n in (i, j))
        there = (places < keys)[None]
        if causal:
            there = there & (places[None] <= rows[:, None] + (keys - queries))
        there = lax.expand_dims(there, range(query.ndim - 2))
        if mask is None:
            return there
        taken = mask
        for axis, indices, count in ((-2, rows, queries), (-1, places, keys)):
            if mask.shape[axis] > 1:
                taken = jnp.take(taken, jnp.minimum(indices, count - 1), axis)
        return taken & there

    key_blocks, value_blocks = blocks(key, size), blocks(value, size)
    numbers = jnp.arange(key_blocks.shape[0])

    @jax.checkpoint
    def one_block(block):
        i, query = block

        @jax.checkpoint
        def add_keys(state, block):
            j, key, value = block
            context, total, top = state
            numerator, part, part_top = exponentials(scores(query, key), seen(i, j))
            new_top = jnp.maximum(top, part_top)
            # No key was seen yet where the maximum is −∞.
            base = jnp.maximum(new_top, jnp.finfo(new_top.dtype).min)
            old, new = jnp.exp(top - base), jnp.exp(part_top - base)
            summed = weighted_sum(numerator.astype(value.dtype), value).astype(context.dtype)
            return (old * context + new * summed, old * total + new * part, new_top), None

        rows = jax.eval_shape(scores, query, key_blocks[0])
        column = jnp.zeros((*rows.shape[:-1], 1), rows.dtype)
        context = jnp.zeros((*rows.shape[:-1], value.shape[-1]), rows.dtype)
        state, _ = lax.scan(
            add_keys, (context, column, column - jnp.inf), (numbers, key_blocks, value_blocks)
        )
        context, total, _ = state
        return divide(context, total).astype(value.dtype)

    query_blocks = blocks(query, size)
    context = lax.map(one_block, (jnp.arange(query_blocks.shape[0]), query_blocks))
    context = jnp.moveaxis(context, 0, -3)
    return context.reshape(*context.shape[:-3], -1, context.shape[-1])[..., :queries, :]


def blocks(x: jax.Array, size: int) -> jax.Array:
    """(…, T, d) → (blocks, …, size, d), the last one filled up with zeros.

    >>> import jax.numpy as jnp
    >>> blocks(jnp.ones((4, 5, 3)), 2).shape
    (3, 4, 2, 3)
    """
    x = jnp.pad(x, [(0, 0)] * (x.ndim - 2) + [(0, -x.shape[-2] % size), (0, 0)])
    x = x.reshape(*x.shape[:-2], -1, size, x.shape[-1])
    return jnp.moveaxis(x, -3, 0)
