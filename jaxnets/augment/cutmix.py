"""CutMix: paste a rectangle of another image, and label by area."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from jaxnets.augment.checks import check_range
from jaxnets.augment.neighbors import (
    as_distributions,
    check_classified,
    check_pair,
    previous_examples,
)


def cutmix(
    key: jax.Array,
    batch: Mapping[str, jax.Array],
    example_ids: jax.Array | None = None,
    *,
    alpha: float = 1.0,
    num_classes: int | None = None,
    axis_name: str | None = None,
) -> dict[str, jax.Array]:
    """Replace a rectangle of every image by that of another; labels are mixed by the areas.

    The rectangle has the image's proportions and the area 1 − λ, λ ~ Beta(α, α), before it is
    clipped at the borders; its center is uniform over the image. One rectangle for the batch; the
    other example is the one before in the batch. A function to prepare batches with, like those of
    `per_example`.

    Args:
        key: the step's key, the same on every device.
        batch: ``image (B, H, W, C)``, any dtype, and ``label``, class numbers (B,) or
            distributions (B, K).
        example_ids: not used; the partner is the neighbor in the batch.
        alpha: α > 0; the paper's is 1.
        num_classes: K, where labels are numbers.
        axis_name: as of `mixup`.

    Returns:
        The batch with ``image`` and with ``label`` floating (B, K); other entries stay.

    Raises:
        ValueError: shapes, dtypes, or an α that is not positive; a batch with boxes, masks or
            keypoints.

    Source: Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with
    Localizable Features", 2019. At a given box this is torchvision's v2.CutMix.

    >>> batch = {"image": jnp.zeros((4, 8, 8, 3)), "label": jnp.array([0, 1, 2, 1])}
    >>> cutmix(jax.random.key(0), batch, num_classes=3)["label"].sum(1).tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    check_range("alpha", alpha, 1e-6)
    check_classified("cutmix", batch)
    images, labels = batch["image"], batch["label"]
    check_pair(images, labels)
    height, width = images.shape[1:3]
    share_key, row_key, column_key = jax.random.split(key, 3)
    side = jnp.sqrt(1 - jax.random.beta(share_key, alpha, alpha))
    row = jax.random.randint(row_key, (), 0, height)
    column = jax.random.randint(column_key, (), 0, width)
    half_height = (0.5 * side * height).astype(jnp.int32)
    half_width = (0.5 * side * width).astype(jnp.int32)
    box = (row - half_height, column - half_width, row + half_height, column + half_width)
    images, labels = cutmix_at(images, labels, box, num_classes=num_classes, axis_name=axis_name)
    return {**batch, "image": images, "label": labels}


def cutmix_at(
    images: jax.Array,
    labels: jax.Array,
    box: tuple[jax.Array, jax.Array, jax.Array, jax.Array],
    *,
    num_classes: int | None = None,
    axis_name: str | None = None,
) -> tuple[jax.Array, jax.Array]:
    """`cutmix` with the rectangle given.

    Args:
        images: (B, H, W, C), any dtype.
        labels: class numbers (B,), or distributions (B, K).
        box: (top, left, bottom, right) in pixels, the last two excluded; what lies outside the
            image is clipped.
        num_classes: K, where labels are numbers.
        axis_name: as of `mixup`.

    Returns:
        (images, labels floating (B, K)).

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
    inside_y, inside_x = (rows >= top) & (rows < bottom), (columns >= left) & (columns < right)
    inside = inside_y[:, None] & inside_x[None, :]
    everywhere = jnp.broadcast_to(inside[None, ..., None], images.shape)
    pasted = jnp.where(everywhere, previous_examples(images, axis_name), images)
    share = 1 - inside.mean(dtype=labels.dtype)
    return pasted, share * labels + (1 - share) * previous_examples(labels, axis_name)
