"""The course of one run: resume, train, evaluate, save, and say what it came to."""

import contextlib
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.data import Batches, prefetch_to_device
from jaxnets.errors import JaxnetsError, StoppedTogether
from jaxnets.train.arrays import named_leaves, restore_state, state_arrays, tree_sha256
from jaxnets.train.checkpoint import Checkpoints
from jaxnets.train.early_stopping import EarlyStoppingHook
from jaxnets.train.loop import LoopResult, NonFiniteLossError, Window, run_loop
from jaxnets.train.measure import hardware, peak_memory_bytes
from jaxnets.train.metrics_log import MetricsLog
from jaxnets.train.options import RunOptions, say
from jaxnets.train.parallel import DataParallel
from jaxnets.train.processes import (
    LostProcessError,
    StopRequest,
    agree,
    from_main,
    is_main,
)
from jaxnets.train.progress import Progress
from jaxnets.train.reopen import SELECTION, without_selection
from jaxnets.train.run_directory import run_id, to_json, write_json
from jaxnets.train.state import TrainState
from jaxnets.train.trackers import open_trackers


@dataclass(frozen=True)
class Fitted:
    """What a run came to.

    Attributes:
        summary: the contents of ``summary.json``; of an interrupted run
            ``{"interrupted_at": step}``.
        measured: the last evaluation, whole; empty where the run was finished before.
        variables: ``{"params": …}`` on the host; empty likewise.
        interrupted: the run was asked to stop, and can be resumed.
        finished_before: the run had ended already; nothing was trained.

    >>> fitted = Fitted({"interrupted_at": 120}, {"loss": 0.4}, {}, interrupted=True)
    >>> if fitted.interrupted:
    ...     print("to be resumed at step", fitted.summary["interrupted_at"])
    to be resumed at step 120
    """

    summary: dict[str, Any]
    measured: dict[str, Any]
    variables: dict[str, Any]
    interrupted: bool = False
    finished_before: bool = False


@dataclass
class Run:
    """The parts of a run that do not change while it goes on."""

    workdir: Path
    options: RunOptions
    parallel: DataParallel
    batches: Batches
    epochs: int
    meta: dict[str, Any]
    settings: dict[str, Any] = field(default_factory=dict)
    selection: EarlyStoppingHook | None = None

    def __call__(
        self, state, step_fn, evaluator, after_evaluation, summarize, final_evaluator=None
    ) -> Fitted:
        """Train from ``state`` to the end, or to where the run is stopped.

        With a ``selection`` (a validation split), ``evaluator`` measures what it goes by, and
        ``final_evaluator`` once, at the end, the parameters that it chose.
        """
        selection = self.selection
        options, parallel, batches = self.options, self.parallel, self.batches
        identity = run_id(self.workdir)
        checkpoints = Checkpoints(
            self.workdir / "checkpoints",
            keep=options.keep,
            run=identity,
            notify=lambda note: say(f"note: {note}"),
        )
        state, first_step, meta = _resume(state, checkpoints, selection)
        window = Window(meta.get("window"))
        last_step = self.epochs * batches.steps_per_epoch
        if first_step:
            options.say(f"going on from step {first_step} of {last_step} ({self.workdir})")
        latest: dict[str, Any] = {}

        def evaluate(state):
            latest.update(evaluator(state.variables))
            return _loggable(latest)

        def save(step, state):
            # Gathering a carry takes all processes; the rest is on each of them already.
            if is_main() or state.carry:
                arrays = state_arrays(state, parallel.fetch, parallel.gather)
            if is_main():
                if selection is not None and selection.observed:
                    arrays |= {SELECTION + k: v for k, v in selection.arrays().items()}
                meta = {"step": step, "next_batch": step, "window": window.to_json(), **self.meta}
                checkpoints.save(step, arrays, meta)

        with contextlib.ExitStack() as stack:
            stop = stack.enter_context(StopRequest())
            stack.callback(checkpoints.close)
            host_batches = stack.enter_context(batches.iterate(first_step, last_step))
            log = self._open_log(stack, first_step)
            progress = self._open_progress(stack, evaluator is not None, first_step, last_step)

            def record(measurement):
                log(measurement)
                if progress is not None:
                    progress.record(measurement)

            def observe(state, measured):
                if selection is not None:
                    state = selection.after_evaluation(state, measured)
                return state if after_evaluation is None else after_evaluation(state, measured)

            def stop_requested(step):
                return stop.requested(step) or (selection is not None and selection.fired)

            try:
                result = run_loop(
                    parallel.replicate(state),
                    step_fn,
                    prefetch_to_device(host_batches, parallel.shard),
                    first_step=first_step,
                    last_step=last_step,
                    examples_per_step=batches.batch_size,
                    record=record,
                    record_every=options.log_every,
                    evaluate=None if evaluator is None else evaluate,
                    evaluate_every=options.evaluate_every * batches.steps_per_epoch,
                    kind="test" if selection is None else "validation",
                    after_evaluation=observe,
                    save=save,
                    save_seconds=options.checkpoint_seconds,
                    agree=agree if state.carry else bool,
                    stop_requested=stop_requested,
                    progress=progress,
                    window=window,
                )
            except NonFiniteLossError as error:
                checkpoints.wait()
                raise JaxnetsError(_advice(error, checkpoints)) from error
            checkpoints.wait()
            if result.stopped and not (selection is not None and selection.fired):
                options.say(
                    f"\nstopped and saved at step {result.step}; the same command goes on from "
                    "there."
                )
                if stop.signal == signal.SIGINT:
                    raise StoppedTogether
                return Fitted({"interrupted_at": result.step}, latest, {}, interrupted=True)
            chosen = self._choose(result, latest, evaluator, final_evaluator, record)
        fitted = Fitted({}, latest, chosen)
        fitted.summary.update(self._summarize(result, fitted))
        if is_main():
            own = summarize(fitted) if summarize is not None else {}
            summary = {**own, **fitted.summary}
            # Last: its presence says that the run is finished.
            write_json(self.workdir / "summary.json", summary)
            fitted.summary.clear()
            fitted.summary.update(to_json(summary))
        # Nobody goes on, to a next phase that reads this one's files, before they are written.
        agree(True)
        return fitted

    def _choose(self, result, latest, evaluator, final_evaluator, record) -> dict[str, Any]:
        """The run's variables on the host, measured; ``latest`` becomes their evaluation."""
        selection, parallel = self.selection, self.parallel
        if selection is None:
            # The loop measured the final state; only a run resumed at its very end has not yet.
            if evaluator is not None and not latest:
                latest.update(evaluator(result.state.variables))
            return parallel.fetch(result.state.variables)
        if not selection.observed:  # epochs=0, or a metric that was never a number
            chosen = parallel.fetch(result.state.variables)
        else:
            chosen = jax.tree.map(np.asarray, selection.state.best)
            epoch = int(selection.state.best_step) / self.batches.steps_per_epoch
            stopped = ", stopped early" if result.stopped else ""
            self.options.say(
                f"best {selection.metric} on the validation split: "
                f"{float(selection.state.best_value):.4f} at epoch {epoch:g}{stopped}"
            )
        if final_evaluator is not None:
            latest.clear()
            latest.update(final_evaluator(parallel.replicate(chosen)))
            record({"step": result.step, "kind": "test", **_loggable(latest)})
        return chosen

    def _open_log(self, stack, first_step):
        if not is_main():
            return lambda record: None
        trackers = open_trackers(self.options.log, self.workdir, self.settings)
        log = MetricsLog(self.workdir, after_step=first_step, trackers=trackers)
        return stack.enter_context(log).write

    def _open_progress(self, stack, evaluates, first_step, last_step):
        if self.options.quiet or not is_main() or sys.stdout is None or first_step >= last_step:
            return None
        every = self.options.evaluate_every * self.batches.steps_per_epoch

        def evaluates_at(step):
            return evaluates and (step == last_step or bool(every and step % every == 0))

        progress = Progress(
            first_step=first_step,
            last_step=last_step,
            steps_per_epoch=self.batches.steps_per_epoch,
            examples_per_step=self.batches.batch_size,
            evaluates_at=evaluates_at,
        )
        progress.begin()
        return stack.enter_context(progress)

    def _summarize(self, result: LoopResult, fitted: Fitted) -> dict[str, Any]:
        return {
            "steps": result.step,
            "epochs": self.epochs,
            "params_sha256": tree_sha256(named_leaves(fitted.variables["params"])),
            "examples_per_second": round(result.examples_per_second, 1),
            "waiting_share": round(result.waiting_share, 5),
            "first_step_seconds": round(result.first_step_seconds, 3),
            "training_seconds": round(result.seconds + result.first_step_seconds, 3),
            "peak_memory_bytes": peak_memory_bytes(),
            "hardware": hardware(),
            "jax": jax.__version__,
        }


def _loggable(measured: dict[str, Any]) -> dict[str, Any]:
    """What a log takes: numbers, NumPy's among them."""
    numbers = {k: v for k, v in measured.items() if np.ndim(v) == 0}
    return {k: v for k, v in to_json(numbers).items() if isinstance(v, int | float)}


def _resume(
    state: TrainState, checkpoints: Checkpoints, selection: EarlyStoppingHook | None
) -> tuple[TrainState, int, dict]:
    """The state to begin with, its step, and what was saved with it (on process 0 alone).

    Process 0's state is what every process gets.
    """
    count = jax.process_count()
    # Each process made the carry of its own rows; a checkpoint has those of all.
    rows = {leaf.shape[0] for leaf in jax.tree.leaves(state.carry)}
    state = state.replace(carry=jax.tree.map(lambda x: jnp.concatenate([x] * count), state.carry))
    first_step, failed, meta = 0, None, {}
    if is_main():
        try:
            found = checkpoints.restore()
            if found is not None:
                arrays, chosen = without_selection(found.arrays)
                state = restore_state(state, arrays)
                if selection is not None and chosen:
                    selection.restore(chosen)
                # A damaged newer step was passed over; it must not shadow what comes now.
                checkpoints.remove_after(found.step)
                first_step, meta = found.step, found.meta
        except JaxnetsError as error:
            failed = error
    if agree(failed is not None):
        raise failed or LostProcessError("process 0 could not read its checkpoint; see its message")
    if count > 1:
        if selection is not None:
            selection.state = jax.tree.map(jnp.asarray, from_main(selection.state))
        key, impl = jax.random.key_data(state.key), jax.random.key_impl(state.key)
        tree = jax.tree.map(np.asarray, (state.replace(key=key), first_step))
        state, first_step = from_main(tree)
        state = state.replace(key=jax.random.wrap_key_data(np.asarray(state.key), impl=impl))
        first_step = int(first_step)
    if rows:
        (share,) = rows
        own = slice(jax.process_index() * share, (jax.process_index() + 1) * share)
        state = state.replace(carry=jax.tree.map(lambda x: np.asarray(x)[own], state.carry))
    return state, first_step, meta


def _advice(error: NonFiniteLossError, checkpoints: Checkpoints) -> str:
    helps = "A lower learning rate, gradients clipped to norm 1 or a longer warm-up usually helps"
    good = checkpoints.newest_whole()
    if good is None:
        return f"{error}. Nothing was saved yet. {helps}."
    return (
        f"{error}. The last good checkpoint: of step {good} in {checkpoints.directory}. {helps}; "
        "to go on from the checkpoint with it, accept the change of settings "
        "(accept_changes=True, --accept-changes)."
    )
