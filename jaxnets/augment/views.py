"""Views of test images, whose predictions are averaged: mirrored, ten crops, 144 crops, scales.

`jaxnets.ensembles.predict_with_views` does the averaging.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple

import jax
import jax.numpy as jnp

from jaxnets.augment.checks import check_image, check_size
from jaxnets.augment.resample import resample, resize_shorter

GOOGLENET_SCALES: Final = (256, 288, 320, 352)
RESNET_SCALES: Final = (224, 256, 384, 480, 640)


def flip_views(images: jax.Array) -> jax.Array:
    """The images and their mirror images: (B, H, W, C) → (2, B, H, W, C).

    Args:
        images: (B, H, W, C), any dtype.

    Returns:
        (2, B, H, W, C).

    >>> flip_views(jnp.arange(2).reshape(1, 1, 2, 1)).ravel().tolist()
    [0, 1, 1, 0]
    """
    _check_batch(images)
    return jnp.stack([images, images[:, :, ::-1]])


def ten_crop(images: jax.Array, size: int) -> jax.Array:
    """Four corners, the center, and the same of the mirror image (Krizhevsky et al. 2012, §4.1).

    In torchvision's order (TenCrop): top left, top right, bottom left, bottom right, center; then
    those of the mirrored image.

    Args:
        images: (B, H, W, C), any dtype.
        size: side of the crops.

    Returns:
        (10, B, size, size, C).

    Raises:
        ValueError: the images are smaller than the crops.

    Source: Krizhevsky et al. 2012, section 4.1.

    >>> ten_crop(jnp.zeros((2, 8, 9, 3)), 6).shape
    (10, 2, 6, 6, 3)
    """
    _check_batch(images)
    height, width = images.shape[1:3]
    check_size("size", size, min(height, width))
    places = _corners_and_center(height, width, size)
    return jnp.stack(
        [
            view[:, top : top + size, left : left + size]
            for view in (images, images[:, :, ::-1])
            for top, left in places
        ]
    )


def padded_ten_crop(images: jax.Array, padding: int = 4) -> jax.Array:
    """`ten_crop` for networks trained on padded crops: with zeros around, crops of the old size.

    Args:
        images: (B, H, W, C), square, any dtype.
        padding: pixels on each side, as in training.

    Returns:
        (10, B, H, W, C).

    >>> padded_ten_crop(jnp.zeros((2, 8, 8, 3))).shape
    (10, 2, 8, 8, 3)
    """
    _check_batch(images)
    check_size("padding", padding)
    height, width = images.shape[1:3]
    if height != width:
        raise ValueError(f"images: got {height}×{width} pixels; expected squares")
    around = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    return ten_crop(jnp.pad(images, around), height)


class View(NamedTuple):
    """A square in the image whose shorter side was resized; the network sees it at its own size.

    Attributes:
        scale: the shorter side that the image is resized to first.
        top, left: of the square, in pixels of the resized image.
        side: of the square.
        mirrored: whether the view is the square's mirror image.

    >>> View(scale=256, top=0, left=42, side=224, mirrored=False).side
    224
    """

    scale: int
    top: int
    left: int
    side: int
    mirrored: bool


def googlenet_144_boxes(height: int, width: int, size: int = 224) -> list[View]:
    """The 144 views with which GoogLeNet was tested.

    The shorter side is resized to 256, 288, 320 and 352; of each the left, center and right square
    (of portraits top, center and bottom) is taken; of each square the four corners and the center
    of 224 pixels and the whole square resized to 224; each also mirrored: 4 · 3 · 6 · 2 = 144. For
    a network of another size all numbers of pixels shrink or grow with it.

    Args:
        height, width: of the image.
        size: of the network's images.

    Returns:
        The views, in order: scales, squares, the six of each, mirror images.

    Source: Szegedy et al. 2014, section 7. Order: scales, squares, the six,
    mirror images.

    >>> boxes = googlenet_144_boxes(480, 640)
    >>> len(boxes), boxes[-1]
    (144, View(scale=352, top=0, left=117, side=352, mirrored=True))
    """
    check_size("height", height)
    check_size("width", width)
    views = []
    for scale in _scales(size):
        tall, wide = _resized(height, width, scale)
        extra = max(tall, wide) - scale
        for along in (0, round(extra / 2), extra):
            top, left = (along, 0) if tall > wide else (0, along)
            places = [(top + y, left + x, size) for y, x in _corners_and_center(scale, scale, size)]
            for place in [*places, (top, left, scale)]:
                views += [View(scale, *place, mirrored) for mirrored in (False, True)]
    return views


def googlenet_144_crops(image: jax.Array, size: int = 224) -> jax.Array:
    """The views of `googlenet_144_boxes` of one image: (H, W, C) → (144, size, size, C).

    Resized bilinearly with antialiasing; the image is uint8 or floating.

    Args:
        image: (H, W, C), uint8 or floating.
        size: of the network's images.

    Returns:
        (144, size, size, C), of the image's dtype.

    Source: Szegedy et al. 2014, section 7.

    >>> jax.eval_shape(googlenet_144_crops, jnp.zeros((40, 50, 3))).shape
    (144, 224, 224, 3)
    """
    check_image(image)
    resized = {scale: resize_shorter(image, scale) for scale in _scales(size)}
    crops = []
    height, width = image.shape[:2]
    for view in googlenet_144_boxes(height, width, size):
        if view.mirrored:
            # Its unmirrored twin stands right before it.
            crops.append(crops[-1][:, ::-1])
            continue
        part = (view.top, view.left, view.side, view.side)
        if view.side == size:
            whole = resized[view.scale]
            crops.append(jax.lax.dynamic_slice(whole, (*part[:2], 0), (size, size, whole.shape[2])))
        else:
            crops.append(resample(resized[view.scale], part, (size, size)))
    return jnp.stack(crops)


def views_by_number(size: int) -> dict[int, Callable[[jax.Array], jax.Array]]:
    """The middle, AlexNet's ten views and GoogLeNet's 144, for networks of one size.

    Args:
        size: of the network's images.

    Returns:
        Number of views V → a function, images (B, H, W, C) → views (V, B, size, size, C).

    Source: Szegedy et al. 2014, section 7 and table 3.

    >>> makers = views_by_number(6)
    >>> [make(jnp.zeros((2, 8, 8, 3))).shape[0] for make in makers.values()]
    [1, 10, 144]
    """

    def middle(images):
        _check_batch(images)
        check_size("size", size, min(images.shape[1:3]))
        top, left = _corners_and_center(*images.shape[1:3], size)[-1]
        return images[None, :, top : top + size, left : left + size]

    def many(images):
        return jax.vmap(partial(googlenet_144_crops, size=size), out_axes=1)(images)

    return {1: middle, 10: partial(ten_crop, size=size), 144: many}


def multi_scale(
    images: jax.Array, scales: Sequence[int] = RESNET_SCALES, *, mirrored: bool = True
) -> list[jax.Array]:
    """The images resized to several shorter sides, for networks that take any size.

    ResNet's best single results average over {224, 256, 384, 480, 640}; VGG's test is dense in the
    same way (``network.clone(dense=True)``).

    Args:
        images: (B, H, W, C), uint8 or floating.
        scales: shorter sides.
        mirrored: also the mirror images of each.

    Returns:
        A list of batches (B, h, w, C), one or two a scale.

    Source: He et al. 2015, section 3.4; Simonyan, Zisserman 2014, section 3.2.

    >>> [view.shape for view in multi_scale(jnp.zeros((1, 4, 6, 3)), (2, 8), mirrored=False)]
    [(1, 2, 3, 3), (1, 8, 12, 3)]
    """
    _check_batch(images)
    views = []
    for scale in scales:
        resized = jax.vmap(lambda image, scale=scale: resize_shorter(image, scale))(images)
        views += [resized, resized[:, :, ::-1]] if mirrored else [resized]
    return views


def _scales(size: int) -> tuple[int, ...]:
    check_size("size", size)
    return tuple(round(scale * size / 224) for scale in GOOGLENET_SCALES)


def _corners_and_center(height: int, width: int, size: int) -> list[tuple[int, int]]:
    bottom, right = height - size, width - size
    # Halves are rounded to even numbers, as torchvision's.
    return [(0, 0), (0, right), (bottom, 0), (bottom, right), (round(bottom / 2), round(right / 2))]


def _resized(height: int, width: int, shorter: int) -> tuple[int, int]:
    least = min(height, width)
    return height * shorter // least, width * shorter // least


def _check_batch(images: jax.Array) -> None:
    if jnp.ndim(images) != 4:
        raise ValueError(f"images: got shape {jnp.shape(images)}; expected (B, H, W, C)")
