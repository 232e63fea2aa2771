"""The examples that lie nearest to others, among features or pixels."""

import jax
import jax.numpy as jnp
import numpy as np


def nearest_neighbors(queries: jax.Array, gallery: jax.Array, k: int = 1) -> np.ndarray:
    """Which examples of a gallery are most alike to each query, by the cosine of their features.

    .. math:: s(q, g) = \\frac{q · g}{‖q‖ ‖g‖}

    Scales of features differ from network to network; their directions can be compared. A feature
    of zeros is alike to nothing (s = 0).

    Args:
        queries: (Q, …), flattened.
        gallery: (N, …), flattened to as many numbers.
        k: how many of the gallery, 1 to N.

    Returns:
        int (Q, k), the nearest first, of equally near ones the first.

    Raises:
        ValueError: other numbers of features, or k outside.

    Source: Krizhevsky, Sutskever and Hinton (2012), section 6.1, which retrieves images so (by
    Euclidean distance).

    >>> gallery = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]])
    >>> nearest_neighbors(np.array([[5.0, 1.0]]), gallery, k=2).tolist()
    [[0, 2]]
    """
    q, g = (jnp.asarray(x, jnp.float32).reshape(len(x), -1) for x in (queries, gallery))
    if q.shape[1] != g.shape[1]:
        raise ValueError(
            f"queries have {q.shape[1]} features and the gallery has {g.shape[1]}; expected as many"
        )
    if not 1 <= k <= len(g):
        raise ValueError(f"k: got {k}; expected 1 to {len(g)}, the examples of the gallery")
    q, g = (x / jnp.maximum(jnp.linalg.norm(x, axis=1, keepdims=True), 1e-30) for x in (q, g))
    return np.asarray(jax.lax.top_k(jnp.dot(q, g.T, precision="highest"), k)[1])
