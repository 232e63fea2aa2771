"""Teacher and student of a comparison by their names: published, trained here, or small."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnets.data import Dataset, Split, stratified_subset
from jaxnets.data.preprocessing import fit_channel_mean_std
from jaxnets.errors import JaxnetsError
from jaxnets.losses.hints import shrink_map
from jaxnets.models import create_model
from jaxnets.models.features import features
from jaxnets.models.taps import tap_shapes
from jaxnets.optim import create_optimizer, mask_by_rank
from jaxnets.study.small_convnet import SmallConvNet
from jaxnets.study.small_images import load_small
from jaxnets.tasks.classification import classification
from jaxnets.tasks.fitnet import stored_variables
from jaxnets.tasks.published import load_published
from jaxnets.tasks.teacher import Teacher
from jaxnets.train import DataParallel, Evaluator, RunOptions, fit
from jaxnets.train.run_directory import read_json, write_json

SMALL = "small"


class FoundTeacher(NamedTuple):
    """A teacher and what it was measured on.

    Attributes:
        teacher: hands out ``layers``.
        layers: paths of a layer in the middle and of the last one.
        accuracy: on the whole test set.
        dataset: with images as the teacher sees them.
    """

    teacher: Teacher
    layers: tuple[str, str]
    accuracy: float
    dataset: Dataset


class ChosenStudent(NamedTuple):
    """A student before it is trained.

    Attributes:
        network: the network.
        preprocess: images as stored → images as it wants them.
        layers: paths of a layer in the middle and of the last one.
    """

    network: nn.Module
    preprocess: Callable[[jax.Array], jax.Array]
    layers: tuple[str, str]


def find_teacher(
    name: str,
    dataset: str,
    *,
    weights: str | Path | None = None,
    workdir: Path,
    layers: tuple[str, str] | None = None,
    train_examples: int | None = None,
    widths: Sequence[int] = (32, 64, 96, 128),
    epochs: int = 30,
    data_dir: Path | None = None,
) -> FoundTeacher:
    """A teacher with published weights, or one that is trained here (once).

    Args:
        name: "small", or one of `jaxnets.list_models()`.
        dataset: the data set's name.
        weights: a file with published weights.
        workdir: where its run lies, or what was measured of it.
        layers: see `FoundTeacher` (default: `middle_and_last`).
        train_examples: images that a teacher is trained on here (default: all).
        widths: of a small network.
        epochs: of its training.
        data_dir: where prepared TFDS sets lie.

    Returns:
        The `FoundTeacher`.

    Raises:
        JaxnetsError: weights that don't fit, or unknown names.

    Example: `experiments/distillation/distill.py`.
    """
    if weights is not None:
        classifier, data = load_published(str(weights), name, dataset, data_dir=data_dir)
        network, variables = classifier.network, classifier.variables
        preprocess = classifier.info.preprocess
        task = classification(data.num_classes, preprocess=preprocess)
        measured = read_json(workdir / "teacher.json")
        if measured is None or measured["weights"] != str(weights):
            parallel = DataParallel("jit", jax.devices()[:1])
            evaluate = Evaluator(task, network.apply, data.test, parallel)
            accuracy = evaluate(parallel.replicate(variables))["accuracy"]
            workdir.mkdir(parents=True, exist_ok=True)
            measured = {"weights": str(weights), "accuracy": accuracy}
            write_json(workdir / "teacher.json", measured)
        accuracy = measured["accuracy"]
    else:
        data = load_small(dataset, data_dir)
        network = _network(name, data.num_classes, widths)
        train = data.train
        if train_examples is not None:
            train = stratified_subset(train, min(train_examples, len(train)))
        preprocess = fit_channel_mean_std(train.images).apply
        batch_size = min(64, len(train))
        steps = epochs * (len(train) // batch_size)
        fitted = fit(
            network,
            train,
            task=classification(data.num_classes, preprocess=preprocess),
            optimizer=create_optimizer(
                "nesterov",
                optax.cosine_decay_schedule(0.1, max(1, steps)),
                weight_decay=5e-4,
                mask=mask_by_rank,
                clip_norm=2.0,
            ),
            epochs=epochs,
            batch_size=batch_size,
            test=data.test,
            workdir=workdir,
            settings={"dataset": dataset, "model": name, "widths": [*widths]},
            summarize=lambda fitted: {"test_accuracy": fitted.measured["accuracy"]},
            options=RunOptions(quiet=True, devices=1, evaluate_every=0, keep=1, parallel="jit"),
        )
        if fitted.interrupted:
            raise KeyboardInterrupt
        variables = fitted.variables or stored_variables(workdir)
        accuracy = fitted.summary["test_accuracy"]
    chosen = layers or middle_and_last(network, data.image_shape)
    return FoundTeacher(Teacher(network, variables, preprocess, chosen), chosen, accuracy, data)


def choose_student(
    name: str,
    images: np.ndarray,
    num_classes: int,
    *,
    side: int,
    widths: Sequence[int] = (16, 32, 48, 64),
    layers: tuple[str, str] | None = None,
) -> ChosenStudent:
    """A student that sees images averaged down to ``side`` pixels.

    Args:
        name: "small", or one of `jaxnets.list_models()`.
        images: training images (N, H, W, C), which it is standardized by.
        num_classes: K.
        side: a divisor of H and W.
        widths: of a small network.
        layers: see `ChosenStudent` (default: `middle_and_last`).

    Returns:
        The `ChosenStudent`.

    Raises:
        JaxnetsError: a side that does not divide that of the images, or unknown names.

    >>> student = choose_student("small", np.zeros((2, 8, 8, 3), np.uint8), 10, side=4)
    >>> student.layers, student.preprocess(jnp.zeros((1, 8, 8, 3))).shape
    (('layer2', 'layer4'), (1, 4, 4, 3))
    """
    own = images.shape[1]
    if not 1 <= side <= own or own % side:
        raise JaxnetsError(f"--image-size must divide the images' side of {own} pixels, got {side}")
    standardize = fit_channel_mean_std(images).apply
    network = _network(name, num_classes, widths)
    chosen = layers or middle_and_last(network, (side, side, images.shape[-1]))
    return ChosenStudent(network, lambda x: shrink_map(standardize(x), (side, side)), chosen)


def middle_and_last(network: nn.Module, image_shape: tuple[int, ...]) -> tuple[str, str]:
    """A layer in the middle of a network and the last one before its head.

    Args:
        network: one with endpoints.
        image_shape: (H, W, C).

    Returns:
        Two paths of submodules.

    Raises:
        JaxnetsError: the network has no endpoints that are submodules.

    >>> middle_and_last(create_model("resnet20"), (32, 32, 3))
    ('stage2', 'stage3')
    """
    image = jnp.zeros((1, *image_shape))
    shapes = tap_shapes(network, image)
    names: list[str] = []
    if "num_classes" in getattr(network, "__dataclass_fields__", {}):
        keys = {"params": jax.random.key(0), "dropout": jax.random.key(0)}
        ends = jax.eval_shape(
            lambda x: features(network, network.init(keys, x, train=False), x), image
        )
        names = [name for name in ends if name in shapes]
    if not names:
        raise JaxnetsError(
            f"{type(network).__name__} has no endpoints to choose from; name a layer in the middle "
            "and the last one"
        )
    middle = (len(names) - 1) // 2 if isinstance(network, SmallConvNet) else len(names) // 2
    return names[middle], names[-1]


def with_mirror_images(split: Split) -> Split:
    """A split and its mirror images behind it.

    Args:
        split: images and labels.

    Returns:
        Twice as many examples.

    >>> len(with_mirror_images(Split(np.zeros((3, 2, 2, 1), np.uint8), np.zeros(3, int))))
    6
    """
    images, labels = np.asarray(split.images), np.asarray(split.labels)
    return Split(np.concatenate([images, images[:, :, ::-1]]), np.tile(labels, 2))


def _network(name: str, num_classes: int, widths: Sequence[int]) -> nn.Module:
    if name == SMALL:
        return SmallConvNet(num_classes, widths=tuple(widths))
    return create_model(name, num_classes=num_classes)
