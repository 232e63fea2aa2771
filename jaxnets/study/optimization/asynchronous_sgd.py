"""Asynchronous SGD: when staleness makes it diverge, what it costs, and what it buys on the clock.

Source: Dean et al., "Large scale distributed deep networks", NIPS 2012; for the limit of stability
Levin, May, "A note on difference-delay equations", Theoretical Population Biology 9 (1976).
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets import optim
from jaxnets.optim import asynchronous
from jaxnets.optim.staleness import Events
from jaxnets.study.data import Part
from jaxnets.study.optimization.small_problems import Problem

OnRuns = Callable[[int], Any]


class Learner:
    """A problem with its batches and its gradient, trained asynchronously or by rounds.

    Args:
        problem: a small problem whose training part is learned.
        batch_size: examples a gradient.
    """

    def __init__(self, problem: Problem, batch_size: int):
        self.problem, self.batch_size = problem, batch_size
        self.images, self.labels = (np.asarray(leaf) for leaf in problem.train)
        self.gradient = jax.grad(problem.objective)
        self.loss = jax.jit(lambda params: problem.objective(params, problem.train))

    def batch(self, seed: int) -> Callable[[int], Part]:
        """A function from a batch's number to the batch, the same for the same seed.

        Args:
            seed: of the choice of examples.

        Returns:
            The function; batches are drawn without replacement.
        """

        def take(number: int) -> Part:
            chosen = np.random.default_rng([seed, number]).choice(
                len(self.labels), self.batch_size, replace=False
            )
            return Part(self.images[chosen], self.labels[chosen])

        return take

    def replay(self, rate: float, events: Events, every: int, seed: int) -> np.ndarray:
        """Gradient descent in which gradients arrive as late as ``events`` say.

        Args:
            rate: learning rate.
            events: of `jaxnets.optim.asynchronous`: who computes what, and how stale it is.
            every: updates between two measurements.
            seed: of the first parameters and of the batches.

        Returns:
            Training losses at the start and after each ``every`` updates.
        """
        params = self.problem.init(seed)
        losses = [float(self.loss(params))]

        def observe(k, params):
            if k % every == 0:
                losses.append(float(self.loss(params)))

        asynchronous.replay(
            self.gradient, params, optim.sgd(rate), self.batch(seed), events, observe=observe
        )
        return np.array(losses)

    def synchronous(self, rate: float, rounds: int, workers: int, seed: int) -> np.ndarray:
        """Gradient descent by rounds, each with the mean gradient of one batch a worker.

        Args:
            rate: learning rate.
            rounds: updates.
            workers: batches in a round.
            seed: of the first parameters and of the batches.

        Returns:
            Training losses at the start and after each round.
        """
        take = self.batch(seed)

        def together(i: int) -> Part:
            parts = [take(i * workers + w) for w in range(workers)]
            return Part(*(np.concatenate(leaves) for leaves in zip(*parts, strict=True)))

        params = self.problem.init(seed)
        losses = [float(self.loss(params))]
        asynchronous.replay(
            self.gradient,
            params,
            optim.sgd(rate),
            together,
            asynchronous.round_robin(1, rounds),
            observe=lambda _, p: losses.append(float(self.loss(p))),
        )
        return np.array(losses)


def stability(most: int = 16, steps: int = 2000) -> dict[str, Any]:
    """Which ηλ converge at each staleness: growth a step of x ← x − ηλ·x_stale, and two limits.

    Args:
        most: the largest staleness τ.
        steps: of which the second half is averaged.

    Returns:
        {"taus", "products" (ηλ), "growth" (of log |x| a step, taus × products), "measured" and
        "exact" (the limit 2 sin(π/(4τ+2)) by staleness), "largest_error" (relative),
        "rule_of_thumb_share" (the exact limit over 1/(1 + τ))}.
    """
    products, taus = np.geomspace(0.04, 3, 600), np.arange(most + 1)

    def step(history, _):
        # history[s, τ]: the value s updates ago of the run whose staleness is τ.
        x = history[0] - products.astype(np.float32) * history[taus, taus]
        history = jnp.concatenate([x[None], history[:-1]])
        size = jnp.maximum(jnp.max(jnp.abs(history), axis=0), 1e-30)
        # Scaled back each step, so that neither growth nor decay leaves float32.
        return history / size, jnp.log(size)

    start = jnp.ones((most + 1, most + 1, len(products)))
    _, logs = jax.jit(lambda: jax.lax.scan(step, start, length=steps))()
    grown = np.asarray(logs[steps // 2 :].mean(0))
    # The first product of the grid that does not converge.
    measured = np.array([products[np.argmax(row > 0)] for row in grown])
    exact = 2 * np.sin(np.pi / (4 * taus + 2))
    return {
        "taus": taus,
        "products": products,
        "growth": grown,
        "measured": measured,
        "exact": exact,
        "largest_error": float(np.max(np.abs(measured / exact - 1))),
        "rule_of_thumb_share": [float(v) for v in exact * (1 + taus)],
    }


def over_staleness(
    learner: Learner,
    *,
    rates: Sequence[float],
    staleness: Sequence[int],
    updates: int,
    keys: int,
    on_runs: OnRuns = lambda count: None,
) -> np.ndarray:
    """Final training losses after equally many updates, over rate and constant staleness.

    Args:
        learner: what is trained.
        rates: learning rates.
        staleness: values of τ; τ + 1 workers in turn give it to every gradient.
        updates: of the server.
        keys: runs of each.
        on_runs: called with 1 after each run.

    Returns:
        Shape (rates, staleness, keys); inf where a run left the numbers.
    """
    table = np.zeros((len(rates), len(staleness), keys))
    for i, rate in enumerate(rates):
        for j, tau in enumerate(staleness):
            events = asynchronous.round_robin(tau + 1, updates)
            for key in range(keys):
                losses = learner.replay(rate, events, updates, key)
                table[i, j, key] = losses[-1] if np.isfinite(losses[-1]) else np.inf
                on_runs(1)
    return table


def over_time(
    learner: Learner,
    *,
    rate: float,
    workers: int,
    straggler: float,
    bounds: Sequence[int],
    updates: int,
    keys: int,
    on_runs: OnRuns = lambda count: None,
) -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
    """Training loss over the virtual clock, with each bound and synchronous.

    A synchronous round averages a batch from each worker, so that it takes fewer and surer steps;
    it is run at the same rate and at a rate as many times as large.

    Args:
        learner: what is trained.
        rate: learning rate.
        workers: of the virtual cluster.
        straggler: how many times slower than the others the last worker is.
        bounds: on the staleness.
        updates: gradients in each run.
        keys: runs of each, with other clocks.
        on_runs: called with 1 after each run; the two synchronous ones count as one.

    Returns:
        By name a (clock, losses) for each key.
    """
    slow = [1.0] * (workers - 1) + [straggler]
    every = max(updates // 60, 1)
    runs: dict[str, list] = {}
    for key in range(keys):
        for bound in bounds:
            events = asynchronous.virtual_cluster(workers, updates, bound, seed=key, slowdown=slow)
            losses = learner.replay(rate, events, every, key)
            clock = np.concatenate([[0.0], events.time[every - 1 :: every]])
            runs.setdefault(f"τ ≤ {bound}", []).append((clock[: len(losses)], losses))
            on_runs(1)
        rounds = updates // workers
        random = np.random.default_rng(key)
        durations = np.array(slow) * np.exp(0.3 * random.standard_normal((rounds, workers)))
        clock = np.concatenate([[0.0], np.cumsum(durations.max(1))])
        for factor in (1, workers):
            losses = learner.synchronous(rate * factor, rounds, workers, key)
            name = f"synchronous, {factor}η" if factor > 1 else "synchronous"
            runs.setdefault(name, []).append((clock, losses))
        on_runs(1)
    return runs


def with_threads(
    learner: Learner, *, rate: float, workers: int, straggler: float, bound: int, updates: int
) -> dict[str, Any]:
    """Real threads with a straggler: staleness seen, and whether a replay gives the same bits.

    Args:
        learner: what is trained.
        rate: learning rate.
        workers: threads.
        straggler: how many times longer than the others the last one sleeps.
        bound: on the staleness.
        updates: gradients.

    Returns:
        {"staleness", "of_straggler" (arrays), "bound", "mean_staleness", "max_staleness",
        "seconds", "loss", "replay_is_bit_equal"}.
    """
    params, take = learner.problem.init(0), learner.batch(0)

    def before(worker: int, _: int) -> None:
        # A thread asleep stands for one that computes on a machine of its own.
        time.sleep(2e-3 * (straggler if worker == workers - 1 else 1.0))

    start = time.monotonic()
    found, events = asynchronous.train_threads(
        learner.gradient,
        params,
        optim.sgd(rate),
        take,
        steps=updates,
        workers=workers,
        max_staleness=bound,
        before=before,
    )
    seconds = time.monotonic() - start
    again = asynchronous.replay(learner.gradient, params, optim.sgd(rate), take, events)
    same = jax.tree.map(lambda a, b: bool((a == b).all()), found, again)
    return {
        "staleness": events.staleness,
        "of_straggler": events.staleness[events.worker == workers - 1],
        "bound": bound,
        "mean_staleness": float(events.staleness.mean()),
        "max_staleness": int(events.staleness.max()),
        "seconds": seconds,
        "loss": float(learner.loss(found)),
        "replay_is_bit_equal": all(jax.tree.leaves(same)),
    }
