"""One network out of several of one run: the mean of their weights."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxnets.ensembles.predict import require_same_structure
from jaxnets.nn import precise_batch_statistics
from jaxnets.ops.precision import at_least_float32

Variables = Any


def average_weights(members: Sequence[Any]) -> Any:
    """The mean of trees of parameters, a = (1/k) Σᵢ pᵢ, leaf by leaf, in their dtypes.

    It is of use for members of one run; independently trained networks number their units
    differently, and the mean of their weights is no network of use.

    Args:
        members: k trees of arrays.

    Returns:
        One tree of the same structure.

    Raises:
        ValueError: no members, or members of different shapes.

    >>> average_weights([{"w": jnp.array(1.0)}, {"w": jnp.array(4.0)}])["w"].item()
    2.5
    """
    require_same_structure(members)

    def mean(*leaves):
        stacked = jnp.stack([at_least_float32(jnp.asarray(leaf)) for leaf in leaves])
        return stacked.mean(0).astype(jnp.result_type(leaves[0]))

    return jax.tree.map(mean, *members)


def average_checkpoints(
    apply_fn: Callable,
    members: Sequence[Variables],
    batches: Iterable[jax.Array],
    *,
    rngs: dict[str, jax.Array] | None = None,
) -> Variables:
    """Stochastic weight averaging (SWA): mean parameters, with statistics that belong to them.

    The members' running statistics say nothing about the activations of the averaged weights: they
    are counted anew over ``batches`` by `jaxnets.nn.precise_batch_statistics`.

    Args:
        apply_fn: the network's ``apply``.
        members: variables at several times of one run.
        batches: training images, preprocessed, in batches of the training's size; not read by a
            network without batch normalization.
        rngs: keys for dropout, as `precise_batch_statistics` takes them.

    Returns:
        Variables of the same structure.

    Raises:
        ValueError: no members, members that differ, or no batches where statistics are needed.

    Source: Izmailov et al., "Averaging weights leads to wider optima and better generalization",
    2018, algorithm 1.

    >>> from jaxnets.models import create_model
    >>> net, images = create_model("mlp", hidden=(2,)), jnp.ones((4, 2, 2, 1))
    >>> run = [net.init(jax.random.key(i), images) for i in range(3)]
    >>> sorted(average_checkpoints(net.apply, run, [images]))
    ['params']
    """
    require_same_structure(members)
    averaged = {**members[0], "params": average_weights([m["params"] for m in members])}
    if members[0].get("batch_stats"):
        averaged["batch_stats"] = precise_batch_statistics(apply_fn, averaged, batches, rngs=rngs)
    return averaged
