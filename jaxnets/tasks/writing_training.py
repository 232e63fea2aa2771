"""Training of any network that writes: the recipe that translation, speech and walks share."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import numpy as np
import optax

from jaxnets.data.buckets import SequencePairs
from jaxnets.ops.activations import identity
from jaxnets.tasks.small_training import workdir_of
from jaxnets.tasks.writing import READS, free_running, sequence_to_sequence
from jaxnets.train import EarlyStopping, RunOptions, fit
from jaxnets.train.run import Fitted
from jaxnets.train.task import Task


def train_writer(
    model: nn.Module,
    source: SequencePairs,
    held_out: SequencePairs,
    *,
    options: RunOptions,
    score: Callable[[Sequence[np.ndarray]], dict[str, float]],
    monitor: str,
    longest: int,
    reads: Mapping[str, str] = READS,
    epochs: int = 6,
    batch_size: int = 64,
    learning_rate: float = 2e-3,
    label_smoothing: float = 0.0,
    sampling: float = 0.0,
    adapt: Callable[[Task], Task] = identity,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    meta: Mapping[str, Any] | None = None,
    summarize: Callable[[Fitted], dict[str, Any]] | None = None,
) -> Fitted:
    """Train a network to write, and choose its parameters by what it writes freely.

    Adam, gradients of norm 1 at most; the rate grows for a tenth of the steps and falls to 0 by a
    cosine. Batches are of one bucket of lengths each.

    Args:
        model: the network, see `jaxnets.tasks.writing.free_running`.
        source: the training examples.
        held_out: the examples to choose by.
        options: how the run is carried out; its ``workdir`` holds the run, which the same call
            resumes.
        score: (what was written to each held-out example) → results, higher is better.
        monitor: which of them decides.
        longest: tokens that are written at most.
        reads: batch key → keyword of the network.
        epochs: passes over the examples.
        batch_size: examples an update.
        learning_rate: the greatest.
        label_smoothing: of the training loss.
        sampling: how often, at the end, a token that the network drew itself is fed in place of the
            true one; the share grows from 0 in proportion to the steps.
        adapt: changes the task, such as `jaxnets.tasks.captioning.with_attention_terms`.
        seed: of weights, order and dropout.
        settings: further JSON values that decide what is learned.
        meta: JSON values to keep with the parameters.
        summarize: see `jaxnets.train.fit`.

    Returns:
        `jaxnets.train.run.Fitted`.

    Raises:
        JaxnetsError: as `jaxnets.train.fit`.
        ValueError: no ``workdir``, or a ``sampling`` outside [0, 1].

    >>> train_writer(None, (), (), options=RunOptions(), score=None, monitor="", longest=1)
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: workdir: got none; a run needs a directory, --workdir DIRECTORY
    """
    workdir = workdir_of(options)
    steps = epochs * (len(source) // batch_size)
    if not 0 <= sampling <= 1:
        raise ValueError(f"sampling: got {sampling}; expected a share in [0, 1]")
    task = sequence_to_sequence(
        reads=reads,
        label_smoothing=label_smoothing,
        score=score,
        sampling=(lambda step: sampling * step / max(1, steps)) if sampling else None,
    )
    return fit(
        model,
        source,
        task=adapt(task),
        optimizer=warm_adam(learning_rate, steps),
        workdir=workdir,
        epochs=epochs,
        batch_size=batch_size,
        validation=held_out,
        early_stopping=EarlyStopping(max(1, epochs), mode="max"),
        monitor=monitor,
        order=source.order(batch_size),
        seed=seed,
        wrap_apply=lambda apply: free_running(apply, max_length=longest),
        settings={
            "learning_rate": learning_rate,
            "label_smoothing": label_smoothing,
            "longest": longest,
            "buckets": len(source.buckets),
            "sampling": sampling,
            **(settings or {}),
        },
        settings_before={"sampling": 0.0},
        meta=meta,
        summarize=summarize,
        title=f"{type(model).__name__}, {len(source.buckets)} buckets",
        options=options,
    )


def warm_adam(learning_rate: float, steps: int) -> optax.GradientTransformation:
    """Adam on gradients of norm 1 at most; the rate grows for a tenth of the steps, then falls.

    Args:
        learning_rate: the greatest.
        steps: updates in all.

    Returns:
        The transformation.

    >>> rule, params = warm_adam(0.1, 20), np.zeros(1, np.float32)
    >>> updates, _ = rule.update(params + 1, rule.init(params), params)  # the rate begins at 0
    >>> abs(updates).tolist()
    [0.0]
    """
    schedule = optax.warmup_cosine_decay_schedule(0.0, learning_rate, steps // 10, max(1, steps))
    return optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule))
