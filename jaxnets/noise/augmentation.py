"""Data augmentation as noise on images: flips and crops, cutout, mixup."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from scipy.special import roots_jacobi

from jaxnets.augment import crop, cutout, cutout_at, flip, random_crop, random_flip
from jaxnets.noise.source import Function, NoiseSource, NotExactError, Outcomes, weighted_sum
from jaxnets.ops.activations import identity


@dataclass(frozen=True)
class FlipAndCrop(NoiseSource):
    """x (H, W, C) ↦ a random crop of x with a margin of zeros, mirrored half the time.

    Exact for any function: there are 2 (2p + 1)² outcomes, 162 for a padding of 4. `test_pass` is
    the image itself.

    Attributes:
        padding: p, pixels on each side; 0: no crop.
        flips: whether to mirror.

    Source: He et al. 2016 (Deep Residual Learning for Image Recognition), §4.2.

    >>> left = FlipAndCrop(padding=1).marginalize(jnp.ones((3, 3, 1)))
    >>> f"{float(left.sum()):.3f}"  # 9 · (7/9)²
    '5.444'
    """

    padding: int = 4
    flips: bool = True

    def __post_init__(self):
        if self.padding < 0:
            raise ValueError(f"padding: got {self.padding}; expected pixels, at least 0")

    def sample(self, key: jax.Array, x: jax.Array) -> jax.Array:
        crop_key, flip_key = jax.random.split(key)
        x = random_crop(crop_key, x, self.padding) if self.padding else x
        return random_flip(flip_key, x) if self.flips else x

    def outcomes(self, x: jax.Array) -> Outcomes:
        side = 2 * self.padding + 1
        count = side * side * (2 if self.flips else 1)

        def at(i):
            y = crop(x, i % side, i // side % side, self.padding) if self.padding else x
            return flip(y, i // (side * side) > 0)

        return Outcomes(count, at, lambda i: jnp.asarray(1.0 / count, float))

    def test_pass(self, x: jax.Array, function: Function = identity) -> jax.Array:
        return function(x)


@dataclass(frozen=True)
class Cutout(NoiseSource):
    """x (H, W, C) ↦ x with a square around a random pixel replaced by a constant.

    Exact for any function, by all H·W centers. `test_pass` is the image itself.

    Attributes:
        size: side of the square in pixels.
        fill: value of the replaced pixels.

    Source: DeVries & Taylor 2017 (Improved Regularization of Convolutional Neural Networks with
    Cutout), §3.

    >>> Cutout(1).marginalize(jnp.ones((2, 2, 1))).ravel().tolist()
    [0.75, 0.75, 0.75, 0.75]
    """

    size: int
    fill: float = 0.0

    def sample(self, key: jax.Array, x: jax.Array) -> jax.Array:
        return cutout(key, x, self.size, self.fill)

    def outcomes(self, x: jax.Array) -> Outcomes:
        height, width = x.shape[:2]
        count = height * width
        return Outcomes(
            count,
            lambda i: cutout_at(x, i // width, i % width, self.size, self.fill),
            lambda i: jnp.asarray(1.0 / count, float),
        )

    def test_pass(self, x: jax.Array, function: Function = identity) -> jax.Array:
        return function(x)


@dataclass(frozen=True, eq=False)
class Mixup(NoiseSource):
    """x ↦ λ x + (1 − λ) x', with λ ~ Beta(α, α) and x' one of the other examples.

    ``x`` may be an image, or a tree such as (image, label distribution) that is mixed as one.
    Exact for polynomials of a given ``degree``: Gauss–Jacobi quadrature over λ, all partners.
    `test_pass` is x itself.

    Attributes:
        others: the other examples, stacked along a first axis, in the structure of x.
        alpha: α > 0.

    Source: Zhang et al. 2018 (mixup: Beyond Empirical Risk Minimization), §2.

    >>> noise = Mixup(jnp.array([0.0]), alpha=1.0)
    >>> square = noise.marginalize(jnp.float32(3.0), lambda y: y * y, degree=2)
    >>> f"{float(square):.4f}"  # 9 E λ² with λ uniform
    '3.0000'
    """

    others: Any
    alpha: float = 1.0

    def __post_init__(self):
        if not self.alpha > 0.0:
            raise ValueError(f"alpha: got {self.alpha}; expected a positive number")

    @property
    def _partners(self) -> int:
        return len(jax.tree.leaves(self.others)[0])

    def _mixed(self, x: Any, partner: jax.Array, share: jax.Array) -> Any:
        def mix(own, others):
            weight = share.astype(own.dtype)
            return weight * own + (1.0 - weight) * others[partner].astype(own.dtype)

        return jax.tree.map(mix, x, self.others)

    def sample(self, key: jax.Array, x: Any) -> Any:
        partner_key, share_key = jax.random.split(key)
        partner = jax.random.randint(partner_key, (), 0, self._partners)
        return self._mixed(x, partner, jax.random.beta(share_key, self.alpha, self.alpha))

    def mean(self, x: Any) -> Any:
        return jax.tree.map(lambda own, others: (own + others.mean(0)) / 2, x, self.others)

    def marginalize(self, x: Any, function: Function = identity, *, degree: int | None = None):
        if function is identity or degree in (0, 1):
            return function(self.mean(x))
        if degree is None:
            raise NotExactError(
                "Mixup: no exact mean of this function, because λ is continuous. Give the degree "
                "if it is a polynomial, or use monte_carlo(key, x, samples, function), which gives "
                "a standard error"
            )
        # n nodes are exact up to degree 2n − 1.
        nodes, weights = roots_jacobi(degree // 2 + 1, self.alpha - 1, self.alpha - 1)
        shares = jnp.asarray((1 + nodes) / 2, float)
        weights = jnp.asarray(weights / weights.sum() / self._partners, float)
        n = len(nodes)
        outcomes = Outcomes(
            n * self._partners,
            lambda i: self._mixed(x, i // n, shares[i % n]),
            lambda i: weights[i % n],
        )
        return weighted_sum(function, outcomes)

    def test_pass(self, x: Any, function: Function = identity) -> jax.Array:
        return function(x)
