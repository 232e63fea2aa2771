"""Sequences: the next token of a text, or one number for a whole sequence."""

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnets.train.task import Sums, Task, means


def language_modeling() -> Task:
    """The task of telling the next token, on batches of ``tokens`` and, if padded, ``token_mask``.

    The loss is the mean of −log p(token t + 1 | tokens up to t) over the tokens that are there; the
    network is one like `jaxnets.models.sequence.LanguageModel`, (tokens, mask) → (logits, carry).

    Returns:
        A `jaxnets.train.Task`. Training metrics: accuracy. Evaluation gives ``loss`` in nats,
        ``bits`` a token, ``perplexity`` and ``accuracy``.

    Source: Mikolov et al. 2010 (Recurrent Neural Network Based Language Model).

    >>> import jax, optax
    >>> from jaxnets import train
    >>> from jaxnets.models.sequence import LanguageModel
    >>> batch = {"tokens": np.tile(np.arange(5), (2, 1)), "token_mask": np.ones((2, 5))}
    >>> model, key = LanguageModel(5, 8), jax.random.key(0)
    >>> state = train.create_state(model, optax.adam(0.1), batch, key, task=language_modeling())
    >>> state, metrics = train.train_step(state, batch, task=language_modeling())
    >>> sorted(metrics)
    ['accuracy', 'gradient_norm', 'loss', 'parameter_norm']
    """

    def there(batch: Mapping[str, Any]) -> jax.Array:
        """(B, L) booleans: the tokens that are there."""
        if "token_mask" in batch:
            return jnp.asarray(batch["token_mask"]).astype(bool)
        return jnp.ones(jnp.shape(batch["tokens"]), bool)

    def inputs(batch):
        return {"tokens": jnp.asarray(batch["tokens"])[:, :-1], "mask": there(batch)[:, :-1]}

    def terms(outputs, batch) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Of each token: loss, whether it is the likeliest, whether it counts."""
        logits, wanted = outputs[0], jnp.asarray(batch["tokens"])[:, 1:]
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, wanted)
        return losses, logits.argmax(-1) == wanted, there(batch)[:, 1:]

    def loss(outputs, updates, batch):
        losses, right, mask = terms(outputs, batch)
        count = jnp.maximum(mask.sum(), 1)
        total = jnp.where(mask, losses, 0.0).sum()
        return total / count, {"accuracy": (right & mask).sum() / count}

    def measure(outputs, batch) -> Sums:
        losses, right, mask = terms(outputs, batch)
        mask = mask & jnp.asarray(batch["example_mask"]).astype(bool)[:, None]
        total = jnp.where(mask, losses, 0.0).sum()
        return {"loss": (total, mask.sum()), "accuracy": ((right & mask).sum(), mask.sum())}

    def summarize(sums: Sums) -> dict[str, float]:
        found = means(sums)
        bits = found["loss"] / math.log(2)
        return found | {"bits": bits, "perplexity": float(np.exp(found["loss"]))}

    return Task(inputs, loss, measure, summarize, weight=lambda batch: there(batch)[:, 1:].sum())


def sequence_regression() -> Task:
    """The task of telling one number for a sequence, on batches of ``sequence`` and ``number``.

    The loss is the mean squared error; the network maps x (B, T, d) and mask to (B,).

    Returns:
        A `jaxnets.train.Task`; evaluation gives ``loss``, the mean squared error.

    >>> task = sequence_regression()
    >>> batch = {"sequence": np.ones((2, 3, 1)), "number": np.array([1.0, 2.0])}
    >>> float(task.loss(np.array([1.0, 4.0]), {}, batch)[0])
    2.0
    """

    def inputs(batch):
        found = {"x": batch["sequence"]}
        if "sequence_mask" in batch:
            found["mask"] = jnp.asarray(batch["sequence_mask"]).astype(bool)
        return found

    def loss(outputs, updates, batch):
        return jnp.mean((outputs - batch["number"]) ** 2), {}

    def measure(outputs, batch) -> Sums:
        mask = batch["example_mask"]
        return {"loss": (jnp.sum(mask * (outputs - batch["number"]) ** 2), mask.sum())}

    return Task(inputs, loss, measure)


def sequence_labeling() -> Task:
    """The task of telling a class for each step, on batches of ``tokens`` and ``targets`` (B, L).

    The loss is the mean of −log p(target at t | tokens up to t) over the steps where
    ``target_mask`` is 1; the network is one like `jaxnets.models.sequence.LanguageModel`.

    Returns:
        A `jaxnets.train.Task`; evaluation gives ``loss`` in nats, and ``accuracy``.

    >>> import jax
    >>> batch = {"tokens": np.array([[1, 0]]), "targets": np.array([[0, 1]])}
    >>> batch |= {"target_mask": np.array([[0, 1]]), "example_mask": np.ones(1)}
    >>> logits = np.log(np.array([[[0.5, 0.5], [0.75, 0.25]]]))
    >>> found = sequence_labeling().measure((logits, ()), batch)
    >>> round(float(jax.numpy.exp(-found["loss"][0])), 2), int(found["accuracy"][0])
    (0.25, 0)
    """

    def terms(outputs, batch) -> tuple[jax.Array, jax.Array, jax.Array]:
        logits, wanted = outputs[0], jnp.asarray(batch["targets"])
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, wanted)
        return losses, logits.argmax(-1) == wanted, jnp.asarray(batch["target_mask"]).astype(bool)

    def loss(outputs, updates, batch):
        losses, right, mask = terms(outputs, batch)
        count = jnp.maximum(mask.sum(), 1)
        return jnp.where(mask, losses, 0.0).sum() / count, {
            "accuracy": (right & mask).sum() / count
        }

    def measure(outputs, batch) -> Sums:
        losses, right, mask = terms(outputs, batch)
        mask = mask & jnp.asarray(batch["example_mask"]).astype(bool)[:, None]
        total = jnp.where(mask, losses, 0.0).sum()
        return {"loss": (total, mask.sum()), "accuracy": ((right & mask).sum(), mask.sum())}

    return Task(
        lambda batch: {"tokens": jnp.asarray(batch["tokens"])},
        loss,
        measure,
        weight=lambda batch: jnp.asarray(batch["target_mask"]).sum(),
    )
