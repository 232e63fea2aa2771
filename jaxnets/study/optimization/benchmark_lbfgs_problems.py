"""What minimizers are compared on: published test functions, and training on real data sets.

All in float64. The data sets come with scikit-learn. The function of a case takes the data as an
argument, so that no solver has it folded into its program as a constant.

Source: Moré, Garbow, Hillstrom, "Testing unconstrained optimization software", ACM TOMS 7 (1981),
for the published ones (`jaxnets.optim.second_order.problems`).
"""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.optim.second_order.problems import LEAST_SQUARES, UNCONSTRAINED
from jaxnets.optim.second_order.problems.unconstrained import extended_rosenbrock

FAMILIES = ("published", "large", "hard", "data", "network")


class Case(NamedTuple):
    """One minimization problem.

    Attributes:
        name: unique.
        family: one of `FAMILIES`.
        fun: ``fun(x, *args) -> scalar`` with a flat x.
        start: shape (n,), float64.
        args: the data.
    """

    name: str
    family: str
    fun: Callable
    start: np.ndarray
    args: tuple = ()


def all_cases() -> list[Case]:
    """Every case; the first families have closed forms, the last two real data.

    Returns:
        A list of `Case`.
    """
    published = [Case(p.name, "published", p.fun, p.start) for p in UNCONSTRAINED + LEAST_SQUARES]
    return [*published, *large(), *hard(), *data(), *networks()]


def chained_rosenbrock(x: jax.Array) -> jax.Array:
    """Σ 100(x_{i+1} − x_i²)² + (1 − x_i)² over all neighbors.

    Args:
        x: shape (n,).

    Returns:
        A scalar, 0 where all entries are 1.

    >>> chained_rosenbrock(jnp.ones(5)).item()
    0.0
    """
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def large() -> list[Case]:
    """Rosenbrock's function in 100 to 10,000 dimensions.

    Returns:
        A list of `Case`.
    """

    def separable(x):
        return jnp.sum(extended_rosenbrock(x) ** 2)

    cases = [
        Case(f"chained_rosenbrock_{n}", "large", chained_rosenbrock, np.tile([-1.2, 1.0], n // 2))
        for n in (100, 1000)
    ]
    return [
        *cases,
        Case("extended_rosenbrock_10000", "large", separable, np.tile([-1.2, 1.0], 5000)),
    ]


def hard() -> list[Case]:
    """Badly scaled and flat functions.

    Returns:
        A list of `Case`.
    """

    def quadratic(x, scales):
        return 0.5 * jnp.sum(scales * x**2)

    def quartic(x):
        return jnp.sum(x**4)

    def nearly_flat(x):
        return jnp.sum(jnp.sqrt(1e-4 + x**2)) + 1e-4 * jnp.sum((x[1:] - x[:-1]) ** 2)

    def units(x, scales):
        return chained_rosenbrock(x * scales)

    spread = np.logspace(0, 5, 200)
    mixed = np.logspace(-2, 2, 10)
    return [
        Case("quadratic_condition_1e5", "hard", quadratic, np.ones(200), (spread,)),
        Case("quartic_100", "hard", quartic, np.linspace(-1, 1, 100)),
        Case("nearly_absolute_50", "hard", nearly_flat, np.linspace(-3, 3, 50)),
        Case("rosenbrock_in_mixed_units", "hard", units, np.zeros(10), (mixed,)),
    ]


def _cross_entropy(logits, labels):
    picked = jnp.take_along_axis(logits, labels[:, None], axis=1)[:, 0]
    return jnp.mean(jax.nn.logsumexp(logits, axis=1) - picked)


def _digits() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return bunch.data / 16.0, bunch.target.astype(np.int32)


def data() -> list[Case]:
    """Regressions and factorizations of data sets.

    Returns:
        A list of `Case`.
    """
    from sklearn.datasets import load_breast_cancer, load_diabetes

    images, labels = _digits()

    def softmax(x, images, labels, decay):
        kernel, bias = x[:640].reshape(64, 10), x[640:]
        return _cross_entropy(images @ kernel + bias, labels) + decay * jnp.sum(x**2)

    tumors = load_breast_cancer()
    signs = tumors.target * 2.0 - 1.0
    standard = (tumors.data - tumors.data.mean(0)) / tumors.data.std(0)

    def logistic(x, features, signs):
        margins = signs * (features @ x[:-1] + x[-1])
        return jnp.mean(jnp.logaddexp(0, -margins)) + 1e-4 * jnp.sum(x**2)

    patients = load_diabetes()
    target = (patients.target - patients.target.mean()) / patients.target.std()

    def huber(x, features, target):
        error = features @ x - target
        return jnp.mean(jnp.sqrt(1 + error**2) - 1)

    rng = np.random.default_rng(0)
    low_rank = rng.normal(size=(100, 5)) @ rng.normal(size=(5, 80)) / 5**0.5
    seen = rng.random((100, 80)) < 0.5

    def factorize(x, matrix, weights):
        left, right = x[:500].reshape(100, 5), x[500:].reshape(5, 80)
        return jnp.mean(weights * (left @ right - matrix) ** 2) + 1e-3 * jnp.mean(x**2)

    matrix_start = 0.1 * rng.normal(size=900)
    decayed, plain = np.float64(1e-4), np.float64(1e-5)
    return [
        Case("softmax_digits_650", "data", softmax, np.zeros(650), (images, labels, decayed)),
        Case("softmax_digits_weak_decay", "data", softmax, np.zeros(650), (images, labels, plain)),
        Case("logistic_tumors_31", "data", logistic, np.zeros(31), (standard, signs)),
        Case("robust_diabetes_10", "data", huber, np.zeros(10), (patients.data, target)),
        Case("matrix_completion_900", "data", factorize, matrix_start, (low_rank, seen * 1.0)),
        Case("factorize_digits_900", "data", factorize, matrix_start, (_patch(images), np.ones(1))),
    ]


def _patch(images: np.ndarray) -> np.ndarray:
    """A 100×80 block of the digits, to be factorized."""
    return np.concatenate([images[:100], images[100:200, :16]], axis=1)


def networks() -> list[Case]:
    """Small networks on digits, their parameters as one vector.

    Returns:
        A list of `Case`.
    """
    images, labels = _digits()

    def dense(sizes, activation, decay=0.0):
        shapes = list(itertools.pairwise(sizes))

        def forward(x, images):
            hidden, begin = images, 0
            for depth, (fan_in, fan_out) in enumerate(shapes):
                kernel = x[begin : begin + fan_in * fan_out].reshape(fan_in, fan_out)
                begin += fan_in * fan_out
                hidden = hidden @ kernel + x[begin : begin + fan_out]
                begin += fan_out
                if depth < len(shapes) - 1:
                    hidden = activation(hidden)
            return hidden

        rng = np.random.default_rng(1)
        parts = [
            part
            for fan_in, fan_out in shapes
            for part in (rng.normal(size=fan_in * fan_out) / fan_in**0.5, np.zeros(fan_out))
        ]

        def loss(x, images, labels):
            return _cross_entropy(forward(x, images), labels) + decay * jnp.sum(x**2)

        return loss, forward, np.concatenate(parts)

    tanh, _, tanh_start = dense([64, 32, 10], jnp.tanh)
    decayed, _, _ = dense([64, 32, 10], jnp.tanh, 1e-4)
    deep, _, deep_start = dense([64, 32, 32, 10], jax.nn.silu, 1e-4)
    _, rebuild, coder_start = dense([64, 12, 64], jnp.tanh)

    def autoencoder(x, images):
        return jnp.mean((rebuild(x, images) - images) ** 2) + 1e-6 * jnp.sum(x**2)

    def conv_net(x, images, labels):
        first, bias1 = x[:72].reshape(3, 3, 1, 8), x[72:80]
        second, bias2 = x[80:1232].reshape(3, 3, 8, 16), x[1232:1248]
        head, bias3 = x[1248:1408].reshape(16, 10), x[1408:1418]
        layout = ("NHWC", "HWIO", "NHWC")

        def conv(image, kernel, stride):
            return jax.lax.conv_general_dilated(
                image, kernel, (stride, stride), ((1, 1), (1, 1)), dimension_numbers=layout
            )

        hidden = jnp.tanh(conv(images.reshape(-1, 8, 8, 1), first, 2) + bias1)
        hidden = jnp.tanh(conv(hidden, second, 2) + bias2)
        logits = 10 * jnp.mean(hidden, (1, 2)) @ head + bias3
        return _cross_entropy(logits, labels) + 1e-4 * jnp.sum(x**2)

    rng = np.random.default_rng(2)
    conv_start = np.concatenate(
        [
            rng.normal(size=72) / 3,
            np.zeros(8),
            rng.normal(size=1152) / 72**0.5,
            np.zeros(16),
            rng.normal(size=160) / 4,
            np.zeros(10),
        ]
    )
    few = (images[:400], labels[:400])
    return [
        Case("tanh_network_2410", "network", tanh, tanh_start, (images, labels)),
        Case("tanh_network_decayed_2410", "network", decayed, tanh_start, (images, labels)),
        Case("deep_network_3466", "network", deep, deep_start, (images, labels)),
        Case("autoencoder_1612", "network", autoencoder, coder_start, (images,)),
        Case("conv_network_1418", "network", conv_net, conv_start, few),
    ]
