"""A whole training run: directory, resuming, steps, evaluation, checkpoints, on all processes."""

import contextlib
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from jaxnets.data import Batches, Source, prefetch_to_device
from jaxnets.errors import JaxnetsError
from jaxnets.train.arrays import named_leaves, restore_state, state_arrays, tree_sha256
from jaxnets.train.checkpoint import Checkpoints
from jaxnets.train.evaluate import Evaluator
from jaxnets.train.loop import LoopResult, NonFiniteLossError, run_loop
from jaxnets.train.measure import hardware, peak_memory_bytes
from jaxnets.train.metrics_log import MetricsLog
from jaxnets.train.parallel import DataParallel, choose_devices
from jaxnets.train.processes import (
    LostProcessError,
    Processes,
    StopRequest,
    agree,
    from_main,
    is_main,
    join,
    lost_processes_explained,
)
from jaxnets.train.run_directory import RunDirectory, write_json
from jaxnets.train.state import TrainState, create_state
from jaxnets.train.step import Prepare, train_step
from jaxnets.train.task import Task


@dataclass(frozen=True)
class RunOptions(Processes):
    """How a run is carried out; none of these decides what is learned.

    Attributes:
        workdir: where the run lives.
        parallel: how the step meets the devices.
        devices: use this many devices (default: all).
        evaluate_every: evaluate on the test set every so many epochs, and at the end.
        log_every: write the training metrics' means every so many steps.
        checkpoint_seconds: save about this often, and at the end.
        keep: checkpoints to keep.
        tensorboard: also write TensorBoard event files.
        accept_changes: go on with an unfinished run under changed settings.
        restart: begin anew; the old run's directory is moved aside.
        quiet: no progress bar and no report on the terminal.
    """

    workdir: Path | None = None
    parallel: Literal["pmap", "jit"] = "pmap"
    devices: int | None = None
    evaluate_every: int = 1
    log_every: int = 10
    checkpoint_seconds: float = 30.0
    keep: int = 3
    tensorboard: bool = False
    accept_changes: bool = False
    restart: bool = False
    quiet: bool = False

    def say(self, *values: Any) -> None:
        """Print, on the main process, unless ``quiet``."""
        if is_main() and not self.quiet:
            print(*values)


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
    """

    summary: dict[str, Any]
    measured: dict[str, Any]
    variables: dict[str, Any]
    interrupted: bool = False
    finished_before: bool = False


def fit(
    model: nn.Module,
    source: Source,
    *,
    task: Task,
    optimizer: optax.GradientTransformation,
    epochs: int,
    batch_size: int,
    workdir: str | Path,
    test: Source | None = None,
    prepare: Prepare | None = None,
    microbatches: int = 1,
    seed: int = 0,
    variables: Mapping[str, Any] | None = None,
    after_evaluation: Callable[[TrainState, dict[str, Any]], TrainState] | None = None,
    settings: Mapping[str, Any] | None = None,
    meta: Mapping[str, Any] | None = None,
    summarize: Callable[[Fitted], dict[str, Any]] | None = None,
    title: str = "",
    options: RunOptions | None = None,
) -> Fitted:
    """Train a network on a source, and resume where an earlier call of the same run was stopped.

    Args:
        model: the network; see `create_state`.
        source: the training examples.
        task: what is trained for.
        optimizer: an Optax transformation.
        epochs: passes over the source.
        batch_size: examples per update, over all devices.
        workdir: the run's directory: ``config.json``, ``metrics.jsonl``, ``checkpoints/`` and, when
            it has ended, ``summary.json``.
        test: measured after every ``options.evaluate_every`` epochs and at the end.
        prepare: random changes of the training examples; see `train_step`.
        microbatches: see `train_step`.
        seed: of the initial parameters, the order of the examples and the steps' randomness.
        variables: where to begin; see `create_state`.
        after_evaluation: (state on the devices, what was measured) → state: for schedules and
            stopping rules.
        settings: JSON values that decide what is learned; a run with others is not resumed.
        meta: JSON values to keep in every checkpoint.
        summarize: called by the main process at the end; makes pictures and returns what the
            summary has first.
        title: one line to say before training.
        options: how the run is carried out.

    Returns:
        `Fitted`.

    Raises:
        JaxnetsError: whatever a user can mend: settings that differ from the run's, batches that
            the devices cannot share, a loss that is not finite, a directory that cannot be written.
        KeyboardInterrupt: after Ctrl-C, when the state is saved.
    """
    options = options or RunOptions()
    join(options)
    with lost_processes_explained(), contextlib.ExitStack() as stack:
        parallel = DataParallel(options.parallel, choose_devices(options.devices))
        parallel.check_batch_size(batch_size, microbatches)
        batches = Batches(
            source,
            batch_size,
            seed=seed,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
        )
        # The directory comes last, so that a mistake above leaves nothing behind.
        workdir = Path(workdir)
        finished = _open_directory(stack, workdir, dict(settings or {}), options)
        if finished is not None:
            return Fitted(finished, {}, {}, finished_before=True)
        key = jax.random.key(seed)
        state = create_state(model, optimizer, batches[0], key, task=task, variables=variables)
        run = _Run(workdir, options, parallel, batches, epochs, dict(meta or {}))
        step = partial(train_step, task=task, prepare=prepare, microbatches=microbatches)
        evaluator = None if test is None else Evaluator(task, state.apply_fn, test, parallel)
        if title:
            options.say(f"{title}: {len(source):,} examples, {epochs} epochs, {hardware()}")
        return run(
            state,
            parallel.parallelize(step, carried=bool(task.carried)),
            evaluator,
            after_evaluation,
            summarize,
        )


def _open_directory(
    stack: contextlib.ExitStack, path: Path, settings: dict[str, Any], options: RunOptions
) -> dict[str, Any] | None:
    """Open the run's directory, which process 0 alone owns; the others train along.

    Returns:
        on every process the summary of a run that has ended already, else None.
    """
    finished, failed = None, None
    if is_main():
        try:
            directory = stack.enter_context(
                RunDirectory(
                    path,
                    settings,
                    accept_changes=options.accept_changes,
                    restart=options.restart,
                )
            )
            finished = directory.summary
        except JaxnetsError as error:
            failed = error
    if agree(failed is not None):
        raise failed or LostProcessError("process 0 could not begin; see its message")
    if is_main():
        if directory.moved_to:
            options.say(f"the old run is in {directory.moved_to}")
        for change in directory.changes:
            options.say(f"changed: {change}")
    if not agree(finished is not None):
        return None
    return finished or {}


@dataclass
class _Run:
    """The parts of a run that do not change while it goes on."""

    workdir: Path
    options: RunOptions
    parallel: DataParallel
    batches: Batches
    epochs: int
    meta: dict[str, Any]

    def __call__(self, state, step_fn, evaluator, after_evaluation, summarize) -> Fitted:
        options, parallel, batches = self.options, self.parallel, self.batches
        checkpoints = Checkpoints(
            self.workdir / "checkpoints",
            keep=options.keep,
            notify=lambda note: print(f"note: {note}"),
        )
        state, first_step = _resume(state, checkpoints)
        last_step = self.epochs * batches.steps_per_epoch
        if first_step:
            options.say(f"going on from step {first_step} of {last_step} ({self.workdir})")
        latest: dict[str, Any] = {}

        def evaluate(state):
            latest.update(evaluator(state.variables))
            return {k: v for k, v in latest.items() if isinstance(v, int | float)}

        def save(step, state):
            # Gathering a carry takes all processes; the rest is on each of them already.
            if is_main() or state.carry:
                arrays = state_arrays(state, parallel.fetch, parallel.gather)
            if is_main():
                meta = {"step": step, "next_batch": step, **self.meta}
                checkpoints.save(step, arrays, meta)

        with contextlib.ExitStack() as stack:
            stop = stack.enter_context(StopRequest())
            stack.callback(checkpoints.close)
            host_batches = stack.enter_context(batches.iterate(first_step, last_step))
            try:
                result = run_loop(
                    parallel.replicate(state),
                    step_fn,
                    prefetch_to_device(host_batches, parallel.shard),
                    first_step=first_step,
                    last_step=last_step,
                    examples_per_step=batches.batch_size,
                    record=self._open_log(stack, first_step),
                    record_every=options.log_every,
                    evaluate=None if evaluator is None else evaluate,
                    evaluate_every=options.evaluate_every * batches.steps_per_epoch,
                    after_evaluation=after_evaluation,
                    save=save,
                    save_seconds=options.checkpoint_seconds,
                    agree=agree if state.carry else bool,
                    stop_requested=stop.requested,
                    progress=self._open_bar(stack, first_step, last_step),
                )
            except NonFiniteLossError as error:
                checkpoints.wait()
                raise JaxnetsError(_advice(error, checkpoints)) from error
            checkpoints.wait()
            if result.stopped:
                options.say(
                    f"\nstopped and saved at step {result.step}; the same command goes on from "
                    "there."
                )
                if stop.signal == signal.SIGINT:
                    raise KeyboardInterrupt
                return Fitted({"interrupted_at": result.step}, latest, {}, interrupted=True)
        # The loop measured the final state; only a run resumed at its very end has not yet.
        if evaluator is not None and not latest:
            latest.update(evaluator(result.state.variables))
        fitted = Fitted({}, latest, parallel.fetch(result.state.variables))
        fitted.summary.update(self._summarize(result, fitted))
        if is_main():
            own = summarize(fitted) if summarize is not None else {}
            summary = {**own, **fitted.summary}
            # Last: its presence says that the run is finished.
            write_json(self.workdir / "summary.json", summary)
            fitted.summary.clear()
            fitted.summary.update(summary)
        return fitted

    def _open_log(self, stack, first_step):
        if not is_main():
            return lambda record: None
        log = MetricsLog(self.workdir, after_step=first_step, tensorboard=self.options.tensorboard)
        return stack.enter_context(log).write

    def _open_bar(self, stack, first_step, last_step):
        if self.options.quiet or not is_main():
            return None
        from tqdm import tqdm

        return stack.enter_context(
            tqdm(
                total=last_step * self.batches.batch_size,
                initial=first_step * self.batches.batch_size,
                unit=" examples",
                unit_scale=True,
                dynamic_ncols=True,
                smoothing=0.1,
            )
        )

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


def _resume(state: TrainState, checkpoints: Checkpoints) -> tuple[TrainState, int]:
    """The state to begin with, and its step; process 0's is what every process gets."""
    count = jax.process_count()
    # Each process made the carry of its own rows; a checkpoint has those of all.
    rows = {leaf.shape[0] for leaf in jax.tree.leaves(state.carry)}
    state = state.replace(carry=jax.tree.map(lambda x: jnp.concatenate([x] * count), state.carry))
    first_step, failed = 0, None
    if is_main():
        try:
            found = checkpoints.restore()
            if found is not None:
                state = restore_state(state, found.arrays)
                # A damaged newer step was passed over; it must not shadow what comes now.
                checkpoints.remove_after(found.step)
                first_step = found.step
        except JaxnetsError as error:
            failed = error
    if agree(failed is not None):
        raise failed or LostProcessError("process 0 could not read its checkpoint; see its message")
    if count > 1:
        key, impl = jax.random.key_data(state.key), jax.random.key_impl(state.key)
        tree = jax.tree.map(np.asarray, (state.replace(key=key), first_step))
        state, first_step = from_main(tree)
        state = state.replace(key=jax.random.wrap_key_data(np.asarray(state.key), impl=impl))
        first_step = int(first_step)
    if rows:
        (share,) = rows
        own = slice(jax.process_index() * share, (jax.process_index() + 1) * share)
        state = state.replace(carry=jax.tree.map(lambda x: np.asarray(x)[own], state.carry))
    return state, first_step


def _advice(error: NonFiniteLossError, checkpoints: Checkpoints) -> str:
    good = checkpoints.steps()
    where = f"of step {good[-1]} in {checkpoints.directory}" if good else "none yet"
    return (
        f"{error}. The last good checkpoint: {where}. A lower --learning-rate, --clip-norm 1 or a "
        "longer --warmup-epochs usually helps; to go on from the checkpoint with it, add "
        "--accept-changes."
    )
