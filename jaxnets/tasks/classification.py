"""Classification: one of K classes for every example."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.data.preprocessing import Standardization
from jaxnets.losses import cross_entropy
from jaxnets.metrics import accuracy, confusion_matrix
from jaxnets.ops.activations import identity
from jaxnets.ops.class_numbers import is_class, take_class
from jaxnets.train.task import Sums, Task, TaskError

# Where networks put the logits of their auxiliary heads in training.
AUXILIARY = "aux_logits"


def classification(
    num_classes: int,
    *,
    loss: Callable[[jax.Array, jax.Array], jax.Array] = cross_entropy,
    preprocess: Callable[[jax.Array], jax.Array] = identity,
    auxiliary: Mapping[str, float] | None = None,
    class_weights: Sequence[float] | None = None,
    scheduled: Mapping[str, Callable[[jax.Array], jax.Array]] | None = None,
) -> Task:
    """The task of telling K classes apart, on batches of ``image`` and ``label``.

    Training minimizes ``loss(logits, label) + Σ w · loss(auxiliary logits, label)``; evaluation
    measures cross entropy, accuracy and the confusion matrix.

    Args:
        num_classes: K.
        loss: (logits (B, K), labels (B,) or distributions (B, K)) → scalar mean loss.
        preprocess: images as stored → images as the network wants them.
        auxiliary: the weight of each auxiliary head's loss, by the name that the network sows its
            logits under (``model_info(name).auxiliary``).
        class_weights: w_k of each class, for classes of unequal size: training minimizes
            Σ w·loss / Σ w. Evaluation stays unweighted.
        scheduled: keyword arguments of the network in training, as functions of the number of
            updates made; see `jaxnets.train.Task`.

    Returns:
        A `jaxnets.train.Task`. Its training metrics are the cross entropy, which evaluation
        measures too, ``total_loss`` where something else is minimized (smoothed or weighted labels,
        auxiliary heads), and the accuracy; where labels are
        distributions, accuracy is against the class of the largest share. Evaluation gives
        ``loss`` and ``accuracy``, floats, and ``confusion``, int64 (K, K) counts, row = true class.

    Example:
        >>> import jax, optax
        >>> from jaxnets import create_model, data, train
        >>> digits = data.load_dataset("digits")
        >>> task = classification(10, preprocess=lambda x: x / 128 - 1)
        >>> model = create_model("mlp", num_classes=10)
        >>> batches = data.Batches(digits.train, 64, seed=0)
        >>> key = jax.random.key(0)
        >>> state = train.create_state(model, optax.adam(1e-3), batches[0], key, task=task)
        >>> state, metrics = train.train_step(state, batches[0], task=task)
        >>> sorted(metrics)
        ['accuracy', 'gradient_norm', 'loss', 'parameter_norm']
        >>> parallel = train.DataParallel("jit", jax.devices()[:1])
        >>> evaluate = train.Evaluator(task, state.apply_fn, digits.test, parallel)
        >>> int(evaluate(parallel.replicate(state.variables))["confusion"].sum())
        360
    """
    if class_weights is not None:
        if len(class_weights) != num_classes or not all(w >= 0 for w in class_weights):
            raise ValueError(
                f"class_weights must be {num_classes} numbers of at least 0, got {class_weights}"
            )
        class_weights = tuple(map(float, class_weights))
    return Task(
        inputs=partial(_inputs, preprocess=preprocess),
        loss=partial(
            _loss,
            loss_fn=loss,
            auxiliary=tuple((auxiliary or {}).items()),
            class_weights=class_weights,
        ),
        measure=partial(_measure, num_classes=num_classes),
        summarize=_summarize,
        weight=None if class_weights is None else partial(_weight, class_weights=class_weights),
        mutable=(AUXILIARY,) if auxiliary else (),
        meta=(("num_classes", num_classes), *_describe(preprocess)),
        scheduled=tuple((scheduled or {}).items()),
    )


def _describe(preprocess: Callable[[jax.Array], jax.Array]) -> tuple[tuple[str, Any], ...]:
    """A standardization's numbers, so that a run can be reopened without it."""
    if preprocess is identity:
        return (("mean", (0.0,)), ("std", (1.0,)))
    owner = getattr(preprocess, "__self__", None)
    owner = getattr(owner, "standardization", owner)
    if isinstance(owner, Standardization) and np.ndim(owner.mean) <= 1:
        return tuple(
            (name, tuple(map(float, np.ravel(getattr(owner, name))))) for name in ("mean", "std")
        )
    return ()


def _example_weights(labels: jax.Array, class_weights: tuple[float, ...]) -> jax.Array:
    weights = jnp.asarray(class_weights, jnp.float32)
    return weights[labels] if labels.ndim == 1 else labels.astype(jnp.float32) @ weights


def _weight(batch: Mapping[str, Any], *, class_weights: tuple[float, ...]) -> jax.Array:
    return _example_weights(batch["label"], class_weights).sum()


def _inputs(batch, *, preprocess):
    return preprocess(batch["image"])


def _loss(logits, updates, batch, *, loss_fn, auxiliary, class_weights):
    labels = batch["label"]
    if class_weights is not None:
        loss_fn = partial(loss_fn, weights=_example_weights(labels, class_weights))
    main = loss_fn(logits, labels)
    hits = accuracy(logits, labels)
    total = main
    if auxiliary:
        heads = updates[AUXILIARY]
        total = main + sum(weight * loss_fn(heads[name], labels) for name, weight in auxiliary)
    elif loss_fn is cross_entropy:
        return main, {"accuracy": hits}
    # What evaluation measures as well, so that the two curves are of one quantity.
    measured = main if loss_fn is cross_entropy else cross_entropy(logits, labels)
    return total, {"loss": measured, "total_loss": total, "accuracy": hits}


def _measure(logits: jax.Array, batch: Mapping[str, Any], *, num_classes: int) -> Sums:
    log_probabilities = jax.nn.log_softmax(logits.astype(jnp.float32))
    labels, mask = batch["label"], batch["example_mask"]
    losses = -take_class(log_probabilities, labels)
    # What is no class is left out here, and refused when the sums are complete.
    known = mask * is_class(labels, num_classes).astype(mask.dtype)
    confusion = confusion_matrix(
        jnp.argmax(logits, -1), labels, num_classes, weights=known.astype(jnp.int32)
    )
    count = mask.sum()
    return {
        "loss": (jnp.where(mask > 0, losses, 0).sum(), count),
        "confusion": (confusion, count),
    }


def _summarize(sums: Sums) -> dict[str, Any]:
    (loss, count), (confusion, _) = sums["loss"], sums["confusion"]
    strangers = round(float(count) - float(np.sum(confusion)))
    if strangers:
        raise TaskError(
            f"{strangers} of {round(float(count))} labels are outside 0 … {len(confusion) - 1}; "
            "give the task as many classes as the labels have, or examples without a class an "
            "example_mask of 0"
        )
    return {
        "loss": float(loss) / float(count),
        "accuracy": float(np.trace(confusion)) / float(count),
        "confusion": confusion,
    }
