"""Whether a published network's features say more than pixels: linear SVM, nearest neighbor.

Command:  python -m experiments.transfer.reuse_features --weights compressed_SqueezeNet.net
Time:     two minutes on two CPU cores, once CIFAR-10 is prepared.
Result:   runs/reuse_features/: summary.json, features.json and retrieval.png: accuracy of a linear
          support vector machine and of the nearest neighbor, from pixels and from features, and the
          images most alike to a query by both; the figures are in docs/results.md.

The network was trained on other images (SqueezeNet: ImageNet) and nothing of it is changed. Every
key draws the few images that are learned from; the test images are the same.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from jaxnets import command
from jaxnets.data import Split, load_dataset, stratified_subset
from jaxnets.errors import JaxnetsError
from jaxnets.interpret import Subject, fit_linear_svm, load_subject
from jaxnets.interpret.figures import sheet
from jaxnets.models import features
from jaxnets.study.figures import save_figure
from jaxnets.study.summaries import json_values, write_settings
from jaxnets.train.run_directory import write_json
from jaxnets.transfer import compute_features, nearest_neighbors
from jaxnets.transfer.class_subsets import take_per_class
from jaxnets.transfer.gain_report import gains_as_text, summarize_gains

CLASSIFIERS = ("linear SVM", "nearest neighbor")


@dataclass(frozen=True)
class Config:
    """Whose features, and what is told apart by them.

    Attributes:
        weights: a file with published weights, or a run's directory; None for random ones.
        model: the network, where the file does not say it.
        dataset: the images, as in jaxnets train.
        image_size: side that images are enlarged to (the network's own takes 4 times as long).
        endpoint: of `jaxnets.models.features`, averaged over places (default: the last).
        per_class: images of each class that are learned from.
        test_examples: that are told apart, equally many of each class.
        penalty: the support vector machine's C, on features of deviation 1.
        keys: repetitions, for the intervals.
        data_dir: where prepared TFDS data sets lie (default: $TFDS_DATA_DIR).
        workdir: where the results go.
    """

    weights: Path | None = None
    model: str | None = None
    dataset: str = "cifar10"
    image_size: int = 112
    endpoint: str | None = None
    per_class: int = 50
    test_examples: int = 2000
    penalty: float = 1e-3
    keys: int = 5
    data_dir: Path | None = None
    workdir: Path = Path("runs/reuse_features")


def smoke() -> Config:
    """Random weights on digits."""
    small = {"per_class": 2, "test_examples": 20, "keys": 2, "image_size": 32}
    return Config(model="lenet5", dataset="digits", **small)


def extractor(subject: Subject, side: int, endpoint: str | None):
    """Images as stored → features, (N, D)."""

    def run(variables, x):
        x = jax.image.resize(x.astype(jnp.float32), (len(x), side, side, x.shape[-1]), "linear")
        x = (x / 255 - jnp.float32(subject.mean)) / jnp.float32(subject.std)
        maps = features(subject.model, variables, x)
        found = maps[endpoint or list(maps)[-1]]
        return found.reshape(len(x), -1, found.shape[-1]).mean(1)

    return lambda images: compute_features(run, subject.variables, images, batch_size=50)


def accuracies(train: np.ndarray, labels: np.ndarray, test: np.ndarray, truth, penalty, classes):
    """Of both classifiers."""
    spread = np.maximum(train.std(0), 1e-6)
    train, test = ((x - train.mean(0)) / spread for x in (train, test))
    svm = fit_linear_svm(train, labels, classes, penalty=penalty).accuracy(test, truth)
    return svm, float((labels[nearest_neighbors(test, train)[:, 0]] == truth).mean())


def draw_retrieval(test: Split, spaces: dict[str, np.ndarray], names, queries: int = 5):
    """Queries, and the four test images most alike to each by each kind of features."""
    rows = []
    for query in [int(np.flatnonzero(test.labels == k)[0]) for k in range(len(names))][:queries]:
        row = {f"query: {names[test.labels[query]]}": test.images[query]}
        for kind, space in spaces.items():
            for i, other in enumerate(nearest_neighbors(space[query : query + 1], space, 5)[0, 1:]):
                row[f"{kind} {i + 1}: {names[test.labels[other]]}"] = test.images[other]
        rows.append(row)
    return sheet(rows, width=1.8)


def main(config: Config) -> dict[str, Any]:
    """Extract, learn from every key's images, compare, draw."""
    if config.keys < 1 or config.per_class < 1:
        raise JaxnetsError("--keys and --per-class must be at least 1")
    workdir, subject = write_settings(config), load_subject(config.weights, config.model)
    data = load_dataset(config.dataset, data_dir=config.data_dir)
    test = stratified_subset(data.test, min(config.test_examples, len(data.test)))
    spaces = {
        "pixels": lambda images: images.reshape(len(images), -1) / np.float32(255),
        "features": extractor(subject, config.image_size, config.endpoint),
    }
    tested = {kind: describe(test.images) for kind, describe in spaces.items()}
    found: dict[str, dict[str, list[float]]] = {
        name: {kind: [] for kind in spaces} for name in CLASSIFIERS
    }
    for key in tqdm(range(config.keys), disable=None, desc="keys"):
        train = take_per_class(data.train, config.per_class, key)
        for kind, describe in spaces.items():
            x, y = describe(train.images), np.asarray(train.labels)
            measured = accuracies(x, y, tested[kind], test.labels, config.penalty, data.num_classes)
            for name, value in zip(CLASSIFIERS, measured, strict=True):
                found[name][kind].append(value)
        write_json(workdir / "features.json", found)
    summary = {name: summarize_gains(values, "pixels") for name, values in found.items()}
    write_json(workdir / "summary.json", json_values(summary))
    save_figure(draw_retrieval(test, tested, data.class_names), workdir / "retrieval.png")
    for name, rows in summary.items():
        print(f"{name}\n{gains_as_text(rows)}")
    print(f"{workdir}: retrieval.png, summary.json")
    return summary


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
