"""Cross entropy against its formula in float64, and at its edges. PyTorch: tests/ops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.losses import cross_entropy

LOGITS = np.random.default_rng(0).standard_normal((6, 4)) * 3
LABELS = np.array([0, 3, 1, 1, 2, 0])


def formula(logits, q):
    shifted = logits - logits.max(-1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return -(q * log_p).sum(-1)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_formula(smoothing):
    q = (1 - smoothing) * np.eye(4)[LABELS] + smoothing / 4
    logits = jnp.asarray(LOGITS, jnp.float32)
    expected = formula(LOGITS, q)
    options = {"label_smoothing": smoothing}
    for labels in (jnp.asarray(LABELS), jnp.asarray(np.eye(4)[LABELS], jnp.float32)):
        each = cross_entropy(logits, labels, reduction="none", **options)
        np.testing.assert_allclose(each, expected, rtol=1e-5)
        mean = cross_entropy(logits, labels, **options)
        np.testing.assert_allclose(mean, expected.mean(), rtol=1e-5)
        total = cross_entropy(logits, labels, reduction="sum", **options)
        np.testing.assert_allclose(total, expected.sum(), rtol=1e-5)


def test_smoothed_targets_of_the_lecture_example():
    """K = 4, ε = 0.1: (0.025, 0.925, 0.025, 0.025)."""
    logits = jnp.array([[0.3, -1.0, 2.0, 0.0]])
    q = jnp.array([[0.025, 0.925, 0.025, 0.025]])
    smoothed = cross_entropy(logits, jnp.array([1]), label_smoothing=0.1)
    np.testing.assert_allclose(smoothed, cross_entropy(logits, q), rtol=1e-6)


def test_gradient_is_prediction_minus_target():
    logits = jnp.asarray(LOGITS, jnp.float32)
    loss = lambda z: cross_entropy(z, jnp.asarray(LABELS), reduction="sum")  # noqa: E731
    expected = jax.nn.softmax(logits) - np.eye(4)[LABELS].astype(np.float32)
    np.testing.assert_allclose(jax.jit(jax.grad(loss))(logits), expected, atol=1e-6)


def test_weights():
    logits, labels = jnp.asarray(LOGITS, jnp.float32), jnp.asarray(LABELS)
    weights = np.array([1.0, 0, 2, 0.5, 0, 1])
    each = formula(LOGITS, np.eye(4)[LABELS])
    weighted = cross_entropy(logits, labels, weights=jnp.asarray(weights, jnp.float32))
    np.testing.assert_allclose(weighted, (weights * each).sum() / weights.sum(), rtol=1e-5)
    some = jnp.asarray(weights > 0)
    np.testing.assert_allclose(
        cross_entropy(logits, labels, weights=some), each[weights > 0].mean(), rtol=1e-5
    )
    assert cross_entropy(logits, labels, weights=jnp.zeros(6)) == 0


def test_ignored_labels_may_be_anything():
    logits, labels = jnp.asarray(LOGITS, jnp.float32), jnp.asarray([0, 255, 1, -1, 2, 0])
    weights = jnp.asarray([True, False, True, False, True, True])
    value, gradient = jax.jit(
        jax.value_and_grad(lambda z: cross_entropy(z, labels, weights=weights, label_smoothing=0.1))
    )(logits)
    kept = np.array([0, 2, 4, 5])
    expected = cross_entropy(logits[kept], labels[kept], label_smoothing=0.1)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    assert jnp.isfinite(gradient).all()
    assert (gradient[1] == 0).all()


@pytest.mark.parametrize("label", [4, 255, -1])
def test_a_label_that_is_no_class_is_not_taken_for_another(label):
    assert jnp.isnan(cross_entropy(jnp.zeros((1, 4)), jnp.array([label])))


def test_large_logits_and_half_precision():
    logits = jnp.array([[1e4, -1e4]], jnp.bfloat16)
    assert cross_entropy(logits, jnp.array([0])) == 0
    loss = cross_entropy(logits, jnp.array([1]))
    assert loss.dtype == jnp.float32
    np.testing.assert_allclose(loss, 2e4, rtol=2**-8)


def test_maps_of_labels():
    logits = jnp.asarray(np.random.default_rng(1).standard_normal((2, 3, 5, 4)), jnp.float32)
    labels = jnp.asarray(np.random.default_rng(2).integers(0, 4, (2, 3, 5)))
    flat = cross_entropy(logits.reshape(-1, 4), labels.reshape(-1))
    np.testing.assert_allclose(cross_entropy(logits, labels), flat, rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((jnp.zeros((3, 4)), jnp.zeros(2, int)), {}, r"labels: got int32\[2\].*integers \[3\]"),
        ((jnp.zeros((3, 4)), jnp.zeros(3)), {}, r"labels: got float32\[3\]"),
        ((jnp.zeros((3, 4)), jnp.zeros((3, 4), int)), {}, r"labels: got int32\[3, 4\]"),
        ((jnp.zeros((3, 4)), jnp.zeros(3, int)), {"label_smoothing": 2}, r"label_smoothing: got 2"),
        ((jnp.zeros((3, 4)), jnp.zeros(3, int)), {"reduction": "avg"}, r"reduction: got 'avg'"),
        (
            (jnp.zeros((3, 4)), jnp.zeros(3, int)),
            {"weights": jnp.ones((3, 1))},
            r"weights: got shape \[3, 1\]; expected \[3\]",
        ),
    ],
)
def test_mistakes_are_named(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        cross_entropy(*arguments, **options)
