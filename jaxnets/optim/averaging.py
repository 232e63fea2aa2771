"""Averages of the parameters along the way, to be used for prediction: Polyak's and exponential.

Every average here is one line, a ← a + α_t (p − a), and differs by its weight α_t only.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxnets.optim.adam import bias_correction
from jaxnets.optim.trees import check_count, check_number, need_params, promote


class AverageState(NamedTuple):
    """State of an `Average`.

    Attributes:
        count: parameter sets seen so far, int32.
        average: their average, ready for use, a tree like the parameters, float32 at least.
    """

    count: jax.Array
    average: Any


class Average(NamedTuple):
    """A running average: ``init(params)`` and ``update(state, params)`` return its state.

    It takes any tree of floating-point arrays; give it the parameters together with the statistics
    of batch normalization when those shall be averaged as well.

    Attributes:
        init: ``params -> state``.
        update: ``(state, params) -> state``.
    """

    init: Callable[[Any], AverageState]
    update: Callable[[AverageState, Any], AverageState]


def _running(weight: Callable[[jax.Array, Any], jax.Array]) -> Average:
    """The average whose t-th parameter set, t from 1, enters with `weight(t, dtype)`."""

    def init(params):
        return AverageState(jnp.zeros([], jnp.int32), promote(params))

    def update(state, params):
        t = optax.safe_increment(state.count)

        def moved(a, p):
            share = weight(t, a.dtype)
            # All of p is p itself: a + (p − a) would round, and keep a NaN of a for good.
            return jnp.where(share == 1, p, a + share * (p - a))

        return AverageState(t, jax.tree.map(moved, state.average, promote(params)))

    return Average(init, update)


def polyak(start: int = 0) -> Average:
    """The plain mean of all parameters after the first `start` updates.

    .. math:: a_t = \\frac{1}{t − s} \\sum_{i=s+1}^t p_i

    GoogLeNet used it for its final model (Szegedy et al. 2014, section 6). Up to `start` the
    average is the latest parameters.

    Args:
        start: s, updates that are left out.

    Returns:
        ``init(params)`` and ``update(state, params)``; ``state.average`` is the mean. `track` makes
        a link of a chain out of it.

    Raises:
        ValueError: ``start`` is not a whole number of at least 0.

    Source: Polyak and Juditsky, "Acceleration of stochastic approximation by averaging" (1992).

    >>> mean = polyak()
    >>> state = mean.init(jnp.array(9.0))
    >>> for p in (1.0, 2.0, 6.0):
    ...     state = mean.update(state, jnp.array(p))
    >>> print(state.average)
    3.0
    """
    check_count("start", start)
    return _running(lambda t, dtype: 1 / jnp.maximum(t - start, 1).astype(dtype))


def ema(decay: float = 0.9999, *, debias: bool = False, warm: bool = False) -> Average:
    """Exponential moving average of the parameters.

    .. math:: a_t = β a_{t−1} + (1−β) p_t

    Inception-v3 was evaluated with such an average; 0.9999 is the decay of TensorFlow's program
    that trains it. It remembers about 1/(1−β) updates, hence with a large β the first parameters,
    which are random, stay in it for long. There are two remedies.

    Args:
        decay: β in [0, 1).
        debias: leave the first parameters out and divide by the weights gathered, 1 − β^t.
        warm: β_t = min(β, (1 + t)/(10 + t)), as TensorFlow with ``num_updates``.

    Returns:
        ``init(params)`` and ``update(state, params)``; ``state.average`` is the average. `track`
        makes a link of a chain out of it.

    Raises:
        ValueError: the decay outside [0, 1), or both remedies at once.

    Source: Szegedy et al., "Rethinking the Inception architecture for computer vision" (2015),
    section 8.

    >>> mean = ema(0.5)
    >>> state = mean.update(mean.init(jnp.array(0.0)), jnp.array(1.0))
    >>> print(state.average)  # half of the first parameters, half of the new ones
    0.5
    >>> mean = ema(0.5, debias=True)
    >>> print(mean.update(mean.init(jnp.array(0.0)), jnp.array(1.0)).average)
    1.0
    """
    check_number("decay", decay, low=0, below=1)
    if debias and warm:
        raise ValueError("debias and warm are two remedies for the same; choose one, got both")

    def weight(t, dtype):
        if debias:
            # 1 for the first, without rounding: nothing of what was there before is left.
            return jnp.where(t == 1, 1, (1 - decay) / bias_correction(decay, t, dtype))
        if warm:
            # 1 − (1 + t)/(10 + t) = 9/(10 + t), without the loss of digits.
            return jnp.maximum(1 - decay, 9 / (10 + t.astype(dtype)))
        return jnp.asarray(1 - decay, dtype)

    return _running(weight)


def track(average: Average) -> optax.GradientTransformation:
    """An average as the last link of a chain: it sees the parameters as updated.

    Args:
        average: from `polyak` or `ema`.

    Returns:
        A transform that hands updates on unchanged and keeps the average, a tree like the
        parameters; `averaged_params` reads it. Its ``update`` needs the parameters.

    >>> import optax
    >>> rule = optax.chain(optax.sgd(0.5), track(polyak()))
    >>> params = jnp.array(1.0)
    >>> state = rule.init(params)
    >>> for _ in range(2):
    ...     updates, state = rule.update(params, state, params)
    ...     params = params + updates
    >>> print(averaged_params(state, params))
    0.375
    """

    def update(updates, state, params=None):
        need_params(params, "an average of the parameters")
        return updates, average.update(state, optax.apply_updates(params, updates))

    return optax.GradientTransformation(average.init, update)


def averaged_params(opt_state: Any, params: Any) -> Any:
    """The average that `track` keeps in an optimizer's state, in the dtypes of `params`.

    Args:
        opt_state: the state of a chain that ends with `track`.
        params: a tree of the dtypes wanted.

    Returns:
        A tree like `params`, for evaluation; the training goes on with `params` themselves.

    Raises:
        ValueError: when the state holds no average, or more than one.

    >>> rule = track(ema(0.75))
    >>> _, state = rule.update(jnp.array(4.0), rule.init(jnp.array(0.0)), jnp.array(0.0))
    >>> float(averaged_params(state, jnp.array(0.0)))
    1.0
    """

    def is_average(node):
        return isinstance(node, AverageState)

    found = [s for s in jax.tree.leaves(opt_state, is_leaf=is_average) if is_average(s)]
    if len(found) != 1:
        raise ValueError(
            f"opt_state must hold exactly one average, found {len(found)}; "
            "end the optimizer's chain with track(polyak()) or track(ema(…))"
        )
    return jax.tree.map(lambda a, p: a.astype(jnp.result_type(p)), found[0].average, params)
