"""How many steps does Newton's method save on logistic regression, and how much work?"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from experiments.claims.framework import (
    Claim,
    Outcome,
    Settings,
    above,
    effect,
    figures,
    make_keys,
)
from jaxnets import optim


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
    w = jnp.zeros(x.shape[1])
    options = {"method": "newton", "tol": tolerance, "max_iterations": 50, "record": True}
    return optim.minimize(objective, w, args=(x, sign, penalty), **options)


def measure(settings: Logistic) -> Outcome:
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
        # In gradients: a Hessian of n parameters costs about n of them (L78's objection).
        spent = int(found.evaluations) + int(found.hessian_products)
        work.append(int(count) / spent)
        traces.append(np.asarray(found.trace.gradient_norm))
    steps = {name: np.maximum(values, 1) for name, values in steps.items()}
    figure, (left, right) = figures.new(2)
    for trace in traces:
        left.semilogy(trace, "o-", color=figures.COLORS[1], lw=0.8, ms=3, alpha=0.5)
    shown = max(int(steps["Newton"].max()), 1)
    left.set(
        xlabel="iteration of Newton",
        ylabel="largest entry of the gradient",
        xlim=(-0.3, shown + 0.3),
    )
    left.axhline(settings.tolerance, color="0.5", lw=1, ls="--")
    right.set_xscale("log")
    figures.dots(right, list(steps), list(steps.values()))
    right.set(xlabel=f"steps until the gradient is below {settings.tolerance:g}")
    return Outcome(
        effects=[
            effect(
                "steps, gradient descent / Newton",
                steps["gradient descent"] / steps["Newton"],
                above(1),
                unit="×",
                method="log",
            ),
            effect(
                "work in gradients, gradient descent / Newton (a Hessian counts as n)",
                work,
                unit="×",
                method="log",
            ),
        ],
        figure=figure,
        remarks=[f"{x.shape[1]} parameters; gradient descent stops after {settings.most:,} steps."],
    )


CLAIM = Claim(
    sentence="Second-order optimization converges in fewer steps than gradient descent",
    notes="L68-L78",
    row="B08",
    experiment="Logistic regression (small against large digits) on random choices of images: "
    "Newton's method with the exact Hessian against gradient descent at rate 1/L, steps until the "
    "largest entry of the gradient is below 1e-4. Beside it what the steps cost, a Hessian of n "
    "parameters counted as n gradients.",
    measure=measure,
    full=Logistic(keys=20),
    quick=Logistic(keys=4, examples=300, most=5000),
    tiny=Logistic(keys=2, examples=60, most=50),
)
