"""Label smoothing's identities, and the confidence penalty's. PyTorch: tests/ops/test_torch.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize, special, stats

from jaxnets.losses import (
    confidence_penalty,
    cross_entropy,
    entropy,
    smooth_labels,
    smoothed_logit_gap,
)

LOGITS = np.random.default_rng(0).standard_normal((6, 5)) * 3
LABELS = np.array([0, 3, 1, 1, 2, 4])


def test_the_smoothed_loss_is_a_mixture_of_two(x64):
    """H(q', p) = (1 − ε) H(q, p) + ε H(u, p), exactly."""
    z, labels, eps = jnp.asarray(LOGITS), jnp.asarray(LABELS), 0.1
    uniform = jnp.full(z.shape, 1 / 5)
    mixture = (1 - eps) * cross_entropy(z, labels) + eps * cross_entropy(z, uniform)
    np.testing.assert_allclose(cross_entropy(z, labels, label_smoothing=eps), mixture, rtol=1e-14)


@pytest.mark.parametrize("over", ["all", "others"])
def test_targets(over):
    q = np.asarray(smooth_labels(jnp.asarray(LABELS), 5, 0.2, over=over))
    expected = np.full((6, 5), 0.2 / 5 if over == "all" else 0.2 / 4)
    expected[np.arange(6), LABELS] = 0.84 if over == "all" else 0.8
    np.testing.assert_allclose(q, expected, rtol=1e-6)
    np.testing.assert_allclose(q.sum(1), 1, rtol=1e-6)
    z = jnp.asarray(LOGITS, jnp.float32)
    # The second variant is the first with ε K/(K − 1).
    eps = 0.2 if over == "all" else 0.2 * 5 / 4
    np.testing.assert_allclose(
        cross_entropy(z, jnp.asarray(q)),
        cross_entropy(z, jnp.asarray(LABELS), label_smoothing=eps),
        rtol=1e-6,
    )


def test_both_variants_of_the_lectures_example():
    """K = 4, ε = 0.1: both variants sum to 1; 0.33 in the place of 0.033 would not."""
    label = jnp.array([1])
    np.testing.assert_allclose(smooth_labels(label, 4)[0], [0.025, 0.925, 0.025, 0.025], rtol=1e-6)
    np.testing.assert_allclose(
        smooth_labels(label, 4, over="others")[0], [0.1 / 3, 0.9, 0.1 / 3, 0.1 / 3], rtol=1e-6
    )


@pytest.mark.parametrize("over", ["all", "others"])
@pytest.mark.parametrize(("classes", "eps"), [(4, 0.1), (10, 0.3)])
def test_a_minimizer_ends_at_the_gap(classes, eps, over):
    """Free logits, minimized by SciPy: finite, and as far apart as the formula says."""
    q = np.asarray(smooth_labels(jnp.array(2), classes, eps, over=over), float)
    q = q / q.sum()  # float32 left 1e-8, along which the loss would fall for ever

    def loss(z):
        return special.logsumexp(z) - q @ z, special.softmax(z) - q

    z = optimize.minimize(loss, np.zeros(classes), jac=True, tol=1e-9).x
    gap = z[2] - np.delete(z, 2)
    np.testing.assert_allclose(gap, smoothed_logit_gap(classes, eps, over=over), rtol=1e-4)
    if over == "all":
        expected = np.log((1 - eps + eps / classes) / (eps / classes))
        assert smoothed_logit_gap(classes, eps) == pytest.approx(expected, rel=1e-12)


def test_gaps_at_the_ends():
    assert smoothed_logit_gap(10, 0.0) == np.inf
    assert smoothed_logit_gap(10, 1.0) == 0
    assert smoothed_logit_gap(10, 1.0, over="others") == -np.inf


def test_labels_that_are_no_class_become_nan():
    q = smooth_labels(jnp.array([1, -1, 4]), 4)
    assert jnp.isnan(q[1:]).all() and not jnp.isnan(q[0]).any()


def test_entropy_is_scipys():
    expected = stats.entropy(special.softmax(LOGITS, -1), axis=-1)
    np.testing.assert_allclose(entropy(jnp.asarray(LOGITS, jnp.float32)), expected, rtol=1e-5)
    with_none = jnp.array([0.0, 0.0, -jnp.inf])
    np.testing.assert_allclose(entropy(with_none), np.log(2), rtol=1e-6)
    assert jnp.isfinite(jax.jit(jax.grad(entropy))(with_none)).all()
    assert entropy(jnp.array([1e4, -1e4])) == 0


def test_the_penalty_is_a_divergence_the_other_way_round():
    """−H(p) = KL(p ‖ u) − log K; label smoothing has KL(u ‖ p)."""
    p, uniform = special.softmax(LOGITS, -1), np.full(5, 0.2)
    divergence = stats.entropy(p.T, np.broadcast_to(uniform[:, None], (5, 6))).mean()
    got = confidence_penalty(jnp.asarray(LOGITS, jnp.float32), strength=0.3)
    np.testing.assert_allclose(got, 0.3 * (divergence - np.log(5)), rtol=1e-5)


def test_gradient_of_the_penalty(x64):
    """∂(−H)/∂z_k = p_k (log p_k + H), Pereyra et al., §3.1."""
    z = jnp.asarray(LOGITS)
    p = special.softmax(LOGITS, -1)
    h = stats.entropy(p, axis=-1)[:, None]
    loss = lambda z: confidence_penalty(z, strength=1.0, reduction="sum")  # noqa: E731
    gradient = jax.jit(jax.grad(loss))(z)
    np.testing.assert_allclose(gradient, p * (np.log(p) + h), rtol=1e-10, atol=1e-12)


def test_threshold_and_weights():
    z = jnp.asarray(LOGITS, jnp.float32)
    h = stats.entropy(special.softmax(LOGITS, -1), axis=-1)
    threshold = float(np.median(h))
    each = 0.5 * np.maximum(0, threshold - h)
    options = {"strength": 0.5, "threshold": threshold}
    got = confidence_penalty(z, reduction="none", **options)
    np.testing.assert_allclose(got, each, rtol=1e-4, atol=1e-6)
    assert 0 < (np.asarray(got) > 0).sum() < 6
    w = np.array([1.0, 0, 2, 0.5, 0, 1], np.float32)
    np.testing.assert_allclose(
        confidence_penalty(z, weights=jnp.asarray(w), **options),
        (w * each).sum() / w.sum(),
        rtol=1e-4,
    )
    np.testing.assert_allclose(
        confidence_penalty(z, weights=jnp.asarray(w > 0), reduction="sum", **options),
        each[w > 0].sum(),
        rtol=1e-4,
    )
    assert confidence_penalty(z, weights=jnp.zeros(6)) == 0


def test_training_on_the_penalty_keeps_predictions_uncertain():
    """CE − βH has its minimum where the gap is finite; plain CE goes on growing."""

    def gap(strength):
        @jax.jit
        @jax.value_and_grad
        def both(z):
            penalty = confidence_penalty(z, strength=strength)
            return cross_entropy(z, jnp.array([0])) + penalty

        def loss(z):
            value, gradient = both(np.asarray(z, np.float32)[None])
            return float(value), np.asarray(gradient[0], float)

        z = optimize.minimize(loss, np.zeros(3), jac=True, method="L-BFGS-B").x
        return z[0] - z[1]

    gaps = [gap(s) for s in (0.2, 0.5)]
    assert gaps[0] > gaps[1] > 0.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: smooth_labels(jnp.array([0.5]), 3), "labels: got float32"),
        (lambda: smooth_labels(jnp.array([0]), 1), "num_classes: got 1"),
        (lambda: smooth_labels(jnp.array([0]), 3, 1.5), "smoothing: got 1.5"),
        (lambda: smoothed_logit_gap(3, -0.1), "smoothing: got -0.1"),
        (lambda: smooth_labels(jnp.array([0]), 3, over="some"), "over: got 'some'"),
        (lambda: confidence_penalty(jnp.ones((2, 3)), strength=-1), "strength: got -1"),
        (lambda: confidence_penalty(jnp.ones((2, 3)), threshold=-1), "threshold: got -1"),
        (lambda: confidence_penalty(jnp.ones((2, 3)), weights=jnp.ones(3)), r"weights: .*\[2\]"),
        (lambda: confidence_penalty(jnp.ones((2, 3)), reduction="avg"), "reduction: got 'avg'"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
