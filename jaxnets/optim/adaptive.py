"""A rate for every parameter from its own squared gradients: AdaGrad, RMSProp, AdaDelta."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxnets.optim.sgd import LearningRate, heavy_ball, scale_by_learning_rate
from jaxnets.optim.trees import check_number, promote, zeros


class SquaresState(NamedTuple):
    """State of `adagrad` and `rmsprop`.

    Attributes:
        squares: the sum (AdaGrad) or running mean (RMSProp) of the squared gradients, a tree like
            the parameters.
    """

    squares: Any


class CenteredState(NamedTuple):
    """State of `rmsprop` with ``centered=True``.

    Attributes:
        squares: the running mean of the squared gradients, a tree like the parameters.
        mean: the running mean of the gradients, a tree like the parameters.
    """

    squares: Any
    mean: Any


class AdaDeltaState(NamedTuple):
    """State of `adadelta`.

    Attributes:
        squares: s, the running mean of the squared gradients, a tree like the parameters.
        steps: d, the running mean of the squared steps, a tree like the parameters.
    """

    squares: Any
    steps: Any


def scale_by_adagrad(
    eps: float = 1e-10, initial_accumulator_value: float = 0.0
) -> optax.GradientTransformation:
    """g / (√G + ε) with G the sum of all squared gradients; see `adagrad`.

    Args:
        eps: ε, outside the root.
        initial_accumulator_value: G at the start.

    Returns:
        A transform whose updates point uphill; put `scale_by_learning_rate` behind it. It keeps G,
        a tree like the parameters.

    Raises:
        ValueError: ε or the initial value below 0.

    >>> rule = scale_by_adagrad()
    >>> direction, _ = rule.update(jnp.array([4.0, -0.5]), rule.init(jnp.zeros(2)))
    >>> direction.tolist()
    [1.0, -1.0]
    """
    check_number("eps", eps, low=0)
    check_number("initial_accumulator_value", initial_accumulator_value, low=0)

    def init(params):
        return SquaresState(zeros(params, initial_accumulator_value))

    def update(grads, state, params=None):
        del params
        grads = promote(grads)
        squares = jax.tree.map(lambda s, g: s + g * g, state.squares, grads)
        direction = jax.tree.map(lambda g, s: g / (jnp.sqrt(s) + eps), grads, squares)
        return direction, SquaresState(squares)

    return optax.GradientTransformation(init, update)


def adagrad(
    learning_rate: LearningRate, *, eps: float = 1e-10, initial_accumulator_value: float = 0.0
) -> optax.GradientTransformationExtraArgs:
    """AdaGrad: divide by the root of all squared gradients so far.

    .. math:: G ← G + g², \\quad x ← x − η g / (\\sqrt G + ε)

    Steep directions are held back; as G only grows, under a constant
    gradient the steps shrink as 1/√t until nothing moves.

    Equals ``torch.optim.Adagrad``. ``optax.adagrad`` starts G at 0.1 and has ε = 1e-7: after 20
    steps it is 1.7e-2 away. PyTorch's `lr_decay` is the schedule ``inverse(base, gamma, 1)``.

    Args:
        learning_rate: η, or a schedule.
        eps: ε, outside the root.
        initial_accumulator_value: G at the start.

    Returns:
        A transform for ``optax.apply_updates``. It keeps G, a tree like the parameters.

    Raises:
        ValueError: a rate, ε or the initial value below 0.

    Source: Duchi, Hazan, Singer, "Adaptive subgradient methods for online learning and stochastic
    optimization" (2011), section 1.1.

    >>> rule = adagrad(0.1)
    >>> state = rule.init(jnp.zeros(1))
    >>> for _ in range(4):
    ...     updates, state = rule.update(jnp.ones(1), state)
    >>> round(float(updates[0]), 4)  # η / √4
    -0.05
    """
    return optax.chain(
        scale_by_adagrad(eps, initial_accumulator_value), scale_by_learning_rate(learning_rate)
    )


def scale_by_rmsprop(
    decay: float = 0.99,
    eps: float = 1e-8,
    *,
    centered: bool = False,
    eps_in_sqrt: bool = False,
    initial_scale: float = 0.0,
) -> optax.GradientTransformation:
    """g / (√s + ε) with s the running mean of squared gradients; see `rmsprop`.

    Args:
        decay: β, the share of the past.
        eps: ε.
        centered: divide by the standard deviation, s − mean(g)² instead of s.
        eps_in_sqrt: √(s + ε) instead of √s + ε.
        initial_scale: s at the start.

    Returns:
        A transform whose updates point uphill; put `scale_by_learning_rate` behind it. It keeps s,
        and the mean gradient where ``centered``: one or two trees like the parameters.

    Raises:
        ValueError: the decay outside [0, 1), ε or the initial value below 0.

    >>> rule = scale_by_rmsprop(decay=0.75, eps=0.0)
    >>> rule.update(jnp.array([3.0, -0.1]), rule.init(jnp.zeros(2)))[0].tolist()
    [2.0, -2.0]
    """
    check_number("decay", decay, low=0, below=1)
    check_number("eps", eps, low=0)
    check_number("initial_scale", initial_scale, low=0)

    def init(params):
        squares = zeros(params, initial_scale)
        return CenteredState(squares, zeros(params)) if centered else SquaresState(squares)

    def leaky(old, new):
        return jax.tree.map(lambda o, n: decay * o + (1 - decay) * n, old, new)

    def divide(g, variance):
        root = jnp.sqrt(variance + eps) if eps_in_sqrt else jnp.sqrt(variance) + eps
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
    eps_in_sqrt: bool = False,
    initial_scale: float = 0.0,
    learning_rate_in_velocity: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """RMSProp: AdaGrad that forgets.

    .. math:: s ← βs + (1−β)g², \\quad x ← x − η g / (\\sqrt s + ε)

    Equals ``torch.optim.RMSprop``. ``optax.rmsprop`` has decay 0.9 and, by default, ε under the
    root. TensorFlow, in which Inception-v3 was trained (decay 0.9, ε = 1.0), has ε under the root,
    s = 1 at the start and the rate inside the velocity: ``rmsprop(rate, decay=0.9, eps=1.0,
    momentum=0.9, eps_in_sqrt=True, initial_scale=1.0, learning_rate_in_velocity=True)``.

    Args:
        learning_rate: η, or a schedule.
        decay: β, the share of the past.
        eps: ε.
        momentum: ρ of a velocity over the scaled gradients; 0 keeps none.
        centered: divide by the standard deviation, s − mean(g)² instead of s.
        eps_in_sqrt: √(s + ε) instead of √s + ε.
        initial_scale: s at the start.
        learning_rate_in_velocity: v ← ρv + η·direction, as TensorFlow, instead of η outside, as
            PyTorch.

    Returns:
        A transform for ``optax.apply_updates``. It keeps s, and besides the mean gradient where
        ``centered`` and a velocity where ρ > 0: one to three trees like the parameters.

    Raises:
        ValueError: a decay or ρ outside [0, 1), a rate, ε or the initial value below 0.

    Source: Tieleman and Hinton, lecture 6.5 of "Neural networks for machine learning" (2012);
    Graves, "Generating sequences with recurrent neural networks" (2013), section 4.2, centered.

    >>> rule = rmsprop(0.1, decay=0.75)
    >>> updates, _ = rule.update(jnp.array([3.0, -0.1]), rule.init(jnp.zeros(2)))
    >>> [round(float(u), 4) for u in updates]
    [-0.2, 0.2]
    """
    scale = scale_by_rmsprop(
        decay, eps, centered=centered, eps_in_sqrt=eps_in_sqrt, initial_scale=initial_scale
    )
    rate = scale_by_learning_rate(learning_rate)
    if isinstance(momentum, float | int) and momentum == 0:
        return optax.chain(scale, rate)
    ball = heavy_ball(momentum)
    return (
        optax.chain(scale, rate, ball)
        if learning_rate_in_velocity
        else optax.chain(scale, ball, rate)
    )


def scale_by_adadelta(decay: float = 0.9, eps: float = 1e-6) -> optax.GradientTransformation:
    """g times the ratio of two root mean squares, of past steps and gradients; see `adadelta`.

    Args:
        decay: ρ, the share of the past.
        eps: ε, under both roots.

    Returns:
        A transform whose updates point uphill; put `scale_by_learning_rate` behind it. It keeps s
        and d, two trees like the parameters.

    Raises:
        ValueError: the decay outside [0, 1), or ε not above 0.

    >>> rule = scale_by_adadelta(decay=0.5, eps=1e-4)
    >>> direction, _ = rule.update(jnp.array([2.0, -3.0]), rule.init(jnp.zeros(2)))
    >>> [round(float(d), 4) for d in direction]
    [0.0141, -0.0141]
    """
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

    Equals ``torch.optim.Adadelta``.

    Args:
        learning_rate: η, 1 in the paper, or a schedule.
        decay: ρ, the share of the past.
        eps: ε, under both roots; the size of the first steps is about √ε.

    Returns:
        A transform for ``optax.apply_updates``. It keeps s and d, two trees like the parameters.

    Raises:
        ValueError: a rate below 0, the decay outside [0, 1), or ε not above 0.

    Source: Zeiler, "ADADELTA: an adaptive learning rate method" (2012), algorithm 1.

    >>> rule = adadelta(decay=0.5, eps=1e-4)
    >>> updates, _ = rule.update(jnp.array([2.0, -3.0]), rule.init(jnp.zeros(2)))
    >>> [round(float(u), 4) for u in updates]
    [-0.0141, 0.0141]
    """
    return optax.chain(scale_by_adadelta(decay, eps), scale_by_learning_rate(learning_rate))
