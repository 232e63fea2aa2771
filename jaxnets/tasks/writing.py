"""Sequence to sequence: read something, write tokens; validation is always free running."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets import ops
from jaxnets.data import Source, eval_batches
from jaxnets.data.text import END, START
from jaxnets.losses import cross_entropy
from jaxnets.train.task import Sums, Task, means

# Batch key → keyword of the network.
READS = {"tokens": "source", "token_mask": "source_mask"}


def sequence_to_sequence(
    *,
    reads: Mapping[str, str] = READS,
    label_smoothing: float = 0.0,
    score: Callable[[Sequence[np.ndarray]], dict[str, float]] | None = None,
    start: int = START,
    sampling: Callable[[jax.Array], jax.Array] | None = None,
) -> Task:
    """The task of writing ``targets`` (B, T), the end token included, for what is read.

    In training the network is called with the keywords of ``reads`` and ``target`` (B, T), which is
    the start token and all targets but the last (teacher forcing), and returns logits (B, T, V).
    In evaluation `free_running` has to stand between: `jaxnets.train.fit` takes it as
    ``wrap_apply``.

    Args:
        reads: batch key → keyword of the network, for all that is read.
        label_smoothing: of the training loss; evaluation gives the loss without.
        score: (what was written to each example (N, max_length)) → further results of an
            evaluation, such as BLEU; the examples are those of the source, in its order.
        start: token that begins.
        sampling: number of updates made → how often a token that the network drew itself is fed in
            place of the true one (`jaxnets.ops.scheduled_sampling`); `free_running` does it.

    Returns:
        A `jaxnets.train.Task`. Training metrics: ``accuracy``, of tokens. Evaluation gives ``loss``
        and ``accuracy`` under teacher forcing, ``exact``, the share of sequences that were written
        freely without a fault, and what ``score`` gives.

    Source: Sutskever et al. 2014, §2; teacher forcing: Williams & Zipser 1989.

    >>> task = sequence_to_sequence()
    >>> batch = {"tokens": np.array([[7]]), "token_mask": np.array([[True]])}
    >>> batch |= {"targets": np.array([[5, 2]]), "target_mask": np.ones((1, 2), bool)}
    >>> task.inputs(batch)["target"].tolist()
    [[1, 5]]
    """

    def there(batch: Mapping[str, Any]) -> jax.Array:
        return jnp.asarray(batch["target_mask"]).astype(bool)

    def inputs(batch):
        targets = jnp.asarray(batch["targets"])
        first = jnp.full_like(targets[:, :1], start)
        read = {name: jnp.asarray(batch[key]) for key, name in reads.items()}
        return read | {"target": jnp.concatenate((first, targets[:, :-1]), 1)}

    def loss(outputs, updates, batch):
        mask, targets = there(batch), jnp.asarray(batch["targets"])
        value = cross_entropy(outputs, targets, label_smoothing=label_smoothing, weights=mask)
        right = (outputs.argmax(-1) == targets) & mask
        return value, {"accuracy": right.sum() / jnp.maximum(mask.sum(), 1)}

    def measure(outputs, batch) -> Sums:
        counts, targets = jnp.asarray(batch["example_mask"]).astype(bool), batch["targets"]
        mask = there(batch) & counts[:, None]
        losses = cross_entropy(outputs["logits"], targets, weights=mask, reduction="none")
        right = (outputs["logits"].argmax(-1) == targets) & mask
        same = same_sequence(outputs["tokens"], targets, there(batch)) & counts
        return {
            "loss": (losses.sum(), mask.sum()),
            "accuracy": (right.sum(), mask.sum()),
            "exact": (same.sum(), counts.sum()),
        }

    def summarize(sums: Sums) -> dict[str, float]:
        found = means(sums)
        return found | {"perplexity": float(np.exp(found["loss"]))}

    return Task(
        inputs,
        loss,
        measure,
        summarize,
        collect=None if score is None else lambda outputs, batch: {"tokens": outputs["tokens"]},
        score=None if score is None else lambda rows: score(rows["tokens"]),
        weight=lambda batch: there(batch).sum(),
        scheduled=() if sampling is None else (("sampling_rate", sampling),),
    )


def same_sequence(tokens: jax.Array, targets: jax.Array, mask: jax.Array) -> jax.Array:
    """Whether sequences are the targets up to and with their end.

    Args:
        tokens: (B, L), written.
        targets: (B, T).
        mask: (B, T) booleans, True where there is a target.

    Returns:
        (B,) booleans.

    >>> import jax.numpy as jnp
    >>> targets, mask = jnp.array([[5, 2, 0]] * 3), jnp.array([[True, True, False]] * 3)
    >>> same_sequence(jnp.array([[5, 2, 2, 2], [5, 5, 2, 2], [5, 6, 6, 6]]), targets, mask).tolist()
    [True, False, False]
    """
    length = max(tokens.shape[1], targets.shape[1])
    wide = [(0, 0), (0, length - targets.shape[1])]
    targets, mask = jnp.pad(targets, wide), jnp.pad(mask, wide)
    tokens = jnp.pad(tokens, [(0, 0), (0, length - tokens.shape[1])])
    return ((tokens == targets) | ~mask).all(1)


def free_running(
    apply: Callable[..., Any], *, max_length: int, start: int = START, end: int = END
) -> Callable[..., Any]:
    """A network's ``apply`` which, in evaluation, also writes by itself.

    Args:
        apply: of a network with the methods ``encode`` (what is read) → carry and ``step`` (carry,
            token) → (carry, logits), such as `jaxnets.models.sequence.RNNSearch`.
        max_length: tokens at most.
        start: token that begins.
        end: token that ends.

    Returns:
        A function like ``apply``; with ``train=False`` it returns ``logits`` (B, T, V), under
        teacher forcing, and ``tokens`` (B, max_length), the likeliest one after the other. In
        training, with the keyword ``sampling_rate``, it decodes step by step and feeds now and then
        what it drew; dropout is of what is read alone then.

    >>> import jax, jax.numpy as jnp
    >>> from jaxnets.models.sequence import EncoderDecoder
    >>> model, one = EncoderDecoder(5, 6, 2), jnp.ones((1, 3), int)
    >>> variables = model.init(jax.random.key(0), one, one)
    >>> apply = free_running(model.apply, max_length=4)
    >>> found = apply(variables, source=one, target=one, train=False)
    >>> found["logits"].shape, found["tokens"].shape
    ((1, 3, 6), (1, 4))
    """

    def sampled(variables, target, rate, *, mutable=(), rngs, **read):
        carry = apply(variables, **read, train=True, rngs=rngs, method="encode")
        step = partial(apply, variables, method="step")
        key = jax.random.fold_in(next(iter(rngs.values())), 1)
        logits, _ = ops.scheduled_sampling(key, step, carry, target, rate)
        return (logits, {}) if mutable else logits

    def both(variables, *, target, train, sampling_rate=None, **options):
        if train and sampling_rate is not None:
            return sampled(variables, target, sampling_rate, **options)
        outputs = apply(variables, target=target, train=train, **options)
        if train:
            return outputs
        read = {name: value for name, value in options.items() if name != "mutable"}
        carry = apply(variables, **read, method="encode")
        step = partial(apply, variables, method="step")
        starts = jnp.full(target.shape[0], start, jnp.int32)
        written = ops.greedy(step, carry, starts, end=end, max_length=max_length)
        return {"logits": outputs, "tokens": written.tokens}

    return both


def write(
    apply: Callable[..., Any],
    variables: Mapping[str, Any],
    source: Source,
    *,
    reads: Mapping[str, str] = READS,
    max_length: int,
    beams: int = 1,
    length_penalty: float = 0.0,
    batch_size: int = 100,
    start: int = START,
    end: int = END,
) -> np.ndarray:
    """What a network writes for each example of a source, by greedy or beam search.

    Args:
        apply: the network's ``apply``, see `free_running`.
        variables: its parameters.
        source: the examples; `jaxnets.data.buckets.SequencePairs` compiles once for each bucket.
        reads: batch key → keyword of the network.
        max_length: tokens at most.
        beams: 1 for the likeliest token at each step.
        length_penalty: of `jaxnets.ops.beam_search`.
        batch_size: examples at a time.
        start: token that begins.
        end: token that ends.

    Returns:
        (N, max_length) tokens; behind the end there are only end tokens.

    >>> import jax, jax.numpy as jnp
    >>> from jaxnets.data import ArraySource
    >>> from jaxnets.models.sequence import EncoderDecoder
    >>> model, one = EncoderDecoder(5, 6, 2), jnp.ones((1, 3), int)
    >>> variables = model.init(jax.random.key(0), one, one)
    >>> source = ArraySource({"tokens": np.ones((3, 2), int), "token_mask": np.ones((3, 2), bool)})
    >>> write(model.apply, variables, source, max_length=4, beams=2).shape
    (3, 4)
    """

    @jax.jit
    def decode(variables, read):
        carry = apply(variables, **read, method="encode")
        step = partial(apply, variables, method="step")
        starts = jnp.full(len(jax.tree.leaves(read)[0]), start, jnp.int32)
        limits = {"end": end, "max_length": max_length}
        if beams == 1:
            return ops.greedy(step, carry, starts, **limits).tokens
        found = ops.beam_search(
            step, carry, starts, **limits, beams=beams, length_penalty=length_penalty
        )
        return found.tokens[:, 0]

    parts = []
    for batch in eval_batches(source, min(batch_size, len(source))):
        read = {name: np.asarray(batch[key]) for key, name in reads.items()}
        parts.append(np.asarray(decode(variables, read)))
    return np.concatenate(parts)[: len(source)]
