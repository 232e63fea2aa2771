"""Several processes as one run: start, stop and speak with one voice."""

import contextlib
import os
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any, NoReturn

import jax
import numpy as np

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

    Example: the second of two; `join` connects it, and says so where an option is missing.

        >>> second = Processes(coordinator="10.0.0.1:1234", num_processes=2, process_id=1)
        >>> join(Processes(coordinator="10.0.0.1:1234"))
        Traceback (most recent call last):
        jaxnets.errors.JaxnetsError: --coordinator HOST:PORT, --num-processes N and --process-id I
        go together; given were 10.0.0.1:1234, None and None
    """

    distributed: bool = False
    coordinator: str | None = None
    num_processes: int | None = None
    process_id: int | None = None


# Whoever has not been heard of for so long is lost. JAX's own 100 s would keep the others of a
# run waiting for more than a minute.
_HEARTBEAT_SECONDS = 30
# Hosts of a pod start minutes apart.
_PATIENCE_SECONDS = 300
_NOTICE_SECONDS = 5


class LostProcessError(JaxnetsError):
    """Another process of this run has ended; what remains cannot go on without it."""


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
    if all(given):
        _check_numbers(processes)
        if processes.process_id > 0:
            _wait_for(processes.coordinator)
    try:
        jax.distributed.initialize(
            *(wanted if all(given) else ()),
            heartbeat_timeout_seconds=_HEARTBEAT_SECONDS,
            initialization_timeout=_PATIENCE_SECONDS,
        )
    except (RuntimeError, ValueError) as error:
        raise JaxnetsError(
            f"the processes of this run could not be connected: {error}\nGive --coordinator "
            "HOST:PORT, --num-processes N and --process-id I, the first two alike everywhere."
        ) from error


def _check_numbers(processes: Processes) -> None:
    if not 0 <= processes.process_id < processes.num_processes:
        raise JaxnetsError(
            f"--process-id {processes.process_id} of --num-processes {processes.num_processes}: "
            f"processes are numbered 0 … {processes.num_processes - 1}"
        )
    _, separator, port = processes.coordinator.rpartition(":")
    if not separator or not port.isdigit() or not 0 < int(port) < 65536:
        raise JaxnetsError(
            f"--coordinator {processes.coordinator}: expected HOST:PORT of process 0, such as "
            "10.0.0.1:1234"
        )


def _wait_for(coordinator: str) -> None:
    """Wait until process 0 listens, and say so: JAX itself would wait in silence, then abort."""
    host, _, port = coordinator.rpartition(":")
    start, said = time.monotonic(), False
    while True:
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=2).close()
            return
        except OSError as error:
            waited, reason = time.monotonic() - start, error.strerror or str(error)
        if waited > _PATIENCE_SECONDS:
            raise JaxnetsError(
                f"the coordinator {coordinator} could not be reached in {waited:.0f} s ({reason}). "
                "Start process 0 there, and see that its port is open to this machine."
            )
        if not said and waited > _NOTICE_SECONDS:
            said = True
            print(
                f"waiting for process 0 at {coordinator} ({reason}); giving up after "
                f"{_PATIENCE_SECONDS} s",
                file=sys.stderr,
                flush=True,
            )
        time.sleep(0.2)


@contextlib.contextmanager
def lost_processes_explained() -> Iterator[None]:
    """Turn the many errors that JAX has for a lost process into one sentence.

    Raises:
        LostProcessError: instead of an error of the connection to another process.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if jax.process_count() == 1 or not _LOST.search(str(error)):
            raise
        raise LostProcessError(
            f"process {jax.process_index()} lost the connection to another process of this run, "
            "which has ended or cannot be reached. Look for its message; then the same command on "
            "every host goes on from the last checkpoint."
        ) from error


_LOST = re.compile(
    "gloo|connect|socket|peer|heartbeat|coordinat|unavailable|deadline|nccl|barrier", re.IGNORECASE
)


def end_process(status: int) -> NoReturn:
    """End this process with a status; where others wait for it, without waiting for them.

    An orderly exit of a process of several waits for all others at a barrier, which those that
    are still training, or gone, do not reach.
    """
    if jax.distributed.is_initialized() and jax.process_count() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def is_main() -> bool:
    """Whether this process writes files and prints: process 0 does, the others are silent."""
    return jax.process_index() == 0


def from_main(value: Any) -> Any:
    """Process 0's value of a pytree of arrays, on every process."""
    if jax.process_count() == 1:
        return value
    from jax.experimental import multihost_utils

    return multihost_utils.broadcast_one_to_all(value)


def agree(decision: bool) -> bool:
    """Process 0's decision, on every process."""
    return bool(from_main(np.asarray(decision)))


class StopRequest:
    """Watches for signals, so that a loop can save and end.

    These are SIGTERM (a pod's pre-emption), Ctrl-C and SIGHUP (the terminal was closed; under
    ``nohup`` it stays ignored).

    The first signal is remembered, a second one of the same kind acts as usual. With several
    processes a signal to any of them stops all, at the same step.

    >>> with StopRequest() as stop:
    ...     before = stop.requested(10)
    ...     signal.raise_signal(signal.SIGINT)  # as Ctrl-C does
    ...     before, stop.requested(11), stop.signal == signal.SIGINT
    (False, True, True)
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            # With several processes JAX's own service watches SIGTERM and agrees on a step.
            several = jax.process_count() > 1
            watched = [signal.SIGINT] if several else [signal.SIGTERM, signal.SIGINT]
            if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
                watched.append(signal.SIGHUP)
            for number in watched:
                self._previous[number] = signal.signal(number, self._remember)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        signal.signal(number, self._previous[number])
        if jax.process_count() > 1:
            # What JAX's service hears, and tells the others.
            os.kill(os.getpid(), signal.SIGTERM)

    def requested(self, step: int) -> bool:
        """Whether to stop before ``step``."""
        if jax.process_count() > 1:
            from jax.experimental import multihost_utils

            if multihost_utils.reached_preemption_sync_point(step):
                self.signal = self.signal or signal.SIGTERM
                return True
            return False
        return self.signal is not None
