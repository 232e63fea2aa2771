"""New tasks out of one data set: some of its classes, few of its images, its pixels scrambled."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from jaxnets.data import Dataset, Split

Halves = Literal["random", "natural"]

# CIFAR-10's human-made classes: airplane, automobile, ship, truck.
HUMAN_MADE = (0, 1, 8, 9)


class ClassSubset(NamedTuple):
    """Some classes of a data set, numbered from 0.

    Attributes:
        name: what they are.
        train, test: their examples.
        num_classes: how many.

    >>> from jaxnets.data import load_dataset
    >>> choose_classes("odd", load_dataset("digits"), [1, 3, 5, 7, 9]).num_classes
    5
    """

    name: str
    train: Split
    test: Split
    num_classes: int


def choose_classes(name: str, dataset: Dataset, classes: Sequence[int]) -> ClassSubset:
    """The examples of some classes, with the labels 0, 1, … in the order given.

    Args:
        name: of the result.
        dataset: where they are taken from.
        classes: their numbers there.

    Returns:
        The `ClassSubset`.

    >>> from jaxnets.data import load_dataset
    >>> np.bincount(choose_classes("x", load_dataset("digits"), [7, 2]).test.labels).tolist()
    [36, 35]
    """
    number = np.full(dataset.num_classes, -1)
    number[list(classes)] = np.arange(len(classes))

    def part(split: Split) -> Split:
        labels = number[np.asarray(split.labels)]
        return Split(np.asarray(split.images)[labels >= 0], labels[labels >= 0].astype(np.int32))

    return ClassSubset(name, part(dataset.train), part(dataset.test), len(classes))


def random_halves(dataset: Dataset, seed: int) -> tuple[list[int], list[int]]:
    """The classes in two random halves.

    Args:
        dataset: with K classes.
        seed: of the permutation.

    Returns:
        Two lists of class numbers, each in order.

    >>> from jaxnets.data import load_dataset
    >>> a, b = random_halves(load_dataset("digits"), 0)
    >>> len(a), sorted(a + b) == list(range(10))
    (5, True)
    """
    order = np.random.default_rng(seed).permutation(dataset.num_classes).tolist()
    half = len(order) // 2
    return sorted(order[:half]), sorted(order[half:])


def natural_halves(dataset: Dataset) -> tuple[list[int], list[int]]:
    """CIFAR-10's classes as human-made things and animals; other sets' even and odd classes.

    Args:
        dataset: with K classes.

    Returns:
        Two lists of class numbers, each in order.

    >>> from jaxnets.data import load_dataset
    >>> natural_halves(load_dataset("digits"))
    ([0, 2, 4, 6, 8], [1, 3, 5, 7, 9])
    """
    if dataset.name.startswith("cifar10") and dataset.num_classes == 10:
        first = list(HUMAN_MADE)
    else:
        first = list(range(0, dataset.num_classes, 2))
    return first, [c for c in range(dataset.num_classes) if c not in first]


def split_classes(dataset: Dataset, halves: Halves, number: int) -> tuple[ClassSubset, ClassSubset]:
    """The two halves of a data set's classes, A and B.

    Every second repetition has them the other way round, so that each half is B as often as A.

    Args:
        dataset: with K classes.
        halves: "random" (another split for every repetition) or "natural".
        number: of the repetition.

    Returns:
        A and B.

    >>> from jaxnets.data import load_dataset
    >>> a, b = split_classes(load_dataset("digits"), "natural", 0)
    >>> a.name, a.num_classes, b.num_classes
    ('A', 5, 5)
    """
    found = random_halves(dataset, number) if halves == "random" else natural_halves(dataset)
    a, b = found[::-1] if number % 2 else found
    return choose_classes("A", dataset, a), choose_classes("B", dataset, b)


def take_per_class(split: Split, per_class: int, seed: int) -> Split:
    """This many random examples of each class (all, where there are fewer), in stored order.

    Args:
        split: examples.
        per_class: at most so many of each class.
        seed: which ones.

    Returns:
        A smaller split.

    >>> from jaxnets.data import load_dataset
    >>> len(take_per_class(load_dataset("digits").train, 3, 0))
    30
    """
    return split_per_class(split, per_class, seed)[0]


def split_per_class(split: Split, per_class: int, seed: int) -> tuple[Split, Split]:
    """This many random examples of each class, as `take_per_class` takes them, and all others.

    Args:
        split: examples.
        per_class: at most so many of each class go to the first part.
        seed: which ones.

    Returns:
        (first part, the others), in stored order.

    >>> from jaxnets.data import load_dataset
    >>> [len(part) for part in split_per_class(load_dataset("digits").test, 3, 0)]
    [30, 330]
    """
    random = np.random.default_rng(seed)
    labels = np.asarray(split.labels)
    chosen = [
        random.permutation(np.flatnonzero(labels == label))[:per_class]
        for label in np.unique(labels)
    ]
    taken = np.zeros(len(labels), bool)
    taken[np.concatenate(chosen)] = True
    rows = np.flatnonzero(taken), np.flatnonzero(~taken)
    return tuple(Split(split.images[part], split.labels[part]) for part in rows)


def scramble_pixels(dataset: Dataset, seed: int = 0) -> Dataset:
    """The same images with their pixels in one fixed random order: local structure is gone.

    Args:
        dataset: with images (N, H, H, C).
        seed: of the order.

    Returns:
        A data set of the same shapes.

    >>> from jaxnets.data import load_dataset
    >>> digits = load_dataset("digits")
    >>> mixed = scramble_pixels(digits)
    >>> bool((mixed.train.images == digits.train.images).all())
    False
    >>> int(mixed.train.images[0].sum()) == int(digits.train.images[0].sum())
    True
    """
    side, channels = dataset.image_shape[0], dataset.image_shape[-1]
    order = np.random.default_rng(seed).permutation(side * side)

    def part(split: Split) -> Split:
        flat = split.images.reshape(len(split.images), side * side, channels)[:, order]
        return Split(flat.reshape(split.images.shape), split.labels)

    return dataset._replace(train=part(dataset.train), test=part(dataset.test))
