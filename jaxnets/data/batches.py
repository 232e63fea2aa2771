"""Batches as a pure function of (seed, step), on any number of processes."""

import functools
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from jaxnets.data import shuffle
from jaxnets.data.batch import Batch
from jaxnets.data.source import Source
from jaxnets.errors import JaxnetsError


class DataError(JaxnetsError, ValueError):
    """A batch size that the dataset or the processes can't share."""


class Batches:
    """Shuffled training batches with random access: ``batches[step]``.

    Step s lies in epoch ``s // steps_per_epoch``; an epoch's order is drawn from (seed, epoch)
    alone. So any step can be had without the ones before it: resuming needs the step number and
    nothing else. The rows of a global batch are cut contiguously between the processes; laid
    together in process order they are the batch of a single process.

    Args:
        source: the examples.
        batch_size: global, over all processes.
        seed: of the order.
        process_index: which share this process takes.
        process_count: over how many processes a batch is cut; must divide the batch.
        drop_remainder: leave out, in each epoch's order, the examples beyond the last whole batch;
            otherwise the epoch ends with a smaller batch.
        order: (seed, epoch) → example numbers (N,), as many as there are examples, in place of a
            random permutation; a pure function, such as
            ``partial(jaxnets.data.shuffle.balanced_order, labels)``.

    Raises:
        DataError: the batch is larger than the split, or the processes can't share it.

    >>> from jaxnets.data import load_dataset
    >>> batches = Batches(load_dataset("digits").train, 128, seed=0)
    >>> batches.steps_per_epoch, batches[1000]["image"].shape
    (11, (128, 8, 8, 1))
    """

    def __init__(
        self,
        source: Source,
        batch_size: int,
        *,
        seed: int,
        process_index: int = 0,
        process_count: int = 1,
        drop_remainder: bool = True,
        order: Callable[[int, int], np.ndarray] | None = None,
    ):
        _check(source, batch_size, process_index, process_count)
        count = len(source)
        if drop_remainder and batch_size > count:
            raise DataError(
                f"batch_size is {batch_size}, but the source has only {count} examples: "
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
        self._source = source
        # Two: what is fetched ahead may lie in the next epoch already.
        self._order = functools.lru_cache(maxsize=2)(
            functools.partial(shuffle.permutation, count, seed)
            if order is None
            else functools.partial(order, seed)
        )

    def indices(self, step: int) -> np.ndarray:
        """Which examples this process's share of the batch at ``step`` holds, int64 (B/P,)."""
        if step < 0:
            raise IndexError(f"step is {step}; steps are counted from 0")
        epoch, position = divmod(int(step), self.steps_per_epoch)
        rows = self._order(epoch)[position * self.batch_size : (position + 1) * self.batch_size]
        share = len(rows) // self.process_count
        return rows[self.process_index * share : (self.process_index + 1) * share]

    def __getitem__(self, step: int) -> Batch:
        return self._source.take(self.indices(step))

    def iterate(
        self,
        start_step: int = 0,
        stop_step: int | None = None,
        *,
        ahead: int = 4,
        threads: int = 1,
    ) -> "BatchIterator":
        """Batches ``start_step … stop_step-1`` (endless without a stop), fetched ahead of use.

        Args:
            start_step: the first step.
            stop_step: the step to stop before.
            ahead: how many batches to fetch ahead, at least 1.
            threads: how many to fetch at once; more than one helps where the images come from a
                slow disk. The order does not depend on it.
        """
        return BatchIterator(self, start_step, stop_step, ahead=ahead, threads=threads)


class BatchIterator:
    """Walks through ``Batches`` while threads fetch the next few ahead of use.

    The whole state is the number of the next step: ``get_state`` counts the batches handed out, not
    the ones fetched ahead, so after ``set_state``, in this process or another, it goes on exactly
    there. ``close`` it, or use it as a context manager, to let go of what was fetched ahead.

    >>> from jaxnets.data import load_dataset
    >>> batches = Batches(load_dataset("digits").train, 128, seed=0)
    >>> with BatchIterator(batches, 5, 7) as iterator:
    ...     [len(batch["label"]) for batch in iterator], iterator.get_state()
    ([128, 128], {'next_step': 7})
    """

    def __init__(
        self,
        batches: Batches,
        start_step: int,
        stop_step: int | None = None,
        *,
        ahead: int = 4,
        threads: int = 1,
    ):
        if ahead < 1 or threads < 1:
            raise ValueError(f"ahead is {ahead} and threads is {threads}; expected at least 1")
        self._batches, self._stop_step, self._ahead = batches, stop_step, ahead
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="jaxnets-batches")
        self._fetched: deque[Future[Batch]] = deque()
        self._next_step = start_step
        self._closed = False

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        if self._closed:
            raise StopIteration
        while len(self._fetched) <= self._ahead:
            step = self._next_step + len(self._fetched)
            if self._stop_step is not None and step >= self._stop_step:
                break
            self._fetched.append(self._pool.submit(self._batches.__getitem__, step))
        if not self._fetched:
            self.close()
            raise StopIteration
        batch = self._fetched.popleft().result()
        self._next_step += 1
        return batch

    def get_state(self) -> dict[str, int]:
        """JSON-ready: the step that comes next."""
        return {"next_step": self._next_step}

    def set_state(self, state: dict[str, int]) -> None:
        """Go on from a state that ``get_state`` returned."""
        self._fetched.clear()
        self._next_step = int(state["next_step"])

    def close(self) -> None:
        """Drop what was fetched ahead and end the threads; there is no next batch afterwards."""
        self._closed = True
        self._fetched.clear()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def __enter__(self) -> "BatchIterator":
        return self

    def __exit__(self, *exception) -> None:
        self.close()


def eval_batches(
    source: Source, batch_size: int, *, process_index: int = 0, process_count: int = 1
) -> Iterator[Batch]:
    """Every example once, in order, in batches of one shape.

    The last batch is filled up with copies of the last example; ``example_mask`` is 1 for true
    examples and 0 for copies, so sums weighted by it are exact. A mask that the source has itself
    is multiplied by it.

    Args:
        source: the examples.
        batch_size: global, over all processes.
        process_index: which share this process takes.
        process_count: over how many processes a batch is cut.

    Returns:
        an iterator over the source's arrays and ``example_mask``, float32 (b,), with b = batch_size
        / process_count.

    Raises:
        DataError: the processes can't share the batch.

    >>> from jaxnets.data import load_dataset
    >>> batches = list(eval_batches(load_dataset("digits").test, 128))
    >>> len(batches), int(batches[-1]["example_mask"].sum())
    (3, 104)
    """
    _check(source, batch_size, process_index, process_count)
    return _eval_batches(source, batch_size, process_index, batch_size // process_count)


def _eval_batches(
    source: Source, batch_size: int, process_index: int, share: int
) -> Iterator[Batch]:
    count = len(source)
    for start in range(0, count, batch_size):
        rows = start + process_index * share + np.arange(share)
        mask = (rows < count).astype(np.float32)
        batch = source.take(np.minimum(rows, count - 1))
        # A source may have a mask of its own, of examples that do not count.
        own = np.asarray(batch.get("example_mask", 1), np.float32)
        yield {**batch, "example_mask": mask * own}


def _check(source: Source, batch_size: int, process_index: int, process_count: int) -> None:
    if len(source) == 0:
        raise DataError("the source has no examples")
    if batch_size < 1:
        raise DataError(f"batch_size is {batch_size}; expected at least 1")
    if batch_size % process_count:
        raise DataError(
            f"batch_size is {batch_size}, which {process_count} processes can't share: "
            f"use a multiple of {process_count}"
        )
    if not 0 <= process_index < process_count:
        raise DataError(f"process_index is {process_index} of {process_count} processes")
