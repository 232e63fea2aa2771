"""Batches as a pure function of (seed, step), on any number of processes."""

import queue
import threading
from collections.abc import Iterator

import numpy as np

from jaxnets.data import shuffle
from jaxnets.data.datasets import Split
from jaxnets.errors import JaxnetsError

Batch = dict[str, np.ndarray]


class DataError(JaxnetsError, ValueError):
    """A batch size that the dataset or the processes can't share."""


class Batches:
    """Shuffled training batches with random access: ``batches[step]``.

    Step s lies in epoch ``s // steps_per_epoch``; an epoch's order is drawn from (seed, epoch)
    alone. So any step can be had without the ones before it: resuming needs the step number and
    nothing else. The rows of a global batch are cut contiguously between the processes; laid
    together in process order they are the batch of a single process.

    Args:
      split: images and labels.
      batch_size: global, over all processes.
      seed: of the order.
      process_index: which share this process takes.
      process_count: over how many processes a batch is cut; must divide the batch.
      drop_remainder: leave out, in each epoch's order, the examples beyond the last whole batch;
        otherwise the epoch ends with a smaller batch.

    Raises:
      DataError: the batch is larger than the split, or the processes can't share it.

    >>> from jaxnets.data import load_dataset
    >>> batches = Batches(load_dataset("digits").train, 128, seed=0)
    >>> batches.steps_per_epoch, batches[1000]["image"].shape
    (11, (128, 8, 8, 1))
    """

    def __init__(
        self,
        split: Split,
        batch_size: int,
        *,
        seed: int,
        process_index: int = 0,
        process_count: int = 1,
        drop_remainder: bool = True,
    ):
        _check(split, batch_size, process_index, process_count)
        count = split.num_examples
        if drop_remainder and batch_size > count:
            raise DataError(
                f"batch_size is {batch_size}, but the split has only {count} examples: "
                "use a smaller batch"
            )
        if not drop_remainder and count % batch_size % process_count:
            raise DataError(
                f"the last batch of an epoch has {count % batch_size} examples, which "
                f"{process_count} processes can't share: set drop_remainder=True"
            )
        self.batch_size = batch_size
        self.seed = seed
        self.process_index, self.process_count = process_index, process_count
        self.steps_per_epoch = count // batch_size if drop_remainder else -(-count // batch_size)
        # A plain view: indexing it does not make objects of class memmap.
        self._images, self._labels = np.asarray(split.images), np.asarray(split.labels)
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, np.int64))

    def indices(self, step: int) -> np.ndarray:
        """Which examples this process's share of the batch at ``step`` holds, int64 (B/P,)."""
        if step < 0:
            raise IndexError(f"step is {step}; steps are counted from 0")
        epoch, position = divmod(int(step), self.steps_per_epoch)
        known, order = self._order  # read once: several threads may share this object
        if known != epoch:
            order = shuffle.permutation(len(self._labels), self.seed, epoch)
            self._order = (epoch, order)
        rows = order[position * self.batch_size : (position + 1) * self.batch_size]
        share = len(rows) // self.process_count
        return rows[self.process_index * share : (self.process_index + 1) * share]

    def __getitem__(self, step: int) -> Batch:
        chosen = self.indices(step)
        return {"image": self._images[chosen], "label": self._labels[chosen]}

    def iterate(
        self, start_step: int = 0, stop_step: int | None = None, *, ahead: int = 4
    ) -> "BatchIterator":
        """Batches ``start_step … stop_step-1`` (endless without a stop), fetched ahead of use."""
        return BatchIterator(self, start_step, stop_step, ahead=ahead)


class BatchIterator:
    """Walks through ``Batches`` with a background thread that fetches ahead.

    The whole state is the number of the next step: ``get_state`` counts the batches handed out, not
    the ones fetched ahead, so ``set_state`` in another process goes on exactly where this one
    stood. Use it as a context manager, or ``close`` it, to end the thread early; it also ends when
    the iterator is exhausted or forgotten.
    """

    def __init__(
        self, batches: Batches, start_step: int, stop_step: int | None = None, *, ahead: int = 4
    ):
        if ahead < 1:
            raise ValueError(f"ahead is {ahead}; expected at least 1")
        self._batches, self._stop_step, self._ahead = batches, stop_step, ahead
        self._next_step = start_step
        self._start()

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        if self._stop_step is not None and self._next_step >= self._stop_step:
            self.close()
            raise StopIteration
        batch = self._fetched.get()
        if isinstance(batch, BaseException):
            self.close()
            raise batch
        self._next_step += 1
        return batch

    def get_state(self) -> dict[str, int]:
        """JSON-ready: the step that comes next."""
        return {"next_step": self._next_step}

    def set_state(self, state: dict[str, int]) -> None:
        """Go on from a state that ``get_state`` returned."""
        self.close()
        self._next_step = int(state["next_step"])
        self._start()

    def close(self) -> None:
        """End the background thread."""
        self._stopped.set()

    def __enter__(self) -> "BatchIterator":
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_stopped"):
            self.close()

    def _start(self) -> None:
        self._fetched: queue.Queue = queue.Queue(self._ahead)
        self._stopped = threading.Event()
        # The thread must not hold this object, or it would never be collected.
        threading.Thread(
            target=_fetch,
            args=(self._batches, self._next_step, self._stop_step, self._fetched, self._stopped),
            daemon=True,
            name="jaxnets-batches",
        ).start()


def _fetch(batches, step, stop_step, fetched: queue.Queue, stopped: threading.Event) -> None:
    while not stopped.is_set() and (stop_step is None or step < stop_step):
        try:
            batch = batches[step]
        except BaseException as error:
            batch = error
        while not stopped.is_set():
            try:
                fetched.put(batch, timeout=0.1)
                break
            except queue.Full:
                continue
        if isinstance(batch, BaseException):
            return
        step += 1


def eval_batches(
    split: Split, batch_size: int, *, process_index: int = 0, process_count: int = 1
) -> Iterator[Batch]:
    """Every example once, in order, in batches of one shape.

    The last batch is filled up with copies of the last example; ``mask`` is 1 for true examples and
    0 for copies, so sums weighted by it are exact.

    Args:
      split: images and labels.
      batch_size: global, over all processes.
      process_index: which share this process takes.
      process_count: over how many processes a batch is cut.

    Yields:
      ``image`` uint8 (b, H, W, C), ``label`` int32 (b,), ``mask`` float32 (b,), with
      b = batch_size / process_count.

    Raises:
      DataError: the processes can't share the batch.

    >>> from jaxnets.data import load_dataset
    >>> batches = list(eval_batches(load_dataset("digits").test, 128))
    >>> len(batches), int(batches[-1]["mask"].sum())
    (3, 104)
    """
    _check(split, batch_size, process_index, process_count)
    return _eval_batches(split, batch_size, process_index, batch_size // process_count)


def _eval_batches(split: Split, batch_size: int, process_index: int, share: int) -> Iterator[Batch]:
    images, labels = np.asarray(split.images), np.asarray(split.labels)
    count = len(labels)
    for start in range(0, count, batch_size):
        rows = start + process_index * share + np.arange(share)
        true = rows < count
        rows = np.minimum(rows, count - 1)
        yield {"image": images[rows], "label": labels[rows], "mask": true.astype(np.float32)}


def _check(split: Split, batch_size: int, process_index: int, process_count: int) -> None:
    if split.num_examples == 0:
        raise DataError("the split has no examples")
    if batch_size < 1:
        raise DataError(f"batch_size is {batch_size}; expected at least 1")
    if batch_size % process_count:
        raise DataError(
            f"batch_size is {batch_size}, which {process_count} processes can't share: "
            f"use a multiple of {process_count}"
        )
    if not 0 <= process_index < process_count:
        raise DataError(f"process_index is {process_index} of {process_count} processes")
