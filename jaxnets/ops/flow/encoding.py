"""Flow as something else: bytes for a network, colors for an eye, one number for a comparison."""

import jax
import jax.numpy as jnp


def endpoint_error(flow: jax.Array, truth: jax.Array) -> jax.Array:
    """‖w − w*‖₂ of each pixel.

    Args:
        flow: (…, 2).
        truth: the same shape, or one displacement (2,) for all.

    Returns:
        (…), pixels.

    Source: Baker et al. 2011 (A Database and Evaluation Methodology for Optical Flow), section 4.1.

    >>> endpoint_error(jnp.array([3.0, 4.0]), jnp.zeros(2)).item()
    5.0
    """
    return jnp.sqrt(((flow - jnp.broadcast_to(truth, flow.shape)) ** 2).sum(-1))


def subtract_mean_flow(flow: jax.Array) -> jax.Array:
    """Flow without that of the camera: the mean over each field is taken off.

    Args:
        flow: (…, H, W, 2).

    Returns:
        like ``flow``, each field with mean 0.

    Source: Simonyan & Zisserman 2014 (Two-Stream Convolutional Networks), section 3.1.

    >>> float(abs(subtract_mean_flow(jnp.ones((4, 4, 2)))).max())
    0.0
    """
    return flow - flow.mean((-3, -2), keepdims=True)


def quantize_flow(flow: jax.Array, *, bound: float = 20.0) -> jax.Array:
    """Flow as bytes: −bound … bound become 0 … 255, 0 becomes 128.

    Args:
        flow: pixels.
        bound: larger displacements are cut.

    Returns:
        uint8 of the same shape.

    Raises:
        ValueError: ``bound`` is not positive.

    Source: Simonyan & Zisserman 2014, section 5 (flow stored as JPEG); ±20: Carreira & Zisserman
    2017, section 2.5.

    >>> quantize_flow(jnp.array([-30.0, 0.0, 20.0])).tolist()
    [0, 128, 255]
    """
    _check(bound)
    return jnp.clip(jnp.round((flow + bound) * 255 / (2 * bound)), 0, 255).astype(jnp.uint8)


def unquantize_flow(stored: jax.Array, *, bound: float = 20.0) -> jax.Array:
    """The inverse of `quantize_flow`, to half a step.

    Args:
        stored: uint8.
        bound: as when it was stored.

    Returns:
        float32 pixels.

    Raises:
        ValueError: ``bound`` is not positive.

    >>> abs(float(unquantize_flow(quantize_flow(jnp.array(3.0)))) - 3.0) < 20 / 255
    True
    """
    _check(bound)
    return stored.astype(jnp.float32) * (2 * bound / 255) - bound


def flow_to_color(flow: jax.Array, *, largest: float | jax.Array | None = None) -> jax.Array:
    """Flow as a picture: the direction is the hue (right red), the speed the saturation.

    Args:
        flow: (…, H, W, 2).
        largest: the speed of full color; None: the largest of all.

    Returns:
        (…, H, W, 3) uint8; what does not move is white.

    Source: Baker et al. 2011, figure 1, with the hues of HSV.

    >>> flow_to_color(jnp.array([[[0.0, 0.0], [1.0, 0.0]]]))[0].tolist()
    [[255, 255, 255], [255, 0, 0]]
    """
    speed = jnp.sqrt((flow**2).sum(-1))
    largest = speed.max() if largest is None else largest
    saturation = jnp.clip(speed / jnp.maximum(largest, 1e-9), 0, 1)
    hue = jnp.mod(jnp.arctan2(flow[..., 1], flow[..., 0]) / (2 * jnp.pi), 1.0) * 6
    # HSV with value 1: each channel falls from 1 by the saturation where its hue is far.
    far = jnp.stack(
        [jnp.abs(jnp.mod(hue + offset, 6.0) - 3.0) - 1.0 for offset in (0.0, 4.0, 2.0)], -1
    )
    color = 1 - saturation[..., None] * (1 - jnp.clip(far, 0, 1))
    return jnp.round(255 * color).astype(jnp.uint8)


def _check(bound: float) -> None:
    if not bound > 0:
        raise ValueError(f"bound: got {bound}; expected a positive number of pixels")
