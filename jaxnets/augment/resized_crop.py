"""Parts of random size and proportions, resized to the network's input (GoogLeNet, ResNet)."""

import math

import jax
import jax.numpy as jnp

from jaxnets.augment.checks import check_image, check_range, check_size
from jaxnets.augment.example import Example, image_of
from jaxnets.augment.resample import METHODS, Part, resample

_ATTEMPTS = 10


def random_resized_crop(
    key: jax.Array,
    example: Example,
    size: int | tuple[int, int] = 224,
    *,
    area: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    method: str = "random",
) -> Example:
    """Cut a part of 8 % to 100 % of the area and of proportions 3:4 to 4:3, and resize it.

    Args:
        key: a JAX random key.
        example: a dict with ``image (H, W, C)``, uint8 or floating, or the image.
        size: of the result, (height, width) or one side.
        area: range of the part's share of the image's area, uniform.
        ratio: range of width / height, log-uniform.
        method: of `METHODS`, or "random": one of the four, each with probability ¼, as GoogLeNet.

    Returns:
        The example, its image (*size, C), of the image's dtype.

    Raises:
        ValueError: ranges that are empty or out of bounds; a wrong shape or dtype.

    Source: Szegedy et al., "Going Deeper with Convolutions", 2014, section 6.

    >>> random_resized_crop(jax.random.key(0), jnp.ones((30, 40, 3)), 16).shape
    (16, 16, 3)
    """
    image = image_of(example)
    check_image(image)
    size = (size, size) if isinstance(size, int) else size
    part_key, method_key = jax.random.split(key)
    part = random_part(part_key, image.shape[0], image.shape[1], area=area, ratio=ratio)
    if method == "random":
        return resample(example, part, size, random_method(method_key))
    return resample(example, part, size, method)


def random_method(key: jax.Array) -> jax.Array:
    """A place in `METHODS`, all equally likely.

    Args:
        key: a JAX random key.

    Returns:
        An int32 scalar, for `resample`.

    >>> METHODS[random_method(jax.random.key(0))] in METHODS
    True
    """
    return jax.random.randint(key, (), 0, len(METHODS))


def random_part(
    key: jax.Array,
    height: int,
    width: int,
    *,
    area: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
) -> Part:
    """(top, left, height, width), whole pixels, by the law of torchvision's RandomResizedCrop.

    Share of the area a ~ U(area), proportions r with log r ~ U(log ratio), sides round(√(aHW·r))
    and round(√(aHW/r)); up to ten draws until the part fits in, then a uniform place. If none
    fits, the largest centered part of admissible proportions.

    Args:
        key: a JAX random key.
        height, width: of the image, in pixels.
        area: range of the part's share of the image's area, uniform.
        ratio: range of width / height, log-uniform.

    Returns:
        int32 scalars (top, left, height, width), for `resample`.

    >>> top, left, height, width = random_part(jax.random.key(0), 30, 40)
    >>> bool(0 <= top and top + height <= 30 and 0 <= left and left + width <= 40)
    True
    """
    check_size("height", height)
    check_size("width", width)
    _check_interval("area", area, 1.0)
    _check_interval("ratio", ratio, math.inf)
    area_key, ratio_key, place_key = jax.random.split(key, 3)
    # All ten draws at once; the first that fits is what a loop would stop at.
    shares = jax.random.uniform(area_key, (_ATTEMPTS,), minval=area[0], maxval=area[1])
    logs = jax.random.uniform(
        ratio_key, (_ATTEMPTS,), minval=math.log(ratio[0]), maxval=math.log(ratio[1])
    )
    root, skew = jnp.sqrt(shares * height * width), jnp.exp(logs / 2)
    widths = jnp.round(root * skew).astype(jnp.int32)
    heights = jnp.round(root / skew).astype(jnp.int32)
    fits = (widths > 0) & (widths <= width) & (heights > 0) & (heights <= height)
    first = jnp.argmax(fits)
    fallback = _largest_centered(height, width, ratio)
    h = jnp.where(fits.any(), heights[first], fallback[0])
    w = jnp.where(fits.any(), widths[first], fallback[1])
    top_key, left_key = jax.random.split(place_key)
    top = jax.random.randint(top_key, (), 0, height - h + 1)
    left = jax.random.randint(left_key, (), 0, width - w + 1)
    top = jnp.where(fits.any(), top, (height - h) // 2)
    left = jnp.where(fits.any(), left, (width - w) // 2)
    return top, left, h, w


def _largest_centered(height: int, width: int, ratio: tuple[float, float]) -> tuple[int, int]:
    """(height, width) of the largest part whose proportions lie in the range."""
    if width / height < ratio[0]:
        return round(width / ratio[0]), width
    if width / height > ratio[1]:
        return height, round(height * ratio[1])
    return height, width


def random_scale_crop(
    key: jax.Array,
    example: Example,
    size: int = 224,
    shorter: tuple[int, int] = (256, 480),
    method: str = "bilinear",
) -> Example:
    """Resize so that the shorter side is uniform in a range, then cut a square at random.

    VGG's scale jittering, [256, 512], and ResNet's scale augmentation, [256, 480]. In one step: the
    square is found in the image as it is and resized from there.

    Args:
        key: a JAX random key.
        example: a dict with ``image (H, W, C)``, uint8 or floating, or the image.
        size: side of the result.
        shorter: smallest and largest shorter side, both included.
        method: one of `METHODS`.

    Returns:
        The example, its image (size, size, C); an image for an image.

    Raises:
        ValueError: ``size`` is larger than the smallest shorter side.

    Source: Simonyan, Zisserman 2014, section 3.1; He et al. 2015, section 3.4.

    >>> random_scale_crop(jax.random.key(0), jnp.ones((30, 40, 3)), 16, (20, 30)).shape
    (16, 16, 3)
    """
    image = image_of(example)
    check_image(image)
    check_size("size", size, shorter[0])
    _check_interval("shorter", shorter, math.inf)
    height, width, _ = image.shape
    scale_key, top_key, left_key = jax.random.split(key, 3)
    side = jax.random.randint(scale_key, (), shorter[0], shorter[1] + 1)
    # The resized image's sides in whole pixels, as if it were made.
    tall, wide = (length * side // min(height, width) for length in (height, width))
    top = jax.random.randint(top_key, (), 0, tall - size + 1)
    left = jax.random.randint(left_key, (), 0, wide - size + 1)
    down, across = height / tall, width / wide
    top, left = jnp.asarray(top, down.dtype), jnp.asarray(left, across.dtype)
    part = (top * down, left * across, size * down, size * across)
    return resample(example, part, (size, size), method, isolated=False)


def _check_interval(name: str, interval: tuple[float, float], high: float) -> None:
    low_end, high_end = interval
    check_range(f"{name}[0]", low_end, 0, high)
    check_range(f"{name}[1]", high_end, low_end, high)
    if low_end <= 0:
        raise ValueError(f"{name}: got {interval}; expected numbers above 0")
