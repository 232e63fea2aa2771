"""Measure a trained classifier on a test set: a run of this library, or weights from PyTorch.

Command:  jaxnets evaluate runs/train_classifier/digits-lenet5
          jaxnets evaluate runs/mine --step 4000
          jaxnets evaluate --weights resnet20-12fca82f.th --model resnet20 --dataset cifar10
          jaxnets evaluate --weights resnet50.pth --model resnet50 --dataset folder:imagenet/val
Time:     seconds for digits; CIFAR-10 with ResNet-20 about ten seconds on two CPU cores.
Result:   accuracy, loss and the accuracy of every class; for a finished run the same accuracy as
          its summary.json. The results also go to evaluation.json in the run's directory, the
          worst mistakes to mistakes.png. The published CIFAR-10 ResNet-20 of
          akamaster/pytorch_resnet_cifar10 classifies 91.73 %.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from jaxnets.augment import views
from jaxnets.data import Dataset, load_dataset
from jaxnets.ensembles.view_average import apply_to_views
from jaxnets.errors import JaxnetsError
from jaxnets.tasks import Classifier, ClassifierInfo, classification, load_classifier
from jaxnets.tasks.class_report import class_table, predict_source, save_mistakes, table_text
from jaxnets.tasks.published import load_published, require_model
from jaxnets.train import DataParallel, Evaluator, choose_devices
from jaxnets.train.run_directory import read_json, write_json

RUN = Path("runs/train_classifier/digits-lenet5")
VIEWS = {
    "flip": views.flip_views,
    "ten_crop": lambda images: views.padded_ten_crop(images, max(1, images.shape[1] // 8)),
}


@dataclass(frozen=True)
class Config:
    """What to measure.

    Attributes:
        workdir: the run's directory; with weights, where the results go.
        step: a certain checkpoint (default: the newest whole one).
        weights: instead of a run, a file of weights (.safetensors, .pth, .th, .npz, .net, hf://…) …
        model: … of this network; a .net file says it itself. Images are normalized with the
            network's published statistics.
        classes: with weights, a text file with a class name on each line.
        dataset: measure on this dataset (default: the one it was trained on). With weights, the
            sub-folders of folder:PATH are the network's classes, by WordNet id, number or name.
        split: which part of it.
        skip_broken: of a folder: leave out files that cannot be read.
        views: average the probabilities over views of each image: itself and its mirror image, or
            ten crops of the image with an eighth of zeros around it.
        data_dir: where prepared TFDS datasets lie (default: $TFDS_DATA_DIR).
        batch_size: images at once, over all devices.
        parallel, devices: as in train_classifier.

    Without ``workdir`` the run is runs/train_classifier/digits-lenet5; the results for weights go
    to runs/evaluate/MODEL.
    """

    workdir: Path | None = None
    step: int | None = None
    weights: str | None = None
    model: str | None = None
    classes: Path | None = None
    dataset: str | None = None
    split: Literal["test", "validation", "train"] = "test"
    skip_broken: bool = False
    views: Literal["one", "flip", "ten_crop"] = "one"
    data_dir: Path | None = None
    batch_size: int = 256
    parallel: Literal["pmap", "jit"] = "pmap"
    devices: int | None = None


def main(config: Config) -> dict[str, Any]:
    """Evaluate and return ``{"accuracy", "loss", "class_accuracy", …}``."""
    if config.weights is None and config.model is None:
        workdir = config.workdir or RUN
        classifier, step = load_classifier(workdir, step=config.step)
        info = classifier.info
        dataset = _own_dataset(config, workdir, info)
        _require_same_images(workdir, info, dataset)
    else:
        classifier, dataset = _published(config)
        info, step = classifier.info, None
        workdir = config.workdir or Path("runs/evaluate") / info.model
    height, width, _ = dataset.image_shape
    if config.views == "ten_crop" and height != width:
        raise JaxnetsError(f"--views ten_crop wants square images; {dataset.name} has others")
    parallel = DataParallel(config.parallel, choose_devices(config.devices))

    source = getattr(dataset, config.split)
    if source is None:
        raise JaxnetsError(f"--split {config.split}: {dataset.name} has no such split")
    evaluate = Evaluator(
        classification(info.num_classes),
        classifier.apply
        if config.views == "one"
        else apply_to_views(classifier.apply, VIEWS[config.views]),
        source,
        parallel,
        batch_size=config.batch_size,
    )
    measured = evaluate(parallel.replicate(classifier.variables))
    confusion = measured["confusion"]
    by_class = np.diag(confusion) / np.maximum(confusion.sum(1), 1)
    table = class_table(confusion, info.class_names)
    results = {
        "dataset": dataset.name,
        "split": config.split,
        "views": config.views,
        "model": info.model,
        "step": step,
        "examples": int(confusion.sum()),
        "accuracy": measured["accuracy"],
        "loss": measured["loss"],
        "class_accuracy": dict(zip(info.class_names, map(float, by_class), strict=True)),
        "classes": [row for row in table if row["examples"]],
    }
    workdir.mkdir(parents=True, exist_ok=True)
    write_json(workdir / "evaluation.json", results)
    origin = f"of {config.weights}" if config.weights else f"of step {step}"
    looked = "" if config.views == "one" else f", views: {config.views}"
    print(
        f"{info.model} {origin} on {dataset.name} ({config.split}, "
        f"{results['examples']:,} images{looked}): accuracy {100 * results['accuracy']:.2f} %, "
        f"loss {results['loss']:.4f}"
    )
    print(table_text([row for row in table if row["examples"]], most=10))
    variables = classifier.variables
    found = predict_source(lambda images: classifier.apply(variables, images, train=False), source)
    if save_mistakes(found, source, info.class_names, workdir / "mistakes.png"):
        print(f"the worst mistakes: {workdir / 'mistakes.png'}")
    return results


def _own_dataset(config: Config, workdir: Path, info: ClassifierInfo) -> Dataset:
    """The run's data set, cut as the run cut it, or another one with images of its size."""
    settings = read_json(workdir / "config.json") or {}
    name = config.dataset or info.dataset
    own = name == settings.get("dataset")
    size = settings.get("image_size")
    if name.startswith("folder:") and size is None and not own:
        size = info.image_shape[0]
    return load_dataset(
        name,
        data_dir=config.data_dir,
        size=size if own or name.startswith("folder:") else None,
        validation=settings.get("validation") if own else None,
        skip_broken=config.skip_broken or bool(own and settings.get("skip_broken")),
    )


def _require_same_images(workdir: Path, info: ClassifierInfo, dataset: Dataset) -> None:
    if tuple(dataset.image_shape) != info.image_shape or dataset.num_classes != info.num_classes:
        raise JaxnetsError(
            f"{workdir} was trained on {info.dataset}: images {info.image_shape}, "
            f"{info.num_classes} classes; {dataset.name} has {tuple(dataset.image_shape)}, "
            f"{dataset.num_classes} classes"
        )


def _published(config: Config) -> tuple[Classifier, Dataset]:
    if config.weights is None:
        raise JaxnetsError(f"--model {config.model} is of --weights FILE; give both, or a run")
    model = require_model(config.model, config.weights)
    if config.dataset is None:
        raise JaxnetsError(
            "--weights and --dataset go together; give --dataset: a file does not say its data"
        )
    if config.step is not None:
        raise JaxnetsError("--step is of a run; a file of weights has none")
    return load_published(
        config.weights,
        model,
        config.dataset,
        data_dir=config.data_dir,
        classes=config.classes,
        skip_broken=config.skip_broken,
    )
