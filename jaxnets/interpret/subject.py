"""A trained network with what must be known to show it a picture: from a file, or from a run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from jaxnets.errors import JaxnetsError
from jaxnets.models import create_model, model_info
from jaxnets.tasks import Classifier, load_classifier
from jaxnets.tasks.published import load_published_classifier


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
        weights: a run's directory; a file that `jaxnets.pretrained.load` reads; None: random
            weights.
        model: the network's name, where the file does not say it.
        key: of random weights.

    Returns:
        A `Subject`.

    Raises:
        JaxnetsError: no such file or run, no name of a network, or no published normalization.

    >>> load_subject(None, "lenet5").class_names[:2]
    ('0', '1')
    """
    if weights is not None and Path(weights).is_dir():
        return subject_of(load_classifier(weights)[0])
    if weights is not None:
        classifier, _ = load_published_classifier(model, weights)
        return subject_of(classifier)
    if model is None:
        raise JaxnetsError("a network with random weights is asked for; name it (--model)")
    known = model_info(model)
    network = create_model(model)
    x = np.zeros((1, *known.input_shape), np.float32)
    keys = jax.random.key(0) if key is None else key
    variables = jax.jit(lambda k: network.init({"params": k, "dropout": k}, x))(keys)
    return Subject(
        network,
        variables,
        known.input_size,
        known.channels,
        known.mean or (0.5,) * known.channels,
        known.std or (0.25,) * known.channels,
        tuple(map(str, range(network.num_classes))),
    )


def subject_of(classifier: Classifier) -> Subject:
    """A classifier as a network to be looked into.

    Args:
        classifier: of a run (`jaxnets.tasks.load_classifier`) or with published weights.

    Returns:
        A `Subject`.

    Example: ``subject_of(load_classifier("runs/mine")[0])``.
    """
    info = classifier.info
    mean, std = (tuple(v / 255 for v in values) for values in (info.mean, info.std))
    side, _, channels = info.image_shape
    names = info.class_names
    return Subject(classifier.network, classifier.variables, side, channels, mean, std, names)
