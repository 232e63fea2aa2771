"""Distillation: classification in which a student also learns from a teacher."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.errors import UnknownNameError
from jaxnets.losses import cross_entropy
from jaxnets.models.taps import CALLS, TAPS, Tapped, tap_shapes
from jaxnets.ops.activations import identity
from jaxnets.tasks.classification import classification
from jaxnets.tasks.distillation_terms import Term
from jaxnets.tasks.teacher import LOGITS, PREFIX, teacher_says, teacher_shapes
from jaxnets.train.task import Task, TaskError

TeacherFunction = Callable[[jax.Array], Mapping[str, jax.Array]]


def distillation(
    num_classes: int,
    terms: Sequence[Term],
    *,
    teacher: TeacherFunction | None = None,
    label_weight: float = 1.0,
    loss: Callable[[jax.Array, jax.Array], jax.Array] = cross_entropy,
    preprocess: Callable[[jax.Array], jax.Array] = identity,
) -> Task:
    """The task of classifying as the labels say and as a teacher does.

    Training minimizes ``label_weight · loss(logits, label) + Σ weight · term``. Evaluation is that
    of `classification`; the teacher has no part in it. The network is `student_network`'s for the
    same terms.

    Args:
        num_classes: K, of student and teacher.
        terms: what is shared with the teacher, see `jaxnets.tasks.distillation_terms`.
        teacher: a `Teacher` that hands out the layers of the terms, or another function of the
            images of the batch, as they are stored; it is called in every step, on the images that
            the student gets. None: batches hold what it says (`CachedTeacher`).
        label_weight: of the labels; Hinton's 1 − α.
        loss: (logits (B, K), labels) → scalar; label smoothing or a confidence penalty go here.
        preprocess: images as stored → images as the student wants them.

    Returns:
        A `jaxnets.train.Task`. Its training metrics are the total loss, ``label_loss``, each
        term before weighting by its name, and the accuracy.

    Raises:
        TaskError: two terms of one name, or a negative weight of the labels.

    Source: Hinton, Vinyals, Dean 2015; for the terms see each of them.

    Example:
        >>> import optax
        >>> from jaxnets import create_model, data, train
        >>> from jaxnets.tasks.distillation_terms import soft_targets
        >>> from jaxnets.tasks.teacher import Teacher
        >>> digits = data.load_dataset("digits")
        >>> large, small = (create_model("mlp", hidden=(n,), num_classes=10) for n in (32, 4))
        >>> example = digits.train.take(jnp.arange(8))
        >>> scaled = lambda images: images / 128 - 1
        >>> trained = large.init(jax.random.key(0), scaled(example["image"]))
        >>> teacher, terms = Teacher(large, trained, scaled), [soft_targets(temperature=4)]
        >>> task = distillation(10, terms, teacher=teacher, label_weight=0.1, preprocess=scaled)
        >>> student = student_network(
        ...     small, terms, example, teacher=teacher, preprocess=scaled)
        >>> state = train.create_state(
        ...     student, optax.adam(1e-3), example, jax.random.key(1), task=task)
        >>> state, metrics = train.train_step(state, example, task=task)
        >>> sorted(metrics)
        ['accuracy', 'gradient_norm', 'label_loss', 'loss', 'parameter_norm', 'soft_targets']
    """
    terms = tuple(terms)
    names = [term.name for term in terms]
    if len({*names, "loss", "label_loss", "accuracy"}) < len(names) + 3:
        raise TaskError(f"terms: got the names {names}; expected each once, and none of the loss's")
    if not label_weight >= 0:
        raise TaskError(f"label_weight: got {label_weight}; expected a number of at least 0")
    plain = classification(num_classes, loss=loss, preprocess=preprocess)
    options = {"terms": terms, "teacher": teacher, "label_weight": label_weight}
    return plain._replace(
        loss=partial(_loss, plain_loss=plain.loss, **options),
        mutable=(TAPS,) if _student_layers(terms) else (),
    )


def _loss(outputs, updates, batch, *, plain_loss, terms, teacher, label_weight):
    label_loss, metrics = plain_loss(outputs, updates, batch)
    values = updates[TAPS]["values"] if TAPS in updates else {}
    student = {"logits": outputs, **values}
    said = teacher_says(batch, teacher)
    check_classes(outputs.shape, said[LOGITS].shape)
    # The first update is number 0, as for learning rates.
    done = updates[CALLS]["count"] - 1 if CALLS in updates else 0
    total = label_weight * label_loss
    for term in terms:
        value = term.loss(student, said, batch)
        weight = term.weight(done) if callable(term.weight) else term.weight
        total = total + weight * value
        metrics = {**metrics, term.name: value}
    # The plain task's own totals are parts of this one's.
    metrics = {k: v for k, v in metrics.items() if k not in ("loss", "total_loss")}
    return total, {**metrics, "label_loss": label_loss}


def student_network(
    network: nn.Module,
    terms: Sequence[Term],
    example: Mapping[str, Any],
    *,
    teacher: TeacherFunction | None = None,
    preprocess: Callable[[jax.Array], jax.Array] = identity,
    until: str | None = None,
) -> nn.Module:
    """The network that `distillation` trains: the student, with taps and regressors as terms ask.

    Args:
        network: the student, any Flax module.
        terms: as for `distillation`.
        example: a batch as the run has them, for its shapes.
        teacher: as for `distillation`.
        preprocess: as for `distillation`.
        until: a layer behind which nothing is computed, see `jaxnets.models.Tapped`.

    Returns:
        ``network`` itself where nothing has to be added; else one that holds it as "network", see
        `student_variables`. Weights that are schedules count training calls, microbatches too.

    Raises:
        UnknownNameError: a layer that student or teacher does not have; the nearest are named.
        TaskError: teacher and student have other classes, layers do not fit, or nobody teaches.

    >>> from jaxnets.models import create_model
    >>> from jaxnets.tasks.distillation_terms import attention
    >>> batch = {"image": jnp.zeros((1, 8, 8, 3)), "teacher/logits": jnp.zeros((1, 10)),
    ...     "teacher/stage3": jnp.zeros((1, 2, 2, 64))}
    >>> thin = create_model("resnet20", blocks=1, widths=(2, 2, 2))
    >>> student_network(thin, [attention(("stage2", "stage3"))], batch).taps
    ('stage2',)
    >>> student_network(thin, [attention(("stage9", "stage3"))], batch)
    Traceback (most recent call last):
    jaxnets.errors.UnknownNameError: unknown student's layer 'stage9'. Did you mean 'stage3' or
        'stage2' or 'stage1'?
    """
    theirs = teacher_shapes(example, teacher)
    if LOGITS not in theirs:
        raise TaskError(
            "nobody teaches: give a teacher, or batches with teacher/logits (CachedTeacher makes "
            "them)"
        )
    image = jax.eval_shape(preprocess, jnp.asarray(example["image"][:1]))
    ours = tap_shapes(network, image)
    check_classes(ours[""].shape, theirs[LOGITS].shape)
    projections = {}
    for term in terms:
        for own, other in term.layers:
            if own not in ours:
                raise UnknownNameError("student's layer", own, set(ours) - {""})
            if PREFIX + other not in theirs:
                known = {key.removeprefix(PREFIX) for key in theirs} - {"logits"}
                raise UnknownNameError("layer handed out by the teacher", other, known)
            if term.project is not None:
                projections[own] = term.project(ours[own].shape, theirs[PREFIX + other].shape)
    if until is not None and until not in ours:
        raise UnknownNameError("student's layer", until, set(ours) - {""})
    taps = _student_layers(terms)
    scheduled = any(callable(term.weight) for term in terms)
    if not taps and not scheduled and until is None:
        return network
    if conflicting := [own for own in projections if _uses(terms, own) > 1]:
        raise TaskError(
            f"terms: {conflicting[0]!r} is looked at by several terms, one of which puts a trained "
            "layer behind it; give the others the block before or behind it"
        )
    return Tapped(network, taps, tuple(projections.items()), until, scheduled)


def student_variables(variables: Mapping[str, Any]) -> dict[str, Any]:
    """The student's own variables among those of a `student_network`.

    Args:
        variables: collection → tree.

    Returns:
        What ``network.apply`` takes: without regressors and counters.

    >>> student_variables({"params": {"network": {"fc": 1}, "projection_fc": 2}, "calls": {}})
    {'params': {'fc': 1}}
    >>> student_variables({"params": {"fc": 1}})
    {'params': {'fc': 1}}
    """
    if "network" not in variables["params"]:
        return dict(variables)
    return {name: tree["network"] for name, tree in variables.items() if "network" in tree}


def as_student(network: nn.Module, variables: Mapping[str, Any]) -> dict[str, Any]:
    """Variables of a network as those of its `student_network`, to begin training with.

    Args:
        network: of `student_network`.
        variables: the student's own, collection → tree.

    Returns:
        For ``variables`` of `jaxnets.train.fit`; regressors are drawn there.

    >>> as_student(Tapped(nn.Dense(1)), {"params": {"kernel": 1}})
    {'params': {'network': {'kernel': 1}}}
    """
    if not isinstance(network, Tapped):
        return dict(variables)
    return {name: {"network": tree} for name, tree in variables.items()}


def check_classes(student: tuple[int, ...], teacher: tuple[int, ...]) -> None:
    """Refuse logits of other classes.

    Args:
        student: shape of the student's logits.
        teacher: shape of the teacher's.

    Raises:
        TaskError: the last axes differ.

    >>> check_classes((8, 10), (1, 10))
    """
    if student[-1] != teacher[-1]:
        raise TaskError(
            f"the teacher has {teacher[-1]} classes and the student {student[-1]}; soft targets "
            "need the same ones. Train a teacher for these classes, or give a function that "
            "returns the logits of the student's among its classes"
        )


def moved_parameters(network: Tapped, x: Any) -> dict[str, Any]:
    """Which parameters the value of a network that ends early depends on.

    Read off the traced computation backwards, so that branches which do not lead there are not
    among them.

    Args:
        network: with ``until``.
        x: its input, or a `jax.ShapeDtypeStruct` of it.

    Returns:
        A tree of booleans like the parameters, those of the projections among them.

    >>> from jaxnets.models import create_model
    >>> net = Tapped(create_model("mlp", hidden=(2, 2)), taps=("fc1",), until="fc1")
    >>> {layer: tree["bias"] for layer, tree in
    ...     moved_parameters(net, jnp.zeros((1, 2, 2, 1)))["network"].items()}
    {'classifier': False, 'fc1': True, 'fc2': False}
    """
    keys = {"params": jax.random.key(0), "dropout": jax.random.key(0)}
    variables = jax.eval_shape(lambda x: network.init(keys, x, train=False), x)
    rest = {name: tree for name, tree in variables.items() if name not in ("params", TAPS)}

    def value(params, rest, x):
        return network.apply({"params": params, **rest}, x, train=False, mutable=[TAPS])[1]

    jaxpr = jax.make_jaxpr(value)(variables["params"], rest, x).jaxpr
    needed = {id(var) for var in jaxpr.outvars}
    for eqn in reversed(jaxpr.eqns):
        if any(id(var) in needed for var in eqn.outvars):
            needed |= {id(var) for var in eqn.invars}
    leaves, structure = jax.tree.flatten(variables["params"])
    flags = [id(var) in needed for var in jaxpr.invars[: len(leaves)]]
    return jax.tree.unflatten(structure, flags)


def _student_layers(terms: Sequence[Term]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(own for term in terms for own, _ in term.layers))


def _uses(terms: Sequence[Term], layer: str) -> int:
    return sum(own == layer for term in terms for own, _ in term.layers)
