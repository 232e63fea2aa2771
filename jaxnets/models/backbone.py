"""A network as the backbone of a detector or a segmenter: the feature maps at given strides."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax

from jaxnets.errors import JaxnetsError
from jaxnets.models.registry import create_model, model_info


class Backbone(nn.Module):
    """Some of a network's feature maps, the finest first.

    It has the variables of the network itself, under the same paths, so that weights that were
    trained with a head fit as they are.

    Attributes:
        network: a network without head (``num_classes=None``).
        strides: endpoint → input pixels that one step on its map spans; these are returned.

    Call: images (N, H, W, C) → endpoint → map (N, H / stride, W / stride, C'). A ValueError where
    the network has no such endpoint.

    >>> from jaxnets.models import create_model
    >>> network = create_model("lenet5", num_classes=None)
    >>> module = Backbone(network, {"s2": 2, "s4": 4})
    >>> x = jax.ShapeDtypeStruct((1, 32, 32, 1), "float32")
    >>> maps, variables = jax.eval_shape(module.init_with_output, jax.random.key(0), x)
    >>> {name: f.shape for name, f in maps.items()}
    {'s2': (1, 14, 14, 6), 's4': (1, 5, 5, 16)}
    >>> same = jax.eval_shape(network.init, jax.random.key(0), x)  # no level "network" in between
    >>> jax.tree.structure(variables) == jax.tree.structure(same)
    True
    """

    network: nn.Module
    strides: Mapping[str, int]

    def setup(self):
        nn.share_scope(self, self.network)

    def __call__(self, x: jax.Array, *, train: bool = False) -> "OrderedDict[str, jax.Array]":
        maps = self.network(x, train=train)
        if missing := [name for name in self.strides if name not in maps]:
            raise ValueError(
                f"backbone: this {type(self.network).__name__} has no endpoint {missing[0]!r}, "
                f"only {', '.join(maps)}; its fields make it smaller than the published one"
            )
        return OrderedDict((name, maps[name]) for name in self.strides)


def backbone(name: str, strides: Sequence[int] = (8, 16, 32), **fields: Any) -> Backbone:
    """Make a registered network that returns its last feature map at each of some strides.

    Args:
        name: one of `list_models()`.
        strides: how many input pixels one step on each map spans.
        **fields: fields of the network, as for `create_model`.

    Returns:
        A module: images (N, H, W, C) → ordered dict of endpoint → map, in the order of ``strides``.
        Its variables are those of the network without its head.

    Raises:
        JaxnetsError: the network has no map at such a stride; the message says which it has.

    Source: Lin et al., "Feature Pyramid Networks for Object Detection", 2016, section 3: the last
    map of each stage, "since the deepest layer of each stage should have the strongest features".

    >>> module = backbone("resnet18", strides=(8, 16), stages=(1, 1, 1), width=4)
    >>> x = jax.ShapeDtypeStruct((1, 64, 64, 3), "float32")
    >>> maps, _ = jax.eval_shape(module.init_with_output, jax.random.key(0), x)
    >>> {name: m.shape for name, m in maps.items()}
    {'stage2': (1, 8, 8, 8), 'stage3': (1, 4, 4, 16)}
    >>> backbone("lenet5", strides=(4, 8))
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: lenet5 has no feature map at stride 8, only at 1, 2, 4.
    """
    last = {stride: endpoint for endpoint, stride in model_info(name).feature_strides.items()}
    for stride in strides:
        if stride not in last:
            known = ", ".join(map(str, sorted(last)))
            only = f"only at {known}" if known else "nor any other"
            raise JaxnetsError(f"{name} has no feature map at stride {stride}, {only}.")
    network = create_model(name, **{**fields, "num_classes": None})
    return Backbone(network, {last[stride]: stride for stride in strides})
