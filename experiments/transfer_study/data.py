"""Tasks for transfer: halves of a data set's classes, and data of another kind."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxnets.data import Dataset, Split, load_dataset
from jaxnets.errors import JaxnetsError

# CIFAR-10's classes that man made: airplane, automobile, ship, truck.
MADE_BY_MAN = (0, 1, 8, 9)


class Task(NamedTuple):
    """Some classes of a data set, numbered from 0."""

    name: str
    train: Split
    test: Split
    num_classes: int


def load(
    name: str, data_dir: Path | None, *, side: int | None = None, channels: int = 3
) -> Dataset:
    """A data set with images of ``side`` × ``side`` × ``channels``.

    Larger images are averaged over squares where the sides divide, and padded with black first
    where they do not; smaller ones are repeated.
    """
    dataset = load_dataset(name, data_dir=data_dir)
    side = side or dataset.image_shape[0]
    train, test = (
        Split(_bring_to(split.images, side, channels), np.asarray(split.labels))
        for split in (dataset.train, dataset.test)
    )
    return dataset._replace(train=train, test=test, image_shape=(side, side, channels))


def _bring_to(images: np.ndarray, side: int, channels: int) -> np.ndarray:
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
    if side % own:
        raise JaxnetsError(f"images of {own}×{own} can't be repeated to {side}×{side}")
    return images.repeat(side // own, axis=1).repeat(side // own, axis=2)


def choose_classes(name: str, dataset: Dataset, classes: Sequence[int]) -> Task:
    """The examples of some classes, with the labels 0, 1, … in the order given."""
    number = np.full(dataset.num_classes, -1)
    number[list(classes)] = np.arange(len(classes))

    def part(split: Split) -> Split:
        labels = number[np.asarray(split.labels)]
        return Split(np.asarray(split.images)[labels >= 0], labels[labels >= 0].astype(np.int32))

    return Task(name, part(dataset.train), part(dataset.test), len(classes))


def random_halves(dataset: Dataset, seed: int) -> tuple[list[int], list[int]]:
    """The classes in two random halves."""
    order = np.random.default_rng(seed).permutation(dataset.num_classes).tolist()
    half = len(order) // 2
    return sorted(order[:half]), sorted(order[half:])


def natural_halves(dataset: Dataset) -> tuple[list[int], list[int]]:
    """CIFAR-10's classes as man-made things and animals; other sets by their numbers' parity."""
    if dataset.name.startswith("cifar10") and dataset.num_classes == 10:
        made = list(MADE_BY_MAN)
    else:
        made = list(range(0, dataset.num_classes, 2))
    return made, [c for c in range(dataset.num_classes) if c not in made]


def take(split: Split, per_class: int, seed: int) -> Split:
    """This many random examples of each class (all, where there are fewer)."""
    random = np.random.default_rng(seed)
    chosen = []
    for label in np.unique(split.labels):
        rows = np.flatnonzero(split.labels == label)
        chosen.append(random.permutation(rows)[:per_class])
    rows = np.sort(np.concatenate(chosen))
    return Split(split.images[rows], split.labels[rows])


def scramble_pixels(dataset: Dataset, seed: int = 0) -> Dataset:
    """The same images with their pixels in one fixed random order: local structure is gone."""
    side, channels = dataset.image_shape[0], dataset.image_shape[-1]
    order = np.random.default_rng(seed).permutation(side * side)

    def part(split: Split) -> Split:
        flat = split.images.reshape(len(split.images), side * side, channels)[:, order]
        return Split(flat.reshape(split.images.shape), split.labels)

    return dataset._replace(train=part(dataset.train), test=part(dataset.test))
