"""Drop-path where several paths join: which are kept, and the mean of those (FractalNet)."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jaxnets.ops.dropout import check_rate
from jaxnets.ops.precision import check_floating


def join_paths(outputs: Sequence[jax.Array], keep: jax.Array | None = None) -> jax.Array:
    """The mean of the paths, or of those kept: Σ k_i y_i / Σ k_i.

    Args:
        outputs: of the paths, floating arrays (N, …) of one shape.
        keep: (N, paths) of zeros and ones, at least one 1 in every row; None keeps all.

    Returns:
        like one of the outputs.

    Raises:
        ValueError: no path, outputs of several shapes or not floating, or a ``keep`` that does
            not fit them.

    Source: Larsson et al. 2016 (FractalNet), §2.1 and figure 2.

    >>> import jax.numpy as jnp
    >>> paths = [jnp.ones((1, 2)), 3 * jnp.ones((1, 2))]
    >>> join_paths(paths).tolist(), join_paths(paths, jnp.array([[0.0, 1.0]])).tolist()
    ([[2.0, 2.0]], [[3.0, 3.0]])
    """
    if not outputs:
        raise ValueError("outputs: got no path; expected at least one")
    shapes = {y.shape for y in outputs}
    if len(shapes) > 1:
        raise ValueError(f"outputs: got shapes {sorted(shapes)}; expected one shape for all paths")
    check_floating(outputs[0])
    if keep is None:
        return sum(outputs) / len(outputs)
    first = outputs[0]
    if keep.shape != (first.shape[0], len(outputs)):
        raise ValueError(
            f"keep: got shape {keep.shape}; expected {(first.shape[0], len(outputs))}, "
            "(examples, paths)"
        )
    weights = (keep / keep.sum(axis=1, keepdims=True)).astype(first.dtype)
    ones = (1,) * (first.ndim - 1)
    return sum(w.reshape(-1, *ones) * y for w, y in zip(weights.T, outputs, strict=True))


def keep_paths(key: jax.Array, batch: int, paths: int, rate: float) -> jax.Array:
    """Keep each path with probability 1 − ``rate``, and at least one of them.

    Where all would be dropped, one of them, drawn uniformly, survives.

    Args:
        key: random key.
        batch: examples, N.
        paths: how many join.
        rate: probability of a path to be dropped, in [0, 1].

    Returns:
        (N, paths) of 0 and 1, float32, for `join_paths`.

    Raises:
        ValueError: no path, or a rate outside [0, 1].

    Source: Larsson et al. 2016, §2.1, "local" drop-path.

    >>> import jax
    >>> keep_paths(jax.random.key(0), 2, 3, 1.0).sum(axis=1).tolist()
    [1.0, 1.0]
    """
    check_rate(rate)
    if paths < 1:
        raise ValueError(f"paths: got {paths}; expected at least 1")
    key_keep, key_one = jax.random.split(key)
    keep = jax.random.bernoulli(key_keep, 1 - rate, (batch, paths))
    one = jax.nn.one_hot(jax.random.randint(key_one, (batch,), 0, paths), paths, dtype=bool)
    return jnp.where(keep.any(axis=1, keepdims=True), keep, one).astype(jnp.float32)
