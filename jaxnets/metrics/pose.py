"""PCK, the percentage of correct keypoints: those within a share of the body's size."""

import jax
import jax.numpy as jnp


def keypoint_hits(
    predicted: jax.Array, keypoints: jax.Array, size: jax.Array, *, threshold: float = 0.2
) -> tuple[jax.Array, jax.Array]:
    """Which keypoints are right, and which count.

    Args:
        predicted: (…, J, 2 or more), x and y in pixels.
        keypoints: (…, J, 3), x and y in pixels, and visibility: 0 does not count.
        size: (…), of each body, in pixels, such as the `torso_size`; where it is not positive
            nothing counts.
        threshold: a distance of at most this share of ``size`` is right.

    Returns:
        two bool arrays (…, J): right, and counted.

    Raises:
        ValueError: shapes that do not fit.

    Source: Yang, Ramanan, "Articulated human detection with flexible mixtures of parts", 2013,
    section 6.1.

    >>> truth = jnp.array([[[0.0, 0.0, 1.0], [9.0, 9.0, 0.0]]])
    >>> right, counted = keypoint_hits(jnp.zeros((1, 2, 2)), truth, jnp.array([10.0]))
    >>> right.tolist(), counted.tolist()
    ([[True, False]], [[True, False]])
    """
    if keypoints.shape[-1] != 3 or keypoints.ndim < 2:
        raise ValueError(f"keypoints: got shape {keypoints.shape}; expected (…, J, 3)")
    if predicted.shape[:-1] != keypoints.shape[:-1] or predicted.shape[-1] < 2:
        raise ValueError(
            f"predicted: got shape {predicted.shape}; expected (…, J, 2) for keypoints of shape "
            f"{keypoints.shape}"
        )
    if size.shape != keypoints.shape[:-2]:
        raise ValueError(f"size: got shape {size.shape}; expected {keypoints.shape[:-2]}")
    apart = predicted[..., :2].astype(jnp.float32) - keypoints[..., :2].astype(jnp.float32)
    limit = threshold * size.astype(jnp.float32)[..., None]
    counted = (keypoints[..., 2] > 0) & (limit > 0)
    return counted & ((apart**2).sum(-1) <= limit**2), counted


def pck(
    predicted: jax.Array, keypoints: jax.Array, size: jax.Array, *, threshold: float = 0.2
) -> jax.Array:
    """Share of the visible keypoints that are right.

    Args:
        predicted: (…, J, 2 or more), x and y in pixels.
        keypoints: (…, J, 3), x and y in pixels, and visibility.
        size: (…), of each body, in pixels.
        threshold: a distance of at most this share of ``size`` is right.

    Returns:
        a float32 scalar in [0, 1], over all bodies and joints; 0 where none is visible.

    Raises:
        ValueError: shapes that do not fit.

    Source: Yang, Ramanan, "Articulated human detection with flexible mixtures of parts", 2013,
    section 6.1.

    >>> truth = jnp.array([[[0.0, 0.0, 1.0], [9.0, 9.0, 1.0]]])
    >>> float(pck(jnp.zeros((1, 2, 2)), truth, jnp.array([10.0])))
    0.5
    """
    right, counted = keypoint_hits(predicted, keypoints, size, threshold=threshold)
    count = counted.sum().astype(jnp.float32)
    return right.sum().astype(jnp.float32) / jnp.maximum(count, 1.0)


def torso_size(keypoints: jax.Array, first: int, second: int) -> jax.Array:
    """The distance of two joints, such as the right hip and the left shoulder.

    Args:
        keypoints: (…, J, 3), x and y in pixels, and visibility.
        first, second: numbers of the joints.

    Returns:
        float32 (…), in pixels; 0 where one of the two is not visible.

    Raises:
        ValueError: numbers that are no joints.

    Source: Sapp, Taskar, "MODEC: Multimodal Decomposable Models", 2013, section 5.

    >>> float(torso_size(jnp.array([[0.0, 0.0, 1.0], [3.0, 4.0, 1.0]]), 0, 1))
    5.0
    """
    joints = keypoints.shape[-2]
    for name, number in (("first", first), ("second", second)):
        if not 0 <= number < joints:
            raise ValueError(f"{name}: got {number}; expected a joint from 0 to {joints - 1}")
    a, b = keypoints[..., first, :], keypoints[..., second, :]
    squares = ((a[..., :2] - b[..., :2]).astype(jnp.float32) ** 2).sum(-1)
    visible = (a[..., 2] > 0) & (b[..., 2] > 0) & (squares > 0)
    return jnp.where(visible, jnp.sqrt(jnp.where(visible, squares, 1.0)), 0.0)
