"""Augmentation on the device: pure functions with explicit keys, under jit and vmap.

``random_flip``, ``random_crop``, … change one image; ``compose`` joins them and ``per_example``
makes of them what `jaxnets.train.train_step` takes as ``augment``. ``mixup`` and ``cutmix``
combine the examples of a batch and their labels; `train_step` takes them as ``mix``. Every random
transform has a twin at fixed parameters: ``flip``, ``crop``, ``cutout_at``, ``mixup_at``, …
"""

from jaxnets.augment.batch import Transform, augment_batch, chain, compose, per_example
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
from jaxnets.augment.resample import METHODS, resample, resize_shorter
from jaxnets.augment.resized_crop import (
    random_method,
    random_part,
    random_resized_crop,
    random_scale_crop,
)

__all__ = [
    "IMAGENET_COLORS",
    "METHODS",
    "ColorPCA",
    "Transform",
    "add_color_noise",
    "adjust_brightness",
    "adjust_colors",
    "adjust_contrast",
    "adjust_hue",
    "adjust_saturation",
    "augment_batch",
    "chain",
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
    "list_policies",
    "mixup",
    "mixup_at",
    "per_example",
    "random_color_noise",
    "random_crop",
    "random_flip",
    "random_method",
    "random_part",
    "random_resized_crop",
    "random_scale_crop",
    "random_translate",
    "random_window",
    "resample",
    "resize_shorter",
    "translate",
    "window",
]
