"""Gradient descent, momentum, and Nesterov's momentum in both published forms."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import optax

from jaxnets.optim.trees import check_number, promote, zeros

# A constant, a function of the step count, or an optax StatefulSchedule such as `Plateau`.
LearningRate: TypeAlias = (
    float | jax.Array | Callable[[Any], Any] | optax.schedules.StatefulSchedule
)


class RateState(NamedTuple):
    """State of a learning rate that is a schedule.

    Attributes:
        count: updates so far, int32; the schedule's argument.
    """

    count: jax.Array


class StatefulRateState(NamedTuple):
    """State of a learning rate that depends on what it observes.

    Attributes:
        schedule: the state of the stateful schedule, for example a `PlateauState`.
    """

    schedule: Any


class VelocityState(NamedTuple):
    """State of momentum.

    Attributes:
        velocity: v, a tree like the parameters.
    """

    velocity: Any


def scale_by_learning_rate(learning_rate: LearningRate) -> optax.GradientTransformationExtraArgs:
    """Multiply by −η: the step that turns a direction into an update.

    Args:
        learning_rate: η as a number (no state is kept), as a function of the number of updates
            done so far, or as an ``optax`` stateful schedule, which also receives the keyword
            arguments of `update`, such as ``value=``; a `Plateau` only where it asks for them.

    Returns:
        A transform. A traced number is accepted, so ``optax.inject_hyperparams`` works.

    Raises:
        ValueError: a number below 0.

    >>> step = scale_by_learning_rate(lambda count: 0.1 / (1 + count))
    >>> state = step.init(jnp.zeros(2))
    >>> updates, state = step.update(jnp.ones(2), state)
    >>> print(step.update(jnp.ones(2), state)[0])
    [-0.05 -0.05]
    """

    def scaled(updates, rate):
        return jax.tree.map(lambda u: -jnp.asarray(rate, u.dtype) * u, promote(updates))

    if isinstance(learning_rate, optax.schedules.StatefulSchedule):

        def init(params):
            del params
            return StatefulRateState(learning_rate.init())

        def update(updates, state, params=None, **extra):
            del params
            observed = extra if getattr(learning_rate, "every_update", True) else {}
            schedule = learning_rate.update(state.schedule, **observed)
            return scaled(updates, learning_rate(schedule)), StatefulRateState(schedule)

    elif callable(learning_rate):

        def init(params):
            del params
            return RateState(jnp.zeros([], jnp.int32))

        def update(updates, state, params=None, **extra):
            del params, extra
            rate = learning_rate(state.count)
            return scaled(updates, rate), RateState(optax.safe_increment(state.count))

    else:
        check_number("learning_rate", learning_rate, low=0)

        def init(params):
            del params
            return optax.EmptyState()

        def update(updates, state, params=None, **extra):
            del params, extra
            return scaled(updates, learning_rate), state

    return optax.GradientTransformationExtraArgs(init, update)


def heavy_ball(momentum: float = 0.9, *, nesterov: bool = False) -> optax.GradientTransformation:
    """Accumulate a velocity, without a learning rate.

    .. math:: v ← ρv + g, \\qquad u = v \\quad\\text{or, Nesterov,}\\quad u = g + ρv

    Args:
        momentum: ρ in [0, 1).
        nesterov: return g + ρv, one step of the velocity ahead.

    Returns:
        A transform whose updates point uphill; put `scale_by_learning_rate` behind it. It keeps v,
        a tree like the parameters.

    Raises:
        ValueError: ρ outside [0, 1).

    Source: Polyak, "Some methods of speeding up the convergence of iteration methods" (1964).

    >>> rule = heavy_ball(0.5)
    >>> state = rule.init(jnp.zeros(1))
    >>> for _ in range(3):
    ...     direction, state = rule.update(jnp.ones(1), state)
    >>> direction.tolist()  # 1 + 0.5 + 0.25
    [1.75]
    """
    check_number("momentum", momentum, low=0, below=1)

    def init(params):
        return VelocityState(zeros(params))

    def update(grads, state, params=None):
        del params
        grads = promote(grads)
        velocity = jax.tree.map(lambda v, g: momentum * v + g, state.velocity, grads)
        if not nesterov:
            return velocity, VelocityState(velocity)
        ahead = jax.tree.map(lambda v, g: g + momentum * v, velocity, grads)
        return ahead, VelocityState(velocity)

    return optax.GradientTransformation(init, update)


def sgd(learning_rate: LearningRate) -> optax.GradientTransformationExtraArgs:
    """Stochastic gradient descent, without state.

    .. math:: x ← x − ηg

    Equals ``torch.optim.SGD(lr)``. Along an eigenvector of the Hessian with eigenvalue λ an error
    shrinks by 1 − ηλ a step: it oscillates for η > 1/λ and diverges for η > 2/λ.

    Args:
        learning_rate: η, or a schedule.

    Returns:
        A transform for ``optax.apply_updates``. It keeps nothing but the schedule's count.

    Raises:
        ValueError: a rate below 0.

    >>> rule = sgd(0.1)
    >>> x = jnp.array([1.0, -2.0])
    >>> updates, _ = rule.update(2 * x, rule.init(x))
    >>> print((x + updates).round(6))
    [ 0.8 -1.6]
    """
    return optax.chain(scale_by_learning_rate(learning_rate))


def momentum(
    learning_rate: LearningRate, momentum: float = 0.9, *, learning_rate_in_velocity: bool = False
) -> optax.GradientTransformationExtraArgs:
    """Gradient descent with the velocity of a heavy ball.

    .. math:: v ← ρv + g, \\quad x ← x − ηv

    Equals ``torch.optim.SGD(lr, momentum)``. With `learning_rate_in_velocity` it is v ← ρv − ηg,
    x ← x + v, as AlexNet and Caffe have it. The two are one as long as η is constant; after a drop
    of η the second goes on at the old speed for about 1/(1−ρ) steps.

    Args:
        learning_rate: η, or a schedule.
        momentum: ρ in [0, 1).
        learning_rate_in_velocity: Caffe's form.

    Returns:
        A transform for ``optax.apply_updates``. It keeps v, a tree like the parameters.

    Raises:
        ValueError: a rate below 0, or ρ outside [0, 1).

    Source: Sutskever et al., "On the importance of initialization and momentum in deep learning"
    (2013), section 2.

    >>> rule = momentum(0.1, 0.5)
    >>> state = rule.init(jnp.zeros(1))
    >>> for _ in range(2):
    ...     updates, state = rule.update(jnp.ones(1), state)
    >>> round(float(updates[0]), 4)  # -0.1 · (1 + 0.5)
    -0.15
    """
    rate = scale_by_learning_rate(learning_rate)
    ball = heavy_ball(momentum)
    return optax.chain(rate, ball) if learning_rate_in_velocity else optax.chain(ball, rate)


def nesterov(
    learning_rate: LearningRate, momentum: float = 0.9, *, learning_rate_in_velocity: bool = False
) -> optax.GradientTransformationExtraArgs:
    """Nesterov's momentum, re-parametrized so that the gradient is taken at the parameters.

    .. math:: v ← ρv + g(y), \\quad y ← y − η(g(y) + ρv)

    Equals ``torch.optim.SGD(lr, momentum, nesterov=True)``. Its parameters are the look-ahead
    points y = x + ρv of `nesterov_lookahead`, whose x and v are those of the other form.

    Args:
        learning_rate: η, or a schedule.
        momentum: ρ in [0, 1).
        learning_rate_in_velocity: let the rate enter the velocity; then the two forms are one
            under a schedule as well, not only under a constant rate.

    Returns:
        A transform for ``optax.apply_updates``. It keeps v, a tree like the parameters.

    Raises:
        ValueError: a rate below 0, or ρ outside [0, 1).

    Source: Bengio, Boulanger-Lewandowski, Pascanu, "Advances in optimizing recurrent networks"
    (2013), section 3.5.

    >>> rule = nesterov(0.1, 0.5)
    >>> updates, _ = rule.update(jnp.ones(1), rule.init(jnp.zeros(1)))
    >>> round(float(updates[0]), 4)  # -0.1 · (1 + 0.5)
    -0.15
    """
    rate = scale_by_learning_rate(learning_rate)
    ball = heavy_ball(momentum, nesterov=True)
    return optax.chain(rate, ball) if learning_rate_in_velocity else optax.chain(ball, rate)


def nesterov_lookahead(
    learning_rate: LearningRate, momentum: float = 0.9
) -> optax.GradientTransformationExtraArgs:
    """Nesterov's momentum as published: first along the velocity, then along the gradient there.

    .. math:: v ← ρv − ηg(x + ρv), \\quad x ← x + v

    The gradient handed to `update` must be taken at `look_ahead(params, state)`.

    Args:
        learning_rate: η, or a schedule.
        momentum: ρ in [0, 1).

    Returns:
        A transform for ``optax.apply_updates``. It keeps v, a tree like the parameters, which
        `look_ahead` finds in its state.

    Raises:
        ValueError: a rate below 0, or ρ outside [0, 1).

    Source: Nesterov, "A method of solving a convex programming problem with convergence rate
    O(1/k²)" (1983), as in Sutskever et al. (2013), section 2.

    >>> rule = nesterov_lookahead(0.1, 0.9)
    >>> x, state = jnp.array(1.0), rule.init(jnp.array(1.0))
    >>> for _ in range(60):
    ...     gradient = jax.grad(jnp.square)(look_ahead(x, state, 0.9))
    ...     updates, state = rule.update(gradient, state)
    ...     x = x + updates
    >>> bool(abs(x) < 1e-2)
    True
    """
    return optax.chain(scale_by_learning_rate(learning_rate), heavy_ball(momentum))


def look_ahead(params: Any, state: Any, momentum: float = 0.9) -> Any:
    """The point x + ρv at which `nesterov_lookahead` wants its gradient.

    Args:
        params: x.
        state: the state of a chain that holds `nesterov_lookahead`.
        momentum: the same ρ.

    Returns:
        A tree like `params`, in its dtypes; `params` themselves before the first update.

    Raises:
        ValueError: when the state holds no velocity, or more than one.

    >>> state = VelocityState(jnp.array([-0.5]))
    >>> look_ahead(jnp.array([1.0]), state, momentum=0.5).tolist()
    [0.75]
    """

    def is_velocity(node):
        return isinstance(node, VelocityState)

    found = [s for s in jax.tree.leaves(state, is_leaf=is_velocity) if is_velocity(s)]
    if len(found) != 1:
        raise ValueError(
            f"state must hold exactly one velocity, found {len(found)}; "
            "pass the state of nesterov_lookahead"
        )
    return jax.tree.map(
        lambda p, v: (p + momentum * v).astype(jnp.result_type(p)), params, found[0].velocity
    )
