"""Datasets by name: the embedded digits, and every prepared TFDS image-classification set."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxnets.data import shuffle
from jaxnets.data.source import Split
from jaxnets.data.tfds_files import list_prepared
from jaxnets.errors import JaxnetsError

# The digits that are held out for testing: 360 of 1,797.
DIGITS_TEST_SIZE = 360


class Dataset(NamedTuple):
    """A training and a test split, with what a network has to know of them.

    Attributes:
        name: as `load_dataset` takes it.
        train, test: the examples.
        class_names: K of them, in the order of the labels.
        image_shape: (H, W, C).
        validation: examples to choose by (when to stop, which parameters), or None.

    >>> load_dataset("digits").class_names[:3]
    ('0', '1', '2')
    """

    name: str
    train: Split
    test: Split
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    validation: Split | None = None

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return len(self.class_names)

    def describe(self) -> dict[str, Any]:
        """What a run keeps of its data set, as JSON values: name, class names, image shape."""
        return {
            "name": self.name,
            "class_names": list(self.class_names),
            "image_shape": list(self.image_shape),
        }


def load_dataset(
    name: str,
    *,
    data_dir: Path | str | None = None,
    cache_dir: Path | str | None = None,
    train_examples: int | None = None,
    size: int | None = None,
    validation: float | None = None,
    skip_broken: bool = False,
    seed: int = 0,
) -> Dataset:
    """Load a dataset; nothing is ever downloaded.

    ``digits`` is scikit-learn's copy of the UCI handwritten digits: 1,797 images of 8×8, of which a
    fixed class-stratified choice of 360 is the test split. Its gray levels v = 0 … 16 become
    ⌊(255·v + 8)/16⌋, which is 255·v/16 to the nearest integer.

    Any other name is an image-classification set of TFDS in ArrayRecord files, read without
    TensorFlow: ``cifar10``, ``mnist:3.0.1``, ``imagenet_v2/matched-frequency``. It is decoded once
    into a memory-mapped cache. The test split is ``test``, or ``validation`` where there is no
    labeled ``test``; a set with neither gives a fifth of its training examples, class-stratified
    and always the same.

    ``folder:PATH`` is a folder of images with a sub-folder for each class (`load_folder`),
    ``arrays:FILE.npz`` a file of arrays (`load_arrays`).

    Args:
        name: ``digits``, ``folder:PATH``, ``arrays:FILE.npz``, or a TFDS name, with an optional
            ``/config`` and ``:version``.
        data_dir: where prepared TFDS sets lie; by default ``$TFDS_DATA_DIR`` or
            ``~/tensorflow_datasets``.
        cache_dir: where decoded images are kept; by default ``$JAXNETS_CACHE`` or
            ``~/.cache/jaxnets``.
        train_examples: keep this many training examples: a class-stratified choice, always the
            same.
        size: shorter side to resize to, followed by a central crop to size×size; needed where a
            set's images differ in size.
        validation: split off this share of the training examples, of every class.
        skip_broken: of a folder: leave out files that cannot be read.
        seed: which examples are held out where there is a choice.

    Returns:
        A ``Dataset``; its arrays are read only.

    Raises:
        UnknownNameError: no dataset has this name; the message offers the nearest.
        JaxnetsError: the set is not prepared, its files are damaged, its images differ in size.

    >>> digits = load_dataset("digits")
    >>> digits.train.images.shape, digits.test.images.shape, digits.num_classes
    ((1437, 8, 8, 1), (360, 8, 8, 1), 10)
    """
    if name == "digits":
        if size is not None:
            raise JaxnetsError("size does not apply to digits: its images are 8x8")
        dataset = _digits()
    elif name.startswith("folder:"):
        dataset = _folder(name, size, skip_broken, seed, cache_dir)
    elif name.startswith("arrays:"):
        from jaxnets.data.own import load_arrays

        if size is not None:
            raise JaxnetsError("size does not apply to arrays: their images are as they are")
        dataset = load_arrays(name.removeprefix("arrays:"), seed=seed)
    else:
        from jaxnets.data.tfds_decode import load_tfds

        arrays, class_names = load_tfds(name, data_dir, cache_dir, size)
        train, test = (
            Split(_read_only(arrays[f"{which}_images"]), _read_only(arrays[f"{which}_labels"]))
            for which in ("train", "test")
        )
        dataset = Dataset(name, train, test, class_names, train.images.shape[1:])
    if train_examples is not None:
        dataset = dataset._replace(train=stratified_subset(dataset.train, train_examples))
    if validation is not None:
        from jaxnets.data.own import hold_out_validation

        dataset = hold_out_validation(dataset, validation, seed=seed)
    return dataset


def _folder(
    name: str, size: int | None, skip_broken: bool, seed: int, cache_dir: Path | str | None
) -> Dataset:
    from jaxnets.data.folder import load_folder

    found = load_folder(
        name.removeprefix("folder:"),
        size=size,
        skip_broken=skip_broken,
        seed=seed,
        cache_dir=cache_dir,
    )
    splits = {key: Split(*pair, {"skipped": found.skipped}) for key, pair in found.splits.items()}
    shape = splits["train"].images.shape[1:]
    return Dataset(
        name, splits["train"], splits["test"], found.class_names, shape, splits.get("validation")
    )


def list_datasets(data_dir: Path | str | None = None) -> list[str]:
    """Names that ``load_dataset`` can load here: digits, and what lies prepared in ``data_dir``.

    Args:
        data_dir: where prepared TFDS sets lie; by default as of `load_dataset`.

    Returns:
        ``digits``, and what is prepared there, in alphabetical order.

    >>> list_datasets("/nowhere")
    ['digits']
    """
    return ["digits", *list_prepared(data_dir)]


def stratified_subset(split: Split, count: int, seed: int = 0) -> Split:
    """A part of a split in which every class keeps its share, the same at every call.

    Args:
        split: where to choose from.
        count: how many examples, 1 to all.
        seed: another seed chooses other examples.

    Returns:
        The chosen examples, in the order of the split.

    Raises:
        JaxnetsError: ``count`` is not between 1 and the number of examples.

    >>> part = stratified_subset(load_dataset("digits").train, 100)
    >>> np.bincount(part.labels).tolist()
    [10, 10, 10, 10, 10, 10, 10, 10, 10, 10]
    """
    if not 1 <= count <= len(split):
        raise JaxnetsError(
            f"train_examples is {count}, but the split has {len(split)} examples: "
            f"ask for 1 to {len(split)}"
        )
    if count == len(split):
        return split
    chosen = shuffle.stratified_choice(split.labels, count, seed, use=shuffle.SUBSET)
    return Split(_read_only(np.asarray(split.images)[chosen]), _read_only(split.labels[chosen]))


def _digits() -> Dataset:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    gray = bunch.images.astype(np.uint16)
    images = ((255 * gray + 8) // 16).astype(np.uint8)[..., None]
    labels = bunch.target.astype(np.int32)
    held_out = np.zeros(len(labels), bool)
    held_out[
        shuffle.stratified_choice(labels, DIGITS_TEST_SIZE, seed=0, use=shuffle.DIGITS_SPLIT)
    ] = True
    train, test = (
        Split(_read_only(images[mask]), _read_only(labels[mask])) for mask in (~held_out, held_out)
    )
    return Dataset("digits", train, test, tuple("0123456789"), (8, 8, 1))


def _read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array
