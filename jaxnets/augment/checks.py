"""What augmentations ask of their arguments. Only what is known while tracing is looked at."""

import math
import numbers
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def check_image(image: jax.Array, *, channels: int | None = None) -> None:
    """Raise a ValueError unless ``image`` is (H, W, C), with so many channels where given.

    Args:
        image: any array.
        channels: C, or None for any.

    >>> check_image(jnp.zeros((4, 5, 1)), channels=3)
    Traceback (most recent call last):
    ValueError: image: got shape (4, 5, 1); expected one image (H, W, 3)
    """
    shape = jnp.shape(image)
    if len(shape) != 3 or (channels is not None and shape[2] != channels):
        wanted = "C" if channels is None else channels
        raise ValueError(f"image: got shape {shape}; expected one image (H, W, {wanted})")


def check_gray_levels(image: jax.Array) -> None:
    """Raise a ValueError unless values can be computed with: uint8, or floating.

    Args:
        image: any array.

    >>> check_gray_levels(jnp.zeros(2, bool))
    Traceback (most recent call last):
    ValueError: image: got dtype bool; expected uint8 (0 … 255) or floating
    """
    dtype = jnp.result_type(image)
    if dtype != jnp.uint8 and not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(f"image: got dtype {dtype}; expected uint8 (0 … 255) or floating")


def check_size(name: str, value: Any, high: int | None = None) -> None:
    """Raise a ValueError unless ``value`` is an integer from 1 to ``high``.

    Args:
        name: of the argument, for the message.
        value: what came.
        high: the largest that is allowed, a length of the image; None for any.

    >>> check_size("size", 9, 8)
    Traceback (most recent call last):
    ValueError: size: got 9; expected an integer from 1 to the image's 8
    """
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or value < 1 or (high is not None and value > high):
        limit = "of at least 1" if high is None else f"from 1 to the image's {high}"
        raise ValueError(f"{name}: got {value!r}; expected an integer {limit}")


def check_range(name: str, value: Any, low: float, high: float = math.inf) -> None:
    """Raise a ValueError unless the plain number ``value`` lies in [low, high].

    Args:
        name: of the argument, for the message.
        value: what came; arrays pass, as their values may be traced.
        low, high: the ends of the interval, both included.

    >>> check_range("probability", 1.5, 0, 1)
    Traceback (most recent call last):
    ValueError: probability: got 1.5; expected a number in [0, 1]
    """
    if isinstance(value, jax.Array | np.ndarray):
        return
    if not isinstance(value, numbers.Real) or not low <= value <= high or math.isinf(value):
        raise ValueError(f"{name}: got {value!r}; expected a number in [{low}, {high}]")
