"""Exact means against Monte Carlo, against loops, and against each other."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxnets import noise
from jaxnets.augment import mixup_at

SAMPLES = 20_000


def normal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


IMAGE = normal(5, 4, 2)


def bent(y):
    """A function that is no polynomial: a scalar of whatever it gets."""
    flat = jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(y)])
    weights = normal(99, seed=7)[: flat.size] / np.sqrt(flat.size)
    return jnp.sin(flat @ weights) + jnp.max(flat)


def quadratic(y):
    """Of degree 2, with products of different numbers."""
    flat = jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(y)])
    kernel = normal(flat.size, flat.size, seed=8)
    return flat @ kernel @ flat / flat.size + 0.1 * flat.sum()


def square(y):
    """Of degree 2: what spreads λ shows in full."""
    return sum(jnp.vdot(leaf, leaf) for leaf in jax.tree.leaves(y))


BRANCHES = tuple((lambda w: lambda h: jnp.tanh(h @ w))(normal(3, 3, seed=i)) for i in range(4))
LAYER = (normal(4, 3, seed=1), normal(3, seed=2))
PAIR = (normal(2, 3), jnp.eye(3)[1])
OTHERS = (normal(5, 2, 3, seed=3), jnp.eye(3)[jnp.array([0, 1, 2, 2, 1])])

# Source, x, what follows, its degree, and a wrong setting of the same source.
CASES = {
    "dropout": (noise.Dropout(0.3), normal(8), bent, None, noise.Dropout(0.4)),
    "dropout_published": (
        noise.Dropout(0.3, scale_in_training=False),
        normal(8),
        bent,
        None,
        noise.Dropout(0.4, scale_in_training=False),
    ),
    "dropout_quadratic": (noise.Dropout(0.3), normal(40), quadratic, 2, noise.Dropout(0.6)),
    "drop_connect": (
        noise.DropConnect(*LAYER, 0.4),
        normal(4),
        bent,
        None,
        noise.DropConnect(*LAYER, 0.8),
    ),
    "drop_connect_quadratic": (
        noise.DropConnect(normal(30, 3), normal(3), 0.4),
        normal(30),
        quadratic,
        2,
        noise.DropConnect(normal(30, 3), normal(3), 0.6),
    ),
    "stochastic_depth": (
        noise.StochasticDepth(BRANCHES, (0.1, 0.2, 0.3, 0.4)),
        normal(3),
        bent,
        None,
        noise.StochasticDepth(BRANCHES, (0.4, 0.3, 0.2, 0.1)),
    ),
    "gaussian_noise": (
        noise.GaussianNoise(0.5),
        normal(6),
        quadratic,
        2,
        noise.GaussianNoise(0.8),
    ),
    "gaussian_noise_multiplicative": (
        noise.GaussianNoise(0.5, multiplicative=True),
        normal(6),
        quadratic,
        2,
        noise.GaussianNoise(0.8, multiplicative=True),
    ),
    "batch_norm": (
        noise.BatchNorm(normal(9, 3, seed=4), 4),
        normal(3),
        bent,
        None,
        noise.BatchNorm(normal(9, 3, seed=4), 5),
    ),
    "flip_and_crop": (noise.FlipAndCrop(2), IMAGE, bent, None, noise.FlipAndCrop(1)),
    "cutout": (noise.Cutout(2), IMAGE, bent, None, noise.Cutout(3)),
    "mixup": (noise.Mixup(OTHERS, 0.4), PAIR, square, 2, noise.Mixup(OTHERS, 1.5)),
    "fractional_pooling": (
        noise.FractionalMaxPool(1.4),
        normal(9, 7, 2),
        bent,
        None,
        noise.FractionalMaxPool(1.4, overlapping=False),
    ),
    "fractional_pooling_random": (
        noise.FractionalMaxPool(1.4, sequence="random"),
        normal(9, 7, 2),
        bent,
        None,
        noise.FractionalMaxPool(1.4),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_exact_mean_is_within_three_standard_errors_of_monte_carlo(name):
    source, x, after, degree, wrong = CASES[name]
    estimate = source.monte_carlo(jax.random.key(len(name) + 1), x, SAMPLES, after)
    assert estimate.samples == SAMPLES and estimate.standard_error > 1e-5
    exact = source.marginalize(x, after, degree=degree)
    assert estimate.agrees(exact), estimate.z_scores(exact)
    # It can fail: another rate, or another kind of noise, is noticed.
    off = wrong.marginalize(x, after, degree=degree)
    assert not estimate.agrees(off), estimate.z_scores(off)


@pytest.mark.parametrize("name", CASES)
def test_the_mean_itself(name):
    source, x, *_ = CASES[name]
    estimate = source.monte_carlo(
        jax.random.key(1), x, 20_000, lambda y: jnp.ravel(jax.tree.leaves(y)[0])
    )
    mean = jnp.ravel(jax.tree.leaves(source.marginalize(x))[0])
    z = estimate.z_scores(mean)
    # Up to 40 numbers: 4.5 standard errors are exceeded by one of them with 3e-4.
    assert np.abs(z).max() < 4.5


def test_the_customary_test_pass_is_exact_for_affine_functions_only():
    x, w = normal(8), normal(8, seed=3)
    source = noise.Dropout(0.4)
    for after, degree, same in ((lambda y: y @ w + 1, 1, True), (bent, None, False)):
        exact = source.marginalize(x, after)  # by all masks, whatever the degree
        np.testing.assert_allclose(source.marginalize(x, after, degree=degree), exact, rtol=1e-4)
        gap = abs(float(source.test_pass(x, after) - exact))
        assert (gap < 1e-5) == same


def test_a_gaussian_test_pass_is_nearer_than_the_weights_mean():
    source, x = noise.DropConnect(normal(5, 3, seed=1), None, 0.5), normal(5)
    exact = source.marginalize(x, jax.nn.relu)
    gaussian = np.abs(source.test_pass(x, jax.nn.relu) - exact).max()
    naive = np.abs(jax.nn.relu(source.mean(x)) - exact).max()
    assert gaussian < naive / 3


def test_batch_norms_test_pass_is_near_but_not_exact():
    source, x = noise.BatchNorm(normal(12, 3, seed=4), 6), normal(3)
    gap = np.abs(source.marginalize(x) - source.test_pass(x))
    assert 1e-4 < gap.max() < 0.3
    whole = noise.BatchNorm(normal(12, 3, seed=4), 13)  # everyone: one outcome, no noise
    np.testing.assert_allclose(whole.marginalize(x), whole.test_pass(x), rtol=1e-4, atol=1e-5)


def test_dropout_against_a_loop():
    x = np.asarray(normal(5), np.float64)
    total = 0.0
    for mask in itertools.product([0, 1], repeat=5):
        p = np.prod([0.7 if m else 0.3 for m in mask])
        total += p * np.max(np.array(mask) * x / 0.7)
    np.testing.assert_allclose(noise.Dropout(0.3).marginalize(normal(5), jnp.max), total, rtol=1e-5)


def test_flip_and_crop_against_a_loop():
    padded = np.pad(np.asarray(IMAGE), ((2, 2), (2, 2), (0, 0)))
    views = [padded[i : i + 5, j : j + 4] for i in range(5) for j in range(5)]
    views += [view[:, ::-1] for view in views]
    expected = np.mean([np.sin(view.sum()) + view[0, 0, 0] for view in views])
    got = noise.FlipAndCrop(2).marginalize(IMAGE, lambda y: jnp.sin(y.sum()) + y[0, 0, 0])
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)


def test_mixup_mixes_as_the_augmentation_does():
    source = noise.Mixup(jax.tree.map(lambda a: a[:1], OTHERS), 0.4)
    image, label = source.sample(jax.random.key(0), PAIR)
    share = (label[1] - OTHERS[1][0][1]) / (PAIR[1][1] - OTHERS[1][0][1])
    images = jnp.stack([PAIR[0], OTHERS[0][0]])[..., None]
    mixed, soft = mixup_at(images, jnp.stack([PAIR[1], OTHERS[1][0]]), share)
    np.testing.assert_allclose(image, mixed[0, ..., 0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(label, soft[0], rtol=1e-4, atol=1e-5)


def test_mixup_is_exact_for_higher_degrees():
    """E[λ^k] of Beta(α, α): with x = 1 and a partner 0, the moments."""
    source = noise.Mixup(jnp.zeros(1), 0.3)
    for k in range(1, 7):
        got = source.marginalize(jnp.float32(1.0), lambda y, k=k: y**k, degree=k)
        np.testing.assert_allclose(got, stats.beta(0.3, 0.3).moment(k), rtol=1e-5)


def test_noise_on_a_linear_model_is_an_l2_penalty():
    """Bishop 1995: E (w·(x + σz) − t)² = (w·x − t)² + σ²‖w‖²."""
    x, w = normal(6), normal(6, seed=1)
    loss = lambda y: (y @ w - 2.0) ** 2  # noqa: E731
    got = noise.GaussianNoise(0.3).marginalize(x, loss, degree=2)
    np.testing.assert_allclose(got, loss(x) + 0.09 * (w @ w), rtol=1e-5)


def test_nothing_of_an_earlier_call_is_kept():
    """A draw, or what follows the noise, may look at variables that have changed since."""
    seen = {"shift": 0.0}
    draw = lambda key: jax.random.normal(key) + seen["shift"]  # noqa: E731
    after = lambda y: y.max() + seen["shift"]  # noqa: E731
    both = [
        (
            noise.monte_carlo(jax.random.key(0), draw, 50).mean,
            noise.Dropout(0.5).marginalize(normal(3), after),
        )
        for seen["shift"] in (0.0, 10.0)
    ]
    np.testing.assert_allclose(np.subtract(both[1], both[0]), 10.0, rtol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 7, 256])
def test_monte_carlo_is_mean_and_standard_error(batch_size):
    draw = lambda key: 1000 + jax.random.normal(key, (3,))  # noqa: E731
    estimate = noise.monte_carlo(jax.random.key(0), draw, 100, batch_size=batch_size)
    drawn = np.asarray(jax.vmap(draw)(jax.random.split(jax.random.key(0), 100)), np.float64)
    np.testing.assert_allclose(estimate.mean, drawn.mean(0), rtol=1e-6)
    np.testing.assert_allclose(estimate.standard_error, drawn.std(0, ddof=1) / 10, rtol=1e-3)


def test_standard_errors_are_honest():
    """z of the exact mean over 200 estimates: standard normal (Kolmogorov–Smirnov)."""
    source, x = noise.Dropout(0.3), normal(6)
    exact = source.marginalize(x, bent)
    run = jax.jit(jax.vmap(lambda key: source.monte_carlo(key, x, 500, bent)[:2]))
    mean, error = run(jax.random.split(jax.random.key(0), 200))
    z = np.asarray((mean - exact) / error)
    assert stats.kstest(z, "norm").pvalue > 0.01


@pytest.mark.parametrize(
    ("source", "x", "reason"),
    [
        (noise.Dropout(0.3), normal(2000), "more than 65536 outcomes"),
        (noise.GaussianNoise(0.3), normal(3), "not finite in number"),
        (noise.Mixup(normal(4, 3)), normal(3), "λ is continuous"),
        (noise.BatchNorm(normal(60, 3), 30), normal(3), "more than 65536 outcomes"),
        (noise.DropConnect(normal(30, 3)), normal(30), "more than 65536 outcomes"),
        (
            noise.FractionalMaxPool(1.4, sequence="random"),
            normal(40, 40, 1),
            "more than 65536 outcomes",
        ),
    ],
)
def test_what_is_not_exact_says_so_and_offers_monte_carlo(source, x, reason):
    def after(y):
        return jnp.sin(y).sum()

    with pytest.raises(noise.NotExactError, match=f"{reason}.*monte_carlo.*standard error"):
        source.marginalize(x, after)
    estimate = source.monte_carlo(jax.random.key(0), x, 100, after)
    assert estimate.standard_error > 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: noise.Dropout(1.5), "rate: got 1.5"),
        (lambda: noise.DropConnect(jnp.ones((2, 2)), None, -0.5), "rate: got -0.5"),
        (lambda: noise.StochasticDepth(BRANCHES, (0.5,)), "rates: got 1 for 4 branches"),
        (lambda: noise.StochasticDepth(BRANCHES[:1], (1.5,)), "rate: got 1.5"),
        (lambda: noise.GaussianNoise(-1.0), "std: got -1.0"),
        (lambda: noise.BatchNorm(jnp.ones((3, 2)), 5), "batch_size: got 5; expected 2 to 4"),
        (lambda: noise.BatchNorm(jnp.ones((3, 2)), 1), "batch_size: got 1"),
        (lambda: noise.FlipAndCrop(-1), "padding: got -1"),
        (lambda: noise.Mixup(jnp.ones(3), 0.0), "alpha: got 0.0"),
        (lambda: noise.Cutout(0).marginalize(IMAGE), "size: got 0"),
        (lambda: noise.FractionalMaxPool(3.0).marginalize(IMAGE), "ratio: got 3.0"),
        (lambda: noise.monte_carlo(jax.random.key(0), jax.random.normal, 1), "samples, batch_size"),
    ],
)
def test_mistakes_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
