"""Brightness, contrast, saturation and hue, at given factors and at random ones in random order."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxnets.augment.checks import check_image, check_range
from jaxnets.augment.example import Example, change_image, image_of
from jaxnets.augment.values import in_unit_range

# Luma of ITU-R BT.601, rounded as in Pillow and torchvision.
_LUMA = (0.2989, 0.587, 0.114)


def adjust_brightness(
    example: Example, factor: jax.Array, *, white: float | None = None
) -> Example:
    """x ↦ factor·x, kept between black and white.

    Equal to torchvision's v2 functions to 1/255, as are contrast, saturation and hue.

    Args:
        example: a dict with ``image (H, W, 3)``, uint8 or floating, or the image.
        factor: a scalar of at least 0; 1 changes nothing, 0 makes a black image.
        white: the value of white; by default 255 for uint8 and 1 for floating images. It must be
            given for floating images of another range: a ValueError, and inside jit a NaN image,
            say so.

    Returns:
        The example with another image, of the same shape and dtype; an image for an image.

    >>> adjust_brightness(jnp.full((1, 1, 3), 100, jnp.uint8), 1.5)[0, 0].tolist()
    [150, 150, 150]
    """
    return _apply(_brightness, example, factor, white)


def adjust_contrast(example: Example, factor: jax.Array, *, white: float | None = None) -> Example:
    """x ↦ factor·x + (1 − factor)·m, m the mean gray of the image.

    Args:
        example: a dict with ``image (H, W, 3)``, uint8 or floating, or the image.
        factor: a scalar of at least 0; 1 changes nothing, 0 makes an even gray.
        white: as of `adjust_brightness`.

    Returns:
        The example with another image, of the same shape and dtype; an image for an image.

    >>> image = jnp.array([[[0, 0, 0], [200, 200, 200]]], jnp.uint8)
    >>> adjust_contrast(image, 0.5)[0, :, 0].tolist()
    [50, 150]
    """
    return _apply(_contrast, example, factor, white)


def adjust_saturation(
    example: Example, factor: jax.Array, *, white: float | None = None
) -> Example:
    """x ↦ factor·x + (1 − factor)·g, g the gray of each pixel.

    Args:
        example: a dict with ``image (H, W, 3)``, uint8 or floating, or the image.
        factor: a scalar of at least 0; 1 changes nothing, 0 makes a gray image.
        white: as of `adjust_brightness`.

    Returns:
        The example with another image, of the same shape and dtype; an image for an image.

    >>> adjust_saturation(jnp.array([[[255, 0, 0]]], jnp.uint8), 0.0)[0, 0].tolist()
    [76, 76, 76]
    """
    return _apply(_saturation, example, factor, white)


def adjust_hue(example: Example, turn: jax.Array, *, white: float | None = None) -> Example:
    """Turn the hue by a share of the color circle.

    Args:
        example: a dict with ``image (H, W, 3)``, uint8 or floating, or the image.
        turn: a scalar in [−½, ½]; ⅓ makes green of red.
        white: as of `adjust_brightness`.

    Returns:
        The example with another image, of the same shape and dtype; an image for an image.

    >>> adjust_hue(jnp.array([[[255, 0, 0]]], jnp.uint8), 1 / 3)[0, 0].tolist()
    [0, 255, 0]
    """
    check_range("turn", turn, -0.5, 0.5)
    return _change_colors(example, lambda x: _hue(x, turn), white)


def color_jitter(
    key: jax.Array,
    example: Example,
    brightness: float = 0.4,
    contrast: float = 0.4,
    saturation: float = 0.4,
    hue: float = 0.0,
    *,
    white: float | None = None,
) -> Example:
    """Change brightness, contrast, saturation and hue by random amounts in a random order.

    Factors are uniform in [max(0, 1 − s), 1 + s], the hue's turn in [−hue, hue]; a strength of 0
    leaves that change out. All orders of the others are equally likely.

    Args:
        key: a JAX random key.
        example: a dict with ``image (H, W, 3)``, uint8 or floating, or the image.
        brightness, contrast, saturation: strengths s ≥ 0.
        hue: largest turn, in [0, ½].
        white: as of `adjust_brightness`.

    Returns:
        The example with another image, of the same shape and dtype; an image for an image.

    Source: Howard, "Some Improvements on Deep Convolutional Neural Network Based Image
    Classification", 2013, whose color changes GoogLeNet took over.

    >>> color_jitter(jax.random.key(0), jnp.full((2, 2, 3), 0.5)).shape
    (2, 2, 3)
    """
    check_image(image_of(example), channels=3)
    strengths = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
    for name, strength in strengths.items():
        check_range(name, strength, 0)
    check_range("hue", hue, 0, 0.5)
    ranges = [(max(0.0, 1 - s), 1 + s) for s in strengths.values()] + [(-hue, hue)]
    chosen = [i for i, s in enumerate((*strengths.values(), hue)) if s]
    if not chosen:
        return example
    order_key, amount_key = jax.random.split(key)
    low, high = jnp.array([ranges[i] for i in chosen]).T
    amounts = jax.random.uniform(amount_key, (len(chosen),), minval=low, maxval=high)
    order = jax.random.permutation(order_key, len(chosen))
    return _in_order(example, [_CHANGES[i] for i in chosen], amounts, order, white)


def adjust_colors(
    example: Example, amounts: jax.Array, order: jax.Array, *, white: float | None = None
) -> Example:
    """The twin of `color_jitter` without randomness.

    Args:
        example: a dict with ``image (H, W, 3)``, uint8 or floating, or the image.
        amounts: (4,): factors of brightness, contrast and saturation, turn of the hue.
        order: (4,), a permutation of 0 … 3: which of them comes first, second, ….
        white: as of `adjust_brightness`.

    Returns:
        The example with another image, of the same shape and dtype; an image for an image.

    >>> same = adjust_colors(jnp.full((1, 1, 3), 0.5), jnp.array([1, 1, 1, 0.0]), jnp.arange(4))
    >>> same[0, 0].tolist()
    [0.5, 0.5, 0.5]
    """
    if jnp.shape(amounts) != (4,) or jnp.shape(order) != (4,):
        raise ValueError(
            f"amounts, order: got shapes {jnp.shape(amounts)}, {jnp.shape(order)}; expected (4,)"
        )
    return _in_order(example, _CHANGES, jnp.asarray(amounts), jnp.asarray(order), white)


def _in_order(example, changes, amounts, order, white):
    def change(x):
        for place in range(len(changes)):
            which = order[place]
            x = jax.lax.switch(which, changes, x, amounts[which])
        return x

    return _change_colors(example, change, white)


def _apply(change: Callable, example, factor, white):
    check_range("factor", factor, 0)
    return _change_colors(example, lambda x: change(x, factor), white)


def _change_colors(example, change, white):
    def of_image(image):
        check_image(image, channels=3)
        return in_unit_range(image, change, white)

    return change_image(example, of_image)


def _gray(x):
    return (x * jnp.array(_LUMA)[None, None]).sum(-1, keepdims=True)


def _brightness(x, factor):
    return jnp.clip(factor * x, 0, 1)


def _contrast(x, factor):
    return jnp.clip(factor * x + (1 - factor) * _gray(x).mean(), 0, 1)


def _saturation(x, factor):
    return jnp.clip(factor * x + (1 - factor) * _gray(x), 0, 1)


def _hue(x, turn):
    red, green, blue = x[..., 0], x[..., 1], x[..., 2]
    value = x.max(-1)
    chroma = value - x.min(-1)
    divisor = jnp.where(chroma == 0, 1, chroma)
    # Sixths of the color circle, counted from red.
    sixths = jnp.where(
        value == red,
        (green - blue) / divisor,
        jnp.where(value == green, 2 + (blue - red) / divisor, 4 + (red - green) / divisor),
    )
    sixths = (sixths + 6 * turn) % 6

    def channel(offset):
        k = (offset + sixths) % 6
        return value - chroma * jnp.clip(jnp.minimum(k, 4 - k), 0, 1)

    return jnp.stack([channel(5), channel(3), channel(1)], -1)


_CHANGES = [_brightness, _contrast, _saturation, _hue]
