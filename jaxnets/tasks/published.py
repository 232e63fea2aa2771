"""Published weights as a classifier: a file says neither its network nor its data."""

from pathlib import Path

import numpy as np

from jaxnets.data import Dataset, Split, load_dataset
from jaxnets.data.class_names import class_names, match_folders
from jaxnets.data.folder import load_folder
from jaxnets.errors import JaxnetsError
from jaxnets.models import model_info
from jaxnets.pretrained import load, network_of_file
from jaxnets.pretrained.preprocess import Preprocessing, preprocessing
from jaxnets.tasks.classifier import Classifier, ClassifierInfo


def load_published_classifier(
    model: str | None,
    weights: str | Path | None = None,
    *,
    num_classes: int | None = None,
    classes: str | Path | None = None,
) -> tuple[Classifier, Preprocessing]:
    """A network with weights from elsewhere, its class names, and how it wants its images.

    Args:
        model: the network's name; None where the file says it (.net).
        weights: a file (.safetensors, .pth, .th, .npz, .net), ``hf://…`` or ``https://…``; None:
            the first of ``model_info(model).addresses``.
        num_classes: K of the file (default: that of the published network).
        classes: a text file of class names; see `jaxnets.data.class_names.class_names`.

    Returns:
        (the classifier, on images as the preprocessing's ``read`` gives them; the preprocessing).

    Raises:
        JaxnetsError: no published normalization is known, or the file does not fit.

    >>> load_published_classifier("lenet5", "weights.pth")
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: lenet5: no published weights are known, so neither is the ...
    """
    model = require_model(model, weights)
    prepare = preprocessing(model)
    network, variables = load(
        model, weights, num_classes=... if num_classes is None else num_classes
    )
    info = ClassifierInfo(
        model=model,
        dtype="float32",
        class_names=class_names(network.num_classes, classes),
        image_shape=(prepare.crop, prepare.crop, prepare.channels),
        # Published for gray levels 0 … 1.
        mean=tuple(255 * m for m in prepare.mean),
        std=tuple(255 * s for s in prepare.std),
        dataset=str(weights),
    )
    return Classifier(info, network, variables), prepare


def require_model(model: str | None, weights: str | Path | None) -> str:
    """The network of a file of weights: the one that was named, or the file's own.

    Args:
        model: its name, if it was given.
        weights: the file.

    Returns:
        The network's name.

    Raises:
        JaxnetsError: no name, and a file that does not say it.

    >>> require_model(None, "compressed_SqueezeNet.net"), require_model("vgg16", "w.pth")
    ('squeezenet1_0_paper', 'vgg16')
    >>> require_model(None, "w.pth")
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: --weights w.pth needs --model NAME: the file does not say its ...
    """
    model = model or network_of_file(weights)
    if model is None:
        raise JaxnetsError(
            f"--weights {weights} needs --model NAME: the file does not say its network"
        )
    return model


def load_published(
    weights: str | None,
    model: str | None,
    dataset: str,
    *,
    data_dir: Path | None = None,
    classes: str | Path | None = None,
    skip_broken: bool = False,
) -> tuple[Classifier, Dataset]:
    """A network with weights from elsewhere, and the data set that it is measured on.

    Of ``folder:PATH`` the images are read as the network wants them, and the sub-folders are taken
    for the network's classes (`jaxnets.data.class_names.match_folders`); all images are tested on.

    Args:
        weights: a file (.safetensors, .pth, .th, .npz), ``hf://owner/repo`` or ``https://…``.
        model: the network's name; images are normalized with its published statistics.
        dataset: the data set's name.
        data_dir: where prepared TFDS sets lie.
        classes: a text file of class names.
        skip_broken: of a folder: leave out files that cannot be read.

    Returns:
        (the classifier, the data set).

    Raises:
        JaxnetsError: no published normalization is known, or the images have other channels.

    >>> load_published("weights.pth", "lenet5", "digits")
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: --model lenet5: no published weights are known, so neither is ...
    """
    model = require_model(model, weights)
    known = model_info(model)
    if not known.mean:
        raise JaxnetsError(
            f"--model {model}: no published weights are known, so neither is the "
            "normalization that they want"
        )
    if dataset.startswith("folder:"):
        classifier, prepare = load_published_classifier(model, weights, classes=classes)
        return classifier, _folder(dataset, classifier, prepare, skip_broken)
    data = load_dataset(dataset, data_dir=data_dir)
    if data.image_shape[-1] != known.channels:
        raise JaxnetsError(
            f"--dataset {dataset} has images {tuple(data.image_shape)}; {model} "
            f"was published for {known.channels} channel(s)"
        )
    network, variables = load(model, weights, num_classes=data.num_classes)
    info = ClassifierInfo(
        model=model,
        dtype="float32",
        class_names=tuple(data.class_names),
        image_shape=tuple(data.image_shape),
        # Published for gray levels 0 … 1.
        mean=tuple(255 * m for m in known.mean),
        std=tuple(255 * s for s in known.std),
        dataset=data.name,
    )
    return Classifier(info, network, variables), data


def _folder(
    dataset: str, classifier: Classifier, prepare: Preprocessing, skip_broken: bool
) -> Dataset:
    found = load_folder(
        dataset.removeprefix("folder:"),
        reader=_Reader(prepare),
        skip_broken=skip_broken,
        test_only=True,
    )
    numbers = np.asarray(match_folders(found.class_names, classifier.info.class_names), np.int32)
    images, labels = found.splits["test"]
    test = Split(images, numbers[labels])
    names = classifier.info.class_names
    return Dataset(dataset, test, test, names, classifier.info.image_shape)


class _Reader:
    """`Preprocessing.read` with a text that names it in the cache."""

    def __init__(self, prepare: Preprocessing):
        self.prepare = prepare

    def __call__(self, path: Path) -> np.ndarray:
        return self.prepare.read(path)

    def __str__(self) -> str:
        return repr((self.prepare.resize, self.prepare.crop, self.prepare.interpolation))
