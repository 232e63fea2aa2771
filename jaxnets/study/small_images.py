"""Data sets brought to small images of one size, so that networks for one fit the other."""

from pathlib import Path

import numpy as np

from jaxnets.data import Dataset, Split, load_dataset


def load_small(
    name: str, data_dir: Path | None = None, *, side: int | None = None, channels: int = 3
) -> Dataset:
    """A data set with images of ``side`` × ``side`` × ``channels``.

    Args:
        name: of `jaxnets.data.list_datasets`.
        data_dir: where prepared TFDS data sets lie (default: $TFDS_DATA_DIR).
        side: pixels (default: as they are).
        channels: 1 or 3; gray images are repeated.

    Returns:
        The data set, with images uint8.

    >>> load_small("digits", side=4).train.images.shape
    (1437, 4, 4, 3)
    """
    dataset = load_dataset(name, data_dir=data_dir)
    side = side or dataset.image_shape[0]
    train, test = (
        Split(resize_by_blocks(split.images, side, channels), np.asarray(split.labels))
        for split in (dataset.train, dataset.test)
    )
    return dataset._replace(train=train, test=test, image_shape=(side, side, channels))


def resize_by_blocks(images: np.ndarray, side: int, channels: int) -> np.ndarray:
    """Square images at another size, without interpolation.

    Larger images are averaged over squares where the sides divide, and padded with black first
    where they do not; smaller ones are repeated a whole number of times, with black around them
    where that is less than the side.

    Args:
        images: (N, H, H, C), uint8.
        side: pixels.
        channels: gray images become this many channels.

    Returns:
        (N, side, side, channels), uint8.

    >>> resize_by_blocks(np.uint8([[0, 4], [8, 12]]).reshape(1, 2, 2, 1), 1, 1).item()
    6
    """
    images = np.asarray(images)
    if images.shape[-1] == 1 and channels == 3:
        images = np.repeat(images, 3, axis=-1)
    own = images.shape[1]
    if own > side and own % side:
        pad = -own % side
        images = np.pad(
            images, ((0, 0), (pad // 2, pad - pad // 2), (pad // 2, pad - pad // 2), (0, 0))
        )
        own = images.shape[1]
    if own > side:
        f = own // side
        shape = (len(images), side, f, side, f, images.shape[-1])
        return images.reshape(shape).mean((2, 4)).round().astype(np.uint8)
    images = images.repeat(side // own, axis=1).repeat(side // own, axis=2)
    left = side - images.shape[1]
    edges = left // 2, left - left // 2
    return np.pad(images, ((0, 0), edges, edges, (0, 0)))
