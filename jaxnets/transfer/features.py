"""A network's features for a whole set of images, and a probe put back as its classifier."""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.errors import UnknownNameError
from jaxnets.models import features
from jaxnets.transfer.layers import head_layers
from jaxnets.transfer.linear import LinearClassifier


def head_inputs(model: nn.Module, variables: Mapping[str, Any], x: jax.Array) -> jax.Array:
    """What the network's last linear layer sees, (N, D). Pure.

    Args:
        model: a network whose head is one Dense layer.
        variables: its variables.
        x: images (N, H, W, C), ready for the network.

    Returns:
        Features (N, D).

    Raises:
        ValueError: the head is something else.

    >>> from jaxnets.models import create_model
    >>> net, x = create_model("mlp", hidden=(4,)), jnp.ones((3, 2, 2, 1))
    >>> head_inputs(net, net.init(jax.random.key(0), x), x).shape
    (3, 4)
    """
    name = _dense_head(model, variables, x.shape[1:])
    seen = []

    def watch(next_method, args, kwargs, context):
        if context.module.path == (name,) and context.method_name == "__call__":
            seen.append(args[0])
        return next_method(*args, **kwargs)

    with nn.intercept_methods(watch):
        model.apply(variables, x, train=False)
    return seen[-1]


def endpoint_features(
    model: nn.Module, variables: Mapping[str, Any], x: jax.Array, endpoint: str
) -> jax.Array:
    """An endpoint's feature map, averaged over its spatial axes: (N, D). Pure.

    Args:
        model: a network.
        variables: its variables.
        x: images (N, H, W, C), ready for the network.
        endpoint: a name that `jaxnets.models.features` gives.

    Returns:
        Features (N, channels).

    Raises:
        UnknownNameError: no such endpoint; the message offers the nearest names.

    >>> from jaxnets.models import create_model
    >>> net, x = create_model("mlp", hidden=(4, 6)), jnp.ones((3, 2, 2, 1))
    >>> endpoint_features(net, net.init(jax.random.key(0), x), x, "fc2").shape
    (3, 6)
    """
    maps = features(model, variables, x)
    if endpoint not in maps:
        raise UnknownNameError("endpoint", endpoint, maps)
    found = maps[endpoint]
    return found.mean(tuple(range(1, found.ndim - 1))) if found.ndim > 2 else found


def compute_features(
    feature_fn: Callable[[Any, jax.Array], jax.Array],
    variables: Any,
    images: np.ndarray,
    batch_size: int = 256,
) -> np.ndarray:
    """A function of batches of images over a whole set.

    Args:
        feature_fn: (variables, (B, H, W, C)) → (B, D); preprocessing belongs into it. The same
            function object is compiled once, for whatever variables.
        variables: its first argument.
        images: (N, H, W, C) as stored.
        batch_size: B; the last batch is filled up, and cut off again.

    Returns:
        (N, D), on the host.

    Raises:
        ValueError: no images.

    >>> compute_features(lambda v, x: v * x.reshape(len(x), -1), 2, np.ones((5, 2, 2, 1)), 2).shape
    (5, 4)
    """
    if not len(images):
        raise ValueError("images must not be empty")
    batch_size = min(batch_size, len(images))
    run, parts = jax.jit(feature_fn), []
    for start in range(0, len(images), batch_size):
        part = np.asarray(images[start : start + batch_size])
        missing = batch_size - len(part)
        if missing:
            part = np.concatenate([part, np.repeat(part[-1:], missing, axis=0)])
        parts.append(np.asarray(run(variables, part))[: batch_size - missing])
    return np.concatenate(parts)


def set_head(
    model: nn.Module, variables: Mapping[str, Any], probe: LinearClassifier, input_shape
) -> dict[str, Any]:
    """The network's variables with a probe, fitted on its `head_inputs`, as their classifier.

    Args:
        model: a network whose head is one Dense layer.
        variables: its variables.
        probe: what `fit_linear_probe` found on `head_inputs`.
        input_shape: (H, W, C) of one image.

    Returns:
        New variables, with which the network's logits are the probe's.

    Raises:
        ValueError: the head is not one Dense layer, or of another shape.

    >>> from jaxnets.models import create_model
    >>> net, x = create_model("mlp", hidden=(4,), num_classes=2), jnp.ones((3, 2, 2, 1))
    >>> probe = LinearClassifier(jnp.zeros((4, 2)), jnp.array([1.0, 5.0]))
    >>> variables = set_head(net, net.init(jax.random.key(0), x), probe, (2, 2, 1))
    >>> net.apply(variables, x)[0].tolist()
    [1.0, 5.0]
    """
    name = _dense_head(model, variables, input_shape)
    shapes = {k: jnp.shape(v) for k, v in variables["params"][name].items()}
    wanted = {"kernel": probe.kernel.shape, "bias": probe.bias.shape}
    if shapes != wanted:
        raise ValueError(f"probe must have the shapes of {name}, {shapes}, got {wanted}")
    params = {**variables["params"], name: {"kernel": probe.kernel, "bias": probe.bias}}
    return {**variables, "params": params}


def _dense_head(model, variables, input_shape) -> str:
    head = head_layers(model, input_shape)
    if len(head) != 1 or jnp.ndim(variables["params"][head[0]].get("kernel")) != 2:
        raise ValueError(
            f"model must end in one Dense layer, got a head of {', '.join(head) or 'nothing'}; "
            "take endpoint_features"
        )
    return head[0]
