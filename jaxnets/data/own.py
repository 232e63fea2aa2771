"""Data of your own as a data set: arrays in memory or a file, records of other libraries."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from jaxnets.data import shuffle
from jaxnets.data.batch import Batch
from jaxnets.data.datasets import Dataset
from jaxnets.data.pixels import gray_levels
from jaxnets.data.source import ArrayRows, Split
from jaxnets.errors import JaxnetsError

# What collections call their images and class numbers.
IMAGE_KEYS: Final = ("image", "img", "pixels", "x")
LABEL_KEYS: Final = ("label", "labels", "fine_label", "target", "class", "y")
# Names in .npz files, {} being the split: Keras', MedMNIST's, ours.
_NPZ_IMAGES, _NPZ_LABELS = ("{}_images", "x_{}", "{}_x"), ("{}_labels", "y_{}", "{}_y")
_SPLITS: Final = {
    "train": ("train",),
    "validation": ("validation", "val", "valid"),
    "test": ("test",),
}
# Chosen rows of fewer bytes are copied, which is faster to read; of more, read where they lie.
COPY_BYTES: Final = 2**28


def make_dataset(
    name: str,
    train: tuple[Any, Any],
    *,
    test: tuple[Any, Any] | None = None,
    validation: tuple[Any, Any] | None = None,
    class_names: Sequence[str] | None = None,
    seed: int = 0,
) -> Dataset:
    """A data set of arrays: images and class numbers; without test images a fifth is held out.

    Args:
        name: what messages call it.
        train: (images (N, H, W, C) or gray (N, H, W), class numbers (N,)); NumPy arrays or memory
            maps, which are not copied. Pixels other than uint8 become so by the rule of
            `jaxnets.data.pixels`.
        test: likewise.
        validation: likewise.
        class_names: K of them (default: the numbers).
        seed: which examples are held out.

    Returns:
        A `Dataset`.

    Raises:
        JaxnetsError: pixels without a known scale, other shapes, class numbers out of range.

    >>> images = np.zeros((10, 8, 8, 1), np.uint8)
    >>> dataset = make_dataset("mine", (images, np.arange(10) % 2))
    >>> len(dataset.train), len(dataset.test), dataset.class_names
    (8, 2, ('0', '1'))
    """
    given = {"train": train, "validation": validation, "test": test}
    splits = {
        split: _checked(name, split, *pair) for split, pair in given.items() if pair is not None
    }
    highest = max(int(split.labels.max()) for split in splits.values())
    names = tuple(class_names) if class_names is not None else tuple(map(str, range(highest + 1)))
    if highest >= len(names):
        raise JaxnetsError(f"{name}: class number {highest}, but only {len(names)} class names")
    if len({split.images.shape[1:] for split in splits.values()}) > 1:
        shapes = {split: part.images.shape[1:] for split, part in splits.items()}
        raise JaxnetsError(f"{name}: the splits' images differ in shape: {shapes}")
    if "test" not in splits:
        splits["train"], splits["test"] = split_off(splits["train"], 0.2, seed, use=shuffle.HOLDOUT)
    return Dataset(
        name,
        splits["train"],
        splits["test"],
        names,
        tuple(splits["train"].images.shape[1:]),
        splits.get("validation"),
    )


def _checked(name: str, split: str, images: Any, labels: Any) -> Split:
    if not isinstance(images, ArrayRows):
        images = _to_gray_levels(images, f"{name}: {split} images")
    labels = np.asarray(labels)
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if images.ndim == 3:
        images = np.asarray(images)[..., None]
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or images.dtype != np.uint8:
        raise JaxnetsError(
            f"{name}: {split} images are {images.dtype}{list(images.shape)}; expected uint8 "
            "(N, height, width, 1 or 3), gray levels 0 to 255"
        )
    if labels.shape != (len(images),) or labels.dtype.kind not in "iu":
        raise JaxnetsError(
            f"{name}: {split} labels are {labels.dtype}{list(labels.shape)}; expected whole "
            f"numbers ({len(images)},)"
        )
    if len(labels) == 0 or int(labels.min()) < 0:
        raise JaxnetsError(f"{name}: {split} has no examples, or class numbers below 0")
    return Split(images, labels.astype(np.int32))


def _to_gray_levels(images: Any, what: str) -> np.ndarray:
    """Pixels as uint8, by the rule of `jaxnets.data.pixels`."""
    try:
        return gray_levels(np.asarray(images))
    except ValueError as error:
        raise JaxnetsError(f"{what}: {error}") from None


def split_off(split: Split, share: float, seed: int, *, use: int) -> tuple[Split, Split]:
    """Two parts of a split: the rest, and ``share`` of each class.

    Args:
        split: where to choose from.
        share: between 0 and 1.
        seed: which examples are chosen.
        use: see `jaxnets.data.shuffle.permutation`.

    Returns:
        (the rest, the part that was split off).

    Raises:
        JaxnetsError: the share is not between 0 and 1, or no class has two examples.

    >>> split = Split(np.zeros((10, 2, 2, 1), np.uint8), np.arange(10, dtype=np.int32) % 2)
    >>> [len(part) for part in split_off(split, 0.2, 0, use=shuffle.VALIDATION)]
    [8, 2]
    """
    if not 0 < share < 1:
        raise JaxnetsError(f"--validation must lie between 0 and 1, got {share}")
    chosen = shuffle.held_out_rows(split.labels, share, seed, use=use)
    if not len(chosen):
        raise JaxnetsError("nothing can be split off: no class has two examples")
    rest = np.setdiff1d(np.arange(len(split)), chosen)
    return _rows_of(split, rest), _rows_of(split, chosen)


def _rows_of(split: Split, rows: np.ndarray) -> Split:
    images = ArrayRows(split.images, rows)
    small = int(np.prod(images.shape, dtype=np.int64)) * images.dtype.itemsize < COPY_BYTES
    return Split(
        np.asarray(images) if small else images, np.asarray(split.labels)[rows], split.info
    )


def hold_out_validation(dataset: Dataset, share: float, *, seed: int = 0) -> Dataset:
    """The data set with a share of its training examples as its validation split.

    Args:
        dataset: one that has no validation split yet, or one whose own is to be replaced.
        share: of every class, between 0 and 1.
        seed: which examples are chosen.

    Returns:
        A `Dataset`.

    Raises:
        JaxnetsError: the share is not between 0 and 1, or no class has two examples.

    >>> from jaxnets.data import load_dataset
    >>> digits = hold_out_validation(load_dataset("digits"), 0.1)
    >>> len(digits.train), len(digits.validation), len(digits.test)
    (1292, 145, 360)
    """
    train, validation = split_off(dataset.train, share, seed, use=shuffle.VALIDATION)
    return dataset._replace(train=train, validation=validation)


def load_arrays(path: Path | str, *, seed: int = 0) -> Dataset:
    """A data set from an ``.npz`` file.

    Args:
        path: of a file with ``train_images`` and ``train_labels``, or ``x_train`` and ``y_train``,
            and on request the same of ``val`` and ``test``; or ``images`` and ``labels``, of which
            a fifth is held out for testing. ``class_names`` may be among them.
        seed: which examples are held out.

    Returns:
        A `Dataset`.

    Raises:
        JaxnetsError: no such file, no NumPy file, or not the arrays that are expected.

    >>> load_arrays("nowhere.npz")
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: arrays:nowhere.npz: there is no such file
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise JaxnetsError(f"arrays:{path}: there is no such file")
    try:
        with np.load(file, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    except (OSError, ValueError, AttributeError, EOFError) as error:
        raise JaxnetsError(f"arrays:{path}: cannot be read as .npz ({error})") from None
    splits: dict[str, tuple[Any, Any]] = {}
    for split, spellings in _SPLITS.items():
        for spelling in spellings:
            keys = [
                next((k for p in patterns if (k := p.format(spelling)) in arrays), None)
                for patterns in (_NPZ_IMAGES, _NPZ_LABELS)
            ]
            if all(keys):
                splits[split] = (arrays[keys[0]], arrays[keys[1]])
    if "train" not in splits and {"images", "labels"} <= arrays.keys():
        splits["train"] = (arrays["images"], arrays["labels"])
    if "train" not in splits:
        raise JaxnetsError(
            f"arrays:{path}: has {', '.join(sorted(arrays)) or 'no arrays'}; expected train_images "
            "and train_labels (or images and labels), on request val_… and test_…"
        )
    names = arrays.get("class_names")
    return make_dataset(
        f"arrays:{path}",
        splits["train"],
        test=splits.get("test"),
        validation=splits.get("validation"),
        class_names=None if names is None else [str(name) for name in names],
        seed=seed,
    )


class RecordSource:
    """Records of another library as a `Source`: anything with ``len`` and ``records[row]``.

    A Hugging Face ``datasets.Dataset``, a Grain random-access source, a PyTorch map-style data set
    or a list: each record is a dict with an image (an array or a Pillow image) and a class number,
    or such a pair.

    Args:
        records: ``len(records)`` and ``records[row]``.
        size: side of the square that images are brought to, as `jaxnets.data.read_image` does;
            needed where they differ in size.
        channels: 3 for RGB, 1 for gray.
        keys: batch key → key of a record, where the usual names (image, img; label, labels, …) are
            not its own.
        info: what a task may want to know.

    Raises:
        JaxnetsError: a record without an image or a class number (when it is taken).

    >>> records = [{"img": np.full((4, 4, 3), k, np.uint8), "label": k} for k in range(3)]
    >>> source = RecordSource(records)
    >>> len(source), source.take(np.array([2, 0]))["label"].tolist()
    (3, [2, 0])
    """

    def __init__(
        self,
        records: Any,
        *,
        size: int | None = None,
        channels: int = 3,
        keys: Mapping[str, str] | None = None,
        info: Mapping[str, Any] | None = None,
    ):
        self._records, self._size, self._channels = records, size, channels
        self._keys, self.info = dict(keys or {}), dict(info or {})

    def __len__(self) -> int:
        return len(self._records)

    def take(self, rows: np.ndarray) -> Batch:
        """These records as a batch of ``image`` and ``label``."""
        records = [self._records[int(row)] for row in rows]
        images = [self._image(self._field(record, "image", IMAGE_KEYS, 0)) for record in records]
        if len({image.shape for image in images}) > 1:
            raise JaxnetsError("the records' images differ in size: give size=N")
        labels = [int(self._field(record, "label", LABEL_KEYS, 1)) for record in records]
        return {"image": np.stack(images), "label": np.asarray(labels, np.int32)}

    def _field(self, record: Any, key: str, usual: Sequence[str], place: int) -> Any:
        if not isinstance(record, Mapping):
            return record[place]
        own = self._keys.get(key) or next((k for k in usual if k in record), None)
        if own not in record:
            raise JaxnetsError(
                f"a record has {', '.join(map(str, record))}; say which is the {key}: "
                f'keys={{"{key}": …}}'
            )
        return record[own]

    def _image(self, image: Any) -> np.ndarray:
        from PIL import Image, ImageOps

        if not isinstance(image, Image.Image):
            array = _to_gray_levels(image, "a record's image")
            array = array[..., None] if array.ndim == 2 else array
            if self._size is None and array.shape[-1] == self._channels:
                return array
            image = Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array)
        image = ImageOps.exif_transpose(image).convert("RGB" if self._channels == 3 else "L")
        if self._size is not None:
            side = (self._size, self._size)
            image = ImageOps.fit(image, side, method=Image.Resampling.BICUBIC)
        return np.asarray(image).reshape(image.height, image.width, self._channels)
