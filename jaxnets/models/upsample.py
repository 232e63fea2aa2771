"""Maps brought to another size, which segmenters and heat maps end with."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.ops.precision import at_least_float32


def upsample(x: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Bilinear interpolation between the centers of pixels, in float32 at least.

    It is PyTorch's ``interpolate(mode="bilinear", align_corners=False)`` to a larger size.

    Args:
        x: (N, H, W, C).
        size: height and width of the result.

    Returns:
        (N, *size, C).

    >>> upsample(jnp.array([0.0, 4.0]).reshape(1, 1, 2, 1), (1, 4))[0, 0, :, 0].tolist()
    [0.0, 1.0, 3.0, 4.0]
    """
    x = at_least_float32(x)
    for axis, wanted in ((1, size[0]), (2, size[1])):
        count = x.shape[axis]
        if count == wanted:
            continue
        # Places between the centers of the two nearest pixels; beyond the last ones, these go on.
        place = np.clip((np.arange(wanted) + 0.5) * count / wanted - 0.5, 0, count - 1)
        low = np.floor(place).astype(np.int32)
        share = jnp.asarray((place - low).astype(x.dtype))
        share = share.reshape((-1,) + (1,) * (3 - axis))
        high = np.minimum(low + 1, count - 1)
        x = x.take(low, axis) * (1 - share) + x.take(high, axis) * share
    return x
