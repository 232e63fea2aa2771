"""Training in generations: each student teaches the next, the first teacher is a tolerant one."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import optax

from jaxnets.data import Source
from jaxnets.losses import cross_entropy, tolerant_cross_entropy
from jaxnets.ops.activations import identity
from jaxnets.tasks.classification import classification
from jaxnets.tasks.distillation import distillation
from jaxnets.tasks.distillation_terms import soft_targets
from jaxnets.tasks.fitnet import stored_variables
from jaxnets.tasks.teacher import CachedTeacher, Teacher
from jaxnets.train import Fitted, RunOptions, fit
from jaxnets.train.task import Task, TaskError


def tolerant_classification(
    num_classes: int,
    *,
    eta: float = 0.6,
    top: int = 5,
    preprocess: Callable[[jax.Array], jax.Array] = identity,
) -> Task:
    """The task of a tolerant teacher: classify, but leave confidence to the next classes.

    Args:
        num_classes: the number of classes.
        eta: η, see `jaxnets.losses.tolerant_cross_entropy`.
        top: K, likewise.
        preprocess: images as stored → images as the network wants them.

    Returns:
        A `jaxnets.train.Task` as `classification` makes it.

    Raises:
        TaskError: η or K out of range.

    Source: Yang, Xie, Qiao, Yuille 2019.

    >>> tolerant_classification(3, top=5)
    Traceback (most recent call last):
    jaxnets.train.task.TaskError: top: got 5; expected 2 to 3, the number of classes
    """
    if not 2 <= top <= num_classes:
        raise TaskError(f"top: got {top}; expected 2 to {num_classes}, the number of classes")
    if not 0 <= eta <= 1:
        raise TaskError(f"eta: got {eta}; expected a number in [0, 1]")
    loss = partial(tolerant_cross_entropy, eta=eta, top=top)
    return classification(num_classes, loss=loss, preprocess=preprocess)


def train_generations(
    network: nn.Module,
    source: Source,
    *,
    num_classes: int,
    generations: int,
    optimizer: optax.GradientTransformation,
    workdir: str | Path,
    eta: float = 0.6,
    top: int = 5,
    label_weight: float = 0.6,
    preprocess: Callable[[jax.Array], jax.Array] = identity,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    options: RunOptions | None = None,
    **more: Any,
) -> list[Fitted]:
    """Train a tolerant teacher, then students of the same network that each teach the next.

    Generation 0 minimizes η H(y, f) + (1 − η) gap; generation m, from a fresh start,
    λ H(y, f) + (1 − λ) KL(f_{m−1} ‖ f).

    Args:
        network: the network of all generations.
        source: training examples.
        num_classes: the number of classes.
        generations: how many follow the first teacher; 0 trains it alone.
        optimizer: of every generation.
        workdir: the runs are in its folders "generation0", "generation1", ….
        eta, top: of the first teacher; η = 1 is a strict one, as of born-again networks.
        label_weight: λ in [0, 1].
        preprocess: images as stored → images as the network wants them.
        seed: of generation 0; each of the next has one more.
        settings, options: as for `jaxnets.train.fit`.
        **more: further arguments of `jaxnets.train.fit`: ``epochs``, ``batch_size``, ``test``, ….
            A teacher speaks of the images as they are stored, whatever ``prepare`` does.

    Returns:
        What each generation came to, the teacher first; a run that was asked to stop is the last
        entry.

    Raises:
        TaskError: options out of range.

    Source: Yang, Xie, Qiao, Yuille 2019 (Training Deep Neural Networks in Generations); η = 1 and
    λ = 0 are the born-again networks of Furlanello et al. 2018. η, λ and K are options: the
    defaults η = λ = 0.6 are this package's choice.

    >>> import tempfile
    >>> import numpy as np
    >>> from jaxnets.data import Split
    >>> from jaxnets.models import create_model
    >>> from jaxnets.optim import momentum
    >>> found = train_generations(
    ...     create_model("mlp", hidden=(), num_classes=3),
    ...     Split(np.ones((4, 2, 2, 1), np.float32), np.arange(4) % 3),
    ...     num_classes=3,
    ...     generations=1,
    ...     optimizer=momentum(0.1),
    ...     top=3,
    ...     epochs=1,
    ...     batch_size=4,
    ...     workdir=tempfile.mkdtemp(),
    ...     options=RunOptions(quiet=True, devices=1),
    ... )
    >>> len(found)
    2
    """
    if generations < 0:
        raise TaskError(f"generations: got {generations}; expected at least 0")
    if not 0 <= label_weight <= 1:
        raise TaskError(f"label_weight: got {label_weight}; expected a number in [0, 1]")
    workdir, options = Path(workdir), options or RunOptions()
    run = partial(fit, network, optimizer=optimizer, options=options, **more)
    first = {**(settings or {}), "generation": 0, "eta": eta}
    if eta == 1:
        task = classification(num_classes, loss=cross_entropy, preprocess=preprocess)
    else:
        task = tolerant_classification(num_classes, eta=eta, top=top, preprocess=preprocess)
        first["top"] = top
    folder = workdir / "generation0"
    found = [run(source, task=task, workdir=folder, seed=seed, settings=first)]
    terms = [soft_targets(temperature=1.0, weight=1.0 - label_weight)]
    student = distillation(num_classes, terms, label_weight=label_weight, preprocess=preprocess)
    for generation in range(1, generations + 1):
        if found[-1].interrupted:
            break
        variables = found[-1].variables or stored_variables(folder)
        teacher = Teacher(network, variables, preprocess)
        folder = workdir / f"generation{generation}"
        now = {**(settings or {}), "generation": generation, "eta": eta, "lambda": label_weight}
        found.append(
            run(
                CachedTeacher(source, teacher),
                task=student,
                workdir=folder,
                seed=seed + generation,
                settings=now,
            )
        )
    return found
