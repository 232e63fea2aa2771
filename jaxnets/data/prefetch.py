"""Keep the devices supplied: put batches on them before they are asked for."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Host = TypeVar("Host")
Device = TypeVar("Device")


def prefetch_to_device(
    iterator: Iterable[Host], put: Callable[[Host], Device], size: int = 2
) -> Iterator[Device]:
    """Yield ``put(batch)`` for every batch, in order, with ``size`` of them put ahead of use.

    ``jax.device_put`` and its relatives return at once and copy in the background, so a batch that
    was put two steps early is there when its step begins.

    Args:
        iterator: host batches.
        put: places one on the devices, such as ``lambda b: jax.device_put(b, sharding)``.
        size: how many lie ready beside the one in use, at least 1. Each takes device memory.

    Returns:
        An iterator over what ``put`` returned, in the iterator's order.

    Raises:
        ValueError: ``size`` is below 1.

    >>> list(prefetch_to_device(range(5), put=lambda x: 10 * x))
    [0, 10, 20, 30, 40]
    """
    if size < 1:
        raise ValueError(f"size is {size}; at least one batch must be put ahead of use")
    return _prefetch(iter(iterator), put, size)


def _prefetch(iterator: Iterator[Host], put: Callable[[Host], Device], size: int):
    ready: deque[Device] = deque()
    for batch in iterator:
        ready.append(put(batch))
        if len(ready) > size:
            yield ready.popleft()
    while ready:
        yield ready.popleft()
