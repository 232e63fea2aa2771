"""A rate for every parameter from its own squared gradients: AdaGrad, RMSProp, AdaDelta."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxnets.optim.sgd import LearningRate, heavy_ball, scale_by_learning_rate
from jaxnets.optim.trees import check_number, promote, zeros


class SquaresState(NamedTuple):
    """Sum or running mean of squared gradients."""

    squares: Any


class CenteredState(NamedTuple):
    """Running means of squared gradients and of gradients."""

    squares: Any
    mean: Any


class AdaDeltaState(NamedTuple):
    """Running means of squared gradients and of squared steps."""

    squares: Any
    steps: Any


def scale_by_adagrad(eps: float = 1e-10, initial: float = 0.0) -> optax.GradientTransformation:
    """g / (√G + ε) with G the sum of all squared gradients; see `adagrad`."""
    check_number("eps", eps, low=0)
    check_number("initial", initial, low=0)

    def init(params):
        return SquaresState(zeros(params, initial))

    def update(grads, state, params=None):
        del params
        grads = promote(grads)
        squares = jax.tree.map(lambda s, g: s + g * g, state.squares, grads)
        direction = jax.tree.map(lambda g, s: g / (jnp.sqrt(s) + eps), grads, squares)
        return direction, SquaresState(squares)

    return optax.GradientTransformation(init, update)


def adagrad(
    learning_rate: LearningRate, *, eps: float = 1e-10, initial: float = 0.0
) -> optax.GradientTransformationExtraArgs:
    """AdaGrad: divide by the root of all squared gradients so far.

    .. math:: G ← G + g², \\quad x ← x − η g / (\\sqrt G + ε)

    Duchi, Hazan, Singer, 2011. Steep directions are held back; as G only grows, under a constant
    gradient the steps shrink as 1/√t until nothing moves.

    Equals ``torch.optim.Adagrad``. ``optax.adagrad`` starts G at 0.1 and has ε = 1e-7: after 20
    steps it is 1.7e-2 away. PyTorch's `lr_decay` is the schedule ``inverse(base, gamma, 1)``.

    Args:
        learning_rate: η, or a schedule.
        eps: ε, outside the root.
        initial: G at the start.
    """
    return optax.chain(scale_by_adagrad(eps, initial), scale_by_learning_rate(learning_rate))


def scale_by_rmsprop(
    decay: float = 0.99,
    eps: float = 1e-8,
    *,
    centered: bool = False,
    eps_in_root: bool = False,
    initial: float = 0.0,
) -> optax.GradientTransformation:
    """g / (√s + ε) with s the leaky mean of squared gradients; see `rmsprop`."""
    check_number("decay", decay, low=0, below=1)
    check_number("eps", eps, low=0)
    check_number("initial", initial, low=0)

    def init(params):
        squares = zeros(params, initial)
        return CenteredState(squares, zeros(params)) if centered else SquaresState(squares)

    def leaky(old, new):
        return jax.tree.map(lambda o, n: decay * o + (1 - decay) * n, old, new)

    def divide(g, variance):
        root = jnp.sqrt(variance + eps) if eps_in_root else jnp.sqrt(variance) + eps
        return g / root

    def update(grads, state, params=None):
        del params
        grads = promote(grads)
        squares = leaky(state.squares, jax.tree.map(jnp.square, grads))
        if not centered:
            return jax.tree.map(divide, grads, squares), SquaresState(squares)
        mean = leaky(state.mean, grads)
        # Rounding can bring a variance of nothing below zero.
        variance = jax.tree.map(lambda s, m: jnp.maximum(s - m * m, 0), squares, mean)
        return jax.tree.map(divide, grads, variance), CenteredState(squares, mean)

    return optax.GradientTransformation(init, update)


def rmsprop(
    learning_rate: LearningRate,
    *,
    decay: float = 0.99,
    eps: float = 1e-8,
    momentum: float = 0.0,
    centered: bool = False,
    eps_in_root: bool = False,
    initial: float = 0.0,
    rate_inside: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """RMSProp: AdaGrad that forgets.

    .. math:: s ← βs + (1−β)g², \\quad x ← x − η g / (\\sqrt s + ε)

    Tieleman and Hinton, lecture 6.5 of "Neural networks for machine learning", 2012.

    Equals ``torch.optim.RMSprop``. ``optax.rmsprop`` has decay 0.9 and, by default, ε under the
    root. TensorFlow, in which Inception-v3 was trained (decay 0.9, ε = 1.0), has ε under the root,
    s = 1 at the start and the rate inside the velocity: ``rmsprop(rate, decay=0.9, eps=1.0,
    momentum=0.9, eps_in_root=True, initial=1.0, rate_inside=True)``.

    Args:
        learning_rate: η, or a schedule.
        decay: β, the share of the past.
        eps: ε.
        momentum: ρ of a velocity over the scaled gradients; 0 keeps none.
        centered: divide by the standard deviation, s − mean(g)² instead of s.
        eps_in_root: √(s + ε) instead of √s + ε.
        initial: s at the start.
        rate_inside: v ← ρv + η·direction, as TensorFlow, instead of η outside, as PyTorch.
    """
    scale = scale_by_rmsprop(
        decay, eps, centered=centered, eps_in_root=eps_in_root, initial=initial
    )
    rate = scale_by_learning_rate(learning_rate)
    if isinstance(momentum, float | int) and momentum == 0:
        return optax.chain(scale, rate)
    ball = heavy_ball(momentum)
    return optax.chain(scale, rate, ball) if rate_inside else optax.chain(scale, ball, rate)


def scale_by_adadelta(decay: float = 0.9, eps: float = 1e-6) -> optax.GradientTransformation:
    """g times the ratio of two root mean squares, of past steps and gradients; see `adadelta`."""
    check_number("decay", decay, low=0, below=1)
    check_number("eps", eps, above=0)

    def init(params):
        return AdaDeltaState(zeros(params), zeros(params))

    def leaky(old, new):
        return jax.tree.map(lambda o, n: decay * o + (1 - decay) * n * n, old, new)

    def update(grads, state, params=None):
        del params
        grads = promote(grads)
        squares = leaky(state.squares, grads)
        direction = jax.tree.map(
            lambda g, s, d: jnp.sqrt(d + eps) / jnp.sqrt(s + eps) * g, grads, squares, state.steps
        )
        return direction, AdaDeltaState(squares, leaky(state.steps, direction))

    return optax.GradientTransformation(init, update)


def adadelta(
    learning_rate: LearningRate = 1.0, *, decay: float = 0.9, eps: float = 1e-6
) -> optax.GradientTransformationExtraArgs:
    """AdaDelta: steps in the units of the parameters, so that a rate of 1 will do.

    .. math::
        s ← ρs + (1−ρ)g², \\quad Δ = \\frac{\\sqrt{d + ε}}{\\sqrt{s + ε}} g, \\quad
        d ← ρd + (1−ρ)Δ², \\quad x ← x − ηΔ

    Zeiler, "ADADELTA: an adaptive learning rate method", 2012. Equals ``torch.optim.Adadelta``.

    Args:
        learning_rate: η, 1 in the paper, or a schedule.
        decay: ρ.
        eps: ε, under both roots; the size of the first steps is about √ε.
    """
    return optax.chain(scale_by_adadelta(decay, eps), scale_by_learning_rate(learning_rate))
