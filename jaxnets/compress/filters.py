"""Networks without their dead filters: smaller dense ones that compute the same."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxnets.errors import JaxnetsError


class Smaller(NamedTuple):
    """A network with fewer filters.

    Attributes:
        variables: of the smaller network.
        widths: layer → filters that are left, for whoever builds it.

    >>> Smaller({"params": {}}, {"conv1": 12}).widths
    {'conv1': 12}
    """

    variables: dict[str, Any]
    widths: dict[str, int]


def remove_filters(
    variables: Mapping[str, Any],
    chain: Sequence[str | Sequence[str]],
    *,
    mask: Mapping[str, Any] | None = None,
) -> Smaller:
    """Cut filters that are all zero out of a chain of layers, and the channels that they fed.

    A dropped filter of bias 0 gives a map of zeros; whatever follows with φ(0) = 0 keeps it at
    zero, so that the layer behind it computes the same without it. Between two layers there may be
    pooling, ReLU and flattening (channels last); batch normalization is named beside its layer,
    and its bias must be 0 where the filter is gone, which pruning with ``mask=`` of it brings.

    Args:
        variables: of the pruned network.
        chain: layers in the order of the data; ``("conv1", "bn1")`` is a layer with what acts on
            its channels one by one. The last layer keeps its filters.
        mask: filters to cut, of `magnitude_mask` with ``structure="filters"``, in place of those
            whose weights are all zero.

    Returns:
        `Smaller`.

    Raises:
        JaxnetsError: a layer that is not there, one whose inputs are no multiple of the filters
            before, a filter with a bias left, or no filter left.

    Source: Li et al., "Pruning Filters for Efficient ConvNets", 2017, section 3.

    >>> first, second = np.array([[1.0, 0.0]]), np.array([[3.0], [4.0]])
    >>> params = {"a": {"kernel": first}, "b": {"kernel": second}}
    >>> smaller = remove_filters({"params": params}, ["a", "b"])
    >>> smaller.variables["params"]["b"]["kernel"].tolist(), smaller.widths
    ([[3.0]], {'a': 1, 'b': 1})
    """
    flat = {p: np.asarray(x) for p, x in flatten_dict(dict(variables), sep="/").items()}
    masks = {} if mask is None else flatten_dict(dict(mask), sep="/")
    groups = [(g,) if isinstance(g, str) else tuple(g) for g in chain]
    widths: dict[str, int] = {}
    kept = None
    for place, (layer, *beside) in enumerate(groups):
        path = f"params/{layer}/kernel"
        if path not in flat:
            known = sorted(p.split("/")[1] for p in flat if p.endswith("/kernel"))
            raise JaxnetsError(f"remove_filters: no layer {layer!r}; there are {', '.join(known)}")
        if kept is not None:
            flat[path] = _take_inputs(flat[path], kept, layer)
        if place == len(groups) - 1:
            widths[layer] = flat[path].shape[-1]
            break
        kernel = np.asarray(masks[f"{layer}/kernel"]) if masks else flat[path]
        kept = kernel.any(tuple(range(kernel.ndim - 1)))
        if not kept.any():
            raise JaxnetsError(f"remove_filters: {layer} has no filter left")
        for other in [p for p in flat if p.split("/", 1)[1].rsplit("/", 1)[0] in (layer, *beside)]:
            if not masks and other.endswith("/bias") and flat[other][~kept].any():
                raise JaxnetsError(
                    f"remove_filters: {other} is not 0 where a filter of {layer} is gone; prune "
                    'with structure="filters", which drops biases too'
                )
            flat[other] = flat[other][..., kept]
        widths[layer] = int(kept.sum())
    return Smaller(unflatten_dict(flat, sep="/"), widths)


def _take_inputs(kernel: np.ndarray, kept: np.ndarray, layer: str) -> np.ndarray:
    inputs, before = kernel.shape[-2], len(kept)
    if inputs % before:
        raise JaxnetsError(
            f"remove_filters: {layer} has {inputs} inputs, no multiple of the {before} filters "
            "before it in the chain"
        )
    return kernel[..., np.tile(kept, inputs // before), :]
