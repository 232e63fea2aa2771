"""Which of a network's parameters are weights: kernels and embeddings, not biases and norms."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict

from jaxnets.errors import JaxnetsError, suggest

WEIGHT_NAMES = ("kernel", "embedding")


def weight_paths(params: Mapping[str, Any]) -> list[str]:
    """The parameters that compression touches: leaves called "kernel" or "embedding".

    Args:
        params: nested dict of parameters.

    Returns:
        Paths such as ``"stage1/block0/conv1/kernel"``, in the tree's order.

    >>> weight_paths({"fc1": {"kernel": np.ones((2, 3)), "bias": np.ones(3)}})
    ['fc1/kernel']
    """
    return [
        path
        for path, leaf in flatten_dict(dict(params), sep="/").items()
        if path.rsplit("/", 1)[-1] in WEIGHT_NAMES and np.ndim(leaf) >= 2
    ]


def per_layer(
    params: Mapping[str, Any], value: float | Mapping[str, float], name: str, default: float
) -> dict[str, float]:
    """One number a weight of a network, from one for all or from a mapping of some.

    Args:
        params: nested dict of parameters.
        value: a number for all weights, or numbers by path; a layer's path stands for all weights
            inside it.
        name: of the argument, for messages.
        default: of the weights that the mapping does not name.

    Returns:
        Path of a weight → number.

    Raises:
        JaxnetsError: a path that names no weight.

    >>> per_layer({"a": {"kernel": np.ones((1, 1))}}, {"a": 0.5}, "sparsity", 0.0)
    {'a/kernel': 0.5}
    """
    paths = weight_paths(params)
    if not isinstance(value, Mapping):
        return dict.fromkeys(paths, value)
    found = dict.fromkeys(paths, default)
    for layer, number in value.items():
        inside = [p for p in paths if p == layer or p.startswith(f"{layer}/")]
        if not inside:
            raise JaxnetsError(
                f"{name}: the network has no weights {layer!r}. "
                f"{suggest(layer, sorted({p.rsplit('/', 1)[0] for p in paths}))}"
            )
        found.update(dict.fromkeys(inside, number))
    return found
