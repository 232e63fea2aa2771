"""Small learning problems for comparing optimizers: a regression, a network, LeNet-5 on CIFAR-10.

Each has an objective to minimize, and three disjoint parts: `train` is learned from, `valid`
chooses the learning rate, `test` is reported.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.data import Split, list_datasets, load_dataset, stratified_subset
from jaxnets.losses import cross_entropy
from jaxnets.models import create_model
from jaxnets.models.mlp import MLP
from jaxnets.ops import tanh
from jaxnets.optim import elastic_penalty, mask_by_name
from jaxnets.study.data import Part


class Problem(NamedTuple):
    """A network, the objective on it, and three parts of a data set.

    Attributes:
        name: unique.
        title: for figures and tables.
        network: images → logits.
        decay: λ of the penalty λ/2·‖weights‖².
        train: what is learned from.
        valid: what chooses the learning rate.
        test: what is reported.
        dense: whether the network has no convolutions, so that runs are fast side by side.
    """

    name: str
    title: str
    network: nn.Module
    decay: float
    train: Part
    valid: Part
    test: Part
    dense: bool

    def init(self, seed: int) -> Any:
        """Parameters drawn with a seed.

        Args:
            seed: any integer.

        Returns:
            The pytree of parameters.
        """
        return self.network.init(jax.random.key(seed), self.train.images[:1])["params"]

    def objective(self, params: Any, part: Part) -> jax.Array:
        """Mean cross-entropy plus λ/2 of the squared weights, biases left out.

        Args:
            params: of `init`.
            part: examples.

        Returns:
            A scalar.
        """
        logits = self.network.apply({"params": params}, part.images)
        penalty = elastic_penalty(params, l2=self.decay, mask=mask_by_name)
        return jnp.mean(cross_entropy(logits, part.labels)) + penalty

    def accuracy(self, params: Any, part: Part) -> jax.Array:
        """Share of examples whose largest logit is the right one.

        Args:
            params: of `init`.
            part: examples.

        Returns:
            A scalar.
        """
        logits = self.network.apply({"params": params}, part.images)
        return jnp.mean(jnp.argmax(logits, -1) == part.labels)


def split_off_validation(train: Split, test: Split, valid_share: float) -> tuple[Part, Part, Part]:
    """Cut a validation part off, class by class, and standardize all by the training part.

    Args:
        train: what is divided.
        test: standardized alike.
        valid_share: share of ``train`` that becomes the validation part.

    Returns:
        Training, validation and test part.
    """
    count = len(train.labels)
    rows = Split(np.arange(count), train.labels)
    keep = stratified_subset(rows, round(count * (1 - valid_share))).images
    held = np.setdiff1d(np.arange(count), keep)
    images = np.asarray(train.images, np.float32)
    mean, std = images[keep].mean((0, 1, 2)), images[keep].std((0, 1, 2))

    def part(images, labels):
        return Part(jnp.asarray((images - mean) / std), jnp.asarray(labels))

    return (
        part(images[keep], train.labels[keep]),
        part(images[held], train.labels[held]),
        part(np.asarray(test.images, np.float32), test.labels),
    )


def _digits(name: str, title: str, network: nn.Module, decay: float) -> Problem:
    data = load_dataset("digits")
    parts = split_off_validation(data.train, data.test, 0.2)
    return Problem(name, title, network, decay, *parts, dense=True)


def softmax_digits(**_: Any) -> Problem:
    """Softmax regression on digits: 650 parameters, strictly convex with its penalty.

    Returns:
        The problem.
    """
    return _digits("softmax", "softmax regression, digits", MLP(10, hidden=()), 1e-3)


def network_digits(**_: Any) -> Problem:
    """64–32–10 with tanh on digits: 2,410 parameters.

    Returns:
        The problem.
    """
    return _digits("network", "tanh network 64–32–10, digits", MLP(10, (32,), tanh), 1e-4)


def lenet_cifar10(*, data_dir: Path | None, examples: int, **_: Any) -> Problem | None:
    """LeNet-5 on a part of CIFAR-10.

    Args:
        data_dir: where prepared TFDS data sets lie (default: $TFDS_DATA_DIR).
        examples: images to use; a fifth of them is the validation part.

    Returns:
        The problem; None where the data set is not prepared.
    """
    if not any(name.split(":")[0] == "cifar10" for name in list_datasets(data_dir)):
        return None
    data = load_dataset("cifar10", data_dir=data_dir, train_examples=examples)
    test = stratified_subset(data.test, 1500)
    parts = split_off_validation(data.train, test, 0.2)
    title = f"LeNet-5, {parts[0].labels.size:,} images of CIFAR-10"
    net = create_model("lenet5", num_classes=10)
    return Problem("cifar10", title, net, 1e-4, *parts, dense=False)


# Name → builder, called with data_dir and examples.
PROBLEMS: dict[str, Callable[..., Problem | None]] = {
    "softmax": softmax_digits,
    "network": network_digits,
    "cifar10": lenet_cifar10,
}
