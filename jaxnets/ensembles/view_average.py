"""Prediction from several views of an image: the mean of their class probabilities."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp


def predict_with_views(
    predict: Callable[[jax.Array], jax.Array], views: jax.Array | Sequence[jax.Array]
) -> jax.Array:
    """Average class probabilities over views.

    .. math:: p(y | x) = \\frac{1}{V} \\sum_v p(y | \\text{view}_v(x))

    Args:
        predict: images (B, H, W, C) → probabilities (B, K), such as a `Classifier`.
        views: (V, B, H, W, C), which go through the network as one batch of V·B; or a list of
            batches, whose sizes may differ, as from `jaxnets.augment.views.multi_scale`.

    Returns:
        (B, K).

    Raises:
        ValueError: no views.

    >>> from jaxnets.augment.views import flip_views
    >>> images = jnp.array([0.2, 0.6]).reshape(1, 1, 2, 1)
    >>> left = lambda images: jnp.stack([images[:, 0, 0, 0], 1 - images[:, 0, 0, 0]], -1)
    >>> print(predict_with_views(left, flip_views(images)))
    [[0.4 0.6]]
    """
    if len(views) == 0:
        raise ValueError("views: got none; expected at least one")
    if isinstance(views, list | tuple):
        return sum(predict(view) for view in views) / len(views)
    number, size = views.shape[:2]
    probabilities = predict(views.reshape(number * size, *views.shape[2:]))
    return probabilities.reshape(number, size, -1).mean(0)


def apply_to_views(
    apply_fn: Callable[..., jax.Array], make_views: Callable[[jax.Array], Any]
) -> Callable[..., jax.Array]:
    """A network that looks at several views: to be measured wherever the network itself can be.

    Args:
        apply_fn: (variables, images, **options) → logits (B, K).
        make_views: images → views, as `predict_with_views` takes them.

    Returns:
        A function like ``apply_fn`` whose logits are the logarithms of the mean probabilities.

    >>> from jaxnets.augment.views import flip_views
    >>> apply = apply_to_views(lambda variables, x: x.reshape(len(x), -1), flip_views)
    >>> print(jnp.exp(apply({}, jnp.array([1.0, 3.0]).reshape(1, 1, 2, 1))).round(4))
    [[0.5 0.5]]
    """

    def apply(variables: Any, images: jax.Array, **options: Any) -> jax.Array:
        def predict(view):
            return jax.nn.softmax(apply_fn(variables, view, **options).astype(jnp.float32))

        mean = predict_with_views(predict, make_views(images))
        # A probability may be too small for a float32; its logarithm must stay a number.
        return jnp.log(jnp.maximum(mean, jnp.finfo(jnp.float32).tiny))

    return apply
