"""Training that is compiled once and run for many keys."""

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxnets import optim
from jaxnets.data import Batches, Split, eval_batches
from jaxnets.ensembles import train_and_keep
from jaxnets.tasks import classification
from jaxnets.train import train_step
from jaxnets.transfer import transfer_state

Variables = Any


class Trainer:
    """Nesterov momentum on one network with some layers frozen, for any data and keys.

    Args:
        network: the network.
        input_shape: (H, W, C).
        preprocess: stored images → images as the network wants them.
        steps: of a run; the schedule ends there.
        batch_size: of a run.
        rate: highest learning rate.
        schedule: a name of `optim.list_schedules`, with its options.
        frozen: layers that stay.
        prepare: as `train_step` takes it.
        weight_decay: λ, on matrices only.
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
        frozen: Collection[str] = (),
        prepare: Callable | None = None,
        weight_decay: float = 5e-4,
        **options: Any,
    ):
        self.network, self.steps, self.batch_size = network, steps, batch_size
        self.input_shape = input_shape
        rule = optim.create_optimizer(
            "nesterov",
            optim.create_schedule(schedule, rate, steps, **options),
            weight_decay=weight_decay,
            mask=optim.mask_by_rank,
            clip_norm=2.0,
        )
        self._init = jax.jit(partial(_init, network, input_shape))
        # One state whose functions all runs share, so that they share one compiled step.
        self._template = transfer_state(
            network, self.initial(0), rule, jax.random.key(0), frozen=frozen
        )
        self._begin = jax.jit(self._template.tx.init)
        task = classification(network.num_classes, preprocess=preprocess)
        self._step = jax.jit(partial(train_step, task=task, prepare=prepare), donate_argnums=0)

    def initial(self, seed: int) -> Variables:
        """The network's own initialization."""
        return self._init(jax.random.key(seed))

    def run(
        self, variables: Variables, split: Split, seed: int, keep_after: Sequence[int] = ()
    ) -> list[Variables]:
        """Train from given variables; returns those after each of ``keep_after`` and at the end.

        The end is there once, also when it is among ``keep_after``.
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


class Predictor:
    """Softmax probabilities of a network over a split, compiled once."""

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
