"""CutMix: paste a rectangle of another image, and label by area."""

import jax
import jax.numpy as jnp

from jaxnets.augment.checks import check_range
from jaxnets.augment.neighbors import as_distributions, check_pair, previous_examples


def cutmix(
    key: jax.Array,
    images: jax.Array,
    labels: jax.Array,
    alpha: float = 1.0,
    *,
    num_classes: int | None = None,
    axis_name: str | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Replace a rectangle of every image by that of another; labels are mixed by the areas.

    The rectangle has the image's proportions and the area 1 − λ, λ ~ Beta(α, α), before it is
    clipped at the borders; its center is uniform over the image.

    Args:
      key: the step's key, the same on every device.
      images: (B, H, W, C), any dtype.
      labels: class numbers (B,), or distributions (B, K).
      alpha: α > 0; the paper's is 1.
      num_classes: K, where labels are numbers.
      axis_name: as of `mixup`.

    Returns:
      (images, labels floating (B, K)).

    Source: Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with
    Localizable Features", 2019. At a given box this is torchvision's v2.CutMix.

    >>> images, labels = jnp.zeros((4, 8, 8, 3)), jnp.array([0, 1, 2, 1])
    >>> cut, soft = cutmix(jax.random.key(0), images, labels, num_classes=3)
    >>> soft.sum(1).tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    check_range("alpha", alpha, 1e-6)
    check_pair(images, labels)
    height, width = images.shape[1:3]
    share_key, row_key, column_key = jax.random.split(key, 3)
    side = jnp.sqrt(1 - jax.random.beta(share_key, alpha, alpha))
    row = jax.random.randint(row_key, (), 0, height)
    column = jax.random.randint(column_key, (), 0, width)
    half_height = (0.5 * side * height).astype(jnp.int32)
    half_width = (0.5 * side * width).astype(jnp.int32)
    box = (row - half_height, column - half_width, row + half_height, column + half_width)
    return cutmix_at(images, labels, box, num_classes=num_classes, axis_name=axis_name)


def cutmix_at(
    images: jax.Array,
    labels: jax.Array,
    box: tuple[jax.Array, jax.Array, jax.Array, jax.Array],
    *,
    num_classes: int | None = None,
    axis_name: str | None = None,
) -> tuple[jax.Array, jax.Array]:
    """`cutmix` with the rectangle given: (top, left, bottom, right), the last two excluded.

    >>> images = jnp.array([0, 9]).reshape(2, 1, 1, 1) * jnp.ones((2, 1, 4, 1), int)
    >>> cut, soft = cutmix_at(images, jnp.array([0, 1]), (0, 3, 1, 9), num_classes=2)
    >>> cut[0].ravel().tolist(), soft[0].tolist()
    ([0, 0, 0, 9], [0.75, 0.25])
    """
    check_pair(images, labels)
    labels = as_distributions(labels, num_classes)
    height, width = images.shape[1:3]
    top, left, bottom, right = box
    rows, columns = jnp.arange(height), jnp.arange(width)
    inside = ((rows >= top) & (rows < bottom))[:, None] & ((columns >= left) & (columns < right))
    pasted = jnp.where(inside[..., None], previous_examples(images, axis_name), images)
    share = 1 - inside.mean(dtype=labels.dtype)
    return pasted, share * labels + (1 - share) * previous_examples(labels, axis_name)
