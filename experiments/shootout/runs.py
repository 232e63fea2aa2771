"""Training runs of the shoot-out: mini-batch methods over a grid of rates, L-BFGS on the whole."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from tqdm import tqdm

from experiments.shootout.problems import Part, Problem
from jaxnets import optim
from jaxnets.optim.second_order import minimize

METHODS = {
    "adam": "Adam, constant rate",
    "momentum": "SGD + momentum 0.9, constant rate",
    "momentum_cosine": "SGD + momentum 0.9, cosine",
}


class Curves(NamedTuple):
    """What was measured after each pass over the training part.

    Arrays [rates, keys, passes + 1] for the mini-batch methods, [keys, budgets] for L-BFGS.
    """

    train_loss: np.ndarray
    valid_accuracy: np.ndarray
    test_accuracy: np.ndarray


def build(method: str, rate: Any, total_steps: int) -> optax.GradientTransformation:
    """A method's rule at a rate, which may be traced."""
    if method == "adam":
        return optim.adam(rate)
    if method == "momentum":
        return optim.momentum(rate)
    shape = optim.schedules.cosine(1.0, total_steps)
    return optim.momentum(lambda count: rate * shape(count))


def _measure(problem: Problem) -> Callable[..., tuple]:
    def measure(params, train, valid, test):
        return (
            problem.objective(params, train),
            problem.accuracy(params, valid),
            problem.accuracy(params, test),
        )

    return measure


def orders(problem: Problem, keys: int, epochs: int, batch_size: int) -> np.ndarray:
    """Batches of indices [keys, epochs, steps, batch], the same for every method and rate."""
    count = problem.train.labels.size
    steps = count // batch_size
    shuffled = [
        [np.random.default_rng([key, e]).permutation(count) for e in range(epochs)]
        for key in range(keys)
    ]
    return np.asarray(shuffled)[..., : steps * batch_size].reshape(keys, epochs, steps, batch_size)


def minibatch(
    problem: Problem,
    method: str,
    rates: Sequence[float],
    *,
    keys: int,
    epochs: int,
    batch_size: int,
    progress: tqdm | None = None,
) -> Curves:
    """Every rate with every key; a key decides the first parameters and the order of batches.

    Dense problems run side by side under vmap. A convolution with a kernel of its own for each run
    would be a grouped one, which is slow on a CPU: those run one after another.
    """
    order = orders(problem, keys, epochs, batch_size)
    total = epochs * order.shape[2]

    def step(carry, rate, indices, train):
        params, state = carry
        batch = Part(train.images[indices], train.labels[indices])
        grads = jax.grad(problem.objective)(params, batch)
        updates, state = build(method, rate, total).update(grads, state, params)
        return optax.apply_updates(params, updates), state

    def start(params):
        return params, build(method, 0.0, total).init(params)

    measure = _measure(problem)
    parts = (problem.train, problem.valid, problem.test)
    if problem.dense:
        # Over keys inside, over rates outside.
        def over_both(f, axes):
            return jax.jit(jax.vmap(jax.vmap(f, axes[0]), axes[1]))

        step_all = over_both(step, ((0, None, 0, None), (0, 0, None, None)))
        measure_all = over_both(measure, ((0, None, None, None),) * 2)
        first = [problem.init(key) for key in range(keys)]
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *first)
        stacked = jax.tree.map(lambda x: jnp.stack([x] * len(rates)), stacked)
        carry = jax.vmap(jax.vmap(start))(stacked)
        seen = [measure_all(carry[0], *parts)]
        for e in range(epochs):
            for s in range(order.shape[2]):
                carry = step_all(carry, jnp.asarray(rates), order[:, e, s], problem.train)
            seen.append(jax.block_until_ready(measure_all(carry[0], *parts)))
        if progress:
            progress.update(len(rates) * keys)
        return Curves(*(np.stack(values, axis=-1) for values in zip(*seen, strict=True)))

    step_one, measure_one = jax.jit(step), jax.jit(measure)
    runs = []
    for rate in rates:
        for key in range(keys):
            carry = start(problem.init(key))
            seen = [measure_one(carry[0], *parts)]
            for e in range(epochs):
                for s in range(order.shape[2]):
                    carry = step_one(carry, jnp.float32(rate), order[key, e, s], problem.train)
                seen.append(jax.block_until_ready(measure_one(carry[0], *parts)))
            runs.append(np.asarray(seen))
            if progress:
                progress.update(1)
    table = np.asarray(runs).reshape(len(rates), keys, epochs + 1, 3)
    return Curves(*np.moveaxis(table, -1, 0))


def full_batch(
    problem: Problem, budgets: Sequence[int], *, keys: int, progress: tqdm | None = None
) -> tuple[Curves, np.ndarray]:
    """L-BFGS stopped after each of `budgets` iterations; and the passes that these took.

    A pass is one evaluation of the objective and its gradient on all training examples.
    """
    measure, objective = jax.jit(_measure(problem)), problem.objective
    parts = (problem.train, problem.valid, problem.test)
    curves, passes = [], []
    for key in range(keys):
        params = problem.init(key)
        for budget in budgets:
            found = minimize(
                objective, params, args=(problem.train,), max_iterations=budget, tol=1e-7
            )
            curves.append(measure(found.x, *parts))
            passes.append(int(found.evaluations))
        if progress:
            progress.update(1)
    table = np.asarray(curves).reshape(keys, len(budgets), 3)
    return Curves(*np.moveaxis(table, -1, 0)), np.asarray(passes).reshape(keys, len(budgets))
