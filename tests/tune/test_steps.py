"""First loss, overfitting a small set, range test: closed forms; broken networks are caught."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnets
from jaxnets.data import load_dataset
from jaxnets.errors import JaxnetsError, UnknownNameError
from jaxnets.models import create_model
from jaxnets.optim import regularize
from jaxnets.tune import (
    FirstLoss,
    Overfit,
    RangeTest,
    RateGrid,
    check_first_loss,
    classification_loss,
    draw_batches,
    overfit_small_set,
    range_test,
    rate_grid,
    with_small_last_layer,
)


class Linear(nn.Module):
    """A softmax regression whose weights are drawn with a given standard deviation."""

    classes: int = 10
    std: float = 0.05

    @nn.compact
    def __call__(self, x, *, train=False):
        init = nn.initializers.normal(self.std)
        return nn.Dense(self.classes, kernel_init=init)(x.reshape(len(x), -1))


def scaled(x):
    return jnp.asarray(x, jnp.float32) / 128 - 1


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits").train


def variables_of(model, images):
    keys = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
    return jax.jit(model.init)(keys, scaled(images[:1]))


class TestFirstLoss:
    def check(self, digits, model, labels=None, count=200, **options):
        images = digits.images[:count]
        labels = digits.labels[:count] if labels is None else labels
        options = {"num_classes": 10, "preprocess": scaled, **options}
        return check_first_loss(model, variables_of(model, images), images, labels, **options)

    def test_a_small_last_layer_of_a_network_with_auxiliary_heads(self):
        params = {
            "aux_head": {"fc": {"kernel": jnp.ones((8, 3)), "bias": jnp.ones(3)}},
            "conv": {"kernel": jnp.ones((1, 1, 3, 8))},
            "head": {"kernel": jnp.ones((8, 3)), "bias": jnp.ones(3)},
        }
        small = with_small_last_layer(jax.random.key(0), {"params": params}, num_classes=3)
        found = small["params"]
        for layer in (found["head"], found["aux_head"]["fc"]):
            assert float(jnp.abs(layer["kernel"]).max()) < 0.01 and not layer["bias"].any()
        assert not np.array_equal(found["head"]["kernel"], found["aux_head"]["fc"]["kernel"])
        assert (found["conv"]["kernel"] == 1).all()
        alone = {"params": {k: v for k, v in params.items() if k != "aux_head"}}
        alone = with_small_last_layer(jax.random.key(0), alone, num_classes=3)
        np.testing.assert_array_equal(alone["params"]["head"]["kernel"], found["head"]["kernel"])

    @pytest.mark.parametrize("classes, expected", [(10, 2.302585), (1000, 6.907755)])
    def test_a_small_last_layer_starts_at_ln_of_the_classes(self, digits, classes, expected):
        images, labels = digits.images[:100], digits.labels[:100]
        model = create_model("lenet5", num_classes=classes)
        variables = with_small_last_layer(
            jax.random.key(2), variables_of(model, images), num_classes=classes
        )
        found = check_first_loss(
            model, variables, images, labels, num_classes=classes, preprocess=scaled
        )
        assert isinstance(found, FirstLoss)
        assert found.expected == pytest.approx(expected, abs=1e-6)
        assert found.loss == pytest.approx(expected, abs=1e-2)
        assert found.logit_std < 0.02

    def test_every_usual_network_passes(self, digits):
        for name in ("mlp", "lenet5"):
            found = self.check(digits, create_model(name, num_classes=10))
            assert found.ok, found.findings

    def test_regularization_raises_it_by_exactly_the_penalty(self, digits):
        images, labels = digits.images[:50], digits.labels[:50]
        model = Linear()
        variables = variables_of(model, images)
        found = check_first_loss(
            model,
            variables,
            images,
            labels,
            num_classes=10,
            preprocess=scaled,
            penalty=lambda params: regularize.elastic_penalty(params, l2=0.1),
        )
        leaves = [np.asarray(w, np.float64) for w in jax.tree.leaves(variables["params"])]
        assert found.penalized - found.loss == pytest.approx(
            0.05 * sum((w**2).sum() for w in leaves), rel=1e-5
        )
        without = self.check(digits, Linear(), penalty=lambda params: jnp.zeros(()))
        assert not without.ok and "regularization must raise it" in without.findings[0]

    def test_logits_of_variance_s_squared_cost_half_of_it(self):
        """Independent Gaussian logits: E log Σ exp z − ln C → s²/2 for many classes."""
        images = np.random.default_rng(0).normal(size=(400, 20, 20, 1)).astype(np.float32)
        labels = np.arange(400) % 1000
        model = Linear(classes=1000, std=1 / 20)
        found = check_first_loss(
            model, model.init(jax.random.key(0), images), images, labels, num_classes=1000
        )
        assert found.logit_std == pytest.approx(1, abs=0.05)
        assert found.loss - found.expected == pytest.approx(0.5, abs=0.05)
        assert found.ok

    @pytest.mark.parametrize(
        "model, options, words",
        [
            (Linear(std=3.0), {}, "logits are too large"),
            (Linear(classes=100), {}, "100 outputs for 10 classes"),
            (Linear(), {"labels": lambda y: y + 1}, "off by one"),
            (Linear(), {"labels": lambda y: y - 1}, "labels run from -1 to 8"),
            (Linear(), {"labels": lambda y: y % 3}, "only 3 of 10 classes"),
            (Linear(), {"preprocess": lambda x: x * 1.0}, "preprocessing is missing"),
        ],
    )
    def test_what_is_wrong_is_named(self, digits, model, options, words):
        options = dict(options)
        if "labels" in options:
            options["labels"] = options["labels"](digits.labels[:200])
        found = self.check(digits, model, **options)
        assert not found.ok
        assert any(words in finding for finding in found.findings), found.findings

    def test_a_sum_in_place_of_a_mean_and_a_trained_network(self, digits):
        def total(logits, labels):
            return jaxnets.losses.cross_entropy(logits, labels, reduction="sum")

        found = self.check(digits, Linear(std=1e-3), loss_fn=total)
        assert any("a sum, not a mean" in finding for finding in found.findings)
        half = self.check(digits, Linear(std=1e-3), loss_fn=lambda z, y: 0.001 * total(z, y))
        assert any("below ln C" in finding for finding in half.findings)

    def test_bad_input(self, digits):
        with pytest.raises(JaxnetsError, match="200 images and 3 labels"):
            self.check(digits, Linear(), labels=np.arange(3))
        with pytest.raises(JaxnetsError, match="found none"):
            with_small_last_layer(
                jax.random.key(0), variables_of(Linear(), digits.images), num_classes=7
            )


class Broken(nn.Module):
    """A network with one thing broken."""

    fault: str

    @nn.compact
    def __call__(self, x, *, train=False):
        x = x.reshape(len(x), -1)
        if self.fault == "input":
            x = 0 * x
        x = nn.Dense(32, name="hidden")(x)
        if self.fault == "dead":
            x = nn.relu(x - 1e3)
        elif self.fault == "cut":
            x = jax.lax.stop_gradient(nn.relu(x))
        elif self.fault == "narrow":
            x = nn.tanh(x)[:, :1]
        else:
            x = nn.relu(x)
        if self.fault == "evaluation":
            x = x if train else x[:, ::-1]
        return nn.Dense(10, name="output")(x)


@pytest.fixture(scope="module")
def small(digits):
    return digits.images[:32], digits.labels[:32]


class TestOverfit:
    def learn(self, model, images, labels, **options):
        return overfit_small_set(model, images, labels, preprocess=scaled, **options)

    def test_a_sound_network_overfits_a_small_set(self, small):
        found = self.learn(Broken("none"), *small)
        assert isinstance(found, Overfit)
        assert found.ok and found.accuracy == 1.0 and found.steps <= 200
        assert len(found.losses) == found.steps and found.losses[-1] < found.losses[0]

    def test_the_losses_are_those_of_adam_by_hand(self, small):
        """Softmax regression in float64: the losses, and that ten steps may well be enough."""
        model, (images, labels) = Linear(std=0.0), small
        options = {"optimizer": optax.adam(2e-3), "steps": 30, "check_every": 1}
        found = self.learn(model, images, labels, **options)
        x = np.asarray(images, np.float64).reshape(len(images), -1) / 128 - 1
        x = np.concatenate([x, np.ones((len(x), 1))], 1)
        w, m, v, expected = np.zeros((x.shape[1], 10)), 0.0, 0.0, []
        for t in range(1, found.steps + 1):
            p = np.exp(x @ w)
            p /= p.sum(1, keepdims=True)
            expected.append(-np.log(p[np.arange(len(x)), labels]).mean())
            g = x.T @ (p - np.eye(10)[labels]) / len(x)
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
            w -= 2e-3 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        np.testing.assert_allclose(found.losses, expected, rtol=1e-3)
        assert found.accuracy == ((x @ w).argmax(1) == labels).mean()

    @pytest.mark.parametrize(
        "fault, words",
        [
            ("input", "the same for every image"),
            ("dead", "no gradient reaches hidden/bias, hidden/kernel"),
            ("cut", "no gradient reaches hidden/bias, hidden/kernel"),
            ("evaluation", "evaluation differs"),
            ("narrow", "too small"),
        ],
    )
    def test_a_broken_network_is_caught_and_named(self, small, fault, words):
        steps = 60 if fault != "narrow" else 1500
        found = self.learn(Broken(fault), *small, steps=steps, check_every=30)
        assert not found.ok
        assert any(words in finding for finding in found.findings), found.findings

    def test_contradicting_labels_are_found(self, small):
        images, labels = small[0].copy(), small[1].copy()
        images[5], labels[5] = images[2], (labels[2] + 1) % 10
        found = self.learn(Broken("none"), images, labels, steps=60)
        assert any("images 2 and 5 are equal" in finding for finding in found.findings)

    def test_too_small_a_budget_says_so(self, small):
        found = self.learn(Broken("none"), *small, steps=5)
        assert not found.ok and "more steps" in found.findings[-1]

    def test_labels_out_of_range_give_a_loss_that_is_not_finite(self, small):
        found = self.learn(Broken("none"), small[0], small[1] + 5)
        assert "the loss became nan at step 1" in found.findings[1]

    def test_bad_input(self, small):
        with pytest.raises(JaxnetsError, match="of 1 classes"):
            self.learn(Broken("none"), small[0], 0 * small[1])
        with pytest.raises(JaxnetsError, match="steps must be 1 or more"):
            self.learn(Broken("none"), *small, steps=0)


def quadratic(eigenvalues):
    scale = jnp.asarray(eigenvalues, jnp.float32)
    return lambda w, _: 0.5 * (scale * w**2).sum()


class TestRangeTest:
    @pytest.mark.parametrize("top", [0.3, 10.0, 1e4])
    @pytest.mark.parametrize("condition", [1.0, 10.0, 1000.0])
    def test_on_a_quadratic_it_is_stable_and_near_the_best(self, top, condition):
        eigenvalues = np.geomspace(top / condition, top, 20)
        found = range_test(quadratic(eigenvalues), jnp.ones(20))
        best = 2 / (eigenvalues[0] + eigenvalues[-1])
        assert found.suggestion < 2 / top
        assert best / 10 < found.suggestion < best * 10
        if found.diverged_at:
            assert found.suggestion < found.diverged_at

    def test_the_rates_are_exponential_and_the_losses_those_of_gradient_descent(self):
        found = range_test(quadratic([1.0, 4.0]), jnp.ones(2), lowest=1e-4, highest=1e-1, steps=30)
        assert isinstance(found, RangeTest)
        np.testing.assert_allclose(np.diff(np.log(found.rates)), math.log(1e3) / 29, rtol=1e-6)
        w, scale, expected = np.ones(2), np.array([1.0, 4.0]), []
        for rate in found.rates:
            expected.append(0.5 * (scale * w**2).sum())
            w = w - rate * scale * w
        np.testing.assert_allclose(found.losses, expected, rtol=1e-5)

    @pytest.mark.parametrize(
        "name, optimizer",
        [
            ("softmax", "sgd"),
            ("mlp", "sgd"),
            ("mlp", "adam"),
            ("lenet5", "momentum"),
            ("lenet5", "adam"),
        ],
    )
    def test_a_network_trains_with_the_suggested_rate(self, digits, name, optimizer):
        model = Linear() if name == "softmax" else create_model(name, num_classes=10)
        variables = variables_of(model, digits.images)
        loss_of = classification_loss(model, variables, preprocess=scaled)
        batches = draw_batches(digits, 32, 60)
        found = range_test(loss_of, variables["params"], batches, optimizer=optimizer)
        trained = rate_grid(
            loss_of, variables["params"], batches, rates=(found.suggestion,), optimizer=optimizer
        )
        assert trained.verdicts == ("falls",)
        assert trained.losses[0, -6:].mean() < 0.7 * trained.losses[0, 0]

    @pytest.mark.parametrize("test", [range_test, rate_grid])
    def test_what_a_loss_reads_is_read_anew(self, test):
        reads = {"curvature": 1.0}

        def loss(w, _):
            return 0.5 * reads["curvature"] * w**2

        before = test(loss, jnp.float32(1.0), steps=20)
        reads["curvature"] = 4.0
        after = test(loss, jnp.float32(1.0), steps=20)
        np.testing.assert_allclose(
            np.ravel(after.losses)[0], 4 * np.ravel(before.losses)[0], rtol=1e-6
        )

    def test_a_training_of_nan_does_not_look_calm(self):
        """XLA's compiler for CPUs may make 0 of NaN in a ReLU; here the loss itself does."""

        def loss(w, _):
            miss = jnp.where(w > 0, w * w, 0.0)  # 0 for NaN
            return 1.0 + miss

        found = rate_grid(lambda w, _: loss(jnp.log(w), _), jnp.float32(3.0), rates=(1e-3, 50.0))
        assert found.verdicts[1] == "diverges"

    def test_a_loss_that_no_rate_lowers(self):
        found = range_test(lambda w, _: 1.0 + 0 * w.sum(), jnp.ones(2))
        assert "no rate" in found.finding

    def test_grid_of_four_rates(self):
        found = rate_grid(quadratic([1.0, 30.0]), jnp.ones(2))
        assert isinstance(found, RateGrid) and found.losses.shape == (4, 100)
        # 0.1 · 30 > 2: the largest diverges.
        assert found.verdicts[0] == "diverges" and found.best == 0.01
        assert "best 0.01" in found.finding

    def test_bad_input(self):
        loss = quadratic([1.0])
        with pytest.raises(JaxnetsError, match="lowest < highest"):
            range_test(loss, jnp.ones(1), lowest=1.0, highest=1e-3)
        with pytest.raises(JaxnetsError, match="says nothing"):
            range_test(loss, jnp.ones(1), steps=5)
        with pytest.raises(UnknownNameError, match="'adam'"):
            range_test(loss, jnp.ones(1), optimizer="adm")
        with pytest.raises(JaxnetsError, match="diverges already"):
            range_test(quadratic([1e9]), jnp.ones(1))
        with pytest.raises(JaxnetsError, match="every rate diverges"):
            rate_grid(quadratic([1e5]), jnp.ones(1))
        with pytest.raises(JaxnetsError, match="positive"):
            rate_grid(loss, jnp.ones(1), rates=(0.1, 0.0))
        with pytest.raises(JaxnetsError, match="before the first step"):
            range_test(lambda w, _: jnp.nan * w.sum(), jnp.ones(1))
