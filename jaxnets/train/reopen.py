"""A run's network again: its variables from a checkpoint, checked against the module."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import linen as nn
from flax.traverse_util import unflatten_dict

from jaxnets.errors import JaxnetsError
from jaxnets.train.arrays import Arrays, named_leaves, require_same_arrays
from jaxnets.train.checkpoint import Checkpoints
from jaxnets.train.run_directory import local_path, read_json, run_id
from jaxnets.train.state import network_functions
from jaxnets.train.task import Task, call_network

# In front of the arrays of a checkpoint that hold what a validation split has chosen so far.
SELECTION = "selection/"


class Reopened(NamedTuple):
    """A network out of a run's directory.

    Attributes:
        apply_fn: the module's ``apply``, which takes ``train`` whether the module does or not.
        variables: ``{"params": …, "batch_stats": …}``, NumPy arrays.
        step: of the checkpoint.
        meta: what the run keeps beside the arrays.

    >>> Reopened(nn.Dense(2).apply, {"params": {}}, 10, {}).step
    10
    """

    apply_fn: Callable[..., Any]
    variables: dict[str, Any]
    step: int
    meta: dict[str, Any]


def without_selection(arrays: Arrays) -> tuple[Arrays, Arrays]:
    """A checkpoint's arrays in two: the training state's, and those of the selection.

    Args:
        arrays: of a checkpoint.

    Returns:
        (of the training state, of `EarlyStoppingHook.arrays`, empty where there is none).

    >>> without_selection({"step": np.int32(1), "selection/stop": np.array(False)})[1]
    {'stop': array(False)}
    """
    chosen = {k.removeprefix(SELECTION): v for k, v in arrays.items() if k.startswith(SELECTION)}
    return {k: v for k, v in arrays.items() if not k.startswith(SELECTION)}, chosen


def variables_in(arrays: Arrays, *, selected: bool = True) -> Arrays:
    """The network's variables among a checkpoint's arrays.

    Args:
        arrays: of a checkpoint.
        selected: those that a validation split has chosen, where there is one; otherwise those of
            the checkpoint's own step.

    Returns:
        "params/…", "batch_stats/…" → array.

    >>> list(variables_in({"step": np.int32(1), "params/w": np.zeros(2), "model_state/m/w": 0}))
    ['params/w', 'm/w']
    """
    state, chosen = without_selection(arrays)
    if selected and chosen:
        return {k.removeprefix("best/"): v for k, v in chosen.items() if k.startswith("best/")}
    found = {}
    for path, array in state.items():
        head, _, rest = path.partition("/")
        if head == "params":
            found[path] = array
        elif head == "model_state":
            found[rest] = array
    return found


def reopen(
    workdir: str | Path,
    model: nn.Module | None = None,
    *,
    step: int | None = None,
    task: Task | None = None,
    example_batch: Mapping[str, Any] | None = None,
    notify: Callable[[str], None] = print,
) -> Reopened:
    """Read the network of a run of `jaxnets.train.fit`: hand in the module that was trained.

    Args:
        workdir: the run's directory.
        model: the module; None gives variables without ``apply_fn``'s module.
        step: of a certain checkpoint (default: the newest whole one; of a run with a validation
            split the parameters that were best on it).
        task: with ``example_batch``: check that the module has the variables that were saved.
        example_batch: one example is enough.
        notify: called with a sentence about a damaged checkpoint that is passed over.

    Returns:
        `Reopened`.

    Raises:
        JaxnetsError: no run or no checkpoint there, or it is another network's.

    Example::

        found = train.reopen("runs/mine", MyNetwork())
        outputs = found.apply_fn(found.variables, inputs, train=False)

    >>> reopen("/nowhere")
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: /nowhere holds no run (no config.json)...
    """
    workdir = local_path(workdir)
    if read_json(workdir / "config.json") is None:
        raise JaxnetsError(
            f"{workdir} holds no run (no config.json). Train one first:\n"
            f"  jaxnets train --workdir {workdir}\n"
            f"or python -m experiments.train_classifier --workdir {workdir} in a clone"
        )
    checkpoints = Checkpoints(workdir / "checkpoints", run=run_id(workdir), notify=notify)
    try:
        found = checkpoints.restore(step)
    finally:
        checkpoints.close()
    if found is None:
        raise JaxnetsError(f"{workdir} has no checkpoint yet; its run has not saved one")
    arrays = variables_in(found.arrays, selected=step is None)
    init_fn, apply_fn = (_no_module, _no_module) if model is None else network_functions(model)
    if model is not None and task is not None and example_batch is not None:
        example = {name: np.asarray(array)[:1] for name, array in example_batch.items()}
        keys = {name: jax.random.key(0) for name in ("params", *task.rngs)}
        wanted = jax.eval_shape(
            lambda batch: call_network(task, init_fn, keys, batch, train=False), example
        )
        dropped = (*task.mutable, *task.carried)
        kept = {name: tree for name, tree in wanted.items() if name not in dropped}
        require_same_arrays(named_leaves(kept), arrays)
    return Reopened(apply_fn, unflatten_dict(arrays, sep="/"), found.step, found.meta)


def _no_module(*_: Any, **__: Any) -> Any:
    raise JaxnetsError("reopen was called without a module: hand in the one that was trained")
