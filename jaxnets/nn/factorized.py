"""Networks whose large windows are replaced by several small ones, without editing them."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxnets.nn.conv import Conv
from jaxnets.ops.convolution.problem import resolve_padding

Form = Literal["stacked", "rectangular"]


class Factorized(nn.Module):
    """A network in which every convolution with a large window is several with small ones.

    stacked:      n×n  →  (n − 1)/2 of 3×3           (VGG; 7×7: 49 C² weights → 27 C²)
    rectangular:  n×n  →  n×1, then 1×n              (Inception-v3; n = 7: 49 C² → 14 C²)

    Strides, padding, dilation and groups are shared out so that every output keeps its place and
    its receptive field; a bias stays with the last part. The network itself is not changed: its
    calls of `jaxnets.nn.Conv` are met on their way.

    Attributes:
        network: the network, which takes images first.
        form: which of the two.
        ranks: path of a convolution inside the network → channels between its parts; the others
            stay whole. None: all are replaced, with as many channels as their output has.
        activation: function between the parts, such as `jaxnets.ops.relu`, or None.

    Parameters: what the network has, below "network"; a replaced convolution holds "part1",
    "part2", … in place of its kernel.

    Source: Simonyan and Zisserman 2015, section 2.3; Szegedy et al., "Rethinking the Inception
    Architecture for Computer Vision", 2015, section 3.

    >>> layer = Conv(16, (7, 7), padding=3, use_bias=False)
    >>> for network in (layer, Factorized(layer), Factorized(layer, form="rectangular")):
    ...     y, variables = network.init_with_output(jax.random.key(0), jnp.ones((1, 9, 9, 16)))
    ...     y.shape, sum(w.size for w in jax.tree.leaves(variables))
    ((1, 9, 9, 16), 12544)
    ((1, 9, 9, 16), 6912)
    ((1, 9, 9, 16), 3584)
    """

    network: nn.Module
    form: Form = "stacked"
    ranks: Mapping[str, int] | None = None
    activation: Callable[[jax.Array], jax.Array] | None = None

    def __post_init__(self) -> None:
        if self.form not in ("stacked", "rectangular"):
            raise ValueError(f"form must be 'stacked' or 'rectangular', got {self.form!r}")
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        def replace(call, arguments, keywords, context):
            layer = context.module
            if context.method_name != "__call__" or not _is_replaced(layer, self.form):
                return call(*arguments, **keywords)
            path = "/".join(layer.path[len(self.network.path) :])
            if self.ranks is not None and path not in self.ranks:
                return call(*arguments, **keywords)
            width = layer.features if self.ranks is None else self.ranks[path]
            (y,) = arguments
            for i, fields in enumerate(_parts(layer, y.shape, self.form, width)):
                if i and self.activation is not None:
                    y = self.activation(y)
                y = Conv(**fields, parent=layer, name=f"part{i + 1}")(y)
            return y

        with nn.intercept_methods(replace):
            return self.network(x, *args, **kwargs)


def _is_replaced(layer: nn.Module, form: Form) -> bool:
    """Square windows: odd ones of 5 and more for stacks, of 2 and more for rectangles."""
    if not isinstance(layer, Conv) or len(layer.kernel_size) != 2:
        return False
    n, m = layer.kernel_size
    return n == m and (n > 1 if form == "rectangular" else n > 3 and n % 2 == 1)


def _parts(layer: Conv, shape: tuple[int, ...], form: Form, width: int) -> list[dict[str, Any]]:
    """The fields of the convolutions that stand for ``layer``, in order."""
    (n, _), groups = layer.kernel_size, layer.groups
    strides, dilation = (
        (value,) * 2 if isinstance(value, int) else tuple(value)
        for value in (layer.strides, layer.dilation)
    )
    extent = tuple((n - 1) * d + 1 for d in dilation)
    padding = resolve_padding(layer.padding, shape[1:-1], extent, strides)
    common = {
        name: getattr(layer, name)
        for name in ("groups", "algorithm", "platform", "dtype", "param_dtype", "kernel_init")
    }
    last = {"features": layer.features, "use_bias": layer.use_bias, "bias_init": layer.bias_init}
    inner = {"features": width, "use_bias": False}
    if form == "rectangular":
        if width % groups:
            raise ValueError(
                f"{width} channels between the parts of {'/'.join(layer.path)} are no multiple of "
                f"its {groups} groups"
            )
        sides = (((n, 1), 0), ((1, n), 1))
        return [
            {
                **common,
                **(last if axis else inner),
                "kernel_size": window,
                "strides": (strides[0], 1) if axis == 0 else (1, strides[1]),
                "padding": (padding[0], (0, 0)) if axis == 0 else ((0, 0), padding[1]),
                "dilation": (dilation[0], 1) if axis == 0 else (1, dilation[1]),
            }
            for window, axis in sides
        ]
    count = (n - 1) // 2
    return [
        {
            **common,
            **(last if i == count - 1 else inner),
            "kernel_size": (3, 3),
            # The grid is thinned out where all of the window has been seen.
            "strides": strides if i == count - 1 else 1,
            "padding": tuple(tuple(_share(side, count, i) for side in pair) for pair in padding),
            "dilation": dilation,
        }
        for i in range(count)
    ]


def _share(total: int, count: int, index: int) -> int:
    """The part of ``total`` that falls to ``index`` of ``count``; the first get the larger ones."""
    return total // count + (index < total % count)


def separate(
    network: nn.Module, variables: Mapping[str, Any], images: Any, *, rank: float = 1.0
) -> tuple[Factorized, dict[str, Any]]:
    """Each n×n convolution of a trained network as n×1 and 1×n, with the weights that fit best.

    A kernel is read as the matrix M[(row, channel in), (column, channel out)] of rank at most
    R = n·min(C_in, C_out), and cut to its r = ⌈rank·R⌉ largest singular values, the square root
    of each on either side: the best kernel of that form in the sum of squares. With ``rank=1`` the
    network computes what it did before; it is smaller and faster below
    n·C_in·C_out / (C_in + C_out) channels between the parts.

    Args:
        network: a Flax module with `jaxnets.nn.Conv` layers.
        variables: its variables.
        images: a batch (or its shape and dtype) by which the layers are found; nothing is computed.
        rank: share of the singular values to keep, above 0 and at most 1.

    Returns:
        (network, variables) of the same function, exact or approximate. Convolutions in groups keep
        their kernels.

    Raises:
        ValueError: no such share, or no convolution to separate.

    Source: Jaderberg, Vedaldi, Zisserman, "Speeding up Convolutional Neural Networks with Low Rank
    Expansions", 2014, section 2 (scheme 2).

    >>> layer, x = Conv(4, (3, 3), padding=1), jnp.ones((1, 5, 5, 2))
    >>> variables = layer.init(jax.random.key(0), x)
    >>> network, separated = separate(layer, variables, x)
    >>> {name: part["kernel"].shape for name, part in separated["params"]["network"].items()}
    {'part1': (3, 1, 2, 6), 'part2': (1, 3, 6, 4)}
    >>> bool(jnp.abs(network.apply(separated, x) - layer.apply(variables, x)).max() < 1e-5)
    True
    """
    if not 0 < rank <= 1:
        raise ValueError(f"rank is a share of the singular values, in (0, 1]; got {rank}")
    replaced = _find(network, variables, images)
    if not replaced:
        raise ValueError(
            "the network has no n×n convolution with n > 1 and one group to separate "
            "(jaxnets.nn.Conv; other layers are not looked at)"
        )
    ranks: dict[str, int] = {}
    params: dict[tuple[str, ...], Any] = {}
    for path, leaf in flatten_dict(dict(variables["params"])).items():
        layer, name = path[:-1], path[-1]
        if layer not in replaced:
            params[path] = leaf
        elif name == "bias":
            params[(*layer, "part2", name)] = leaf
        else:
            parts = _cut(np.asarray(leaf, np.float64), rank)
            ranks["/".join(layer)] = parts[0].shape[-1]
            for i, part in enumerate(parts, start=1):
                params[(*layer, f"part{i}", name)] = jnp.asarray(part, leaf.dtype)
    inside = {**variables, "params": unflatten_dict(params)}
    return (
        Factorized(network, form="rectangular", ranks=ranks),
        {name: {"network": tree} for name, tree in inside.items()},
    )


def _find(network: nn.Module, variables: Mapping[str, Any], images: Any) -> set[tuple[str, ...]]:
    """The paths of the convolutions that `separate` replaces."""
    found = set()

    def watch(call, arguments, keywords, context):
        layer = context.module
        met = context.method_name == "__call__" and _is_replaced(layer, "rectangular")
        if met and layer.groups == 1:
            found.add(tuple(layer.path))
        return call(*arguments, **keywords)

    def run(variables, images):
        with nn.intercept_methods(watch):
            return network.apply(variables, images)

    jax.eval_shape(run, variables, images)
    return found


def _cut(kernel: np.ndarray, rank: float) -> tuple[np.ndarray, np.ndarray]:
    """(n, 1, C_in, r) and (1, n, r, C_out), whose composition is nearest to the kernel."""
    n, _, inputs, outputs = kernel.shape
    matrix = kernel.transpose(0, 2, 1, 3).reshape(n * inputs, n * outputs)
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    kept = math.ceil(rank * len(values))
    root = np.sqrt(values[:kept])
    first = (left[:, :kept] * root).reshape(n, 1, inputs, kept)
    second = (root[:, None] * right[:kept]).reshape(1, kept, n, outputs).transpose(0, 2, 1, 3)
    return first, second
