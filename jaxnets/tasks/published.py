"""Published weights as a classifier: a file says neither its network nor its data."""

from pathlib import Path

from jaxnets.data import Dataset, load_dataset
from jaxnets.errors import JaxnetsError
from jaxnets.models import model_info
from jaxnets.pretrained import load
from jaxnets.tasks.classifier import Classifier, ClassifierInfo


def load_published(
    weights: str, model: str, dataset: str, *, data_dir: Path | None = None
) -> tuple[Classifier, Dataset]:
    """A network with weights from elsewhere, and the data set that it is measured on.

    Args:
        weights: a file (.safetensors, .pth, .th, .npz) or ``hf://owner/repo``.
        model: the network's name; images are normalized with its published statistics.
        dataset: the data set's name.
        data_dir: where prepared TFDS sets lie.

    Raises:
        JaxnetsError: no published normalization is known, or the images have other channels.
    """
    known = model_info(model)
    if not known.mean:
        raise JaxnetsError(
            f"--model {model}: no published weights are known, so neither is the "
            "normalization that they want"
        )
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
