"""Pruning as an Optax transformation: the mask is a part of the optimizer's state.

So it is in every checkpoint, a resumed run goes on with it, and every device has the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnets.compress.masks import (
    Scope,
    Structure,
    check_choice,
    check_mask,
    check_sparsity,
    group_sizes,
    mask_of_counts,
)
from jaxnets.compress.weights import per_layer
from jaxnets.errors import JaxnetsError


@dataclass(frozen=True)
class PruningSchedule:
    """At which updates weights are dropped, and how far one has then come.

    Attributes:
        steps: numbers of updates made, ascending, at which the mask is made anew.
        progress: what each of them reaches of the final sparsity, ascending, the last one 1.

    >>> PruningSchedule((0, 100), (0.5, 1.0)).steps
    (0, 100)
    """

    steps: tuple[int, ...]
    progress: tuple[float, ...]

    def __post_init__(self):
        same = len(self.steps) == len(self.progress) > 0
        rising = list(self.steps) == sorted(set(self.steps)) and all(s >= 0 for s in self.steps)
        if not same or not rising or list(self.progress) != sorted(self.progress):
            raise JaxnetsError(
                "a pruning schedule has ascending steps, 0 or more, and as many ascending shares; "
                f"got steps {self.steps}, progress {self.progress}"
            )
        if self.progress[0] < 0 or self.progress[-1] != 1:
            raise JaxnetsError(f"progress goes from 0 or more to 1, got {self.progress}")


def one_shot(step: int = 0) -> PruningSchedule:
    """All at once.

    Args:
        step: number of updates made before.

    Returns:
        The schedule.

    >>> one_shot()
    PruningSchedule(steps=(0,), progress=(1.0,))
    """
    return PruningSchedule((step,), (1.0,))


def gradual(begin: int, end: int, every: int, *, power: float = 3.0) -> PruningSchedule:
    """Many at first, few at the end: s_t = s (1 − (1 − t)³), t from 0 to 1 between two steps.

    Args:
        begin: the first update at which weights are dropped.
        end: the last.
        every: updates between.
        power: 3 as published; 1 for equal steps.

    Returns:
        The schedule.

    Raises:
        JaxnetsError: no room between the steps.

    Source: Zhu, Gupta, "To prune, or not to prune: exploring the efficacy of pruning for model
    compression", 2017, equation 1, from sparsity 0.

    >>> gradual(0, 20, 10).progress
    (0.0, 0.875, 1.0)
    """
    if not 0 <= begin < end or every < 1:
        raise JaxnetsError(
            f"gradual needs 0 ≤ begin < end and every ≥ 1, got {begin}, {end} and {every}"
        )
    steps = tuple(dict.fromkeys((*range(begin, end, every), end)))
    shares = [(step - begin) / (end - begin) for step in steps]
    return PruningSchedule(steps, tuple(1 - (1 - share) ** power for share in shares))


class PruneState(NamedTuple):
    """State of `prune`.

    Attributes:
        count: updates made, int32.
        mask: a tree like the parameters: booleans, or one True for what is not pruned.
        inner: the state of the rule inside.

    >>> state = prune(optax.sgd(0.1), 0.5).init({"fc": {"kernel": jnp.ones((2, 2))}})
    >>> state.mask["fc"]["kernel"].shape
    (2, 2)
    """

    count: jax.Array
    mask: Any
    inner: Any


def prune(
    rule: optax.GradientTransformation,
    sparsity: float | Mapping[str, float] | None = None,
    *,
    schedule: PruningSchedule | None = None,
    scope: Scope = "layer",
    structure: Structure = "weights",
    mask: Mapping[str, Any] | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Train with some weights at exactly 0, and drop more of them on the way.

    The rule inside sees gradients that are 0 where the mask is False, so that a clipping norm does
    not know dropped weights; whatever it makes of them (decay, momentum of before), they are 0
    after each update, bit for bit. A weight that was dropped does not come back.

    Args:
        rule: the optimizer, decay included.
        sparsity: final share that is dropped, for all or by layer; see `magnitude_mask`.
        schedule: when; by default `one_shot`, before the first update.
        scope: see `magnitude_mask`.
        structure: see `magnitude_mask`.
        mask: keep this one all the time, in place of ``sparsity``.

    Returns:
        A transform for ``optax.apply_updates`` whose `PruneState` holds the mask; `find_mask` finds
        it in a checkpoint's or a training's state.

    Raises:
        JaxnetsError: both of ``sparsity`` and ``mask`` or neither; a sparsity outside [0, 1); at
            ``init`` a mask of another network.

    Source: Han, Pool, Tran, Dally, 2015, section 3; Zhu, Gupta, 2017.

    >>> rule = prune(optax.sgd(0.1), 0.5)
    >>> params = {"fc": {"kernel": jnp.array([[3.0, 1.0]])}}
    >>> gradients = {"fc": {"kernel": jnp.array([[10.0, 10.0]])}}
    >>> updates, state = rule.update(gradients, rule.init(params), params)
    >>> optax.apply_updates(params, updates)["fc"]["kernel"].tolist()
    [[2.0, 0.0]]
    """
    if (sparsity is None) == (mask is None):
        raise JaxnetsError("prune takes a sparsity or a mask, one of the two")
    check_choice("scope", scope, ("layer", "global"))
    check_choice("structure", structure, ("weights", "filters", "channels"))
    for where, value in (sparsity if isinstance(sparsity, Mapping) else {"all": sparsity}).items():
        if value is not None:
            check_sparsity(value, where)
    schedule = schedule or one_shot()
    rule = optax.with_extra_args_support(rule)

    def init(params):
        if mask is not None:
            check_mask(params, mask)
            start = jax.tree.map(jnp.asarray, dict(mask))
        else:
            _counts(params, sparsity, schedule, scope, structure)  # unknown layers: now, not later
            start = mask_of_counts(
                params, dict.fromkeys(group_sizes(params, structure), 0), structure
            )
        return PruneState(jnp.zeros((), jnp.int32), start, rule.init(params))

    def update(updates, state, params=None, **extra):
        if params is None:
            raise ValueError("prune needs the parameters: call update(gradients, state, params)")
        kept = state.mask
        if mask is None:
            kept = _mask_now(params, state, sparsity, schedule, scope, structure)
        updates = jax.tree.map(lambda u, m: jnp.where(m, u, jnp.zeros_like(u)), updates, kept)
        updates, inner = rule.update(updates, state.inner, params, **extra)
        # p + (−p) is 0 in every floating-point format.
        updates = jax.tree.map(lambda u, m, p: jnp.where(m, u, -p), updates, kept, params)
        return updates, PruneState(optax.safe_increment(state.count), kept, inner)

    return optax.GradientTransformationExtraArgs(init, update)


def _counts(params, sparsity, schedule, scope, structure):
    """How many groups are dropped after each step of the schedule: (E,), of each path or of all."""
    sizes, progress = group_sizes(params, structure), np.array(schedule.progress)
    if scope == "global":
        if isinstance(sparsity, Mapping):
            raise JaxnetsError('sparsity by layer goes with scope="layer"')
        return np.rint(sparsity * progress * sum(sizes.values())).astype(np.int32)
    chosen = per_layer(params, sparsity, "sparsity", 0.0)
    return {
        path: np.rint(chosen[path] * progress * size).astype(np.int32)
        for path, size in sizes.items()
    }


def _mask_now(params, state, sparsity, schedule, scope, structure):
    counts = _counts(params, sparsity, schedule, scope, structure)
    steps = jnp.asarray(schedule.steps, jnp.int32)
    event = jnp.minimum(jnp.searchsorted(steps, state.count), len(schedule.steps) - 1)

    def anew():
        # Dropped weights are 0, the smallest there is: they are dropped again.
        now = jax.tree.map(lambda c: jnp.asarray(c)[event], counts)
        return jax.tree.map(jnp.logical_and, state.mask, mask_of_counts(params, now, structure))

    return jax.lax.cond(steps[event] == state.count, anew, lambda: state.mask)


def find_mask(state: Any) -> Any:
    """The mask inside an optimizer's state, wherever `prune` stands in its chain.

    Args:
        state: an Optax state, or anything that holds one (a `jaxnets.train.TrainState`).

    Returns:
        The mask, a tree like the parameters.

    Raises:
        JaxnetsError: there is none, or more than one.

    >>> rule = optax.chain(optax.clip(1.0), prune(optax.sgd(0.1), 0.5))
    >>> list(find_mask(rule.init({"fc": {"kernel": jnp.ones((2, 2))}})))
    ['fc']
    """

    def is_state(node):
        return isinstance(node, PruneState)

    found = [s for s in jax.tree.leaves(state, is_leaf=is_state) if is_state(s)]
    if len(found) != 1:
        raise JaxnetsError(
            f"expected the state of one prune(…), found {len(found)}; pass the optimizer's state"
        )
    return found[0].mask
