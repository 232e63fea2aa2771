"""AlexNet's color noise along the principal components of the training set's colors."""

import functools
from dataclasses import dataclass
from typing import Final

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.augment.checks import check_gray_levels, check_image, check_range
from jaxnets.augment.example import Example, change_image
from jaxnets.augment.values import to_dtype, white_of
from jaxnets.data import streaming


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=("eigenvalues", "eigenvectors"), meta_fields=()
)
@dataclass(frozen=True, eq=False)
class ColorPCA:
    """Principal components of a training set's colors, with white = 1.

    Attributes:
        eigenvalues: (C,), descending.
        eigenvectors: (C, C), one component a column.

    >>> ColorPCA(np.array([0.25, 0.0]), np.eye(2)).eigenvectors[:, 0].tolist()
    [1.0, 0.0]
    """

    eigenvalues: np.ndarray
    eigenvectors: np.ndarray


# Of ImageNet's training set, as fb.resnet.torch publishes them.
IMAGENET_COLORS: Final = ColorPCA(
    np.array([0.2175, 0.0188, 0.0045]),
    np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]]),
)


def fit_color_pca(train_images: np.ndarray, *, white: float | None = None) -> ColorPCA:
    """The covariance of the channels over all pixels of the training set, taken apart.

    The formula of `add_color_noise` multiplies by an eigenvalue, not by its root, and so depends on
    the unit of the pixels: as with the published constants, white is 1 here.

    Args:
        train_images: (N, H, W, C); read in chunks, summed in float64.
        white: the value of white, by default 255 for uint8 and 1 for floating images; it must be
            given for floating images of another range.

    Returns:
        The eigenvalues and eigenvectors of the covariance, with white = 1.

    >>> colors = fit_color_pca(np.array([[[[0, 0]], [[255, 0]]]], np.uint8))
    >>> colors.eigenvalues.round(4).tolist()
    [0.25, 0.0]
    """
    if np.ndim(train_images) != 4:
        raise ValueError(f"train_images: got shape {train_images.shape}; expected (N, H, W, C)")
    check_gray_levels(train_images)
    if white is None and train_images.dtype == np.uint8:
        white = 255
    channels = train_images.shape[-1]
    count, total, products = 0, np.zeros(channels), np.zeros((channels, channels))
    for chunk in streaming.chunks(train_images):
        colors = chunk.reshape(-1, channels) / (white_of(chunk) if white is None else white)
        count += len(colors)
        total += colors.sum(0)
        products += colors.T @ colors
    mean = total / count
    eigenvalues, eigenvectors = np.linalg.eigh(products / count - np.outer(mean, mean))
    return ColorPCA(np.maximum(eigenvalues[::-1], 0), eigenvectors[:, ::-1])


def random_color_noise(
    key: jax.Array,
    example: Example,
    colors: ColorPCA = IMAGENET_COLORS,
    std: float = 0.1,
    *,
    white: float | None = None,
) -> Example:
    """`add_color_noise` with α ~ N(0, std²), drawn once an image.

    Args:
        key: a JAX random key.
        example: a dict with ``image (H, W, C)``, uint8 or floating, or the image.
        colors: of the training set, from `fit_color_pca`, or the published ones of ImageNet.
        std: of α; the paper's is 0.1.
        white: as of `add_color_noise`.

    Returns:
        The example with another image, of the same shape and dtype; an image for an image.

    >>> random_color_noise(jax.random.key(0), jnp.zeros((2, 2, 3))).shape
    (2, 2, 3)
    """
    check_range("std", std, 0)
    alphas = std * jax.random.normal(key, (len(colors.eigenvalues),))
    return add_color_noise(example, alphas, colors, white=white)


def add_color_noise(
    example: Example,
    alphas: jax.Array,
    colors: ColorPCA = IMAGENET_COLORS,
    *,
    white: float | None = None,
) -> Example:
    """Add one constant to each channel: [p₁ p₂ p₃][α₁λ₁ α₂λ₂ α₃λ₃]ᵀ.

    A change of the light's intensity and color, as far as the training set has such. Floating
    images are not clipped, uint8 ones are rounded and clipped.

    Args:
        example: a dict with ``image (H, W, C)``, uint8 or floating, or the image.
        alphas: (C,).
        colors: λ and p.
        white: the value of white, by default 255 for uint8 and 1 for floating images.

    Returns:
        The example with another image, of the same shape and dtype; an image for an image.

    Source: Krizhevsky et al. 2012, section 4.1.

    >>> add_color_noise(jnp.full((1, 1, 3), 99, jnp.uint8), jnp.array([1.0, 0, 0]))[0, 0].tolist()
    [68, 67, 67]
    """
    amounts = jnp.asarray(alphas, jnp.float32) * jnp.asarray(colors.eigenvalues, jnp.float32)
    shift = (jnp.asarray(colors.eigenvectors, jnp.float32) * amounts[None]).sum(1)

    def add(image):
        check_image(image, channels=len(colors.eigenvalues))
        check_gray_levels(image)
        brightest = white_of(image) if white is None else white
        return to_dtype(image.astype(jnp.float32) + brightest * shift[None, None], image.dtype)

    return change_image(example, add)
