"""Between our variables and another library's state dict: names, and the order of the axes.

Convolutions: (height, width, in, out) here, (out, in, height, width) there. Matrices: (in, out)
here, (out, in) there. The matrix behind a flattened feature map: here its rows run over (height,
width, channel), there its columns over (channel, height, width). Normalization: scale, bias, mean,
var here; weight, bias, running_mean, running_var there.
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
class Place:
    """Where one of our variables stands in a state dict.

    Attributes:
        path: "params/…" or "batch_stats/…".
        shape: ours.
        names: theirs; several where ours is a stack of layers.
        matrix: whether they keep a kernel as a matrix.
        stacked: whether our first axis counts layers.
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
    def their_shape(self) -> tuple[int, ...]:
        """The shape of each of their arrays."""
        shape = self.single_shape
        if not self.path.endswith("/kernel") or len(shape) < 2:
            return shape
        *window, inputs, outputs = shape
        if not self.matrix:
            return (outputs, inputs, *(window or (1, 1)))
        return (outputs, inputs * int(np.prod(window, dtype=np.int64)))


def places(variables: Mapping[str, Any], name_map: NameMap, model: nn.Module) -> list[Place]:
    """Where each of a network's variables (arrays or their shapes) stands under a name map."""
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
        place = Place(path, shape, names, name_map.keeps_as_matrix(layer, axes), stacked)
        for name in names:
            if taken.setdefault(name, path) != path:
                raise JaxnetsError(
                    f"the names of {name_map.source} cannot tell {taken[name]} from {path}: both "
                    f"would be {name}"
                )
        found.append(place)
    return found


def to_ours(place: Place, arrays: list[np.ndarray]) -> np.ndarray:
    """Their arrays (one a layer of the stack) as our variable, float32 or wider as ours is."""
    made = [_to_ours(place, np.asarray(array)) for array in arrays]
    return np.stack(made) if place.stacked else made[0]


def _to_ours(place: Place, array: np.ndarray) -> np.ndarray:
    shape = place.single_shape
    array = array.astype(np.float32)
    if not place.path.endswith("/kernel") or len(shape) < 2:
        return array.reshape(shape)
    *window, inputs, outputs = shape
    if array.ndim == 2:
        array = array.reshape(outputs, inputs, *window)
    elif not window:
        array = array.reshape(outputs, inputs)
    axes = (*range(2, 2 + len(window)), 1, 0)
    return np.ascontiguousarray(array.transpose(axes))


def to_theirs(place: Place, array: np.ndarray) -> list[np.ndarray]:
    """Our variable in their layout, one array a layer of the stack; the inverse of `to_ours`."""
    made = []
    for single in array if place.stacked else (array,):
        if place.path.endswith("/kernel") and single.ndim >= 2:
            n = single.ndim
            single = single.transpose(n - 1, n - 2, *range(n - 2))
        made.append(np.ascontiguousarray(single).reshape(place.their_shape))
    return made


def fits(place: Place, array: np.ndarray) -> bool:
    """Whether an array has the shape that a place wants.

    A matrix may be written as a 1×1 convolution and the other way round, and a vector with an
    axis of one in front.
    """
    theirs, shape = tuple(array.shape), place.their_shape
    if theirs == shape:
        return True
    if place.path.endswith("/kernel"):
        return theirs in ((*shape, 1, 1), shape[:2] if shape[2:] == (1, 1) else None)
    return len(shape) == 1 and theirs == (1, *shape)


def assemble(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Paths → nested variables."""
    return unflatten_dict(dict(arrays), sep="/")
