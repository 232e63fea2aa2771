"""PSNR and SSIM: how near an image is to another one."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np


def psnr(image: jax.Array, reference: jax.Array, *, data_range: float) -> jax.Array:
    """Peak signal-to-noise ratio: 10·log₁₀(range² / mean squared error), in decibels.

    Args:
        image: (…, H, W, C).
        reference: the same shape.
        data_range: largest minus smallest possible value: 255 for bytes, 1 for shares of one.

    Returns:
        float32 (…); infinite for equal images.

    Raises:
        ValueError: shapes that differ, or a range that is not positive.

    Source: Dong et al., "Image Super-Resolution Using Deep Convolutional Networks", 2016,
    section 4.

    >>> round(float(psnr(jnp.zeros((2, 2, 1)), jnp.full((2, 2, 1), 25.5), data_range=255)), 3)
    20.0
    """
    image, reference = _pair(image, reference, data_range)
    error = ((image - reference) ** 2).mean((-3, -2, -1))
    return 10 * jnp.log10(data_range**2 / error)


def ssim(
    image: jax.Array,
    reference: jax.Array,
    *,
    data_range: float,
    window: str = "gaussian",
) -> jax.Array:
    """Structural similarity: of means, variances and covariance of small windows.

    SSIM = (2μ_x μ_y + C₁)(2σ_xy + C₂) / ((μ_x² + μ_y² + C₁)(σ_x² + σ_y² + C₂)), C₁ = (.01·range)²,
    C₂ = (.03·range)², averaged over all windows that lie in the image, and over channels.

    Args:
        image: (…, H, W, C), at least as large as the window.
        reference: the same shape.
        data_range: largest minus smallest possible value.
        window: "gaussian", 11×11 of σ = 1.5, the paper's; or "uniform", 7×7, with the unbiased
            estimate of variances, the default of scikit-image.

    Returns:
        float32 (…), at most 1.

    Raises:
        ValueError: shapes that differ or are smaller than the window, an unknown window, a range
            that is not positive.

    Source: Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity",
    2004, section III-B.

    >>> x = jnp.arange(144.0).reshape(12, 12, 1)
    >>> float(ssim(x, x, data_range=144.0))
    1.0
    """
    if window not in ("gaussian", "uniform"):
        raise ValueError(f"window: got {window!r}; expected gaussian or uniform")
    x, y = _pair(image, reference, data_range)
    side = 11 if window == "gaussian" else 7
    if min(x.shape[-3:-1]) < side:
        raise ValueError(f"image: got shape {x.shape}; expected at least {side} pixels each way")
    return _ssim(x, y, data_range, window)


@partial(jax.jit, static_argnums=3, inline=True)
def _ssim(x, y, data_range, window):
    if window == "gaussian":
        weights = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
        correction = 1.0
    else:
        weights = np.ones(7)
        correction = 49 / 48
    weights = weights / weights.sum()

    def mean(values):
        for axis in (-3, -2):
            extent = values.shape[axis] - len(weights) + 1
            parts = [
                weight * jax.lax.slice_in_dim(values, i, i + extent, axis=values.ndim + axis)
                for i, weight in enumerate(weights.tolist())
            ]
            values = sum(parts[1:], parts[0])
        return values

    mean_x, mean_y = mean(x), mean(y)
    var_x = correction * (mean(x * x) - mean_x**2)
    var_y = correction * (mean(y * y) - mean_y**2)
    covariance = correction * (mean(x * y) - mean_x * mean_y)
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    similar = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return (similar / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))).mean((-3, -2, -1))


def _pair(image, reference, data_range):
    """Both images in float32 at least."""
    image, reference = jnp.asarray(image), jnp.asarray(reference)
    if image.shape != reference.shape or image.ndim < 3:
        raise ValueError(
            f"reference: got shape {reference.shape}; expected (…, H, W, C) as image, {image.shape}"
        )
    if not data_range > 0:
        raise ValueError(f"data_range: got {data_range}; expected a positive number")
    wide = jnp.float64 if jnp.float64 in (image.dtype, reference.dtype) else jnp.float32
    return image.astype(wide), reference.astype(wide)
