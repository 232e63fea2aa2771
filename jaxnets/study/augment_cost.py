"""Augmentations of batches of 32×32 color images, as functions to be timed."""

from collections.abc import Callable
from functools import partial

import numpy as np

from jaxnets import augment as a

TRANSFORMS: dict[str, a.Transform] = {
    "random_flip": a.random_flip,
    "random_crop": a.random_crop,
    "random_translate": partial(a.random_translate, limit=4),
    "cutout": partial(a.cutout, size=16),
    "random_color_noise": a.random_color_noise,
    "color_jitter without hue": a.color_jitter,
    "color_jitter with hue": partial(a.color_jitter, hue=0.1),
    "random_resized_crop, bilinear": partial(a.random_resized_crop, size=32, method="bilinear"),
    "random_resized_crop, 1 of 4": partial(a.random_resized_crop, size=32),
}
# The policies that the recipes for CIFAR-10 use.
CIFAR = tuple(f"policy crop_flip{more}" for more in ("", " + cutout 16", " + mixup", " + cutmix"))


def candidates(images: np.ndarray, classes: int) -> dict[str, Callable]:
    """What is timed: transforms, mixes and policies, each on a whole batch.

    Args:
        images: a batch, uint8 (B, 32, 32, 3); the policies are fitted to it.
        classes: K.

    Returns:
        Name → function (key, images, labels) → changed images, or a batch.
    """

    def of_images(transform):
        augment = a.per_example(transform)
        return lambda key, images, labels: augment(key, images)

    def of_batch(*prepares):
        mix = a.chain(*prepares)
        return lambda key, images, labels: mix(key, {"image": images, "label": labels})

    mixup = partial(a.mixup, alpha=1.0, num_classes=classes)
    cutmix = partial(a.cutmix, num_classes=classes)
    found = {name: of_images(transform) for name, transform in TRANSFORMS.items()}
    found["mixup"] = of_batch(mixup)
    found["cutmix"] = of_batch(cutmix)
    for name in a.list_policies():
        if name != "none":
            found[f"policy {name}"] = of_images(a.create_policy(name, images))
    with_cutout = a.create_policy("crop_flip", images, cutout_size=16)
    found["policy crop_flip + cutout 16"] = of_images(with_cutout)
    crop_flip = a.per_example(a.create_policy("crop_flip", images))
    found["policy crop_flip + mixup"] = of_batch(crop_flip, mixup)
    found["policy crop_flip + cutmix"] = of_batch(crop_flip, cutmix)
    return found
