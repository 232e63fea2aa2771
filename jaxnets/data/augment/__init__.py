"""Augmentation on the device: pure functions with explicit keys, under jit and vmap.

``random_flip``, ``random_crop``, … change one image; ``compose`` joins them and ``per_example``
makes of them what `jaxnets.train.train_step` takes as ``augment``. ``mixup`` and ``cutmix``
combine the examples of a batch and their labels; `train_step` takes them as ``mix``. Every random
transform has a twin at fixed parameters: ``flip``, ``crop``, ``cutout_at``, ``mixup_at``, …
"""

from jaxnets.data.augment.batch import Transform, augment_batch, compose, per_example
from jaxnets.data.augment.cutmix import cutmix, cutmix_at
from jaxnets.data.augment.cutout import cutout, cutout_at
from jaxnets.data.augment.geometry import (
    crop,
    flip,
    random_crop,
    random_flip,
    random_translate,
    random_window,
    translate,
    window,
)
from jaxnets.data.augment.mixup import mixup, mixup_at

__all__ = [
    "Transform",
    "augment_batch",
    "compose",
    "crop",
    "cutmix",
    "cutmix_at",
    "cutout",
    "cutout_at",
    "flip",
    "mixup",
    "mixup_at",
    "per_example",
    "random_crop",
    "random_flip",
    "random_translate",
    "random_window",
    "translate",
    "window",
]
