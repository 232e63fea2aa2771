"""PCA and ZCA whitening, fitted on the training set only."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.data import streaming
from jaxnets.data.streaming import as_float


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
        contrast: ε of the contrast normalization that comes first, or None for none.

    >>> whitening = Whitening(np.ones(1), np.eye(1), np.eye(1), (1,), keeps_shape=True)
    >>> whitening.apply(jnp.array([[3.0]])).tolist()
    [[2.0]]
    """

    mean: np.ndarray
    forward: np.ndarray
    backward: np.ndarray
    feature_shape: tuple[int, ...]
    keeps_shape: bool
    contrast: float | None = None

    def apply(self, x: jax.Array) -> jax.Array:
        """Whiten examples (…, *feature_shape); gives (…, *feature_shape) or (…, K).

        Args:
            x: (…, *feature_shape), any dtype.

        Returns:
            Floating (…, *feature_shape), or (…, K) where ``keeps_shape`` is false.

        Raises:
            ValueError: examples of another shape.
        """
        rank = len(self.feature_shape)
        if x.shape[x.ndim - rank :] != self.feature_shape:
            raise ValueError(f"x has shape {x.shape}; expected (…, {self.feature_shape})")
        x = as_float(x)
        if self.contrast is not None:
            x = normalize_contrast(x, self.contrast, rank=rank)
        batch = x.shape[: x.ndim - rank]
        flat = x.reshape(*batch, -1)
        flat = flat - jnp.broadcast_to(jnp.asarray(self.mean, x.dtype), flat.shape)
        # Whitening divides by small standard deviations: reduced precision would show.
        flat = jnp.matmul(flat, jnp.asarray(self.forward, x.dtype), precision="highest")
        return flat.reshape(*batch, *self.feature_shape) if self.keeps_shape else flat

    def inverse(self, y: jax.Array) -> jax.Array:
        """Back to images (contrast-normalized ones where ``contrast`` is set).

        Exact where no component was left out; otherwise the nearest image in what was kept.

        Args:
            y: as `apply` returns it.

        Returns:
            Floating (…, *feature_shape).
        """
        y = as_float(y)
        batch = y.shape[: y.ndim - (len(self.feature_shape) if self.keeps_shape else 1)]
        flat = y.reshape(*batch, -1)
        flat = jnp.matmul(flat, jnp.asarray(self.backward, y.dtype), precision="highest")
        flat = flat + jnp.broadcast_to(jnp.asarray(self.mean, y.dtype), flat.shape)
        return flat.reshape(*batch, *self.feature_shape)


def fit_pca_whitening(
    train_images: np.ndarray,
    *,
    epsilon: float = 1e-5,
    components: int | None = None,
    contrast: float | None = None,
) -> Whitening:
    """PCA whitening: rotate to the principal axes and give each unit variance.

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
    """ZCA whitening: PCA whitening, then back to the original axes.

    y = (x − μ) U diag(1/√(λ + ε)) Uᵀ. The matrix is symmetric, and of all that whiten it is the one
    that changes the data least (Bell & Sejnowski 1997; Kessy, Lewin & Strimmer 2018), so images
    stay images.

    Args:
        train_images: (N, …): images or vectors; an example has D values. The fit takes D³ time: 7 s
            for 32×32×3 on two CPU cores.
        epsilon: added to the variances, in squared units of x; 0 gives covariance exactly I. 0.1 is
            for contrast-normalized patches (Coates, Ng & Lee 2011): 8×8 patches of CIFAR-10 then
            keep a correlation of 0.73 with their originals, but whole images only 0.57 (1.0: 0.70).
        contrast: first bring every example to mean 0 and variance 1 (see ``normalize_contrast``)
            with this ε; 10 is usual for pixels in 0 … 255. None: do not.

    Returns:
        A ``Whitening`` whose output has the shape of its input.

    Raises:
        ValueError: ``epsilon`` is 0 and a direction has no variance.

    >>> x = np.random.default_rng(0).normal(size=(100, 3)) @ np.diag([1.0, 5.0, 10.0])
    >>> whitening = fit_zca_whitening(x, epsilon=0.0)
    >>> bool(np.allclose(whitening.forward, whitening.forward.T))
    True
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

    Global contrast normalization as in Coates, Ng & Lee, "An analysis of single-layer networks in
    unsupervised feature learning" (2011).

    Args:
        x: (…, H, W, C), or whatever ``rank`` says.
        epsilon: keeps flat images from being blown up; in squared units of x.
        rank: how many trailing axes make one example.

    Returns:
        The same shape, floating.

    >>> normalize_contrast(jnp.array([[1.0, 3.0]]), 0.0, rank=1).tolist()
    [[-1.0, 1.0]]
    """
    x = as_float(x)
    axes = tuple(range(x.ndim - rank, x.ndim))
    centered = x - x.mean(axes, keepdims=True)
    return centered / jnp.sqrt(jnp.square(centered).mean(axes, keepdims=True) + epsilon)


def _principal_axes(images: np.ndarray, contrast: float | None):
    """Mean (D,), principal directions (D, D) as columns, variances (D,), largest first."""

    def chunks() -> Iterator[np.ndarray]:
        for chunk in streaming.chunks(images):
            if contrast is not None:
                chunk -= chunk.mean(1, keepdims=True)
                chunk /= np.sqrt(np.square(chunk).mean(1, keepdims=True) + contrast)
            yield chunk

    mean = sum(chunk.sum(0) for chunk in chunks()) / len(images)
    covariance = np.zeros((len(mean), len(mean)))
    for chunk in chunks():
        chunk -= mean
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
