"""Layers that do not change: neither their parameters, bit for bit, nor their statistics."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxnets.optim.partial import keep
from jaxnets.train.state import TrainState
from jaxnets.transfer.layers import check_layers, inside

FROZEN, TRAINED = "frozen", "trained"


def frozen_apply(apply_fn: Callable, frozen: Collection[str]) -> Callable:
    """An ``apply`` in which some layers are constants, in training as in evaluation.

    A frozen batch normalization must not only keep its running statistics: were it to normalize
    with the batch's, the layers behind it would be trained on features that evaluation never shows
    them. So every module inside a frozen layer is called with ``train=False``, dropout included,
    and its parameters get no gradient, which also saves the work of computing one.

    Args:
        apply_fn: a network's ``apply``.
        frozen: names of layers, as `layers_up_to` gives them, or deeper paths.

    Returns:
        A function with the same arguments.

    >>> from jaxnets.models import create_model
    >>> net, x = create_model("mlp", hidden=(4,)), jnp.ones((1, 2, 2, 1))
    >>> variables = net.init(jax.random.key(0), x)
    >>> loss = lambda p: frozen_apply(net.apply, {"fc1"})({"params": p}, x, train=True).sum()
    >>> gradient = jax.grad(loss)(variables["params"])
    >>> bool(jnp.any(gradient["fc1"]["kernel"])), bool(jnp.any(gradient["classifier"]["bias"]))
    (False, True)
    """
    frozen = frozenset(_names(frozen))

    def evaluate_frozen(next_method, args, kwargs, context):
        if "train" in kwargs and inside(context.module.path, frozen):
            kwargs = {**kwargs, "train": False}
        return next_method(*args, **kwargs)

    def apply(variables: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        flat = flatten_dict(dict(variables["params"]))
        params = unflatten_dict(
            {
                path: jax.lax.stop_gradient(leaf) if inside(path, frozen) else leaf
                for path, leaf in flat.items()
            }
        )
        with nn.intercept_methods(evaluate_frozen):
            return apply_fn({**variables, "params": params}, *args, **kwargs)

    return apply


def label_layers(params: Any, frozen: Collection[str]) -> Any:
    """A tree like ``params`` of the labels "frozen" and "trained", for `optax.multi_transform`.

    Args:
        params: nested dict of parameters.
        frozen: names of layers, or deeper paths.

    Returns:
        The tree of labels.

    >>> label_layers({"a": {"w": 0}, "b": {"w": 0}}, {"a"})
    {'a': {'w': 'frozen'}, 'b': {'w': 'trained'}}
    """
    frozen = _names(frozen)
    return unflatten_dict(
        {path: FROZEN if inside(path, frozen) else TRAINED for path in flatten_dict(params)}
    )


def freeze(
    rule: optax.GradientTransformation, frozen: Collection[str]
) -> optax.GradientTransformation:
    """An optimizer for the trained layers only; the frozen ones keep every bit.

    The rule sees the trained parameters alone: no decay, momentum or memory for the others, and a
    clipping norm that is that of the trained gradients.

    Args:
        rule: the optimizer of the trained layers.
        frozen: names of layers, or deeper paths.

    Returns:
        The transformation.

    >>> rule = freeze(optax.sgd(1.0), {"a"})
    >>> params = {"a": jnp.zeros(1), "b": jnp.zeros(1)}
    >>> rule.update(params, rule.init(params))[0]["a"].tolist()
    [-0.0]
    """
    frozen = frozenset(_names(frozen))
    return optax.multi_transform(
        {TRAINED: rule, FROZEN: keep()}, lambda params: label_layers(params, frozen)
    )


def transfer_state(
    model: nn.Module,
    variables: Mapping[str, Any],
    rule: optax.GradientTransformation,
    key: jax.Array,
    *,
    frozen: Collection[str] = (),
    apply_fn: Callable | None = None,
) -> TrainState:
    """A `TrainState` that goes on from given variables and trains the layers that are not frozen.

    `train_step` takes it as any other; after any number of steps the frozen parameters and running
    statistics are those of ``variables``, bit for bit. (Under `pmap` the step averages statistics
    over the devices, which is exact where their number is a power of two.)

    Args:
        model: the network.
        variables: where to begin, e.g. from `copy_layers` or `jaxnets.pretrained.load`.
        rule: the optimizer of the trained layers, e.g. from `scale_layers`.
        key: for the randomness of the steps.
        frozen: names of layers.
        apply_fn: what `frozen_apply` gave for the same ``frozen``, to share compiled steps
            between several states; by default it is made here.

    Returns:
        The state, at step 0.

    Raises:
        UnknownNameError: a layer that the network does not have.

    >>> from jaxnets.models import create_model
    >>> from jaxnets.optim import create_optimizer
    >>> from jaxnets.transfer import layers_up_to
    >>> net = create_model("mlp", hidden=(4, 6), num_classes=2)
    >>> pretrained = net.init(jax.random.key(0), jnp.zeros((1, 2, 2, 1)))
    >>> frozen = layers_up_to(net, (2, 2, 1), "fc1")
    >>> state = transfer_state(
    ...     net, pretrained, create_optimizer("adam", 1e-4), jax.random.key(1), frozen=frozen)
    >>> int(state.step)
    0
    """
    model_state = jax.tree.map(jnp.asarray, dict(variables))
    params = model_state.pop("params")
    check_layers(frozen, {"params": params})
    if frozen:
        rule = freeze(rule, frozen)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        model_state=model_state,
        opt_state=rule.init(params),
        key=key,
        apply_fn=apply_fn or (frozen_apply(model.apply, frozen) if frozen else model.apply),
        tx=rule,
    )


def _names(layers: Collection[str]) -> Collection[str]:
    if isinstance(layers, str):
        raise ValueError(f"frozen must be a collection of names, got the string {layers!r}")
    return layers
