"""Feature maps of any network, by name: its endpoints, and taps on whatever lies between them."""

import inspect
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax

from jaxnets.errors import UnknownNameError


def features(
    model: nn.Module,
    variables: Mapping[str, Any],
    x: jax.Array,
    *,
    taps: Sequence[str] | None = None,
    **call: Any,
) -> "OrderedDict[str, Any]":
    """Run a network and return its named feature maps; what nobody uses, `jax.jit` leaves out.

    Without ``taps`` the endpoints of a network of this package, in the order of computation: the
    same as ``model.clone(num_classes=None).apply(variables, x)``. With ``taps`` exactly those, in
    the order given: endpoints, or paths of submodules such as "stage3/block0/conv2", whose value is
    what the submodule returned. Any Flax module can be tapped.

    Args:
        model: a network of `list_models()`, with or without a head, or, with ``taps``, any Flax
            module.
        variables: its variables; the head's parameters are read only by taps on the head.
        x: images (N, H, W, C), or whatever else ``model`` takes first.
        taps: names of endpoints and paths of submodules.
        **call: further keywords of the network's call (default: ``train=False`` where it has this
            keyword).

    Returns:
        Name → value, for an endpoint a feature map (N, H', W', C'). A submodule that is called
        several times gives a tuple of its values; one inside a loop (`flax.linen.scan`) a value
        with one more axis in front.

    Raises:
        UnknownNameError: no such endpoint or submodule; the message offers the nearest names.
        ValueError: a network without endpoints and no ``taps``, or ``taps`` is one string.

    Source: the endpoints of TensorFlow-Slim and big_vision; Flax, "Extracting intermediate values".

    >>> from jaxnets.models import create_model
    >>> model = create_model("lenet5", num_classes=10)
    >>> x = jax.numpy.zeros((1, 32, 32, 1))
    >>> variables = model.init(jax.random.key(0), x)
    >>> {name: f.shape for name, f in features(model, variables, x).items()}
    {'c1': (1, 28, 28, 6), 's2': (1, 14, 14, 6), 'c3': (1, 10, 10, 16), 's4': (1, 5, 5, 16),
     'c5': (1, 1, 1, 120)}
    >>> {name: f.shape for name, f in features(model, variables, x, taps=("s4", "f6")).items()}
    {'s4': (1, 5, 5, 16), 'f6': (1, 84)}
    >>> features(model, variables, x, taps=["f7"])
    Traceback (most recent call last):
    jaxnets.errors.UnknownNameError: unknown tap 'f7'. Known: c1, c3, c5, f6, output, s2, s4.
    """
    if isinstance(taps, str):
        raise ValueError(f"taps: expected a sequence of names, got the string {taps!r}")
    call = {**call_keywords(model), **call}
    has_endpoints = "num_classes" in getattr(model, "__dataclass_fields__", {})
    if taps is None:
        if not has_endpoints:
            raise ValueError(
                f"features: {type(model).__name__} has no endpoints (no field num_classes); name "
                "what you want with taps=(path of a submodule, …)"
            )
        return model.clone(num_classes=None).apply(variables, x, **call)
    found: dict[str, Any] = {}
    if has_endpoints:
        backbone = model.clone(num_classes=None)
        endpoints, found = _captured(backbone, variables, x, taps, call)
        found = {**found, **{name: endpoints[name] for name in taps if name in endpoints}}
    # What the backbone does not have may belong to the head.
    if missing := [name for name in taps if name not in found]:
        if not has_endpoints or model.num_classes is not None:
            found |= _captured(model, variables, x, missing, call)[1]
        for name in taps:
            if name not in found:
                known = _module_paths(model, variables, x, call)
                known |= set(endpoints) if has_endpoints else set()
                raise UnknownNameError("tap", name, known)
    return OrderedDict((name, found[name]) for name in taps)


def call_keywords(model: nn.Module) -> dict[str, Any]:
    """``{"train": False}`` for a module whose call takes ``train``, else nothing.

    Args:
        model: any Flax module.

    Returns:
        Keywords of its call in evaluation.

    >>> call_keywords(nn.Dense(2))
    {}
    """
    takes_train = "train" in inspect.signature(type(model).__call__).parameters
    return {"train": False} if takes_train else {}


def _captured(
    model: nn.Module, variables: Mapping[str, Any], x: Any, taps: Sequence[str], call: dict
) -> tuple[Any, dict[str, Any]]:
    """What the network returns, and path → what the submodule there returned."""

    def wanted(module: nn.Module, method: str) -> bool:
        return method == "__call__" and "/".join(module.path) in taps

    result, state = model.apply(
        variables, x, capture_intermediates=wanted, mutable=["intermediates"], **call
    )
    found = {}
    for name in taps:
        node = state.get("intermediates", {})
        for part in (*name.split("/"), "__call__"):
            node = node.get(part, {}) if isinstance(node, Mapping) else {}
        if isinstance(node, tuple):
            found[name] = node[0] if len(node) == 1 else node
    return result, found


def _module_paths(model: nn.Module, variables: Any, x: Any, call: dict) -> set[str]:
    """The paths of all submodules that a call of the network calls."""
    paths = set()

    def watch(next_method, args, kwargs, context):
        paths.add("/".join(context.module.path))
        return next_method(*args, **kwargs)

    with nn.intercept_methods(watch):
        jax.eval_shape(lambda v, x: model.apply(v, x, **call), variables, x)
    return paths - {""}
