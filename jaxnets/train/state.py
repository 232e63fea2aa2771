"""What a training run carries from step to step."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxnets.data.batch import check_batch, require_numbers
from jaxnets.errors import JaxnetsError
from jaxnets.train.task import Task, call_network

PyTree = Any


@flax.struct.dataclass
class TrainState:
    """Parameters, the optimizer's state and the network's running statistics: one pytree.

    Attributes:
        step: int32 scalar, the number of updates made.
        params: the network's parameters, float32.
        model_state: its other collections (``{"batch_stats": …}`` or ``{}``).
        opt_state: the Optax state.
        key: the run's random key. It never changes: the randomness of a step is drawn from
            ``fold_in(key, step)``, so that a resumed run repeats itself bit for bit.
        carry: the collections of `Task.carried`, with one entry an example of the batch; every
            device holds those of its share.
        apply_fn, tx: the network's ``apply`` and the Optax transformation (static).

    >>> params, tx = {"w": jnp.array([1.0, 1.0])}, optax.sgd(0.5)
    >>> state = TrainState(jnp.int32(0), params, {}, tx.init(params), jax.random.key(0), tx=tx)
    >>> state = state.apply_gradients({"w": jnp.array([1.0, -2.0])})
    >>> int(state.step), state.variables["params"]["w"].tolist()
    (1, [0.5, 2.0])
    """

    step: jax.Array
    params: PyTree
    model_state: PyTree
    opt_state: PyTree
    key: jax.Array
    carry: PyTree = flax.struct.field(default_factory=dict)
    apply_fn: Callable = flax.struct.field(pytree_node=False, default=None)
    tx: optax.GradientTransformation = flax.struct.field(pytree_node=False, default=None)

    if TYPE_CHECKING:  # flax.struct adds it

        def replace(self, **changes: Any) -> "TrainState": ...

    def apply_gradients(
        self, gradients: PyTree, model_state: PyTree | None = None, loss: jax.Array | None = None
    ) -> "TrainState":
        """The state after one update: θ ← θ + tx(∇θ), step ← step + 1.

        Args:
            gradients: ∇θ, like ``params``.
            model_state: the new running statistics (default: as they are).
            loss: what ∇θ is the gradient of, for transformations that want it as ``value``
                (`optax.contrib.reduce_on_plateau`, `optax.polyak_sgd`).
        """
        tx, extra = self.tx, {}
        if loss is not None:
            tx, extra = optax.with_extra_args_support(tx), {"value": loss}
        updates, opt_state = tx.update(gradients, self.opt_state, self.params, **extra)
        return self.replace(
            step=self.step + 1,
            params=optax.apply_updates(self.params, updates),
            model_state=self.model_state if model_state is None else model_state,
            opt_state=opt_state,
        )

    @property
    def variables(self) -> dict[str, PyTree]:
        """What ``model.apply`` takes: ``{"params": …, "batch_stats": …}``."""
        return {"params": self.params, **self.model_state}


def create_state(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    example_batch: Mapping[str, Any],
    key: jax.Array,
    *,
    task: Task,
    variables: Mapping[str, Any] | None = None,
) -> TrainState:
    """Initialize a network and its optimizer, compiled as one function.

    Args:
        model: a network of `jaxnets.models`, or any linen module; one without a ``train`` keyword
            is called without.
        optimizer: an Optax transformation.
        example_batch: a batch as the run has them, for its shapes and dtypes; one example is
            enough, unless the task carries state from step to step.
        key: a key from `jax.random.key`, split in two: one half draws the initial parameters,
            the other stays in the state for the randomness of the steps.
        task: what the network is trained for.
        variables: begin with these (``{"params": …, "batch_stats": …}``, for example from
            `jaxnets.pretrained.load`) instead of random ones. Parameters that they lack are drawn.

    Returns:
        The `TrainState` at step 0, on the default device.

    Raises:
        BatchError: a batch without examples, with text, or that is none.
        TaskError: the task asks for a key that the batch does not have.
        JaxnetsError: given variables have other shapes than the network's, or unknown names.

    Example:
        >>> import jax, optax
        >>> task = Task(lambda batch: batch["audio"], lambda out, _, batch: (out.mean(), {}))
        >>> batch = {"audio": np.zeros((1, 100), np.float32)}
        >>> key = jax.random.key(0)
        >>> state = create_state(nn.Dense(1), optax.sgd(0.1), batch, key, task=task)
        >>> int(state.step)
        0
    """
    check_batch(example_batch)
    require_numbers(example_batch)
    if not task.carried:
        example_batch = {name: np.asarray(array)[:1] for name, array in example_batch.items()}
    init_key, step_key = jax.random.split(key)
    init_fn, apply_fn = network_functions(model)

    def init(init_key, batch, given):
        params_key, stream_key = jax.random.split(init_key)
        keys = {"params": params_key, **rng_streams(stream_key, task.rngs)}
        drawn = dict(call_network(task, init_fn, keys, batch, train=False))
        for name in task.mutable:
            drawn.pop(name, None)
        drawn = _replace_given(drawn, given)
        params = drawn.pop("params", {})
        carry = {name: drawn.pop(name) for name in task.carried if name in drawn}
        return params, drawn, carry, optimizer.init(params)

    given = jax.tree.map(jnp.asarray, dict(variables or {}))
    params, model_state, carry, opt_state = jax.jit(init)(init_key, example_batch, given)
    missing = [name for name in task.carried if name not in carry]
    if missing:
        raise JaxnetsError(
            f"the task carries {missing[0]!r} from step to step, but the network has no such "
            f"collection; it has {', '.join(['params', *model_state, *carry])}"
        )
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        model_state=model_state,
        opt_state=opt_state,
        key=step_key,
        carry=carry,
        apply_fn=apply_fn,
        tx=optimizer,
    )


def rng_streams(key: jax.Array, names: tuple[str, ...]) -> dict[str, jax.Array]:
    """One key for each random stream of a network; the first has ``key`` itself."""
    return {
        name: key if index == 0 else jax.random.fold_in(key, index)
        for index, name in enumerate(names)
    }


@dataclass(frozen=True)
class _WithoutTrain:
    """A function of a module that knows no ``train`` keyword; compared by what it stands for, so
    that states of one module share compiled steps."""

    function: Callable

    def __call__(self, *arguments: Any, train: bool, **options: Any) -> Any:
        del train
        return self.function(*arguments, **options)


def network_functions(model: nn.Module) -> tuple[Callable, Callable]:
    """The module's ``init`` and ``apply``, which take ``train`` whether it does or not."""
    first = model
    while isinstance(first, nn.Sequential) and first.layers:  # gives its arguments to the first
        first = first.layers[0]
    function = type(first).__call__ if isinstance(first, nn.Module) else first
    parameters = inspect.signature(function).parameters
    if "train" in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return model.init, model.apply
    return _WithoutTrain(model.init), _WithoutTrain(model.apply)


def _replace_given(drawn: dict[str, PyTree], given: Mapping[str, PyTree]) -> dict[str, PyTree]:
    """``drawn`` with the leaves that ``given`` has, in ``drawn``'s dtypes."""
    if not given:
        return drawn
    leaves, new = flatten_dict(drawn, sep="/"), flatten_dict(given, sep="/")
    for path, leaf in new.items():
        if path not in leaves:
            raise JaxnetsError(
                f"variables: the network has no {path}; it has {', '.join(sorted(leaves)[:5])}, …"
            )
        if leaf.shape != leaves[path].shape:
            raise JaxnetsError(
                f"variables: {path} has shape {leaf.shape}, the network's has {leaves[path].shape}"
            )
        leaves[path] = leaf.astype(leaves[path].dtype)
    return unflatten_dict(leaves, sep="/")
