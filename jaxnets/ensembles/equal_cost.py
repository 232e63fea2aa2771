"""Ensembles beside one network at the same cost: networks, checkpoints, snapshots, SWA."""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from jaxnets.data import Split
from jaxnets.ensembles.weights import average_checkpoints
from jaxnets.optim.schedules import snapshot_steps
from jaxnets.study.repeated_training import SplitPredictor, Trainer

KINDS = {
    "one": "one network",
    "networks": "k networks (k × the cost)",
    "short": "k short networks",
    "checkpoints": "checkpoints of one run",
    "snapshots": "snapshots, cyclic rate",
    "swa": "SWA",
    "swa_last": "last network of the SWA run",
}

# Batches that batch normalization's statistics are counted on anew.
STATISTICS_BATCHES = 40


class EnsembleStudy:
    """Trains every kind of ensemble of k members, where one run is T steps.

    - one network: 1 run, half a cosine;
    - k networks: k runs with other keys;
    - k short networks: k runs of T/k steps, one run's cost in all;
    - checkpoints: the last k of one run;
    - snapshots: k of one run with the cyclic rate (Huang et al., "Snapshot ensembles: train 1, get
      M for free", 2017);
    - SWA: the mean of the weights of the last k checkpoints of one run with a quarter of the rate,
      constant, in its second half (Izmailov et al., "Averaging weights leads to wider optima and
      better generalization", 2018), statistics of batch normalization counted anew; beside it the
      same run's last network.

    Trainings are compiled once and serve all keys.

    Args:
        network: the network.
        preprocess: images as stored → images as the network wants them.
        train, test: the data.
        members: k.
        steps: T.
        batch_size: of a step.
        rate: highest learning rate.

    >>> from jaxnets.data import load_dataset
    >>> from jaxnets.models import create_model
    >>> part = load_dataset("digits", train_examples=40).train
    >>> study = EnsembleStudy(
    ...     create_model("mlp", hidden=(2,)), lambda x: x / 255, part, part, members=2, steps=4,
    ...     batch_size=20, rate=0.1)
    >>> {kind: len(p) for kind, p in study.one_key(0).items() if kind in ("snapshots", "swa")}
    {'snapshots': 2, 'swa': 1}
    """

    def __init__(
        self,
        network: nn.Module,
        preprocess: Callable[[jax.Array], jax.Array],
        train: Split,
        test: Split,
        *,
        members: int,
        steps: int,
        batch_size: int,
        rate: float,
    ):
        self.train, self.test, self.preprocess, self.network = train, test, preprocess, network
        self.members, self.steps, self.batch_size = members, steps, batch_size
        self.predictor = SplitPredictor(network, preprocess)

        def trainer(steps: int, schedule: str = "cosine", **options: Any) -> Trainer:
            return Trainer(
                network,
                train.images.shape[1:],
                preprocess,
                steps=steps,
                batch_size=batch_size,
                rate=rate,
                schedule=schedule,
                **options,
            )

        self.whole, self.short = trainer(steps), trainer(max(steps // members, 1))
        self.cyclic = trainer(steps, "snapshot", cycles=members)
        self.constant = trainer(steps, "step", step_size=max(steps // 2, 1), gamma=0.25)

    def probabilities(self, members: Sequence[Any]) -> np.ndarray:
        """(k, N, K) of each member on the test images."""
        return np.stack([self.predictor.probabilities(v, self.test) for v in members])

    def one_key(self, key: int) -> dict[str, np.ndarray]:
        """Every kind of ensemble once: kind → members' probabilities (k, N, K)."""
        k, steps = self.members, self.steps
        seeds = [100 * key + i for i in range(k)]
        spacing = max(steps // (4 * k), 1)
        last = [steps - spacing * i for i in reversed(range(k))]
        independent, checkpoints = [], []
        for seed in seeds:
            kept = self.whole.run(
                self.whole.initial(seed), self.train, seed, last if seed == seeds[0] else ()
            )
            checkpoints = checkpoints or kept
            independent.append(kept[-1])
        short = [self.short.run(self.short.initial(s), self.train, s)[-1] for s in seeds]
        snapshots = self.cyclic.run(
            self.cyclic.initial(seeds[0]), self.train, seeds[0], snapshot_steps(steps, k)
        )
        swa_run = self.constant.run(self.constant.initial(seeds[0]), self.train, seeds[0], last)
        return {
            "one": self.probabilities(independent[:1]),
            "networks": self.probabilities(independent),
            "short": self.probabilities(short),
            "checkpoints": self.probabilities(checkpoints),
            "snapshots": self.probabilities(snapshots),
            "swa": self.probabilities([self._average(swa_run)]),
            "swa_last": self.probabilities(swa_run[-1:]),
        }

    def _average(self, run: Sequence[Any]) -> Any:
        size = self.batch_size
        batches = [
            self.preprocess(self.train.images[i : i + size])
            for i in range(0, len(self.train.images) - size + 1, size)
        ][:STATISTICS_BATCHES]
        return average_checkpoints(self.network.apply, run, batches)
