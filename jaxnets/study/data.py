"""Standardized images on the device, loaded once a process, for studies of small networks."""

import functools
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.data import list_datasets, load_dataset, stratified_subset


class Part(NamedTuple):
    """Examples of one part of a data set.

    Attributes:
        images: (N, H, W, C), float32, standardized by the training part.
        labels: (N,), integers.
    """

    images: jax.Array
    labels: jax.Array


class Data(NamedTuple):
    """A training and a test part.

    Attributes:
        name: of the data set.
        train: the training part.
        test: the test part.
        num_classes: K.
    """

    name: str
    train: Part
    test: Part
    num_classes: int

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        return self.train.images.shape[1:]


def available(name: str, data_dir: Path | None = None) -> str:
    """``name`` if that data set can be loaded here, else digits.

    Args:
        name: of `jaxnets.data.list_datasets`.
        data_dir: where prepared TFDS data sets lie (default: $TFDS_DATA_DIR).

    >>> available("cifar10", "/nowhere")
    'digits'
    """
    known = {known.split(":")[0] for known in list_datasets(data_dir)}
    return name if name in known else "digits"


@functools.lru_cache(maxsize=8)
def load(
    name: str, *, train: int | None = None, test: int | None = None, data_dir: Path | None = None
) -> Data:
    """A data set with every channel standardized by the training part's mean and deviation.

    Args:
        name: of the data set; digits where it is not prepared (`available`).
        train: training examples, equally many of each class (default: all).
        test: test examples, equally many of each class (default: all).
        data_dir: see `available`.

    >>> load("digits", train=100, test=50).train.images.shape
    (100, 8, 8, 1)
    """
    name = available(name, data_dir)
    data = load_dataset(name, data_dir=data_dir)
    parts = [
        split if count is None else stratified_subset(split, min(count, len(split)))
        for split, count in ((data.train, train), (data.test, test))
    ]
    images = np.asarray(parts[0].images, np.float32)
    mean, std = images.mean((0, 1, 2)), images.std((0, 1, 2))

    def ready(split):
        scaled = (np.asarray(split.images, np.float32) - mean) / std
        return Part(jnp.asarray(scaled), jnp.asarray(split.labels))

    return Data(name, ready(parts[0]), ready(parts[1]), data.num_classes)
