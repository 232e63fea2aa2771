"""What to train of a pretrained network: new data that are small or large, similar or different.

Command:  python -m experiments.transfer.transfer_strategies
          python -m experiments.transfer.transfer_strategies --dataset digits \
              --different scrambled --image-size 8 --small 5 --large 100
          python -m experiments.transfer.transfer_strategies --image-size 32 \
              --weights resnet20-12fca82f.th
          python -m experiments.transfer.transfer_strategies --residual-blocks 1 \
              --image-size 32 --pretrain-steps 2000 --keys 3
Time:     four and a half minutes on two CPU cores; the last one 30 of one.
Result:   runs/transfer_strategies/: summary.json (table, similarities, advice), transfer.png

A network is pretrained on half of the classes. "Similar" is the other half of them; "different" is
MNIST, or for the embedded digits the same images with their pixels in one fixed random order. Every
case is learned in the five ways of `jaxnets.transfer.strategies` and held against
`jaxnets.transfer.advise`. With --weights the network is a published ResNet-20, trained on all of
CIFAR-10's classes. The same command goes on where it stopped.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from jaxnets import command
from jaxnets.data.preprocessing import Standardization, fit_channel_mean_std
from jaxnets.errors import JaxnetsError
from jaxnets.models import create_model, model_info
from jaxnets.pretrained import load as load_weights
from jaxnets.study.small_convnet import SmallConvNet
from jaxnets.study.small_images import load_small
from jaxnets.study.summaries import json_values, measured_once, write_settings
from jaxnets.train.run_directory import write_json
from jaxnets.transfer import strategy_report
from jaxnets.transfer.class_subsets import scramble_pixels
from jaxnets.transfer.strategies import Amount, StrategyStudy


@dataclass(frozen=True)
class Config:
    """What to train.

    Attributes:
        dataset: its classes are halved: pretraining and "similar".
        different: the other data set, or "scrambled": ``dataset`` with its pixels in random order.
        weights: a file with weights of a CIFAR-10 ResNet-20, as the pretrained network.
        image_size: images are brought to this many pixels a side (default: as they are).
        widths: channels of the layers of the small network.
        residual_blocks: of each stage of a ResNet (3: ResNet-20) in the small network's place.
        small, large: training examples of each class.
        test_per_class: test images of each class.
        pretrain_steps, small_steps, large_steps: of the trainings.
        batch_size, small_batch_size: of the pretraining and the large sets; of the small ones.
        learning_rate, fine_tuning_rate: the highest from random numbers; from pretrained layers.
        freeze_to: "top" trains what lies behind this layer (default: the first half of the layers).
        keys: repetitions, each with halves, pretraining and examples of its own, for the intervals.
        data_dir: where prepared TFDS datasets lie (default: $TFDS_DATA_DIR).
        workdir: where the results go.
    """

    dataset: str = "cifar10"
    different: str = "mnist"
    weights: str | None = None
    image_size: int | None = 16
    widths: tuple[int, ...] = (16, 32, 48, 64)
    residual_blocks: int = 0
    small: int = 20
    large: int = 1000
    test_per_class: int = 400
    pretrain_steps: int = 800
    small_steps: int = 150
    large_steps: int = 400
    batch_size: int = 64
    small_batch_size: int = 32
    learning_rate: float = 0.2
    fine_tuning_rate: float = 0.05
    freeze_to: str | None = None
    keys: int = 4
    data_dir: Path | None = None
    workdir: Path = Path("runs/transfer_strategies")


def smoke() -> Config:
    """A tiny network on the digits."""
    data = {"dataset": "digits", "different": "scrambled", "image_size": None, "widths": (4, 6)}
    amounts = {"small": 5, "large": 20, "test_per_class": 10, "keys": 2}
    steps = dict.fromkeys(("pretrain_steps", "small_steps", "large_steps"), 6)
    training = {"batch_size": 20, "small_batch_size": 20, "learning_rate": 0.1}
    place = {"fine_tuning_rate": 0.1, "workdir": Path("runs/smoke/transfer_strategies")}
    return Config(**data, **amounts, **steps, **training, **place)


def build_study(config: Config) -> StrategyStudy:
    """The data, the network and its compiled trainings."""
    source = load_small(config.dataset, config.data_dir, side=config.image_size)
    classes, published, side = source.num_classes // 2, None, source.image_shape[0]
    if config.different == "scrambled":
        other = scramble_pixels(source)
    else:
        other = load_small(config.different, config.data_dir, side=side)
    if config.weights:
        info = model_info("resnet20")
        network = create_model("resnet20", num_classes=classes)
        _, published = load_weights("resnet20", config.weights)
        scales = (255 * np.array(x) for x in (info.mean, info.std))
        preprocess = Standardization(*scales).apply
    else:
        network = SmallConvNet(classes, widths=config.widths)
        if config.residual_blocks:
            network = create_model("resnet20", num_classes=classes, blocks=config.residual_blocks)
        preprocess = fit_channel_mean_std(source.train.images).apply
    amounts = {
        "pretraining": Amount(config.pretrain_steps, config.batch_size),
        "small": Amount(config.small_steps, config.small_batch_size, config.small),
        "large": Amount(config.large_steps, config.batch_size, config.large),
    }
    options = {n: getattr(config, n) for n in ("test_per_class", "fine_tuning_rate", "freeze_to")}
    options |= {"published": published, "rate": config.learning_rate, **amounts}
    return StrategyStudy(source, other, network, preprocess, **options)


def main(config: Config) -> dict[str, Any]:
    """Measure all cases, compare with the advice, draw."""
    if config.keys < 1:
        raise JaxnetsError(f"--keys must be at least 1, got {config.keys}")
    if not 0 < config.small < config.large:
        raise JaxnetsError(f"--small {config.small} must lie between 0 and --large {config.large}")
    for n in ("learning_rate", "fine_tuning_rate"):
        if not getattr(config, n) > 0:
            raise JaxnetsError(f"--{n.replace('_', '-')} must be above 0, got {getattr(config, n)}")
    workdir, study = write_settings(config), build_study(config)
    measured = [
        measured_once(workdir / "keys" / f"{key}.json", config, partial(study.one_key, key))
        for key in tqdm(range(config.keys), disable=None, desc="keys")
    ]
    summary = strategy_report.summarize(measured, strategy_report.advise_all(study, measured))
    summary["trainable_parameters"] = study.trainable_parameters()
    write_json(workdir / "summary.json", json_values(summary))
    per_class = {"small": config.small, "large": config.large}
    strategy_report.save_picture(summary, per_class, workdir / "transfer.png")
    print(strategy_report.as_text(summary, config.dataset, config.different))
    print(f"{workdir}: transfer.png, summary.json")
    return summary


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
