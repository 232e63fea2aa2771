"""Five ways to learn a new task from a pretrained network, measured on the same examples."""

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.data import Dataset, Split
from jaxnets.errors import JaxnetsError
from jaxnets.models.counting import abstract_variables
from jaxnets.study.repeated_training import SplitPredictor, Trainer
from jaxnets.transfer.class_subsets import (
    ClassSubset,
    choose_classes,
    random_halves,
    take_per_class,
)
from jaxnets.transfer.features import compute_features, endpoint_features, head_inputs
from jaxnets.transfer.freeze import transfer_state
from jaxnets.transfer.layers import copy_layers, count_trainable, layer_groups, layers_up_to
from jaxnets.transfer.probe import cross_validate, fit_linear_probe
from jaxnets.transfer.similarity import measure_similarity

# What a network's classifier sees, among the names of its endpoints.
LAST = "last features"


class Amount(NamedTuple):
    """How many examples there are to learn from, and how long they are trained on.

    Attributes:
        steps: of a training.
        batch_size: of a training.
        per_class: examples of each class; None for all.

    >>> Amount(steps=150, batch_size=32, per_class=20).per_class
    20
    """

    steps: int
    batch_size: int
    per_class: int | None = None


class StrategyStudy:
    """Pretrains on half of the classes, and learns the other half and another data set five ways.

    The ways, all from the same examples:

    - probe: a linear classifier on the pretrained network's last features, fitted by L-BFGS;
    - stage probe: the same on the stage that cross-validation on the training examples prefers;
    - top: the last layers trained, the first ones frozen with their statistics;
    - full: all layers trained, from the pretrained ones;
    - scratch: all layers trained, from random numbers.

    Trainings are compiled once and serve all keys.

    Args:
        source: half of its classes are pretrained on, the other half is the similar data.
        other: the different data, with images of the same size.
        network: with half as many classes as ``source``.
        preprocess: images as stored → images as the network wants them.
        pretraining: steps and batch size.
        small, large: the two amounts of new data.
        test_per_class: test images of each class.
        rate: highest learning rate from random numbers.
        fine_tuning_rate: highest learning rate from pretrained layers.
        freeze_to: "top" trains what lies behind this layer (default: the first half of the layers).
        published: variables of a network that was pretrained elsewhere, used for every key.

    Raises:
        JaxnetsError: ``other`` has too few classes.
        UnknownNameError: ``freeze_to`` is no layer.

    >>> from jaxnets.data import load_dataset
    >>> from jaxnets.models import create_model
    >>> digits, amount = load_dataset("digits"), Amount(steps=2, batch_size=10, per_class=4)
    >>> study = StrategyStudy(
    ...     digits, digits, create_model("mlp", hidden=(4, 4), num_classes=5), lambda x: x / 255,
    ...     pretraining=amount, small=amount, large=amount, test_per_class=5, rate=0.1,
    ...     fine_tuning_rate=0.1)
    >>> study.stages, study.bottom
    (['fc1', 'fc2'], ('fc1',))
    """

    def __init__(
        self,
        source: Dataset,
        other: Dataset,
        network: nn.Module,
        preprocess: Callable[[jax.Array], jax.Array],
        *,
        pretraining: Amount,
        small: Amount,
        large: Amount,
        test_per_class: int,
        rate: float,
        fine_tuning_rate: float,
        freeze_to: str | None = None,
        published: Mapping[str, Any] | None = None,
    ):
        self.source, self.other, self.shape = source, other, source.image_shape
        self.classes = source.num_classes // 2
        if other.num_classes < self.classes:
            raise JaxnetsError(
                f"{other.name} has {other.num_classes} classes; half of {source.name} has "
                f"{self.classes}"
            )
        self.network, self.preprocess, self.published = network, preprocess, published
        self.amounts = {"small": small, "large": large}
        self.test_per_class = test_per_class
        groups = layer_groups(network, self.shape)
        self.stages = [name for name in groups if name not in ("neck", "head")]
        to = freeze_to or self.stages[max(len(self.stages) // 2 - 1, 0)]
        self.bottom = layers_up_to(network, self.shape, to)
        self.backbone = layers_up_to(network, self.shape, "backbone")
        self._feature_widths, self._features = self._feature_function()
        self.trainers = self._trainers(pretraining, rate, fine_tuning_rate)
        self.predictor = SplitPredictor(network, preprocess)

    def _feature_function(self):
        """Widths by stage, and (variables, images) → all stages' features side by side."""
        network = self.network

        def parts(variables, x):
            x = self.preprocess(x)
            stages = {s: endpoint_features(network, variables, x, s) for s in self.stages}
            return {**stages, LAST: head_inputs(network, variables, x)}

        def joined(variables, x):
            return jnp.concatenate(list(parts(variables, x).values()), axis=-1)

        image = jax.ShapeDtypeStruct((1, *self.shape), jnp.uint8)
        shapes = jax.eval_shape(parts, abstract_variables(network, self.shape), image)
        # A dict comes back with its names sorted.
        return {name: shapes[name].shape[-1] for name in (*self.stages, LAST)}, joined

    def _trainers(self, pretraining, rate, fine_tuning_rate) -> dict[tuple[str, str], Trainer]:
        @cache
        def trainer(steps: int, batch_size: int, rate: float, frozen: tuple = ()) -> Trainer:
            return Trainer(
                self.network,
                self.shape,
                self.preprocess,
                steps=steps,
                batch_size=batch_size,
                rate=rate,
                make_state=partial(transfer_state, frozen=frozen),
            )

        out = {("pretraining", "scratch"): trainer(*pretraining[:2], rate)}
        for size, amount in self.amounts.items():
            out[size, "top"] = trainer(*amount[:2], fine_tuning_rate, self.bottom)
            out[size, "full"] = trainer(*amount[:2], fine_tuning_rate)
            out[size, "scratch"] = trainer(*amount[:2], rate)
        return out

    def pretrain(self, key: int, subset: ClassSubset) -> tuple[Any, float | None]:
        """(variables, accuracy on its own classes; None for published weights)."""
        trainer = self.trainers["pretraining", "scratch"]
        if self.published is not None:
            return copy_layers(trainer.initial(key), self.published, self.backbone), None
        variables = trainer.run(trainer.initial(key), subset.train, key)[-1]
        return variables, self.predictor.accuracy(variables, subset.test)

    def one_key(self, key: int, tick: Callable[[], Any] = lambda: None) -> dict[str, Any]:
        """All that one key measures, with halves, pretrained network and examples of its own.

        Args:
            key: of everything random.
            tick: called after each of the 13 trainings.

        Returns:
            Case ("small similar", …) → way → accuracy; ``pretrained_accuracy``; ``similarity``:
            kind → `measure_similarity`; ``stages``: case → stage → accuracy of its probe.
        """
        known, similar_half = random_halves(self.source, key)
        chosen = np.random.default_rng(key).permutation(self.other.num_classes)[: self.classes]
        variables, accuracy = self.pretrain(key, choose_classes("known", self.source, known))
        tick()
        targets = {
            "similar": choose_classes("similar", self.source, similar_half),
            "different": choose_classes("different", self.other, sorted(chosen.tolist())),
        }
        out: dict[str, Any] = {"pretrained_accuracy": accuracy, "similarity": {}, "stages": {}}
        for kind, subset in targets.items():
            test = take_per_class(subset.test, self.test_per_class, 0)
            small = take_per_class(subset.train, self.amounts["small"].per_class, key)
            out["similarity"][kind] = measure_similarity(
                jax.random.key(key),
                self.network,
                variables,
                small.images,
                small.labels,
                preprocess=self.preprocess,
                num_classes=self.classes,
                l2=1 / len(small),
            )
            for size, amount in self.amounts.items():
                train = take_per_class(subset.train, amount.per_class, key)
                found, stages = self._probes(variables, train, test)
                for way in ("top", "full", "scratch"):
                    found[way] = self._train(size, way, variables, train, test, key)
                    tick()
                out[f"{size} {kind}"] = found
                out["stages"][f"{size} {kind}"] = stages
        return out

    def trainable_parameters(self) -> dict[str, int]:
        """Way → how many parameters it trains."""
        frozen = {"probe": self.backbone, "top": self.bottom, "full": ()}
        return {
            way: count_trainable(self.network, self.shape, layers) for way, layers in frozen.items()
        }

    def _train(self, size, way, pretrained, train: Split, test: Split, key: int) -> float:
        trainer = self.trainers[size, way]
        start = trainer.initial(key + 500)
        if way != "scratch":
            start = copy_layers(start, pretrained, self.backbone)
        end = trainer.run(start, train, key + 500)[-1]
        return self.predictor.accuracy(end, test)

    def _probes(self, variables, train, test) -> tuple[dict[str, float], dict[str, float]]:
        """Accuracies of the last features' probe and of the chosen stage's; and of every stage."""
        options = {"num_classes": self.classes, "l2": 1 / len(train)}
        x, x_test = (compute_features(self._features, variables, s.images) for s in (train, test))
        start, accuracy, chosen = 0, {}, {}
        for stage, width in self._feature_widths.items():
            part = slice(start, start + width)
            start += width
            probe = fit_linear_probe(x[:, part], train.labels, **options)
            accuracy[stage] = probe.accuracy(x_test[:, part], test.labels)
            if stage != LAST:
                chosen[stage] = cross_validate(x[:, part], train.labels, folds=3, **options)
        last = accuracy.pop(LAST)
        best = max(chosen, key=chosen.get)
        return {"probe": last, "stage probe": accuracy[best]}, accuracy
