"""What the operations on boxes ask of their arguments, as far as shapes and plain numbers tell."""

import numbers
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def check_boxes(name: str, boxes: jax.Array, dimensions: int | None = None) -> None:
    """Raise a ValueError unless the last axis holds four floating coordinates.

    Args:
        name: of the argument, for the message.
        boxes: any array.
        dimensions: how many axes it must have; None for any.

    >>> check_boxes("boxes", jnp.zeros((3, 5)))
    Traceback (most recent call last):
    ValueError: boxes: got shape (3, 5); expected (…, 4), the corners x1, y1, x2, y2
    """
    shape = jnp.shape(boxes)
    if not shape or shape[-1] != 4 or (dimensions is not None and len(shape) != dimensions):
        wanted = "(…, 4)" if dimensions is None else f"({'N, ' * (dimensions - 1)}4)"
        raise ValueError(
            f"{name}: got shape {shape}; expected {wanted}, the corners x1, y1, x2, y2"
        )
    check_floating(name, boxes)


def check_floating(name: str, values: jax.Array) -> None:
    """Raise a ValueError unless the array is floating.

    Args:
        name: of the argument, for the message.
        values: any array.

    >>> check_floating("scores", jnp.zeros(2, int))
    Traceback (most recent call last):
    ValueError: scores: got dtype int32; expected floating numbers, such as float32
    """
    dtype = jnp.result_type(values)
    if not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(f"{name}: got dtype {dtype}; expected floating numbers, such as float32")


def check_shape(name: str, values: jax.Array, shape: Sequence[int], why: str) -> None:
    """Raise a ValueError unless the array has this shape.

    Args:
        name: of the argument, for the message.
        values: any array.
        shape: what is expected.
        why: what the expectation comes from, for the message.

    >>> check_shape("scores", jnp.zeros(2), (3,), "one for each box")
    Traceback (most recent call last):
    ValueError: scores: got shape (2,); expected (3,), one for each box
    """
    if jnp.shape(values) != tuple(shape):
        raise ValueError(f"{name}: got shape {jnp.shape(values)}; expected {tuple(shape)}, {why}")


def check_fraction(name: str, value: Any) -> None:
    """Raise a ValueError unless a plain number lies in [0, 1]; arrays pass.

    Args:
        name: of the argument, for the message.
        value: what came.

    >>> check_fraction("threshold", 50)
    Traceback (most recent call last):
    ValueError: threshold: got 50; expected a number in [0, 1]
    """
    if isinstance(value, jax.Array | np.ndarray):
        return
    if not isinstance(value, numbers.Real) or not 0 <= value <= 1:
        raise ValueError(f"{name}: got {value!r}; expected a number in [0, 1]")


def check_count(name: str, value: Any) -> None:
    """Raise a ValueError unless the value is a whole number of at least 1.

    Args:
        name: of the argument, for the message.
        value: what came.

    >>> check_count("max_outputs", 0)
    Traceback (most recent call last):
    ValueError: max_outputs: got 0; expected a whole number of at least 1
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
        raise ValueError(f"{name}: got {value!r}; expected a whole number of at least 1")


def safe_divide(numerator: jax.Array, denominator: jax.Array) -> jax.Array:
    """The quotient, 0 where the denominator is not positive, with derivatives 0 there.

    >>> safe_divide(jnp.array([1.0, 0.0]), jnp.array([2.0, 0.0])).tolist()
    [0.5, 0.0]
    """
    positive = denominator > 0
    quotient = numerator / jnp.where(positive, denominator, jnp.ones_like(denominator))
    return jnp.where(positive, quotient, jnp.zeros_like(quotient))


def as_bool(mask: jax.Array) -> jax.Array:
    """A mask of any dtype as booleans: true where it is not 0.

    >>> as_bool(jnp.array([0.0, 1.0])).tolist()
    [False, True]
    """
    return jnp.asarray(mask).astype(bool)
