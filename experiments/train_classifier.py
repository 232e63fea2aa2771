"""Train a network on images, on any number of devices; a killed run goes on where it was.

Command:  python -m experiments.train_classifier
          python -m experiments.train_classifier --dataset mnist --epochs 6
          python -m experiments.train_classifier --dataset cifar10 --model resnet20 \
              --optimizer nesterov --learning-rate 0.1 --weight-decay 1e-4 --augment crop_flip \
              --batch-size 128 --epochs 12
Time:     digits with LeNet-5 about half a minute on two CPU cores, compilation included.
Result:   test accuracy of at least 98 % on digits; the README's table has the others.

The run lives in --workdir: config.json, metrics.jsonl, checkpoints/, and when it has ended
summary.json, curves.png, confusion.png and filters.png. The same command again resumes it.
On a pod, start the same command on every host with --distributed.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxnets import command
from jaxnets.tasks import Recipe, train_classifier
from jaxnets.train import RunOptions


@dataclass(frozen=True)
class Config(Recipe, RunOptions):
    """The recipe decides what is learned; the other options only how the run is carried out.

    Attributes:
        data_dir: where prepared TFDS datasets lie (default: $TFDS_DATA_DIR).
    """

    data_dir: Path | None = None


def smoke() -> Config:
    """Two epochs of a small network on a part of the digits."""
    return Config(
        model="mlp",
        train_examples=200,
        epochs=2,
        warmup_epochs=0,
        batch_size=40,
        workdir=Path("runs/smoke/train_classifier"),
        devices=1,
        restart=True,
        quiet=True,
    )


def main(config: Config) -> dict[str, Any]:
    """Train (or resume) and return the contents of ``summary.json``.

    A run that was asked to stop (SIGTERM, Ctrl-C) returns ``{"interrupted_at": step}`` after it
    has saved its state.
    """
    return train_classifier(config, config, data_dir=config.data_dir)


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
