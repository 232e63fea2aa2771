"""One training step and one evaluation step: pure functions of (state, batch)."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.losses import cross_entropy
from jaxnets.optim import global_norm
from jaxnets.train.state import TrainState

Batch = dict[str, jax.Array]
Metrics = dict[str, jax.Array]


def identity(images: jax.Array) -> jax.Array:
    """The preprocessing of images that are ready for the network."""
    return images


def train_step(
    state: TrainState,
    batch: Batch,
    *,
    axis_name: str | None = None,
    loss_fn: Callable[[jax.Array, jax.Array], jax.Array] = cross_entropy,
    augment: Callable[[jax.Array, jax.Array, jax.Array], jax.Array] | None = None,
    mix: Callable[..., tuple[jax.Array, jax.Array]] | None = None,
    preprocess: Callable[[jax.Array], jax.Array] = identity,
    microbatches: int = 1,
) -> tuple[TrainState, Metrics]:
    """One update of the parameters: g = ∇ mean loss over the whole batch, then the optimizer.

    Under `pmap` or `shard_map` the batch is this device's share and ``axis_name`` names the axis
    over which gradients, metrics and running statistics are averaged; under plain `jit` (one
    device, or a batch sharded over a mesh) it is None and every mean is global by itself.

    Args:
        state: the `TrainState`.
        batch: ``{"image": (B, H, W, C), "label": (B,)}``.
        axis_name: the mapped axis, or None.
        loss_fn: (logits (B, K), labels (B,)) → scalar mean loss.
        augment: (key, images, example_ids) → images, with one id per example that does not depend
            on how many devices share the batch; None for no augmentation.
        mix: (key, images, labels, axis_name=…) → (images, labels), after ``augment``: what combines
            examples and makes distributions (B, K) of their labels, such as
            ``partial(mixup, alpha=1.0, num_classes=K)``. The key is the same on every device.
        preprocess: images as stored → images as the network wants them.
        microbatches: the batch is worked through in this many equal parts whose gradients are
            averaged (gradient accumulation), so that memory holds one part's activations. Batch
            normalization then sees each part alone.

    Returns:
        (new state, ``{"loss", "accuracy", "gradient_norm"}`` as float32 scalars over the whole
        batch of all devices). Where labels are distributions, accuracy is against the class of the
        largest share.

    Raises:
        ValueError: the batch does not divide into ``microbatches`` equal parts.

    Randomness comes from ``fold_in(state.key, state.step)``. Augmentation depends on the example
    only; dropout masks are drawn per device under `pmap` (and for the batch as a whole under
    `jit`), so that with dropout 8 devices and 1 device draw different masks.
    """
    size = batch["label"].shape[0]
    if size % microbatches:
        raise ValueError(
            f"microbatches={microbatches} does not divide this device's batch of {size} examples"
        )
    augment_key, dropout_key = jax.random.split(jax.random.fold_in(state.key, state.step))
    first = 0
    if axis_name is not None:
        shard = lax.axis_index(axis_name)
        first = shard * size
        dropout_key = jax.random.fold_in(dropout_key, shard)
    images, labels = batch["image"], batch["label"]
    if mix is not None:
        augment_key, mix_key = jax.random.split(augment_key)
    if augment is not None:
        images = augment(augment_key, images, first + jnp.arange(size))
    if mix is not None:
        images, labels = mix(mix_key, images, labels, axis_name=axis_name)

    def loss_and_outputs(params, model_state, images, labels, key):
        logits, new_model_state = state.apply_fn(
            {"params": params, **model_state},
            preprocess(images),
            train=True,
            mutable=list(model_state),
            rngs={"dropout": key},
        )
        classes = labels if labels.ndim == 1 else jnp.argmax(labels, -1)
        hits = (jnp.argmax(logits, -1) == classes).mean(dtype=jnp.float32)
        return loss_fn(logits, labels), (new_model_state, hits)

    def gradients_of(model_state, images, labels, key):
        (loss, (model_state, hits)), gradients = jax.value_and_grad(loss_and_outputs, has_aux=True)(
            state.params, model_state, images, labels, key
        )
        return gradients, model_state, {"loss": loss, "accuracy": hits}

    if microbatches == 1:
        gradients, model_state, metrics = gradients_of(
            state.model_state, images, labels, dropout_key
        )
    else:
        gradients, model_state, metrics = _accumulate(
            gradients_of, state, images, labels, dropout_key, microbatches
        )
    if axis_name is not None:
        gradients, metrics = lax.pmean((gradients, metrics), axis_name)
        # Synchronized statistics are equal on all devices already; others are averaged, so that
        # the replicas of the state never drift apart.
        model_state = lax.pmean(model_state, axis_name)
    metrics["gradient_norm"] = global_norm(gradients)
    return state.apply_gradients(gradients, model_state), metrics


def _accumulate(gradients_of, state, images, labels, key, parts):
    """Average gradients and metrics over equal parts, one after the other."""

    def split(array):
        # Part p takes every parts-th example: each device of a sharded batch then keeps its own.
        return jnp.moveaxis(array.reshape(-1, parts, *array.shape[1:]), 1, 0)

    def body(carry, inputs):
        total, model_state = carry
        part_images, part_labels, index = inputs
        gradients, model_state, metrics = gradients_of(
            model_state, part_images, part_labels, jax.random.fold_in(key, index)
        )
        total = jax.tree.map(lambda t, g: t + g / parts, total, (gradients, metrics))
        return (total, model_state), None

    zeros = {"loss": jnp.zeros(()), "accuracy": jnp.zeros(())}
    start = (jax.tree.map(jnp.zeros_like, state.params), zeros)
    (total, model_state), _ = lax.scan(
        body,
        (start, state.model_state),
        (split(images), split(labels), jnp.arange(parts)),
    )
    gradients, metrics = total
    return gradients, model_state, metrics


def eval_step(
    variables: dict[str, Any],
    batch: Batch,
    *,
    apply_fn: Callable,
    num_classes: int,
    axis_name: str | None = None,
    preprocess: Callable[[jax.Array], jax.Array] = identity,
) -> dict[str, jax.Array]:
    """Sums over one batch, from which exact means over a whole data set are made.

    Args:
        variables: ``{"params": …, "batch_stats": …}``.
        batch: ``{"image", "label", "mask"}``; examples with mask 0 are padding and do not count.
        apply_fn: the network's ``apply``.
        num_classes: K.
        axis_name: the mapped axis, or None.
        preprocess: as in `train_step`.

    Returns:
        ``{"count": (), "loss": () sum of cross-entropies, "confusion": (K, K) int32 counts, row =
        true class, column = predicted class}``, summed over all devices.
    """
    logits = apply_fn(variables, preprocess(batch["image"]), train=False)
    log_probabilities = jax.nn.log_softmax(logits.astype(jnp.float32))
    labels, mask = batch["label"], batch["mask"]
    losses = -jnp.take_along_axis(log_probabilities, labels[:, None], axis=-1)[:, 0]
    cells = labels * num_classes + jnp.argmax(logits, -1)
    confusion = jnp.zeros(num_classes**2, jnp.int32).at[cells].add(mask.astype(jnp.int32))
    sums = {
        "count": mask.sum(),
        "loss": jnp.where(mask > 0, losses, 0).sum(),
        "confusion": confusion.reshape(num_classes, num_classes),
    }
    return sums if axis_name is None else lax.psum(sums, axis_name)
