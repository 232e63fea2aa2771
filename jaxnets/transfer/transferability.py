"""How general are the first n layers of a network? AnB, BnB, AnB+ and BnB+, layer by layer."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

from jaxnets.data import Split
from jaxnets.study.repeated_training import SplitPredictor, Trainer
from jaxnets.study.small_convnet import SmallConvNet
from jaxnets.transfer.freeze import transfer_state
from jaxnets.transfer.layers import copy_layers

KINDS = ("BnB", "AnB", "BnB+", "AnB+")


def first_layers(n: int) -> tuple[str, ...]:
    """The names of the first n layers of a `SmallConvNet`.

    Args:
        n: how many.

    Returns:
        ``layer1`` to ``layern``.

    >>> first_layers(2)
    ('layer1', 'layer2')
    """
    return tuple(f"layer{i}" for i in range(1, n + 1))


def equal_bits(a: Any, b: Any, layers: Sequence[str]) -> bool:
    """Whether two networks' parameters and statistics of some layers are the same bit for bit.

    Args:
        a, b: variables.
        layers: names.

    Returns:
        True or False.

    >>> one, two = ({"params": {"layer1": {"w": np.float32(w)}}} for w in (0.0, -0.0))
    >>> equal_bits(one, one, ["layer1"]), equal_bits(one, two, ["layer1"])
    (True, False)
    """
    parts = [{c: {n: v[c][n] for n in layers} for c in v} for v in (a, b)]
    one, two = (
        [np.asarray(x).tobytes() for x in jax.tree.leaves(jax.device_get(part))] for part in parts
    )
    return one == two


class TransferabilityStudy:
    """Trainings for one split of the classes into A and B, compiled once and shared by all keys.

    For n = 1 … L a network for B begins with the first n layers of a network that was trained on B
    (BnB) or on A (AnB) and random others; without "+" the copied layers are frozen, running
    statistics included. Every run checks bit by bit that the first n layers are the copied ones at
    the start, and at the end where they are frozen.

    Args:
        widths: channels of the L convolutional layers; the classifier is one layer more.
        input_shape: (H, W, C).
        preprocess: images as stored → images as the network wants them.
        classes: ``{"A", "B"}``: how many classes each half has.
        steps, batch_size, rate: of every run.

    Source: Yosinski, Clune, Bengio, Lipson, "How transferable are features in deep neural
    networks?", 2014, section 2.

    >>> from jaxnets.data import load_dataset
    >>> part = load_dataset("digits", train_examples=40).train
    >>> options = {"steps": 2, "batch_size": 20, "rate": 0.1}
    >>> study = TransferabilityStudy(
    ...     (2,), (8, 8, 1), lambda x: x / 255, {"A": 10, "B": 10}, **options)
    >>> found = study.one_key(part, part, part, seed=0)
    >>> found["bits"], len(found["AnB+"])
    (True, 1)
    """

    def __init__(
        self,
        widths: Sequence[int],
        input_shape: tuple[int, int, int],
        preprocess: Callable[[jax.Array], jax.Array],
        classes: dict[str, int],
        *,
        steps: int,
        batch_size: int,
        rate: float,
    ):
        self.layers = len(widths)

        def trainer(num_classes: int, frozen: Sequence[str]) -> Trainer:
            return Trainer(
                SmallConvNet(num_classes, widths=widths),
                input_shape,
                preprocess,
                steps=steps,
                batch_size=batch_size,
                rate=rate,
                make_state=partial(transfer_state, frozen=frozen),
            )

        self.on_a = trainer(classes["A"], ())
        same = classes["A"] == classes["B"]
        self.on_b = {0: self.on_a if same else trainer(classes["B"], ())}
        self.on_b |= {n: trainer(classes["B"], first_layers(n)) for n in range(1, self.layers + 1)}
        self.predictor = SplitPredictor(SmallConvNet(classes["B"], widths=widths), preprocess)

    @property
    def runs(self) -> int:
        """Trainings of one key: 4 kinds × L, the networks for A and B, and a second one for B."""
        return 4 * self.layers + 3

    def one_key(
        self, a: Split, b: Split, test: Split, seed: int, tick: Callable[[], Any] = lambda: None
    ) -> dict[str, Any]:
        """All networks of one key.

        Args:
            a, b: training examples of the two halves.
            test: test examples of B.
            seed: of everything random.
            tick: called before each training.

        Returns:
            Accuracies on B: ``baseB``, ``baseB again`` (other random numbers throughout, the
            paper's baseline), and for each kind a list over n; ``bits``: whether all checks held.
        """

        def train(trainer, start, data, seed):
            tick()
            return trainer.run(start, data, seed)[-1]

        base_a = train(self.on_a, self.on_a.initial(seed), a, seed)
        base_b = train(self.on_b[0], self.on_b[0].initial(seed + 1), b, seed + 1)
        out: dict[str, Any] = {"baseB": self.predictor.accuracy(base_b, test)}
        checks = []
        for kind in KINDS:
            out[kind] = []
            for n in range(1, self.layers + 1):
                layers = first_layers(n)
                trainer = self.on_b[0 if kind.endswith("+") else n]
                source = base_b if kind.startswith("B") else base_a
                # The same random upper layers for all kinds: differences are due to the source.
                start = copy_layers(trainer.initial(seed + 2), source, layers)
                checks.append(equal_bits(start, source, layers))
                end = train(trainer, start, b, seed + 2)
                if not kind.endswith("+"):
                    checks.append(equal_bits(end, source, layers))
                out[kind].append(self.predictor.accuracy(end, test))
        again = train(self.on_b[0], self.on_b[0].initial(seed + 2), b, seed + 2)
        out["baseB again"] = self.predictor.accuracy(again, test)
        out["bits"] = all(checks)
        return out
