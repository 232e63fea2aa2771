"""Subsets of classes: halves, numbers of their own, scrambled pixels."""

import numpy as np

from jaxnets.data import Dataset, Split, load_dataset
from jaxnets.transfer import class_subsets


def test_halves_share_no_class_and_number_their_own():
    digits = load_dataset("digits")
    for halves in (class_subsets.random_halves(digits, 3), class_subsets.natural_halves(digits)):
        assert sorted(halves[0] + halves[1]) == list(range(10))
    assert class_subsets.random_halves(digits, 3) != class_subsets.random_halves(digits, 4)
    made, animals = class_subsets.natural_halves(digits._replace(name="cifar10"))
    assert made == [0, 1, 8, 9] and animals == [2, 3, 4, 5, 6, 7]
    subset = class_subsets.choose_classes("x", digits, [7, 2])
    sevens = np.asarray(digits.train.labels) == 7
    np.testing.assert_array_equal(
        subset.train.images[subset.train.labels == 0], digits.train.images[sevens]
    )
    assert set(subset.train.labels.tolist()) == {0, 1} and subset.num_classes == 2
    few = class_subsets.take_per_class(subset.train, 3, 0)
    assert np.bincount(few.labels).tolist() == [3, 3]


def test_scrambled_pixels_are_the_same_pixels():
    images = np.random.default_rng(0).integers(0, 255, (3, 4, 4, 2), np.uint8)
    dataset = Dataset(
        "x", Split(images, np.zeros(3)), Split(images, np.zeros(3)), ("a",), (4, 4, 2)
    )
    found = class_subsets.scramble_pixels(dataset).train.images
    assert np.any(found != images)
    for old, new in zip(images, found, strict=True):
        rows = sorted(map(tuple, old.reshape(-1, 2).tolist()))
        assert sorted(map(tuple, new.reshape(-1, 2).tolist())) == rows
