"""Several processes as one run: start, stop and speak with one voice."""

import signal
import threading
from dataclasses import dataclass
from types import FrameType
from typing import Any

import jax

from jaxnets.errors import JaxnetsError


@dataclass(frozen=True)
class Processes:
    """How this process joins the others of its run.

    Attributes:
        distributed: join through `jax.distributed.initialize`, finding the others by itself as it
            can on Cloud TPU pods, Slurm and Open MPI.
        coordinator: HOST:PORT of process 0, where nothing can be found automatically.
        num_processes: how many processes the run has (with ``coordinator``).
        process_id: which of them this one is, from 0 (with ``coordinator``).
    """

    distributed: bool = False
    coordinator: str | None = None
    num_processes: int | None = None
    process_id: int | None = None


def join(processes: Processes) -> None:
    """Connect this process to its run; does nothing for a run of one process, or a second time.

    Raises:
        JaxnetsError: the options are incomplete or the coordinator cannot be reached.
    """
    wanted = (processes.coordinator, processes.num_processes, processes.process_id)
    given = [value is not None for value in wanted]
    if any(given) and not all(given):
        raise JaxnetsError(
            "--coordinator HOST:PORT, --num-processes N and --process-id I go together; "
            "given were {}, {} and {}".format(*wanted)
        )
    if not (processes.distributed or all(given)) or jax.distributed.is_initialized():
        return
    try:
        if all(given):
            jax.distributed.initialize(*wanted)
        else:
            jax.distributed.initialize()
    except (RuntimeError, ValueError) as error:
        raise JaxnetsError(
            f"the processes of this run could not be connected: {error}\nGive --coordinator "
            "HOST:PORT, --num-processes N and --process-id I, the first two alike everywhere."
        ) from error


def is_main() -> bool:
    """Whether this process writes files and prints: process 0 does, the others are silent."""
    return jax.process_index() == 0


def from_main(value: Any) -> Any:
    """Process 0's value of a pytree of arrays, on every process."""
    if jax.process_count() == 1:
        return value
    from jax.experimental import multihost_utils

    return multihost_utils.broadcast_one_to_all(value)


class StopRequest:
    """Watches for SIGTERM (a pod's pre-emption) and Ctrl-C, so that a loop can save and end.

    The first signal is remembered, a second one of the same kind acts as usual. With several
    processes all of them stop at the same step.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            # With several processes JAX's own service watches SIGTERM and agrees on a step.
            several = jax.process_count() > 1
            for number in (signal.SIGINT,) if several else (signal.SIGTERM, signal.SIGINT):
                self._previous[number] = signal.signal(number, self._remember)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        signal.signal(number, self._previous[number])

    def requested(self, step: int) -> bool:
        """Whether to stop before ``step``."""
        if jax.process_count() > 1:
            from jax.experimental import multihost_utils

            if multihost_utils.reached_preemption_sync_point(step):
                self.signal = signal.SIGTERM
                return True
            return False
        return self.signal is not None
