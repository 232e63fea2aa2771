"""What augmentations ask of their arguments. Only what is known while tracing is looked at."""

import math
import numbers
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def check_image(image: jax.Array, *, channels: int | None = None) -> None:
    """Raise a ValueError unless ``image`` is (H, W, C), with so many channels where given."""
    shape = jnp.shape(image)
    if len(shape) != 3 or (channels is not None and shape[2] != channels):
        wanted = "C" if channels is None else channels
        raise ValueError(f"image: got shape {shape}; expected one image (H, W, {wanted})")


def check_gray_levels(image: jax.Array) -> None:
    """Raise a ValueError unless values can be computed with: uint8, or floating."""
    dtype = jnp.result_type(image)
    if dtype != jnp.uint8 and not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(f"image: got dtype {dtype}; expected uint8 (0 … 255) or floating")


def check_size(name: str, value: Any, high: int | None = None) -> None:
    """Raise a ValueError unless ``value`` is an integer from 1 to ``high``."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or value < 1 or (high is not None and value > high):
        limit = "of at least 1" if high is None else f"from 1 to the image's {high}"
        raise ValueError(f"{name}: got {value!r}; expected an integer {limit}")


def check_range(name: str, value: Any, low: float, high: float = math.inf) -> None:
    """Raise a ValueError unless the plain number ``value`` lies in [low, high]."""
    if isinstance(value, jax.Array | np.ndarray):
        return
    if not isinstance(value, numbers.Real) or not low <= value <= high or math.isinf(value):
        raise ValueError(f"{name}: got {value!r}; expected a number in [{low}, {high}]")
