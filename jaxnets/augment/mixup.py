"""Mixup: train on weighted means of two images and of their labels."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from jaxnets.augment.checks import check_gray_levels, check_range
from jaxnets.augment.neighbors import (
    as_distributions,
    check_classified,
    check_pair,
    previous_examples,
)


def mixup(
    key: jax.Array,
    batch: Mapping[str, jax.Array],
    example_ids: jax.Array | None = None,
    *,
    alpha: float,
    num_classes: int | None = None,
    axis_name: str | None = None,
) -> dict[str, jax.Array]:
    """Mix every image and label with those of another example: λ·own + (1 − λ)·other.

    .. math:: λ ∼ Beta(α, α), \\quad x̃ = λx_a + (1−λ)x_b, \\quad ỹ = λy_a + (1−λ)y_b

    One λ for the batch, as in the published program; the other example is the one before in the
    batch. E[λ] = ½, Var[λ] = 1/(4(2α + 1)). The cross entropy with ỹ is λ times that with y_a plus
    1 − λ times that with y_b. A function to prepare batches with, like those of `per_example`.

    Args:
        key: the step's key, the same on every device.
        batch: ``image (B, H, W, C)``, uint8 or floating, and ``label``, class numbers (B,) or
            distributions (B, K).
        example_ids: not used; the partner is the neighbor in the batch.
        alpha: α > 0: 0.2 on ImageNet, 1 on CIFAR-10.
        num_classes: K, where labels are numbers.
        axis_name: under ``pmap`` and ``shard_map`` the mapped axis: the result is then the same for
            any number of devices.

    Returns:
        The batch with ``image`` floating, on the scale that it came in, and ``label`` floating
        (B, K); other entries stay.

    Raises:
        ValueError: shapes, dtypes, or an α that is not positive; a batch with boxes, masks or
            keypoints, which have no weighted mean.

    Source: Zhang, Cissé, Dauphin, Lopez-Paz, "mixup: Beyond Empirical Risk Minimization", 2018.
    At a given λ this is torchvision's v2.MixUp.

    >>> batch = {"image": jnp.zeros((4, 8, 8, 3)), "label": jnp.array([0, 1, 2, 1])}
    >>> mixed = mixup(jax.random.key(0), batch, alpha=1.0, num_classes=3)
    >>> mixed["image"].shape, mixed["label"].sum(1).tolist()
    ((4, 8, 8, 3), [1.0, 1.0, 1.0, 1.0])
    """
    check_range("alpha", alpha, 1e-6)
    check_classified("mixup", batch)
    share = jax.random.beta(key, alpha, alpha)
    images, labels = mixup_at(
        batch["image"], batch["label"], share, num_classes=num_classes, axis_name=axis_name
    )
    return {**batch, "image": images, "label": labels}


def mixup_at(
    images: jax.Array,
    labels: jax.Array,
    share: jax.Array,
    *,
    num_classes: int | None = None,
    axis_name: str | None = None,
) -> tuple[jax.Array, jax.Array]:
    """`mixup` with λ = ``share`` given.

    Args:
        images: (B, H, W, C), uint8 or floating.
        labels: class numbers (B,), or distributions (B, K).
        share: λ in [0, 1], a scalar.
        num_classes: K, where labels are numbers.
        axis_name: as of `mixup`.

    Returns:
        (images, labels floating (B, K)).

    >>> images = jnp.array([0.0, 8.0]).reshape(2, 1, 1, 1)
    >>> mixed, soft = mixup_at(images, jnp.array([0, 1]), 0.75, num_classes=2)
    >>> mixed.ravel().tolist(), soft.tolist()
    ([2.0, 6.0], [[0.75, 0.25], [0.25, 0.75]])
    """
    images = jnp.asarray(images)
    check_pair(images, labels)
    check_gray_levels(images)
    check_range("share", share, 0, 1)
    if images.dtype == jnp.uint8:
        images = images.astype(jnp.float32)
    labels = as_distributions(labels, num_classes)

    def mix(batch):
        other = previous_examples(batch, axis_name)
        weight = jnp.asarray(share, batch.dtype)
        return weight * batch + (1 - weight) * other

    return mix(images), mix(labels)
