"""Preprocessing fitted on the training set only, applied inside jit.

What is subtracted or whitened must come from the training images alone: ``fit_*`` takes them and
returns a frozen pytree whose ``apply`` is a pure function for every split. The images are read in
chunks, so a memory map larger than the memory is fine; sums are float64.

Pixel values are taken as they are (0 … 255 for uint8), so statistics are in gray levels.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.data.streaming import as_float, mean_image, variance_image
from jaxnets.data.whitening import (
    Whitening,
    fit_pca_whitening,
    fit_zca_whitening,
    normalize_contrast,
)
from jaxnets.errors import UnknownNameError

__all__ = [
    "CAFFE_BGR",
    "FITTERS",
    "IMAGENET",
    "Standardization",
    "Whitening",
    "fit_channel_mean",
    "fit_channel_mean_std",
    "fit_mean_image",
    "fit_pca_whitening",
    "fit_preprocessing",
    "fit_unit_range",
    "fit_zca_whitening",
    "normalize_contrast",
]


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=("mean", "std"), meta_fields=("reverse_channels",)
)
@dataclass(frozen=True, eq=False)
class Standardization:
    """x ↦ (x − mean) / std, with statistics an image, one number a channel, or one number.

    Both broadcast against (…, H, W, C). Integers come out as float32, float64 stays float64.

    Attributes:
        mean: (H, W, C), (C,) or a scalar, in gray levels.
        std: likewise.
        reverse_channels: red, green, blue become blue, green, red first; mean and std are those
            of the reversed channels.

    >>> Standardization(np.array([100.0]), np.array([50.0])).apply(jnp.uint8([[200]])).tolist()
    [[2.0]]
    """

    mean: np.ndarray
    std: np.ndarray
    reverse_channels: bool = False

    def apply(self, x: jax.Array) -> jax.Array:
        """(x − mean) / std.

        Args:
            x: (…, H, W, C), any dtype.

        Returns:
            The same shape, floating.
        """
        x = as_float(x)
        if self.reverse_channels:
            x = x[..., ::-1]
        return (x - _like(x, self.mean)) / _like(x, self.std)

    def inverse(self, y: jax.Array) -> jax.Array:
        """y · std + mean: the pixels again.

        Args:
            y: (…, H, W, C), as `apply` returns it.

        Returns:
            The same shape, floating.
        """
        y = as_float(y)
        x = y * _like(y, self.std) + _like(y, self.mean)
        return x[..., ::-1] if self.reverse_channels else x


def _like(x: jax.Array, statistics: np.ndarray) -> jax.Array:
    """Statistics in the dtype of x and with as many axes."""
    statistics = jnp.asarray(statistics, x.dtype)
    return statistics.reshape((1,) * (x.ndim - statistics.ndim) + statistics.shape)


# The statistics that most published ImageNet weights were trained with, for RGB in 0 … 255.
IMAGENET: Final = Standardization(
    255 * np.array([0.485, 0.456, 0.406]), 255 * np.array([0.229, 0.224, 0.225])
)
# Caffe's networks of 2013-2016 saw blue, green, red in 0 … 255 with this subtracted; it takes red,
# green, blue, as all images here are, and turns them round.
CAFFE_BGR: Final = Standardization(
    np.array([104.0, 117.0, 123.0]), np.ones(3), reverse_channels=True
)


def fit_mean_image(train_images: np.ndarray) -> Standardization:
    """Subtract the mean training image, pixel by pixel (AlexNet).

    Args:
        train_images: (N, H, W, C).

    Returns:
        A `Standardization` with a mean (H, W, C) and a standard deviation of 1.

    >>> fit_mean_image(np.array([[[[0]]], [[[4]]]], np.uint8)).mean.item()
    2.0
    """
    return Standardization(mean_image(train_images), np.ones(()))


def fit_channel_mean(train_images: np.ndarray) -> Standardization:
    """Subtract each channel's mean over training images and places (VGG).

    Args:
        train_images: (N, H, W, C).

    Returns:
        A `Standardization` with a mean (C,) and a standard deviation of 1.

    >>> fit_channel_mean(np.array([[[[0, 9]]], [[[4, 9]]]], np.uint8)).mean.tolist()
    [2.0, 9.0]
    """
    return Standardization(mean_image(train_images).mean((0, 1)), np.ones(()))


def fit_channel_mean_std(train_images: np.ndarray) -> Standardization:
    """Subtract each channel's mean and divide by its standard deviation (ResNet).

    A channel that never changes is only centered.

    Args:
        train_images: (N, H, W, C).

    Returns:
        A `Standardization` with a mean and a standard deviation (C,).

    >>> fit_channel_mean_std(np.array([[[[0, 9]]], [[[4, 9]]]], np.uint8)).std.tolist()
    [2.0, 1.0]
    """
    image = mean_image(train_images)
    mean = image.mean((0, 1))
    # Spread of a channel: within each place, and of the places around the channel's mean.
    variance = (variance_image(train_images, image) + np.square(image - mean)).mean((0, 1))
    return Standardization(mean, np.where(variance > 0, np.sqrt(variance), 1.0))


def fit_unit_range(train_images: np.ndarray) -> Standardization:
    """Divide by 255: pixels from 0 to 1, whatever the training images are.

    Args:
        train_images: not used; there for the sake of `fit_preprocessing`.

    Returns:
        A `Standardization` with mean 0 and standard deviation 255.

    >>> fit_unit_range(np.zeros((1, 2, 2, 1), np.uint8)).apply(jnp.uint8([[255]])).tolist()
    [[1.0]]
    """
    del train_images
    return Standardization(np.zeros(()), np.full((), 255.0))


FITTERS: Final[dict[str, Callable[..., Standardization | Whitening]]] = {
    "unit": fit_unit_range,
    "mean_image": fit_mean_image,
    "channel_mean": fit_channel_mean,
    "channel_mean_std": fit_channel_mean_std,
    "pca": fit_pca_whitening,
    "zca": fit_zca_whitening,
}


def fit_preprocessing(
    name: str, train_images: np.ndarray, **options
) -> Standardization | Whitening:
    """Fit the preprocessing of this name: a key of ``FITTERS``.

    Args:
        name: a key of ``FITTERS``.
        train_images: (N, H, W, C).
        options: of the function that has this name.

    Returns:
        What the function of this name returns; its ``apply`` is for the images of every split.

    Raises:
        UnknownNameError: a name that is not in ``FITTERS``.

    >>> fit_preprocessing("channel_mean", np.full((2, 4, 4, 3), 7, np.uint8)).mean.tolist()
    [7.0, 7.0, 7.0]
    """
    if name not in FITTERS:
        raise UnknownNameError("preprocessing", name, FITTERS)
    return FITTERS[name](train_images, **options)
