"""Preprocessing fitted on the training set only, applied inside jit (notes L6, L27).

What is subtracted or whitened must come from the training images alone: ``fit_*`` takes them and
returns a frozen pytree whose ``apply`` is a pure function for every split. The images are read in
chunks, so a memory map larger than the memory is fine; sums are float64.

Pixel values are taken as they are (0 … 255 for uint8), so statistics are in grey levels.
"""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.errors import UnknownNameError

# Numbers in one chunk while fitting: 64 MB as float64.
_CHUNK_NUMBERS: Final = 2**23


@functools.partial(jax.tree_util.register_dataclass, data_fields=("mean", "std"), meta_fields=())
@dataclass(frozen=True, eq=False)
class Standardization:
    """x ↦ (x − mean) / std, with statistics an image, one number a channel, or one number.

    Both broadcast against (…, H, W, C). Integers come out as float32, float64 stays float64.
    """

    mean: np.ndarray
    std: np.ndarray

    def apply(self, x: jax.Array) -> jax.Array:
        """(x − mean) / std."""
        x = _as_float(x)
        return (x - jnp.asarray(self.mean, x.dtype)) / jnp.asarray(self.std, x.dtype)

    def inverse(self, y: jax.Array) -> jax.Array:
        """y · std + mean: the pixels again."""
        y = _as_float(y)
        return y * jnp.asarray(self.std, y.dtype) + jnp.asarray(self.mean, y.dtype)


# The statistics that most published ImageNet weights were trained with, for RGB in 0 … 255.
IMAGENET: Final = Standardization(
    255 * np.array([0.485, 0.456, 0.406]), 255 * np.array([0.229, 0.224, 0.225])
)
# Caffe's networks of 2013-2016 saw blue, green, red in 0 … 255 with this subtracted.
CAFFE_BGR: Final = Standardization(np.array([104.0, 117.0, 123.0]), np.ones(3))


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=("mean", "forward", "backward"),
    meta_fields=("feature_shape", "keeps_shape", "contrast"),
)
@dataclass(frozen=True, eq=False)
class Whitening:
    """x ↦ (x − mean) · forward, after which the training data's covariance is the identity.

    Attributes:
      mean: (D,), D the number of values of one example.
      forward: (D, K).
      backward: (K, D), its (pseudo-)inverse.
      feature_shape: an example's shape, such as (32, 32, 3); D is its product.
      keeps_shape: whether the output has that shape (ZCA) or is (K,) (PCA).
      contrast: ε of the contrast normalisation that comes first, or None for none.
    """

    mean: np.ndarray
    forward: np.ndarray
    backward: np.ndarray
    feature_shape: tuple[int, ...]
    keeps_shape: bool
    contrast: float | None = None

    def apply(self, x: jax.Array) -> jax.Array:
        """Whiten examples (…, *feature_shape); gives (…, *feature_shape) or (…, K)."""
        rank = len(self.feature_shape)
        if x.shape[x.ndim - rank :] != self.feature_shape:
            raise ValueError(f"x has shape {x.shape}; expected (…, {self.feature_shape})")
        x = _as_float(x)
        if self.contrast is not None:
            x = normalize_contrast(x, self.contrast, rank=rank)
        batch = x.shape[: x.ndim - rank]
        flat = x.reshape(*batch, -1) - jnp.asarray(self.mean, x.dtype)
        # Whitening divides by small standard deviations: reduced precision would show.
        flat = jnp.matmul(flat, jnp.asarray(self.forward, x.dtype), precision="highest")
        return flat.reshape(*batch, *self.feature_shape) if self.keeps_shape else flat

    def inverse(self, y: jax.Array) -> jax.Array:
        """Back to images (contrast-normalised ones where ``contrast`` is set).

        Exact where no component was left out; otherwise the nearest image in what was kept.
        """
        y = _as_float(y)
        batch = y.shape[: y.ndim - (len(self.feature_shape) if self.keeps_shape else 1)]
        flat = y.reshape(*batch, -1)
        flat = jnp.matmul(flat, jnp.asarray(self.backward, y.dtype), precision="highest")
        return (flat + jnp.asarray(self.mean, y.dtype)).reshape(*batch, *self.feature_shape)


def fit_mean_image(train_images: np.ndarray) -> Standardization:
    """Subtract the mean training image, pixel by pixel (AlexNet; notes L6).

    Args:
      train_images: (N, H, W, C).

    >>> fit_mean_image(np.array([[[[0]]], [[[4]]]], np.uint8)).mean.item()
    2.0
    """
    mean, _ = _moments(train_images, axes=(0,), second=False)
    return Standardization(mean, np.ones(()))


def fit_channel_mean(train_images: np.ndarray) -> Standardization:
    """Subtract each channel's mean over training images and places (VGG; notes L6)."""
    mean, _ = _moments(train_images, axes=(0, 1, 2), second=False)
    return Standardization(mean, np.ones(()))


def fit_channel_mean_std(train_images: np.ndarray) -> Standardization:
    """Subtract each channel's mean and divide by its standard deviation (ResNet; notes L27 标准化).

    A channel that never changes is only centred.
    """
    mean, variance = _moments(train_images, axes=(0, 1, 2), second=True)
    return Standardization(mean, np.where(variance > 0, np.sqrt(variance), 1.0))


def fit_unit_range(train_images: np.ndarray) -> Standardization:
    """Divide by 255: pixels from 0 to 1, whatever the training images are."""
    del train_images
    return Standardization(np.zeros(()), np.full((), 255.0))


def fit_pca_whitening(
    train_images: np.ndarray,
    *,
    epsilon: float = 1e-5,
    components: int | None = None,
    contrast: float | None = None,
) -> Whitening:
    """PCA whitening: rotate to the principal axes and give each unit variance (notes L27).

    y = (x − μ) U diag(1/√(λ + ε)), with cov(x) = U diag(λ) Uᵀ over the training set (divided by N)
    and λ descending. Each column of U has its largest entry positive.

    Args:
      train_images: (N, …): images or vectors; an example has D values.
      epsilon: added to the variances, in squared units of x; 0 gives covariance exactly I.
      components: keep the K ≤ D directions of largest variance; None keeps all.
      contrast: see ``fit_zca_whitening``.

    Returns:
      A ``Whitening`` whose output is (…, K).

    Raises:
      ValueError: ``components`` is not in 1 … D, or ``epsilon`` is 0 and a kept direction has no
        variance.

    >>> x = np.random.default_rng(0).normal(size=(100, 3)) * [1.0, 5.0, 10.0]
    >>> y = np.asarray(fit_pca_whitening(x, epsilon=0.0).apply(x))
    >>> bool(np.allclose(np.cov(y, rowvar=False, bias=True), np.eye(3), atol=1e-5))
    True
    """
    mean, directions, variances = _principal_axes(train_images, contrast)
    if components is not None:
        if not 1 <= components <= len(mean):
            raise ValueError(f"components is {components}; expected 1 to {len(mean)}")
        directions, variances = directions[:, :components], variances[:components]
    deviations = _deviations(variances, epsilon)
    return Whitening(
        mean,
        directions / deviations,
        (directions * deviations).T,
        tuple(train_images.shape[1:]),
        keeps_shape=False,
        contrast=contrast,
    )


def fit_zca_whitening(
    train_images: np.ndarray, *, epsilon: float = 0.1, contrast: float | None = None
) -> Whitening:
    """ZCA whitening: PCA whitening, then back to the original axes (notes L27).

    y = (x − μ) U diag(1/√(λ + ε)) Uᵀ. The matrix is symmetric, and of all that whiten it is the one
    that changes the data least (Bell & Sejnowski 1997; Kessy, Lewin & Strimmer 2018), so images
    stay images.

    Args:
      train_images: (N, …): images or vectors; an example has D values. The fit takes D³ time: for
        whole images of 32×32×3 tens of seconds.
      epsilon: added to the variances, in squared units of x. 0.1 suits contrast-normalised images
        (Coates, Ng & Lee 2011); 0 gives covariance exactly I.
      contrast: first bring every example to mean 0 and variance 1 (see ``normalize_contrast``)
        with this ε; 10 is usual for pixels in 0 … 255. None: do not.

    Returns:
      A ``Whitening`` whose output has the shape of its input.

    Raises:
      ValueError: ``epsilon`` is 0 and a direction has no variance.
    """
    mean, directions, variances = _principal_axes(train_images, contrast)
    deviations = _deviations(variances, epsilon)
    return Whitening(
        mean,
        (directions / deviations) @ directions.T,
        (directions * deviations) @ directions.T,
        tuple(train_images.shape[1:]),
        keeps_shape=True,
        contrast=contrast,
    )


def normalize_contrast(x: jax.Array, epsilon: float = 10.0, *, rank: int = 3) -> jax.Array:
    """Give every single example mean 0 and variance 1: (x − m) / √(v + ε).

    Global contrast normalisation as in Coates, Ng & Lee, "An analysis of single-layer networks in
    unsupervised feature learning" (2011).

    Args:
      x: (…, H, W, C), or whatever ``rank`` says.
      epsilon: keeps flat images from being blown up; in squared units of x.
      rank: how many trailing axes make one example.

    >>> normalize_contrast(jnp.array([[1.0, 3.0]]), 0.0, rank=1).tolist()
    [[-1.0, 1.0]]
    """
    x = _as_float(x)
    axes = tuple(range(x.ndim - rank, x.ndim))
    centred = x - x.mean(axes, keepdims=True)
    return centred / jnp.sqrt(jnp.square(centred).mean(axes, keepdims=True) + epsilon)


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

    >>> fit_preprocessing("channel_mean", np.full((2, 4, 4, 3), 7, np.uint8)).mean.tolist()
    [7.0, 7.0, 7.0]
    """
    if name not in FITTERS:
        raise UnknownNameError("preprocessing", name, FITTERS)
    return FITTERS[name](train_images, **options)


def _as_float(x: jax.Array) -> jax.Array:
    x = jnp.asarray(x)
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _chunks(images: np.ndarray) -> Iterator[np.ndarray]:
    if len(images) == 0:
        raise ValueError("train_images is empty")
    rows = max(1, _CHUNK_NUMBERS // max(1, int(np.prod(images.shape[1:]))))
    for start in range(0, len(images), rows):
        yield np.asarray(images[start : start + rows], np.float64)


def _moments(images: np.ndarray, axes: tuple[int, ...], *, second: bool):
    """Mean and, around it, variance over ``axes`` (the first among them), in two passes."""
    count = np.prod([images.shape[axis] for axis in axes])
    mean = sum(chunk.sum(axes) for chunk in _chunks(images)) / count
    if not second:
        return mean, None
    return mean, sum(np.square(chunk - mean).sum(axes) for chunk in _chunks(images)) / count


def _principal_axes(images: np.ndarray, contrast: float | None):
    """Mean (D,), principal directions (D, D) as columns, variances (D,), largest first."""

    def chunks() -> Iterator[np.ndarray]:
        for chunk in _chunks(images):
            flat = chunk.reshape(len(chunk), -1)
            if contrast is not None:
                flat = flat - flat.mean(1, keepdims=True)
                flat /= np.sqrt(np.square(flat).mean(1, keepdims=True) + contrast)
            yield flat

    mean = sum(chunk.sum(0) for chunk in chunks()) / len(images)
    covariance = np.zeros((len(mean), len(mean)))
    for chunk in chunks():
        chunk = chunk - mean
        covariance += chunk.T @ chunk
    variances, directions = np.linalg.eigh(covariance / len(images))
    variances, directions = np.maximum(variances[::-1], 0.0), directions[:, ::-1]
    largest = np.abs(directions).argmax(0)
    return mean, directions * np.sign(directions[largest, np.arange(len(mean))]), variances


def _deviations(variances: np.ndarray, epsilon: float) -> np.ndarray:
    """√(λ + ε); an error where that would divide by rounding noise."""
    if epsilon < 0:
        raise ValueError(f"epsilon is {epsilon}; expected 0 or more")
    noise = variances[0] * len(variances) * np.finfo(np.float64).eps
    flat = int((variances <= noise).sum())
    if epsilon == 0 and flat:
        raise ValueError(
            f"epsilon is 0, but {flat} of {len(variances)} directions have no variance: use "
            f"epsilon > 0, or PCA whitening with components={len(variances) - flat}"
        )
    return np.sqrt(variances + epsilon)
