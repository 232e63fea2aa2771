"""Where examples come from: anything with a length that hands out rows as a batch."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

import numpy as np

from jaxnets.data.batch import Batch, check_batch


@runtime_checkable
class Source(Protocol):
    """Examples with random access; implement these two methods to bring data of your own.

    ``info`` is optional: a mapping of what a task may want to know, such as class names.

    >>> class Squares:
    ...     def __len__(self):
    ...         return 10
    ...
    ...     def take(self, rows):
    ...         return {"targets": rows**2}
    >>> isinstance(Squares(), Source)
    True
    """

    def __len__(self) -> int:
        """How many examples there are."""

    def take(self, rows: np.ndarray) -> Batch:
        """These examples as a batch.

        Args:
            rows: example numbers, int64 (B,).

        Returns:
            NumPy arrays by the keys of `jaxnets.data.BATCH_KEYS`, each (B, …).
        """


class ArrayRows:
    """Chosen rows of an array, or of a memory map, that are read when they are asked for.

    Args:
        array: (N, …).
        rows: int64 (n,), which of them.

    >>> part = ArrayRows(np.arange(10) ** 2, np.array([3, 1]))
    >>> part.shape, part[:1].tolist(), np.asarray(part).tolist()
    ((2,), [9], [9, 1])
    """

    def __init__(self, array: Any, rows: np.ndarray):
        self.array, self.rows = array, np.asarray(rows)
        self.shape = (len(self.rows), *array.shape[1:])
        self.dtype, self.ndim = array.dtype, array.ndim

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> np.ndarray:
        if isinstance(index, tuple):
            return np.asarray(self.array[self.rows[index[0]]])[(slice(None), *index[1:])]
        return np.asarray(self.array[self.rows[index]])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        del copy
        return np.asarray(self.array[self.rows], dtype)


class ArraySource:
    """Arrays in memory, or memory maps, as a `Source`.

    Args:
        arrays: by batch key, the example axis first; all of one length.
        info: what a task may want to know.

    Raises:
        BatchError: no arrays, no examples, or different lengths.

    >>> source = ArraySource({"tokens": np.arange(12).reshape(4, 3)})
    >>> len(source), source.take(np.array([2, 0]))["tokens"].tolist()
    (4, [[6, 7, 8], [0, 1, 2]])
    """

    def __init__(self, arrays: Mapping[str, Any], info: Mapping[str, Any] | None = None):
        if arrays and all(np.ndim(array) and len(array) == 0 for array in arrays.values()):
            self._length = 0  # a split without examples may exist; batches of it may not
        else:
            self._length = check_batch(arrays, "the source")
        self.arrays: Mapping[str, Any] = MappingProxyType(dict(arrays))
        self.info: Mapping[str, Any] = MappingProxyType(dict(info or {}))
        # Plain views: indexing them does not make objects of class memmap.
        self._views = {
            key: array if isinstance(array, ArrayRows) else np.asarray(array)
            for key, array in self.arrays.items()
        }

    def __len__(self) -> int:
        return self._length

    def take(self, rows: np.ndarray) -> Batch:
        """These examples as a batch."""
        return {key: view[rows] for key, view in self._views.items()}

    def __repr__(self) -> str:
        listed = ", ".join(f"{k} {v.dtype}{list(v.shape)}" for k, v in self._views.items())
        return f"{type(self).__name__}({listed})"


class Split(ArraySource):
    """Images and labels; read only, the images possibly a memory map.

    Args:
        images: uint8 (N, H, W, C).
        labels: int32 (N,).
        info: what a task may want to know.

    >>> split = Split(np.zeros((3, 8, 8, 1), np.uint8), np.arange(3, dtype=np.int32))
    >>> len(split), split.labels.tolist()
    (3, [0, 1, 2])
    """

    def __init__(
        self, images: np.ndarray, labels: np.ndarray, info: Mapping[str, Any] | None = None
    ):
        super().__init__({"image": images, "label": labels}, info)

    @property
    def images(self) -> np.ndarray:
        """(N, H, W, C)."""
        return self.arrays["image"]

    @property
    def labels(self) -> np.ndarray:
        """(N,)."""
        return self.arrays["label"]

    def __iter__(self) -> Iterator[np.ndarray]:
        """``images, labels = split``."""
        return iter((self.images, self.labels))
