"""Exact evaluation of a task over a whole data set, on all devices."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import numpy as np

from jaxnets.data import Source, eval_batches, prefetch_to_device
from jaxnets.data.batch import check_batch, require_numbers
from jaxnets.train.parallel import DataParallel
from jaxnets.train.step import eval_step
from jaxnets.train.task import RECORD_FIELDS, Sums, Task, TaskError, check_names


class Evaluator:
    """Measures variables on one source; compiles once and is then called as often as wanted.

    Args:
        task: what is measured: its sums, and what it collects of each example.
        apply_fn: the network's ``apply`` (`TrainState.apply_fn`).
        source: the examples.
        parallel: where it runs.
        batch_size: over all devices; rounded up so that the devices can share it.
        process_index, process_count: which share of each batch this process reads (default: as
            JAX says).

    Raises:
        BatchError: the source gives text, or what is no batch.
        TaskError: the task measures nothing, or has only one of ``collect`` and ``score``.

    Example: three examples in batches of two; the copy that fills the last batch does not count.

        >>> import jax.numpy as jnp
        >>> from jaxnets.data import ArraySource
        >>> source = ArraySource(
        ...     {"audio": np.float32([1, 2, 4]), "targets": np.float32([1, 2, 5])}
        ... )
        >>> def measure(outputs, batch):
        ...     errors, mask = abs(outputs - batch["targets"]), batch["example_mask"]
        ...     return {"error": (jnp.sum(mask * errors), mask.sum())}
        >>> task = Task(lambda batch: batch["audio"], loss=None, measure=measure)
        >>> def apply(variables, x, **options):
        ...     return variables["params"]["scale"] * x
        >>> parallel = DataParallel("jit", jax.devices()[:1])
        >>> evaluate = Evaluator(task, apply, source, parallel, batch_size=2)
        >>> variables = parallel.replicate({"params": {"scale": jnp.float32(2)}})
        >>> evaluate(variables)  # (1 + 2 + 3) / 3
        {'error': 2.0}
    """

    def __init__(
        self,
        task: Task,
        apply_fn: Callable,
        source: Source,
        parallel: DataParallel,
        *,
        batch_size: int = 256,
        process_index: int | None = None,
        process_count: int | None = None,
    ):
        devices = len(parallel.devices)
        if task.measure is None and task.collect is None:
            raise TaskError("the task measures nothing: it has neither measure nor collect")
        if (task.collect is None) != (task.score is None):
            has, lacks = ("score", "collect") if task.collect is None else ("collect", "score")
            raise TaskError(
                f"the task has {has} without {lacks}: what collect gathers, score is given"
            )
        if len(source):
            # Now, and not after the first epoch of training.
            example = source.take(np.zeros(1, np.int64))
            check_batch(example, "a batch of the source that is measured")
            require_numbers(example)
        self._batch_size = -(-min(batch_size, len(source)) // devices) * devices
        self._task, self._source, self._parallel = task, source, parallel
        self._process = {
            "process_index": jax.process_index() if process_index is None else process_index,
            "process_count": jax.process_count() if process_count is None else process_count,
        }
        self._step = parallel.parallelize(
            partial(eval_step, task=task, apply_fn=apply_fn), donate=False
        )

    def __call__(self, variables: Any) -> dict[str, Any]:
        """Measure.

        Args:
            variables: ``{"params", …}`` as `DataParallel.replicate` places them.

        Returns:
            What the task makes of its sums, and of what it collected.

        Raises:
            DataError: the source has no examples.
            TaskError: the task does not keep its contract.
        """
        sums: Sums = {}
        collected: list[Mapping[str, np.ndarray]] = []
        previous = None
        batches = eval_batches(self._source, self._batch_size, **self._process)
        for batch in prefetch_to_device(batches, self._parallel.shard):
            found = self._step(variables, batch)
            # One batch behind: the device works while the host waits for the one before.
            if previous is not None:
                sums = self._add(sums, collected, previous)
            previous = found
        sums = self._add(sums, collected, previous)
        results = self._task.summarize(sums) if sums else {}
        if self._task.score is not None:
            results |= self._task.score(_join(collected, len(self._source)))
        check_names(results, RECORD_FIELDS, "summary names a result")
        return results

    def _add(self, sums: Sums, collected: list, found: Any) -> Sums:
        new, rows = self._parallel.fetch(found)
        if rows:
            collected.append(rows)
        new = jax.tree.map(_widen, new)
        return jax.tree.map(np.add, sums, new) if sums else new


def _widen(array: np.ndarray) -> np.ndarray:
    """Sums over many batches must neither overflow nor lose digits."""
    return array.astype(np.int64 if np.issubdtype(array.dtype, np.integer) else np.float64)


def _join(parts: list[Mapping[str, np.ndarray]], count: int) -> dict[str, np.ndarray]:
    """All rows in the order of the source; those behind its end are padding."""
    if not parts:
        return {}
    return jax.tree.map(lambda *arrays: np.concatenate(arrays)[:count], *parts)
