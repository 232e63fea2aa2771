"""What a training run carries from step to step."""

from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

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
        apply_fn, tx: the network's ``apply`` and the Optax transformation (static).
    """

    step: jax.Array
    params: PyTree
    model_state: PyTree
    opt_state: PyTree
    key: jax.Array
    apply_fn: Callable = flax.struct.field(pytree_node=False)
    tx: optax.GradientTransformation = flax.struct.field(pytree_node=False)

    def apply_gradients(self, gradients: PyTree, model_state: PyTree | None = None) -> "TrainState":
        """The state after one update: θ ← θ + tx(∇θ), step ← step + 1."""
        updates, opt_state = self.tx.update(gradients, self.opt_state, self.params)
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
    tx: optax.GradientTransformation,
    input_shape: tuple[int, ...],
    key: jax.Array,
    *,
    dtype: Any = jnp.float32,
) -> TrainState:
    """Initialize a network and its optimizer, compiled as one function.

    Args:
        model: a network of `jaxnets.models` (or any linen module with a ``train`` keyword).
        tx: an Optax transformation.
        input_shape: (H, W, C) of one image; the batch axis is added here.
        key: a key from `jax.random.key`, split in two: one half draws the initial parameters,
            the other stays in the state for the randomness of the steps.
        dtype: dtype of the input images.

    Example:
        >>> import jax, optax
        >>> from jaxnets.models import create_model
        >>> model = create_model("mlp", num_classes=10)
        >>> state = create_state(model, optax.sgd(0.1), (8, 8, 1), jax.random.key(0))
        >>> int(state.step)
        0
    """
    init_key, step_key = jax.random.split(key)

    def init(init_key):
        params_key, dropout_key = jax.random.split(init_key)
        variables = model.init(
            {"params": params_key, "dropout": dropout_key},
            jnp.zeros((1, *input_shape), dtype),
            train=False,
        )
        model_state = {name: value for name, value in variables.items() if name != "params"}
        return variables["params"], model_state, tx.init(variables["params"])

    params, model_state, opt_state = jax.jit(init)(init_key)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        model_state=model_state,
        opt_state=opt_state,
        key=step_key,
        apply_fn=model.apply,
        tx=tx,
    )
