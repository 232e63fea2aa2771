"""Exact evaluation of a classifier over a whole split, on all devices."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from jaxnets.data import Split, eval_batches, prefetch_to_device
from jaxnets.train.parallel import DataParallel
from jaxnets.train.step import eval_step, identity


class Evaluator:
    """Measures variables on one split; compiles once and is then called as often as wanted.

    Args:
        apply_fn: the network's ``apply``.
        split: images and labels.
        num_classes: K.
        parallel: where it runs.
        batch_size: over all devices; rounded up so that the devices can share it.
        preprocess: images as stored → images as the network wants them.
        process_index, process_count: which share of each batch this process reads.
    """

    def __init__(
        self,
        apply_fn: Callable,
        split: Split,
        num_classes: int,
        parallel: DataParallel,
        *,
        batch_size: int = 256,
        preprocess: Callable = identity,
        process_index: int = 0,
        process_count: int = 1,
    ):
        devices = len(parallel.devices)
        self._batch_size = -(-min(batch_size, split.num_examples) // devices) * devices
        self._split, self._parallel = split, parallel
        self._process = {"process_index": process_index, "process_count": process_count}
        self._step = parallel.parallelize(
            partial(eval_step, apply_fn=apply_fn, num_classes=num_classes, preprocess=preprocess),
            donate=False,
        )

    def __call__(self, variables: Any) -> dict[str, Any]:
        """Measure.

        Args:
            variables: ``{"params", …}`` as `DataParallel.replicate` places them.

        Returns:
            ``{"loss", "accuracy"}`` as floats and ``"confusion"``, int64 (K, K), rows = truth.
        """
        batches = eval_batches(self._split, self._batch_size, **self._process)
        count, loss, confusion = 0.0, 0.0, 0
        previous = None
        for batch in prefetch_to_device(batches, self._parallel.shard):
            sums = self._step(variables, batch)
            # One batch behind: the device works while the host waits for the one before.
            if previous is not None:
                count, loss, confusion = _add(self._parallel, previous, count, loss, confusion)
            previous = sums
        count, loss, confusion = _add(self._parallel, previous, count, loss, confusion)
        return {
            "loss": loss / count,
            "accuracy": float(np.trace(confusion)) / count,
            "confusion": confusion,
        }


def _add(parallel, sums, count, loss, confusion):
    sums = parallel.fetch(sums)
    return (
        count + float(sums["count"]),
        loss + float(sums["loss"]),
        confusion + sums["confusion"].astype(np.int64),
    )
