"""Exact statistics for batch normalization, instead of running averages."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from jaxnets.nn.batch_norm import MOMENTS, pool_moments


def precise_batch_statistics(
    apply: Callable,
    variables: Mapping[str, Any],
    batches: Iterable[Any],
    *,
    method: str = "average",
    unbiased: bool = True,
    rngs: Mapping[str, jax.Array] | None = None,
) -> dict[str, Any]:
    """Statistics of every batch normalization over many batches, all weighted equally.

    A running average covers the last few batches only, each seen with other weights.
    This passes batches through the finished network in training mode and averages what every
    `jaxnets.nn.BatchNorm` saw.

    Args:
        apply: a network's `apply`: called as ``apply(variables, batch, train=True, mutable=…)``. A
            batch is whatever the network takes as its input.
        variables: ``params`` and ``batch_stats``; left as they are.
        batches: as large as in training, where statistics depend on the size: a normalization
            behind another one sees what this makes of the batch. The last one may be smaller.
        method: "average": mean of the batches' means and variances, weighted by their number of
            values (Ioffe & Szegedy 2015, Algorithm 2, line 10; He et al. for their published
            networks: "strictly computed using average (not moving average)"); or "pooled": mean
            and variance of all values together, which adds the variance of the batches' means.
        unbiased: variances as n/(n−1)·σ², n being one batch's number of values, or all for
            "pooled"; as `BatchNorm.unbiased`.
        rngs: keys for the network's randomness, such as ``{"dropout": key}``; folded with the
            batch's number.

    Returns:
        a new ``batch_stats`` collection, accumulated in float64.

    Raises:
        ValueError: no batches, an unknown method, or a network without batch normalization of this
            package (or with one that ``apply`` did not reach).

    >>> import jax, jax.numpy as jnp
    >>> from jaxnets.nn import BatchNorm
    >>> layer, batches = BatchNorm(), [jnp.array([[0.0], [2.0]]), jnp.array([[4.0], [6.0]])]
    >>> variables = layer.init(jax.random.key(0), batches[0], train=False)
    >>> precise_batch_statistics(layer.apply, variables, batches, method="pooled", unbiased=False)
    {'mean': Array([3.], dtype=float32), 'var': Array([5.], dtype=float32)}
    """
    if method not in ("average", "pooled"):
        raise ValueError(f"method: got {method!r}; expected 'average' or 'pooled'")

    @jax.jit
    def moments_of(variables, batch, rngs):
        options = {} if rngs is None else {"rngs": rngs}
        _, updated = apply(
            variables, batch, train=True, mutable=[MOMENTS, "batch_stats"], **options
        )
        return updated.get(MOMENTS, {})

    total: dict[tuple[str, ...], dict[str, np.ndarray]] = {}
    number = -1
    for number, batch in enumerate(batches):
        keys = None
        if rngs is not None:
            keys = {name: jax.random.fold_in(key, number) for name, key in rngs.items()}
        flat = traverse_util.flatten_dict(jax.device_get(moments_of(variables, batch, keys)))
        for layer in {path[:-1] for path in flat}:
            new = {n: np.float64(flat[*layer, n]) for n in ("mean", "var", "count")}
            # Of layers that are scanned there is one count each, beside a vector of means each.
            extra = new["mean"].ndim - new["count"].ndim
            new["count"] = new["count"].reshape(*new["count"].shape, *(1,) * extra)
            if unbiased and method == "average":
                new["var"] = new["var"] * (new["count"] / (new["count"] - 1))
            total[layer] = _merge(total[layer], new, method) if layer in total else new
    if number < 0:
        raise ValueError("batches: expected at least one batch, got none")

    statistics = traverse_util.flatten_dict(variables.get("batch_stats", {}))
    unseen = sorted({"/".join(path[:-1]) for path in statistics if path[:-1] not in total})
    if unseen or not statistics:
        raise ValueError(
            f"apply: no moments of {', '.join(unseen) or 'any batch normalization'} were recorded; "
            "expected a network whose normalizations are jaxnets.nn.BatchNorm, all of them used"
        )
    if unbiased and method == "pooled":
        for moments in total.values():
            moments["var"] = moments["var"] * (moments["count"] / (moments["count"] - 1))
    return traverse_util.unflatten_dict(
        {
            path: jax.numpy.asarray(total[path[:-1]][path[-1]], old.dtype)
            for path, old in statistics.items()
        }
    )


def _merge(a: dict, b: dict, method: str) -> dict:
    if method == "pooled":
        return pool_moments(a, b)
    count = a["count"] + b["count"]
    mean, var = (a[name] + (b[name] - a[name]) * (b["count"] / count) for name in ("mean", "var"))
    return {"mean": mean, "var": var, "count": count}
