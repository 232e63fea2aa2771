"""A trained network with what must be known to show it a picture: from a file, or from a run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from jaxnets.errors import JaxnetsError
from jaxnets.models import create_model, model_info
from jaxnets.pretrained import load, load_deep_compression
from jaxnets.pretrained.deep_compression import MEAN, SIDE, STD

# How akamaster's and most other networks for it number CIFAR-10's classes.
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@dataclass(frozen=True, eq=False)
class Subject:
    """A network to be looked into.

    Attributes:
        model: the network.
        variables: its variables.
        side: of its images, in pixels.
        channels: of its images.
        mean, std: a number for each channel, of images from 0 to 1.
        class_names: one a class; numbers where they are not known.

    >>> subject = load_subject(None, "lenet5")
    >>> subject.prepare(np.full((1, 32, 32, 1), 255, np.uint8)).max().item()
    2.0
    """

    model: nn.Module
    variables: Any
    side: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    class_names: tuple[str, ...]

    def prepare(self, images: np.ndarray) -> np.ndarray:
        """Images as stored, uint8 (N, H, W, C), as the network takes them."""
        scaled = np.asarray(images, np.float32) / 255
        return (scaled - np.float32(self.mean)) / np.float32(self.std)


def load_subject(
    weights: str | Path | None, model: str | None = None, *, key: jax.Array | None = None
) -> Subject:
    """A trained network, from wherever its weights lie.

    Args:
        weights: a run's directory; Deep Compression's SqueezeNet (``.net``); another file that
            `jaxnets.pretrained.load` reads; None: random weights.
        model: the network's name, for the last two.
        key: of random weights.

    Returns:
        A `Subject`.

    Raises:
        JaxnetsError: no such file or run, no name of a network, or no published normalization.

    >>> load_subject(None, "lenet5").class_names[:2]
    ('0', '1')
    """
    if weights is not None and Path(weights).is_dir():
        from jaxnets.tasks import load_classifier

        classifier, _ = load_classifier(weights)
        info = classifier.info
        mean, std = (tuple(v / 255 for v in values) for values in (info.mean, info.std))
        size, names = info.image_shape, info.class_names
        return Subject(classifier.network, classifier.variables, size[0], size[2], mean, std, names)
    if weights is not None and Path(weights).suffix == ".net":
        network, variables = load_deep_compression(weights)
        numbers = tuple(map(str, range(network.num_classes)))
        return Subject(network, variables, SIDE, 3, MEAN, STD, numbers)
    if model is None:
        raise JaxnetsError(
            f"{weights}: the file does not say of which network it is; name it (--model)"
        )
    known = model_info(model)
    if weights is None:
        network = create_model(model)
        x = np.zeros((1, *known.input_shape), np.float32)
        keys = jax.random.key(0) if key is None else key
        variables = jax.jit(lambda k: network.init({"params": k, "dropout": k}, x))(keys)
    else:
        network, variables = load(model, str(weights))
    if weights is not None and not known.mean:
        raise JaxnetsError(f"{model}: no published normalization is known; give a run's directory")
    classes = network.num_classes
    is_cifar = classes == 10 and known.input_size == 32 and known.channels == 3
    return Subject(
        network,
        variables,
        known.input_size,
        known.channels,
        known.mean or (0.5,) * known.channels,
        known.std or (0.25,) * known.channels,
        CIFAR10 if is_cifar else tuple(map(str, range(classes))),
    )
