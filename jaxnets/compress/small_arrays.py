"""What is no weight, in fewer bytes: normalizations in two vectors, vectors in 16 bits."""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxnets.compress.weights import WEIGHT_NAMES

# What rounding to float16 changes at most: half a step of its 11 bits, or of its smallest ones.
RELATIVE, ABSOLUTE = 2.0**-11, 2.0**-25


def normalization_epsilons(
    call: Callable[[Mapping[str, Any]], Any], variables: Mapping[str, Any]
) -> dict[str, float]:
    """ε of each batch normalization of a network.

    Args:
        call: the network on some input, a function of its variables; it is traced only.
        variables: its variables.

    Returns:
        Path of the module → ε.

    >>> from jaxnets.models import create_model
    >>> model, x = create_model("resnet20", blocks=1, num_classes=2), np.zeros((1, 8, 8, 3), "f4")
    >>> variables = jax.eval_shape(model.init, jax.random.key(0), x)
    >>> normalization_epsilons(lambda v: model.apply(v, x), variables)["stem/bn"]
    1e-05
    """
    statistics = flatten_dict(dict(variables.get("batch_stats", {})), sep="/")
    found: dict[str, float] = {}

    def look(inner, args, kwargs, context):
        path = "/".join(context.module.path)
        if f"{path}/mean" in statistics and hasattr(context.module, "epsilon"):
            found[path] = float(context.module.epsilon)
        return inner(*args, **kwargs)

    with nn.intercept_methods(look):
        jax.eval_shape(call, dict(variables))
    return found


def merge_statistics(variables: Mapping[str, Any], epsilons: Mapping[str, float]) -> dict[str, Any]:
    """Move the statistics of batch normalizations into their scales and biases.

    With f = γ / √(σ² + ε):  γ' = f·√(1 + ε), β' = β − μ·f, μ' = 0, σ'² = 1, the same function at
    inference; constant statistics cost a compressed file next to nothing.

    Args:
        variables: ``params`` and ``batch_stats``; left as they are.
        epsilons: path of a normalization → ε; see `normalization_epsilons`. Those without a scale
            or a bias are left out.

    Returns:
        Variables of the same shapes, not to be trained on with statistics of batches.

    >>> one = np.ones(1, np.float32)
    >>> norm = {"scale": 6 * one, "bias": one}, {"mean": one, "var": 4 * one}
    >>> merged = merge_statistics({"params": {"bn": norm[0]}, "batch_stats": {"bn": norm[1]}},
    ...     {"bn": 0.0})
    >>> {name: float(v[0]) for tree in merged.values() for name, v in tree["bn"].items()}
    {'scale': 3.0, 'bias': -2.0, 'mean': 0.0, 'var': 1.0}
    """
    found = flatten_dict(dict(variables), sep="/")
    for path, epsilon in epsilons.items():
        names = [f"params/{path}/scale", f"params/{path}/bias"]
        names += [f"batch_stats/{path}/mean", f"batch_stats/{path}/var"]
        if any(name not in found for name in names):
            continue
        scale, bias, mean, var = (np.asarray(found[name], np.float64) for name in names)
        factor = scale / np.sqrt(var + epsilon)
        merged = factor * np.sqrt(1 + epsilon), bias - mean * factor, 0 * mean, 0 * var + 1
        for name, value in zip(names, merged, strict=True):
            found[name] = value.astype(np.asarray(found[name]).dtype)
    return unflatten_dict(found, sep="/")


def halve_vectors(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Keep vectors of float32, biases and scales, in float16.

    Args:
        variables: nested dict of arrays; left as they are.

    Returns:
        The same with float16 where an array is no weight (`weight_paths`) and every value is
        rounded by at most 2⁻¹¹ of itself, or by 2⁻²⁵: all but very large ones.

    >>> halve_vectors({"params": {"bias": np.float32([0.1])}})["params"]["bias"].dtype
    dtype('float16')
    >>> halve_vectors({"params": {"bias": np.float32([1e6])}})["params"]["bias"].dtype
    dtype('float32')
    """
    found = {}
    for path, leaf in flatten_dict(dict(variables), sep="/").items():
        array = np.asarray(leaf)
        vector = array.ndim <= 1 and path.rsplit("/", 1)[-1] not in WEIGHT_NAMES
        if array.dtype == np.float32 and vector:
            with np.errstate(over="ignore"):
                half = array.astype(np.float16)
            error = np.abs(half.astype(np.float32) - array)
            if (error <= np.maximum(RELATIVE * np.abs(array), ABSOLUTE)).all():
                array = half
        found[path] = array
    return unflatten_dict(found, sep="/")
