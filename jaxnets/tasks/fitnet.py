"""FitNets: a thin deep student is first guided by a hint, then taught as a whole."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax.traverse_util import unflatten_dict

from jaxnets.data import Source
from jaxnets.errors import JaxnetsError
from jaxnets.losses.distillation import check_temperature
from jaxnets.models.taps import TAPS, Tapped
from jaxnets.ops.activations import identity
from jaxnets.optim import move_only
from jaxnets.tasks.distillation import (
    TeacherFunction,
    as_student,
    distillation,
    moved_parameters,
    student_network,
    student_variables,
)
from jaxnets.tasks.distillation_terms import Term, soft_targets
from jaxnets.tasks.teacher import teacher_says
from jaxnets.train import Fitted, RunOptions, fit
from jaxnets.train.checkpoint import Checkpoints
from jaxnets.train.task import Task


def hint_training(
    term: Term,
    *,
    teacher: TeacherFunction | None = None,
    preprocess: Callable[[jax.Array], jax.Array] = identity,
) -> Task:
    """The task of a FitNet's first stage: the hint alone, without labels.

    Args:
        term: of `jaxnets.tasks.distillation_terms.hint`.
        teacher: see `jaxnets.tasks.distillation`.
        preprocess: images as stored → images as the student wants them.

    Returns:
        A `jaxnets.train.Task` for a `student_network` with ``until``; evaluation measures the hint
        loss, on sources that the teacher speaks on.

    Source: Romero et al. 2015 (FitNets: Hints for Thin Deep Nets), §2.3, stage 1.

    >>> from jaxnets.tasks.distillation_terms import hint
    >>> hint_training(hint("stage2", "stage2")).mutable
    ('taps',)
    """

    def loss(outputs, updates, batch):
        del outputs
        value = term.loss(updates[TAPS]["values"], teacher_says(batch, teacher), batch)
        return value, {}

    return Task(
        inputs=lambda batch: preprocess(batch["image"]),
        loss=loss,
        mutable=(TAPS,),
    )


def guided_student(
    network: nn.Module,
    term: Term,
    example: Mapping[str, Any],
    rule: optax.GradientTransformation,
    *,
    teacher: TeacherFunction | None = None,
    preprocess: Callable[[jax.Array], jax.Array] = identity,
) -> tuple[Tapped, optax.GradientTransformation]:
    """A FitNet's first stage: the student up to its guided layer, and an optimizer for that part.

    Args:
        network: the student.
        term: of `jaxnets.tasks.distillation_terms.hint`.
        example: a batch as the run has them.
        rule: the optimizer.
        teacher, preprocess: as for `student_network`.

    Returns:
        (the network, the rule): parameters and running statistics behind the guided layer keep
        every bit, whatever the rule decays.

    Raises:
        UnknownNameError, TaskError: as `student_network`.

    >>> from jaxnets.models import create_model
    >>> from jaxnets.tasks.distillation_terms import hint
    >>> batch = {"image": jnp.zeros((1, 2, 2, 1)), "teacher/logits": jnp.zeros((1, 10)),
    ...     "teacher/fc": jnp.zeros((1, 7))}
    >>> net, rule = guided_student(
    ...     create_model("mlp", hidden=(3, 3)), hint("fc1", "fc"), batch, optax.adam(1e-3))
    >>> net.until
    'fc1'
    """
    (guided, _) = term.layers[0]
    options = {"teacher": teacher, "preprocess": preprocess}
    student = student_network(network, [term], example, until=guided, **options)
    image = jax.eval_shape(preprocess, jnp.asarray(example["image"][:1]))
    return student, move_only(rule, moved_parameters(student, image))


def train_fitnet(
    network: nn.Module,
    source: Source,
    *,
    term: Term,
    optimizer: Callable[[int], optax.GradientTransformation],
    num_classes: int,
    epochs: tuple[int, int],
    batch_size: int,
    workdir: str | Path,
    teacher: TeacherFunction | None = None,
    preprocess: Callable[[jax.Array], jax.Array] = identity,
    temperature: float = 3.0,
    anneal: tuple[float, float] = (4.0, 1.0),
    label_weight: float = 1.0,
    test: Source | None = None,
    variables: Mapping[str, Any] | None = None,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    options: RunOptions | None = None,
    **more: Any,
) -> Fitted:
    """Train a student in the two stages of FitNets; a stopped run goes on where it was.

    Stage 1 trains the layers up to the guided one, with a regressor, on the hint. Stage 2 begins
    from them and trains everything on ``label_weight`` · H(y, p) + λ H(p_T, p_S), the second of
    predictions softened by T, where λ falls linearly.

    Args:
        network: the student; ``create_model("fitnet1")`` is the paper's first.
        source: training examples.
        term: of `jaxnets.tasks.distillation_terms.hint`.
        optimizer: number of steps of a stage → Optax transformation.
        num_classes: K.
        epochs: of the two stages.
        batch_size: of a step.
        workdir: the runs are in its folders "stage1" and "stage2".
        teacher, preprocess: as for `jaxnets.tasks.distillation`.
        temperature: T of stage 2; the paper's is 3.
        anneal: first and last λ; the paper's are 4 and 1. It has no factor T², so that the weight
            of `soft_targets` is λ/T².
        label_weight: of the labels in stage 2.
        test: measured in stage 2.
        variables: where the student begins (default: random).
        seed: of both stages.
        settings, options: as for `jaxnets.train.fit`.
        **more: further arguments of `jaxnets.train.fit` for both stages, such as ``prepare``.

    Returns:
        What stage 2 came to; `student_variables` of its variables are the student's.

    Raises:
        UnknownNameError, TaskError: as `student_network`.

    Source: Romero et al. 2015, §2.3 and §3.

    >>> import tempfile
    >>> from jaxnets.data import ArraySource
    >>> from jaxnets.models import create_model
    >>> from jaxnets.optim import momentum
    >>> from jaxnets.tasks.distillation_terms import hint
    >>> said = {"teacher/logits": np.eye(4, 2, dtype="f4"), "teacher/fc": np.ones((4, 5), "f4")}
    >>> taught = {"image": np.ones((4, 2, 2, 1), "f4"), "label": np.arange(4) % 2, **said}
    >>> fitted = train_fitnet(
    ...     create_model("mlp", hidden=(3,), num_classes=2),
    ...     ArraySource(taught),
    ...     term=hint("fc1", "fc"),
    ...     optimizer=lambda steps: momentum(0.1),
    ...     num_classes=2,
    ...     epochs=(1, 1),
    ...     batch_size=4,
    ...     workdir=tempfile.mkdtemp(),
    ...     options=RunOptions(quiet=True, devices=1),
    ... )
    >>> fitted.summary["steps"]
    1
    """
    check_temperature(temperature)
    workdir, options = Path(workdir), options or RunOptions()
    example = source.take(np.arange(1))
    steps = [max(1, n * (len(source) // batch_size)) for n in epochs]
    given = {"teacher": teacher, "preprocess": preprocess}
    student, rule = guided_student(network, term, example, optimizer(steps[0]), **given)
    run = partial(fit, batch_size=batch_size, seed=seed, options=options, **more)
    first = run(
        student,
        source,
        task=hint_training(term, **given),
        optimizer=rule,
        epochs=epochs[0],
        variables=None if variables is None else as_student(student, variables),
        workdir=workdir / "stage1",
        settings={**(settings or {}), "stage": 1},
    )
    if first.interrupted:
        return first
    guided = first.variables or stored_variables(workdir / "stage1")
    weight = optax.linear_schedule(
        anneal[0] / temperature**2, anneal[1] / temperature**2, max(1, steps[1] - 1)
    )
    terms = [soft_targets(temperature=temperature, weight=weight)]
    student = student_network(network, terms, example, **given)
    return run(
        student,
        source,
        task=distillation(num_classes, terms, label_weight=label_weight, **given),
        optimizer=optimizer(steps[1]),
        epochs=epochs[1],
        test=test,
        workdir=workdir / "stage2",
        variables=as_student(student, student_variables(guided)),
        settings={**(settings or {}), "stage": 2, "temperature": temperature, "anneal": [*anneal]},
    )


def stored_variables(workdir: str | Path) -> dict[str, Any]:
    """The variables in the newest checkpoint of a run.

    Args:
        workdir: of `jaxnets.train.fit`.

    Returns:
        ``{"params": …, "batch_stats": …}``, NumPy arrays.

    Raises:
        JaxnetsError: there is no checkpoint.

    >>> stored_variables("/nowhere")
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: /nowhere has no checkpoint
    """
    found = None
    if (Path(workdir) / "checkpoints").is_dir():
        checkpoints = Checkpoints(Path(workdir) / "checkpoints")
        try:
            found = checkpoints.restore()
        finally:
            checkpoints.close()
    if found is None:
        raise JaxnetsError(f"{workdir} has no checkpoint")
    flat = {}
    for path, array in found.arrays.items():
        parts = path.split("/")
        if parts[0] == "params":
            flat[tuple(parts)] = array
        elif parts[0] == "model_state":
            flat[tuple(parts[1:])] = array
    return unflatten_dict(flat)
