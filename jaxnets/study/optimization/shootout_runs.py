"""Training runs of a comparison of optimizers: mini-batches over a grid of rates, L-BFGS on all."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnets import optim
from jaxnets.optim.second_order import minimize
from jaxnets.study.data import Part
from jaxnets.study.optimization.small_problems import Problem
from jaxnets.study.sweep import Sweep, make_keys, orders, stack

# Name → label.
METHODS = {
    "adam": "Adam, constant rate",
    "momentum": "SGD + momentum 0.9, constant rate",
    "momentum_cosine": "SGD + momentum 0.9, cosine",
}


class Curves(NamedTuple):
    """What was measured after each pass over the training part.

    Arrays of shape (rates, keys, passes + 1) for the mini-batch methods, (keys, budgets) for
    L-BFGS.

    Attributes:
        train_loss: objective on the training part.
        valid_accuracy: on the validation part.
        test_accuracy: on the test part.
    """

    train_loss: np.ndarray
    valid_accuracy: np.ndarray
    test_accuracy: np.ndarray


def build(method: str, rate: Any, total_steps: int) -> optax.GradientTransformation:
    """A method's rule.

    Args:
        method: a name of `METHODS`.
        rate: learning rate, which may be traced.
        total_steps: length of the cosine schedule.

    Returns:
        The Optax transform.
    """
    if method == "adam":
        return optim.adam(rate)
    if method == "momentum":
        return optim.momentum(rate)
    shape = optim.schedules.cosine(1.0, total_steps)
    return optim.momentum(lambda count: rate * shape(count))


def _measure(problem: Problem, params: Any, parts: Sequence[Part]) -> Curves:
    train, valid, test = parts
    return Curves(
        problem.objective(params, train),
        problem.accuracy(params, valid),
        problem.accuracy(params, test),
    )


def minibatch(
    problem: Problem,
    method: str,
    rates: Sequence[float],
    *,
    keys: int,
    epochs: int,
    batch_size: int,
    on_runs: Callable[[int], Any] = lambda count: None,
) -> Curves:
    """Every rate with every key; a key decides the first parameters and the order of batches.

    Dense problems run side by side, others one after another (see `jaxnets.study.sweep`).

    Args:
        problem: what is learned.
        method: a name of `METHODS`.
        rates: learning rates.
        keys: runs of each rate; the same for every method and rate.
        epochs: passes over the training part.
        batch_size: examples a step.
        on_runs: called with the number of runs that have ended since the last call.

    Returns:
        `Curves` of shape (rates, keys, epochs + 1).
    """
    per_pass = len(problem.train.labels) // batch_size
    total = epochs * per_pass

    def begin(seed, rate, params):
        return params, build(method, rate, total).init(params)

    def step(carry, rate, rows, parts):
        params, state = carry
        batch = Part(parts[0].images[rows], parts[0].labels[rows])
        grads = jax.grad(problem.objective)(params, batch)
        updates, state = build(method, rate, total).update(grads, state, params)
        return (optax.apply_updates(params, updates), state), ()

    def measure(carry, rate, parts):
        return _measure(problem, carry[0], parts)

    seeds = make_keys(keys)
    order = orders(seeds, len(problem.train.labels), total, batch_size)
    order = order.reshape(keys, epochs, per_pass, batch_size)
    first = stack([problem.init(int(seed)) for seed in seeds])
    parts = (problem.train, problem.valid, problem.test)
    sweep = Sweep(begin, step, measure)
    if problem.dense:
        curves, _, _ = sweep(seeds, jnp.asarray(rates), order, first, parts)
        on_runs(len(rates) * keys)
        return Curves(*map(np.asarray, curves))
    found = []
    for rate in rates:
        found.append(sweep(seeds, jnp.float32(rate), order, first, parts, loop=True)[0])
        on_runs(keys)
    return Curves(*map(np.asarray, stack(found)))


def full_batch(
    problem: Problem,
    budgets: Sequence[int],
    *,
    keys: int,
    on_runs: Callable[[int], Any] = lambda count: None,
) -> tuple[Curves, np.ndarray]:
    """L-BFGS stopped after each of some numbers of iterations; and the passes that these took.

    A pass is one evaluation of the objective and its gradient on all training examples.

    Args:
        problem: what is learned.
        budgets: iterations.
        keys: first parameters to start from.
        on_runs: called with 1 after each key.

    Returns:
        `Curves` and passes, of shape (keys, budgets).
    """
    parts = (problem.train, problem.valid, problem.test)
    measure = jax.jit(partial(_measure, problem))
    curves, passes = [], []
    for key in range(keys):
        params = problem.init(key)
        for budget in budgets:
            found = minimize(
                problem.objective, params, args=(parts[0],), max_iterations=budget, tol=1e-7
            )
            curves.append(measure(found.x, parts))
            passes.append(int(found.evaluations))
        on_runs(1)
    table = np.asarray(curves).reshape(keys, len(budgets), 3)
    return Curves(*np.moveaxis(table, -1, 0)), np.asarray(passes).reshape(keys, len(budgets))
