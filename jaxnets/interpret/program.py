"""A network as a program that can be changed: other backward rules, other values in the middle.

A network is traced to a jaxpr, and the jaxpr is run again by `jaxnets.interpret.interpreter`. So
nothing that is looked into has to be written for it.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jax.extend import core

from jaxnets.errors import UnknownNameError
from jaxnets.interpret.interpreter import GRADIENT, MARK, Collected, Interpreter, Rules
from jaxnets.models.features import call_keywords


def run_network(
    model: nn.Module,
    variables: Mapping[str, Any],
    x: jax.Array,
    *,
    layer: str | None = None,
    rules: Rules = GRADIENT,
    edit: Callable[[jax.Array], jax.Array] | None = None,
) -> tuple[Any, Any]:
    """Run a network in evaluation mode under other backward rules. Differentiable and pure.

    Args:
        model: any Flax module that takes images first.
        variables: its variables.
        x: images (N, H, W, C).
        layer: an endpoint of a registered network, or the path of a submodule; None: the output.
        rules: see `Rules`.
        edit: takes the layer's value and returns what the rest of the network gets in its place.

    Returns:
        (the network's output, the layer's value before ``edit``).

    Raises:
        UnknownNameError: no such layer; the message offers the nearest names.
        ValueError: the layer lies inside a loop, or is called more than once.

    >>> from jaxnets.models import create_model
    >>> model, x = create_model("lenet5"), jnp.ones((1, 32, 32, 1))
    >>> variables = model.init(jax.random.key(0), x)
    >>> y, s4 = run_network(model, variables, x, layer="s4", edit=jnp.zeros_like)
    >>> s4.shape, bool((y[0] == model.apply(variables, x)[0]).all())
    ((1, 5, 5, 16), False)
    """
    call = call_keywords(model)
    endpoint = layer is not None and layer in endpoints(model, variables, x)
    marked = None if endpoint else layer
    closed, shape = _trace(model, variables, x, call, marked)
    found, places = Collected(), ()
    if endpoint:
        places = (_endpoint_place(model, layer, variables, x, call, closed.jaxpr),)
    interpreter = Interpreter(rules, marked=marked, edit=edit, found=found, places=places)
    flat = interpreter.run(closed.jaxpr, closed.consts, jax.tree.leaves((variables, x)))
    output = jax.tree.unflatten(jax.tree.structure(shape), flat)
    if layer is None:
        return (output if edit is None else edit(output)), output
    if not found.values:
        _refuse(model, layer, variables, x, call)
    if len(found.values) > 1:
        raise ValueError(
            f"layer: {layer!r} is called {len(found.values)} times or returns several arrays; name "
            "a submodule that is called once and returns one"
        )
    return output, found.values[0]


def _trace(model, variables, x, call, marked):
    """The jaxpr of the network, with a mark on what submodule ``marked`` returns."""

    def mark(next_method, args, kwargs, context):
        result = next_method(*args, **kwargs)
        if context.method_name == "__call__" and "/".join(context.module.path) == marked:
            return jax.tree.map(lambda y: checkpoint_name(y, MARK + marked), result)
        return result

    def apply(variables, x):
        if marked is None:
            return model.apply(variables, x, **call)
        with nn.intercept_methods(mark):
            return model.apply(variables, x, **call)

    return jax.make_jaxpr(apply, return_shape=True)(variables, x)


def endpoints(
    model: nn.Module, variables: Mapping[str, Any], x: jax.Array
) -> "dict[str, tuple[int, ...]]":
    """The endpoints of a network of this package's contract: what ``num_classes=None`` returns.

    Args:
        model: any Flax module.
        variables: its variables, or their shapes.
        x: images, or their shape.

    Returns:
        Name → shape, in the order of computation; empty for other modules.

    >>> from jaxnets.models import create_model
    >>> model, x = create_model("lenet5"), jnp.ones((1, 32, 32, 1))
    >>> list(endpoints(model, model.init(jax.random.key(0), x), x))
    ['c1', 's2', 'c3', 's4', 'c5']
    """
    if "num_classes" not in getattr(model, "__dataclass_fields__", {}):
        return {}
    backbone, keywords = model.clone(num_classes=None), call_keywords(model)
    maps = jax.eval_shape(lambda v, x: backbone.apply(v, x, **keywords), variables, x)
    if not isinstance(maps, Mapping):
        return {}
    return {name: tuple(value.shape) for name, value in maps.items()}


def layer_shapes(
    model: nn.Module, variables: Mapping[str, Any], x: jax.Array
) -> "dict[str, tuple[int, ...]]":
    """Every layer that can be looked at: endpoints, then submodules, each as they are computed.

    Args:
        model: any Flax module that takes images first.
        variables: its variables, or their shapes.
        x: images, or their shape.

    Returns:
        Path of a submodule or name of an endpoint → shape. What returns several arrays is left out.

    >>> from jaxnets.models import create_model
    >>> model, x = create_model("lenet5"), jnp.ones((1, 32, 32, 1))
    >>> list(layer_shapes(model, model.init(jax.random.key(0), x), x))[:3]
    ['c1', 's2', 'c3']
    """
    call = call_keywords(model)
    return {name: shape for name, shape in _shapes(model, variables, x, call).items() if shape}


def _shapes(model, variables, x, call) -> dict[str, tuple[int, ...] | None]:
    shapes: dict[str, tuple[int, ...] | None] = {}

    def watch(next_method, args, kwargs, context):
        result = next_method(*args, **kwargs)
        if context.method_name == "__call__" and context.module.path:
            path = "/".join(context.module.path)
            # A second call makes the name ambiguous.
            single = isinstance(result, jax.Array) and path not in shapes
            shapes[path] = tuple(result.shape) if single else None
        return result

    def run(variables, x):
        with nn.intercept_methods(watch):
            return model.apply(variables, x, **call)

    jax.eval_shape(run, variables, x)
    ends = endpoints(model, variables, x)
    return {**ends, **{name: shape for name, shape in shapes.items() if name not in ends}}


def _endpoint_place(model, layer, variables, x, call, whole: core.Jaxpr) -> Any:
    """The variable of the whole network's jaxpr that is the endpoint.

    A network computes its endpoints first and its head from them, so that the backbone's equations
    are the first ones of the whole network.
    """
    closed, shapes = _trace(model.clone(num_classes=None), variables, x, call, None)
    paths = [path[0].key for path, _ in jax.tree_util.tree_flatten_with_path(shapes)[0]]
    wanted = closed.jaxpr.outvars[paths.index(layer)]
    for i, (ours, theirs) in enumerate(zip(closed.jaxpr.eqns, whole.eqns, strict=False)):
        same = ours.primitive is theirs.primitive and [v.aval for v in ours.outvars] == [
            v.aval for v in theirs.outvars
        ]
        if not same:
            break
        if wanted in ours.outvars:
            return whole.eqns[i].outvars[ours.outvars.index(wanted)]
    raise ValueError(
        f"layer: {layer!r} cannot be found in the whole network, whose head does not follow its "
        "endpoints; name a submodule by its path"
    )


def _refuse(model, layer, variables, x, call):
    known = _shapes(model, variables, x, call)
    if layer in known:
        raise ValueError(
            f"layer: {layer!r} lies inside a loop (flax.linen.scan) or has no effect on the "
            "output; name a submodule around the loop"
        )
    raise UnknownNameError("layer", layer, known)


def compiled(function: Callable[..., Any], model: nn.Module, *static: Any) -> Callable[..., Any]:
    """``jit(function(model, *static, …))``, the same compiled one for equal arguments.

    Args:
        function: of a model, static values, and arrays.
        model: a Flax module.
        static: hashable values.

    Returns:
        A compiled function of the arrays.

    >>> double = lambda model, n, x: n * x
    >>> compiled(double, nn.Dense(2), 3) is compiled(double, nn.Dense(2), 3)
    True
    >>> model = nn.Sequential([nn.Dense(2)])
    >>> compiled(double, model, 3) is compiled(double, model, 3)
    True
    """
    try:
        hash(model)
    except TypeError:  # fields that cannot be hashed, such as the list in flax.linen.Sequential
        return _compiled(function, _Itself(model), *static)
    return _compiled(function, model, *static)


@dataclass(frozen=True, eq=False)
class _Itself:
    """A module that is equal to nothing but itself."""

    model: nn.Module

    def __hash__(self):
        return id(self.model)

    def __eq__(self, other):
        return isinstance(other, _Itself) and other.model is self.model


@functools.lru_cache(maxsize=128)
def _compiled(function, model, *static):
    model = model.model if isinstance(model, _Itself) else model
    return jax.jit(functools.partial(function, model, *static))


def check_images(images: Any, name: str = "images") -> jax.Array:
    """Images as an array (N, H, W, C), or an error that says what came.

    Args:
        images: what a user gave.
        name: of the argument.

    Returns:
        The array.

    Raises:
        ValueError: another number of axes, or integers.

    >>> check_images(jnp.ones((2, 2, 3)))
    Traceback (most recent call last):
    ValueError: images: got shape (2, 2, 3); expected (N, H, W, C). A single image needs x[None].
    """
    images = jnp.asarray(images)
    if images.ndim != 4:
        raise ValueError(
            f"{name}: got shape {images.shape}; expected (N, H, W, C). A single image needs "
            "x[None]."
        )
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(
            f"{name}: got {images.dtype}; expected floating, normalized as the network wants it"
        )
    return images


def names(layers: "str | Sequence[str]") -> tuple[str, ...]:
    """One name or several as a tuple.

    Args:
        layers: a string or a sequence.

    Returns:
        A tuple of strings.

    >>> names("conv1"), names(["a", "b"])
    (('conv1',), ('a', 'b'))
    """
    return (layers,) if isinstance(layers, str) else tuple(layers)
