"""Students of teachers that were trained with and without label smoothing."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from experiments.claims.measures.smoothed_networks import (
    Smoothing,
    cosines,
    falling,
    network,
    smoothed,
    train,
)
from jaxnets.losses import cross_entropy, soft_target_loss
from jaxnets.models.mlp import MLP
from jaxnets.models.resnet_cifar import ResNetCIFAR
from jaxnets.study.claims import Outcome
from jaxnets.study.data import Data
from jaxnets.study.effects import below, points
from jaxnets.study.figures import dots, new_figure
from jaxnets.study.repeated_training import plain_state, train_and_keep
from jaxnets.study.sweep import make_keys, orders
from jaxnets.study.training import Runs, best, loss_only
from jaxnets.train import train_step


@dataclass(frozen=True, kw_only=True)
class Distillation(Smoothing):
    """Training of the teachers, and of the students on what they say.

    Attributes:
        student: width of a dense student's hidden layers.
        student_widths: of a residual student's stages, one block each.
        student_rates: each kind of teacher's students get the best of these.
        temperature: of both softmaxes while the student learns.
    """

    student: int = 12
    student_widths: tuple[int, ...] = (8, 16, 32)
    student_rates: tuple[float, ...] = (0.001, 0.005, 0.02)
    temperature: float = 2.0


@partial(jax.jit, static_argnums=(0, 1))
def _distil(model, temperature, rate, keys, order, images, targets):
    """Students (keys, …) trained on their teachers' logits ``targets`` (keys, N, K)."""
    rule = optax.sgd(rate, momentum=0.9)

    def student(key, order, targets):
        params = model.init(jax.random.key(key), images[:2], train=False)

        def loss(params, rows):
            logits = model.apply(params, images[rows], train=False)
            return soft_target_loss(logits, targets[rows], temperature=temperature)

        def step(state, rows):
            params, memory = state
            updates, memory = rule.update(jax.grad(loss)(params, rows), memory, params)
            return (optax.apply_updates(params, updates), memory), None

        return lax.scan(step, (params, rule.init(params)), order)[0][0]

    return jax.vmap(student)(keys, order, targets)


def _dense_accuracies(settings: Distillation, data: Data, runs: Runs, order) -> np.ndarray:
    """Of the students, (rates, keys), in per cent."""
    student = MLP(10, hidden=(settings.student, settings.student))
    predict = lambda model, v, x: jax.vmap(lambda v: model.apply(v, x))(v)  # noqa: E731
    targets = predict(network(settings), runs.variables, data.train.images)
    keys, found = jnp.asarray(make_keys(settings.keys), jnp.uint32), []
    for rate in settings.student_rates:
        options = (settings.temperature, rate, keys, jnp.asarray(order), data.train.images)
        learned = _distil(student, *options, targets)
        logits = predict(student, learned, data.test.images)
        found.append(100 * np.asarray((logits.argmax(-1) == data.test.labels[None]).mean(-1)))
    return np.array(found)


@partial(jax.jit, static_argnums=0)
def _logits(model: nn.Module, variables, images) -> jax.Array:
    return model.apply(variables, images, train=False)


def predict(model: nn.Module, variables, images, size: int = 1000) -> np.ndarray:
    """Logits of all images, a part of them at a time."""
    parts = [images[i : i + size] for i in range(0, len(images), size)]
    return np.concatenate([np.asarray(_logits(model, variables, part)) for part in parts])


def residual_learner(
    settings: Distillation, model: nn.Module, rate: float, image_shape: tuple[int, ...]
) -> Callable:
    """(key, order, images (V, N, …), targets (V, N, K)) → variables of a student.

    At each step every example is shown in one of its V views, with what the teacher says of that.
    """
    value = {name: leaf[0] for name, leaf in cosines((rate,), settings.steps).items()}
    rule = falling(value)
    loss = partial(soft_target_loss, temperature=settings.temperature)
    step = jax.jit(partial(train_step, task=loss_only(loss)), donate_argnums=0)
    blank = jnp.zeros((2, *image_shape))
    init = jax.jit(lambda seed: model.init(jax.random.key(seed, impl="rbg"), blank, train=False))

    def learn(key, order, images, targets):
        views = np.random.default_rng([int(key), 1]).integers(0, len(images), order.shape)
        batches = (
            {"image": images[view, rows], "label": targets[view, rows]}
            for view, rows in zip(views, order, strict=True)
        )
        state = plain_state(model, init(int(key)), rule, key=jax.random.key(int(key)))
        return train_and_keep(state, step, batches, [len(order)])[1][0]

    return learn


def _residual_accuracies(settings: Distillation, data: Data, runs: Runs, order) -> np.ndarray:
    """Of the students, (rates, keys), in per cent."""
    model = ResNetCIFAR(10, blocks=1, widths=settings.student_widths)
    images = np.asarray(data.train.images)
    # Mirror images where there are colors, as the teachers saw them.
    views = np.stack([images, images[:, :, ::-1]] if images.shape[-1] == 3 else [images])
    found = np.zeros((len(settings.student_rates), settings.keys))
    for place, rate in enumerate(settings.student_rates):
        learn = residual_learner(settings, model, rate, data.image_shape)
        for k, key in enumerate(make_keys(settings.keys)):
            teacher = jax.tree.map(lambda leaf, k=k: leaf[k], runs.variables)
            targets = np.stack([predict(network(settings), teacher, view) for view in views])
            logits = predict(model, learn(key, order[k], views, targets), data.test.images)
            found[place, k] = 100 * (logits.argmax(-1) == np.asarray(data.test.labels)).mean()
    return found


def distillation(settings: Distillation) -> Outcome:
    """Does a student learn worse from a teacher that was trained with label smoothing?"""
    data, keys = settings.data(), make_keys(settings.keys)
    order = orders(keys, len(data.train.labels), settings.steps, settings.batch_size)
    taught = _residual_accuracies if settings.widths else _dense_accuracies
    teachers, students = {}, {}
    for name, loss in (("smoothed", smoothed), ("plain", cross_entropy)):
        runs = train(settings, loss)
        teachers[name] = runs.accuracy
        accuracies = taught(settings, data, runs, order)
        students[name] = accuracies[best(100 - accuracies)]
    figure, axes = new_figure(2)
    for axis, found, who in zip(axes, (teachers, students), ("teachers", "students"), strict=True):
        dots(axis, list(found), list(found.values()))
        axis.set(xlabel=f"test accuracy of the {who}, %")
    return Outcome(
        effects=[
            points(
                "students' accuracy, of smoothed minus of plain teachers",
                students["smoothed"] - students["plain"],
                below(0),
            ),
            points(
                "teachers' accuracy, smoothed minus plain", teachers["smoothed"] - teachers["plain"]
            ),
        ],
        figure=figure,
        remarks=[
            f"{name}: teacher {teachers[name].mean():.2f} %, student {students[name].mean():.2f} %."
            for name in teachers
        ],
    )
