"""Step 2: can the network overfit a few images? If not, something is broken."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from jaxnets.errors import JaxnetsError
from jaxnets.losses import cross_entropy
from jaxnets.ops.activations import identity
from jaxnets.train.arrays import named_leaves
from jaxnets.tune.training_loss import training_logits


class Overfit(NamedTuple):
    """What `overfit_small_set` found.

    Attributes:
        ok: every image is classified as its label says.
        steps: updates made.
        accuracy: of the last evaluation, in evaluation mode.
        losses: (steps,) training losses.
        findings: sentences; what is broken when ``ok`` is False.

    >>> Overfit(True, 10, 1.0, np.ones(10), ("all right",)).ok
    True
    """

    ok: bool
    steps: int
    accuracy: float
    losses: np.ndarray
    findings: tuple[str, ...]


def overfit_small_set(
    model: nn.Module,
    images: Any,
    labels: Any,
    *,
    steps: int = 300,
    optimizer: optax.GradientTransformation | None = None,
    preprocess: Callable[[jax.Array], jax.Array] = identity,
    loss_fn: Callable[[jax.Array, jax.Array], jax.Array] = cross_entropy,
    key: jax.Array | None = None,
    check_every: int = 10,
) -> Overfit:
    """Train on all of ``images`` at every step until each is right, or say what prevents it.

    No augmentation, no regularization: a network with more parameters than images must come to
    100 % training accuracy.

    Args:
        model: a network.
        images: (N, H, W, C) as stored, 20 to 100 of them.
        labels: (N,) class numbers, of at least two classes.
        steps: the budget.
        optimizer: default: Adam with rate 2e-3, gradients clipped to norm 1.
        preprocess: images as stored → images as the network wants them.
        loss_fn: (logits, labels) → mean loss.
        key: draws the parameters and dropout.
        check_every: evaluate every so many steps.

    Returns:
        The `Overfit`.

    Raises:
        JaxnetsError: fewer than two images or classes, or a budget below 1.

    >>> import jaxnets
    >>> digits = jaxnets.data.load_dataset("digits").train
    >>> model = jaxnets.create_model("mlp", num_classes=10)
    >>> found = overfit_small_set(
    ...     model, digits.images[:20], digits.labels[:20], preprocess=lambda x: x / 128 - 1)
    >>> found.ok
    True
    """
    images, labels = np.asarray(images), np.asarray(labels)
    if steps < 1:
        raise JaxnetsError(f"steps must be 1 or more, got {steps}")
    if len(images) != len(labels) or len(np.unique(labels)) < 2:
        raise JaxnetsError(
            f"got {len(images)} images with {len(labels)} labels of {len(np.unique(labels))} "
            "classes; expected as many labels as images, of two classes or more"
        )
    if optimizer is None:
        optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(2e-3))
    key = jax.random.key(0) if key is None else key
    init_key, dropout_key, step_key = jax.random.split(key, 3)
    variables = jax.jit(
        lambda: model.init(
            {"params": init_key, "dropout": dropout_key}, preprocess(jnp.asarray(images[:1]))
        )
    )()

    # The images are arguments: as constants, XLA would fold what it can of them as it compiles.
    @jax.jit
    def step(variables, state, index, images, labels):
        def loss_of(params):
            others = {k: v for k, v in variables.items() if k != "params"}
            logits, changed = model.apply(
                {"params": params, **others},
                preprocess(images),
                train=True,
                mutable=list(others),
                rngs={"dropout": jax.random.fold_in(step_key, index)},
            )
            return loss_fn(logits, labels), changed

        (loss, changed), grads = jax.value_and_grad(loss_of, has_aux=True)(variables["params"])
        change, state = optimizer.update(grads, state, variables["params"])
        return {"params": optax.apply_updates(variables["params"], change), **changed}, state, loss

    evaluate_on = jax.jit(lambda variables, x: model.apply(variables, preprocess(x), train=False))

    def evaluate(variables):
        return evaluate_on(variables, images)

    start, state = variables, optimizer.init(variables["params"])
    losses: list[float] = []
    accuracy = 0.0
    while len(losses) < steps:
        variables, state, loss = step(variables, state, len(losses), images, labels)
        losses.append(float(loss))
        if not math.isfinite(losses[-1]):
            break
        if len(losses) % check_every == 0 or len(losses) == steps:
            accuracy = float((np.asarray(evaluate(variables)).argmax(-1) == labels).mean())
            if accuracy == 1.0:
                finding = f"all of {len(labels)} images are right after {len(losses)} steps"
                return Overfit(True, len(losses), 1.0, np.asarray(losses), (finding,))

    def training_accuracy() -> float:
        logits = jax.jit(lambda v, x: training_logits(step_key, model, v, x, preprocess))(
            variables, images
        )
        return float((np.asarray(logits).argmax(-1) == labels).mean())

    findings = _explain(
        start, variables, np.asarray(losses), images, labels, accuracy, evaluate, training_accuracy
    )
    return Overfit(False, len(losses), accuracy, np.asarray(losses), tuple(findings))


def _explain(
    start, variables, losses, images, labels, accuracy, evaluate, training_accuracy
) -> list[str]:
    found = [
        f"{len(labels)} images could not be overfitted: {accuracy:.0%} right after "
        f"{len(losses)} steps"
    ]
    if not math.isfinite(losses[-1]):
        found.append(
            f"the loss became {losses[-1]} at step {len(losses)}: the rate is too high, the inputs "
            "hold NaN, or a label is out of range"
        )
        return found
    twins = _contradictions(images, labels)
    if twins is not None:
        found.append(
            f"images {twins[0]} and {twins[1]} are equal but labeled {labels[twins[0]]} and "
            f"{labels[twins[1]]}: no network can learn that"
        )
    before, after = named_leaves(start["params"]), named_leaves(variables["params"])
    still = [name for name in before if np.array_equal(before[name], after[name])]
    if still:
        named = ", ".join(still[:4]) + (f" and {len(still) - 4} more" if len(still) > 4 else "")
        found.append(f"no gradient reaches {named}: dead units, a cut graph, or an unused layer")
    logits = np.asarray(evaluate(variables), np.float64)
    if logits.std(0).max() < 1e-3 * max(float(np.abs(logits).max()), 1e-6):
        found.append("the network answers the same for every image: its input does not reach it")
    elif training_accuracy() == 1.0:
        found.append(
            "in training mode every image is right: evaluation differs (statistics of batch "
            "normalization that lag behind, or a layer that ignores `train`)"
        )
    if len(found) == 1:
        tail = losses[-max(len(losses) // 5, 5) :]
        if losses[-1] > 1.05 * losses[0]:
            found.append("the loss rises: the rate is too high, or the gradient's sign is wrong")
        elif tail[-1] < 0.95 * tail[0]:
            found.append("the loss still falls: give more steps, or a higher rate")
        else:
            found.append(
                "the loss no longer falls: the network is too small, is regularized too strongly "
                "(dropout), or the labels do not belong to the images"
            )
    return found


def _contradictions(images: np.ndarray, labels: np.ndarray) -> tuple[int, int] | None:
    seen: dict[bytes, int] = {}
    for index, image in enumerate(images):
        first = seen.setdefault(image.tobytes(), index)
        if labels[first] != labels[index]:
            return first, index
    return None
