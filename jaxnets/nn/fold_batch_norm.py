"""Folding batch normalization into the layers in front of it, on a network's variables."""

from collections.abc import Mapping
from typing import Any

from flax import traverse_util

from jaxnets.errors import suggest
from jaxnets.ops.batch_norm import fold_batch_norm


def fold_batch_norms(
    variables: Mapping[str, Any],
    pairs: Mapping[str, str],
    *,
    epsilon: float = 1e-5,
) -> dict[str, Any]:
    """Merge normalizations at inference into the convolutions or dense layers in front of them.

    Args:
        variables: ``params`` and ``batch_stats``; left as they are.
        pairs: path of a linear layer to path of the normalization that follows it directly, such as
            ``{"stem/conv": "stem/bn"}``.
        epsilon: of the normalizations.

    Returns:
        variables for the network without these normalizations and with a bias in these linear
        layers: ``kernel`` and ``bias`` are changed or new, the normalizations' parameters and
        statistics gone (and ``batch_stats`` too, once it is empty).

    Raises:
        ValueError: a path that does not exist; the message offers the most similar one.

    Source: Jacob et al. 2018 (Quantization and Training of Neural Networks for Efficient
    Integer-Arithmetic-Only Inference), §3.2.

    >>> import jax.numpy as jnp
    >>> one = jnp.ones(1)
    >>> fold_batch_norms(
    ...     {"params": {"fc": {"kernel": jnp.ones((1, 1))}, "bn": {"scale": 6 * one, "bias": one}},
    ...      "batch_stats": {"bn": {"mean": one, "var": 4 * one}}},
    ...     {"fc": "bn"}, epsilon=0.0)["params"]
    {'fc': {'kernel': Array([[3.]], dtype=float32), 'bias': Array([-2.], dtype=float32)}}
    """
    params = traverse_util.flatten_dict(variables["params"], sep="/")
    statistics = traverse_util.flatten_dict(variables.get("batch_stats", {}), sep="/")
    for linear, norm in pairs.items():
        _require(f"{linear}/kernel", params, linear, "a linear layer")
        _require(f"{norm}/mean", statistics, norm, "a batch normalization")
        kernel, bias = fold_batch_norm(
            params[f"{linear}/kernel"],
            params.get(f"{linear}/bias"),
            statistics.pop(f"{norm}/mean"),
            statistics.pop(f"{norm}/var"),
            params.pop(f"{norm}/scale", None),
            params.pop(f"{norm}/bias", None),
            epsilon=epsilon,
        )
        params[f"{linear}/kernel"], params[f"{linear}/bias"] = kernel, bias
    folded = {**variables, "params": traverse_util.unflatten_dict(params, sep="/")}
    folded.pop("batch_stats", None)
    if statistics:
        folded["batch_stats"] = traverse_util.unflatten_dict(statistics, sep="/")
    return folded


def _require(key: str, known: Mapping[str, Any], path: str, kind: str) -> None:
    if key not in known:
        last = key.rsplit("/", 1)[1]
        paths = [name.rsplit("/", 1)[0] for name in known if name.endswith("/" + last)]
        raise ValueError(f"pairs: {path!r} is not the path of {kind}. {suggest(path, paths)}")
