"""Does a student learn worse from a teacher that was trained with label smoothing?"""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from experiments.claims._smoothing import TINY, Smoothing, network, smoothed, train
from experiments.claims.framework import Claim, Outcome, below, best, effect, figures, make_keys
from experiments.claims.framework.training import orders
from jaxnets.losses import cross_entropy
from jaxnets.models.mlp import MLP


@dataclass(frozen=True, kw_only=True)
class Distillation(Smoothing):
    """Training of the teachers, and of the students on what they say.

    Attributes:
        student: width of the student's hidden layers.
        student_rates: each kind of teacher's students get the best of these.
        temperature: of both softmaxes while the student learns.
    """

    student: int = 12
    student_rates: tuple[float, ...] = (0.001, 0.005, 0.02)
    temperature: float = 2.0


@partial(jax.jit, static_argnums=(0, 1))
def _distil(model, temperature, rate, keys, order, images, targets):
    """Students (keys, …) trained on their teachers' logits ``targets`` (keys, N, K)."""
    rule = optax.sgd(rate, momentum=0.9)

    def student(key, order, targets):
        params = model.init(jax.random.key(key), images[:2], train=False)
        soft = jax.nn.softmax(targets / temperature)

        def loss(params, rows):
            logits = model.apply(params, images[rows], train=False)
            return temperature**2 * cross_entropy(logits / temperature, soft[rows])

        def step(state, rows):
            params, memory = state
            updates, memory = rule.update(jax.grad(loss)(params, rows), memory, params)
            return (optax.apply_updates(params, updates), memory), None

        return lax.scan(step, (params, rule.init(params)), order)[0][0]

    return jax.vmap(student)(keys, order, targets)


def measure(settings: Distillation) -> Outcome:
    data, keys = settings.data(), make_keys(settings.keys)
    teacher = network(settings)
    student = MLP(10, hidden=(settings.student, settings.student))
    order = orders(keys, len(data.train.labels), settings.steps, settings.batch)
    predict = lambda model, v, x: jax.vmap(lambda v: model.apply(v, x))(v)  # noqa: E731
    teachers, students = {}, {}
    for name, loss in (("smoothed", smoothed), ("plain", cross_entropy)):
        runs = train(settings, data, loss)
        teachers[name] = runs.accuracy
        targets = predict(teacher, runs.variables, data.train.images)
        accuracies = []
        for rate in settings.student_rates:
            learned = _distil(
                student,
                settings.temperature,
                rate,
                jnp.asarray(keys, jnp.uint32),
                jnp.asarray(order),
                data.train.images,
                targets,
            )
            logits = predict(student, learned, data.test.images)
            right = logits.argmax(-1) == data.test.labels[None]
            accuracies.append(100 * np.asarray(right.mean(-1)))
        students[name] = accuracies[best(100 - np.array(accuracies))]
    figure, axes = figures.new(2)
    for axis, found, who in zip(axes, (teachers, students), ("teachers", "students"), strict=True):
        figures.dots(axis, list(found), list(found.values()))
        axis.set(xlabel=f"test accuracy of the {who}, %")
    return Outcome(
        effects=[
            effect(
                "students' accuracy, of smoothed minus of plain teachers",
                students["smoothed"] - students["plain"],
                below(0),
                unit="points",
            ),
            effect(
                "teachers' accuracy, smoothed minus plain",
                teachers["smoothed"] - teachers["plain"],
                unit="points",
            ),
        ],
        figure=figure,
        remarks=[
            f"{name}: teacher {teachers[name].mean():.2f} %, student {students[name].mean():.2f} %."
            for name in teachers
        ],
    )


CLAIM = Claim(
    sentence="A teacher trained with label smoothing distils worse",
    notes="L335, L345",
    row="F29",
    experiment="Wide teachers are trained with and without label smoothing of 0.1, and narrow "
    "students of the same first weights and batches on each teacher's softened predictions; "
    "teachers and students each at the learning rate that suits them best. It fails if the "
    "students of the smoothed teachers are as good.",
    measure=measure,
    full=Distillation(dataset="mnist", train=2000, test=2000, keys=8),
    quick=Distillation(
        keys=4, rates=(0.02,), student_rates=(0.005,), train=300, width=64, student=8, steps=200
    ),
    tiny=Distillation(student=8, student_rates=(0.005,), **TINY),
)
