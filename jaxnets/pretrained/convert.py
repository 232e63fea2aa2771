"""Between Flax variables and a PyTorch state dict: names, and the order of the axes.

Convolutions: (height, width, in, out) in Flax, (out, in, height, width) in PyTorch. Matrices: (in,
out) in Flax, (out, in) in PyTorch. The matrix behind a flattened feature map: in Flax its rows run
over (height, width, channel), in PyTorch its columns over (channel, height, width). Normalization:
scale, bias, mean, var in Flax; weight, bias, running_mean, running_var in PyTorch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxnets.errors import JaxnetsError
from jaxnets.pretrained.names import NameMap, is_stack, translate

LEAVES = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}
# Counts batches for a cumulative average, which no network here uses.
IGNORED = "num_batches_tracked"


@dataclass(frozen=True)
class Match:
    """A Flax variable and the tensors of a state dict that hold its values.

    Attributes:
        path: of the variable, "params/…" or "batch_stats/…".
        shape: of the variable.
        names: of the tensors; several where the variable is a stack of layers.
        matrix: whether PyTorch keeps a kernel as a matrix.
        stacked: whether the variable's first axis counts layers.
    """

    path: str
    shape: tuple[int, ...]
    names: tuple[str, ...]
    matrix: bool
    stacked: bool

    @property
    def single_shape(self) -> tuple[int, ...]:
        """The shape of one layer of the stack, or of the only one."""
        return self.shape[1:] if self.stacked else self.shape

    @property
    def torch_shape(self) -> tuple[int, ...]:
        """The shape of each of the tensors."""
        shape = self.single_shape
        if not self.path.endswith("/kernel") or len(shape) < 2:
            return shape
        *window, inputs, outputs = shape
        if not self.matrix:
            return (outputs, inputs, *(window or (1, 1)))
        return (outputs, inputs * int(np.prod(window, dtype=np.int64)))


def match_variables(
    variables: Mapping[str, Any], name_map: NameMap, model: nn.Module
) -> list[Match]:
    """The tensors of each of a network's variables (arrays or their shapes) under a name map."""
    rules = name_map.rules(model)
    found, taken = [], {}
    for path, leaf in flatten_dict(dict(variables), sep="/").items():
        _, _, inside = path.partition("/")
        layer, _, last = inside.rpartition("/")
        suffix = f".{LEAVES.get(last, last)}"
        shape = tuple(leaf.shape)
        stacked = is_stack(layer, rules)
        indices = range(shape[0]) if stacked else (None,)
        names = tuple(translate(layer, rules, index) + suffix for index in indices)
        axes = len(shape) - stacked
        match = Match(path, shape, names, name_map.keeps_as_matrix(layer, axes), stacked)
        for name in names:
            if taken.setdefault(name, path) != path:
                raise JaxnetsError(
                    f"the names of {name_map.source} cannot tell {taken[name]} from {path}: both "
                    f"would be {name}"
                )
        found.append(match)
    return found


def to_flax(match: Match, arrays: list[np.ndarray]) -> np.ndarray:
    """The tensors of a variable (one a layer of the stack) in Flax's layout, float32."""
    made = [_to_flax(match, np.asarray(array)) for array in arrays]
    return np.stack(made) if match.stacked else made[0]


def _to_flax(match: Match, array: np.ndarray) -> np.ndarray:
    shape = match.single_shape
    array = array.astype(np.float32)
    if not match.path.endswith("/kernel") or len(shape) < 2:
        return array.reshape(shape)
    *window, inputs, outputs = shape
    if array.ndim == 2:
        array = array.reshape(outputs, inputs, *window)
    elif not window:
        array = array.reshape(outputs, inputs)
    axes = (*range(2, 2 + len(window)), 1, 0)
    return np.ascontiguousarray(array.transpose(axes))


def to_torch(match: Match, array: np.ndarray) -> list[np.ndarray]:
    """A variable in PyTorch's layout, one array a layer of the stack; the inverse of `to_flax`."""
    made = []
    for single in array if match.stacked else (array,):
        if match.path.endswith("/kernel") and single.ndim >= 2:
            n = single.ndim
            single = single.transpose(n - 1, n - 2, *range(n - 2))
        made.append(np.ascontiguousarray(single).reshape(match.torch_shape))
    return made


def fits(match: Match, array: np.ndarray) -> bool:
    """Whether a tensor of a file has the shape that its variable needs.

    A matrix may be written as a 1×1 convolution and the other way round, and a vector with an
    axis of one in front.
    """
    theirs, shape = tuple(array.shape), match.torch_shape
    if theirs == shape:
        return True
    if match.path.endswith("/kernel"):
        return theirs in ((*shape, 1, 1), shape[:2] if shape[2:] == (1, 1) else None)
    return len(shape) == 1 and theirs == (1, *shape)


def assemble(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Paths → nested variables."""
    return unflatten_dict(dict(arrays), sep="/")
