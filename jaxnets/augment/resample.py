"""A part of an image, resized: bilinear, area, nearest or cubic; the part may be traced.

Resizing is linear and separable, so it is two small matrices: rows · image · columnsᵀ. They are
built from the part's place and size by arithmetic alone, and a choice between methods under jit and
vmap costs four small matrices, not four images.
"""

import jax
import jax.numpy as jnp

from jaxnets.augment.checks import check_gray_levels, check_image, check_size
from jaxnets.augment.example import Example, image_of
from jaxnets.augment.region import Region, centers, move_to_region, nearest_pixels
from jaxnets.augment.values import to_dtype

# The four among which GoogLeNet chooses; `resample` takes a name or a (traced) place in this list.
METHODS = ("bilinear", "area", "nearest", "cubic")

# Top, left, height, width in pixels of the image; integers or fractions.
Part = tuple[jax.Array, jax.Array, jax.Array, jax.Array]


def resample(
    example: Example,
    part: Part,
    size: tuple[int, int],
    method: str | jax.Array = "bilinear",
    *,
    isolated: bool = True,
) -> Example:
    """Cut a part out of an image and resize it, with everything in it.

    "bilinear" and "cubic" (Keys, a = −½) widen their kernels when they shrink, as Pillow and
    torchvision with ``antialias=True``. "area" is the mean over each output pixel's footprint, with
    fractions of pixels at its borders, so exact at integer factors; "nearest" takes the pixel in
    which the output pixel's center lies (torchvision's NEAREST_EXACT).

    Boxes and keypoints move along, masks take the nearest pixel whatever the method.

    Args:
        example: a dict with ``image (H, W, C)``, uint8 or floating, or the image.
        part: (top, left, height, width) inside the image; numbers or traced.
        size: (height, width) of the result.
        method: one of `METHODS`, or a traced integer, its place in that list.
        isolated: the part's pixels alone are used, as if it were cut out first; otherwise kernels
            also reach pixels around it, as if the whole image were resized and then cut.

    Returns:
        The example, its image (*size, C), of the image's dtype.

    Raises:
        ValueError: unknown method; a wrong shape or dtype; a part given in plain numbers that is
            not inside the image.

    >>> image = jnp.arange(16.0).reshape(4, 4, 1)
    >>> resample(image, (0, 0, 4, 4), (2, 2), "area")[..., 0].tolist()
    [[2.5, 4.5], [10.5, 12.5]]
    """
    image = image_of(example)
    check_image(image)
    check_gray_levels(image)
    for name, value in zip(("height of size", "width of size"), size, strict=True):
        check_size(name, value)
    if isinstance(method, str) and method not in METHODS:
        raise ValueError(f"method: got {method!r}; expected one of {METHODS}")
    _check_part(image.shape, part)
    top, left, height, width = part
    rows = _weights(top, height, size[0], image.shape[0], method, isolated)
    columns = _weights(left, width, size[1], image.shape[1], method, isolated)

    def move(image):
        # Weights in less than float32 would show as steps.
        x = jnp.einsum("yh,hwc->ywc", rows, image.astype(jnp.float32), precision="highest")
        x = jnp.einsum("xw,ywc->yxc", columns, x, precision="highest")
        return to_dtype(x, image.dtype)

    return move_to_region(example, Region(top, left, height, width, tuple(size)), move)


def resize_shorter(example: Example, shorter: int, method: str = "bilinear") -> Example:
    """Resize an example so that its image's shorter side is ``shorter``, its proportions kept.

    Args:
        example: a dict with ``image (H, W, C)``, uint8 or floating, or the image.
        shorter: pixels of the shorter side; the longer one is rounded down.
        method: one of `METHODS`.

    Returns:
        The example, its shorter side ``shorter``; an image for an image.

    >>> resize_shorter(jnp.ones((4, 6, 1)), 8).shape
    (8, 12, 1)
    """
    check_image(image_of(example))
    check_size("shorter", shorter)
    height, width = image_of(example).shape[:2]
    scale = min(height, width)
    size = (height * shorter // scale, width * shorter // scale)
    return resample(example, (0, 0, height, width), size, method)


def _weights(start, extent, count, length, method, isolated) -> jax.Array:
    """Row i holds the shares of the ``length`` pixels in output pixel i of ``count``."""
    start, extent = jnp.float32(start), jnp.float32(extent)
    targets = centers(start, extent, count)[:, None]
    pixels = jnp.arange(length, dtype=jnp.float32)[None] + 0.5
    step = extent / count
    distance = jnp.abs(pixels - targets) / jnp.maximum(step, 1)

    def bilinear():
        return jnp.maximum(1 - distance, 0)

    def area():
        low, high = targets - step / 2, targets + step / 2
        return jnp.maximum(jnp.minimum(pixels + 0.5, high) - jnp.maximum(pixels - 0.5, low), 0)

    def nearest():
        nearest = nearest_pixels(start, extent, count)[:, None]
        return (jnp.arange(length)[None] == nearest).astype(jnp.float32)

    def cubic():
        d = distance
        near = (1.5 * d - 2.5) * d * d + 1
        far = ((-0.5 * d + 2.5) * d - 4) * d + 2
        return jnp.where(d < 1, near, jnp.where(d < 2, far, 0.0))

    kinds = (bilinear, area, nearest, cubic)
    if isinstance(method, str):
        weights = kinds[METHODS.index(method)]()
    else:
        weights = jnp.stack([kind() for kind in kinds])[method]
    if isolated:
        # Pixels that the part covers, if only in a fraction: at least one, so no sum is 0.
        covered = (pixels + 0.5 > start) & (pixels - 0.5 < start + extent)
        weights = jnp.where(covered, weights, 0.0)
    return weights / weights.sum(1, keepdims=True)


def bilinear_weights(
    start: jax.Array, extent: jax.Array, count: int, length: int
) -> tuple[jax.Array, jax.Array]:
    """How an axis' pixels share in those of an interval, which may reach outside, and which do.

    Args:
        start, extent: of the interval, in pixels, numbers or traced.
        count: pixels of the result.
        length: pixels of the axis.

    Returns:
        float32 (count, length), and bool (count,): whether a pixel's center lies on the axis.

    >>> weights, inside = bilinear_weights(-2, 4, 4, 2)
    >>> weights[2:].tolist(), inside.tolist()
    ([[1.0, 0.0], [0.0, 1.0]], [False, False, True, True])
    """
    targets = centers(start, extent, count)
    inside = (targets >= 0) & (targets <= length)
    pixels = jnp.arange(length, dtype=jnp.float32)[None] + 0.5
    # Beyond the first and last pixels' centers these pixels go on.
    nearest = jnp.clip(targets, 0.5, length - 0.5)[:, None]
    distance = jnp.abs(pixels - nearest) / jnp.maximum(jnp.float32(extent) / count, 1)
    weights = jnp.maximum(1 - distance, 0)
    return weights / weights.sum(1, keepdims=True), inside


def _check_part(shape, part) -> None:
    try:
        top, left, height, width = (float(value) for value in part)
    except jax.errors.ConcretizationTypeError:
        return
    inside = top >= 0 and left >= 0 and top + height <= shape[0] and left + width <= shape[1]
    if not inside or height <= 0 or width <= 0:
        raise ValueError(
            f"part: got (top, left, height, width) {(top, left, height, width)}; expected a part "
            f"of an image of {shape[0]}×{shape[1]} pixels"
        )
