"""Training that is compiled once and run for many keys, data sets and starting points."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnets import optim
from jaxnets.data import Batches, Split, eval_batches
from jaxnets.study.training import loss_only
from jaxnets.train import TrainState, train_step
from jaxnets.train.step import Prepare

Variables = Mapping[str, Any]


def train_and_keep(
    state: TrainState,
    step_fn: Callable[[TrainState, Any], tuple[TrainState, dict[str, jax.Array]]],
    batches: Iterator[Any],
    keep_after: Sequence[int],
) -> tuple[TrainState, list[dict[str, Any]]]:
    """Train up to the last of ``keep_after``, and keep the variables after each of these steps.

    With a rate from `optim.schedules.snapshot_cosine` and ``keep_after=snapshot_steps(…)`` this is
    a snapshot ensemble; with the last steps of any run a checkpoint ensemble.

    Args:
        state: where to begin.
        step_fn: (state, batch) → (state, metrics), compiled.
        batches: as many as the last number says.
        keep_after: numbers of steps from here, increasing.

    Returns:
        (the last state, the kept variables on the host, one for each number).

    Raises:
        ValueError: no steps, or steps that do not increase.

    Source: Huang et al., "Snapshot ensembles: train 1, get M for free", 2017.

    >>> from jaxnets.models import create_model
    >>> net, x = create_model("mlp", hidden=(2,)), jnp.ones((4, 2, 2, 1))
    >>> key = jax.random.key(0)
    >>> state = plain_state(net, net.init(key, x), optax.sgd(0.1), key=key)
    >>> step = partial(train_step, task=loss_only())
    >>> batches = itertools.repeat({"image": x, "label": jnp.arange(4)})
    >>> state, kept = train_and_keep(state, step, batches, keep_after=[1, 3])
    >>> int(state.step), len(kept)
    (3, 2)
    """
    steps = list(keep_after)
    if not steps or steps[0] < 1 or any(a >= b for a, b in itertools.pairwise(steps)):
        raise ValueError(f"keep_after must be numbers of steps ≥ 1 that increase, got {keep_after}")
    kept = []
    for number in range(1, steps[-1] + 1):
        state, metrics = step_fn(state, next(batches))
        if number in steps:
            # A copy: the step may take its state's memory for the next one.
            kept.append(jax.tree.map(lambda x: np.array(x, copy=True), state.variables))
        elif number % 2 == 0:
            # A CPU that runs far ahead of its work holds the memory of every step.
            jax.block_until_ready(metrics)
    return state, kept


def plain_state(
    network: nn.Module, variables: Variables, rule: optax.GradientTransformation, *, key: jax.Array
) -> TrainState:
    """A `TrainState` that begins with given variables and trains all of them.

    Args:
        network: the network.
        variables: its parameters and other collections.
        rule: the optimizer.
        key: for the randomness of the steps.

    Returns:
        The state, at step 0.

    >>> plain_state(nn.Dense(1), {"params": {}}, optax.sgd(0.1), key=jax.random.key(0)).model_state
    {}
    """
    model_state = dict(variables)
    params = model_state.pop("params")
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        model_state=model_state,
        opt_state=rule.init(params),
        key=key,
        apply_fn=network.apply,
        tx=rule,
    )


class Trainer:
    """Nesterov momentum on one classifier, compiled once, for any data, keys and starting points.

    Weight decay acts on matrices only, gradients are clipped to norm 2.

    Args:
        network: the network.
        input_shape: (H, W, C).
        preprocess: images as stored → images as the network wants them.
        steps: of a run; the schedule ends there.
        batch_size: of a run.
        rate: highest learning rate.
        schedule: a name of `optim.list_schedules()`; ``options`` are its options.
        make_state: (network, variables, rule, key=…) → state; `jaxnets.transfer.transfer_state`
            freezes layers.
        prepare: as `train_step` takes it.
        weight_decay: λ.
        options: of the schedule.

    >>> from jaxnets.data import load_dataset
    >>> from jaxnets.models import create_model
    >>> digits = load_dataset("digits", train_examples=60)
    >>> net = create_model("mlp", hidden=(8,))
    >>> trainer = Trainer(net, (8, 8, 1), lambda x: x / 128 - 1, steps=4, batch_size=30, rate=0.1)
    >>> after_two, last = trainer.run(trainer.initial(0), digits.train, seed=0, keep_after=[2])
    >>> sorted(last["params"])
    ['classifier', 'fc1']
    """

    def __init__(
        self,
        network: nn.Module,
        input_shape: tuple[int, int, int],
        preprocess: Callable[[jax.Array], jax.Array],
        *,
        steps: int,
        batch_size: int,
        rate: float,
        schedule: str = "cosine",
        make_state: Callable[..., TrainState] = plain_state,
        prepare: Prepare | None = None,
        weight_decay: float = 5e-4,
        **options: Any,
    ):
        self.network, self.steps, self.batch_size = network, steps, batch_size
        self.input_shape = input_shape
        rule = optim.create_optimizer(
            "nesterov",
            optim.create_schedule(schedule, rate, steps, **options),
            weight_decay=weight_decay,
            mask=optim.mask_by_name,
            clip_norm=2.0,
        )
        self._init = jax.jit(partial(_init, network, input_shape))
        # One state whose functions all runs share, so that they share one compiled step.
        self._template = make_state(network, self.initial(0), rule, key=jax.random.key(0))
        self._begin = jax.jit(self._template.tx.init)
        task = loss_only(preprocess=preprocess)
        self._step = jax.jit(partial(train_step, task=task, prepare=prepare), donate_argnums=0)

    def initial(self, seed: int) -> Variables:
        """The network's own initialization."""
        return self._init(jax.random.key(seed))

    def run(
        self, variables: Variables, split: Split, seed: int, keep_after: Sequence[int] = ()
    ) -> list[Variables]:
        """Train from given variables.

        Args:
            variables: where to begin; they are not changed.
            split: training examples.
            seed: of their order and of the steps' randomness.
            keep_after: numbers of steps.

        Returns:
            Variables after each of ``keep_after`` and at the end. The end is there once, also when
            it is among ``keep_after``.
        """
        # Copies: the step takes over the memory of its state.
        own = jax.tree.map(lambda x: jnp.array(x, copy=True), dict(variables))
        params = own.pop("params")
        state = self._template.replace(
            step=jnp.zeros((), jnp.int32),
            params=params,
            model_state=own,
            opt_state=self._begin(params),
            key=jax.random.key(seed + 1000),
        )
        batches = Batches(split, min(self.batch_size, len(split)), seed=seed)
        stops = sorted({*keep_after, self.steps})
        with batches.iterate(0, self.steps) as stream:
            _, kept = train_and_keep(state, self._step, stream, stops)
        return kept


def _init(network: nn.Module, input_shape: tuple[int, int, int], key: jax.Array) -> Variables:
    return network.init({"params": key}, jnp.zeros((1, *input_shape)), train=False)


class SplitPredictor:
    """Softmax probabilities of a network over a split, compiled once for any variables.

    Args:
        network: the network.
        preprocess: images as stored → images as the network wants them.
        batch_size: images at a time.

    >>> from jaxnets.models import create_model
    >>> net = create_model("mlp", hidden=(2,), num_classes=3)
    >>> split = Split(np.zeros((5, 2, 2, 1), np.uint8), np.zeros(5, int))
    >>> variables = net.init(jax.random.key(0), jnp.zeros((1, 2, 2, 1)))
    >>> predictor = SplitPredictor(net, lambda x: x / 255)
    >>> predictor.probabilities(variables, split).shape, predictor.accuracy(variables, split)
    ((5, 3), 1.0)
    """

    def __init__(self, network: nn.Module, preprocess: Callable, batch_size: int = 500):
        self._batch_size = batch_size
        self._run = jax.jit(
            lambda v, x: jax.nn.softmax(network.apply(v, preprocess(x), train=False))
        )

    def probabilities(self, variables: Variables, split: Split) -> np.ndarray:
        """(N, K)."""
        size = min(self._batch_size, len(split))
        parts = [
            np.asarray(self._run(variables, batch["image"]))[batch["example_mask"] > 0]
            for batch in eval_batches(split, size)
        ]
        return np.concatenate(parts)

    def accuracy(self, variables: Variables, split: Split) -> float:
        """Share of the right answers."""
        return float((self.probabilities(variables, split).argmax(-1) == split.labels).mean())
