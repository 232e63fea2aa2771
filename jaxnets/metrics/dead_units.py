"""Dead units: those that no input activates.

A ReLU that is never above zero over a whole pass of the data gets no gradient from any of it and
cannot recover. A learning rate that is too large kills units in this way.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

Alive = dict[str, jax.Array]


def alive_units(
    activations: Mapping[str, jax.Array],
    before: Mapping[str, jax.Array] | None = None,
    *,
    per_position: bool = False,
    threshold: float = 0.0,
) -> Alive:
    """Which units were above zero for some example, in this batch or in ``before``.

    Args:
        activations: name to activations (N, …, C), before or after the ReLU, such as the endpoints
            of a network.
        before: the result for the batches so far.
        per_position: every position of a feature map is a unit of its own; by default a channel is
            one unit, alive if it is above zero anywhere in the map.
        threshold: what a unit has to exceed.

    Returns:
        name to bool array: (C,), or (…, C) with ``per_position``. NaN is not above anything.

    Raises:
        ValueError: ``before`` is of other layers or shapes.

    >>> import jax.numpy as jnp
    >>> alive = alive_units({"fc1": jnp.array([[0.0, -1.0, 2.0]])})
    >>> alive_units({"fc1": jnp.array([[3.0, 0.0, 0.0]])}, alive)["fc1"].tolist()
    [True, False, True]
    """
    alive = {}
    for name, x in activations.items():
        if x.ndim < 2:
            raise ValueError(f"activations[{name!r}]: got shape {x.shape}; expected (N, …, C)")
        axes = (0,) if per_position else tuple(range(x.ndim - 1))
        alive[name] = (x > threshold).any(axes)
    if before is None:
        return alive
    shapes = {name: mask.shape for name, mask in alive.items()}
    if shapes != {name: mask.shape for name, mask in before.items()}:
        raise ValueError(
            f"before: got { ({name: mask.shape for name, mask in before.items()}) }; expected the "
            f"layers and shapes of activations, {shapes}"
        )
    return {name: before[name] | mask for name, mask in alive.items()}


def dead_ratio(alive: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    """Share of dead units in each layer, and in all of them under the name ``all``.

    Args:
        alive: layer name to a bool array, of `alive_units`.

    Returns:
        layer name to a float32 scalar in [0, 1].

    >>> import jax.numpy as jnp
    >>> ratio = dead_ratio({"fc1": jnp.array([True, False]), "fc2": jnp.array([False, False])})
    >>> {name: float(value) for name, value in ratio.items()}
    {'fc1': 0.5, 'fc2': 1.0, 'all': 0.75}
    """
    ratio = {name: (~mask).mean(dtype=jnp.float32) for name, mask in alive.items()}
    units = sum(mask.size for mask in alive.values())
    dead = sum(
        ((~mask).sum(dtype=jnp.int32) for mask in alive.values()), start=jnp.zeros((), jnp.int32)
    )
    return {**ratio, "all": dead.astype(jnp.float32) / max(units, 1)}


class DeadUnitMonitor:
    """Counts dead units over a pass of the data; for a training callback.

    Args:
        activations_of: pure function, called as ``activations_of(variables, batch)``, that returns
            activations by name, such as the endpoints of a network without its classifier. It is
            jitted here, once.
        per_position, threshold: see `alive_units`.

    >>> import jax.numpy as jnp
    >>> monitor = DeadUnitMonitor(lambda weight, batch: {"fc": jnp.maximum(batch * weight, 0)})
    >>> ratio = monitor(jnp.array([1.0, 0.0]), [jnp.ones((4, 2)), -jnp.ones((4, 2))])
    >>> ratio
    {'fc': 0.5, 'all': 0.5}
    """

    def __init__(
        self,
        activations_of: Callable[[Any, Any], Mapping[str, jax.Array]],
        *,
        per_position: bool = False,
        threshold: float = 0.0,
    ):
        def first(variables, batch):
            return alive_units(
                activations_of(variables, batch), per_position=per_position, threshold=threshold
            )

        self._alive = jax.jit(first)
        self.alive: Alive = {}

    def __call__(self, variables: Any, batches: Iterable[Any]) -> dict[str, float]:
        """Share of dead units over these batches, by layer and for ``all``; see `dead_ratio`.

        Afterwards ``self.alive`` holds the masks.

        Raises:
            ValueError: no batches.
        """
        alive = None
        for batch in batches:
            new = self._alive(variables, batch)
            alive = new if alive is None else {name: alive[name] | new[name] for name in new}
        if alive is None:
            raise ValueError("batches: expected at least one batch, got none")
        self.alive = alive
        return {name: float(value) for name, value in dead_ratio(alive).items()}
