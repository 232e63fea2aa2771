"""Where in the image a class is seen: class activation maps, with and without gradients."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.interpret.backward import check_count
from jaxnets.interpret.maps import resize_maps
from jaxnets.interpret.pooled import split_at_pooling
from jaxnets.interpret.program import (
    check_images,
    compiled,
    endpoints,
    layer_shapes,
    run_network,
)
from jaxnets.interpret.targets import Unit, check_fits, split


class ClassActivation(NamedTuple):
    """Class activation maps and what they add up to: mean over positions + bias = logit.

    Attributes:
        maps: (N, h, w), of the size of the last feature map.
        bias: (N,), the class's.
        logits: (N,), the class's.

    >>> ClassActivation(jnp.ones((1, 2, 2)), jnp.array([0.5]), jnp.array([1.5])).maps.shape
    (1, 2, 2)
    """

    maps: jax.Array
    bias: jax.Array
    logits: jax.Array


def class_activation_map(
    model: nn.Module, variables: Mapping[str, Any], images: jax.Array, target: Any = None
) -> ClassActivation:
    """The map that a network averages to get a class's logit.

    .. math:: M_c(p) = Σ_k w_k^c f_k(p), \\quad z_c = \\frac{1}{Z} Σ_p M_c(p) + b_c

    with f the last feature map and w the weights of the linear classifier behind global average
    pooling. That a network has this form is read off its operations, so that nothing must be named.

    Args:
        model: any Flax module that takes images first and averages its last map.
        variables: its variables.
        images: (N, H, W, C), as the network takes them.
        target: a class, or one for each image; None: the predicted class.

    Returns:
        Maps at the last feature map's size, biases and logits; `resize_maps` brings the maps to
        the image's size.

    Raises:
        ValueError: the network has no global average pooling before a linear classifier; the
            message says to take `grad_cam`.

    Source: Zhou et al. 2016 (Learning Deep Features for Discriminative Localization), §2.

    >>> model, x = nn.Sequential([lambda x: x.mean((1, 2)), nn.Dense(3)]), jnp.ones((1, 2, 2, 5))
    >>> found = class_activation_map(model, model.init(jax.random.key(0), x), x, target=1)
    >>> bool(jnp.allclose(found.maps.mean((1, 2)) + found.bias, found.logits))
    True
    """
    images, unit, channels = _images_and_classes(images, target)
    found, depth = compiled(_class_maps, model)(variables, images, channels)
    check_fits(unit, (1, 1, depth))
    return found


def _class_maps(model, variables, images, channels):
    parts = split_at_pooling(model, variables, images)
    if parts is None:
        raise ValueError(
            f"model: {type(model).__name__} does not average a last feature map, of more than one "
            "position, before a linear classifier, so it has no class activation maps; take "
            "grad_cam, which needs no pooling"
        )
    feature, head = parts
    logits, channels, weights = _gradient_of_class(head, feature, channels)
    positions = feature.shape[1] * feature.shape[2]
    # Linear behind the map: its gradient is w/Z at every position.
    maps = positions * (weights * feature).sum(-1)
    rows = jnp.arange(len(feature))
    bias = head(jnp.zeros_like(feature))[rows, channels]
    return ClassActivation(maps, bias, logits[rows, channels]), jnp.array(logits.shape[-1])


def grad_cam(
    model: nn.Module,
    variables: Mapping[str, Any],
    images: jax.Array,
    target: Any = None,
    *,
    layer: str | None = None,
    relu: bool = True,
) -> jax.Array:
    """Class activation maps for any network, at any layer, by gradients.

    .. math:: L_c = \\mathrm{relu}(Σ_k α_k A_k), \\quad α_k = \\frac{1}{Z} Σ_p ∂z_c / ∂A_k(p)

    For a network with global average pooling and its last map, Z · L_c is the positive part of
    `class_activation_map`.

    Args:
        model: any Flax module that takes images first.
        variables: its variables.
        images: (N, H, W, C), as the network takes them.
        target: a class, or one for each image; None: the predicted class.
        layer: an endpoint or the path of a submodule whose value A is a map; None: the last one
            with more than one position.
        relu: keep the positive part only, as the paper does.

    Returns:
        (N, h, w), of the layer's size.

    Raises:
        UnknownNameError: no such layer; the message offers the nearest names.
        ValueError: the layer's value is no map, or there is no such class.

    Source: Selvaraju et al. 2017 (Grad-CAM: Visual Explanations from Deep Networks), §3.

    >>> model = nn.Sequential([nn.Conv(4, (1, 1)), lambda x: x.mean((1, 2)), nn.Dense(3)])
    >>> x = jnp.ones((1, 2, 2, 5))
    >>> grad_cam(model, model.init(jax.random.key(0), x), x, target=1).shape
    (1, 2, 2)
    """
    return _weighted(_grad_cam_weights, model, variables, images, target, layer, relu)


def _grad_cam_weights(activation, gradient):
    return gradient.mean((1, 2), keepdims=True)


def grad_cam_plus_plus(
    model: nn.Module,
    variables: Mapping[str, Any],
    images: jax.Array,
    target: Any = None,
    *,
    layer: str | None = None,
    relu: bool = True,
) -> jax.Array:
    """Grad-CAM with a weight for every position, so that several objects are all seen.

    .. math:: α_k = Σ_p a_k(p) · \\mathrm{relu}(g_k(p)), \\quad
        a_k(p) = \\frac{g_k(p)^2}{2 g_k(p)^2 + Σ_q A_k(q) · g_k(p)^3}

    with g = ∂z_c/∂A, which is the paper's equation (19) for a score exp(z_c).

    Args:
        model, variables, images, target, layer, relu: see `grad_cam`.

    Returns:
        (N, h, w), of the layer's size.

    Raises:
        UnknownNameError: no such layer; the message offers the nearest names.
        ValueError: the layer's value is no map, or there is no such class.

    Source: Chattopadhay et al. 2018 (Grad-CAM++: Improved Visual Explanations for Deep
    Convolutional Networks), §3.

    >>> model = nn.Sequential([nn.Conv(4, (1, 1)), lambda x: x.mean((1, 2)), nn.Dense(3)])
    >>> x = jnp.ones((1, 2, 2, 5))
    >>> grad_cam_plus_plus(model, model.init(jax.random.key(0), x), x, target=1).shape
    (1, 2, 2)
    """
    return _weighted(_plus_plus_weights, model, variables, images, target, layer, relu)


def _plus_plus_weights(activation, gradient):
    total = activation.sum((1, 2), keepdims=True)
    below = 2 * gradient**2 + total * gradient**3
    share = jnp.where(below == 0, 0, gradient**2 / jnp.where(below == 0, 1, below))
    return (share * jax.nn.relu(gradient)).sum((1, 2), keepdims=True)


def _weighted(weights, model, variables, images, target, layer, relu):
    images, unit, channels = _images_and_classes(images, target)
    layer = layer or last_map(model, variables, images)
    maps, depth = compiled(_gradient_maps, model, layer, weights, relu)(variables, images, channels)
    check_fits(unit, (1, 1, depth))
    return maps


def _gradient_maps(model, layer, weights, relu, variables, images, channels):
    activation = _map_of(model, layer, variables, images)

    def rest(value):
        return run_network(model, variables, images, layer=layer, edit=lambda _: value)[0]

    logits, _, gradient = _gradient_of_class(rest, activation, channels)
    maps = (weights(activation, gradient) * activation).sum(-1)
    return jax.nn.relu(maps) if relu else maps, jnp.array(logits.shape[-1])


def _map_of(model, layer, variables, images) -> jax.Array:
    activation = run_network(model, variables, images, layer=layer)[1]
    if getattr(activation, "ndim", 0) != 4:
        raise ValueError(
            f"layer: {layer!r} gives shape {jnp.shape(activation)}; expected a map (N, h, w, C)"
        )
    return activation


def score_cam(
    model: nn.Module,
    variables: Mapping[str, Any],
    images: jax.Array,
    target: Any = None,
    *,
    layer: str | None = None,
    baseline: float = 0.0,
    batch_size: int = 32,
) -> jax.Array:
    """Class activation maps without gradients: a channel counts by what its map alone shows.

    .. math:: L_c = \\mathrm{relu}(Σ_k α_k A_k), \\quad
        α = \\mathrm{softmax}_k(z_c(x ∘ H_k) − z_c(x_0)), \\quad H_k = s(\\mathrm{up}(A_k))

    with s a scaling to 0 … 1. It costs one forward pass for each channel.

    Args:
        model, variables, images, target, layer: see `grad_cam`.
        baseline: x₀, what the masks hide the image with.
        batch_size: masked images that are computed together.

    Returns:
        (N, h, w), of the layer's size.

    Raises:
        UnknownNameError: no such layer; the message offers the nearest names.
        ValueError: the layer's value is no map, or there is no such class.

    Source: Wang et al. 2020 (Score-CAM: Score-Weighted Visual Explanations for CNNs), §3.

    >>> model = nn.Sequential([nn.Conv(4, (1, 1)), lambda x: x.mean((1, 2)), nn.Dense(3)])
    >>> x = jnp.ones((1, 2, 2, 5))
    >>> score_cam(model, model.init(jax.random.key(0), x), x, target=1).shape
    (1, 2, 2)
    """
    images, unit, channels = _images_and_classes(images, target)
    check_count("batch_size", batch_size)
    layer = layer or last_map(model, variables, images)
    activation, logits = compiled(_activation_and_logits, model, layer)(variables, images)
    check_fits(unit, (1, 1, logits.shape[-1]))
    channels = jnp.where(channels < 0, logits.argmax(-1), channels)
    depth, found = activation.shape[-1], []
    size = min(batch_size, depth)
    score = compiled(_masked_scores, model, size)
    for i in range(len(images)):
        scores = [
            # The last part overlaps the one before, so that all are of one size.
            score(variables, images[i], activation[i], channels[i], baseline, min(k, depth - size))
            for k in range(0, depth, size)
        ]
        rest = depth - size * (len(scores) - 1)
        scores[-1] = scores[-1][size - rest :]
        found.append(jax.nn.softmax(jnp.concatenate(scores)))
    weights = jnp.stack(found)[:, None, None]
    return jax.nn.relu((weights * activation).sum(-1))


def _activation_and_logits(model, layer, variables, images):
    activation = _map_of(model, layer, variables, images)
    return activation, run_network(model, variables, images)[0]


def _masked_scores(model, size, variables, image, activation, channel, baseline, first):
    """z_c(x ∘ H_k) − z_c(x₀) of ``size`` channels from ``first``."""
    maps = jax.lax.dynamic_slice_in_dim(activation, first, size, axis=-1)
    maps = resize_maps(jnp.moveaxis(maps, -1, 0), image.shape[:2])
    low, high = maps.min((1, 2), keepdims=True), maps.max((1, 2), keepdims=True)
    masks = jnp.where(high > low, (maps - low) / jnp.where(high > low, high - low, 1), 0)
    masked = baseline + masks[..., None] * (image - baseline)
    empty = jnp.full_like(image, baseline)[None]
    logits = run_network(model, variables, jnp.concatenate([masked, empty]))[0][:, channel]
    return logits[:-1] - logits[-1]


def last_map(model: nn.Module, variables: Mapping[str, Any], images: jax.Array) -> str:
    """The name of the last layer whose value is a map with more than one position.

    Args:
        model: any Flax module that takes images first.
        variables: its variables.
        images: (N, H, W, C).

    Returns:
        An endpoint of a registered network, else the path of a submodule.

    Raises:
        ValueError: no layer gives a map.

    >>> from jaxnets.models import create_model
    >>> model, x = create_model("lenet5"), jnp.ones((1, 32, 32, 1))
    >>> last_map(model, model.init(jax.random.key(0), x), x)
    's4'
    """
    shapes = layer_shapes(model, variables, images)
    maps = [k for k, s in shapes.items() if len(s) == 4 and s[1] * s[2] > 1]
    if ends := endpoints(model, variables, images):
        maps = [k for k in maps if k in ends] or maps
    if not maps:
        raise ValueError(
            f"layer: no layer of {type(model).__name__} gives a map (N, h, w, C) with more than "
            "one position; name a layer"
        )
    return maps[-1]


def _images_and_classes(images: Any, target: Any) -> tuple[jax.Array, Unit, jax.Array]:
    """Images as an array, the target as a unit, and a class for each image, −1 where predicted."""
    if isinstance(target, (str, Unit)):
        raise ValueError(f"target: got {target!r}; expected a class, one for each image, or None")
    images, unit = check_images(images), Unit(channel=target)
    _, (channels, _) = split(unit, len(images))
    return images, unit, channels


def _gradient_of_class(head, value, channels):
    """(logits of ``head(value)``, classes, gradient of each image's class in ``value``)."""
    logits, pull = jax.vjp(head, value)
    channels = jnp.where(channels < 0, logits.argmax(-1), channels)
    (gradient,) = pull(jax.nn.one_hot(channels, logits.shape[-1], dtype=logits.dtype))
    return logits, channels, gradient
