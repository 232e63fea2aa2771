"""Feature maps of any network, by name."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax


def features(
    model: nn.Module, variables: Mapping[str, Any], x: jax.Array
) -> "OrderedDict[str, jax.Array]":
    """Run a network as a backbone: its named feature maps, in the order of computation.

    The same as ``model.clone(num_classes=None).apply(variables, x)``; what a caller does not use,
    `jax.jit` leaves out. ``model_info(name).feature_strides`` says how coarse each map is.

    Args:
        model: any network of `list_models()`, with or without a head.
        variables: its variables; the head's parameters are not read.
        x: images (N, H, W, C).

    Returns:
        Endpoint name → feature map (N, H', W', C'), in evaluation mode.

    Source: "pretrained networks as the backbone of another task".

    >>> import jax
    >>> from jaxnets.models import create_model
    >>> model = create_model("lenet5", num_classes=10)
    >>> x = jax.numpy.zeros((1, 32, 32, 1))
    >>> variables = model.init(jax.random.key(0), x)
    >>> {name: f.shape for name, f in features(model, variables, x).items()}
    {'c1': (1, 28, 28, 6), 's2': (1, 14, 14, 6), 'c3': (1, 10, 10, 16), 's4': (1, 5, 5, 16),
     'c5': (1, 1, 1, 120)}
    """
    return model.clone(num_classes=None).apply(variables, x, train=False)
