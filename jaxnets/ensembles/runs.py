"""Members for an ensemble: out of a training loop, or out of finished runs on disk."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxnets.ensembles.predict import Ensemble
from jaxnets.errors import JaxnetsError
from jaxnets.tasks.classifier import Classifier, load_classifier
from jaxnets.train.checkpoint import Checkpoints
from jaxnets.train.state import TrainState


def train_and_keep(
    state: TrainState,
    step_fn: Callable[[TrainState, Any], tuple[TrainState, dict[str, jax.Array]]],
    batches: Iterator[Any],
    keep_after: Sequence[int],
) -> tuple[TrainState, list[dict[str, Any]]]:
    """Train up to the last of ``keep_after``, and keep the variables after each of these steps.

    With a rate from `optim.schedules.snapshot_cosine` and ``keep_after=snapshot_steps(…)`` this is
    a snapshot ensemble (Huang et al., 2017); with the last steps of any run a checkpoint ensemble.

    Args:
        state: where to begin.
        step_fn: (state, batch) → (state, metrics), compiled.
        batches: as many as the last number says.
        keep_after: numbers of steps from here, increasing.

    Returns:
        (the last state, the kept variables on the host, one for each number).

    Raises:
        ValueError: no steps, or steps that do not increase.
    """
    steps = list(keep_after)
    if not steps or steps[0] < 1 or any(a >= b for a, b in itertools.pairwise(steps)):
        raise ValueError(f"keep_after must be numbers of steps ≥ 1 that increase, got {keep_after}")
    kept = []
    for number in range(1, steps[-1] + 1):
        state, metrics = step_fn(state, next(batches))
        if number in steps:
            # A copy: the step may take its state's memory for the next one.
            kept.append(jax.tree.map(lambda x: np.array(x, copy=True), state.variables))
        elif number % 2 == 0:
            # A CPU that runs far ahead of its work holds the memory of every step.
            jax.block_until_ready(metrics)
    return state, kept


def load_ensemble(
    workdirs: Sequence[str | Path], *, last: int = 1, notify: Callable[[str], None] = print
) -> tuple[Ensemble, list[str]]:
    """The ensemble of several runs, of a run's last checkpoints, or of both.

    Args:
        workdirs: directories of finished runs of `experiments.train_classifier`; their networks
            may differ, their classes and image sizes may not.
        last: this many of every run's newest checkpoints.
        notify: called with a sentence about a damaged checkpoint that is passed over.

    Returns:
        (the ensemble: stored images uint8 (N, H, W, C) → probabilities (N, K), the members' names).

    Raises:
        ValueError: ``last`` below 1.
        JaxnetsError: no directories, no run there, fewer checkpoints than asked for, or runs on
            different classes or images.
    """
    if last < 1:
        raise ValueError(f"last must be at least 1, got {last}")
    if not workdirs:
        raise JaxnetsError("an ensemble needs at least one run, got none")
    members: list[Classifier] = []
    names: list[str] = []
    for workdir in map(Path, workdirs):
        steps: Sequence[int | None] = (None,)
        if last > 1:
            steps = Checkpoints(workdir / "checkpoints").steps()[-last:]
            if len(steps) < last:
                raise JaxnetsError(
                    f"{workdir} has {len(steps)} checkpoint(s), {last} were asked for; train with "
                    f"--keep {last} or more"
                )
        for step in steps:
            classifier, found = load_classifier(workdir, step=step, notify=notify)
            _require_same_task(workdir, classifier, workdirs[0], members)
            members.append(classifier)
            names.append(f"{workdir} step {found}")
    ensemble = Ensemble(
        [m.network for m in members],
        [m.variables for m in members],
        [m.info.preprocess for m in members],
    )
    return ensemble, names


def _require_same_task(workdir, classifier, first, members) -> None:
    if not members:
        return
    ours, theirs = classifier.info, members[0].info
    if ours.class_names != theirs.class_names or ours.image_shape != theirs.image_shape:
        raise JaxnetsError(
            f"{workdir} does not go with {first}: {ours.num_classes} classes of {ours.dataset}, "
            f"images {ours.image_shape}, beside {theirs.num_classes} classes of {theirs.dataset}, "
            f"images {theirs.image_shape}"
        )
