"""How a run is carried out, as options of every command that trains."""

import contextlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from jaxnets.errors import JaxnetsError
from jaxnets.train.processes import Processes, is_main


@dataclass(frozen=True)
class RunOptions(Processes):
    """How a run is carried out; none of these decides what is learned.

    Attributes:
        distributed, coordinator, num_processes, process_id: see `Processes`.
        workdir: where the run lives.
        parallel: how the step meets the devices.
        devices: use this many devices (default: all).
        evaluate_every: evaluate on the test set every so many epochs, and at the end; 0: only then.
        log_every: write the training metrics' means every so many steps.
        checkpoint_seconds: save about this often, and at the end.
        keep: checkpoints to keep.
        log: where metrics go besides metrics.jsonl: tensorboard, wandb, mlflow.
        accept_changes: go on with an unfinished run under changed settings.
        restart: begin anew; the old run's directory is moved aside.
        quiet: no progress and no report on the terminal.

    >>> options = RunOptions(workdir=Path("runs/mine"), evaluate_every=5, quiet=True)
    >>> options.check()
    >>> RunOptions(log_every=0).check()
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: --log-every must be at least 1, got 0
    """

    workdir: Path | None = None
    parallel: Literal["pmap", "jit"] = "pmap"
    devices: int | None = None
    evaluate_every: int = 1
    log_every: int = 10
    checkpoint_seconds: float = 30.0
    keep: int = 3
    log: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = ()
    accept_changes: bool = False
    restart: bool = False
    quiet: bool = False

    def check(self) -> None:
        """Raise a `JaxnetsError` for values that no run can have."""
        for name in ("log_every", "keep"):
            if getattr(self, name) < 1:
                option = f"--{name.replace('_', '-')}"
                raise JaxnetsError(f"{option} must be at least 1, got {getattr(self, name)}")
        if math.isnan(self.checkpoint_seconds) or self.checkpoint_seconds < 0:
            raise JaxnetsError(
                f"--checkpoint-seconds must be 0 or more, got {self.checkpoint_seconds}"
            )
        if self.evaluate_every < 0:
            raise JaxnetsError(
                f"--evaluate-every must be at least 1, or 0 for the end alone, got "
                f"{self.evaluate_every}"
            )

    def say(self, *values: Any) -> None:
        """Print, on the main process, unless ``quiet``."""
        if is_main() and not self.quiet:
            say(*values)


def say(*values: Any) -> None:
    """Print; a terminal or a pipe that is gone is no reason to end a run."""
    with contextlib.suppress(OSError, ValueError):
        print(*values, flush=True)
