"""Stop when the validation metric no longer improves, and go back to the best parameters."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.optim.trees import check_count, check_number
from jaxnets.train.arrays import named_leaves, require_same_arrays
from jaxnets.train.state import TrainState


class StopState(NamedTuple):
    """A pytree of arrays, so that a run that is resumed stops where it would have stopped.

    Attributes:
        best_value: the best metric so far.
        best_step: when that was; −1 before the first observation.
        waited: observations since.
        stop: whether the rule has fired.
        best: what was handed over with the best value.
    """

    best_value: jax.Array
    best_step: jax.Array
    waited: jax.Array
    stop: jax.Array
    best: Any


class EarlyStopping:
    """Stop at the ``patience``-th observation in a row that is no improvement.

    An observation v improves on the best b when v < b − δ ("min") or v > b + δ ("max"); NaN never
    does. The metric should be of a validation set: chosen on the test set, the test error of the
    best parameters is too low.

    Args:
        patience: observations without improvement, at least 1.
        min_delta: δ ≥ 0.
        mode: "min" where lower is better (a loss), "max" where higher is better.

    Raises:
        ValueError: values out of range.

    >>> rule = EarlyStopping(patience=2)
    >>> state = rule.init({"w": jnp.zeros(1)})
    >>> for step, loss in enumerate([0.9, 0.5, 0.6, 0.7]):
    ...     state = rule.update(state, loss, {"w": jnp.full(1, float(step))}, step)
    >>> bool(state.stop), int(state.best_step), state.best["w"].item()
    (True, 1, 1.0)
    """

    def __init__(self, patience: int, min_delta: float = 0.0, *, mode: str = "min"):
        check_count("patience", patience, low=1)
        check_number("min_delta", min_delta, low=0)
        if mode not in ("min", "max"):
            raise ValueError(f"mode must be 'min' or 'max', got {mode!r}")
        self.patience, self.min_delta, self.mode = patience, min_delta, mode

    def init(self, tree: Any) -> StopState:
        """The state before any observation; ``tree`` has the shapes of what will be kept."""
        worst = jnp.inf if self.mode == "min" else -jnp.inf
        return StopState(
            jnp.asarray(worst, jnp.result_type(float)),
            jnp.asarray(-1, jnp.int32),
            jnp.asarray(0, jnp.int32),
            jnp.asarray(False),
            tree,
        )

    def improves(self, value: Any, best: Any) -> jax.Array:
        """Whether ``value`` is better than ``best`` by more than ``min_delta``."""
        sign = -1 if self.mode == "min" else 1
        return sign * (jnp.asarray(value) - best) > self.min_delta

    def update(self, state: StopState, value: Any, tree: Any, step: Any) -> StopState:
        """Take in one observation. Pure; after the rule has fired nothing changes any more.

        Args:
            state: from `init` or `update`.
            value: the metric, one number.
            tree: the parameters (or whole variables) that it was measured with.
            step: when.
        """
        value = jnp.asarray(value, state.best_value.dtype)
        if value.ndim:
            raise ValueError(f"value must be one number, got an array of shape {value.shape}")
        first = state.best_step < 0
        better = (self.improves(value, state.best_value) | first) & ~jnp.isnan(value)
        better &= ~state.stop
        waited = jnp.where(better, 0, state.waited + ~state.stop).astype(jnp.int32)
        return StopState(
            jnp.where(better, value, state.best_value),
            jnp.where(better, jnp.asarray(step, jnp.int32), state.best_step),
            waited,
            state.stop | (waited >= self.patience),
            jax.tree.map(lambda new, old: jnp.where(better, new, old), tree, state.best),
        )


class EarlyStoppingHook:
    """`EarlyStopping` as `run_loop` wants it: ``after_evaluation`` and ``stop_requested``.

    Args:
        rule: the `EarlyStopping`.
        variables: of the run at its start, for the shapes.
        metric: which of the evaluation's numbers counts.
        fetch: brings a tree from the devices to the host (`DataParallel.fetch`).

    ``state.best`` are the variables of the best step, bit for bit. ``arrays()`` goes into a
    checkpoint beside the training state's, ``restore`` takes it back.

    Example: parameters that get closer to 0, then overshoot; the loss is their size.

        >>> import optax
        >>> from jaxnets.train import run_loop
        >>> tx, params = optax.sgd(1.0), {"w": jnp.float32(2.5)}
        >>> state = TrainState(jnp.int32(0), params, {}, tx.init(params), jax.random.key(0), tx=tx)
        >>> def step(state, batch):
        ...     return state.apply_gradients({"w": batch}), {"loss": abs(state.params["w"])}
        >>> hook = EarlyStoppingHook(EarlyStopping(patience=2), state.variables)
        >>> result = run_loop(
        ...     state,
        ...     step,
        ...     iter(jnp.ones(9)),
        ...     first_step=0,
        ...     last_step=9,
        ...     examples_per_step=1,
        ...     evaluate=lambda state: {"loss": float(abs(state.params["w"]))},
        ...     evaluate_every=1,
        ...     after_evaluation=hook.after_evaluation,
        ...     stop_requested=hook.stop_requested,
        ... )
        >>> result.step, int(hook.state.best_step), float(hook.state.best["params"]["w"])
        (4, 2, 0.5)
    """

    def __init__(
        self,
        rule: EarlyStopping,
        variables: Any,
        *,
        metric: str = "loss",
        fetch: Callable[[Any], Any] = jax.device_get,
    ):
        self.rule, self.metric, self._fetch = rule, metric, fetch
        self.state = rule.init(_copy(variables))

    def after_evaluation(self, state: TrainState, measured: dict[str, float]) -> TrainState:
        """Observe; the training state goes on unchanged."""
        if self.metric not in measured:
            raise ValueError(f"metric {self.metric!r} is not measured; there are {list(measured)}")
        host = self._fetch((state.variables, state.step))
        variables, step = _copy(host)
        self.state = self.rule.update(self.state, measured[self.metric], variables, step)
        return state

    @property
    def observed(self) -> bool:
        """Whether there is a best metric yet."""
        return int(self.state.best_step) >= 0

    @property
    def fired(self) -> bool:
        """Whether the rule has fired."""
        return bool(self.state.stop)

    def stop_requested(self, step: int) -> bool:
        """Whether the rule has fired."""
        del step
        return bool(self.state.stop)

    def arrays(self) -> dict[str, np.ndarray]:
        """The rule's state as named NumPy arrays."""
        return {path: np.asarray(leaf) for path, leaf in named_leaves(self.state).items()}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Go on from what `arrays` gave.

        Raises:
            JaxnetsError: the arrays are of another network.
        """
        wanted = named_leaves(self.state)
        require_same_arrays(wanted, arrays)
        leaves = [jnp.asarray(arrays[path]) for path in wanted]
        self.state = jax.tree.unflatten(jax.tree.structure(self.state), leaves)


def _copy(tree: Any) -> Any:
    # The next step may take over the memory of what is on the devices now.
    return jax.tree.map(lambda x: np.array(x, copy=True), tree)
