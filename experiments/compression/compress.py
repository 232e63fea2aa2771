"""Compress a network by Deep Compression: prune, retrain, share weights, fine-tune, Huffman-code.

Command:  python -m experiments.compression.compress --model lenet_300_100
          python -m experiments.compression.compress --model resnet20 --dataset cifar10 \\
              --weights resnet20-12fca82f.th --sparsity 0.58 --teacher-weight 0.9 \\
              --augment crop_flip --optimizer nesterov --learning-rate 0.01 --weight-decay 1e-4 \\
              --prune-epochs 4 --share-epochs 1
          python -m experiments.compression.compress --weights compressed_SqueezeNet.net
Time:     LeNets on MNIST 3 and 15 minutes on two CPU cores, a ResNet-20 15; on one accelerator
          one and five minutes; the published SqueezeNet 2 seconds.
Result:   runs/compress/DATASET-MODEL/: MODEL.jxnc, table.md by layer, compression.png,
          summary.json: bytes on the disk and accuracy before and after; see docs/results.md.

Without --weights the network is trained here first. The same command goes on where it stopped.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jaxnets import augment, command
from jaxnets.compress import (
    Compressed,
    CompressionRecipe,
    Subject,
    deep_compress,
    encode_variables,
    layer_figure,
    layer_rows,
    layer_table,
    published_subject,
    read_compressed,
    recompress_published,
    trained_subject,
)
from jaxnets.data import Dataset, load_dataset
from jaxnets.study.summaries import json_values, write_settings
from jaxnets.train.run_directory import write_json


@dataclass(frozen=True)
class Config(CompressionRecipe):
    """What to compress, and how.

    Attributes:
        model: the network, a name of `jaxnets.list_models()`.
        weights: its published weights, or compressed_SqueezeNet.net, which is encoded anew.
        dataset: the data set's name.
        augment: a policy of `jaxnets.augment.list_policies` for training, or "none".
        train_epochs: passes of the first training, where there are no weights.
        train_examples: training images, equally many of each class (default: all).
        data_dir: where prepared TFDS data sets lie (default: $TFDS_DATA_DIR).
        workdir: where runs and results go (default: runs/compress/DATASET-MODEL).
    """

    model: str = "lenet_300_100"
    weights: Path | None = None
    dataset: str = "mnist"
    augment: str = "none"
    train_epochs: int = 20
    train_examples: int | None = None
    data_dir: Path | None = None
    workdir: Path | None = None


def smoke() -> Config:
    """A tiny network on a part of the digits."""
    data = {"dataset": "digits", "train_examples": 100, "batch_size": 50}
    epochs = {"train_epochs": 1, "prune_epochs": 2, "share_epochs": 1}
    return Config(bits=3, workdir=Path("runs/smoke/compress"), **data, **epochs)


def policy(config: Config, data: Dataset) -> Any:
    """The random changes of training images."""
    change = augment.create_policy(config.augment, data.train.images)
    return None if change is None else augment.per_example(change)


def subject(config: Config) -> Subject:
    """The network with its data."""
    data = {"train_examples": config.train_examples, "data_dir": config.data_dir}
    if config.weights is not None:
        return published_subject(config.model, config.weights, config.dataset, **data)
    return trained_subject(
        config.model,
        config.dataset,
        recipe=config,
        epochs=config.train_epochs,
        workdir=config.workdir / "trained",
        prepare=policy(config, load_dataset(config.dataset, data_dir=config.data_dir)),
        **data,
    )


def recompress(config: Config) -> dict[str, Any]:
    """The published file anew, weight for weight."""
    path = config.workdir / "squeezenet.jxnc"
    found = recompress_published(config.weights, path)
    rows = layer_rows(encode_variables(read_compressed(path).variables))
    show(config, layer_table(rows, found.bytes))
    return found._asdict()


def show(config: Config, table: str) -> None:
    """Print a table, and keep it."""
    (config.workdir / "table.md").write_text(table + "\n")
    print(table)


def finish(config: Config, found: Compressed) -> dict[str, Any]:
    """Table, figure and numbers of a compressed network."""
    show(config, layer_table(found.rows, found.stages["fine-tuned"].bytes))
    stages = {name: (stage.bytes, 100 * stage.accuracy) for name, stage in found.stages.items()}
    layer_figure(found.rows, stages, config.workdir / "compression.png")
    print(f"{found.ratio:.1f}× smaller, {found.loss:.2f} points lost")
    numbers = {"ratio": found.ratio, "points_lost": found.loss, "density": found.density}
    return numbers | {name: stage._asdict() for name, stage in found.stages.items()}


def main(config: Config) -> dict[str, Any]:
    """Compress, draw, say what it came to."""
    published = config.weights is not None and config.weights.suffix == ".net"
    name = "squeezenet" if published else f"{config.dataset}-{config.model}"
    config = replace(config, workdir=config.workdir or Path("runs/compress", name))
    workdir = write_settings(config)
    if published:
        summary = recompress(config)
    else:
        network = subject(config)
        names = CompressionRecipe.__dataclass_fields__
        found = deep_compress(
            *(network.model, network.variables, network.data.train, network.data.test),
            task=network.task,
            training_task=network.training_task(config.teacher_weight),
            recipe=CompressionRecipe(**{name: getattr(config, name) for name in names}),
            workdir=workdir,
            name=config.model,
            prepare=policy(config, network.data),
        )
        summary = finish(config, found)
    write_json(workdir / "summary.json", json_values(summary))
    return summary


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
