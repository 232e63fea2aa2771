"""Attention: one function for every kind of score, whole or in blocks.

context_i = Σ_j a_ij v_j with a_i = softmax_j score(q_i, k_j): `attend` is the whole of it. What
differs between papers is the score (`jaxnets.ops.attention_scores`), and what is called query, key
and value.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxnets.ops.attention_blocks import attend_in_blocks
from jaxnets.ops.attention_scores import dot_scores
from jaxnets.ops.attention_softmax import check_leading, check_mask, softmax_of_values

Scores = Callable[[jax.Array, jax.Array], jax.Array]


def attend(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    *,
    scores: Scores = dot_scores,
    mask: jax.Array | None = None,
    causal: bool = False,
    block_size: int | None = None,
) -> tuple[jax.Array, jax.Array | None]:
    """context_i = Σ_j a_ij v_j, a_i = softmax over the keys that query i may see.

    With a ``block_size`` the scores of one block of queries with one block of keys are in memory at
    a time, in the backward pass as well: memory grows with Q + K instead of Q · K.

    Args:
        query: (…, Q, d_q).
        key: (…, K, d_k).
        value: (…, K, d_v).
        scores: (query, key) → (…, Q, K).
        mask: booleans (…, Q, K), or with 1 in place of axes that do not matter: True where a query
            may see a key. A query that may see none has the context 0.
        causal: hide from each query the keys behind it, as `causal_mask` does.
        block_size: queries and keys at a time; None for all.

    Returns:
        (context (…, Q, d_v), weights (…, Q, K)); no weights (None) with a ``block_size``.

    Raises:
        ValueError: no keys at all, or shapes that do not fit together.

    Source: Bahdanau et al. 2015, §3.1; blocks: Rabe & Staats 2021 (Self-attention Does Not Need
    O(n²) Memory), Dao et al. 2022 (FlashAttention), §3.1.

    >>> import jax.numpy as jnp
    >>> value = jnp.array([[1.0], [3.0], [100.0]])
    >>> mask = jnp.array([[True, True, False]])
    >>> context, weights = attend(jnp.zeros((1, 2)), jnp.ones((3, 2)), value, mask=mask)
    >>> context.tolist(), weights.tolist()
    ([[2.0]], [[0.5, 0.5, 0.0]])
    """
    for name, array in (("query", query), ("key", key), ("value", value)):
        if getattr(array, "ndim", 0) < 2:
            got = f"shape {array.shape}" if hasattr(array, "shape") else f"a {type(array).__name__}"
            raise ValueError(f"{name}: got {got}; expected (…, steps, features)")
    check_leading("value", value, query)
    if key.shape[-2] == 0:
        raise ValueError(f"key: got shape {key.shape}, a sequence of length 0; expected some keys")
    if value.shape[-2] != key.shape[-2]:
        raise ValueError(f"value: got {value.shape[-2]} steps; expected {key.shape[-2]}, as key")
    shape = (*query.shape[:-1], key.shape[-2])
    if mask is not None:
        check_mask(mask, shape)
    if block_size is not None:
        return attend_in_blocks(query, key, value, scores, mask, causal, block_size), None
    if causal:
        seen = jax.lax.expand_dims(causal_mask(*shape[-2:]), range(query.ndim - 2))
        mask = seen if mask is None else mask & seen
    return softmax_of_values(scores(query, key), mask, value)


def causal_mask(queries: int, keys: int | None = None) -> jax.Array:
    """Query i may see the keys up to itself; with more keys than queries, the queries are the last.

    Args:
        queries: Q.
        keys: K; Q where None.

    Returns:
        (Q, K) booleans.

    Raises:
        ValueError: fewer keys than queries.

    Source: Vaswani et al. 2017, §3.2.3.

    >>> causal_mask(2, 3).tolist()
    [[True, True, False], [True, True, True]]
    """
    keys = queries if keys is None else keys
    if keys < queries:
        raise ValueError(f"keys: got {keys} for {queries} queries; expected at least as many")
    return jnp.tril(jnp.ones((queries, keys), bool), keys - queries)


def split_heads(x: jax.Array, heads: int) -> jax.Array:
    """(…, T, H · d) → (…, H, T, d): heads before time, where products of matrices want them.

    Args:
        x: (…, T, features).
        heads: H.

    Returns:
        (…, H, T, features / H).

    Raises:
        ValueError: features that H does not divide.

    >>> import jax.numpy as jnp
    >>> split_heads(jnp.ones((2, 5, 6)), 3).shape
    (2, 3, 5, 2)
    """
    if heads < 1 or x.shape[-1] % heads:
        raise ValueError(f"heads: got {heads}; expected a divisor of {x.shape[-1]} features")
    x = x.reshape(*x.shape[:-1], heads, x.shape[-1] // heads)
    return jnp.swapaxes(x, -2, -3)


def join_heads(x: jax.Array) -> jax.Array:
    """(…, H, T, d) → (…, T, H · d), the inverse of `split_heads`.

    Args:
        x: (…, H, T, d).

    Returns:
        (…, T, H · d).

    >>> import jax.numpy as jnp
    >>> join_heads(jnp.ones((2, 3, 5, 2))).shape
    (2, 5, 6)
    """
    x = jnp.swapaxes(x, -2, -3)
    return x.reshape(*x.shape[:-2], -1)
