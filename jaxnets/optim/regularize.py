"""Penalties on the weights: L1, L2, elastic, decoupled decay, and the proximal step of L1."""

from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxnets.optim.sgd import LearningRate, RateState
from jaxnets.optim.trees import check_number, need_params, promote

# A tree of booleans (a prefix will do), a function from the parameters to one, or None for all.
Mask = Any | Callable[[Any], Any] | None


# What the modules of this package and of Flax call a parameter that shifts, scales or bends
# activations. Weight decay pulls to zero, which is no simpler value for any of them: a PReLU of
# slope 0 is a ReLU, a normalization of scale 0 puts out nothing.
NOT_DECAYED = (
    *("bias", "scale", "beta", "gamma"),
    *("slope", "negative_slope", "coefficient"),
)


def mask_by_name(params: Any, excluded: Iterable[str] = NOT_DECAYED) -> Any:
    """True for every leaf whose own name is not among `excluded`: weights decay, and nothing else.

    The name is that of the leaf, the last part of its path, as Flax gives it: ``kernel``, ``bias``,
    ``scale`` for the factor of a normalization, ``slope`` for that of a PReLU. It says what a
    parameter is for, however many axes it has: in a stack of scanned blocks a scale has two. A leaf
    without a name counts as included.

    Args:
        params: a tree of parameters.
        excluded: names of leaves.

    Returns:
        A tree of Python booleans like `params`. As ``mask=`` give the function itself, with
        ``functools.partial`` where other names are excluded.

    >>> mask_by_name({"conv": {"kernel": 0, "bias": 0}, "norm": {"scale": 0, "bias": 0}})
    {'conv': {'bias': False, 'kernel': True}, 'norm': {'bias': False, 'scale': False}}
    """
    names = frozenset(excluded)

    def included(path, _):
        last = path[-1] if path else None
        name = getattr(last, "key", getattr(last, "name", None))
        return name not in names

    return jax.tree_util.tree_map_with_path(included, params)


def mask_by_rank(params: Any, minimum: int = 2) -> Any:
    """True for every leaf of at least `minimum` axes: matrices and kernels, no vectors.

    The rank does not say what a parameter is for: the scales of blocks that are scanned are
    stacked to matrices. `mask_by_name` is right for them, too.

    Args:
        params: a tree of parameters.
        minimum: number of axes.

    Returns:
        A tree of Python booleans like `params`. As ``mask=`` give the function itself.

    >>> mask_by_rank({"kernel": jnp.zeros((3, 2)), "bias": jnp.zeros(2)})
    {'bias': False, 'kernel': True}
    """
    return jax.tree.map(lambda leaf: jnp.ndim(leaf) >= minimum, params)


def full_mask(mask: Mask, params: Any) -> Any:
    """A boolean for every leaf of `params`, out of whatever form of mask the caller gave.

    Args:
        mask: a tree of booleans or a prefix of one, a function to one, or None for all.
        params: a tree of parameters.

    Returns:
        A tree of Python booleans like `params`.

    Raises:
        ValueError: when a leaf of the mask is not a Python boolean, or the trees do not fit.

    >>> full_mask({"a": True, "b": False}, {"a": {"kernel": 0, "bias": 0}, "b": 0})
    {'a': {'bias': True, 'kernel': True}, 'b': False}
    """
    if mask is None:
        return jax.tree.map(lambda _: True, params)
    tree = mask(params) if callable(mask) else mask
    for leaf in jax.tree.leaves(tree):
        if not isinstance(leaf, bool):
            raise ValueError(
                f"mask must be a tree of Python booleans, or a function that returns one, "
                f"got a leaf {leaf!r}"
            )
    try:
        return jax.tree.map(lambda m, part: jax.tree.map(lambda _: m, part), tree, params)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"mask must have the structure of the parameters or be a prefix of it: {error}"
        ) from error


def elastic_penalty(params: Any, l1: float = 0.0, l2: float = 0.0, mask: Mask = None) -> jax.Array:
    """λ₁‖w‖₁ + λ₂/2 ‖w‖², the term that a loss would add.

    Args:
        params: a tree of parameters.
        l1: λ₁.
        l2: λ₂.
        mask: which parameters are penalized.

    Returns:
        A scalar.

    Raises:
        ValueError: the mask has not the structure of the parameters.

    >>> f"{elastic_penalty({'w': jnp.array([1.0, -2.0])}, l1=0.1, l2=0.2):.4f}"
    '0.8000'
    """

    def of_leaf(w, included):
        if not included:
            return 0.0
        return l1 * jnp.sum(jnp.abs(w)) + l2 / 2 * jnp.sum(w * w)

    terms = jax.tree.map(of_leaf, promote(params), full_mask(mask, params))
    return jnp.asarray(sum(jax.tree.leaves(terms)))


def elastic(l1: float = 0.0, l2: float = 0.0, mask: Mask = None) -> optax.GradientTransformation:
    """Add the gradient of `elastic_penalty` to the gradient of the loss.

    .. math:: g ← g + λ_1 \\operatorname{sign}(w) + λ_2 w

    Stands before the rule, and so passes through its momentum and scaling, exactly as a penalty
    in the loss. The subgradient of |w| at 0 is taken as 0. For weights that become exactly zero
    use `proximal_l1`.

    Args:
        l1: λ₁ ≥ 0.
        l2: λ₂ ≥ 0.
        mask: which parameters are penalized.

    Returns:
        A transform without state, to stand before the rule; its ``update`` needs the parameters.

    Raises:
        ValueError: λ₁ or λ₂ below 0; at the update, a mask that does not fit the parameters.

    Source: Zou and Hastie, "Regularization and variable selection via the elastic net" (2005).

    >>> rule = elastic(l1=0.5, l2=0.25)
    >>> rule.update(jnp.zeros(3), rule.init(None), jnp.array([2.0, -2.0, 0.0]))[0].tolist()
    [1.0, -1.0, 0.0]
    """
    check_number("l1", l1, low=0)
    check_number("l2", l2, low=0)

    def update(grads, state, params=None):
        need_params(params, "a penalty")

        def penalized(g, w, included):
            return g + l1 * jnp.sign(w) + l2 * w if included else g

        chosen = full_mask(mask, params)
        return jax.tree.map(penalized, promote(grads), promote(params), chosen), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def l1(strength: float, mask: Mask = None) -> optax.GradientTransformation:
    """g ← g + λ sign(w), the gradient of λ‖w‖₁; see `elastic`.

    Args:
        strength: λ ≥ 0.
        mask: which parameters are penalized.

    Returns:
        A transform without state, to stand before the rule; its ``update`` needs the parameters.

    Raises:
        ValueError: λ below 0.

    >>> rule = l1(0.5)
    >>> rule.update(jnp.zeros(2), rule.init(None), jnp.array([3.0, -0.1]))[0].tolist()
    [0.5, -0.5]
    """
    check_number("strength", strength, low=0)
    return elastic(l1=strength, mask=mask)


def l2(strength: float, mask: Mask = None) -> optax.GradientTransformation:
    """g ← g + λw, the gradient of λ/2 ‖w‖²; see `elastic`.

    What PyTorch and Caffe call ``weight_decay``; AlexNet's decay of 5e-4 is this one.

    Args:
        strength: λ ≥ 0.
        mask: which parameters are penalized.

    Returns:
        A transform without state, to stand before the rule; its ``update`` needs the parameters.

    Raises:
        ValueError: λ below 0.

    >>> rule = l2(0.1)
    >>> print(rule.update(jnp.zeros(2), rule.init(None), jnp.array([1.0, -2.0]))[0])
    [ 0.1 -0.2]
    """
    check_number("strength", strength, low=0)
    return elastic(l2=strength, mask=mask)


def decoupled_decay(weight_decay: float, mask: Mask = None) -> optax.GradientTransformation:
    """u ← u + λw after the rule and before the rate: w ← w − η(u + λw).

    For plain SGD this is `l2`. After an adaptive rule it is not: L2 is divided by √v like every
    gradient, so weights with large gradients hardly decay; decoupled, all of them decay alike.
    Equals ``optax.add_decayed_weights``.

    Args:
        weight_decay: λ ≥ 0.
        mask: which parameters decay.

    Returns:
        A transform without state, to stand between the rule and `scale_by_learning_rate`; its
        ``update`` needs the parameters.

    Raises:
        ValueError: λ below 0.

    Source: Loshchilov and Hutter, "Decoupled weight decay regularization" (2019), section 2.

    >>> rule = decoupled_decay(0.5)
    >>> rule.update(jnp.zeros(2), rule.init(None), jnp.array([1.0, -2.0]))[0].tolist()
    [0.5, -1.0]
    """
    check_number("weight_decay", weight_decay, low=0)
    return elastic(l2=weight_decay, mask=mask)


def soft_threshold(x: jax.Array, threshold: float | jax.Array) -> jax.Array:
    """sign(x)·max(|x| − threshold, 0), the minimizer of (w−x)²/2 + threshold·|w|.

    Args:
        x: any array.
        threshold: ≥ 0.

    Returns:
        An array of the shape of ``x``.

    >>> soft_threshold(jnp.array([-3.0, 0.5, 2.0]), 1.0).tolist()
    [-2.0, 0.0, 1.0]
    """
    return jnp.sign(x) * jnp.maximum(jnp.abs(x) - threshold, 0)


def proximal_l1(
    strength: float, learning_rate: LearningRate, mask: Mask = None
) -> optax.GradientTransformation:
    """The proximal step of λ‖w‖₁: w ← soft_threshold(w + u, ηλ), with weights exactly at zero.

    Goes last, after the learning rate: ``optax.chain(sgd(rate), proximal_l1(λ, rate))`` is ISTA,
    which solves the lasso.

    Args:
        strength: λ ≥ 0.
        learning_rate: η of the rule before it, a number or the same schedule.
        mask: which parameters are thresholded.

    Returns:
        A transform to stand last; its ``update`` needs the parameters. It counts its updates where
        the rate is a schedule.

    Raises:
        ValueError: λ or the rate below 0.

    Source: Daubechies, Defrise, De Mol, "An iterative thresholding algorithm for linear inverse
    problems with a sparsity constraint" (2004).

    >>> rule, w = proximal_l1(1.0, learning_rate=0.5), jnp.array([0.25, 2.0])
    >>> (w + rule.update(jnp.zeros(2), rule.init(w), w)[0]).tolist()
    [0.0, 1.5]
    """
    check_number("strength", strength, low=0)
    scheduled = callable(learning_rate)
    if not scheduled:
        check_number("learning_rate", learning_rate, low=0)

    def init(params):
        del params
        return RateState(jnp.zeros([], jnp.int32)) if scheduled else optax.EmptyState()

    def update(updates, state, params=None):
        need_params(params, "proximal_l1")
        rate = learning_rate(state.count) if scheduled else learning_rate

        def moved(u, w, included):
            if not included:
                return u
            return soft_threshold(w + u, jnp.asarray(rate * strength, u.dtype)) - w

        chosen = full_mask(mask, params)
        updates = jax.tree.map(moved, promote(updates), promote(params), chosen)
        return updates, RateState(optax.safe_increment(state.count)) if scheduled else state

    return optax.GradientTransformation(init, update)
