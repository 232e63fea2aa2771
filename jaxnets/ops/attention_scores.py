"""Scores of attention: how well a key answers a query.

| score | formula | source |
|---|---|---|
| `dot_scores` | q·k / √d, or q·k | Vaswani et al. 2017, §3.2.1; Luong et al. 2015, §3.1 |
| `multiplicative_scores` | qᵀ W k | Luong et al. 2015, §3.1 ("general") |
| `additive_scores` | vᵀ tanh(q + k) | Bahdanau et al. 2015, §A.1.2 |
"""

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.ops.attention_softmax import check_leading
from jaxnets.ops.precision import at_least_float32


def dot_scores(query: jax.Array, key: jax.Array, *, scale: float | None = None) -> jax.Array:
    """score_ij = scale · q_i · k_j.

    Args:
        query: (…, Q, d).
        key: (…, K, d).
        scale: 1/√d where None; 1 for the plain product.

    Returns:
        (…, Q, K), float32 or wider.

    Raises:
        ValueError: features or leading axes that differ.

    Source: Vaswani et al. 2017 (Attention Is All You Need), §3.2.1.

    >>> import jax.numpy as jnp
    >>> dot_scores(jnp.ones((1, 4)), jnp.ones((2, 4))).tolist()
    [[2.0, 2.0]]
    """
    check_leading("key", key, query)
    if query.shape[-1] != key.shape[-1]:
        raise ValueError(f"key: got {key.shape[-1]} features; expected {query.shape[-1]}, as query")
    if scale is None:
        scale = query.shape[-1] ** -0.5
    leading = tuple(range(query.ndim - 2))
    last = query.ndim - 1
    scores = lax.dot_general(query, key, (((last,), (last,)), (leading, leading)))
    return at_least_float32(scores) * scale


def multiplicative_scores(query: jax.Array, key: jax.Array, kernel: jax.Array) -> jax.Array:
    """score_ij = q_iᵀ W k_j.

    Args:
        query: (…, Q, d_q).
        key: (…, K, d_k).
        kernel: (d_q, d_k), W.

    Returns:
        (…, Q, K), float32 or wider.

    Raises:
        ValueError: a kernel that does not fit query and key.

    Source: Luong et al. 2015 (Effective Approaches to Attention-based NMT), §3.1.

    >>> import jax.numpy as jnp
    >>> multiplicative_scores(jnp.ones((1, 2)), jnp.ones((1, 3)), jnp.ones((2, 3))).tolist()
    [[6.0]]
    """
    if kernel.shape != (query.shape[-1], key.shape[-1]):
        raise ValueError(
            f"kernel: got shape {kernel.shape}; expected {(query.shape[-1], key.shape[-1])}"
        )
    query = lax.dot_general(query, kernel, (((query.ndim - 1,), (0,)), ((), ())))
    return dot_scores(query, key, scale=1.0)


def additive_scores(query: jax.Array, key: jax.Array, energy: jax.Array) -> jax.Array:
    """score_ij = vᵀ tanh(q_i + k_j), for queries and keys that are projected already.

    Bahdanau et al.'s W s and U h are products that each query and each key needs once, so they are
    made outside.

    Args:
        query: (…, Q, d).
        key: (…, K, d).
        energy: (d,), v.

    Returns:
        (…, Q, K), float32 or wider.

    Raises:
        ValueError: shapes that differ.

    Source: Bahdanau et al. 2015 (Neural Machine Translation by Jointly Learning to Align and
    Translate), §A.1.2.

    >>> import jax.numpy as jnp
    >>> additive_scores(jnp.zeros((1, 2)), jnp.full((1, 2), 99.0), jnp.ones(2)).tolist()
    [[2.0]]
    """
    check_leading("key", key, query)
    if not query.shape[-1:] == key.shape[-1:] == energy.shape:
        raise ValueError(
            f"energy: got shape {energy.shape} for {query.shape[-1]} features of query and "
            f"{key.shape[-1]} of key; expected one number"
        )
    hidden = jnp.tanh(query[..., :, None, :] + key[..., None, :, :])
    return at_least_float32(lax.dot_general(hidden, energy, (((hidden.ndim - 1,), (0,)), ((), ()))))
