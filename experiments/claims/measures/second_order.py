"""Newton and L-BFGS against first-order methods."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets import optim
from jaxnets.losses import cross_entropy
from jaxnets.models.mlp import MLP
from jaxnets.study.claims import Outcome, Settings
from jaxnets.study.effects import above, at_least, below, points, ratio
from jaxnets.study.figures import COLORS, band, dots, new_figure
from jaxnets.study.sweep import make_keys
from jaxnets.study.training import best, train_many


@dataclass(frozen=True, kw_only=True)
class Logistic(Settings):
    """Logistic regression of low against high digits, with a little L2 penalty.

    Attributes:
        examples: images a key draws.
        tolerance: done when the largest entry of the gradient is at most this.
        most: steps of gradient descent.
        features: larger images are averaged over blocks of pixels down to about this many.
    """

    examples: int = 500
    penalty: float = 1e-2
    tolerance: float = 1e-4
    most: int = 20_000
    features: int = 64


def objective(w, x, sign, penalty):
    """Mean of log(1 + exp(−s·xw)) + ½λ‖w‖², labels s = ±1."""
    return jnp.logaddexp(0.0, -sign * (x @ w)).mean() + 0.5 * penalty * w @ w


@jax.jit
def gradient_descent(x, sign, penalty, tolerance, most):
    """Steps of rate 1/L until the largest entry of the gradient is small, and its path."""
    rate = 1 / (jnp.linalg.eigvalsh(x.T @ x / len(x))[-1] / 4 + penalty)
    gradient = jax.grad(objective)

    def go(carry):
        return (carry[1] < most) & (jnp.abs(carry[2]).max() > tolerance)

    def step(carry):
        w = carry[0] - rate * carry[2]
        return w, carry[1] + 1, gradient(w, x, sign, penalty)

    w = jnp.zeros(x.shape[1])
    return jax.lax.while_loop(go, step, (w, 0, gradient(w, x, sign, penalty)))


@jax.jit
def newton(x, sign, penalty, tolerance):
    """Newton's method with the exact Hessian, from zero."""
    w = jnp.zeros(x.shape[1])
    options = {"method": "newton", "tol": tolerance, "max_iterations": 50, "record": True}
    return optim.minimize(objective, w, args=(x, sign, penalty), **options)


def newton_steps(settings: Logistic) -> Outcome:
    """How many steps does Newton's method save on logistic regression, and how much work?"""
    data = settings.data()
    flat = np.asarray(data.train.images).reshape(len(data.train.labels), -1)
    # Block means keep the Hessian small on larger images.
    group = -(-flat.shape[1] // settings.features)
    flat = flat[:, : flat.shape[1] // group * group].reshape(len(flat), -1, group).mean(2)
    sign = np.where(np.asarray(data.train.labels) < 5, 1.0, -1.0).astype(np.float32)
    steps = {"gradient descent": [], "Newton": []}
    work, traces = [], []
    for seed in make_keys(settings.keys):
        rows = np.random.default_rng(int(seed)).choice(len(flat), settings.examples, replace=False)
        x = np.concatenate([flat[rows], np.ones((len(rows), 1), np.float32)], 1)
        problem = (x, sign[rows], settings.penalty, settings.tolerance)
        _, count, _ = gradient_descent(*problem, settings.most)
        found = newton(*problem)
        steps["gradient descent"].append(int(count))
        steps["Newton"].append(int(found.iterations))
        # In gradients: a Hessian of n parameters costs about n of them.
        spent = int(found.evaluations) + int(found.hessian_products)
        work.append(int(count) / spent)
        traces.append(np.asarray(found.trace.gradient_norm))
    steps = {name: np.maximum(values, 1) for name, values in steps.items()}
    figure, (left, right) = new_figure(2)
    for trace in traces:
        left.semilogy(trace, "o-", color=COLORS[1], lw=0.8, ms=3, alpha=0.5)
    shown = max(int(steps["Newton"].max()), 1)
    left.set(
        xlabel="iteration of Newton",
        ylabel="largest entry of the gradient",
        xlim=(-0.3, shown + 0.3),
    )
    left.axhline(settings.tolerance, color="0.5", lw=1, ls="--")
    right.set_xscale("log")
    dots(right, list(steps), list(steps.values()))
    right.set(xlabel=f"steps until the gradient is below {settings.tolerance:g}")
    return Outcome(
        effects=[
            ratio(
                "steps, gradient descent / Newton",
                steps["gradient descent"] / steps["Newton"],
                above(1),
            ),
            ratio("work in gradients, gradient descent / Newton (a Hessian counts as n)", work),
        ],
        figure=figure,
        remarks=[f"{x.shape[1]} parameters; gradient descent stops after {settings.most:,} steps."],
    )


@dataclass(frozen=True, kw_only=True)
class Passes(Settings):
    """Equal passes over the same images, for two models.

    Attributes:
        hidden: one entry a model: the widths of its hidden layers.
        passes: over the training images; L-BFGS spends one for each evaluation of the gradient.
    """

    train: int = 1000
    hidden: tuple[tuple[int, ...], ...] = ((), (32,))
    rates: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3, 1.0)
    batch_size: int = 50
    passes: int = 100
    evaluations: int = 20


def full_batch(model: MLP, settings: Passes) -> tuple[np.ndarray, np.ndarray]:
    """Training loss after each pass (keys, passes + 1) and test accuracy (keys,) in per cent."""
    data = settings.data()

    def objective(params, images, labels):
        return cross_entropy(model.apply({"params": params}, images), labels)

    @jax.jit
    def run(params, train, test):
        found = optim.minimize(
            objective, params, args=train, tol=0, max_iterations=settings.passes, record=True
        )
        return found.trace, found.x

    curves, accuracies = [], []
    for seed in make_keys(settings.keys):
        key = jax.random.key(int(seed), impl="rbg")
        params = model.init(key, data.train.images[:2])["params"]
        trace, x = run(params, tuple(data.train), tuple(data.test))
        spent, value = np.asarray(trace.evaluations), np.asarray(trace.value)
        reached = (spent >= 0) & np.isfinite(value)
        at = np.searchsorted(spent[reached], np.arange(settings.passes + 1), side="right") - 1
        curves.append(value[reached][np.maximum(at, 0)])
        logits = model.apply({"params": x}, data.test.images)
        accuracies.append(100 * float((logits.argmax(-1) == data.test.labels).mean()))
    return np.array(curves), np.array(accuracies)


def lbfgs_passes(settings: Passes) -> Outcome:
    """Is L-BFGS the better choice where the full batch can be afforded?"""
    data, effects = settings.data(), []
    steps = settings.passes * (len(data.train.labels) // settings.batch_size)
    figure, axes = new_figure(len(settings.hidden))
    for ax, hidden in zip(axes, settings.hidden, strict=True):
        ax.set_yscale("log")
        model = MLP(10, hidden)
        name = "a network" if hidden else "softmax regression"
        runs = train_many(
            model,
            optim.momentum,
            np.float32(settings.rates),
            data,
            make_keys(settings.keys),
            steps=steps,
            batch_size=settings.batch_size,
            evaluations=settings.evaluations,
            train_examples=settings.train,
        )
        curves, accuracy = full_batch(model, settings)
        row = best(runs.train_loss[..., -1])
        label = f"momentum, batches of {settings.batch_size}, rate {settings.rates[row]:g}"
        passes = runs.steps * settings.passes / steps
        floor = 1e-6
        band(ax, passes, runs.train_loss[row] + floor, label, COLORS[0])
        band(ax, np.arange(curves.shape[1]), curves + floor, "L-BFGS, full batch", COLORS[1])
        ax.set(xlabel="passes over the training images", ylabel="training loss")
        ax.set(title=name, ylim=(floor, 4))
        ax.legend(fontsize=8)
        last = runs.train_loss[row, :, -1]
        effects += [
            ratio(
                f"{name}: training loss, L-BFGS / momentum",
                (curves[:, -1] + floor) / (last + floor),
                below(1),
            ),
            points(
                f"{name}: test accuracy, L-BFGS minus momentum",
                accuracy - runs.accuracy[row],
                at_least(-0.5),
            ),
        ]
    return Outcome(effects=effects, figure=figure)
