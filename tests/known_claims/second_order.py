"""Known outcomes of the claims on second-order optimization."""

from types import SimpleNamespace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.claims.measures import second_order
from known_claims.made_up import Known, known_in, trained

CASES: list[Known] = []
known = known_in(CASES)


def counted(descent_steps: int, newton_steps: int, spent: tuple[int, int]):
    """Steps of both methods, and Newton's (gradients, Hessian products)."""
    gradients, products = spent

    def newton(x, sign, penalty, tolerance):
        assert set(np.unique(sign)) == {-1, 1} and len(np.unique(x, axis=0)) == len(x)
        trace = SimpleNamespace(gradient_norm=np.geomspace(1, 1e-5, newton_steps + 1))
        work = {"evaluations": gradients, "hessian_products": products}
        return SimpleNamespace(iterations=newton_steps, trace=trace, **work)

    def scene(monkeypatch):
        monkeypatch.setattr(second_order, "newton", newton)
        found = (None, descent_steps, None)
        monkeypatch.setattr(second_order, "gradient_descent", lambda *_: found)

    return scene


known("newton_needs_few_steps", "holds", [10, 2], counted(40, 4, (5, 15)))
known("newton_needs_few_steps", "fails", [0.5, 0.1], counted(2, 4, (5, 15)))
# Measured: 50 steps are too few for gradient descent, and far too many for Newton's method.
known("newton_needs_few_steps", "holds", [None, None], lambda _: None, paired=False)


class Trace(NamedTuple):
    """Of L-BFGS, as far as it is looked at."""

    evaluations: jax.Array
    value: jax.Array


class Found(NamedTuple):
    """What `optim.minimize` returns, as far as it is looked at."""

    trace: Trace
    x: dict


def passes(value: float, loss: float, accuracy: float):
    """L-BFGS is at ``value`` after its third pass and takes two for the next step.

    Its parameters answer class 0, which is right for a tenth of the images.
    """

    def minimize(objective, params, **_):
        values = jnp.array([2.3, 1.0, value, 1e-3, jnp.nan])
        trace = Trace(jnp.array([0, 1, 3, 5, -1]), values)
        zeros = jax.tree.map(jnp.zeros_like, params)
        zeros["classifier"]["bias"] = zeros["classifier"]["bias"].at[0].set(1)
        return Found(trace, zeros)

    def run(arm):
        best = arm.first_rate > 0.2
        before = [2.3] * (len(arm.steps) - 1)
        # Not chosen by accuracy.
        accuracies = [*before, accuracy if best else 90.0]
        return {"train_loss": [*before, loss if best else 5.0], "accuracy": accuracies}

    def scene(monkeypatch):
        trained(run)(monkeypatch)
        monkeypatch.setattr(second_order.optim, "minimize", minimize)

    return scene


budget = {"passes": 4, "test": 100, "rates": (0.1, 0.3), "tolerance": 1e-5}
name = "lbfgs_on_the_full_batch"
known(name, "holds", [0.5, -0.25], passes(0.1 - 1e-6, 0.2 - 1e-6, 10.25), **budget)
known(name, "fails", [2, -10], passes(0.2 - 1e-6, 0.1 - 1e-6, 20), **budget)
