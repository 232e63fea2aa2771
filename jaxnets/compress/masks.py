"""Which weights stay: the largest, layer by layer or over all, single ones or whole filters.

A mask is a tree like the parameters: booleans of the shape of each weight, and a single True for
whatever is not pruned.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxnets.compress.weights import per_layer, weight_paths
from jaxnets.errors import JaxnetsError

Structure = Literal["weights", "filters", "channels"]
Scope = Literal["layer", "global"]
# The axis of a kernel along which a group of weights lives or dies; None: each weight by itself.
_AXIS: dict[str, int | None] = {"weights": None, "filters": -1, "channels": -2}


def magnitude_mask(
    params: Mapping[str, Any],
    sparsity: float | Mapping[str, float],
    *,
    scope: Scope = "layer",
    structure: Structure = "weights",
) -> dict[str, Any]:
    """Keep the largest weights; exactly round(sparsity · n) of each n are dropped.

    .. math:: m_i = [\\, |w_i| \\text{ is among the largest } n - \\mathrm{round}(s n) \\,]

    Args:
        params: nested dict of parameters.
        sparsity: the share that is dropped, 0 ≤ s < 1; or one for each layer by its path, others
            staying whole.
        scope: "layer": n is a layer's number of weights; "global": that of the network, so that
            layers of small weights lose more.
        structure: "weights", or whole "filters" (output channels, with their biases) or
            "channels" (input channels) by their mean magnitude.

    Returns:
        The mask. Of equal magnitudes those that come first are dropped.

    Raises:
        JaxnetsError: a sparsity outside [0, 1), an unknown layer, or sparsities by layer together
            with ``scope="global"``.

    Source: Han, Pool, Tran, Dally, "Learning both Weights and Connections for Efficient Neural
    Networks", 2015, section 3; Li et al., "Pruning Filters for Efficient ConvNets", 2017, section
    3.1 (structure).

    >>> params = {"fc": {"kernel": jnp.array([[3.0, -1.0], [0.5, 2.0]]), "bias": jnp.ones(2)}}
    >>> magnitude_mask(params, 0.5)["fc"]["kernel"].tolist()
    [[True, False], [False, True]]
    """
    check_choice("scope", scope, ("layer", "global"))
    check_choice("structure", structure, tuple(_AXIS))
    if scope == "global" and isinstance(sparsity, Mapping):
        raise JaxnetsError('sparsity by layer goes with scope="layer"; one number with "global"')
    chosen = per_layer(params, sparsity, "sparsity", 0.0)
    for path, value in chosen.items():
        check_sparsity(value, path)
    sizes = group_sizes(params, structure)
    if scope == "global":
        total = sum(sizes.values())
        dropped: Any = round(float(sparsity) * total)  # type: ignore[arg-type]
    else:
        dropped = {path: round(chosen[path] * sizes[path]) for path in sizes}
    return mask_of_counts(params, dropped, structure)


def group_sizes(params: Mapping[str, Any], structure: Structure) -> dict[str, int]:
    """How many weights, filters or channels each weight array has.

    >>> group_sizes({"fc": {"kernel": np.ones((4, 3))}}, "filters")
    {'fc/kernel': 3}
    """
    flat, axis = flatten_dict(dict(params), sep="/"), _AXIS[structure]
    return {
        path: int(np.size(flat[path]) if axis is None else np.shape(flat[path])[axis])
        for path in weight_paths(params)
    }


def mask_of_counts(params: Mapping[str, Any], dropped: Any, structure: Structure) -> dict[str, Any]:
    """The mask that drops so many groups, works under jit.

    Args:
        params: nested dict of parameters.
        dropped: path → number of groups to drop, or one number over all; may be traced.
        structure: what a group is.

    Returns:
        The mask.

    >>> params = {"a": {"kernel": jnp.ones((1, 2))}, "b": {"kernel": 2 * jnp.ones((1, 2))}}
    >>> mask_of_counts(params, 3, "weights")["b"]["kernel"].tolist()
    [[False, True]]
    """
    flat, axis = flatten_dict(dict(params), sep="/"), _AXIS[structure]
    scores = {path: _scores(flat[path], axis) for path in weight_paths(params)}
    if isinstance(dropped, Mapping):
        keep = {path: _rank(score) >= dropped[path] for path, score in scores.items()}
    else:
        ranks = _rank(jnp.concatenate(list(scores.values()))) >= dropped
        ends = np.cumsum([len(s) for s in scores.values()])[:-1]
        keep = dict(zip(scores, jnp.split(ranks, ends), strict=True))
    mask = {path: jnp.ones((), bool) for path in flat}
    for path, kept in keep.items():
        shape = jnp.shape(flat[path])
        if axis is None:
            mask[path] = kept.reshape(shape)
            continue
        along = [1] * len(shape)
        along[axis] = shape[axis]
        mask[path] = jnp.broadcast_to(kept.reshape(along), shape)
        bias = f"{path.rsplit('/', 1)[0]}/bias"
        if structure == "filters" and bias in flat:
            mask[bias] = kept
    return unflatten_dict(mask, sep="/")


def _scores(kernel: jax.Array, axis: int | None) -> jax.Array:
    size = jnp.abs(kernel)
    if axis is None:
        return size.ravel()
    return size.mean([i for i in range(size.ndim) if i != size.ndim + axis])


def _rank(scores: jax.Array) -> jax.Array:
    """The place of each entry in ascending order; of equal ones the first comes first."""
    order = jnp.argsort(scores, stable=True)
    return jnp.zeros(len(scores), jnp.int32).at[order].set(jnp.arange(len(scores), dtype=jnp.int32))


def apply_mask(params: Mapping[str, Any], mask: Mapping[str, Any]) -> Any:
    """The parameters with zeros where the mask is False.

    Args:
        params: nested dict of parameters.
        mask: of `magnitude_mask`, for this network.

    Returns:
        A tree like ``params``.

    Raises:
        JaxnetsError: the mask is of another network.

    >>> params = {"fc": {"kernel": jnp.array([[3.0, -1.0]])}}
    >>> apply_mask(params, magnitude_mask(params, 0.5))["fc"]["kernel"].tolist()
    [[3.0, 0.0]]
    """
    check_mask(params, mask)
    return jax.tree.map(lambda p, m: jnp.where(m, p, jnp.zeros_like(p)), dict(params), dict(mask))


def check_mask(params: Mapping[str, Any], mask: Mapping[str, Any]) -> None:
    """Refuse a mask of another network.

    Args:
        params: nested dict of parameters.
        mask: what came.

    Raises:
        JaxnetsError: other paths, other shapes, or no booleans; the message names the first.

    >>> check_mask({"a": {"kernel": jnp.ones((2, 2))}}, {"b": {"kernel": jnp.ones((2, 2), bool)}})
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: the mask is of another network: it has no a/kernel. ...
    """
    flat, masks = flatten_dict(dict(params), sep="/"), flatten_dict(dict(mask), sep="/")
    advice = "Make one with magnitude_mask of these parameters"
    for path, leaf in flat.items():
        if path not in masks:
            raise JaxnetsError(f"the mask is of another network: it has no {path}. {advice}")
        shape = jnp.shape(masks[path])
        if shape not in ((), jnp.shape(leaf)):
            raise JaxnetsError(
                f"the mask is of another network: {path} has shape {shape}, expected "
                f"{jnp.shape(leaf)}. {advice}"
            )
        if not jnp.issubdtype(jnp.result_type(masks[path]), jnp.bool):
            raise JaxnetsError(
                f"the mask of {path} must be of booleans, got {jnp.result_type(masks[path])}"
            )
    if more := sorted(masks.keys() - flat.keys()):
        raise JaxnetsError(
            f"the mask is of another network, which has {more[0]}; this one has not. {advice}"
        )


def density(tree: Mapping[str, Any]) -> dict[str, float]:
    """The share of weights that are not zero (of a mask: not False), by path and over "all".

    Args:
        tree: parameters, or a mask of them.

    Returns:
        Path → share; weights only.

    >>> density({"fc": {"kernel": np.array([[3.0, 0.0]]), "bias": np.zeros(1)}})
    {'fc/kernel': 0.5, 'all': 0.5}
    """
    flat = flatten_dict(dict(tree), sep="/")
    paths = weight_paths(tree)
    counts = {path: int(np.count_nonzero(np.asarray(flat[path]))) for path in paths}
    total = sum(np.size(flat[path]) for path in paths)
    found = {path: counts[path] / np.size(flat[path]) for path in paths}
    return {**found, "all": sum(counts.values()) / total if total else 1.0}


def check_sparsity(value: float, where: str) -> None:
    """Refuse a share outside [0, 1).

    >>> check_sparsity(1.0, "fc1/kernel")
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: sparsity of fc1/kernel must be in [0, 1), got 1.0: ...
    """
    if not 0 <= value < 1:
        raise JaxnetsError(
            f"sparsity of {where} must be in [0, 1), got {value}: it is the share of weights that "
            "are dropped, 0 keeps all, and 1 would leave no network"
        )


def check_choice(name: str, value: str, known: Sequence[str]) -> None:
    """Refuse a word that is not among the known ones.

    >>> check_choice("scope", "all", ("layer", "global"))
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: scope must be one of 'layer', 'global'; got 'all'
    """
    if value not in known:
        raise JaxnetsError(f"{name} must be one of {', '.join(map(repr, known))}; got {value!r}")
