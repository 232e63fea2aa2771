"""Losses of distillation: PyTorch's values, limits, identities, and bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from jaxnets import losses

RANDOM = np.random.default_rng(0)
Z, T = RANDOM.standard_normal((2, 6, 5)) * 2
LABELS = np.array([0, 3, 1, 1, 2, 4])

FUNCTIONS = {
    "soft_target_1": lambda s, t: losses.soft_target_loss(s, t, temperature=1.0),
    "soft_target_4": lambda s, t: losses.soft_target_loss(s, t, temperature=4.0),
    "soft_target_20": lambda s, t: losses.soft_target_loss(s, t, temperature=20.0),
    "distance": losses.relational_distance_loss,
    "angle": losses.relational_angle_loss,
    "attention": losses.attention_transfer_loss,
    "contrast": losses.contrastive_distillation_loss,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_gradients_are_pytorchs(name, golden, x64):
    """golden/make_distillation.py; cosine_similarity and normalize add 1e-8 to 1e-12 there."""
    stored = np.load(golden / "distillation.npz")
    student, teacher = (jnp.asarray(stored[f"{name}/{who}"]) for who in ("student", "teacher"))
    value, gradient = jax.jit(jax.value_and_grad(FUNCTIONS[name]))(student, teacher)
    np.testing.assert_allclose(value, stored[f"{name}/loss"], rtol=1e-9)
    np.testing.assert_allclose(gradient, stored[f"{name}/gradient"], rtol=1e-7, atol=1e-10)


def test_high_temperature_is_regression_of_logits(x64):
    """The gradient becomes (z − t)/K, both centered; the rest falls with 1/T."""
    z, t = jnp.asarray(Z), jnp.asarray(T)
    centered = (Z - Z.mean(-1, keepdims=True)) - (T - T.mean(-1, keepdims=True))

    def error(temperature):
        loss = lambda z: losses.soft_target_loss(  # noqa: E731
            z, t, temperature=temperature, reduction="sum"
        )
        return np.abs(jax.grad(loss)(z) - centered / 5).max()

    assert error(1e5) < 2e-5
    assert error(1e3) / error(1e4) == pytest.approx(10, rel=0.01)


@pytest.mark.parametrize("temperature", [0.5, 2.0, 8.0])
def test_gradient_is_t_times_the_difference_of_predictions(temperature, x64):
    loss = lambda z: losses.soft_target_loss(  # noqa: E731
        z, jnp.asarray(T), temperature=temperature, reduction="sum"
    )
    expected = temperature * (
        special.softmax(Z / temperature, -1) - special.softmax(T / temperature, -1)
    )
    np.testing.assert_allclose(jax.grad(loss)(jnp.asarray(Z)), expected, atol=1e-12)


def test_t_squared_keeps_the_gradients_size(x64):
    """Without T² it would fall by 1/T²: from T = 20 to 40 to a quarter; with it, it stays."""

    def size(temperature):
        loss = lambda z: losses.soft_target_loss(  # noqa: E731
            z, jnp.asarray(T), temperature=temperature
        )
        return float(jnp.linalg.norm(jax.grad(loss)(jnp.asarray(Z))))

    assert size(40.0) / size(20.0) == pytest.approx(1, abs=0.02)
    assert (size(40.0) / 40**2) / (size(20.0) / 20**2) == pytest.approx(1 / 4, abs=0.01)


def test_shares_of_labels_and_teacher(x64):
    z, t, y = jnp.asarray(Z), jnp.asarray(T), jnp.asarray(LABELS)
    of = lambda alpha: losses.distillation_loss(z, t, y, alpha=alpha, temperature=3.0)  # noqa: E731
    assert of(0.0) == losses.cross_entropy(z, y)
    np.testing.assert_allclose(of(1.0), losses.soft_target_loss(z, t, temperature=3.0), rtol=1e-14)
    np.testing.assert_allclose(of(0.3), 0.3 * of(1.0) + 0.7 * of(0.0), rtol=1e-14)


def test_equal_predictions_cost_nothing_and_impossible_classes_no_nan():
    z = jnp.array([[0.0, 1.0, -jnp.inf]])
    np.testing.assert_allclose(losses.soft_target_loss(z, z + 3), 0, atol=1e-6)
    teacher = jnp.array([[0.0, 1.0, -jnp.inf]])
    finite = jax.grad(lambda z: losses.soft_target_loss(z, teacher))(jnp.zeros((1, 3)))
    assert np.isfinite(finite).all()
    weighted = losses.soft_target_loss(
        jnp.zeros((2, 3)), jnp.array([[1.0, 0, 0], [jnp.nan] * 3]), weights=jnp.array([1, 0])
    )
    assert np.isfinite(weighted)


def test_gap_of_the_top_classes(x64):
    z = jnp.array([2.0, 1.0, 0.0, -1.0, 3.0])
    # 5/4 f₁ − 1/4; in float32 it prints as 0.54551077.
    assert float(losses.top_class_gap(z, top=5)) == pytest.approx(0.54551081, abs=5e-9)
    # By hand for K = 3: e³, e² and e over the sum of all.
    e = np.exp([3.0, 2.0, 1.0, 0.0, -1.0])
    expected = (e[0] - (e[1] + e[2]) / 2) / e.sum()
    for order in (np.arange(5), np.array([3, 0, 4, 1, 2])):
        np.testing.assert_allclose(losses.top_class_gap(z[order], top=3), expected, rtol=1e-14)
    assert losses.top_class_gap(jnp.zeros(7), top=4) == 0
    np.testing.assert_allclose(losses.top_class_gap(jnp.array([900.0, 0, 0]), top=2), 1)


def test_the_gap_pulls_at_the_top_classes_alone(x64):
    """Of the probabilities only the first K have a derivative: 1 and −1/(K − 1)."""
    z = jnp.asarray(Z[0])
    p = special.softmax(Z[0])
    weight = np.zeros(5)
    order = np.argsort(-p)
    weight[order[0]], weight[order[1:3]] = 1, -1 / 2
    expected = p * (weight - p @ weight)  # through the softmax
    gradient = jax.grad(lambda z: losses.top_class_gap(z, top=3))(z)
    np.testing.assert_allclose(gradient, expected, atol=1e-14)


def test_tolerant_loss_is_a_mixture(x64):
    z, y = jnp.asarray(Z), jnp.asarray(LABELS)
    of = lambda eta: losses.tolerant_cross_entropy(z, y, eta=eta, top=3)  # noqa: E731
    assert of(1.0) == losses.cross_entropy(z, y)
    np.testing.assert_allclose(of(0.0), losses.top_class_gap(z, top=3), rtol=1e-14)
    np.testing.assert_allclose(of(0.25), 0.25 * of(1.0) + 0.75 * of(0.0), rtol=1e-14)


def test_hints_are_half_squared_distances():
    u, v = RANDOM.standard_normal((2, 3, 4, 4, 2)).astype(np.float32)
    expected = 0.5 * np.square(u - v).reshape(3, -1).sum(1).mean()
    np.testing.assert_allclose(losses.hint_loss(v, jnp.asarray(u)), expected, rtol=1e-5)
    per_element = losses.hint_loss(v, jnp.asarray(u), per_element=True)
    np.testing.assert_allclose(per_element, expected / 32, rtol=1e-5)


def test_attention_maps_of_nothing_and_of_larger_teachers():
    """A dead map has no direction, and no NaN; a larger map counts by its means."""
    dead = jnp.zeros((1, 2, 2, 3))
    gradient = jax.grad(lambda x: losses.attention_transfer_loss(x, dead + 1))(dead)
    assert np.isfinite(gradient).all()
    np.testing.assert_array_equal(losses.attention_map(dead), 0)
    small = jnp.asarray(RANDOM.standard_normal((2, 2, 2, 3)), jnp.float32)
    large = small.repeat(3, axis=1).repeat(3, axis=2)
    np.testing.assert_allclose(losses.attention_transfer_loss(small, large), 0, atol=1e-6)


def test_relations_do_not_change_with_scale_and_rotation():
    x = jnp.asarray(RANDOM.standard_normal((5, 3)), jnp.float32)
    rotation = np.linalg.qr(RANDOM.standard_normal((3, 3)))[0].astype(np.float32)
    for loss in (losses.relational_distance_loss, losses.relational_angle_loss):
        np.testing.assert_allclose(loss(x, 2.5 * x @ rotation + 1), 0, atol=1e-6)
        same = jnp.ones((4, 3))  # all in one point
        assert np.isfinite(jax.grad(loss)(same, x[:4])).all()


def test_examples_of_one_class_are_no_negatives():
    x = jnp.asarray(RANDOM.standard_normal((4, 3)), jnp.float32)
    t = jnp.asarray(RANDOM.standard_normal((4, 3)), jnp.float32)
    all_same = losses.contrastive_distillation_loss(x, t, labels=jnp.zeros(4, int))
    np.testing.assert_allclose(all_same, 0, atol=1e-6)
    all_others = losses.contrastive_distillation_loss(x, t, labels=jnp.arange(4))
    np.testing.assert_allclose(all_others, losses.contrastive_distillation_loss(x, t), rtol=1e-6)


A, B = jnp.zeros((4, 3)), jnp.zeros((4, 2, 2, 3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: losses.soft_target_loss(A, A, temperature=0), "temperature: got 0; expected a"),
        (lambda: losses.soft_target_loss(A, A, temperature=-1), "temperature: got -1"),
        (
            lambda: losses.soft_target_loss(A, jnp.zeros((4, 5))),
            r"shape \[4, 5\].*same classes",
        ),
        (lambda: losses.soft_target_loss(A, A, reduction="avg"), "reduction: got 'avg'"),
        (lambda: losses.soft_target_loss(A, A, weights=jnp.ones(3)), r"weights: got shape \[3\]"),
        (lambda: losses.distillation_loss(A, A, LABELS[:4], alpha=1.5), "alpha: got 1.5"),
        (lambda: losses.top_class_gap(A, top=1), "top: got 1; expected 2 to 3"),
        (lambda: losses.top_class_gap(A, top=4), "top: got 4; expected 2 to 3"),
        (lambda: losses.tolerant_cross_entropy(A, LABELS[:4], eta=2), "eta: got 2"),
        (lambda: losses.hint_loss(B, A), r"hint: got shape \[4, 3\]"),
        (lambda: losses.attention_map(A), r"features: got shape \[4, 3\]"),
        (lambda: losses.attention_map(B, power=0), "power: got 0"),
        (lambda: losses.attention_transfer_loss(B, jnp.zeros((4, 3, 3, 1))), "got maps of 3×3"),
        (lambda: losses.relational_distance_loss(A, A[:3]), "got 3 examples; expected 4"),
        (lambda: losses.relational_angle_loss(A[:2], A[:2]), "relations need at least 3"),
        (lambda: losses.contrastive_distillation_loss(A[:1], A[:1]), "a contrast needs at least 2"),
        (lambda: losses.contrastive_distillation_loss(A, B), "expected both"),
        (lambda: losses.contrastive_distillation_loss(A, A, temperature=0), "temperature: got 0"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
