"""Feature visualization of video networks: a clip that excites a unit, slow or fast.

Activation maximization with a penalty on the change between neighboring pixels, of other strength
in time than in space: the strength in time chooses between what a unit sees in slow and in fast
motion.

Source: Feichtenhofer, Pinz, Wildes, Zisserman, "What have we learned from deep representations for
action recognition?", 2018, section 3.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax


class ClipVisualization(NamedTuple):
    """A clip that was optimized, and how its unit rose.

    Attributes:
        clip: (T, H, W, C), values from 0 to 1.
        activations: of the unit before every step.

    >>> ClipVisualization._fields
    ('clip', 'activations')
    """

    clip: jax.Array
    activations: np.ndarray


def clip_variation(clip: jax.Array) -> dict[str, jax.Array]:
    """Mean squared change between neighbors, along time and along height and width.

    Args:
        clip: (T, H, W, C).

    Returns:
        "time" and "space", scalars; 0 for a clip of one color.

    Source: Feichtenhofer et al. 2018, equation 4, squared.

    >>> found = clip_variation(jnp.arange(3.0)[:, None, None, None] * jnp.ones((3, 4, 4, 1)))
    >>> float(found["time"]), float(found["space"])
    (1.0, 0.0)
    """

    def change(axis: int) -> jax.Array:
        difference = jnp.diff(clip, axis=axis)
        return jnp.mean(jnp.square(difference)) if difference.size else jnp.zeros((), clip.dtype)

    return {"time": change(0), "space": change(1) + change(2)}


def visualize_motion(
    key: jax.Array,
    score: Callable[[Mapping[str, Any], jax.Array], jax.Array],
    variables: Mapping[str, Any],
    shape: tuple[int, int, int, int],
    *,
    space: float = 1.0,
    time: float = 1.0,
    steps: int = 200,
    learning_rate: float = 0.05,
) -> ClipVisualization:
    """A clip that excites a unit of a video network, as smooth as is asked for.

    Maximizes score(clip) − κ · V_space(clip) − χ · V_time(clip) by Adam, from noise, with
    clip = sigmoid(z), so that values stay between 0 and 1. Great χ gives slow motion, small χ fast.

    Args:
        key: a JAX random key, of the noise.
        score: (variables, clips (1, T, H, W, C) with values from 0 to 1) → a number, such as
            ``lambda variables, x: network.apply(variables, (x - mean) / std)[0, label]``.
        variables: of the network.
        shape: (T, H, W, C) of the clip.
        space: κ, see `clip_variation`.
        time: χ.
        steps: of the optimization.
        learning_rate: of Adam.

    Returns:
        `ClipVisualization`.

    Raises:
        ValueError: a shape that is no clip's, a strength below 0, or no steps.

    >>> brighter = lambda variables, x: x.mean()
    >>> found = visualize_motion(jax.random.key(0), brighter, {}, (2, 4, 4, 1), steps=20)
    >>> found.clip.shape, bool(found.activations[-1] > found.activations[0])
    ((2, 4, 4, 1), True)
    """
    if len(shape) != 4 or min(shape) < 1:
        raise ValueError(f"shape: expected (T, H, W, C), got {shape}")
    if min(space, time) < 0 or steps < 1:
        raise ValueError(
            f"expected strengths of at least 0 and at least one step, got space={space}, "
            f"time={time}, steps={steps}"
        )
    optimizer = optax.adam(learning_rate)

    @jax.jit
    def step(z, state):
        def loss(z):
            clip = jax.nn.sigmoid(z)
            value = score(variables, clip[None])
            variation = clip_variation(clip)
            return space * variation["space"] + time * variation["time"] - value, value

        (_, value), slope = jax.value_and_grad(loss, has_aux=True)(z)
        update, state = optimizer.update(slope, state)
        return optax.apply_updates(z, update), state, value

    z = 0.1 * jax.random.normal(key, shape)
    state, values = optimizer.init(z), []
    for _ in range(steps):
        z, state, value = step(z, state)
        values.append(float(value))
    return ClipVisualization(jax.nn.sigmoid(z), np.array(values))
