"""Ensembles: exact properties, and float64 references."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets import ensembles
from jaxnets.errors import JaxnetsError
from jaxnets.models import create_model
from jaxnets.nn import Conv, Dense
from jaxnets.ops import relu

X = np.random.default_rng(0).standard_normal((6, 8, 8, 1)).astype(np.float32)


def mlp(classes=3, hidden=(5,)):
    return create_model("mlp", hidden=hidden, num_classes=classes)


class Convolutional(nn.Module):
    """One convolution and a classifier."""

    num_classes: int = 4

    @nn.compact
    def __call__(self, x, *, train=False):
        x = relu(Conv(3, (3, 3), name="conv")(x))
        return Dense(self.num_classes, name="fc")(x.mean((1, 2)))


def members(net, count, first=0):
    return [net.init(jax.random.key(first + i), X) for i in range(count)]


def softmax64(z):
    z = np.asarray(z, np.float64)
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def test_softmaxes_are_averaged_and_not_logits():
    z = np.random.default_rng(1).standard_normal((4, 7, 5)) * 3
    found = ensembles.average_probabilities(jnp.asarray(z, jnp.float32))
    np.testing.assert_allclose(found, softmax64(z).mean(0), atol=1e-6)
    of_logits = softmax64(z.mean(0))
    assert np.abs(found - of_logits).max() > 0.01
    weights = jnp.array([1.0, 2.0, 3.0, 2.0])
    found = ensembles.average_probabilities(jnp.asarray(z, jnp.float32), weights)
    wanted = np.average(softmax64(z), axis=0, weights=weights)
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    half = ensembles.average_probabilities(jnp.asarray(z, jnp.bfloat16))
    assert half.dtype == jnp.float32


@pytest.mark.parametrize("mode", ["vmap", "loop"])
def test_identical_members_are_one(mode):
    net = mlp()
    (one,) = members(net, 1)
    logits = net.apply(one, X)
    alone = jax.nn.softmax(logits)
    for count in (4, 7):
        both = ensembles.ensemble_predict(net.apply, [one] * count, X, mode=mode)
        # A batched matrix product may add in another order.
        np.testing.assert_allclose(both, alone, rtol=2e-6)
    # The mean of a power of two of equal numbers is exact.
    np.testing.assert_array_equal(
        ensembles.average_probabilities(jnp.stack([logits] * 4)), jax.nn.softmax(logits)
    )


def test_stacked_listed_looped_and_jitted_agree():
    net, x = Convolutional(), jnp.asarray(X[:2])
    several = [net.init(jax.random.key(i), x) for i in range(3)]
    wanted = np.mean([softmax64(net.apply(v, x)) for v in several], axis=0)
    stacked = ensembles.stack_variables(several)
    predict = jax.jit(ensembles.ensemble_predict, static_argnames=("apply_fn", "mode"))
    for variables in (several, stacked):
        for mode in ("vmap", "loop"):
            found = predict(net.apply, variables, x, mode=mode)
            np.testing.assert_allclose(found, wanted, atol=1e-6)
    for mode in ("vmap", "loop"):
        ensemble = ensembles.Ensemble([net] * 3, several, mode=mode)
        np.testing.assert_allclose(jax.jit(ensemble)(x), wanted, atol=1e-6)


def test_different_networks_and_preprocessings():
    nets = [mlp(hidden=(4,)), mlp(hidden=(6, 4))]
    variables = [net.init(jax.random.key(i), X) for i, net in enumerate(nets)]
    scales = [lambda x: x * 2, lambda x: x - 1]
    ensemble = ensembles.Ensemble(nets, variables, scales, mode="vmap")
    wanted = np.mean(
        [softmax64(n.apply(v, f(X))) for n, v, f in zip(nets, variables, scales, strict=True)], 0
    )
    np.testing.assert_allclose(ensemble(X), wanted, atol=1e-6)
    assert len(ensemble) == 2


def test_jensen_and_measurements():
    random = np.random.default_rng(2)
    for trial in range(20):
        p = softmax64(random.standard_normal((5, 40, 6)) * random.uniform(0.1, 6))
        labels = random.integers(0, 6, 40)
        found = ensembles.measure_ensemble(jnp.asarray(p, jnp.float32), jnp.asarray(labels))
        assert found["loss"] <= found["mean_loss"], trial
        mean = p.mean(0)
        assert found["loss"] == pytest.approx(-np.log(mean[np.arange(40), labels]).mean(), rel=1e-5)
        losses = ensembles.log_loss(jnp.asarray(p, jnp.float32), jnp.asarray(labels))
        wanted = -np.log(p[:, np.arange(40), labels]).mean(-1)
        np.testing.assert_allclose(losses, wanted, rtol=1e-5)
        assert found["accuracy"] == pytest.approx((mean.argmax(-1) == labels).mean())
        each = (p.argmax(-1) == labels).mean(-1)
        assert found["mean_accuracy"] == pytest.approx(each.mean(), rel=1e-6)
        assert found["best_accuracy"] == pytest.approx(each.max(), rel=1e-6)
    same = ensembles.measure_ensemble(jnp.asarray(p[:1].repeat(4, 0), jnp.float32), labels)
    assert same["disagreement"] == 0 and same["loss"] == pytest.approx(same["mean_loss"], rel=1e-6)


def test_disagreement_by_hand():
    chosen = np.array([[0, 1, 2, 2], [0, 1, 1, 1], [2, 2, 2, 2]])
    found = ensembles.pairwise_disagreement(jnp.asarray(np.eye(3)[chosen]))
    np.testing.assert_allclose(found, [[0, 0.5, 0.5], [0.5, 0, 1], [0.5, 1, 0]])
    assert float(ensembles.mean_disagreement(np.eye(3)[chosen])) == pytest.approx(2 / 3)
    assert float(ensembles.mean_disagreement(np.eye(3)[chosen[:1]])) == 0


def test_weights_average_and_statistics_are_those_of_the_average():
    net = create_model("resnet20", blocks=1, widths=(2,), num_classes=3)
    images = np.random.default_rng(3).standard_normal((12, 8, 8, 3)).astype(np.float32)
    init = jax.jit(net.init)
    run = [init(jax.random.key(i), images[:1]) for i in range(3)]
    batches = [images[:4], images[4:8], images[8:]]
    found = ensembles.average_checkpoints(net.apply, run, batches)
    kernels = [np.asarray(v["params"]["stem"]["conv"]["kernel"], np.float64) for v in run]
    np.testing.assert_allclose(
        found["params"]["stem"]["conv"]["kernel"], np.mean(kernels, 0), atol=1e-7
    )
    # The first normalization sees the convolution of the images with the averaged kernel.
    y = [
        np.asarray(
            jax.lax.conv_general_dilated(
                b,
                jnp.asarray(np.mean(kernels, 0), jnp.float32),
                (1, 1),
                "SAME",
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
            ),
            np.float64,
        )
        for b in batches
    ]
    stats = found["batch_stats"]["stem"]["bn"]
    np.testing.assert_allclose(stats["mean"], np.mean([b.mean((0, 1, 2)) for b in y], 0), atol=1e-5)
    variances = [b.var((0, 1, 2), ddof=1) for b in y]
    np.testing.assert_allclose(stats["var"], np.mean(variances, 0), rtol=1e-4)
    old = np.mean([np.asarray(v["batch_stats"]["stem"]["bn"]["var"]) for v in run], 0)
    assert np.abs(np.asarray(stats["var"]) - old).max() > 0.01
    # One member is its own average.
    alone = ensembles.average_weights([run[0]["params"]])
    jax.tree.map(np.testing.assert_array_equal, alone, run[0]["params"])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ensembles.average_probabilities(jnp.zeros((0, 2, 3))), "at least one member"),
        (lambda: ensembles.average_probabilities(jnp.zeros(3)), "logits must be"),
        (lambda: ensembles.average_probabilities(jnp.zeros((2, 3)), jnp.ones(3)), "weights must"),
        (lambda: ensembles.stack_variables([]), "at least one member, got none"),
        (lambda: ensembles.average_weights([]), "at least one member, got none"),
        (
            lambda: ensembles.stack_variables([*members(mlp(), 1), *members(mlp(4), 1)]),
            r"member 1 differs from member 0 at params/classifier/bias: got \(4,\), expected \(3,",
        ),
        (lambda: ensembles.Ensemble([], []), "at least one member, got none"),
        (lambda: ensembles.Ensemble([mlp()], []), "must be as many, got 1 and 0"),
        (
            lambda: ensembles.Ensemble([mlp(3), mlp(4)], [{}, {}]),
            r"same num_classes, got \[3, 4\]",
        ),
        (lambda: ensembles.Ensemble([mlp()], [{}], mode="map"), "mode must be 'vmap' or 'loop'"),
        (lambda: ensembles.Ensemble([mlp()], [{}], []), "preprocess must be one function for each"),
        (
            lambda: ensembles.ensemble_predict(mlp().apply, members(mlp(), 2), X, mode="x"),
            "mode must be",
        ),
        (lambda: ensembles.ensemble_predict(mlp().apply, {}, X), "variables must be"),
        (lambda: ensembles.pairwise_disagreement(jnp.zeros((2, 3))), r"must be \(k, N, K\)"),
        (
            lambda: ensembles.measure_ensemble(jnp.ones((2, 3, 4)), jnp.zeros(2, int)),
            r"labels must be \(N,\)",
        ),
        (lambda: ensembles.load_ensemble(["x"], last=0), "last must be at least 1"),
    ],
)
def test_mistakes_say_what_was_wrong(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_runs_that_are_not_there(tmp_path):
    with pytest.raises(JaxnetsError, match="at least one run"):
        ensembles.load_ensemble([])
    with pytest.raises(JaxnetsError, match="holds no run"):
        ensembles.load_ensemble([tmp_path])
    with pytest.raises(JaxnetsError, match=r"has 0 checkpoint\(s\), 2 were asked for"):
        ensembles.load_ensemble([tmp_path], last=2)
    with pytest.raises(JaxnetsError, match="at least one run"):
        ensembles.measure_runs([])


def test_runs_are_described_in_per_cent():
    measured = {"accuracy": 0.955, "loss": 0.25, "mean_loss": 0.5, "disagreement": 0.125}
    text = ensembles.describe_runs({**measured, "runs": {"a step 3": 0.9}, "test_images": 1000})
    assert text.splitlines() == [
        "  a step 3: accuracy 90.00 %",
        "together: accuracy 95.50 %, loss 0.2500 (mean of the members 0.5000); two of them "
        "disagree on 12.50 % of 1,000 images",
    ]
