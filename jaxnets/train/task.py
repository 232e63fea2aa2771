"""What a network is trained for, as a value: the contract of `jaxnets.train` with every task."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.errors import JaxnetsError

Batch = Mapping[str, Any]
Outputs = Any
Updates = Mapping[str, Any]
Metrics = Mapping[str, jax.Array]
Sums = Mapping[str, tuple[Any, Any]]


class TaskError(JaxnetsError, ValueError):
    """A task that does not keep the contract, or that does not fit its batch."""


def means(sums: Sums) -> dict[str, Any]:
    """Each metric's mean, sum / count: how a task's sums are summarized unless it says otherwise.

    Args:
        sums: name → (sum, count) over all examples.

    Returns:
        name → mean; NaN where nothing was counted.

    >>> means({"loss": (6.0, 4.0), "recall": (np.array([1, 0]), np.array([2, 0]))})
    {'loss': 1.5, 'recall': [0.5, nan]}
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            name: np.where(count, np.divide(total, count), np.nan).tolist()
            for name, (total, count) in sums.items()
        }


class Task(NamedTuple):
    """Everything that differs between classifying, detecting, translating and distilling.

    `train_step`, `eval_step` and `Evaluator` know no task: they call these functions, all of them
    pure and traceable unless said otherwise.

    Attributes:
        inputs: batch → what the network is called with: a mapping of keyword arguments, a tuple of
            positional ones, or one argument. Normalization belongs here, because training and
            evaluation share it; augmentation belongs into `train_step`'s ``prepare``.
        loss: (outputs, updates, batch) → (scalar, metrics). ``outputs`` is what the network
            returned; ``updates`` holds the collections that it wrote, those of ``mutable``
            among them (auxiliary outputs, activations); metrics are scalars, means over the batch,
            and become float32.
        measure: (outputs, batch) → {name: (sum, count)}, in evaluation. Sums and counts may be
            arrays. They leave out what ``batch["example_mask"]`` says is padding, and add up over
            batches and devices, so that their quotient is exact over a data set. None: the task
            is measured by ``collect`` alone.
        summarize: {name: (sum, count)} over a data set, as NumPy → named results, on the host.
        collect: (outputs, batch) → arrays with an example axis that are gathered over the whole
            data set, for metrics that are no means (average precision, BLEU); or None.
        score: what ``collect`` gathered, in the order of the source, without padding → named
            results, on the host.
        weight: batch → what the batch's mean loss is a mean over, such as its number of tokens:
            parts of a batch (devices, microbatches) are then averaged with these weights, so that
            any number of them gives the same gradient. None: all parts weigh the same.
        mutable: collections that the network writes for the loss, by `flax.linen.Module.sow`.
            They are not kept.
        carried: collections with one entry an example that go from step to step, such as the state
            of a recurrent network in truncated back-propagation. Gradients do not flow through.
        rngs: names of the random streams that the network draws from.
        meta: (name, JSON value) pairs that a predictor needs, which `fit` keeps in checkpoints.
        scheduled: further keyword arguments of the network in training, (name, function of the
            number of updates made): ``("progress", lambda step: step / 10_000)`` for NASNet's
            scheduled drop-path, or an annealed temperature.

    Example: say a number for each sound, by a network whose argument is ``x``.

        >>> def loss(outputs, updates, batch):
        ...     return jnp.mean((outputs - batch["targets"]) ** 2), {}
        >>> def measure(outputs, batch):
        ...     mask = batch["example_mask"]
        ...     errors = jnp.square(outputs - batch["targets"])
        ...     return {"loss": (jnp.sum(mask * errors), mask.sum())}
        >>> task = Task(inputs=lambda batch: {"x": batch["audio"]}, loss=loss, measure=measure)
    """

    inputs: Callable[[Batch], Any]
    loss: Callable[[Outputs, Updates, Batch], tuple[jax.Array, Metrics]]
    measure: Callable[[Outputs, Batch], Sums] | None = None
    summarize: Callable[[Sums], dict[str, Any]] = means
    collect: Callable[[Outputs, Batch], Mapping[str, jax.Array]] | None = None
    score: Callable[[Mapping[str, np.ndarray]], dict[str, Any]] | None = None
    weight: Callable[[Batch], jax.Array] | None = None
    mutable: tuple[str, ...] = ()
    carried: tuple[str, ...] = ()
    rngs: tuple[str, ...] = ("dropout",)
    meta: tuple[tuple[str, Any], ...] = ()
    scheduled: tuple[tuple[str, Callable[[jax.Array], jax.Array]], ...] = ()


def call_network(
    task: Task,
    apply_fn: Callable[..., Any],
    variables: Mapping[str, Any],
    batch: Batch,
    **options: Any,
) -> Any:
    """``apply_fn`` on the task's inputs of a batch.

    Raises:
        TaskError: the task asks for a key that the batch does not have.
    """
    arguments = _ask(task.inputs, "inputs", batch, batch)
    if isinstance(arguments, Mapping):
        return apply_fn(variables, **arguments, **options)
    if not isinstance(arguments, tuple):
        arguments = (arguments,)
    return apply_fn(variables, *arguments, **options)


def compute_loss(
    task: Task, outputs: Outputs, updates: Updates, batch: Batch
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The task's loss and metrics, checked, in at least float32.

    Raises:
        TaskError: the loss is no scalar, or a metric is none.
    """
    result = _ask(task.loss, "loss", batch, outputs, updates, batch, updates=updates)
    if not isinstance(result, tuple) or len(result) != 2 or not isinstance(result[1], Mapping):
        raise TaskError(
            "the task's loss must return (scalar, metrics), such as (loss, {}); "
            f"it returned {_describe(result)}"
        )
    loss, metrics = result
    check_names(metrics, (*RECORD_FIELDS, "gradient_norm"), "loss names a metric")
    if jnp.issubdtype(getattr(loss, "dtype", float), jnp.integer):
        raise TaskError(
            f"the task's loss is an integer ({loss.dtype}), which has no gradient; such a number "
            "belongs among the metrics"
        )
    return _to_scalar(loss, "loss"), {
        name: _to_scalar(value, f"metric {name!r}") for name, value in metrics.items()
    }


# What a record of metrics has beside them.
RECORD_FIELDS = ("step", "kind")


def check_names(names: Iterable[str], taken: Iterable[str], what: str) -> None:
    """Refuse names of metrics that mean something else in a record.

    Raises:
        TaskError: a name is taken.

    >>> check_names({"kind": 1.0}, RECORD_FIELDS, "loss names a metric")
    Traceback (most recent call last):
    jaxnets.train.task.TaskError: the task's loss names a metric 'kind', which a record of ...
    """
    for name in taken:
        if name in names:
            raise TaskError(
                f"the task's {what} {name!r}, which a record of metrics has for itself; give it "
                "another name"
            )


def _to_scalar(value: Any, what: str) -> jax.Array:
    # Means over parts of a batch need a floating dtype that holds any weight.
    try:
        scalar = jnp.asarray(value)
        scalar = scalar.astype(jnp.promote_types(scalar.dtype, jnp.float32))
    except (TypeError, ValueError) as error:
        raise TaskError(
            f"the task's {what} must be one number, the mean over the batch; it is "
            f"{_describe(value)}"
        ) from error
    if scalar.ndim:
        raise TaskError(
            f"the task's {what} must be one number, the mean over the batch; it has shape "
            f"{scalar.shape}. Take its mean()."
        )
    return scalar


def compute_sums(task: Task, outputs: Outputs, batch: Batch) -> dict[str, tuple[Any, Any]]:
    """The task's sums over an evaluation batch, checked.

    Raises:
        TaskError: a metric without a count.
    """
    if task.measure is None:
        return {}
    sums = _ask(task.measure, "measure", batch, outputs, batch)
    if not isinstance(sums, Mapping):
        raise TaskError(
            f"the task's measure must return {{name: (sum, count)}}; it returned {_describe(sums)}"
        )
    for name, pair in sums.items():
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise TaskError(
                f"the task's measure gives {name!r} without a count: expected (sum, count), so "
                f"that means over a data set are exact, got {_describe(pair)}"
            )
    return {name: (jnp.asarray(total), jnp.asarray(count)) for name, (total, count) in sums.items()}


def compute_rows(task: Task, outputs: Outputs, batch: Batch) -> dict[str, Any]:
    """What the task collects of an evaluation batch, checked.

    Raises:
        TaskError: an array that has not one row for each example.
    """
    if task.collect is None:
        return {}
    rows = _ask(task.collect, "collect", batch, outputs, batch)
    size = len(jax.tree.leaves(batch)[0])
    for array in jax.tree.leaves(rows):
        if jnp.ndim(array) == 0 or jnp.shape(array)[0] != size:
            raise TaskError(
                f"the task's collect must return arrays with one row for each of the {size} "
                f"examples; it returned {_describe(array)}"
            )
    return dict(rows)


def _ask(
    function: Callable, name: str, batch: Batch, *arguments: Any, updates: Updates | None = None
) -> Any:
    try:
        return function(*arguments)
    except KeyError as error:
        (key,) = error.args[:1] or (None,)
        if key in batch:
            raise
        # The key may have been meant for any of them.
        has = {"the batch": batch, "the network's output": arguments[0], "what it wrote": updates}
        listed = "; ".join(
            f"{what} has {', '.join(sorted(map(str, mapping))) or 'nothing'}"
            for what, mapping in has.items()
            if isinstance(mapping, Mapping) and (mapping is not batch or what == "the batch")
        )
        raise TaskError(f"the task's {name} asks for {key!r}; {listed}") from error


def _describe(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return f"an array of shape {tuple(shape)}" if shape is not None else repr(value)[:80]
