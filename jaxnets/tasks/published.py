"""Published weights as a classifier: a file says neither its network nor its data."""

from pathlib import Path

import numpy as np

from jaxnets.data import Dataset, Split, load_dataset
from jaxnets.data.class_names import class_names, match_folders
from jaxnets.data.folder import load_folder
from jaxnets.errors import JaxnetsError
from jaxnets.models import model_info
from jaxnets.pretrained import load
from jaxnets.pretrained.preprocess import Preprocessing, preprocessing
from jaxnets.tasks.classifier import Classifier, ClassifierInfo


def load_published_classifier(
    model: str,
    weights: str | Path | None = None,
    *,
    num_classes: int | None = None,
    classes: str | Path | None = None,
) -> tuple[Classifier, Preprocessing]:
    """A network with weights from elsewhere, its class names, and how it wants its images.

    Args:
        model: the network's name.
        weights: a file (.safetensors, .pth, .th, .npz), ``hf://…`` or ``https://…``; None: the
            first of ``model_info(model).addresses``.
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


def load_published(
    weights: str,
    model: str,
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
        dataset.removeprefix("folder:"), reader=_Reader(prepare), skip_broken=skip_broken
    )
    numbers = np.asarray(match_folders(found.class_names, classifier.info.class_names), np.int32)
    # Nothing is trained: a folder without a test split is tested on whole.
    parts = [pair for name, pair in found.splits.items() if name == "test" or not found.own_test]
    images = [images for images, _ in parts]
    joined = images[0] if len(images) == 1 else np.concatenate(images)
    test = Split(joined, numbers[np.concatenate([labels for _, labels in parts])])
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
