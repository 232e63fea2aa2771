"""The training loop: steps over batches, with measurements, evaluations and checkpoints."""

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from jaxnets.errors import JaxnetsError
from jaxnets.train.metrics_log import Record
from jaxnets.train.state import TrainState

# Metrics are looked at this many steps late, so that the host is never waited for; and no later,
# because a CPU backend that runs far ahead of its collectives aborts.
_LAG = 2


class Window:
    """Metrics since the last record: sums and their number, exact through a checkpoint.

    Args:
        state: as `to_json` gave it, of a run that goes on; None begins with nothing.

    >>> window = Window()
    >>> window.add({"loss": 3.0})
    >>> again = Window(window.to_json())
    >>> again.add({"loss": 2.0})
    >>> again.take(), again.take()
    ({'loss': 2.5}, {})
    """

    def __init__(self, state: Mapping[str, Any] | None = None):
        state = state or {}
        self._count, self._sums = int(state.get("count", 0)), dict(state.get("sums", {}))

    def add(self, values: Mapping[str, float]) -> None:
        """Add one step's metrics."""
        self._count += 1
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value

    def take(self) -> dict[str, float]:
        """The means, and begin anew."""
        means = {name: total / self._count for name, total in self._sums.items()}
        self._count, self._sums = 0, {}
        return means

    def to_json(self) -> dict[str, Any]:
        """What makes the same window again."""
        return {"count": self._count, "sums": dict(self._sums)}


@dataclass
class LoopResult:
    """What a loop leaves.

    Attributes:
        state: the state after the last step, still on the devices.
        step: the number of updates made since the run began.
        seconds: time in steps, without evaluations, checkpoints and the first (compiling) step.
        examples: examples trained on in that time.
        waited: seconds of it spent waiting for data.
        first_step_seconds: the first step's time, compilation included.
        stopped: the loop ended early, on request.

    >>> result = LoopResult(state=None, step=51, seconds=2.0, examples=1000, waited=0.1)
    >>> result.examples_per_second, result.waiting_share
    (500.0, 0.05)
    """

    state: TrainState
    step: int
    seconds: float = 0.0
    examples: int = 0
    waited: float = 0.0
    first_step_seconds: float = 0.0
    stopped: bool = False

    @property
    def examples_per_second(self) -> float:
        return self.examples / self.seconds if self.seconds else 0.0

    @property
    def waiting_share(self) -> float:
        """The share of the loop's time in which it waited for data."""
        return self.waited / self.seconds if self.seconds else 0.0


class NonFiniteLossError(JaxnetsError):
    """The loss, the gradient or the parameters became NaN or infinite; ``step`` says where."""

    def __init__(self, step: int, value: float, what: str = "the loss"):
        self.step = step
        super().__init__(f"{what} became {value} at step {step}")


# What shows that a run has diverged, the cause before its effect.
_MUST_BE_FINITE = {
    "gradient_norm": "the norm of the gradient",
    "parameter_norm": "the norm of the parameters",
    "loss": "the loss",
}


def run_loop(
    state: TrainState,
    step_fn: Callable[[TrainState, Any], tuple[TrainState, dict[str, jax.Array]]],
    batches: Iterator[Any],
    *,
    first_step: int,
    last_step: int,
    examples_per_step: int,
    record: Record = lambda record: None,
    record_every: int = 10,
    evaluate: Callable[[TrainState], dict[str, float]] | None = None,
    evaluate_every: int = 0,
    kind: str = "test",
    after_evaluation: Callable[[TrainState, dict[str, float]], TrainState] | None = None,
    save: Callable[[int, TrainState], None] | None = None,
    save_seconds: float = math.inf,
    agree: Callable[[bool], bool] = bool,
    stop_requested: Callable[[int], bool] = lambda step: False,
    progress: Any = None,
    window: Window | None = None,
) -> LoopResult:
    """Run the steps ``first_step … last_step − 1`` and return what came of them.

    Args:
        state: the state on the devices; it is given away to ``step_fn``.
        step_fn: a compiled step, as from `DataParallel.parallelize`.
        batches: batches on the devices, beginning with that of ``first_step``.
        first_step: updates made before, 0 in a new run.
        last_step: updates made at the end.
        examples_per_step: the global batch size, for examples per second.
        record: receives the mean metrics of every ``record_every`` steps and each evaluation.
        record_every: steps that become one record.
        evaluate: state → metrics, measured at the end and every ``evaluate_every`` steps.
        evaluate_every: steps between evaluations; 0: only at the end.
        kind: what records of evaluations are called.
        after_evaluation: (state, metrics) → state; where a schedule or a stopping rule reacts.
        save: called with (step, state) about every ``save_seconds`` seconds, when the loop is
            asked to stop, and at the end.
        save_seconds: seconds between saves; by default only at the end.
        agree: what is made of this process's wish to save; where all processes must save together,
            `jaxnets.train.processes.agree`, which is asked only where a record is made.
        stop_requested: asked before every step.
        progress: a `jaxnets.train.progress.Progress`, or None.
        window: the metrics since the last record, of a run that goes on; a ``save`` that keeps it
            makes the next record exact.

    Returns:
        The `LoopResult`: the last state, and what the steps cost.

    Raises:
        NonFiniteLossError: loss, gradient or parameters are NaN or infinite.

    Example: the loop looks into neither states nor batches; here both are numbers.

        >>> import jax.numpy as jnp
        >>> def step(state, batch):
        ...     return state / 2, {"loss": abs(state - batch)}
        >>> records = []
        >>> result = run_loop(
        ...     jnp.float32(8),
        ...     step,
        ...     iter([0.0, 0.0, 0.0]),
        ...     first_step=0,
        ...     last_step=3,
        ...     examples_per_step=1,
        ...     record=records.append,
        ...     record_every=2,
        ... )
        >>> float(result.state), [(record["step"], record["loss"]) for record in records]
        (1.0, [(2, 6.0), (3, 2.0)])
    """
    result = LoopResult(state, first_step)
    pending: deque[tuple[int, dict[str, jax.Array]]] = deque()
    window = Window() if window is None else window

    def look_at_oldest() -> None:
        step, metrics = pending.popleft()
        # On a device axis all entries are equal: they were averaged.
        values = {
            name: float(np.asarray(leaf.addressable_shards[0].data).reshape(-1)[0])
            for name, leaf in metrics.items()
        }
        for name, what in _MUST_BE_FINITE.items():
            if not math.isfinite(values.get(name, 0.0)):
                raise NonFiniteLossError(step, values[name], what)
        window.add(values)
        if progress is not None:
            progress.observe(step, values)
        if step % record_every == 0 or step == last_step:
            record({"step": step, "kind": "train", **window.take()})

    last_save = time.perf_counter()
    clock = time.perf_counter()
    while result.step < last_step:
        if stop_requested(result.step):
            result.stopped = True
            break
        waiting_since = time.perf_counter()
        batch = next(batches)
        waited = time.perf_counter() - waiting_since
        result.state, metrics = step_fn(result.state, batch)
        result.step += 1
        pending.append((result.step, metrics))
        if result.step == first_step + 1:
            jax.block_until_ready(metrics)
            result.first_step_seconds = time.perf_counter() - clock
            clock = time.perf_counter()
        else:
            result.examples += examples_per_step
            result.waited += waited
        if len(pending) > _LAG:
            look_at_oldest()
        if progress is not None:
            progress.update(examples_per_step)

        evaluating = evaluate is not None and (
            result.step == last_step or (evaluate_every and result.step % evaluate_every == 0)
        )
        # To agree takes a message to all processes: not in every step.
        saving = (
            save is not None
            and (agree is bool or result.step % record_every == 0)
            and agree(time.perf_counter() - last_save > save_seconds)
        )
        if evaluating or saving or result.step == last_step:
            while pending:
                look_at_oldest()
            result.seconds += time.perf_counter() - clock
            if evaluating:
                measured = evaluate(result.state)
                record({"step": result.step, "kind": kind, **measured})
                if after_evaluation is not None:
                    result.state = after_evaluation(result.state, measured)
            if saving and result.step < last_step:
                save(result.step, result.state)
                last_save = time.perf_counter()
            clock = time.perf_counter()
    if result.stopped:
        while pending:
            look_at_oldest()
        result.seconds += time.perf_counter() - clock
    if save is not None and result.step > first_step:
        save(result.step, result.state)
    return result
