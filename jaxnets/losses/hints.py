"""A student's feature maps beside a teacher's: hints, and transfer of attention maps."""

import jax
import jax.numpy as jnp

from jaxnets.ops.pooling import avg_pool
from jaxnets.ops.precision import at_least_float32


def hint_loss(regressed: jax.Array, hint: jax.Array, *, per_element: bool = False) -> jax.Array:
    """Half the squared distance of the guided layer's regression to the hint: ½ ‖u − r(v)‖².

    Args:
        regressed: r(v) (B, …), what a regressor makes of the student's guided layer.
        hint: u (B, …), the teacher's layer.
        per_element: divide by the number of elements of a map, so that the learning rate need not
            know its size; the paper does not.

    Returns:
        a scalar, the mean over the examples.

    Raises:
        ValueError: the shapes differ.

    Source: Romero et al. 2015 (FitNets: Hints for Thin Deep Nets), equation 3.

    >>> u = jnp.ones((2, 4, 4, 3))
    >>> float(hint_loss(jnp.zeros_like(u), u)), float(hint_loss(0 * u, u, per_element=True))
    (24.0, 0.5)
    """
    if regressed.shape != hint.shape:
        raise ValueError(
            f"hint: got shape {list(hint.shape)}; expected {list(regressed.shape)}, that of the "
            "regressed layer"
        )
    errors = jnp.square(at_least_float32(hint) - at_least_float32(regressed))
    return 0.5 * (errors.mean() if per_element else errors.sum() / len(errors))


def attention_map(features: jax.Array, *, power: float = 2.0) -> jax.Array:
    """Where a layer is active: Σ_c |A_c|^p at every position, scaled to length 1.

    Args:
        features: A (B, H, W, C).
        power: p > 0; larger ones look at the strongest channels alone.

    Returns:
        (B, H, W), float32 or wider; zeros where nothing is active.

    Raises:
        ValueError: no feature map, or a power that is not above 0.

    Source: Zagoruyko and Komodakis 2017 (Paying More Attention to Attention), §3.1.

    >>> attention_map(jnp.array([3.0, 4.0]).reshape(1, 1, 2, 1), power=1.0).tolist()
    [[[0.6000000238418579, 0.800000011920929]]]
    """
    if features.ndim != 4:
        raise ValueError(f"features: got shape {list(features.shape)}; expected (B, H, W, C)")
    if not power > 0:
        raise ValueError(f"power: got {power}; expected a number above 0")
    maps = (jnp.abs(at_least_float32(features)) ** power).sum(-1)
    squares = jnp.square(maps).sum((1, 2), keepdims=True)
    # The root has no derivative at 0.
    return maps / jnp.sqrt(jnp.where(squares == 0, 1.0, squares))


def attention_transfer_loss(
    features: jax.Array, teacher_features: jax.Array, *, power: float = 2.0
) -> jax.Array:
    """Squared distance of two layers' attention maps: ‖Q_S/‖Q_S‖ − Q_T/‖Q_T‖‖².

    The paper prints the distance; its authors' code, and this, take its square, whose gradient
    exists where the maps are equal. Channels need not agree. Where the teacher's map is larger, it
    is averaged down to the student's size.

    Args:
        features: the student's layer (B, H, W, C).
        teacher_features: the teacher's layer (B, m·H, n·W, C').
        power: p of `attention_map`.

    Returns:
        a scalar in [0, 2], the mean over the examples.

    Raises:
        ValueError: maps whose sizes do not divide.

    Source: Zagoruyko and Komodakis 2017, equation 2.

    >>> x = jnp.arange(1.0, 9.0).reshape(1, 2, 2, 2)
    >>> f"{float(attention_transfer_loss(x, 3 * x)):.6f}"
    '0.000000'
    """
    teacher = attention_map(shrink_map(teacher_features, features.shape[1:3]), power=power)
    return jnp.square(attention_map(features, power=power) - teacher).sum((1, 2)).mean()


def shrink_map(features: jax.Array, size: tuple[int, ...]) -> jax.Array:
    """A feature map averaged over equal windows down to a given size.

    Args:
        features: (B, m·H, n·W, C).
        size: (H, W).

    Returns:
        (B, H, W, C).

    Raises:
        ValueError: the size does not divide that of the map.

    >>> shrink_map(jnp.arange(4.0).reshape(1, 2, 2, 1), (1, 1)).item()
    1.5
    """
    own = features.shape[1:3]
    if tuple(own) == tuple(size):
        return features
    if any(a % b for a, b in zip(own, size, strict=True)):
        raise ValueError(
            f"features: got maps of {own[0]}×{own[1]}; expected {size[0]}×{size[1]} or a multiple "
            "of it"
        )
    window = (own[0] // size[0], own[1] // size[1])
    return avg_pool(features, window, strides=window)
