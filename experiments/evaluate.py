"""Measure a trained classifier on a test set.

Command:  python -m experiments.evaluate --workdir runs/train_classifier/digits-lenet5
          python -m experiments.evaluate --workdir runs/… --step 4000
Time:     seconds for digits; CIFAR-10 with ResNet-20 about ten seconds on two CPU cores.
Result:   accuracy, loss and the accuracy of every class; for a finished run the same accuracy as
          its summary.json. The results also go to evaluation.json in the run's directory.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from jaxnets import command
from jaxnets.data import load_dataset
from jaxnets.errors import JaxnetsError
from jaxnets.train import DataParallel, Evaluator, choose_devices, load_classifier
from jaxnets.train.run_directory import write_json


@dataclass(frozen=True)
class Config:
    """What to measure.

    Attributes:
        workdir: the run's directory.
        step: a certain checkpoint (default: the newest whole one).
        dataset: measure on this dataset (default: the one it was trained on).
        split: which part of it.
        data_dir: where prepared TFDS datasets lie (default: $TFDS_DATA_DIR).
        batch_size: images at once, over all devices.
        parallel, devices: as in train_classifier.
    """

    workdir: Path = Path("runs/train_classifier/digits-lenet5")
    step: int | None = None
    dataset: str | None = None
    split: Literal["test", "train"] = "test"
    data_dir: Path | None = None
    batch_size: int = 256
    parallel: Literal["pmap", "jit"] = "pmap"
    devices: int | None = None


def main(config: Config) -> dict[str, Any]:
    """Evaluate and return ``{"accuracy", "loss", "class_accuracy", …}``."""
    classifier, step = load_classifier(config.workdir, step=config.step)
    info = classifier.info
    dataset = load_dataset(config.dataset or info.dataset, data_dir=config.data_dir)
    if tuple(dataset.image_shape) != info.image_shape or dataset.num_classes != info.num_classes:
        raise JaxnetsError(
            f"{config.workdir} was trained on {info.dataset}: images {info.image_shape}, "
            f"{info.num_classes} classes; {dataset.name} has {tuple(dataset.image_shape)}, "
            f"{dataset.num_classes} classes"
        )
    parallel = DataParallel(config.parallel, choose_devices(config.devices))
    evaluate = Evaluator(
        classifier.network.apply,
        getattr(dataset, config.split),
        info.num_classes,
        parallel,
        batch_size=config.batch_size,
        preprocess=info.preprocess,
    )
    measured = evaluate(parallel.replicate(classifier.variables))
    confusion = measured["confusion"]
    by_class = np.diag(confusion) / np.maximum(confusion.sum(1), 1)
    results = {
        "dataset": dataset.name,
        "split": config.split,
        "model": info.model,
        "step": step,
        "examples": int(confusion.sum()),
        "accuracy": measured["accuracy"],
        "loss": measured["loss"],
        "class_accuracy": dict(zip(info.class_names, map(float, by_class), strict=True)),
    }
    write_json(config.workdir / "evaluation.json", results)
    print(
        f"{info.model} of step {step} on {dataset.name} ({config.split}, "
        f"{results['examples']:,} images): accuracy {100 * results['accuracy']:.2f} %, "
        f"loss {results['loss']:.4f}"
    )
    worst = sorted(results["class_accuracy"].items(), key=lambda item: item[1])[:5]
    shown = ", ".join(f"{name} {100 * value:.1f} %" for name, value in worst)
    print(f"hardest classes: {shown}")
    return results


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
