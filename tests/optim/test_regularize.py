"""Penalties, decay and the proximal step."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.linear_model import ElasticNet, Lasso

from jaxnets import optim

PARAMS = {
    "conv": {"kernel": jnp.arange(6.0).reshape(2, 3) - 2.5, "bias": jnp.array([0.5, -1.0, 2.0])},
    "norm": {"scale": jnp.array([1.5]), "bias": jnp.array([0.25])},
}


def data_loss(params):
    """Any smooth function of all parameters."""
    return sum(jnp.sum(jnp.sin(3 * leaf)) for leaf in jax.tree.leaves(params))


def run(rule, loss, params, steps):
    @jax.jit
    def step(params, state):
        updates, state = rule.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    state = rule.init(params)
    for _ in range(steps):
        params, state = step(params, state)
    return params


def distance(a, b):
    return max(jax.tree.leaves(jax.tree.map(lambda x, y: float(jnp.max(jnp.abs(x - y))), a, b)))


@pytest.fixture
def params(x64):
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), PARAMS)


class TestWherePenaltiesStand:
    def with_penalty(self, params, name, **options):
        """The penalty in the loss, the L2 transform, and decoupled decay, after 30 steps."""

        def penalized(p):
            return data_loss(p) + optim.elastic_penalty(p, l2=0.1)

        rule = optim.create_optimizer(name, 0.02, **options)
        in_loss = run(rule, penalized, params, 30)
        in_gradient = run(optax.chain(optim.l2(0.1), rule), data_loss, params, 30)
        direction = {
            "sgd": optax.identity(),
            "momentum": optim.heavy_ball(0.9),
            "adam": optim.scale_by_adam(),
        }[name]
        decoupled = optax.chain(
            direction, optim.decoupled_decay(0.1), optim.scale_by_learning_rate(0.02)
        )
        return in_loss, in_gradient, run(decoupled, data_loss, params, 30)

    @pytest.mark.parametrize("name", ["sgd", "momentum", "adam"])
    def test_l2_in_the_gradient_is_the_penalty_in_the_loss(self, params, name):
        in_loss, in_gradient, _ = self.with_penalty(params, name)
        assert distance(in_loss, in_gradient) < 1e-13

    def test_for_sgd_decoupled_decay_is_the_penalty(self, params):
        in_loss, _, decoupled = self.with_penalty(params, "sgd")
        assert distance(in_loss, decoupled) < 1e-13

    @pytest.mark.parametrize("name", ["momentum", "adam"])
    def test_for_momentum_and_adam_it_is_not(self, params, name):
        in_loss, _, decoupled = self.with_penalty(params, name)
        assert distance(in_loss, decoupled) > 1e-3

    def test_adamw_is_adam_with_decoupled_decay(self, params):
        by_name = run(
            optim.create_optimizer("adamw", 0.02, weight_decay=0.1), data_loss, params, 30
        )
        assert distance(by_name, self.with_penalty(params, "adam")[2]) == 0

    def test_create_optimizer_decays_all_unless_masked(self, params):
        def still(p):
            return 0.0 * data_loss(p)

        for name in ("sgd", "adamw"):
            everything = run(optim.create_optimizer(name, 0.5, weight_decay=0.1), still, params, 1)
            expected = jax.tree.map(lambda p: p * (1 - 0.05), params)
            assert distance(everything, expected) < 1e-15
            rule = optim.create_optimizer(name, 0.5, weight_decay=0.1, mask=optim.mask_by_name)
            kernels = run(rule, still, params, 1)
            expected["conv"]["bias"] = params["conv"]["bias"]
            expected["norm"] = params["norm"]
            assert distance(kernels, expected) < 1e-15

    def test_default_decay(self, params):
        """None takes the rule's own: 0.01 for AdamW, nothing for the others; 0 is 0."""

        def still(p):
            return 0.0 * data_loss(p)

        assert distance(run(optim.create_optimizer("adam", 0.5), still, params, 1), params) == 0
        moved = run(optim.create_optimizer("adamw", 0.5), still, params, 1)
        assert distance(moved, jax.tree.map(lambda p: p * (1 - 0.005), params)) < 1e-15
        none = optim.create_optimizer("adamw", 0.5, weight_decay=0.0)
        assert distance(run(none, still, params, 1), params) == 0


class TestPenalties:
    def test_transforms_are_the_gradients_of_the_penalty(self, params):
        def penalty(p):
            return optim.elastic_penalty(p, l1=0.3, l2=0.7, mask=optim.mask_by_name)

        rule = optim.elastic(0.3, 0.7, mask=optim.mask_by_name)
        zero = jax.tree.map(jnp.zeros_like, params)
        found, _ = rule.update(zero, rule.init(params), params)
        assert distance(found, jax.grad(penalty)(params)) < 1e-15
        kernel = np.asarray(params["conv"]["kernel"])
        wanted = 0.3 * np.abs(kernel).sum() + 0.35 * (kernel**2).sum()
        assert float(penalty(params)) == pytest.approx(wanted, rel=1e-14)

    def test_l1_pulls_by_the_same_amount_everywhere(self, params):
        rule = optim.l1(0.3)
        zero = jax.tree.map(jnp.zeros_like, params)
        found, _ = rule.update(zero, rule.init(params), params)
        np.testing.assert_allclose(found["conv"]["bias"], [0.3, -0.3, 0.3])

    def test_elastic_is_l1_and_l2(self, params):
        grads = jax.grad(data_loss)(params)
        both = optax.chain(optim.l1(0.3), optim.l2(0.7))
        one = optim.elastic(0.3, 0.7)
        a, _ = both.update(grads, both.init(params), params)
        b, _ = one.update(grads, one.init(params), params)
        assert distance(a, b) < 1e-15


class TestLasso:
    """ISTA on 1/(2n)‖Xw − y‖² + λ‖w‖₁, the objective of scikit-learn."""

    @pytest.fixture
    def problem(self, x64):
        random = np.random.default_rng(0)
        x = random.normal(size=(60, 20)) * np.linspace(0.5, 2, 20)
        truth = np.where(np.arange(20) % 3 == 0, random.normal(size=20), 0.0)
        y = x @ truth + 0.1 * random.normal(size=60)
        return x, y

    @staticmethod
    def ista(problem, l1, l2, steps, schedule=False):
        x, y = problem
        a = x.T @ x / len(x)
        rate = 1 / (np.linalg.eigvalsh(a)[-1] + l2)
        if schedule:
            peak = rate
            rate = lambda count: jnp.where(count < 100, peak, peak / 2)  # noqa: E731

        def loss(w):
            return jnp.mean((x @ w - y) ** 2) / 2 + optim.elastic_penalty(w, l2=l2)

        rule = optax.chain(optim.sgd(rate), optim.proximal_l1(l1, rate))

        @jax.jit
        def solve(w):
            def step(carry, _):
                w, state = carry
                updates, state = rule.update(jax.grad(loss)(w), state, w)
                return (optax.apply_updates(w, updates), state), None

            return jax.lax.scan(step, (w, rule.init(w)), length=steps)[0][0]

        return np.asarray(solve(jnp.zeros(x.shape[1])))

    @pytest.mark.parametrize("schedule", [False, True])
    def test_lasso_equals_scikit_learn(self, problem, schedule):
        x, y = problem
        found = self.ista(problem, 0.1, 0.0, 5000, schedule)
        wanted = Lasso(alpha=0.1, fit_intercept=False, tol=1e-12, max_iter=100_000).fit(x, y).coef_
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-8)
        # Exactly zero, not merely small, and in the same places.
        assert ((found == 0) == (wanted == 0)).all()
        assert 5 <= (found == 0).sum() < 20

    def test_elastic_net_equals_scikit_learn(self, problem):
        """scikit-learn: α·r‖w‖₁ + α(1−r)/2‖w‖²."""
        x, y = problem
        net = ElasticNet(alpha=0.2, l1_ratio=0.6, fit_intercept=False, tol=1e-12, max_iter=100_000)
        found = self.ista(problem, 0.12, 0.08, 5000)
        np.testing.assert_allclose(found, net.fit(x, y).coef_, rtol=0, atol=1e-8)

    def test_the_subgradient_makes_no_zeros(self, problem):
        x, y = problem
        rule = optim.create_optimizer("sgd", 0.05)
        chain = optax.chain(optim.l1(0.1), rule)
        w = run(chain, lambda w: jnp.mean((x @ w - y) ** 2) / 2, jnp.zeros(20), 2000)
        assert (np.asarray(w) != 0).all()

    def test_masked_leaves_pass(self):
        rule = optax.chain(optim.sgd(1.0), optim.proximal_l1(5.0, 1.0, optim.mask_by_name))
        params = {"kernel": jnp.ones(3), "bias": jnp.ones(3)}
        updates, _ = rule.update(jax.tree.map(jnp.zeros_like, params), rule.init(params), params)
        moved = optax.apply_updates(params, updates)
        assert (moved["kernel"] == 0).all() and (moved["bias"] == 1).all()


class TestMasks:
    def test_prefix_of_the_tree(self):
        rule = optim.l2(1.0, mask={"conv": True, "norm": False})
        zero = jax.tree.map(jnp.zeros_like, PARAMS)
        found, _ = rule.update(zero, rule.init(PARAMS), PARAMS)
        assert distance(found["conv"], PARAMS["conv"]) == 0
        assert distance(found["norm"], zero["norm"]) == 0

    def test_names_in_any_container(self):
        from typing import NamedTuple

        class Layer(NamedTuple):
            kernel: int
            bias: int

        assert optim.mask_by_name([Layer(1, 2), {"embedding": 3}]) == [
            Layer(True, False),
            {"embedding": True},
        ]
        assert optim.mask_by_name({"alpha": 1, "bias": 2}, excluded=["alpha"]) == {
            "alpha": False,
            "bias": True,
        }

    @pytest.mark.parametrize(
        ("mask", "message"),
        [
            ({"conv": 1, "norm": True}, "Python booleans"),
            ({"conv": True}, "structure of the parameters"),
            (lambda params: 0.5, "Python booleans"),
        ],
    )
    def test_bad_masks(self, mask, message):
        rule = optim.l2(1.0, mask=mask)
        with pytest.raises(ValueError, match=message):
            rule.update(PARAMS, rule.init(PARAMS), PARAMS)

    @pytest.mark.parametrize(
        "rule",
        [optim.l2(0.1), optim.decoupled_decay(0.1), optim.proximal_l1(0.1, 0.1), optim.adamw(0.1)],
    )
    def test_parameters_are_needed(self, rule):
        with pytest.raises(ValueError, match="call update"):
            rule.update(PARAMS, rule.init(PARAMS))
