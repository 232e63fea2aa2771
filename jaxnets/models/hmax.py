"""HMAX, a model of visual cortex: filters, a maximum, templates, a maximum; nothing is learned.

S1: Gabor filters of sixteen sizes and four orientations. C1: the maximum over two neighboring sizes
and a neighborhood, which forgives small shifts. S2: how like a stored patch of C1 each place is.
C2: the best place of all, one number a patch. A linear classifier reads those.

Source: Serre, Wolf, Bileschi, Riesenhuber, Poggio, "Robust Object Recognition with Cortex-Like
Mechanisms", 2007, section 2, table 1.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.ops import conv, max_pool


class Band(NamedTuple):
    """Two neighboring filter sizes, and the neighborhood over which they are pooled.

    Attributes:
        sizes: sides of the filters in pixels.
        sigmas: σ, widths of their envelopes, in pixels.
        wavelengths: λ, in pixels.
        grid: side of the neighborhood in pixels; neighborhoods overlap by half.

    >>> BANDS[0].sizes, BANDS[-1].sizes, BANDS[-1].grid
    ((7, 9), (35, 37), 22)
    """

    sizes: tuple[int, int]
    sigmas: tuple[float, float]
    wavelengths: tuple[float, float]
    grid: int


# Table 1.
BANDS = (
    Band((7, 9), (2.8, 3.6), (3.5, 4.6), 8),
    Band((11, 13), (4.5, 5.4), (5.6, 6.8), 10),
    Band((15, 17), (6.3, 7.3), (7.9, 9.1), 12),
    Band((19, 21), (8.2, 9.2), (10.3, 11.5), 14),
    Band((23, 25), (10.2, 11.3), (12.7, 14.1), 16),
    Band((27, 29), (12.3, 13.4), (15.4, 16.8), 18),
    Band((31, 33), (14.6, 15.8), (18.2, 19.7), 20),
    Band((35, 37), (17.0, 18.2), (21.2, 22.8), 22),
)
ORIENTATIONS = 4
# γ, the length of a filter's envelope over its width.
ASPECT = 0.3
PATCH_SIZES = (4, 8, 12, 16)


def gabor_filters(
    size: int,
    sigma: float,
    wavelength: float,
    *,
    orientations: int = ORIENTATIONS,
    aspect: float = ASPECT,
) -> np.ndarray:
    """Filters of one size: exp(−(u² + γ²v²) / 2σ²) · cos(2πu/λ), u and v being turned x and y.

    Each has the mean 0 and the norm 1, and is 0 outside of the circle that fits into its square.

    Args:
        size: side in pixels, odd.
        sigma: σ.
        wavelength: λ.
        orientations: O, angles k·180°/O.
        aspect: γ.

    Returns:
        float32 (size, size, 1, O), a kernel.

    Raises:
        ValueError: an even size.

    Source: Serre et al., 2007, equation 1; the circle and the normalization as in its code.

    >>> filters = gabor_filters(7, 2.8, 3.5)
    >>> filters.shape, bool(abs(filters.sum((0, 1))).max() < 1e-5)
    ((7, 7, 1, 4), True)
    """
    if size % 2 == 0:
        raise ValueError(f"size: got {size}; expected an odd number, which has a center")
    half = size // 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float64)
    inside = np.hypot(x, y) <= size / 2
    filters = []
    for k in range(orientations):
        angle = np.pi * k / orientations
        u = x * np.cos(angle) + y * np.sin(angle)
        v = -x * np.sin(angle) + y * np.cos(angle)
        g = np.exp(-(u**2 + aspect**2 * v**2) / (2 * sigma**2)) * np.cos(2 * np.pi * u / wavelength)
        g = np.where(inside, g - g[inside].mean(), 0.0)
        filters.append(g / np.linalg.norm(g))
    return np.stack(filters, -1)[:, :, None].astype(np.float32)


def simple_cells(
    images: jax.Array, bands: Sequence[Band] = BANDS
) -> list[tuple[jax.Array, jax.Array]]:
    """S1: the size of each filter's product with each place, over the norm of what is there.

    Args:
        images: gray, (N, H, W).
        bands: of filters.

    Returns:
        For each band two maps (N, H, W, O) from 0 to 1; 0 where there is nothing.

    Raises:
        ValueError: images of another shape.

    Source: Serre et al., 2007, section 2.1, "S1 units".

    >>> maps = simple_cells(jnp.ones((1, 16, 16)), BANDS[:1])
    >>> maps[0][1].shape
    (1, 16, 16, 4)
    """
    if images.ndim != 3:
        raise ValueError(f"images: got shape {images.shape}; expected gray ones, (N, H, W)")
    x = jnp.asarray(images, jnp.float32)[..., None]
    result = []
    for band in bands:
        maps = []
        for size, sigma, wavelength in zip(*band[:3], strict=True):
            kernel = jnp.asarray(gabor_filters(size, sigma, wavelength))
            found = jnp.abs(conv(x, kernel, padding=size // 2))
            seen = jnp.asarray((kernel != 0).any(-1, keepdims=True), x.dtype)
            norm = jnp.sqrt(jnp.maximum(conv(x * x, seen, padding=size // 2), 0.0))
            maps.append(jnp.where(norm > 1e-6, found / jnp.maximum(norm, 1e-6), 0.0))
        result.append((maps[0], maps[1]))
    return result


def complex_cells(
    simple: Sequence[tuple[jax.Array, jax.Array]], bands: Sequence[Band] = BANDS
) -> list[jax.Array]:
    """C1: the largest of two sizes of filters and of a neighborhood, for each orientation.

    Args:
        simple: of `simple_cells`.
        bands: of the same.

    Returns:
        For each band a map (N, H', W', O), a cell to half a neighborhood's side.

    Source: Serre et al., 2007, section 2.1, "C1 units".

    >>> [one.shape for one in complex_cells(simple_cells(jnp.ones((1, 16, 16)), BANDS[:2]))]
    [(1, 3, 3, 4), (1, 2, 2, 4)]
    """
    result = []
    for (first, second), band in zip(simple, bands, strict=False):
        x = jnp.maximum(first, second)
        window = tuple(min(band.grid, side) for side in x.shape[1:3])
        result.append(max_pool(x, window, strides=band.grid // 2))
    return result


def sample_patches(
    key: jax.Array,
    maps: jax.Array,
    count: int,
    *,
    sizes: Sequence[int] = PATCH_SIZES,
) -> list[jax.Array]:
    """S2's templates: patches of one band's C1 maps, from random images and places.

    Args:
        key: a JAX random key.
        maps: (N, H', W', O), of `complex_cells`; the paper takes the second band.
        count: of each size.
        sizes: sides in cells; larger ones than the maps are left out.

    Returns:
        For each size (count, side, side, O).

    Raises:
        ValueError: maps that are smaller than all patches.

    Source: Serre et al., 2007, section 2.2.

    >>> patches = sample_patches(jax.random.key(0), jnp.ones((2, 9, 9, 4)), 3)
    >>> [one.shape for one in patches]
    [(3, 4, 4, 4), (3, 8, 8, 4)]
    """
    height, width = maps.shape[1:3]
    fitting = [side for side in sizes if side <= min(height, width)]
    if not fitting:
        raise ValueError(f"maps: got {height}×{width}; expected at least {min(sizes)} cells a side")
    result = []
    for number, side in enumerate(fitting):
        which, y, x = (
            jax.random.randint(each, (count,), 0, limit)
            for each, limit in zip(
                jax.random.split(jax.random.fold_in(key, number), 3),
                (maps.shape[0], height - side + 1, width - side + 1),
                strict=True,
            )
        )

        def cut(image, top, left, side=side):
            return jax.lax.dynamic_slice(maps[image], (top, left, 0), (side, side, maps.shape[-1]))

        result.append(jax.vmap(cut)(which, y, x))
    return result


def patch_responses(
    maps: Sequence[jax.Array], patches: Sequence[jax.Array], *, sharpness: float = 1.0
) -> jax.Array:
    """S2 and C2: of each patch the best likeness at any place and size of filters.

    r = max exp(−β (4/n)² ‖X − P‖²), n being the patch's side: of larger patches the distances are
    larger.

    Args:
        maps: of `complex_cells`.
        patches: of `sample_patches`.
        sharpness: β.

    Returns:
        (N, patches in all), from 0 to 1.

    Source: Serre et al., 2007, section 2.1, equation 3; the patch's side by Mutch, Lowe, "Object
    Class Recognition and Localization Using Sparse Features with Limited Receptive Fields", 2008.

    >>> maps = jnp.zeros((1, 9, 9, 4)).at[0, 2:6, 3:7].set(1)
    >>> patch_responses([maps], [jnp.ones((1, 4, 4, 4))]).tolist()
    [[1.0]]
    """
    result = []
    for group in patches:
        side, orientations = group.shape[2:]
        kernel = jnp.moveaxis(group, 0, -1)
        ones = jnp.ones((side, side, orientations, 1), kernel.dtype)
        own = (group**2).sum((1, 2, 3))
        nearest = []
        for x in maps:
            if min(x.shape[1:3]) < side:
                continue
            distance = conv(x * x, ones) - 2 * conv(x, kernel) + own
            nearest.append(distance.min((1, 2)))
        if not nearest:
            raise ValueError(f"maps: all are smaller than a patch of {side}×{side}")
        squared = jnp.maximum(jnp.stack(nearest).min(0), 0.0)
        result.append(jnp.exp(-sharpness * (4 / side) ** 2 * squared))
    return jnp.concatenate(result, -1)


def hmax(
    images: jax.Array,
    patches: Sequence[jax.Array],
    *,
    bands: Sequence[Band] = BANDS,
    sharpness: float = 1.0,
) -> jax.Array:
    """C2 features of images, for a linear classifier.

    Args:
        images: gray, (N, H, W).
        patches: of `sample_patches`.
        bands: of filters.
        sharpness: see `patch_responses`.

    Returns:
        (N, patches in all), from 0 to 1.

    Source: Serre et al., 2007, section 2.

    >>> images = jax.random.uniform(jax.random.key(0), (2, 48, 48))
    >>> maps = complex_cells(simple_cells(images, BANDS[:2]))
    >>> patches = sample_patches(jax.random.key(1), maps[1], 5)
    >>> hmax(images, patches, bands=BANDS[:2]).shape
    (2, 10)
    """
    maps = complex_cells(simple_cells(images, bands), bands)
    return patch_responses(maps, patches, sharpness=sharpness)
