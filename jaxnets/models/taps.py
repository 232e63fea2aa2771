"""A network that hands out what lies inside it while it is trained: taps on its submodules."""

import inspect
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

# The collection that the taps' values are written to, and that of the number of calls.
TAPS, CALLS = "taps", "calls"


class Tapped(nn.Module):
    """Another network whose inner values a loss can see; the network itself is not edited.

    The network's own output is what a call returns. Under "taps" it writes path → value, where
    `jaxnets.train.Task.loss` finds it if the task names the collection in ``mutable``. Of a
    submodule that is called several times the last value counts; inside a loop
    (`flax.linen.scan`) only the loop as a whole can be tapped.

    Attributes:
        network: any Flax module; its variables are in "network" of each collection.
        taps: paths of its submodules, such as "stage3/block0/conv2".
        projections: (path, make) for values that are handed out as a trained module leaves them:
            ``make(name=…)`` gives the module.
        until: stop there: what comes behind this submodule is not computed, so that neither its
            parameters get gradients nor its running statistics change. The call returns the
            submodule's value. (In ``init`` nothing is left out.)
        count_calls: count the calls with ``train=True`` in the collection "calls", for losses that
            change in the course of training.

    Call: as that of the network.

    >>> from jaxnets.models import create_model
    >>> net = Tapped(create_model("lenet5"), taps=("c3",))
    >>> x = jnp.zeros((1, 32, 32, 1))
    >>> variables = net.init(jax.random.key(0), x)
    >>> logits, written = net.apply({"params": variables["params"]}, x, mutable=["taps"])
    >>> logits.shape, written["taps"]["values"]["c3"].shape
    ((1, 10), (1, 10, 10, 16))
    """

    network: nn.Module
    taps: tuple[str, ...] = ()
    projections: tuple[tuple[str, Callable[..., nn.Module]], ...] = ()
    until: str | None = None
    count_calls: bool = False

    @nn.compact
    def __call__(self, *args: Any, train: bool = False, **kwargs: Any) -> Any:
        if takes_train(self.network):
            kwargs["train"] = train
        if self.count_calls:
            calls = self.variable(CALLS, "count", lambda: jnp.zeros((), jnp.int32))
            if train and not self.is_initializing():
                calls.value = calls.value + 1
        wanted = {*self.taps, self.until}
        until = None if self.is_initializing() else self.until
        found: dict[str, Any] = {}

        def watch(next_method, method_args, method_kwargs, context):
            value = next_method(*method_args, **method_kwargs)
            if context.method_name == "__call__":
                path = "/".join(context.module.path[len(self.path) + 1 :])
                if path in wanted:
                    found[path] = value
                if path and path == until:
                    raise _Reached
            return value

        output = None
        with nn.intercept_methods(watch):
            try:
                output = self.network(*args, **kwargs)
            except _Reached:
                output = found[self.until]
        projections = dict(self.projections)
        values = {}
        for path in self.taps:
            if path not in found:
                continue  # `tap_paths` tells before a network is built which there are
            value = found[path]
            if path in projections:
                value = projections[path](name="projection_" + path.replace("/", "_"))(value)
            values[path] = value
        self.sow(TAPS, "values", values, reduce_fn=_last, init_fn=_nothing)
        return output


class _Reached(Exception):
    """The submodule at which the computation ends has been called."""


def _last(before: Any, now: Any) -> Any:
    del before
    return now


def _nothing() -> None:
    return None


def takes_train(module: nn.Module) -> bool:
    """Whether a module's call has the keyword ``train``.

    Args:
        module: any Flax module.

    Returns:
        True or False.

    >>> takes_train(nn.Dense(1)), takes_train(Tapped(nn.Dense(1)))
    (False, True)
    """
    parameters = inspect.signature(type(module).__call__).parameters
    return "train" in parameters


def tap_shapes(network: nn.Module, x: Any) -> dict[str, Any]:
    """What each submodule of a network returns for an input, without computing anything.

    Args:
        network: any Flax module.
        x: its input, or a `jax.ShapeDtypeStruct` of it.

    Returns:
        Path of the submodule → shapes and dtypes of its value; "" is the network's own output.
        Submodules inside of a loop (`flax.linen.scan`) are shown as one turn of it sees them.

    >>> from jaxnets.models import create_model
    >>> shapes = tap_shapes(create_model("mlp", hidden=(4,)), jnp.zeros((1, 8, 8, 1)))
    >>> {path: value.shape for path, value in shapes.items()}
    {'fc1': (1, 4), 'dropout1': (1, 4), 'classifier': (1, 10), '': (1, 10)}
    """
    found = {}

    def watch(next_method, args, kwargs, context):
        value = next_method(*args, **kwargs)
        if context.method_name == "__call__":
            found["/".join(context.module.path)] = jax.tree.map(_abstract, value)
        return value

    call = {"train": False} if takes_train(network) else {}
    keys = {"params": jax.random.key(0), "dropout": jax.random.key(0)}
    with nn.intercept_methods(watch):
        jax.eval_shape(lambda x: network.init(keys, x, **call), x)
    return found


def _abstract(leaf: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(jnp.shape(leaf), jnp.result_type(leaf))
