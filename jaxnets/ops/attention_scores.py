"""Scores of attention: how well a key answers a query.

| score | formula | source |
|---|---|---|
| `dot_scores` | q·k / √d, or q·k | Vaswani et al. 2017, §3.2.1; Luong et al. 2015, §3.1 |
| `multiplicative_scores` | qᵀ W k | Luong et al. 2015, §3.1 ("general") |
| `additive_scores` | vᵀ tanh(q + k) | Bahdanau et al. 2015, §A.1.2 |
| `best_word_scores` | max_i q_i·k_j, one row for all queries | Xu & Saenko 2016, §3.2 |
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.ops.attention_softmax import check_leading, check_mask
from jaxnets.ops.precision import at_least_float32, sum_dtype


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
    axes = (((last,), (last,)), (leading, leading))
    kind = sum_dtype(query, key)
    return lax.dot_general(query, key, axes, preferred_element_type=kind) * scale


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


def best_word_scores(
    query: jax.Array, key: jax.Array, *, mask: jax.Array | None = None
) -> jax.Array:
    """score_j = max_i q_i · k_j: a key counts as much as the query that it answers best.

    Args:
        query: (…, Q, d), such as the words of a question.
        key: (…, K, d), such as the places of a picture.
        mask: booleans (…, Q, K), or with 1 in place of axes that do not matter: True where a query
            may see a key. A key that no query may see has the score −∞.

    Returns:
        (…, 1, K), float32 or wider.

    Raises:
        ValueError: as `dot_scores`.

    Source: Xu & Saenko 2016 (Ask, Attend and Answer), §3.2, word guided attention.

    >>> import jax.numpy as jnp
    >>> best_word_scores(jnp.array([[1.0, 0], [0, 2]]), jnp.array([[3.0, 1], [1, 1]])).tolist()
    [[3.0, 2.0]]
    """
    scores = dot_scores(query, key, scale=1.0)
    if mask is not None:
        check_mask(mask, scores.shape)
        scores = jnp.where(mask, scores, -jnp.inf)
    return scores.max(-2, keepdims=True)


def additive_scores(
    query: jax.Array,
    key: jax.Array,
    energy: jax.Array,
    *,
    activation: Callable[[jax.Array], jax.Array] = jnp.tanh,
) -> jax.Array:
    """score_ij = vᵀ tanh(q_i + k_j), for queries and keys that are projected already.

    Bahdanau et al.'s W s and U h are products that each query and each key needs once, so they are
    made outside.

    Args:
        query: (…, Q, d).
        key: (…, K, d).
        energy: (d,), v; or (d, G), for G rows of scores a query ("glimpses").
        activation: in place of tanh.

    Returns:
        (…, Q, K), or (…, Q · G, K), the glimpses of a query beside each other; float32 or wider.

    Raises:
        ValueError: shapes that differ.

    Source: Bahdanau et al. 2015 (Neural Machine Translation by Jointly Learning to Align and
    Translate), §A.1.2; glimpses: Kazemi & Elqursh 2017 (Show, Ask, Attend, and Answer), §3.3.

    >>> import jax.numpy as jnp
    >>> additive_scores(jnp.zeros((1, 2)), jnp.full((1, 2), 99.0), jnp.ones(2)).tolist()
    [[2.0]]
    >>> additive_scores(jnp.zeros((1, 2)), jnp.ones((5, 2)), jnp.ones((2, 3))).shape
    (3, 5)
    """
    check_leading("key", key, query)
    if energy.ndim not in (1, 2) or not query.shape[-1] == key.shape[-1] == energy.shape[0]:
        raise ValueError(
            f"energy: got shape {energy.shape} for {query.shape[-1]} features of query and "
            f"{key.shape[-1]} of key; expected one number"
        )
    hidden = activation(query[..., :, None, :] + key[..., None, :, :])
    scores = lax.dot_general(hidden, energy, (((hidden.ndim - 1,), (0,)), ((), ())))
    if energy.ndim == 2:
        scores = jnp.moveaxis(scores, -1, -2)
        scores = scores.reshape(*scores.shape[:-3], -1, scores.shape[-1])
    return at_least_float32(scores)
