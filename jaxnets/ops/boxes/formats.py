"""Formats of boxes, their area, and the moves that leave a box a box."""

from typing import Final

import jax
import jax.numpy as jnp

from jaxnets.ops.boxes.checks import check_boxes

# Corners; one corner with width and height; the center with width and height.
FORMATS: Final = ("xyxy", "xywh", "cxcywh")


def convert(boxes: jax.Array, source: str, target: str) -> jax.Array:
    """Change the format of boxes.

    Args:
        boxes: (…, 4), floating, in the format ``source``.
        source, target: "xyxy" (corners), "xywh" (the upper left corner, width, height: COCO's) or
            "cxcywh" (the center, width, height: YOLO's).

    Returns:
        (…, 4), like ``boxes``.

    Raises:
        ValueError: an unknown format, a shape that does not end in 4, or integers.

    >>> convert(jnp.array([10.0, 20.0, 4.0, 6.0]), "xywh", "xyxy").tolist()
    [10.0, 20.0, 14.0, 26.0]
    """
    check_boxes("boxes", boxes)
    for name, given in (("source", source), ("target", target)):
        if given not in FORMATS:
            raise ValueError(f"{name}: got {given!r}; expected one of {', '.join(FORMATS)}")
    if source == target:
        return boxes
    first, second = boxes[..., :2], boxes[..., 2:]
    if source == "xywh":
        first, second = first, first + second
    elif source == "cxcywh":
        first, second = first - 0.5 * second, first + 0.5 * second
    # Corners from here on.
    if target == "xywh":
        first, second = first, second - first
    elif target == "cxcywh":
        first, second = 0.5 * (first + second), second - first
    return jnp.concatenate([first, second], -1)


def area(boxes: jax.Array) -> jax.Array:
    """Width times height; 0 for a box whose corners are in the wrong order.

    Args:
        boxes: (…, 4), corners in pixels.

    Returns:
        (…), square pixels.

    Raises:
        ValueError: a shape that does not end in 4, or integers.

    >>> area(jnp.array([[0.0, 0.0, 2.0, 3.0], [5.0, 0.0, 2.0, 3.0]])).tolist()
    [6.0, 0.0]
    """
    check_boxes("boxes", boxes)
    sides = jnp.maximum(boxes[..., 2:] - boxes[..., :2], 0)
    return sides[..., 0] * sides[..., 1]


def clip(boxes: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Cut boxes off at the border of the image; one outside of it becomes a box without area.

    Args:
        boxes: (…, 4), corners in pixels.
        size: height and width of the image; numbers, or traced scalars of the boxes' dtype.

    Returns:
        (…, 4), like ``boxes``.

    Raises:
        ValueError: a shape that does not end in 4, or integers.

    >>> clip(jnp.array([-2.0, 3.0, 5.0, 20.0]), (10, 4)).tolist()
    [0.0, 3.0, 4.0, 10.0]
    """
    check_boxes("boxes", boxes)
    height, width = size
    x, y = boxes[..., 0::2], boxes[..., 1::2]
    x, y = jnp.clip(x, 0, width), jnp.clip(y, 0, height)
    return jnp.stack([x[..., 0], y[..., 0], x[..., 1], y[..., 1]], -1)


def scale(boxes: jax.Array, factors: tuple[float, float]) -> jax.Array:
    """Multiply coordinates: from fractions of an image to its pixels and back, or to another size.

    Args:
        boxes: (…, 4), in any format: x, y, x, y or widths and heights.
        factors: of y and of x, in the order of an image's (height, width); numbers, or traced
            scalars of the boxes' dtype. ``(H, W)`` turns fractions into pixels.

    Returns:
        (…, 4), like ``boxes``.

    Raises:
        ValueError: a shape that does not end in 4, or integers.

    >>> scale(jnp.array([0.5, 0.5, 1.0, 1.0]), (100, 200)).tolist()
    [100.0, 50.0, 200.0, 100.0]
    """
    check_boxes("boxes", boxes)
    y, x = (jnp.asarray(factor, boxes.dtype) for factor in factors)
    return jnp.stack(
        [boxes[..., 0] * x, boxes[..., 1] * y, boxes[..., 2] * x, boxes[..., 3] * y], -1
    )
