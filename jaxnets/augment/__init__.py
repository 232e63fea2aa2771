"""Augmentation on the device: pure functions with explicit keys, under jit and vmap.

A transform is a function (key, example) → example: ``random_flip``, ``random_crop``, … An example
is a dict, of which geometric transforms move image, boxes, masks and keypoints together, or an
image alone. ``compose`` joins transforms, and ``per_example`` makes of them a function (key, batch,
example_ids) → batch that prepares a batch within the training step. ``mixup`` and ``cutmix`` are
such functions already: they combine the examples of a batch and their labels. ``chain`` joins them.
Every random transform has a twin at fixed parameters: ``flip``, ``crop``, ``cutout_at``, …
"""

from jaxnets.augment.batch import Prepare, augment_batch, chain, compose, per_example
from jaxnets.augment.clips import on_clip, random_time_window
from jaxnets.augment.color import (
    adjust_brightness,
    adjust_colors,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
    color_jitter,
)
from jaxnets.augment.color_pca import (
    IMAGENET_COLORS,
    ColorPCA,
    add_color_noise,
    fit_color_pca,
    random_color_noise,
)
from jaxnets.augment.cutmix import cutmix, cutmix_at
from jaxnets.augment.cutout import cutout, cutout_at
from jaxnets.augment.example import Example, Transform, change_image, image_of, on_image
from jaxnets.augment.geometry import (
    crop,
    flip,
    random_crop,
    random_flip,
    random_translate,
    random_window,
    translate,
    window,
)
from jaxnets.augment.mixup import mixup, mixup_at
from jaxnets.augment.policies import create_policy, list_policies
from jaxnets.augment.region import Region, move_to_region
from jaxnets.augment.resample import METHODS, resample, resize_shorter
from jaxnets.augment.resized_crop import (
    random_method,
    random_part,
    random_resized_crop,
    random_scale_crop,
)
from jaxnets.augment.rotation import random_rotate, rotate_by
from jaxnets.augment.scale_jitter import random_scale, scale_at

__all__ = [
    "IMAGENET_COLORS",
    "METHODS",
    "ColorPCA",
    "Example",
    "Prepare",
    "Region",
    "Transform",
    "add_color_noise",
    "adjust_brightness",
    "adjust_colors",
    "adjust_contrast",
    "adjust_hue",
    "adjust_saturation",
    "augment_batch",
    "chain",
    "change_image",
    "color_jitter",
    "compose",
    "create_policy",
    "crop",
    "cutmix",
    "cutmix_at",
    "cutout",
    "cutout_at",
    "fit_color_pca",
    "flip",
    "image_of",
    "list_policies",
    "mixup",
    "mixup_at",
    "move_to_region",
    "on_clip",
    "on_image",
    "per_example",
    "random_color_noise",
    "random_crop",
    "random_flip",
    "random_method",
    "random_part",
    "random_resized_crop",
    "random_rotate",
    "random_scale",
    "random_scale_crop",
    "random_time_window",
    "random_translate",
    "random_window",
    "resample",
    "resize_shorter",
    "rotate_by",
    "scale_at",
    "translate",
    "window",
]
