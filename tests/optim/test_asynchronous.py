"""Asynchronous descent: serial limit, replay, the bound on staleness, stability, threads."""

import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnets import optim
from jaxnets.optim import asynchronous as a
from jaxnets.optim.staleness import Events, Ledger

X = np.random.default_rng(0).normal(size=(400, 8, 5)).astype(np.float32)
Y = np.tanh(X @ np.array([1.0, -2.0, 0.5, 0.0, 1.5], np.float32))
START = {"w": jnp.zeros(5), "b": jnp.zeros(())}


def batch(i):
    return X[i % len(X)], Y[i % len(X)]


def loss(params, batch):
    x, y = batch
    return jnp.mean((jnp.tanh(x @ params["w"] + params["b"]) - y) ** 2)


gradient = jax.grad(loss)


def same_bits(one, other):
    return all(
        np.array_equal(np.asarray(p), np.asarray(q))
        for p, q in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    )


def serial(rule, steps):
    """An ordinary training loop, all in one jitted step."""

    @jax.jit
    def step(params, state, b):
        updates, state = rule.update(gradient(params, b), state, params)
        return optax.apply_updates(params, updates), state

    params, state = START, rule.init(START)
    for i in range(steps):
        params, state = step(params, state, batch(i))
    return params


class TestSerialLimit:
    @pytest.mark.parametrize("rule", [optim.sgd(0.1), optim.momentum(0.05), optim.adam(0.01)])
    def test_one_worker_is_gradient_descent_bit_for_bit(self, rule):
        expected = serial(rule, 60)
        assert same_bits(a.replay(gradient, START, rule, batch, a.round_robin(1, 60)), expected)
        found, events = a.train_threads(
            gradient, START, rule, batch, steps=60, workers=1, max_staleness=0
        )
        assert same_bits(found, expected)
        assert (events.staleness == 0).all()

    def test_no_staleness_allowed_makes_any_cluster_serial(self):
        rule = optim.momentum(0.05)
        expected = serial(rule, 60)
        events = a.virtual_cluster(5, 60, max_staleness=0)
        assert len(set(events.worker)) == 5
        assert same_bits(a.replay(gradient, START, rule, batch, events), expected)
        found, _ = a.train_threads(
            gradient, START, rule, batch, steps=60, workers=3, max_staleness=0
        )
        assert same_bits(found, expected)

    def test_stale_gradients_give_other_parameters(self):
        rule = optim.sgd(0.1)
        stale = a.replay(gradient, START, rule, batch, a.round_robin(4, 60))
        assert not same_bits(stale, serial(rule, 60))


class TestReplay:
    def test_the_same_events_give_the_same_bits(self):
        rule = optim.momentum(0.02)
        events = a.virtual_cluster(6, 120, max_staleness=8, seed=3)
        again = a.virtual_cluster(6, 120, max_staleness=8, seed=3)
        assert all(np.array_equal(x, y) for x, y in zip(events, again, strict=True))
        assert not np.array_equal(events.worker, a.virtual_cluster(6, 120, 8, seed=4).worker)
        first = a.replay(gradient, START, rule, batch, events)
        assert same_bits(first, a.replay(gradient, START, rule, batch, again))

    def test_against_a_loop_over_all_versions(self, x64):
        """NumPy, every version kept: x_{k+1} = x_k − η∇f(x_version, batch)."""
        events = a.virtual_cluster(4, 50, max_staleness=5, seed=1)
        w, b = [np.zeros(5)], [0.0]
        for k in range(50):
            x, y = (v.astype(float) for v in batch(int(events.batch[k])))
            v = int(events.version[k])
            out = np.tanh(x @ w[v] + b[v])
            delta = 2 * (out - y) * (1 - out**2) / len(y)
            w.append(w[-1] - 0.1 * x.T @ delta)
            b.append(b[-1] - 0.1 * delta.sum())
        seen = []
        start = jax.tree.map(lambda p: p.astype(jnp.float64), START)
        found = a.replay(
            gradient, start, optim.sgd(0.1), batch, events, observe=lambda k, p: seen.append((k, p))
        )
        np.testing.assert_allclose(found["w"], w[-1], rtol=0, atol=1e-13)
        np.testing.assert_allclose([p["b"] for _, p in seen], b[1:], rtol=0, atol=1e-13)
        assert [k for k, _ in seen] == list(range(1, 51))

    def test_impossible_events(self):
        future = Events(np.zeros(2, int), np.array([0, 5]), np.arange(2), np.zeros(2))
        with pytest.raises(ValueError, match="must lie between"):
            a.replay(gradient, START, optim.sgd(0.1), batch, future)


class TestBound:
    @pytest.mark.parametrize("workers", [1, 2, 5, 9])
    @pytest.mark.parametrize("bound", [0, 1, 3, 8, 20])
    def test_nothing_older_than_the_bound_is_applied(self, workers, bound):
        slow = np.linspace(1, 6, workers)
        events = a.virtual_cluster(workers, 300, bound, spread=1.0, slowdown=slow)
        stale = events.staleness
        assert stale.min() >= 0 and stale.max() <= bound
        # The bound is used, where the workers are enough to reach it.
        assert stale.max() >= min(bound, workers - 1)
        assert sorted(events.batch) == list(range(300))
        assert (np.diff(events.time) >= 0).all()
        # Nobody reads again before pushing, nor pushes what was not read yet.
        for worker in range(workers):
            mine = np.flatnonzero(events.worker == worker)
            assert (events.version[mine][1:] > mine[:-1]).all()

    def test_workers_of_one_speed_take_turns(self):
        events = a.virtual_cluster(4, 20, max_staleness=9, spread=0.0)
        expected = a.round_robin(4, 20)
        for name in ("worker", "version", "batch", "time"):
            np.testing.assert_array_equal(getattr(events, name), getattr(expected, name))

    def test_a_straggler_holds_up_no_more_than_the_bound_demands(self):
        """One of four workers ten times slower; the synchronous round waits for it every time."""
        slow = [1, 1, 1, 10]
        took = [
            a.virtual_cluster(4, 400, bound, spread=0.0, slowdown=slow).time[-1]
            for bound in (3, 31, 10_000)
        ]
        synchronous = 100 * 10.0
        # With no bound three workers give three updates a unit of time and the fourth a tenth.
        assert took[2] == pytest.approx(400 / 3.1, rel=0.03)
        assert took[2] <= took[1] < took[0] <= synchronous

    def test_ledger_refuses(self):
        ledger = Ledger(max_staleness=0, steps=1)
        ticket = ledger.read(0)
        with pytest.raises(ValueError, match="worker 1 may not read"):
            ledger.read(1)
        ledger.push(ticket, 0.0)
        assert ledger.exhausted and not ledger.may_read()
        ledger = Ledger(max_staleness=1, steps=9)
        first, second = ledger.read(0), ledger.read(1)
        ledger.push(second, 0.0)
        third = ledger.read(1)
        with pytest.raises(ValueError, match="worker 1 may not push"):
            ledger.push(third, 0.0)
        ledger.push(first, 0.0)
        ledger.push(third, 0.0)
        assert ledger.events().staleness.tolist() == [0, 1, 1]


class TestStability:
    """x ← x − ηλx_stale with the staleness constant at τ: the quadratic of the plan."""

    @staticmethod
    def size_after(rate, tau, steps=10_000):
        def step(carry, _):
            x = carry[0] - rate * carry[-1]
            return jnp.concatenate([x[None], carry[:-1]]), None

        history = jnp.ones(tau + 1)
        return float(jnp.abs(jax.lax.scan(step, history, length=steps)[0]).max())

    @pytest.mark.parametrize("tau", [0, 1, 2, 4, 8])
    def test_exact_limit_of_the_recursion(self, x64, tau):
        """Roots of z^{τ+1} − z^τ + ηλ leave the circle at ηλ = 2 sin(π/(4τ+2))."""
        limit = 2 * np.sin(np.pi / (4 * tau + 2))
        for share, inside in ((0.98, True), (1.02, False)):
            rate = share * limit
            roots = np.roots([1, -1, *[0] * (tau - 1), rate] if tau else [1, rate - 1])
            assert (np.abs(roots).max() < 1) == inside
            size = self.size_after(rate, tau)
            assert size < 1e-3 if inside else size > 1e3

    @pytest.mark.parametrize("tau", [0, 1, 2, 4, 8])
    def test_server_converges_if_and_about_only_if(self, x64, tau):
        """η ≤ 1/(λ(1+τ)) always converges; 2.1 times as much never does."""
        lam = 3.0
        events = a.round_robin(tau + 1, 1200)
        for share, converges in ((1.0, True), (2.1, False)):
            rule = optim.sgd(share / (lam * (1 + tau)))
            x = a.replay(lambda x, _: lam * x, jnp.ones(()), rule, lambda i: 0, events)
            assert abs(float(x)) < 1e-8 if converges else abs(float(x)) > 1e3

    def test_moderate_staleness_costs_little(self):
        """Loss parity: six workers, staleness five, the same number of updates."""
        x, y = X.reshape(-1, 5), Y.reshape(-1)
        rule = optim.sgd(0.1)
        losses = [
            float(loss(a.replay(gradient, START, rule, batch, a.round_robin(n, 400)), (x, y)))
            for n in (1, 6)
        ]
        start = float(loss(START, (x, y)))
        assert losses[0] < 0.05 * start
        assert losses[1] < 1.2 * losses[0]


class TestThreads:
    @pytest.mark.parametrize(("workers", "bound"), [(2, 1), (4, 3), (4, 1), (4, 12)])
    def test_replay_repeats_what_the_threads_did(self, workers, bound):
        rule = optim.momentum(0.02)
        random = np.random.default_rng(0).random(200)
        found, events = a.train_threads(
            gradient,
            START,
            rule,
            batch,
            steps=100,
            workers=workers,
            max_staleness=bound,
            before=lambda worker, i: time.sleep(1e-3 * random[i]),
        )
        assert events.staleness.max() <= bound
        assert sorted(events.batch) == list(range(100))
        assert same_bits(found, a.replay(gradient, START, rule, batch, events))

    def test_workers_are_at_work_at_the_same_time(self):
        """Four workers meet at a barrier inside their gradients; a serial server never would."""
        barrier = threading.Barrier(4, timeout=20)
        _, events = a.train_threads(
            gradient,
            START,
            optim.sgd(0.1),
            batch,
            steps=40,
            workers=4,
            max_staleness=3,
            before=lambda worker, i: barrier.wait() if i < 4 else None,
        )
        assert set(events.worker[:4].tolist()) == {0, 1, 2, 3}
        assert events.staleness[:4].tolist() == [0, 1, 2, 3]

    def test_float64_reaches_the_workers(self, x64):
        start = jax.tree.map(lambda p: p.astype(jnp.float64), START)
        found, events = a.train_threads(
            gradient, start, optim.sgd(0.1), batch, steps=20, workers=2, max_staleness=1
        )
        assert found["w"].dtype == jnp.float64
        assert same_bits(found, a.replay(gradient, start, optim.sgd(0.1), batch, events))

    def test_a_failing_worker_stops_the_others(self):
        def broken(i):
            if i == 7:
                raise RuntimeError("no batch 7")
            return batch(i)

        before = threading.active_count()
        with pytest.raises(RuntimeError, match="no batch 7"):
            a.train_threads(
                gradient, START, optim.sgd(0.1), broken, steps=50, workers=3, max_staleness=2
            )
        assert threading.active_count() == before


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: a.round_robin(0, 5), "workers must be"),
        (lambda: a.virtual_cluster(2, 5, -1), "max_staleness must be"),
        (lambda: a.virtual_cluster(2, 0, 1), "steps must be"),
        (lambda: a.virtual_cluster(2, 5, 1, spread=-1.0), "spread must be"),
        (lambda: a.virtual_cluster(2, 5, 1, slowdown=[1.0]), "slowdown must be 2 positive"),
        (lambda: a.virtual_cluster(2, 5, 1, slowdown=[1.0, 0.0]), "slowdown must be"),
    ],
)
def test_mistakes(call, message):
    with pytest.raises(ValueError, match=message):
        call()
