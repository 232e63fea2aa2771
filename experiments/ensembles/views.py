"""GoogLeNet's test in small: seven networks, each on 1, 10 or 144 views of every image.

Command:  python -m experiments.ensembles.views
          python -m experiments.ensembles.views --networks 3 --keys 1
Time:     a quarter of an hour on two CPU cores for three keys.
Result:   runs/views/: summary.json, accuracy.json, views.png: top-1 and top-5 accuracy of one
          network and of seven by the number of views, and the gains over one network with one
          view; the figures are in docs/results.md.

The networks differ in their first weights and in the order of the images, as GoogLeNet's seven did.
They learn from random windows of the images; tested are the window in the middle, the corners,
center and mirror images, and the 144 squares of four scales (section 7 of the paper).
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from jaxnets import command
from jaxnets.augment import compose, per_example, random_flip, random_window
from jaxnets.augment.views import views_by_number
from jaxnets.data import stratified_subset
from jaxnets.data.preprocessing import fit_channel_mean_std
from jaxnets.ensembles import predict_with_views
from jaxnets.errors import JaxnetsError
from jaxnets.metrics import top_k_accuracy
from jaxnets.study.repeated_training import Trainer
from jaxnets.study.small_convnet import SmallConvNet
from jaxnets.study.small_images import load_small
from jaxnets.study.summaries import json_values, write_settings
from jaxnets.train.run_directory import write_json
from jaxnets.transfer import compute_features
from jaxnets.transfer.gain_report import gains_as_text, save_gains, summarize_gains


@dataclass(frozen=True)
class Config:
    """What to train.

    Attributes:
        dataset: "cifar10", "digits", or another TFDS set.
        train_examples: training images, equally many of each class; all where there are fewer.
        test_examples: test images, equally many of each class.
        window: side of the squares that the networks see.
        networks: of an ensemble.
        steps: of a training.
        batch_size: of a step.
        learning_rate: highest learning rate.
        widths: channels of the networks' layers.
        keys: ensembles, for the intervals.
        data_dir: where prepared TFDS data sets lie (default: $TFDS_DATA_DIR).
        workdir: where the results go.
    """

    dataset: str = "cifar10"
    train_examples: int = 5000
    test_examples: int = 1000
    window: int = 28
    networks: int = 7
    steps: int = 800
    batch_size: int = 64
    learning_rate: float = 0.2
    widths: tuple[int, ...] = (16, 32, 48, 64)
    keys: int = 3
    data_dir: Path | None = None
    workdir: Path = Path("runs/views")


def smoke() -> Config:
    """Two tiny networks on a part of the digits."""
    small = {"train_examples": 100, "test_examples": 20, "steps": 2, "batch_size": 20}
    return Config(dataset="digits", window=7, widths=(4,), networks=2, keys=2, **small)


def predictor(network, preprocess, make_views):
    """(variables, images) → probabilities (N, K), averaged over the views."""

    def run(variables, images):
        def predict(views):
            return jax.nn.softmax(network.apply(variables, preprocess(views), train=False))

        return predict_with_views(predict, make_views(images))

    return lambda variables, images: compute_features(run, variables, images, batch_size=20)


def main(config: Config) -> dict[str, Any]:
    """Train the networks of every key, look at the views, compare, draw."""
    if config.networks < 2 or config.keys < 1:
        raise JaxnetsError("--networks must be at least 2 and --keys at least 1")
    workdir = write_settings(config)
    data = load_small(config.dataset, config.data_dir)
    train = stratified_subset(data.train, min(config.train_examples, len(data.train)))
    test = stratified_subset(data.test, min(config.test_examples, len(data.test)))
    if not 1 <= config.window <= data.image_shape[0]:
        raise JaxnetsError(f"--window must be 1 to {data.image_shape[0]}, got {config.window}")
    network = SmallConvNet(data.num_classes, widths=config.widths)
    preprocess = fit_channel_mean_std(train.images).apply
    window = partial(random_window, size=config.window)
    trainer = Trainer(
        network,
        (config.window, config.window, data.image_shape[2]),
        preprocess,
        steps=config.steps,
        batch_size=config.batch_size,
        rate=config.learning_rate,
        prepare=per_example(compose(window, random_flip)),
    )
    predictors = {
        views: predictor(network, preprocess, make)
        for views, make in views_by_number(config.window).items()
    }
    counts = (1, config.networks)
    names = {(k, v): f"{k} × {v}" for k in counts for v in predictors}
    found: dict[str, dict[str, list[float]]] = {
        top: {name: [] for name in names.values()} for top in ("top-1", "top-5")
    }
    seeds = range(config.networks)
    for key in tqdm(range(config.keys), disable=None, desc="keys"):
        runs = [trainer.run(trainer.initial(s), train, s) for s in (100 * key + i for i in seeds)]
        for views, predict in predictors.items():
            each = np.stack([predict(run[-1], test.images) for run in runs])
            for count, sets in zip(counts, (each, each.mean(0, keepdims=True)), strict=True):
                for top, k in (("top-1", 1), ("top-5", 5)):
                    values = [float(top_k_accuracy(p, test.labels, k)) for p in sets]
                    found[top][names[count, views]].append(float(np.mean(values)))
        write_json(workdir / "accuracy.json", found)
    summary = {top: summarize_gains(rows, names[1, 1]) for top, rows in found.items()}
    write_json(workdir / "summary.json", json_values(summary))
    title = f"{config.dataset}, networks × views, {config.keys} keys"
    save_gains(summary["top-1"], title, workdir / "views.png")
    for top, rows in summary.items():
        print(f"{top}, networks × views\n{gains_as_text(rows)}")
    print(f"{workdir}: views.png, summary.json")
    return summary


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
