"""Calibration, temperature, and the plane through class templates."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize, special

from jaxnets.losses import cross_entropy
from jaxnets.metrics import (
    accuracy,
    expected_calibration_error,
    fit_temperature,
    reliability,
    template_plane,
    within_between_ratio,
)

RANDOM = np.random.default_rng(0)
LOGITS = RANDOM.standard_normal((400, 5)) * 2
# Labels drawn from the softmax itself: calibrated by construction.
LABELS = np.array([RANDOM.choice(5, p=p) for p in special.softmax(LOGITS, -1)])


def test_ece_of_a_hand_example():
    """Five predictions in two of four bins: (0.5, 0.75] and (0.75, 1]."""
    p = np.array([[0.6, 0.4], [0.7, 0.3], [0.74, 0.26], [0.1, 0.9], [0.95, 0.05]])
    labels = jnp.array([0, 1, 0, 1, 1])
    table = reliability(jnp.log(jnp.asarray(p, jnp.float32)), labels, bins=4)
    np.testing.assert_allclose(table.share, [0, 0, 0.6, 0.4], rtol=1e-6)
    np.testing.assert_allclose(table.accuracy, [0, 0, 2 / 3, 1 / 2], rtol=1e-6)
    np.testing.assert_allclose(table.confidence, [0, 0, 2.04 / 3, 1.85 / 2], rtol=1e-5)
    ece = expected_calibration_error(jnp.log(jnp.asarray(p, jnp.float32)), labels, bins=4)
    np.testing.assert_allclose(ece, 0.6 * (2.04 / 3 - 2 / 3) + 0.4 * (0.925 - 0.5), rtol=1e-5)


def test_ece_against_a_loop_in_float64():
    p = special.softmax(LOGITS, -1)
    confidence, right = p.max(-1), p.argmax(-1) == LABELS
    expected = 0.0
    for low in np.arange(15) / 15:
        inside = (confidence > low) & (confidence <= low + 1 / 15)
        if inside.any():
            gap = abs(right[inside].mean() - confidence[inside].mean())
            expected += inside.mean() * gap
    got = expected_calibration_error(jnp.asarray(LOGITS, jnp.float32), jnp.asarray(LABELS))
    np.testing.assert_allclose(got, expected, rtol=1e-4)


def test_temperature_is_that_of_scipy_and_mends_overconfidence():
    hot = 3.0 * LOGITS

    def loss(log_t):
        z = hot / np.exp(log_t)
        return (special.logsumexp(z, -1) - z[np.arange(len(z)), LABELS]).mean()

    best = np.exp(optimize.minimize_scalar(loss, (-2.0, 2.0), tol=1e-10).x)
    z, labels = jnp.asarray(hot, jnp.float32), jnp.asarray(LABELS)
    t = jax.jit(fit_temperature)(z, labels)
    np.testing.assert_allclose(t, best, rtol=1e-3)
    assert t == pytest.approx(3.0, rel=0.2)  # drawn from the logits before they were tripled
    before, after = (float(expected_calibration_error(s, labels)) for s in (z, z / t))
    assert after < before / 2
    assert accuracy(z, labels) == accuracy(z / t, labels)
    assert cross_entropy(z / t, labels) < cross_entropy(z, labels)


def test_temperatures_at_the_ends():
    z = jnp.array([[5.0, 0.0], [0.0, 5.0]])
    np.testing.assert_allclose(fit_temperature(z, jnp.array([0, 1])), 1e-2, rtol=1e-3)
    np.testing.assert_allclose(fit_temperature(z, jnp.array([1, 0])), 1e2, rtol=1e-3)
    # Impossible classes and huge logits leave it finite.
    wild = jnp.array([[1e4, 0.0, -jnp.inf], [0.0, 1e4, -jnp.inf], [1e4, 0.0, 0.0]])
    assert jnp.isfinite(fit_temperature(wild, jnp.array([0, 0, 0])))


def test_the_basis_is_orthonormal_and_holds_the_templates(x64):
    templates = jnp.asarray(RANDOM.standard_normal((3, 64)))
    plane = template_plane(templates)
    np.testing.assert_allclose(plane.basis @ plane.basis.T, np.eye(2), atol=1e-15)
    corners = plane.project(templates)
    np.testing.assert_allclose(corners, plane.corners, atol=1e-13)
    # In the plane nothing is lost: distances are those of the templates.
    for i, j in ((0, 1), (1, 2), (2, 0)):
        np.testing.assert_allclose(
            np.linalg.norm(corners[i] - corners[j]),
            np.linalg.norm(templates[i] - templates[j]),
            rtol=1e-13,
        )
    np.testing.assert_allclose(plane.origin + corners @ plane.basis, templates, atol=1e-13)
    # The first axis points from the first to the second template.
    assert corners[1, 0] > corners[0, 0]
    np.testing.assert_allclose(corners[0, 1], corners[1, 1], atol=1e-13)
    # What is orthogonal to the plane vanishes.
    x = jnp.asarray(RANDOM.standard_normal(64))
    beside = x - (x @ plane.basis.T) @ plane.basis
    np.testing.assert_allclose(plane.project(plane.origin + beside), 0, atol=1e-14)


def test_float32_templates_give_a_basis_to_its_rounding():
    plane = template_plane(jnp.asarray(RANDOM.standard_normal((3, 512)), jnp.float32))
    assert plane.basis.dtype == jnp.float32
    np.testing.assert_allclose(plane.basis @ plane.basis.T, np.eye(2), atol=3e-7)


def test_tightness_against_its_formula():
    x = RANDOM.standard_normal((60, 4))
    labels = RANDOM.integers(0, 5, 60)
    x = x + 3 * RANDOM.standard_normal((5, 4))[labels]
    means = np.array([x[labels == c].mean(0) for c in range(5)])
    within = ((x - means[labels]) ** 2).sum()
    between = ((means[labels] - x.mean(0)) ** 2).sum()
    got = within_between_ratio(jnp.asarray(x, jnp.float32), jnp.asarray(labels))
    np.testing.assert_allclose(got, within / between, rtol=1e-4)
    np.testing.assert_allclose(within + between, ((x - x.mean(0)) ** 2).sum(), rtol=1e-12)


LINE = jnp.array([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [3.0, 3.0, 3.0]])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: reliability(jnp.ones((2, 3)), jnp.zeros(3, int)), r"labels: got int32\[3\]"),
        (lambda: reliability(jnp.ones((0, 3)), jnp.zeros(0, int)), "N at least 1"),
        (lambda: expected_calibration_error(jnp.ones((2, 3)), jnp.ones(2)), "labels: got float32"),
        (lambda: reliability(jnp.ones((2, 3)), jnp.zeros(2, int), bins=0), "bins: got 0"),
        (lambda: fit_temperature(jnp.ones(3), jnp.zeros(3, int)), r"logits of shape \[3\]"),
        (
            lambda: fit_temperature(jnp.ones((2, 3)), jnp.zeros(2, int), limits=(0.0, 1.0)),
            r"limits: got \(0.0, 1.0\)",
        ),
        (lambda: template_plane(jnp.ones((2, 5))), r"templates: got shape \(2, 5\)"),
        (lambda: template_plane(LINE), "templates: the three lie on one line"),
        (lambda: template_plane(LINE[jnp.array([0, 0, 1])]), "templates: the three lie on one"),
        (lambda: within_between_ratio(jnp.ones((3, 2)), jnp.zeros(2, int)), "labels: got shape"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
