"""A network's layers in order, in groups that freezing and learning rates go by."""

import re
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict
from jax.extend import core

from jaxnets.errors import UnknownNameError
from jaxnets.models.counting import abstract_variables

Shape = tuple[int, int, int]


def layer_names(model: nn.Module, input_shape: Shape) -> tuple[str, ...]:
    """The network's direct submodules that have variables, in the order of computation.

    A stage ("stage1", "stage2", …) counts as its blocks: "stage1/block0", "stage1/block1", ….

    Args:
        model: a network.
        input_shape: (H, W, C) of one image.

    Returns:
        Names.

    >>> from jaxnets.models import create_model
    >>> layer_names(create_model("mlp", hidden=(4, 4)), (8, 8, 1))
    ('fc1', 'fc2', 'classifier')
    """
    seen: list[str] = []

    def watch(next_method, args, kwargs, context):
        path = context.module.path
        if path and (name := layer_of(path)) not in seen:
            seen.append(name)
        return next_method(*args, **kwargs)

    with nn.intercept_methods(watch):
        variables = abstract_variables(model, input_shape)
    paths = (path for tree in variables.values() for path in flatten_dict(dict(tree)))
    present = {layer_of(path[:-1] or path) for path in paths}
    # A parameter of the network itself belongs to no submodule; it counts as the first layer.
    return (*sorted(present - set(seen)), *(name for name in seen if name in present))


def layer_of(path: Sequence[str]) -> str:
    """The layer that a module's path belongs to: its first part, of a stage the block.

    Args:
        path: names from the outermost module inwards.

    Returns:
        A name, with a slash where it is a block's.

    >>> layer_of(("stem", "conv")), layer_of(("stage2", "block0", "conv1")), layer_of(("stage2",))
    ('stem', 'stage2/block0', 'stage2')
    """
    depth = 2 if re.fullmatch(r"stage\d+", path[0]) else 1
    return "/".join(path[:depth])


def head_layers(model: nn.Module, input_shape: Shape) -> tuple[str, ...]:
    """The layers whose shapes depend on the number of classes.

    Args:
        model: a network.
        input_shape: (H, W, C) of one image.

    Returns:
        Names, in the order of computation.

    >>> from jaxnets.models import create_model
    >>> head_layers(create_model("mlp", hidden=(4, 4)), (8, 8, 1))
    ('classifier',)
    """
    if getattr(model, "num_classes", None) is None:
        return ()
    more = model.clone(num_classes=model.num_classes + 1)
    ours, others = (
        flatten_dict(dict(abstract_variables(m, input_shape)["params"])) for m in (model, more)
    )
    changed = {
        layer_of(path[:-1]) for path, leaf in ours.items() if leaf.shape != others[path].shape
    }
    return tuple(name for name in layer_names(model, input_shape) if name in changed)


def layer_groups(model: nn.Module, input_shape: Shape) -> "OrderedDict[str, tuple[str, ...]]":
    """Layers by the endpoint of the network that needs them first, then the head.

    Which layers an endpoint needs is read off the traced computation, so that branches come out
    right: its group holds those that no earlier endpoint needed. An endpoint without layers of its
    own, such as a pooling, has an empty group.

    Args:
        model: a network with a head.
        input_shape: (H, W, C) of one image.

    Returns:
        Endpoint → names of layers; then "neck", where layers lie between the last endpoint and the
        head, and "head".

    >>> from jaxnets.models import create_model
    >>> layer_groups(create_model("resnet20", blocks=1), (32, 32, 3))["stem"]
    ('stem',)
    >>> list(layer_groups(create_model("resnet20", blocks=1), (32, 32, 3)))
    ['stem', 'stage1', 'stage2', 'stage3', 'head']
    """
    names, head = layer_names(model, input_shape), head_layers(model, input_shape)
    groups: OrderedDict[str, tuple[str, ...]] = OrderedDict()
    taken: set[str] = set(head)
    for endpoint, needed in _needed_layers(model, input_shape).items():
        groups[endpoint] = tuple(n for n in names if n in needed and n not in taken)
        taken |= needed
    if neck := tuple(n for n in names if n not in taken):
        groups["neck"] = neck
    groups["head"] = head
    return groups


def layers_up_to(model: nn.Module, input_shape: Shape, to: str | None) -> tuple[str, ...]:
    """The layers from the first up to and with ``to``: what is frozen when training begins there.

    Args:
        model: a network with a head.
        input_shape: (H, W, C) of one image.
        to: an endpoint or group of `layer_groups`, or a layer of `layer_names`; "backbone" stands
            for everything but the head, None for nothing.

    Returns:
        Names, in the order of computation.

    Raises:
        UnknownNameError: no such layer; the message offers the nearest names.

    >>> from jaxnets.models import create_model
    >>> layers_up_to(create_model("mlp", hidden=(4, 4)), (8, 8, 1), "fc1")
    ('fc1',)
    >>> layers_up_to(create_model("mlp", hidden=(4, 4)), (8, 8, 1), "fc9")
    Traceback (most recent call last):
    jaxnets.errors.UnknownNameError: unknown layer 'fc9'. Did you mean 'fc2' or 'fc1'?
    """
    if to is None:
        return ()
    names, groups = layer_names(model, input_shape), layer_groups(model, input_shape)
    if to == "backbone":
        return tuple(n for n in names if n not in groups["head"])
    if to in groups:
        chosen: set[str] = set()
        for group, layers in groups.items():
            chosen |= set(layers)
            if group == to:
                return tuple(n for n in names if n in chosen)
    if to in names:
        return names[: names.index(to) + 1]
    raise UnknownNameError("layer", to, {*groups, *names, "backbone"})


def count_trainable(model: nn.Module, input_shape: Shape, frozen: Collection[str] = ()) -> int:
    """Parameters that are trained when the layers ``frozen`` are not.

    Args:
        model: a network.
        input_shape: (H, W, C) of one image.
        frozen: names of layers, or deeper paths.

    Returns:
        Their number.

    Raises:
        UnknownNameError: no such layer.

    >>> from jaxnets.models import create_model
    >>> net = create_model("mlp", hidden=(4, 4))
    >>> count_trainable(net, (8, 8, 1), layers_up_to(net, (8, 8, 1), "backbone"))
    50
    """
    params = abstract_variables(model, input_shape)["params"]
    check_layers(frozen, {"params": params})
    return sum(leaf.size for path, leaf in flatten_dict(params).items() if not inside(path, frozen))


def copy_layers(
    target: Mapping[str, Any], source: Mapping[str, Any], layers: Collection[str]
) -> dict[str, Any]:
    """``target`` with the variables of ``layers`` from ``source``, running statistics included.

    Args:
        target: variables of the network to be trained.
        source: variables of a pretrained network.
        layers: names as in `layer_names`, or other paths such as "stage1/block0/conv1".

    Returns:
        New variables; neither argument is changed.

    Raises:
        UnknownNameError: a layer that ``target`` does not have.
        ValueError: ``source`` lacks a variable, or has it in another shape.

    >>> new, old = ({"params": {"a": {"w": v}, "b": {"w": v}}} for v in (0.0, 7.0))
    >>> copy_layers(new, old, ["a"])["params"]
    {'a': {'w': 7.0}, 'b': {'w': 0.0}}
    """
    check_layers(layers, target)
    ours, theirs = (flatten_dict(dict(tree)) for tree in (target, source))
    for path, leaf in ours.items():
        if not inside(path[1:], layers):
            continue
        found = theirs.get(path)
        if found is None or jnp.shape(found) != jnp.shape(leaf):
            raise ValueError(
                f"source has {'nothing' if found is None else list(jnp.shape(found))} at "
                f"{'/'.join(path)}, expected {list(jnp.shape(leaf))}"
            )
        ours[path] = found
    return unflatten_dict(ours)


def inside(path: Iterable[str], layers: Collection[str]) -> bool:
    """Whether a path of names lies in one of the layers.

    Args:
        path: names from the outermost module inwards.
        layers: names, or paths with slashes.

    Returns:
        True or False.

    >>> inside(("block1", "conv", "kernel"), {"block1/conv"})
    True
    >>> inside(("block10", "conv", "kernel"), {"block1"})
    False
    """
    path = tuple(path)
    return any("/".join(path[:depth]) in layers for depth in range(1, len(path) + 1))


def check_layers(layers: Collection[str], variables: Mapping[str, Any]) -> None:
    """Raise an `UnknownNameError` for a layer that is not in the variables.

    Args:
        layers: names, or deeper paths.
        variables: collection → nested dict.

    Raises:
        UnknownNameError: a name that no collection has; the message offers the nearest ones.
        ValueError: a string in place of a collection of names.

    >>> check_layers(["conv1"], {"params": {"conv1": {"kernel": 0}}})
    """
    if isinstance(layers, str):
        raise ValueError(f"layers must be a collection of names, got the string {layers!r}")
    known = set()
    for tree in variables.values():
        for path in flatten_dict(tree):
            known |= {"/".join(path[:depth]) for depth in range(1, len(path) + 1)}
    for name in layers:
        if name not in known:
            raise UnknownNameError("layer", name, known)


def _needed_layers(model: nn.Module, input_shape: Shape) -> "OrderedDict[str, set[str]]":
    """For every endpoint the layers that its value depends on."""
    backbone = model.clone(num_classes=None)
    variables = abstract_variables(backbone, input_shape)
    x = jax.ShapeDtypeStruct((1, *input_shape), jnp.float32)
    closed, shapes = jax.make_jaxpr(
        lambda v, x: backbone.apply(v, x, train=False), return_shape=True
    )(variables, x)
    leaves = jax.tree_util.tree_flatten_with_path((variables, x))[0]
    # Paths are (place in the tuple, collection, module, …, name of the variable). Variables of the
    # jaxpr → the layers behind them; an equation hands on those of all its inputs.
    behind = {
        var: {layer_of([part.key for part in path[2:-1] or path[2:]])}
        for var, (path, _) in zip(closed.jaxpr.invars, leaves, strict=True)
        if len(path) > 2
    }
    for eqn in closed.jaxpr.eqns:
        inputs = [behind.get(v, set()) for v in eqn.invars if not isinstance(v, core.Literal)]
        union = set().union(*inputs)
        behind.update(dict.fromkeys(eqn.outvars, union))
    needed: OrderedDict[str, set[str]] = OrderedDict()
    outputs = iter(closed.jaxpr.outvars)
    for endpoint, value in shapes.items():
        needed[endpoint] = set()
        for _ in jax.tree.leaves(value):
            var = next(outputs)
            if not isinstance(var, core.Literal):
                needed[endpoint] |= behind.get(var, set())
    return needed
