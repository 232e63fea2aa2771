"""From a unit back to the pixels: gradients, deconvolutional networks, guided backpropagation."""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.interpret.interpreter import GRADIENT, Rules
from jaxnets.interpret.program import check_images, compiled, run_network
from jaxnets.interpret.rules import relu_deconvnet, relu_guided
from jaxnets.interpret.targets import (
    WHOLE,
    Target,
    Unit,
    as_map,
    as_unit,
    check_fits,
    locate,
    pick,
    split,
)


def saliency(
    model: nn.Module, variables: Mapping[str, Any], images: jax.Array, target: Target = None
) -> jax.Array:
    """The gradient of a unit with respect to the pixels.

    .. math:: g = ∂a / ∂x

    It keeps its signs; `jaxnets.interpret.pixel_map` makes the paper's picture of it, the largest
    absolute value over the color channels.

    Args:
        model: any Flax module that takes images first; it runs in evaluation mode.
        variables: its variables.
        images: (N, H, W, C), as the network takes them.
        target: a class, or one for each image; a layer's name (its strongest channel, summed over
            positions); a `Unit`; None: the predicted class.

    Returns:
        (N, H, W, C), a gradient for each image by itself.

    Raises:
        UnknownNameError: no such layer; the message offers the nearest names.
        ValueError: images of another form, or a unit that the layer does not have.

    Source: Simonyan, Vedaldi & Zisserman 2014 (Deep Inside Convolutional Networks), §3.

    >>> x = jnp.ones((1, 2, 2, 3))
    >>> model = nn.Sequential([lambda x: x.mean((1, 2)), nn.Dense(2)])
    >>> saliency(model, model.init(jax.random.key(0), x), x, target=1).shape
    (1, 2, 2, 3)
    """
    return _pixels(model, variables, images, target, GRADIENT)


def deconvnet(
    model: nn.Module,
    variables: Mapping[str, Any],
    images: jax.Array,
    target: Target = None,
    *,
    lrn: str = "identity",
) -> jax.Array:
    """Project a unit back to the pixels by a deconvolutional network.

    A backward pass in which a rectifier lets through what is positive of the signal that comes
    back, r = max(0, g), wherever it was on in the forward pass. Filters are transposed, and a
    maximum hands its signal to the place that it came from (its switch); where windows overlap, a
    place that won several gets the sum. Without rectifiers it is the gradient.

    Rectifiers are found however they are written: `jax.nn.relu`, ``jnp.maximum(x, 0)``,
    ``jnp.where(x > 0, x, 0)``. Other activations keep their derivative.

    Args:
        model, variables, images, target: see `saliency`; the unit's signal is 1.
        lrn: "identity": a local response normalization passes the signal on as it is; "gradient":
            its derivative.

    Returns:
        (N, H, W, C).

    Raises:
        UnknownNameError: no such layer; the message offers the nearest names.
        ValueError: images, ``target`` or ``lrn`` of another form.

    Source: Zeiler & Fergus 2014, §2.1.

    >>> x = jnp.array([1.0, -1.0]).reshape(1, 1, 1, 2)
    >>> model = nn.Sequential([nn.relu, nn.Dense(1, kernel_init=nn.initializers.ones)])
    >>> deconvnet(model, model.init(jax.random.key(0), x), x, Unit(None, 0)).ravel().tolist()
    [1.0, 1.0]
    """
    return _pixels(model, variables, images, target, Rules(relu_deconvnet, _is_identity(lrn)))


def guided_backprop(
    model: nn.Module,
    variables: Mapping[str, Any],
    images: jax.Array,
    target: Target = None,
    *,
    lrn: str = "gradient",
) -> jax.Array:
    """Back to the pixels through what was on and what is positive: r = max(0, g) · [x > 0].

    Sharp pictures, which hardly depend on the class or on the weights of late layers (Adebayo et
    al. 2018; `jaxnets.interpret.sanity_check` shows it): an edge detector more than an explanation.

    Args:
        model, variables, images, target, lrn: see `deconvnet`.

    Returns:
        (N, H, W, C).

    Raises:
        UnknownNameError: no such layer; the message offers the nearest names.
        ValueError: images, ``target`` or ``lrn`` of another form.

    Source: Springenberg et al. 2015 (Striving for Simplicity: The All Convolutional Net), §3.4.

    >>> x = jnp.array([1.0, -1.0]).reshape(1, 1, 1, 2)
    >>> model = nn.Sequential([nn.relu, nn.Dense(1, kernel_init=nn.initializers.ones)])
    >>> guided_backprop(model, model.init(jax.random.key(0), x), x, Unit(None, 0)).ravel().tolist()
    [1.0, 0.0]
    """
    return _pixels(model, variables, images, target, Rules(relu_guided, _is_identity(lrn)))


def integrated_gradients(
    model: nn.Module,
    variables: Mapping[str, Any],
    images: jax.Array,
    target: Target = None,
    *,
    baseline: jax.Array | float = 0.0,
    steps: int = 50,
) -> jax.Array:
    """Gradients along the straight line from a baseline, times what the image adds to it.

    .. math:: (x − x₀) · ∫_0^1 ∇a(x₀ + α (x − x₀)) dα

    The integral is taken by Gauss and Legendre's rule. All attributions of an image add up to
    a(x) − a(x₀), but for the error of the rule.

    Args:
        model, variables, images, target: see `saliency`. A channel or position that is left open
            is the one of the image itself, all along the line.
        baseline: x₀, a number or an array that broadcasts to the images.
        steps: points of the rule.

    Returns:
        (N, H, W, C).

    Raises:
        ValueError: ``steps`` below 1, or a baseline of another shape.

    Source: Sundararajan, Taly & Yan 2017 (Axiomatic Attribution for Deep Networks), §3.

    >>> x = jnp.array([1.0, 3.0]).reshape(1, 1, 1, 2)
    >>> model = nn.Sequential([lambda x: (x**2).mean((1, 2)) @ jnp.ones((2, 1))])
    >>> integrated_gradients(model, {}, x, target=0).ravel().round(4).tolist()
    [1.0, 9.0]
    """
    images = check_images(images)
    check_count("steps", steps)
    try:
        start = jnp.broadcast_to(jnp.asarray(baseline, images.dtype), images.shape)
    except ValueError:
        raise ValueError(
            f"baseline: got shape {jnp.shape(baseline)}, which does not broadcast to the images' "
            f"{images.shape}"
        ) from None
    points, weights = np.polynomial.legendre.leggauss(steps)
    unit = fixed_unit(model, variables, images, target)
    total = jnp.zeros_like(images)
    for point, weight in zip((1 + points) / 2, weights / 2, strict=True):
        between = start + float(point) * (images - start)
        total += float(weight) * saliency(model, variables, between, unit)
    return (images - start) * total


def smooth_grad(
    key: jax.Array,
    model: nn.Module,
    variables: Mapping[str, Any],
    images: jax.Array,
    target: Target = None,
    *,
    samples: int = 25,
    noise: float = 0.15,
    method: Callable[..., jax.Array] = saliency,
) -> jax.Array:
    """The mean of a backward method over noisy copies of the image.

    .. math:: \\frac{1}{n} Σ_i g(x + ε_i), \\quad ε_i ~ N(0, σ²)

    Args:
        key: a JAX random key.
        model, variables, images, target: see `saliency`. A channel or position that is left open
            is the one of the image without noise.
        samples: n.
        noise: σ over the range of the image's values (largest less smallest).
        method: `saliency`, or another function of the same arguments.

    Returns:
        (N, H, W, C).

    Raises:
        ValueError: ``samples`` below 1, or ``noise`` negative.

    Source: Smilkov et al. 2017 (SmoothGrad: removing noise by adding noise), §3.

    >>> x = jnp.array([1.0, 3.0]).reshape(1, 1, 1, 2)
    >>> model = nn.Sequential([lambda x: x.mean((1, 2)) @ jnp.ones((2, 1))])
    >>> smooth_grad(jax.random.key(0), model, {}, x, target=0, samples=2).ravel().tolist()
    [1.0, 1.0]
    """
    images = check_images(images)
    check_count("samples", samples)
    if not noise >= 0:
        raise ValueError(f"noise: got {noise}; expected at least 0")
    spread = noise * (images.max((1, 2, 3)) - images.min((1, 2, 3)))[:, None, None, None]
    unit = fixed_unit(model, variables, images, target)
    total = jnp.zeros_like(images)
    for one in jax.random.split(key, samples):
        noisy = images + spread * jax.random.normal(one, images.shape, images.dtype)
        total += method(model, variables, noisy, unit)
    return total / samples


def pixel_map(attribution: jax.Array, reduce: str = "largest") -> jax.Array:
    """One number for each pixel of what a backward method gives.

    Args:
        attribution: (N, H, W, C).
        reduce: over the color channels: "largest" absolute value (saliency's), "sum" (what adds up
            to the unit, integrated gradients'), or "norm", the root of the sum of squares.

    Returns:
        (N, H, W).

    Raises:
        ValueError: another ``reduce``.

    Source: Simonyan, Vedaldi & Zisserman 2014, §3.1.

    >>> pixel_map(jnp.array([[[[1.0, -3.0]]]])).tolist()
    [[[3.0]]]
    """
    ways = {
        "largest": lambda a: jnp.abs(a).max(-1),
        "sum": lambda a: a.sum(-1),
        "norm": lambda a: jnp.sqrt((a * a).sum(-1)),
    }
    if reduce not in ways:
        raise ValueError(f"reduce: got {reduce!r}; expected one of {', '.join(ways)}")
    return ways[reduce](attribution)


def check_count(name: str, value: int) -> None:
    """Refuse a count below 1.

    Args:
        name: of the argument.
        value: what the user gave.

    Raises:
        ValueError: below 1.

    >>> check_count("steps", 1)
    """
    if value < 1:
        raise ValueError(f"{name}: got {value}; expected at least 1")


def fixed_unit(
    model: nn.Module, variables: Mapping[str, Any], images: jax.Array, target: Target
) -> Unit:
    """The unit that a target means in these images, its channels and positions as numbers.

    Args:
        model, variables, images, target: see `saliency`.

    Returns:
        A `Unit` that means the same when the images change.

    >>> model, x = nn.Sequential([lambda x: x.mean((1, 2))]), jnp.ones((1, 1, 1, 2))
    >>> fixed_unit(model, {}, x.at[..., 1].set(5), None).channel.tolist()
    [1]
    """
    images, unit = check_images(images), as_unit(target)
    if unit.channel is not None and not isinstance(unit.position, str):
        return unit
    (layer, kind), arrays = split(unit, len(images))
    channels, positions, shape = compiled(_located, model, layer, kind)(variables, images, *arrays)
    check_fits(unit, shape)
    return Unit(layer, channels, None if kind == WHOLE else positions)


def _located(model, layer, kind, variables, images, channels, positions):
    value = as_map(run_network(model, variables, images, layer=layer)[1])
    return *locate(value, kind, channels, positions), jnp.array(value.shape[1:])


def _pixels(model, variables, images, target, rules: Rules) -> jax.Array:
    images, unit = check_images(images), as_unit(target)
    static, arrays = split(unit, len(images))
    pixels, shape = compiled(_pull, model, *static, rules)(variables, images, *arrays)
    check_fits(unit, shape)
    return pixels


def _pull(model, layer, kind, rules, variables, images, channels, positions):
    def unit(x):
        value = run_network(model, variables, x, layer=layer, rules=rules)[1]
        value = as_map(value)
        return pick(value, kind, channels, positions).sum(), jnp.array(value.shape[1:])

    return jax.grad(unit, has_aux=True)(images)


def _is_identity(lrn: str) -> bool:
    if lrn not in ("identity", "gradient"):
        raise ValueError(f"lrn: got {lrn!r}; expected 'identity' or 'gradient'")
    return lrn == "identity"
