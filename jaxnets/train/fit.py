"""Train a network on a source by one call, with everything that the commands do."""

import contextlib
import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from flax import linen as nn

from jaxnets.data import Batches, Dataset, Source
from jaxnets.errors import JaxnetsError
from jaxnets.train.curves import save_curves
from jaxnets.train.early_stopping import EarlyStopping, EarlyStoppingHook
from jaxnets.train.evaluate import Evaluator
from jaxnets.train.measure import hardware
from jaxnets.train.metrics_log import read_metrics
from jaxnets.train.options import RunOptions
from jaxnets.train.parallel import DataParallel, choose_devices
from jaxnets.train.processes import (
    LostProcessError,
    agree,
    is_main,
    join,
    lost_processes_explained,
)
from jaxnets.train.run import Fitted, Run
from jaxnets.train.run_directory import RunDirectory, local_path, to_json
from jaxnets.train.state import TrainState, create_state
from jaxnets.train.step import Prepare, train_step
from jaxnets.train.task import Task


def fit(
    model: nn.Module,
    source: Source | Dataset,
    *,
    task: Task,
    optimizer: optax.GradientTransformation,
    workdir: str | Path,
    epochs: int = 10,
    batch_size: int | None = None,
    validation: Source | None = None,
    test: Source | None = None,
    early_stopping: EarlyStopping | int | None = None,
    monitor: str = "loss",
    order: Callable[[int, int], np.ndarray] | None = None,
    prepare: Prepare | None = None,
    microbatches: int = 1,
    seed: int = 0,
    variables: Mapping[str, Any] | None = None,
    wrap_apply: Callable[[Callable], Callable] | None = None,
    after_evaluation: Callable[[TrainState, dict[str, Any]], TrainState] | None = None,
    settings: Mapping[str, Any] | None = None,
    settings_before: Mapping[str, Any] | None = None,
    meta: Mapping[str, Any] | None = None,
    summarize: Callable[[Fitted], dict[str, Any]] | None = None,
    title: str = "",
    options: RunOptions | None = None,
) -> Fitted:
    """Train a network on a source, and resume where an earlier call of the same run was stopped.

    Args:
        model: the network; see `create_state`.
        source: the training examples; of a `jaxnets.data.Dataset` its splits are taken.
        task: what is trained for.
        optimizer: an Optax transformation.
        workdir: the run's directory: ``config.json``, ``metrics.jsonl``, ``checkpoints/`` and, when
            it has ended, ``summary.json`` and ``curves.png``.
        epochs: passes over the source.
        batch_size: examples per update, over all devices (default: 64, or as many as the source
            has, if these are fewer).
        validation: examples to choose by, measured after every ``options.evaluate_every`` epochs:
            the run's result are the parameters with the best ``monitor`` there.
        test: with ``validation`` measured once, at the end; without, in its place.
        early_stopping: stop after so many evaluations without improvement on ``validation``, or by
            an `EarlyStopping` rule, which also says whether lower or higher is better.
        monitor: which of the evaluation's numbers counts; lower is better, unless the rule says
            otherwise.
        order: (seed, epoch) → the order of the examples in place of a random one; see
            `jaxnets.data.Batches`.
        prepare: random changes of the training examples; see `train_step`.
        microbatches: see `train_step`.
        seed: of the initial parameters, the order of the examples and the steps' randomness.
        variables: where to begin; see `create_state`.
        wrap_apply: the network's ``apply`` → the one that is trained and evaluated, for example
            with frozen layers (`jaxnets.transfer.frozen_apply`).
        after_evaluation: (state on the devices, the numbers that were measured) → state: for
            schedules and stopping rules.
        settings: further JSON values that decide what is learned; a run with others, or with
            another number of epochs, batch size, microbatches or seed, is not resumed.
        settings_before: what settings stood for before they existed, for runs that lack them.
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

    Example: a line through four points; called once more, the run is finished already.

        >>> import tempfile
        >>> import jax.numpy as jnp, numpy as np
        >>> from jaxnets.data import ArraySource
        >>> x = np.float32([[0], [1], [2], [3]])
        >>> source = ArraySource({"audio": x, "targets": 2 * x + 1})
        >>> def loss(outputs, updates, batch):
        ...     return jnp.mean((outputs - batch["targets"]) ** 2), {}
        >>> run = partial(
        ...     fit,
        ...     nn.Dense(1),
        ...     source,
        ...     task=Task(lambda batch: batch["audio"], loss),
        ...     optimizer=optax.adam(0.1),
        ...     epochs=100,
        ...     batch_size=4,
        ...     workdir=tempfile.mkdtemp(),
        ...     options=RunOptions(devices=1, quiet=True),
        ... )
        >>> fitted = run()
        >>> slope, bias = fitted.variables["params"]["kernel"], fitted.variables["params"]["bias"]
        >>> round(slope.item()), round(bias.item()), fitted.summary["steps"]
        (2, 1, 100)
        >>> run().finished_before
        True
    """
    options = options or RunOptions()
    options.check()
    if not math.isfinite(epochs) or epochs != int(epochs) or epochs < 0:
        raise JaxnetsError(f"epochs must be a whole number, 0 or more, got {epochs}")
    if seed != int(seed) or not 0 <= seed < 2**63:
        raise JaxnetsError(f"seed must be a whole number from 0 to 2**63 - 1, got {seed}")
    settings = {
        "epochs": epochs,
        "batch_size": batch_size,
        "microbatches": microbatches,
        "seed": seed,
        **(settings or {}),
    }
    if isinstance(source, Dataset):
        meta = {"dataset": source.describe(), **(meta or {})}
        validation = source.validation if validation is None else validation
        test = source.test if test is None else test
        source = source.train
    if early_stopping is not None and validation is None:
        raise JaxnetsError(
            "early stopping needs examples that are neither trained nor tested on: give a "
            "validation split (--validation 0.1)"
        )
    join(options)
    with lost_processes_explained(), contextlib.ExitStack() as stack:
        parallel = DataParallel(options.parallel, choose_devices(options.devices))
        if batch_size is None:
            unit = len(parallel.devices) * microbatches
            batch_size = settings["batch_size"] = max(1, min(64, len(source)) // unit) * unit
        parallel.check_batch_size(batch_size, microbatches)
        batches = Batches(
            source,
            batch_size,
            seed=seed,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
            order=order,
        )
        if epochs * batches.steps_per_epoch >= 2**31:
            raise JaxnetsError(
                f"{epochs} epochs of {batches.steps_per_epoch:,} steps are more than the "
                f"{2**31 - 1:,} updates that a run can count; take fewer epochs"
            )
        # The directory comes last, so that a mistake above leaves nothing behind.
        workdir = local_path(workdir)
        finished = _open_directory(stack, workdir, settings, settings_before, options)
        if finished is not None:
            return Fitted(finished, {}, {}, finished_before=True)
        key = jax.random.key(seed)
        state = create_state(model, optimizer, batches[0], key, task=task, variables=variables)
        if wrap_apply is not None:
            state = state.replace(apply_fn=wrap_apply(state.apply_fn))
        selection = None
        if validation is not None:
            selection = _selection(early_stopping, monitor, state, parallel)
        meta = to_json({"task": dict(task.meta), **(meta or {})})
        run = Run(workdir, options, parallel, batches, epochs, meta, to_json(settings), selection)
        step = partial(train_step, task=task, prepare=prepare, microbatches=microbatches)
        evaluate = partial(Evaluator, task, state.apply_fn, parallel=parallel)
        evaluators = [None if part is None else evaluate(part) for part in (validation, test)]
        if validation is None:
            evaluators = [evaluators[1], None]
        if title:
            options.say(f"{title}: {len(source):,} examples, {epochs} epochs, {hardware()}")
        return run(
            state,
            parallel.parallelize(step, carried=bool(task.carried)),
            evaluators[0],
            after_evaluation,
            summarize or partial(_draw_curves, workdir, batches.steps_per_epoch),
            evaluators[1],
        )


def _selection(
    rule: EarlyStopping | int | None, monitor: str, state: TrainState, parallel: DataParallel
) -> EarlyStoppingHook:
    if not isinstance(rule, EarlyStopping):
        # Without a rule the run never stops early; the best parameters are kept all the same.
        rule = EarlyStopping(2**31 - 1 if rule is None else rule)
    return EarlyStoppingHook(rule, state.variables, metric=monitor, fetch=parallel.fetch)


def _draw_curves(workdir: Path, epoch_steps: int, fitted: Fitted) -> dict[str, Any]:
    records = read_metrics(workdir)
    if records:
        save_curves(records, workdir / "curves.png", epoch_steps=epoch_steps)
    return {name: value for name, value in fitted.measured.items() if np.ndim(value) == 0}


def _open_directory(
    stack: contextlib.ExitStack,
    path: Path,
    settings: dict[str, Any],
    settings_before: Mapping[str, Any] | None,
    options: RunOptions,
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
                    defaults=settings_before,
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
