"""Classification: one of K classes for every example."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

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
        scheduled: keyword arguments of the network in training, as functions of the number of
            updates made; see `jaxnets.train.Task`.

    Returns:
        A `jaxnets.train.Task`. Its training metrics are the loss without the auxiliary terms,
        ``total_loss`` with them where there are any, and the accuracy; where labels are
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
    return Task(
        inputs=partial(_inputs, preprocess=preprocess),
        loss=partial(_loss, loss_fn=loss, auxiliary=tuple((auxiliary or {}).items())),
        measure=partial(_measure, num_classes=num_classes),
        summarize=_summarize,
        mutable=(AUXILIARY,) if auxiliary else (),
        scheduled=tuple((scheduled or {}).items()),
    )


def _inputs(batch, *, preprocess):
    return preprocess(batch["image"])


def _loss(logits, updates, batch, *, loss_fn, auxiliary):
    labels = batch["label"]
    main = loss_fn(logits, labels)
    hits = accuracy(logits, labels)
    if not auxiliary:
        return main, {"accuracy": hits}
    heads = updates[AUXILIARY]
    total = main + sum(weight * loss_fn(heads[name], labels) for name, weight in auxiliary)
    return total, {"loss": main, "total_loss": total, "accuracy": hits}


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
