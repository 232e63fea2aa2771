"""One training step and one evaluation step for any task: pure functions of (state, batch)."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.optim import global_norm
from jaxnets.train.state import TrainState, rng_streams
from jaxnets.train.task import (
    Task,
    TaskError,
    call_network,
    compute_loss,
    compute_rows,
    compute_sums,
)

Batch = dict[str, jax.Array]
Metrics = dict[str, jax.Array]
# (key, batch, example_ids (B,)) → batch, with one id per example that does not depend on how many
# devices share the batch.
Prepare = Callable[[jax.Array, Batch, jax.Array], Batch]


def train_step(
    state: TrainState,
    batch: Batch,
    *,
    task: Task,
    prepare: Prepare | None = None,
    axis_name: str | None = None,
    microbatches: int = 1,
) -> tuple[TrainState, Metrics]:
    """One update of the parameters: g = ∇ mean loss over the whole batch, then the optimizer.

    Under `pmap` or `shard_map` the batch is this device's share and ``axis_name`` names the axis
    over which gradients, metrics and running statistics are averaged; under plain `jit` (one
    device, or a batch sharded over a mesh) it is None and every mean is global by itself.

    Args:
        state: the `TrainState`.
        batch: arrays by the keys of `jaxnets.data.BATCH_KEYS`, each (B, …).
        task: what is trained for.
        prepare: (key, batch, example_ids) → batch: random changes of the training examples, such
            as `jaxnets.augment.per_example` makes. The key is the same on every device.
        axis_name: the mapped axis, or None.
        microbatches: the batch is worked through in this many equal parts whose gradients are
            averaged (gradient accumulation), so that memory holds one part's activations. Batch
            normalization then sees each part alone.

    Returns:
        (new state, ``{"loss", "gradient_norm", "parameter_norm", …}`` with the task's metrics) as
        scalars over the whole batch of all devices. The norms are those of the gradient and of the
        new parameters; where one of them is not finite the run has diverged, and the loss is NaN,
        whatever the network put out: XLA's compiler for CPUs may turn the NaN of a ReLU's input
        into 0, and a network of NaN then has the loss of one that knows nothing.

    Raises:
        ValueError: the batch does not divide into ``microbatches`` equal parts.
        TaskError: the loss is no scalar, the task asks for a key that the batch lacks, or the
            network sows into a collection that the task does not name.

    Randomness comes from ``fold_in(state.key, state.step)``. What ``prepare`` does depends on the
    example only; dropout masks are drawn per device under `pmap` (and for the batch as a whole
    under `jit`), so that with dropout 8 devices and 1 device draw different masks.

    Example: one step of gradient descent on ½ Σ (w·x − t)², by which w becomes 2.5.

        >>> import optax
        >>> from flax import linen as nn
        >>> from jaxnets.train import create_state
        >>> def loss(outputs, updates, batch):
        ...     return jnp.mean((outputs - batch["targets"]) ** 2), {}
        >>> task = Task(lambda batch: batch["audio"], loss)
        >>> batch = {"audio": jnp.array([[1.0], [2.0]]), "targets": jnp.array([[2.0], [4.0]])}
        >>> state = create_state(
        ...     nn.Dense(1, use_bias=False),
        ...     optax.sgd(0.25),
        ...     batch,
        ...     jax.random.key(0),
        ...     task=task,
        ...     variables={"params": {"kernel": jnp.zeros((1, 1))}},
        ... )
        >>> step = jax.jit(partial(train_step, task=task))
        >>> state, metrics = step(state, batch)
        >>> state.params["kernel"].item(), {name: float(x) for name, x in metrics.items()}
        (2.5, {'gradient_norm': 10.0, 'loss': 10.0, 'parameter_norm': 2.5})
    """
    size = _batch_size(batch)
    prepare_key, model_key = jax.random.split(jax.random.fold_in(state.key, state.step))
    first = 0
    if axis_name is not None:
        shard = lax.axis_index(axis_name)
        first = shard * size
        model_key = jax.random.fold_in(model_key, shard)
    if prepare is not None:
        batch = prepare(prepare_key, batch, first + jnp.arange(size))
        size = _batch_size(batch)
    if size % microbatches:
        raise ValueError(
            f"microbatches={microbatches} does not divide this device's batch of {size} examples"
        )

    def loss_of(params, model_state, carry, batch, key):
        outputs, updates = call_network(
            task,
            state.apply_fn,
            {"params": params, **model_state, **carry},
            batch,
            train=True,
            mutable=[*model_state, *carry, *task.mutable],
            rngs=rng_streams(key, task.rngs),
            **{name: schedule(state.step) for name, schedule in task.scheduled},
        )
        loss, metrics = compute_loss(task, outputs, updates, batch)
        _require_same_entries(model_state, updates)
        model_state = {name: updates[name] for name in model_state}
        carry = {name: updates[name] for name in carry}
        return loss, (model_state, carry, metrics)

    def part_of(model_state, carry, batch, key):
        (loss, (model_state, carry, metrics)), gradients = jax.value_and_grad(
            loss_of, has_aux=True
        )(state.params, model_state, carry, batch, key)
        means = gradients, loss, {"loss": loss, **metrics}
        weight = None if task.weight is None else jnp.asarray(task.weight(batch), jnp.float32)
        return means, weight, model_state, carry

    if microbatches == 1:
        means, weight, model_state, carry = part_of(
            state.model_state, state.carry, batch, model_key
        )
    else:
        means, weight, model_state, carry = _accumulate(
            part_of, state, batch, model_key, microbatches
        )
    if axis_name is not None:
        means = _mean_over_devices(means, weight, axis_name)
        # Synchronized statistics are equal on all devices already; others are averaged, so that
        # the replicas of the state never drift apart.
        model_state = jax.tree.map(partial(_synchronize, axis_name=axis_name), model_state)
    gradients, loss, metrics = means
    state = state.apply_gradients(gradients, model_state, loss).replace(carry=carry)
    metrics["gradient_norm"] = global_norm(gradients)
    metrics["parameter_norm"] = global_norm(_floating(state.params))
    # A compiled relu may make 0 of NaN: what a network of NaN puts out is then a finite loss.
    finite = jnp.isfinite(metrics["gradient_norm"]) & jnp.isfinite(metrics["parameter_norm"])
    metrics["loss"] = jnp.where(finite, metrics["loss"], jnp.nan)
    return state, metrics


def _floating(tree: Any) -> list[jax.Array]:
    return [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating)]


def _batch_size(batch: Batch) -> int:
    if not batch or not (size := jax.tree.leaves(batch)[0].shape[0]):
        raise TaskError("the batch has no examples")
    return size


def _require_same_entries(model_state: Mapping[str, Any], updates: Mapping[str, Any]) -> None:
    for name, before in model_state.items():
        if len(jax.tree.leaves(before)) != len(jax.tree.leaves(updates[name])):
            raise TaskError(
                f"the network adds entries to its collection {name!r} in every step. If it sows "
                f"there, name the collection in the task's mutable: mutable=({name!r},)"
            )


def _synchronize(array: jax.Array, axis_name: str) -> jax.Array:
    # A counter or a flag keeps its dtype.
    mean = lax.pmean if jnp.issubdtype(array.dtype, jnp.inexact) else lax.pmax
    return mean(array, axis_name)


def _mean_over_devices(means: Any, weight: jax.Array | None, axis_name: str) -> Any:
    if weight is None:
        return lax.pmean(means, axis_name)
    total = lax.psum(weight, axis_name)
    share = weight / jnp.where(total == 0, 1, total)
    return lax.psum(jax.tree.map(lambda mean: share.astype(mean.dtype) * mean, means), axis_name)


def _accumulate(part_of, state, batch, key, parts):
    """Average gradients and metrics over equal parts, one after the other."""

    def split(array):
        # Part p takes every parts-th example: each device of a sharded batch then keeps its own.
        return jnp.moveaxis(array.reshape(-1, parts, *array.shape[1:]), 1, 0)

    def join(array):
        return jnp.moveaxis(array, 0, 1).reshape(-1, *array.shape[2:])

    batch, carry = jax.tree.map(split, (batch, state.carry))
    shapes = jax.eval_shape(
        part_of, state.model_state, *jax.tree.map(lambda array: array[0], (carry, batch)), key
    )
    # Sums of gradients in half precision would lose digits, or overflow.
    zeros = jax.tree.map(
        lambda leaf: jnp.zeros(leaf.shape, jnp.promote_types(leaf.dtype, jnp.float32)), shapes[:2]
    )

    def body(sums, inputs):
        (totals, weights), model_state = sums
        batch, carry, index = inputs
        means, weight, model_state, carry = part_of(
            model_state, carry, batch, jax.random.fold_in(key, index)
        )
        if weight is None:
            totals = jax.tree.map(lambda t, mean: t + mean.astype(t.dtype) / parts, totals, means)
        else:
            totals = jax.tree.map(lambda t, mean: t + weight * mean.astype(t.dtype), totals, means)
            weights = weights + weight
        return ((totals, weights), model_state), carry

    ((means, weight), model_state), carry = lax.scan(
        body, (zeros, state.model_state), (batch, carry, jnp.arange(parts))
    )
    if weight is not None:
        total = jnp.where(weight == 0, 1, weight)
        means = jax.tree.map(lambda t: t / total.astype(t.dtype), means)
    means = jax.tree.map(lambda t, leaf: t.astype(leaf.dtype), means, shapes[0])
    return means, weight, model_state, jax.tree.map(join, carry)


def eval_step(
    variables: Mapping[str, Any],
    batch: Batch,
    *,
    task: Task,
    apply_fn: Callable,
    axis_name: str | None = None,
) -> tuple[dict[str, tuple[jax.Array, jax.Array]], dict[str, jax.Array]]:
    """The task's sums over one batch, from which exact means over a whole data set are made.

    Args:
        variables: ``{"params": …, "batch_stats": …}``.
        batch: arrays by key; where ``example_mask`` is 0 an example is padding and does not count.
        task: what is measured.
        apply_fn: the network's ``apply`` (`TrainState.apply_fn`).
        axis_name: the mapped axis, or None.

    Returns:
        ``{name: (sum, count)}``, summed over all devices, and what the task collects of each
        example, in the order of the whole batch (empty where it collects nothing).

    Raises:
        TaskError: a metric without a count, collected arrays without a row for each example, or a
            key that the batch lacks.

    >>> def measure(outputs, batch):
    ...     errors, mask = abs(outputs - batch["targets"]), batch["example_mask"]
    ...     return {"error": (jnp.sum(mask * errors), mask.sum())}
    >>> task = Task(lambda batch: batch["audio"], loss=None, measure=measure)
    >>> def apply(variables, x, **options):
    ...     return variables["params"]["scale"] * x
    >>> batch = {"audio": jnp.array([1.0, 2.0]), "targets": jnp.array([1.0, 1.0])}
    >>> batch["example_mask"] = jnp.array([1.0, 0.0])  # the second is padding
    >>> variables = {"params": {"scale": 4.0}}
    >>> sums, collected = eval_step(variables, batch, task=task, apply_fn=apply)
    >>> [float(x) for x in sums["error"]], collected
    ([3.0, 1.0], {})
    """
    _batch_size(batch)
    # Carried state begins anew with every batch, and what is written in evaluation is dropped.
    written = list(task.carried)
    outputs = call_network(task, apply_fn, variables, batch, train=False, mutable=written or False)
    if written:
        outputs, _ = outputs
    sums = compute_sums(task, outputs, batch)
    collected = compute_rows(task, outputs, batch)
    if axis_name is None:
        return sums, collected
    gathered = jax.tree.map(lambda x: lax.all_gather(x, axis_name, tiled=True), collected)
    return lax.psum(sums, axis_name), gathered
