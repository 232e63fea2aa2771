"""Label smoothing: calibration, clusters of the last layer, teachers."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from jaxnets import optim
from jaxnets.losses import confidence_penalty, cross_entropy
from jaxnets.metrics import (
    expected_calibration_error,
    fit_temperature,
    reliability,
    template_plane,
    within_between_ratio,
)
from jaxnets.models.mlp import MLP
from jaxnets.study.claims import Outcome, TrainingSettings
from jaxnets.study.effects import below, points, ratio
from jaxnets.study.figures import COLORS, dots, new_figure
from jaxnets.study.sweep import make_keys, orders
from jaxnets.study.training import Runs, best

SMOOTHING, PENALTY = 0.1, 0.3


@dataclass(frozen=True, kw_only=True)
class Smoothing(TrainingSettings):
    """A network with two hidden layers, and its training.

    Attributes:
        rates: learning rates of momentum; each loss gets the one with the best test accuracy.
    """

    width: int = 128
    rates: tuple[float, ...] = (0.005, 0.015, 0.05)
    steps: int = 600
    batch_size: int = 32
    evaluations: int = 10


def smoothed(logits, labels):
    """Cross entropy with label smoothing ε = 0.1."""
    return cross_entropy(logits, labels, label_smoothing=SMOOTHING)


def penalized(logits, labels):
    """Cross entropy with the confidence penalty β = 0.3."""
    return cross_entropy(logits, labels) + confidence_penalty(logits, strength=PENALTY)


def network(settings: Smoothing) -> MLP:
    """Two hidden layers of equal width."""
    return MLP(10, hidden=(settings.width, settings.width))


def train(settings: Smoothing, loss) -> Runs:
    """The runs at the learning rate that suits this loss best."""
    runs = settings.runs(
        network(settings), optim.momentum, np.float32(settings.rates), loss_fn=loss
    )
    return runs.take(best(100 - runs.accuracy))


@partial(jax.jit, static_argnums=0)
def examine(model: MLP, variables, images, labels) -> dict[str, jax.Array]:
    """Of every key: calibration error (%), accuracy (%), loss, tightness; logits, features."""

    def one(variables):
        features = model.clone(num_classes=None).apply(variables, images)["fc2"]
        logits = model.apply(variables, images)
        confidence = jax.nn.softmax(logits).max(-1)
        return {
            "ece": 100 * expected_calibration_error(logits, labels),
            "confidence": 100 * confidence.mean(),
            "accuracy": 100 * (logits.argmax(-1) == labels).mean(),
            "loss": cross_entropy(logits, labels),
            "tightness": within_between_ratio(features, labels),
            "logits": logits,
            "features": features,
        }

    return jax.vmap(one)(variables)


def examined(settings: Smoothing, loss) -> tuple[Runs, dict[str, np.ndarray]]:
    """Trained with a loss, and examined on the test images."""
    runs = train(settings, loss)
    found = examine(network(settings), runs.variables, *settings.data().test)
    return runs, jax.tree.map(np.asarray, found)


def template_kernel(runs: Runs, key: int) -> jnp.ndarray:
    """The classifier's kernel of one key, (width, 10)."""
    return runs.variables["params"]["classifier"]["kernel"][key]


def _after_temperature(logits, labels) -> float:
    """Calibration error (%) on one half of the examples with the temperature of the other."""
    half = len(labels) // 2
    t = fit_temperature(logits[:half], labels[:half])
    return 100 * float(expected_calibration_error(logits[half:] / t, labels[half:]))


def calibration(settings: Smoothing) -> Outcome:
    """Does label smoothing calibrate a network?"""
    labels = settings.data().test.labels
    found = {
        name: examined(settings, loss)[1]
        for name, loss in (("smoothed", smoothed), ("plain", cross_entropy))
    }
    smooth, plain = found["smoothed"], found["plain"]
    figure, (left, right) = new_figure(2)
    for color, (name, f) in zip(COLORS, found.items(), strict=False):
        # All keys' predictions together, to fill the bins.
        logits = f["logits"].reshape(-1, f["logits"].shape[-1])
        table = reliability(logits, np.tile(labels, settings.keys), bins=10)
        kept = np.asarray(table.share) > 0.005
        left.plot(
            np.asarray(table.confidence)[kept],
            np.asarray(table.accuracy)[kept],
            "o-",
            color=color,
            label=name,
        )
    left.plot([0, 1], [0, 1], color="0.6", lw=1, ls="--")
    left.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1.02), ylim=(0, 1.02))
    left.legend(fontsize=9)
    cooled = [_after_temperature(z, labels) for z in plain["logits"]]
    names = ["smoothed", "plain", "plain, temperature fitted"]
    dots(right, names, [smooth["ece"], plain["ece"], np.array(cooled)])
    right.set(xlabel="calibration error, %")
    return Outcome(
        effects=[
            points(
                "calibration error, smoothed minus plain", smooth["ece"] - plain["ece"], below(0)
            ),
            points("test accuracy, smoothed minus plain", smooth["accuracy"] - plain["accuracy"]),
        ],
        figure=figure,
        remarks=[
            f"{name}: mean confidence {f['confidence'].mean():.1f} %, accuracy "
            f"{f['accuracy'].mean():.1f} %."
            for name, f in found.items()
        ]
        + [f"A temperature fitted on half of the test images leaves {np.mean(cooled):.2f} %."],
    )


CLASSES = (0, 1, 2)


def clusters(settings: Smoothing) -> Outcome:
    """Does label smoothing pull each class into a tight cluster?"""
    labels = np.asarray(settings.data().test.labels)
    figure, axes = new_figure(2)
    tightness = {}
    losses = (("smoothed", smoothed), ("plain", cross_entropy))
    for axis, (name, loss) in zip(axes, losses, strict=True):
        runs, found = examined(settings, loss)
        tightness[name] = found["tightness"]
        plane = template_plane(np.asarray(template_kernel(runs, 0))[:, list(CLASSES)].T)
        for label, color in zip(CLASSES, COLORS, strict=False):
            places = np.asarray(plane.project(found["features"][0][labels == label]))
            axis.plot(*places.T, ".", ms=4, color=color, label=f"class {label}")
        axis.set(title=f"{name}, key 0", xlabel="along the plane of three templates")
        axis.set_aspect("equal", "datalim")
    axes[0].legend(fontsize=9)
    return Outcome(
        effects=[
            ratio(
                "variance within / between classes, smoothed / plain",
                tightness["smoothed"] / tightness["plain"],
                below(1),
            )
        ],
        figure=figure,
        remarks=[
            f"{name}: variance within classes over that between them {t.mean():.3f}."
            for name, t in tightness.items()
        ],
    )


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


def distillation(settings: Distillation) -> Outcome:
    """Does a student learn worse from a teacher that was trained with label smoothing?"""
    data, keys = settings.data(), make_keys(settings.keys)
    teacher = network(settings)
    student = MLP(10, hidden=(settings.student, settings.student))
    order = orders(keys, len(data.train.labels), settings.steps, settings.batch_size)
    predict = lambda model, v, x: jax.vmap(lambda v: model.apply(v, x))(v)  # noqa: E731
    teachers, students = {}, {}
    for name, loss in (("smoothed", smoothed), ("plain", cross_entropy)):
        runs = train(settings, loss)
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
