"""Methods of teaching one network, trained alike and held against each other over keys."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np
import optax
from tqdm import tqdm

from jaxnets import losses
from jaxnets.data import Source
from jaxnets.errors import JaxnetsError, UnknownNameError
from jaxnets.optim import create_optimizer, mask_by_rank
from jaxnets.tasks import distillation_terms as shared
from jaxnets.tasks.classification import classification
from jaxnets.tasks.distillation import as_student, distillation, student_network
from jaxnets.tasks.fitnet import train_fitnet
from jaxnets.tasks.generations import train_generations
from jaxnets.tasks.teacher import CachedTeacher
from jaxnets.train import Fitted, RunOptions, create_state, fit
from jaxnets.train.task import Task

METHODS = {
    "plain": "labels alone",
    "label_smoothing": "targets lifted for all classes",
    "confidence_penalty": "entropy rewarded, for all classes",
    "kd": "softened predictions of the teacher",
    "fitnet": "first a hint, then softened predictions",
    "attention": "labels, and attention maps of two layers",
    "relational": "labels, and distances and angles between examples",
    "contrastive": "labels, and which of the teacher's features is the example's",
    "strict": "generations of the student itself, from the plain one",
    "tolerant": "generations of the student itself, from one that spares the next classes",
}


@dataclass(frozen=True)
class Settings:
    """What is trained how; the same for all methods.

    Attributes:
        epochs: passes over the source, of every run but a FitNet's first stage.
        hint_epochs: passes of that stage.
        batch_size: of a step.
        learning_rate: highest rate; Nesterov momentum with a cosine schedule.
        weight_decay: of matrices.
        temperature, alpha: T and α of softened predictions; the labels get 1 − α.
        hint_temperature: T of a FitNet's second stage.
        anneal: first and last λ there.
        label_smoothing: ε of label smoothing.
        penalty: β of the confidence penalty.
        attention: weight β/2 of the attention maps.
        relational: weight of distances (25) and angles (50) together.
        contrastive: weight of the contrast.
        generations: how many follow the first teacher.
        eta, top, label_weight: η, K and λ of generations.

    >>> Settings(epochs=2).temperature
    4.0
    """

    epochs: int = 12
    hint_epochs: int = 4
    batch_size: int = 64
    learning_rate: float = 0.1
    weight_decay: float = 5e-4
    temperature: float = 4.0
    alpha: float = 0.9
    hint_temperature: float = 3.0
    anneal: tuple[float, float] = (4.0, 1.0)
    label_smoothing: float = 0.1
    penalty: float = 0.1
    attention: float = 10.0
    relational: float = 1.0
    contrastive: float = 0.5
    generations: int = 2
    eta: float = 0.6
    top: int = 5
    label_weight: float = 0.6

    def check(self, methods: Iterable[str] = ()) -> None:
        """Raise a `JaxnetsError` for values that no run can have, and for unknown methods."""
        for method in methods:
            _require(method)
        positive = ("epochs", "hint_epochs", "batch_size", "learning_rate", "temperature")
        for name in (*positive, "hint_temperature"):
            if not getattr(self, name) > 0:
                option = f"--{name.replace('_', '-')}"
                raise JaxnetsError(f"{option} must be above 0, got {getattr(self, name)}")
        for name in ("alpha", "label_smoothing", "eta", "label_weight"):
            if not 0 <= getattr(self, name) <= 1:
                option = f"--{name.replace('_', '-')}"
                raise JaxnetsError(f"{option} must lie in [0, 1], got {getattr(self, name)}")
        if self.generations < 0:
            raise JaxnetsError(f"--generations must be 0 or more, got {self.generations}")


class Comparison:
    """One student, one teacher, one set of examples; every method by its name.

    Args:
        student: the network.
        source: examples with what the teacher says of them, with the layers that are named below.
        test: examples that are measured.
        num_classes: K.
        preprocess: images as stored → images as the student wants them.
        student_layers: paths of a layer in the middle (guided) and of the last before the head.
        teacher_layers: the teacher's, likewise.
        settings: of the training.
        options: how the runs are carried out.
        about: what else decides what is learned, as JSON values; runs with others are not resumed.

    Example: `experiments/distillation/distill.py`.
    """

    def __init__(
        self,
        student: nn.Module,
        source: CachedTeacher,
        test: Source,
        *,
        num_classes: int,
        preprocess: Any,
        student_layers: tuple[str, str],
        teacher_layers: tuple[str, str],
        settings: Settings,
        options: RunOptions,
        about: Mapping[str, Any] | None = None,
    ):
        self.student, self.source, self.test = student, source, test
        self.num_classes, self.preprocess = num_classes, preprocess
        self.pairs = tuple(zip(student_layers, teacher_layers, strict=True))
        self.settings, self.options = settings, options
        self.about = dict(about or {})
        s, middle, last = settings, self.pairs[0], self.pairs[1]
        self._terms = {
            "kd": [shared.soft_targets(temperature=s.temperature, weight=s.alpha)],
            "attention": [shared.attention(middle, last, weight=s.attention)],
            "relational": [shared.relational(*last, weight=s.relational)],
            "contrastive": [shared.contrastive(*last, weight=s.contrastive)],
        }

    def run(self, method: str, key: int, workdir: Path) -> dict[str, Fitted]:
        """Train by one method from one key; what is finished is not trained again.

        Args:
            method: one of `METHODS`.
            key: number of the repetition; all methods begin with the same weights and see the
                examples in the same order.
            workdir: the runs lie in its folders.

        Returns:
            Name of a row → what it came to: the method's own name, or "strict 1", "tolerant 0", ….

        Raises:
            UnknownNameError: another method.
        """
        _require(method)
        if method in ("plain", "strict", "tolerant"):
            return self._generations(method, key, workdir)
        if method == "fitnet":
            return {method: self._fitnet(key, workdir / method)}
        # The layers of other methods would be carried to the device for nothing.
        terms = self._terms.get(method, ())
        layers = tuple(other for term in terms for _, other in term.layers)
        source = self.source.only(*layers) if terms else self.source.only()
        student: nn.Module = self.student
        if terms:
            student = student_network(
                student, terms, source.take(np.arange(1)), preprocess=self.preprocess
            )
        fitted = fit(
            student,
            source,
            task=self._task(method),
            variables=None if student is self.student else self._begin(student, key),
            workdir=workdir / method,
            **self._common(key),
        )
        return {method: fitted}

    def run_all(
        self, methods: Iterable[str], keys: int, workdir: Path
    ) -> Iterator[dict[str, list[Fitted]]]:
        """Every method from every key, "plain" always among them; what is finished is kept.

        Args:
            methods: of `METHODS`.
            keys: how many.
            workdir: the runs lie in its folders "key0", "key1", ….

        Yields:
            After each key: row → what it came to for each key so far. A run that was asked to stop
            ends the series.

        Raises:
            UnknownNameError: a method that is not there, before anything is trained.
        """
        methods = list(dict.fromkeys(["plain", *methods]))
        for method in methods:
            _require(method)
        found: dict[str, list[Fitted]] = {}
        with tqdm(total=keys * len(methods), disable=None, desc="methods") as bar:
            for key in range(keys):
                for method in methods:
                    for name, fitted in self.run(method, key, workdir / f"key{key}").items():
                        if fitted.interrupted:
                            return
                        found.setdefault(name, []).append(fitted)
                    bar.update()
                yield found

    def _task(self, method: str) -> Task:
        s = self.settings
        if method in self._terms:
            return distillation(
                self.num_classes,
                self._terms[method],
                label_weight=1 - s.alpha if method == "kd" else 1.0,
                preprocess=self.preprocess,
            )
        loss = {
            "label_smoothing": partial(losses.cross_entropy, label_smoothing=s.label_smoothing),
            "confidence_penalty": partial(_penalized, strength=s.penalty),
        }[method]
        return classification(self.num_classes, loss=loss, preprocess=self.preprocess)

    def _common(self, key: int) -> dict[str, Any]:
        steps = self.settings.epochs * (len(self.source) // self.settings.batch_size)
        return {
            "optimizer": self._optimizer(steps),
            "epochs": self.settings.epochs,
            "batch_size": self.settings.batch_size,
            "test": self.test,
            "seed": 1000 * key,
            "settings": self.about,
            "summarize": _accuracy,
            "options": self.options,
        }

    def _optimizer(self, steps: int) -> optax.GradientTransformation:
        return create_optimizer(
            "nesterov",
            optax.cosine_decay_schedule(self.settings.learning_rate, max(1, steps)),
            weight_decay=self.settings.weight_decay,
            mask=mask_by_rank,
            clip_norm=2.0,
        )

    def _begin(self, student: nn.Module, key: int) -> dict[str, Any]:
        """The weights that the plain student begins with."""
        plain = classification(self.num_classes, preprocess=self.preprocess)
        example = self.test.take(np.arange(1))
        state = create_state(
            self.student, optax.identity(), example, jax.random.key(1000 * key), task=plain
        )
        return as_student(student, state.variables)

    def _generations(self, method: str, key: int, workdir: Path) -> dict[str, Fitted]:
        s = self.settings
        strict = method != "tolerant"
        found = train_generations(
            self.student,
            self.source.only(),
            num_classes=self.num_classes,
            generations=0 if method == "plain" else s.generations,
            workdir=workdir / ("strict" if strict else "tolerant"),
            eta=1.0 if strict else s.eta,
            top=s.top,
            label_weight=s.label_weight,
            preprocess=self.preprocess,
            **self._common(key),
        )
        if method == "plain":
            return {"plain": found[0]}
        names = [f"{method} {generation}" for generation in range(len(found))]
        named = dict(zip(names, found, strict=True))
        if strict:
            named.pop("strict 0")  # the plain one
        return named

    def _fitnet(self, key: int, workdir: Path) -> Fitted:
        s = self.settings
        guided, hint = self.pairs[0]
        common = self._common(key)
        common.pop("epochs")
        common["optimizer"] = self._optimizer
        plain = create_state(
            self.student,
            optax.identity(),
            self.test.take(np.arange(1)),
            jax.random.key(1000 * key),
            task=classification(self.num_classes, preprocess=self.preprocess),
        )
        return train_fitnet(
            self.student,
            self.source.only(hint),
            term=shared.hint(guided, hint),
            num_classes=self.num_classes,
            epochs=(s.hint_epochs, s.epochs),
            workdir=workdir,
            preprocess=self.preprocess,
            temperature=s.hint_temperature,
            anneal=s.anneal,
            variables=plain.variables,
            **common,
        )


def _require(method: str) -> None:
    if method not in METHODS:
        raise UnknownNameError("method", method, METHODS)


def _penalized(logits: jax.Array, labels: jax.Array, *, strength: float) -> jax.Array:
    penalty = losses.confidence_penalty(logits, strength=strength)
    return losses.cross_entropy(logits, labels) + penalty


def _accuracy(fitted: Fitted) -> dict[str, Any]:
    # A FitNet's first stage measures nothing.
    return {f"test_{k}": v for k, v in fitted.measured.items() if k in ("accuracy", "loss")}
