"""First-order rules against what algebra says they do."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnets import optim
from jaxnets.optim.adam import bias_correction


def walk(rule, gradient, x0, steps, at=lambda x, state: x):
    """x after 0, 1, …, `steps` updates; the gradient is taken `at` a point of choice."""

    def step(carry, _):
        x, state = carry
        updates, state = rule.update(gradient(at(x, state)), state, x)
        x = optax.apply_updates(x, updates)
        return (x, state), (x, state)

    x0 = jnp.asarray(x0)
    first = rule.init(x0)
    _, (path, states) = jax.jit(lambda: jax.lax.scan(step, (x0, first), length=steps))()
    return jnp.concatenate([x0[None], path]), states


def quadratic(eigenvalues, seed=0):
    """A symmetric matrix with these eigenvalues, and its eigenvectors."""
    n = len(eigenvalues)
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(n, n)))
    return (q * eigenvalues) @ q.T, q


class TestGradientDescent:
    def test_quadratic_follows_the_matrix_power(self, x64):
        a, _ = quadratic(np.array([0.1, 1.0, 3.0, 10.0]))
        x0 = np.array([1.0, -2.0, 3.0, 0.5])
        path, _ = walk(optim.sgd(0.15), lambda x: a @ x, x0, 100)
        m = np.eye(4) - 0.15 * a
        wanted = [np.linalg.matrix_power(m, t) @ x0 for t in range(101)]
        np.testing.assert_allclose(path, wanted, rtol=0, atol=1e-10)

    @pytest.mark.parametrize(("share", "converges"), [(0.999, True), (1.001, False)])
    def test_diverges_exactly_beyond_two_over_the_largest_eigenvalue(self, x64, share, converges):
        eigenvalues = np.array([0.5, 2.0, 7.0])
        a, q = quadratic(eigenvalues)
        path, _ = walk(optim.sgd(share * 2 / 7.0), lambda x: a @ x, q @ np.ones(3), 20_000)
        size = np.linalg.norm(path[-1])
        # |1 − ηλ| = 0.998 or 1.002, to the power 20,000.
        assert size < 1e-15 if converges else size > 1e15

    def test_oscillates_across_the_steep_direction(self, x64):
        path, _ = walk(optim.sgd(1.5), lambda x: x, np.ones(1), 10)
        assert (np.sign(path[:, 0]) == [(-1) ** t for t in range(11)]).all()

    def test_rests_on_a_saddle_and_leaves_it_by_the_unstable_direction(self, x64):
        """x² − y²: with y = 0 it stays for ever, with y = ε it escapes as (1 + 2η)^t."""
        gradient = jax.grad(lambda p: p[0] ** 2 - p[1] ** 2)
        path, _ = walk(optim.sgd(0.1), gradient, np.array([1.0, 0.0]), 200)
        assert np.linalg.norm(path[-1]) < 1e-15
        path, _ = walk(optim.sgd(0.1), gradient, np.array([1.0, 1e-9]), 50)
        np.testing.assert_allclose(path[:, 1], 1e-9 * 1.2 ** np.arange(51), rtol=1e-12)


class TestMomentum:
    @pytest.mark.parametrize(
        ("eta", "lam", "rho"), [(0.1, 1.0, 0.9), (0.1, 1.0, 0.3), (1.0, 3.0, 0.8), (0.02, 0.5, 0.7)]
    )
    def test_heavy_ball_closed_form(self, x64, eta, lam, rho):
        """x_{t+1} = (1 + ρ − ηλ)x_t − ρx_{t−1}: powers of two roots, complex when it swings."""
        path, _ = walk(optim.momentum(eta, rho), lambda x: lam * x, np.ones(1), 80)
        roots = np.roots([1, -(1 + rho - eta * lam), rho]).astype(complex)
        x1 = 1 - eta * lam
        c = np.linalg.solve(np.array([[1, 1], roots]), np.array([1, x1], complex))
        t = np.arange(81)[:, None]
        np.testing.assert_allclose(path[:, 0], (c * roots**t).sum(1).real, rtol=0, atol=1e-12)

    def test_overshoots_where_gradient_descent_does_not(self, x64):
        plain, _ = walk(optim.sgd(0.1), lambda x: x, np.ones(1), 100)
        ball, _ = walk(optim.momentum(0.1, 0.9), lambda x: x, np.ones(1), 100)
        assert plain.min() > 0
        assert ball.min() < -0.3

    def test_alexnet_rule(self, x64):
        """v ← 0.9v − 0.0005εw − ε∂L, w ← w + v, the rate falling on the way."""
        rate = optim.schedules.step(0.1, 20)
        rule = optim.create_optimizer(
            "momentum", rate, momentum=0.9, weight_decay=5e-4, learning_rate_in_velocity=True
        )
        path, _ = walk(rule, jnp.cos, np.array([0.3, 2.0]), 60)
        w, v, wanted = np.array([0.3, 2.0]), np.zeros(2), []
        for t in range(60):
            wanted.append(w)
            epsilon = 0.1 * 0.1 ** (t // 20)
            v = 0.9 * v - 0.0005 * epsilon * w - epsilon * np.cos(w)
            w = w + v
        np.testing.assert_allclose(path, [*wanted, w], rtol=0, atol=1e-12)

    def test_where_the_rate_stands_matters_only_when_it_changes(self, x64):
        def apart(rate):
            inside, _ = walk(
                optim.momentum(rate, learning_rate_in_velocity=True), jnp.sin, np.ones(1), 40
            )
            outside, _ = walk(optim.momentum(rate), jnp.sin, np.ones(1), 40)
            return np.abs(inside - outside).max()

        assert apart(0.1) < 1e-14
        assert apart(optim.schedules.step(0.1, 10)) > 1e-2


class TestNesterov:
    @staticmethod
    def forms(rate, inside):
        """y of the re-parametrized form, and x + ρv of the look-ahead form."""
        rho = 0.9

        def gradient(p):
            return jax.grad(lambda p: (1 - p[0]) ** 2 + 10 * (p[1] - p[0] ** 2) ** 2)(p)

        x0 = np.array([-0.7, 0.4])
        y, _ = walk(optim.nesterov(rate, rho, learning_rate_in_velocity=inside), gradient, x0, 200)
        rule = optim.nesterov_lookahead(rate, rho)
        x, states = walk(
            rule, gradient, x0, 200, at=lambda x, state: optim.look_ahead(x, state, rho)
        )
        ahead = jax.vmap(lambda x, s: optim.look_ahead(x, s, rho))(x[1:], states)
        return y[1:], ahead, x[1:]

    def test_both_forms_are_one_after_the_change_of_variable(self, x64):
        y, ahead, x = self.forms(2e-3, inside=False)
        np.testing.assert_allclose(y, ahead, rtol=0, atol=1e-12)
        # Before the change they are not.
        assert np.abs(y - x).max() > 1e-3

    def test_also_under_a_schedule_with_the_learning_rate_in_velocity(self, x64):
        rate = optim.schedules.step(2e-3, 50, 0.3)
        y, ahead, _ = self.forms(rate, inside=True)
        np.testing.assert_allclose(y, ahead, rtol=0, atol=1e-12)

    def test_closed_form_on_a_quadratic(self, x64):
        """x + ρv on λx²/2: y_{t+1} = (1−ηλ)((1+ρ)y_t − ρy_{t−1})."""
        eta, lam, rho = 0.1, 2.0, 0.9
        path, _ = walk(optim.nesterov(eta, rho), lambda x: lam * x, np.ones(1), 60)
        wanted = [1.0, 1.0 - eta * lam * (1 + rho)]
        for t in range(2, 61):
            wanted.append((1 - eta * lam) * ((1 + rho) * wanted[t - 1] - rho * wanted[t - 2]))
        np.testing.assert_allclose(path[:, 0], wanted, rtol=0, atol=1e-12)

    def test_look_ahead_needs_a_velocity(self):
        with pytest.raises(ValueError, match="exactly one velocity"):
            optim.look_ahead(jnp.zeros(2), optim.sgd(0.1).init(jnp.zeros(2)))


class TestAdaptive:
    def test_adagrad_steps_shrink_as_one_over_root_t(self, x64):
        path, _ = walk(optim.adagrad(0.5), lambda x: jnp.full_like(x, -3.0), np.zeros(1), 400)
        steps = np.diff(path[:, 0])
        np.testing.assert_allclose(steps, 0.5 / np.sqrt(np.arange(1, 401)), rtol=1e-9)
        assert (np.diff(steps) < 0).all()

    def test_rmsprop_steps_settle_where_adagrad_vanishes(self, x64):
        path, _ = walk(optim.rmsprop(0.5, decay=0.9), jnp.ones_like, np.zeros(1), 400)
        steps = -np.diff(path[:, 0])
        t = np.arange(1, 401)
        np.testing.assert_allclose(steps, 0.5 / (np.sqrt(1 - 0.9**t) + 1e-8), rtol=1e-12)

    def test_rmsprop_as_tensorflow_does_it(self, x64):
        """Inception-v3's setting: ε = 1 under the root, s = 1 at first, the rate inside."""
        rule = optim.rmsprop(
            optim.schedules.step(0.045, 5, 0.94),
            decay=0.9,
            eps=1.0,
            momentum=0.9,
            eps_in_sqrt=True,
            initial_scale=1.0,
            learning_rate_in_velocity=True,
        )
        path, _ = walk(rule, jnp.cos, np.array([0.3, 2.0]), 30)
        w, s, mom, wanted = np.array([0.3, 2.0]), np.ones(2), np.zeros(2), []
        for t in range(30):
            wanted.append(w)
            g = np.cos(w)
            s = 0.9 * s + 0.1 * g * g
            mom = 0.9 * mom + 0.045 * 0.94 ** (t // 5) * g / np.sqrt(s + 1.0)
            w = w - mom
        np.testing.assert_allclose(path, [*wanted, w], rtol=0, atol=1e-12)

    def test_centered_rmsprop_survives_a_variance_of_nothing(self):
        """With a constant gradient s − mean² is rounding only, and must not go below zero."""
        rule = optim.rmsprop(0.1, centered=True, decay=0.5)
        path, _ = walk(rule, lambda x: jnp.full_like(x, 0.1), np.zeros(3, np.float32), 200)
        assert np.isfinite(path).all()

    def test_adadelta_needs_no_rate_and_no_units(self, x64):
        """In the first steps, while ε rules, Δ is about √ε; then the units cancel."""
        path, _ = walk(optim.adadelta(1.0, eps=1e-20), lambda x: x, np.ones(1), 50)
        scaled, _ = walk(optim.adadelta(1.0, eps=1e-20), lambda x: 1e6 * x, np.ones(1), 50)
        np.testing.assert_allclose(path, scaled, rtol=1e-9)


class TestAdam:
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_first_step_is_the_rate_times_the_sign(self, x64, dtype):
        g = jnp.asarray([5.0, -1e-4, 3e4, -0.7], dtype)
        rule = optim.adam(0.01, eps=0.0)
        updates, _ = rule.update(g, rule.init(g))
        # A few roundings each; the float32 expm1 of the two corrections adds 2e-7.
        np.testing.assert_allclose(
            updates, -0.01 * np.sign(g), rtol=1e-14 if dtype == "float64" else 1e-6
        )

    def test_corrections_keep_their_digits_in_float32(self):
        """1 − 0.999^t by subtraction would be wrong by 5e-5 at t = 1."""
        t = np.arange(1, 2000)
        found = bias_correction(0.999, jnp.asarray(t), jnp.float32)
        np.testing.assert_allclose(found, -np.expm1(t * np.log(0.999)), rtol=5e-7)

    def test_amsgrad_never_lets_a_rate_grow(self, x64):
        """Reddi's example in spirit: a rare large gradient is remembered by AMSGrad only."""
        rule, plain = optim.amsgrad(1.0, b1=0.0, b2=0.5), optim.adam(1.0, b1=0.0, b2=0.5)
        big, small = jnp.asarray([10.0]), jnp.asarray([0.1])
        state, plain_state = rule.init(big), plain.init(big)
        for g in [big] + [small] * 60:
            updates, state = rule.update(g, state)
            plain_updates, plain_state = plain.update(g, plain_state)
        # v at its largest is half of 100; corrected by 1.
        assert float(updates[0]) == pytest.approx(-0.1 / np.sqrt(50), rel=1e-6)
        assert float(plain_updates[0]) == pytest.approx(-1.0, rel=1e-6)
