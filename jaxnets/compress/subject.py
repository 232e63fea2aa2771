"""The network that is to be compressed: with published weights, or trained here."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import optax

from jaxnets.compress.deep_compression import CompressionRecipe
from jaxnets.data import Dataset, load_dataset, stratified_subset
from jaxnets.data.preprocessing import fit_channel_mean_std
from jaxnets.errors import JaxnetsError
from jaxnets.models import create_model
from jaxnets.ops.activations import identity
from jaxnets.optim import create_optimizer, mask_by_rank
from jaxnets.tasks import classification
from jaxnets.tasks.distillation import distillation
from jaxnets.tasks.distillation_terms import soft_targets
from jaxnets.tasks.fitnet import stored_variables
from jaxnets.tasks.published import load_published
from jaxnets.tasks.teacher import Teacher
from jaxnets.train import RunOptions, Task, fit
from jaxnets.train.step import Prepare


class Subject(NamedTuple):
    """A trained network and what it was trained on.

    Attributes:
        model: the network.
        variables: its variables.
        data: training and test examples.
        task: classification, with the network's preprocessing.
        preprocess: images as stored → images as the network wants them.

    >>> Subject(None, {"params": {}}, None, None).variables
    {'params': {}}
    """

    model: nn.Module
    variables: dict[str, Any]
    data: Dataset
    task: Task
    preprocess: Callable[[jax.Array], jax.Array] = identity

    def training_task(self, teacher_weight: float) -> Task:
        """What a part of this network learns from: the labels, and what the whole one says.

        Args:
            teacher_weight: the share of the loss that is the teacher's, at temperature 4.

        Returns:
            The task itself for 0, else a `distillation` from this network.

        Raises:
            JaxnetsError: a share that is not in 0 … 1.

        Source: Hinton, Vinyals, Dean 2015.
        """
        if not 0 <= teacher_weight <= 1:
            raise JaxnetsError(f"teacher_weight must be in 0 … 1, got {teacher_weight}")
        if not teacher_weight:
            return self.task
        return distillation(
            self.data.num_classes,
            [soft_targets(temperature=4.0, weight=teacher_weight)],
            teacher=Teacher(self.model, self.variables, self.preprocess),
            label_weight=1 - teacher_weight,
            preprocess=self.preprocess,
        )


def published_subject(
    model: str,
    weights: str | Path,
    dataset: str,
    *,
    train_examples: int | None = None,
    data_dir: Path | None = None,
) -> Subject:
    """A network with published weights.

    Args:
        model: a name of `jaxnets.list_models()`.
        weights: a file that `jaxnets.pretrained.load` reads.
        dataset: the data set's name.
        train_examples: equally many of each class (default: all).
        data_dir: where prepared TFDS sets lie.

    Returns:
        `Subject`.

    Raises:
        JaxnetsError: a file that does not fit, or a network without published weights.

    >>> published_subject("lenet5", "weights.pth", "digits")
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: --model lenet5: no published weights are known, so neither is ...
    """
    found, data = load_published(str(weights), model, dataset, data_dir=data_dir)
    if train_examples is not None:
        data = data._replace(train=stratified_subset(data.train, train_examples))
    task = classification(data.num_classes, preprocess=found.info.preprocess)
    return Subject(found.network, found.variables, data, task, found.info.preprocess)


def trained_subject(
    model: str,
    dataset: str,
    *,
    recipe: CompressionRecipe,
    epochs: int,
    workdir: str | Path,
    train_examples: int | None = None,
    prepare: Prepare | None = None,
    data_dir: Path | None = None,
) -> Subject:
    """A network that is trained here, once.

    Args:
        model: a name of `jaxnets.list_models()`.
        dataset: the data set's name.
        recipe: whose optimizer, rate, decay, batch size and seed train it.
        epochs: passes.
        workdir: of the run, which is resumed, or read where it has ended.
        train_examples: equally many of each class (default: all).
        prepare: random changes of training examples.
        data_dir: where prepared TFDS sets lie.

    Returns:
        `Subject`, with the examples that were trained on.

    Raises:
        KeyboardInterrupt: the run was asked to stop.

    >>> recipe = CompressionRecipe(batch_size=50)
    >>> trained_subject("nothing", "digits", recipe=recipe, epochs=1, workdir="runs/x")
    Traceback (most recent call last):
    jaxnets.errors.UnknownNameError: unknown network 'nothing'. ...
    """
    network = create_model(model)
    data = load_dataset(dataset, data_dir=data_dir)
    if train_examples is not None:
        data = data._replace(train=stratified_subset(data.train, train_examples))
    network = create_model(model, num_classes=data.num_classes)
    preprocess = fit_channel_mean_std(data.train.images).apply
    task = classification(data.num_classes, preprocess=preprocess)
    steps = max(1, epochs * (len(data.train) // recipe.batch_size))
    rate = optax.cosine_decay_schedule(recipe.learning_rate, steps)
    decay: dict[str, Any] = {"weight_decay": recipe.weight_decay, "mask": mask_by_rank}
    optimizer = create_optimizer(recipe.optimizer, rate, **(decay if recipe.weight_decay else {}))
    fitted = fit(
        network,
        data.train,
        task=task,
        optimizer=optimizer,
        epochs=epochs,
        batch_size=recipe.batch_size,
        prepare=prepare,
        seed=recipe.seed,
        workdir=workdir,
        settings={"model": model, "dataset": dataset},
        options=RunOptions(quiet=True, devices=1, evaluate_every=0, keep=1, parallel="jit"),
    )
    if fitted.interrupted:
        raise KeyboardInterrupt
    variables = fitted.variables or stored_variables(workdir)
    return Subject(network, variables, data, task, preprocess)
