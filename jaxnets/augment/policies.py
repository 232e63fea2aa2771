"""Augmentations by name, made for a training set: for configurations and command lines."""

from functools import partial

import numpy as np

from jaxnets.augment.batch import compose
from jaxnets.augment.color import color_jitter
from jaxnets.augment.color_pca import fit_color_pca, random_color_noise
from jaxnets.augment.cutout import cutout
from jaxnets.augment.example import Transform
from jaxnets.augment.geometry import random_crop, random_flip
from jaxnets.augment.resized_crop import random_resized_crop
from jaxnets.augment.values import white_of
from jaxnets.data import preprocessing
from jaxnets.errors import UnknownNameError

_POLICIES = ("none", "crop", "crop_flip", "alexnet", "googlenet")


def list_policies() -> list[str]:
    """The names that `create_policy` knows.

    Returns:
        Names in alphabetical order.

    >>> list_policies()
    ['alexnet', 'crop', 'crop_flip', 'googlenet', 'none']
    """
    return sorted(_POLICIES)


def create_policy(name: str, train_images: np.ndarray, *, cutout_size: int = 0) -> Transform | None:
    """A transform of one example that keeps the image's size.

    - ``none``;
    - ``crop``: crops of the image with an eighth of zeros around it, 4 pixels for 32;
    - ``crop_flip``: and half of the images mirrored: what the CIFAR papers do;
    - ``alexnet``: and color noise along the training set's principal colors;
    - ``googlenet``: parts of 8 % to 100 % resized with a random method, changed colors, mirrored.

    Args:
        name: one of `list_policies`.
        train_images: (N, H, W, C): its image size and its colors.
        cutout_size: side of a square that is hidden at the end, filled with the mean color; 0 for
            none.

    Returns:
        (key, example) → example, for `per_example`; None where there is nothing to do.

    Raises:
        UnknownNameError: for a name that is not in the list.
        ValueError: "googlenet" for images that have not three channels; "googlenet" and "alexnet"
            for floating images of another range than 0 … 1.

    >>> policy = create_policy("crop_flip", np.zeros((2, 8, 8, 3), np.uint8), cutout_size=4)
    """
    if name not in _POLICIES:
        raise UnknownNameError("augmentation", name, _POLICIES)
    height, width, channels = train_images.shape[1:]
    cropped = partial(random_crop, padding=max(1, height // 8))
    transforms = []
    if name in ("crop", "crop_flip", "alexnet"):
        transforms.append(cropped)
    if name == "googlenet":
        if channels != 3:
            raise ValueError(f"googlenet: got images of {channels} channel(s); expected colors")
        # Here values are known; inside jit they are not.
        white_of(np.asarray(train_images[:256]))
        transforms.append(partial(random_resized_crop, size=(height, width)))
        # Howard drew the three factors from 0.5 to 1.5.
        transforms.append(partial(color_jitter, brightness=0.5, contrast=0.5, saturation=0.5))
    if name in ("crop_flip", "alexnet", "googlenet"):
        transforms.append(random_flip)
    if name == "alexnet":
        transforms.append(partial(random_color_noise, colors=fit_color_pca(train_images)))
    if cutout_size:
        mean = np.asarray(preprocessing.fit_channel_mean(train_images).mean)
        fill = np.round(mean) if train_images.dtype == np.uint8 else mean
        transforms.append(partial(cutout, size=cutout_size, fill=fill))
    return compose(*transforms) if transforms else None
