"""A lower rate when a metric has stopped improving."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxnets.optim.trees import check_count, check_number


class PlateauState(NamedTuple):
    """State of `Plateau`; all are scalars.

    Attributes:
        rate: the learning rate now.
        best: the best value observed so far.
        bad: observations since then without improvement, int32.
        cooldown: observations still to be left uncounted after a drop, int32.
    """

    rate: jax.Array
    best: jax.Array
    bad: jax.Array
    cooldown: jax.Array


class Plateau(optax.schedules.StatefulSchedule):
    """η ← max(γη, η_min) after more than `patience` observations without improvement.

    The rule of ``torch.optim.lr_scheduler.ReduceLROnPlateau``, as an optax stateful schedule: give
    it to any optimizer as its learning rate. "Divide by ten when the validation error stalls" is
    how AlexNet and ResNet were trained.

    The metric comes in either of two ways. After an evaluation, outside the step::

        opt_state = schedule.observe(opt_state, validation_error)

    or, with ``every_update``, inside it: ``update(grads, state, params, value=loss)``. Otherwise an
    update leaves the schedule alone, also where the training step gives every optimizer its loss.

    Args:
        init_value: η at the start.
        factor: γ.
        patience: observations without improvement that are forgiven.
        threshold: how much better counts as better, 1e-4.
        threshold_mode: "rel" of the best or "abs".
        mode: "min" when lower is better, "max" when higher is.
        cooldown: observations after a drop during which nothing is counted.
        end_value: η_min.
        eps: a drop by less than this is not made.
        every_update: the ``value`` of each of the optimizer's updates is an observation.

    Raises:
        ValueError: a number out of range, or an unknown mode.

    >>> schedule = Plateau(1.0, patience=1)
    >>> state = schedule.init()
    >>> for error in (0.5, 0.5, 0.5):
    ...     state = schedule.update(state, value=error)
    >>> round(float(schedule(state)), 4)
    0.1
    """

    def __init__(
        self,
        init_value: float,
        factor: float = 0.1,
        patience: int = 10,
        *,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        mode: str = "min",
        cooldown: int = 0,
        end_value: float = 0.0,
        eps: float = 1e-8,
        every_update: bool = False,
    ):
        check_number("init_value", init_value, low=0)
        check_number("factor", factor, low=0, below=1)
        check_count("patience", patience)
        check_number("threshold", threshold, low=0)
        check_count("cooldown", cooldown)
        check_number("end_value", end_value, low=0)
        check_number("eps", eps, low=0)
        if mode not in ("min", "max"):
            raise ValueError(f"mode must be 'min' or 'max', got {mode!r}")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"threshold_mode must be 'rel' or 'abs', got {threshold_mode!r}")
        self.init_value, self.factor, self.patience = init_value, factor, patience
        self.threshold, self.threshold_mode, self.mode = threshold, threshold_mode, mode
        self.cooldown, self.end_value, self.eps = cooldown, end_value, eps
        self.every_update = every_update

    def init(self) -> PlateauState:
        """The state before any observation."""
        dtype = jnp.result_type(float)
        worst = jnp.inf if self.mode == "min" else -jnp.inf
        none = jnp.zeros([], jnp.int32)
        return PlateauState(
            jnp.asarray(self.init_value, dtype), jnp.asarray(worst, dtype), none, none
        )

    def __call__(self, state: PlateauState, **extra: Any) -> jax.Array:
        """The rate."""
        del extra
        return state.rate

    def _better(self, value: jax.Array, best: jax.Array) -> jax.Array:
        sign = 1 if self.mode == "max" else -1
        if self.threshold_mode == "abs":
            return sign * (value - best) > self.threshold
        return sign * (value - best * (1 + sign * self.threshold)) > 0

    def update(self, state: PlateauState, *, value: Any = None, **extra: Any) -> PlateauState:
        """Take in one observation; without a value, none."""
        del extra
        if value is None:
            return state
        value = jnp.asarray(value, state.best.dtype)
        if value.ndim != 0:
            raise ValueError(f"value must be one number, got an array of shape {value.shape}")
        better = self._better(value, state.best)
        cooling = state.cooldown > 0
        bad = jnp.where(better | cooling, 0, state.bad + 1)
        cooldown = jnp.maximum(state.cooldown - 1, 0)
        drop = bad > self.patience
        lower = jnp.maximum(state.rate * self.factor, self.end_value)
        worth = drop & (state.rate - lower > self.eps)
        return PlateauState(
            rate=jnp.where(worth, lower, state.rate),
            best=jnp.where(better, value, state.best),
            bad=jnp.where(drop, 0, bad).astype(jnp.int32),
            cooldown=jnp.where(drop, self.cooldown, cooldown).astype(jnp.int32),
        )

    def observe(self, opt_state: Any, value: Any) -> Any:
        """The optimizer's state after this schedule, inside it, has taken in one observation.

        Args:
            opt_state: state of an optimizer whose learning rate is this schedule.
            value: the metric; for a replicated state (`pmap`), vmap this method over it.

        Raises:
            ValueError: when the state holds no plateau schedule.
        """

        def is_plateau(node):
            return isinstance(node, PlateauState)

        leaves, structure = jax.tree.flatten(opt_state, is_leaf=is_plateau)
        if not any(map(is_plateau, leaves)):
            raise ValueError(
                "opt_state holds no plateau schedule; build the optimizer with "
                "learning_rate=Plateau(...)"
            )
        new = [self.update(leaf, value=value) if is_plateau(leaf) else leaf for leaf in leaves]
        return jax.tree.unflatten(structure, new)
