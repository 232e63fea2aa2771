"""Segments of time: as boxes of unit height, and features pooled over them.

A segment is its start and end in steps of a sequence, in continuous coordinates: step i covers
[i, i + 1). All that `jaxnets.ops.boxes` does holds for segments as boxes one unit high.
"""

import jax
import jax.numpy as jnp

from jaxnets.ops.boxes.checks import check_count


def segments_to_boxes(segments: jax.Array) -> jax.Array:
    """Boxes from (start, 0) to (end, 1), whose IoU is the temporal one.

    Args:
        segments: (…, 2), starts and ends.

    Returns:
        (…, 4), like ``segments``.

    >>> segments_to_boxes(jnp.array([[2.0, 5.0]])).tolist()
    [[2.0, 0.0, 5.0, 1.0]]
    """
    start, end = segments[..., 0], segments[..., 1]
    return jnp.stack((start, jnp.zeros_like(start), end, jnp.ones_like(end)), -1)


def pool_segments(
    x: jax.Array, segments: jax.Array, output_size: int, *, samples: int = 2
) -> jax.Array:
    """The largest of linear samples in each of P equal parts of each segment.

    Part p of a segment [a, b) is sampled at a + (b − a)·(p + (s + ½)/S)/P for s = 0 … S − 1;
    between the centers of two steps the features are interpolated. Samples outside the sequence
    are 0.

    Args:
        x: (B, T, C), floating.
        segments: (B, R, 2), in steps.
        output_size: P.
        samples: S, of each part.

    Returns:
        (B, R, P, C), like ``x``.

    Raises:
        ValueError: shapes that do not fit, counts below 1.

    Source: Chao et al. 2018 (TAL-Net), section 3, "SoI pooling", with He et al. 2017
    (Mask R-CNN), section 3, in place of rounding.

    >>> x = jnp.arange(8.0)[None, :, None]
    >>> pool_segments(x, jnp.array([[[2.0, 6.0]]]), 2, samples=2)[0, 0, :, 0].tolist()
    [3.0, 5.0]
    """
    check_count("output_size", output_size)
    check_count("samples", samples)
    if x.ndim != 3 or segments.ndim != 3 or segments.shape[::2] != (x.shape[0], 2):
        raise ValueError(
            f"segments: expected (B, R, 2) for features (B, T, C), got {segments.shape} for "
            f"{x.shape}"
        )
    length, count = x.shape[1], output_size * samples
    places = ((jnp.arange(count, dtype=segments.dtype) + 0.5) / count)[None, None]
    start, end = segments[..., :1], segments[..., 1:]
    time = start + (end - start) * places  # (B, R, P·S)
    inside = (time >= 0) & (time <= length)
    position = jnp.clip(time - 0.5, 0, length - 1)
    low = jnp.floor(position).astype(jnp.int32)
    share = (position - jnp.floor(position))[..., None].astype(x.dtype)
    take = jax.vmap(lambda features, index: features[index])
    found = (1 - share) * take(x, low) + share * take(x, jnp.minimum(low + 1, length - 1))
    found = jnp.where(inside[..., None], found, 0)
    return found.reshape(*segments.shape[:2], output_size, samples, x.shape[-1]).max(3)
