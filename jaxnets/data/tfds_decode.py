"""Decode a prepared TFDS image-classification set once into a memory-mapped cache."""

import io
import itertools
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np

from jaxnets.data import shuffle
from jaxnets.data.cache import allocate, default_cache_dir, open_or_build
from jaxnets.data.pixels import to_8_bits
from jaxnets.data.tfds_files import Prepared, find_prepared, fingerprint
from jaxnets.errors import JaxnetsError

# Change it when decoding changes: older cache entries are then not used any more.
CACHE_FORMAT: Final = 2
# One in so many training examples is held out where a set has no labeled test split.
HOLDOUT: Final = 5
# Examples read at once: enough to feed the threads, little enough to stay small in memory.
CHUNK: Final = 256
# Images in one thread's task: for small images handing over costs as much as decoding.
TASK: Final = 16

# TFDS writes class names beside the records; copies of a set often come without that file.
CLASS_NAMES: Final = {
    "cifar10": (
        *("airplane", "automobile", "bird", "cat", "deer"),
        *("dog", "frog", "horse", "ship", "truck"),
    ),
    "fashion_mnist": (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
}


def load_tfds(
    name: str, data_dir: Path | str | None, cache_dir: Path | str | None, size: int | None
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Load a prepared dataset, decoded once into the cache.

    Args:
        name: with an optional ``/configuration`` and ``:version``.
        data_dir, cache_dir, size: as of `jaxnets.data.load_dataset`.

    Returns:
        (the arrays ``train_images``, ``train_labels``, ``test_images`` and ``test_labels``; the
        names of the classes).

    Raises:
        UnknownNameError: TFDS has no such dataset.
        JaxnetsError: it is not prepared here, damaged, or no image-classification set.

    >>> load_tfds("mnist", "no such folder", None, None)
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: dataset 'mnist' is not prepared: ...
    """
    prepared = find_prepared(name, data_dir)
    parts = [prepared.name.replace("/", "-"), prepared.version]
    if size is not None:
        parts.append(f"{size}px")
    parts.append(f"{CACHE_FORMAT}-{fingerprint(prepared.path)[:16]}")
    root = Path(cache_dir or default_cache_dir()).expanduser()
    arrays, facts = open_or_build(
        root / "datasets" / "-".join(parts),
        lambda folder: _Decoder(prepared, size).run(folder),
        _is_dataset,
    )
    return arrays, tuple(facts["class_names"])


def _is_dataset(arrays: dict[str, np.ndarray], facts: dict[str, Any]) -> bool:
    """Whether a cache entry holds what `_Decoder` writes, whoever wrote it."""
    names = facts.get("class_names") if isinstance(facts, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return False
    for which in ("train", "test"):
        images, labels = arrays.get(f"{which}_images"), arrays.get(f"{which}_labels")
        if images is None or labels is None or images.dtype != np.uint8 or images.ndim != 4:
            return False
        if labels.dtype != np.int32 or labels.shape != images.shape[:1] or not len(labels):
            return False
        if labels.min() < 0 or labels.max() >= len(names):
            return False
    return arrays["train_images"].shape[1:] == arrays["test_images"].shape[1:]


class _Decoder:
    """Writes the arrays of one dataset into a folder."""

    def __init__(self, prepared: Prepared, size: int | None):
        import tensorflow_datasets as tfds

        self.prepared, self.size, self.tfds = prepared, size, tfds
        try:
            self.builder = tfds.builder_from_directory(os.fspath(prepared.path))
        except Exception as error:  # whatever its parsers make of a damaged dataset_info.json
            raise self._damaged("its description", error) from error
        self.info = self.builder.info
        if self.info.file_format.value != "array_record":
            raise self._error(
                f"is stored as {self.info.file_format.value}, which needs TensorFlow to read. "
                "Prepare it again, into another folder, as ArrayRecord:\n"
                f"  python -m jaxnets.data.prepare {prepared.name} --data_dir FOLDER"
            )
        self.image_key, self.label_key = self._keys()
        feature = self.info.features[self.image_key]
        self.encoded = isinstance(feature, tfds.features.Image)
        self.channels = feature.shape[-1] or 3
        if feature.np_dtype != np.uint8 or self.channels not in (1, 3):
            raise self._error(
                f"has images of {self.channels} channels and type {np.dtype(feature.np_dtype)}; "
                "only 8-bit gray or RGB images are supported"
            )

    def run(self, folder: Path) -> dict[str, Any]:
        """Decode both splits; returns what is kept beside the arrays."""
        sizes = {name: split.num_examples for name, split in self.info.splits.items()}
        if "train" not in sizes:
            raise self._error(f"has no split 'train'; it has: {', '.join(sizes)}")
        train, test_split = np.arange(sizes["train"]), self._labeled_test_split(sizes)
        if test_split is not None:
            test = np.arange(sizes[test_split])
        else:
            labels = np.asarray(list(self._labels("train")))
            test = shuffle.stratified_choice(
                labels, len(labels) // HOLDOUT, seed=0, use=shuffle.HOLDOUT
            )
            train, test_split = np.setdiff1d(train, test), "train"
        image_shape = self._write("train", train, folder, "train")
        if self._write(test_split, test, folder, "test") != image_shape:
            raise self._error("has images of one size to train on and of another to test on")
        return {"class_names": self._class_names()}

    def _keys(self) -> tuple[str, str]:
        """The features that hold the image and its class."""
        features, tfds = self.info.features, self.tfds
        keys = features.keys() if hasattr(features, "keys") else ()
        images = [k for k in keys if features[k].shape and len(features[k].shape) == 3]
        labels = [k for k in keys if isinstance(features[k], tfds.features.ClassLabel)]
        supervised = self.info.supervised_keys or ()
        image = next(
            (k for k in images if k in supervised), images[0] if len(images) == 1 else None
        )
        label = next(
            (k for k in labels if k in supervised), labels[0] if len(labels) == 1 else None
        )
        if image is None or label is None:
            raise self._error(f"is no image-classification set; its features: {', '.join(keys)}")
        return image, label

    def _class_names(self) -> list[str]:
        feature = self.info.features[self.label_key]
        names = [str(name) for name in feature.names]
        known = CLASS_NAMES.get(self.prepared.name, names)
        # Without the file of names TFDS counts: "0", "1", …
        return list(known) if names == [str(i) for i in range(len(known))] else names

    def _labeled_test_split(self, sizes: dict[str, int]) -> str | None:
        """``test`` or ``validation``; a test split whose labels were kept secret has -1."""
        for name in ("test", "validation"):
            if sizes.get(name) and next(self._labels(name)) >= 0:
                return name
        return None

    def _records(self, split: str, keys: tuple[str, ...], rows: np.ndarray) -> Iterator[list[dict]]:
        """The features ``keys`` of some rows, in chunks; encoded images stay encoded."""
        tfds = self.tfds
        # Only what is asked for is parsed: sets may carry boxes, captions, masks beside the class.
        features = tfds.features.FeaturesDict({key: self.info.features[key] for key in keys})
        skip = self.encoded and self.image_key in keys
        decoders = {self.image_key: tfds.decode.SkipDecoding()} if skip else None
        try:
            source = self.builder.as_data_source(
                split, deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES
            )
            found = len(source)
        except Exception as error:  # missing files, and whatever the readers make of damaged ones
            raise self._damaged(f"split {split!r}", error) from error
        expected = self.info.splits[split].num_examples
        for number in (found, self._stored(split)):
            if number != expected:
                raise self._error(
                    f"is incomplete or damaged: split {split!r} holds {number} examples instead "
                    f"of {expected}. Copy or prepare it again"
                )
        for start in range(0, len(rows), CHUNK):
            chunk = rows[start : start + CHUNK].tolist()
            try:
                records = [
                    features.deserialize_example_np(record, decoders=decoders)
                    for record in source.__getitems__(chunk)
                ]
            except Exception as error:
                where = f"split {split!r}, examples {chunk[0]} to {chunk[-1]}"
                raise self._damaged(where, error) from error
            yield records

    def _stored(self, split: str) -> int:
        """How many records the files of a split hold, whatever the description says."""
        from array_record.python.array_record_module import ArrayRecordReader

        total = 0
        for path in self.info.splits[split].filepaths:
            try:
                reader = ArrayRecordReader(os.fspath(path))
                total += reader.num_records() if reader.ok() else 0
                reader.close()
            except Exception as error:  # whatever it makes of a damaged file
                raise self._damaged(f"{Path(path).name}", error) from error
        return total

    def _labels(self, split: str) -> Iterator[int]:
        rows = np.arange(self.info.splits[split].num_examples)
        for records in self._records(split, (self.label_key,), rows):
            yield from (int(record[self.label_key]) for record in records)

    def _write(self, split: str, rows: np.ndarray, folder: Path, name: str) -> tuple[int, ...]:
        """Decode rows of a split into ``NAME_images.npy`` and ``NAME_labels.npy``."""
        from tqdm import tqdm

        if not len(rows):
            raise self._error(f"split {split!r} is empty")
        images, labels, done = None, np.empty(len(rows), np.int32), 0
        progress = tqdm(
            total=len(rows),
            desc=f"decoding {self.prepared.name} {name}",
            unit=" images",
            disable=None,
        )
        with progress, ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            for records in self._records(split, (self.image_key, self.label_key), rows):
                stored = [record[self.image_key] for record in records]
                tasks = [stored[start : start + TASK] for start in range(0, len(stored), TASK)]
                decoded = pool.map(lambda task: [self._image(one) for one in task], tasks)
                for row, image in enumerate(itertools.chain.from_iterable(decoded), start=done):
                    if images is None:
                        images = allocate(
                            folder / f"{name}_images.npy", (len(rows), *image.shape), np.uint8
                        )
                    if image.shape != images.shape[1:]:
                        raise self._error(
                            f"has images of differing sizes, {images.shape[1:3]} and "
                            f"{image.shape[:2]} among them: say which size to bring them to, "
                            "for example size=64"
                        )
                    images[row] = image
                last = done + len(records)
                labels[done:last] = [record[self.label_key] for record in records]
                done = last
                progress.update(len(records))
        classes = self.info.features[self.label_key].num_classes
        if labels.min() < 0 or labels.max() >= classes:
            raise self._error(
                f"split {split!r} has labels {labels.min()} to {labels.max()} for {classes} classes"
            )
        images.flush()
        np.save(folder / f"{name}_labels.npy", labels)
        return images.shape[1:]

    def _image(self, stored: bytes | np.ndarray) -> np.ndarray:
        from PIL import Image, ImageOps

        if self.encoded:
            try:
                with Image.open(io.BytesIO(stored)) as file:
                    at_least = None if self.size is None else (self.size, self.size)
                    image = to_8_bits(file, self.channels, at_least)
            except Exception as error:
                raise self._damaged("an image", error) from error
        elif self.size is None:
            return stored
        else:
            image = Image.fromarray(stored if self.channels == 3 else stored[..., 0])
        if self.size is not None:
            image = ImageOps.fit(image, (self.size, self.size), method=Image.Resampling.BICUBIC)
        return np.asarray(image).reshape(image.height, image.width, self.channels)

    def _damaged(self, what: str, error: Exception) -> JaxnetsError:
        return self._error(
            f"is incomplete or damaged; {what} can't be read: {error}. Copy or prepare it again"
        )

    def _error(self, what: str) -> JaxnetsError:
        return JaxnetsError(f"dataset {self.prepared.name!r} in {self.prepared.path} {what}")
